package ringtail

/*
#include <ringtail.h>
*/
import "C"

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"
)

// Status is the number by which libringtail says how a call ended. The errors of this package are a Status, or an [Error]
// that wraps one: errors.Is(err, ringtail.ErrHeld). A newer library may have numbers that are not listed here.
type Status int32

const (
	// ErrInvalid: an argument is not legal.
	ErrInvalid Status = C.RINGTAIL_EINVAL
	// ErrBusy: another goroutine is in a call that only one may make at a time.
	ErrBusy Status = C.RINGTAIL_EBUSY
	// ErrForked: the handle was made before a fork, and this is the child.
	ErrForked Status = C.RINGTAIL_EFORKED
	// ErrTooNew: an option that the library which was loaded does not know.
	ErrTooNew Status = C.RINGTAIL_E2BIG
	// ErrState: not at this point of the collector's life: before the start, started twice, or after the stop.
	ErrState Status = C.RINGTAIL_ESTATE
	// ErrUnknown: no such token, or it was answered before; no such pipeline or file.
	ErrUnknown Status = C.RINGTAIL_EUNKNOWN
	// ErrConfig: the configuration is wrong. The message names each mistake, its place, and what to write instead.
	ErrConfig Status = C.RINGTAIL_ECONFIG
	// ErrIO: the kernel refuses what is needed.
	ErrIO Status = C.RINGTAIL_EIO
	// ErrCheckpoint: the checkpoint in data_dir cannot be used.
	ErrCheckpoint Status = C.RINGTAIL_ECHECKPOINT
	// ErrHeld: another collector has this data_dir.
	ErrHeld Status = C.RINGTAIL_EHELD
	// ErrMemory: the memory that this handle may use is spent.
	ErrMemory Status = C.RINGTAIL_EMEMORY
	// ErrPanic: a defect of the library was met and contained. The handle can only be closed.
	ErrPanic Status = C.RINGTAIL_EPANIC
)

// ErrClosed is what calls on something that was closed return.
var ErrClosed = errors.New("ringtail: closed")

// Error is the name of the status, as in "ringtail: RINGTAIL_EHELD".
func (s Status) Error() string {
	return "ringtail: " + C.GoString(C.ringtail_status_name(C.ringtail_status_t(s)))
}

// Error is a failure that the library explains.
type Error struct {
	Status Status
	// Message says what failed and what to do about it; it may have several lines.
	Message string
	// MayPass: the same call may succeed later without anything being changed.
	MayPass bool
}

func (e *Error) Error() string { return "ringtail: " + e.Message }

// Unwrap gives the [Status].
func (e *Error) Unwrap() error { return e.Status }

// failed turns what a call returned into an error, and frees the explanation.
func failed(status C.ringtail_status_t, explanation *C.ringtail_error_t) error {
	if explanation != nil {
		defer C.ringtail_error_free(explanation)
	}
	if status >= 0 {
		return nil
	}
	if explanation == nil {
		return Status(status)
	}
	var size C.size_t
	text := C.ringtail_error_message(explanation, &size)
	return &Error{
		Status:  Status(status),
		Message: string(unsafe.Slice((*byte)(unsafe.Pointer(text)), int(size))),
		MayPass: C.ringtail_error_may_pass(explanation) != 0,
	}
}

// Version is the release of the library that is linked or loaded, as in "0.1.0".
func Version() string { return C.GoString(C.ringtail_version_string()) }

// usable says whether the library that was loaded can be used by what was built with its header.
var usable = sync.OnceValue(func() error {
	abi, level := uint32(C.ringtail_abi_version()), uint32(C.ringtail_api_level())
	if abi == C.RINGTAIL_ABI_VERSION && level >= C.RINGTAIL_API_LEVEL {
		return nil
	}
	return fmt.Errorf("ringtail: the library has ABI %d, level %d; ABI %d, level %d or more is needed",
		abi, level, C.RINGTAIL_ABI_VERSION, C.RINGTAIL_API_LEVEL)
})
