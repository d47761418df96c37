package ringtail

/*
#include <ringtail.h>
*/
import "C"

import (
	"bytes"
	"time"
	"unsafe"
)

// Stream is where a container wrote a record.
type Stream uint8

const (
	// NoStream: a raw line, or one whose stream could not be told.
	NoStream Stream = C.RINGTAIL_STREAM_NONE
	Stdout   Stream = C.RINGTAIL_STREAM_STDOUT
	Stderr   Stream = C.RINGTAIL_STREAM_STDERR
)

// String is "stdout", "stderr", or nothing.
func (s Stream) String() string {
	switch s {
	case Stdout:
		return "stdout"
	case Stderr:
		return "stderr"
	default:
		return ""
	}
}

// Flags say what is not whole about a record. Further ones may come.
type Flags uint8

const (
	// Truncated: cut at max_line or max_record.
	Truncated Flags = C.RINGTAIL_FLAG_TRUNCATED
	// Malformed: not in the format of its file; the body is the line as it was found.
	Malformed Flags = C.RINGTAIL_FLAG_MALFORMED
	// Partial: delivered before its end was seen.
	Partial Flags = C.RINGTAIL_FLAG_PARTIAL
)

// Record is one log record: a view, valid until its batch is given back. [Record.Clone] is one that stays.
type Record struct {
	// In the library's memory; a clone's is in Go's. Two words, so that a record travels in registers.
	raw    *C.ringtail_record_t
	source *Source
}

// Body is the message: any bytes, in the library's memory. Never to be written to.
func (r Record) Body() []byte { return unsafe.Slice((*byte)(r.raw.body), int(r.raw.body_len)) }

// TimeNs is the container runtime's time, for raw files the time of reading, in nanoseconds since 1970.
func (r Record) TimeNs() int64 { return int64(r.raw.time_ns) }

// Time is TimeNs as a time in UTC.
func (r Record) Time() time.Time { return time.Unix(0, r.TimeNs()).UTC() }

// Source is the file that it comes from; nil for records of a [Parser].
func (r Record) Source() *Source { return r.source }

// Stream is where the container wrote it.
func (r Record) Stream() Stream { return Stream(r.raw.stream) }

// Flags say what is not whole about it.
func (r Record) Flags() Flags { return Flags(r.raw.flags) }

// Clone is a copy, body and all, that is the program's own for as long as it likes.
func (r Record) Clone() Record {
	raw := *r.raw
	raw.body = (*C.uint8_t)(unsafe.SliceData(bytes.Clone(r.Body())))
	return Record{&raw, r.source}
}
