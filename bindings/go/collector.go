package ringtail

/*
#include <ringtail.h>
*/
import "C"

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Collector is a collection: files that are followed, batches that are fetched, positions that move with what is
// acknowledged.
type Collector struct {
	// Held for reading during each call into C, for writing while the handle goes.
	life   sync.RWMutex
	handle *C.ringtail_collector_t

	// A duplicate of the library's event descriptor, in Go's poller. It is never read from: the library does that.
	event *os.File
	poll  syscall.RawConn

	// What only the goroutine in Next touches.
	fetching atomic.Bool
	fetch    fetch

	// A batch that was released goes back with the next fetch, or at once where that may take a while.
	back struct {
		sync.Mutex
		done *C.ringtail_batch_t
		// Somebody waits in Next, for memory perhaps; or there will be no fetch any more.
		atOnce bool
	}
}

// New makes a collector. It starts no thread and opens no log file. Errors: [ErrConfig], [ErrIO].
func New(options ...Option) (*Collector, error) {
	c := new(Collector)
	err := withConfig(options, func(config *C.ringtail_config_t) error {
		var explanation *C.ringtail_error_t
		return failed(C.ringtail_collector_new(config, &c.handle, &explanation), explanation)
	})
	if err != nil {
		return nil, err
	}
	if err := c.watch(); err != nil {
		C.ringtail_collector_free(c.handle)
		return nil, fmt.Errorf("ringtail: the event descriptor: %w", err)
	}
	return c, nil
}

// watch puts the event descriptor into Go's poller. A duplicate, since a file closes what it has.
func (c *Collector) watch() error {
	fd := uintptr(C.ringtail_collector_event_fd(c.handle))
	duplicate, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return errno
	}
	// The descriptor is non-blocking, so that the file joins the poller.
	c.event = os.NewFile(duplicate, "ringtail events")
	if err := c.event.SetReadDeadline(time.Time{}); err != nil {
		c.event.Close()
		return err
	}
	poll, err := c.event.SyscallConn()
	if err != nil {
		c.event.Close()
		return err
	}
	c.poll = poll
	c.fetch.init(c)
	return nil
}

// Start begins to collect: locks data_dir, opens the checkpoint, starts the library's threads. After an error it may be
// tried again. Errors: [ErrHeld], [ErrCheckpoint], [ErrIO], [ErrState] when it was started before.
func (c *Collector) Start() error {
	return c.call(func(handle *C.ringtail_collector_t) error {
		var explanation *C.ringtail_error_t
		return failed(C.ringtail_collector_start(handle, &explanation), explanation)
	})
}

// Stop begins to stop and returns at once: nothing more is read, and what was read is still handed over. Go on with
// [Collector.Next] and [Collector.Ack] until io.EOF, which comes when everything is acknowledged or the deadline is over.
// What is not acknowledged by then comes again after a restart. The second time it does nothing.
func (c *Collector) Stop(deadline time.Duration) error {
	ms := min(max(deadline.Milliseconds(), 0), 1<<31)
	return c.call(func(handle *C.ringtail_collector_t) error {
		return failed(C.ringtail_collector_stop(handle, C.uint32_t(ms)), nil)
	})
}

// End is how a collection ended.
type End struct {
	// AllAnswered: everything that was read was acknowledged before the deadline, and nothing comes again.
	AllAnswered bool
	// PositionsKept: all positions are on disk, or none are kept.
	PositionsKept bool
}

// End says how the collection ended, once [Collector.Next] returned io.EOF; [ErrState] before.
func (c *Collector) End() (End, error) {
	end := C.ringtail_end_t{struct_size: C.sizeof_ringtail_end_t}
	err := c.call(func(handle *C.ringtail_collector_t) error {
		status := C.ringtail_collector_end(handle, &end)
		if status == C.RINGTAIL_AGAIN {
			return ErrState
		}
		return failed(status, nil)
	})
	return End{AllAnswered: end.all_answered == 1, PositionsKept: end.positions_kept == 1}, err
}

// Close ends the collection at once, unless it has ended, and frees the collector. What was acknowledged is kept, what was
// not comes again after a restart; to deliver everything first, [Collector.Stop]. A goroutine that waits in Next gets
// [ErrClosed]. Batches that the program holds stay valid until they are released. The second time it returns
// [ErrClosed].
func (c *Collector) Close() error {
	c.life.Lock()
	handle := c.handle
	c.handle = nil
	c.life.Unlock()
	if handle == nil {
		return ErrClosed
	}
	// Wakes who waits.
	err := c.event.Close()
	c.flush()
	C.ringtail_collector_free(handle)
	return err
}

// call runs a call into C; the handle stays valid for as long.
func (c *Collector) call(run func(*C.ringtail_collector_t) error) error {
	c.life.RLock()
	defer c.life.RUnlock()
	if c.handle == nil {
		return ErrClosed
	}
	return run(c.handle)
}

// failure is why Next cannot go on, in the library's words.
func (c *Collector) failure(status C.ringtail_status_t) error {
	if Status(status) != ErrPanic {
		return Status(status)
	}
	err := c.call(func(handle *C.ringtail_collector_t) error {
		var explanation *C.ringtail_error_t
		if C.ringtail_collector_failure(handle, &explanation) != C.RINGTAIL_OK {
			return ErrPanic
		}
		return failed(status, explanation)
	})
	return err
}
