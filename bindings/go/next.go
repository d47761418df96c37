package ringtail

/*
#include <ringtail.h>
#cgo noescape ringtail_collector_next
#cgo nocallback ringtail_collector_next
#cgo nocallback ringtail_batch_free
*/
import "C"

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"time"
)

// A deadline that is over.
var past = time.Unix(1, 0)

// fetch is the state of the one call of Next that may be under way.
type fetch struct {
	collector *Collector
	ctx       context.Context
	view      C.ringtail_batch_view_t
	status    C.ringtail_status_t
	sources   sourceCache
	pipelines map[string]string
	// try, bound once: a closure for each call would be an allocation for each.
	attempt func(uintptr) bool
	// Withdraws the watch on ctx; nil as long as nothing was waited for.
	unwatch   func() bool
	cancelled chan struct{}
}

func (f *fetch) init(c *Collector) {
	f.collector = c
	f.attempt = f.try
	f.pipelines = make(map[string]string)
}

// Next gives the next batch. It waits for one as long as ctx allows. At the end of the collection, after
// [Collector.Stop], it returns io.EOF. Errors: ctx.Err(),
// [ErrBusy] when another goroutine is in Next, [ErrState] before Start, [ErrClosed], [ErrPanic].
//
// A batch that was released before goes back with the same call into C.
func (c *Collector) Next(ctx context.Context) (*Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !c.fetching.CompareAndSwap(false, true) {
		return nil, ErrBusy
	}
	defer c.fetching.Store(false)
	f := &c.fetch
	f.ctx = ctx
	// The poller forgets old readiness, then tries, then waits for new readiness: no signal is lost between.
	err := c.poll.Read(f.attempt)
	f.settle()
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, ctx.Err()
	default:
		// The poller's word for a file that was closed is its own; the collector's is told.
		return nil, c.call(func(*C.ringtail_collector_t) error { return err })
	}
	switch f.status {
	case C.RINGTAIL_OK:
		return f.batch(), nil
	case C.RINGTAIL_END:
		return nil, io.EOF
	case C.RINGTAIL_AGAIN:
		return nil, ErrClosed
	default:
		return nil, c.failure(f.status)
	}
}

// Batches is [Collector.Next] as a loop. It ends at the end of the collection, or after an error, which is yielded with a nil
// batch. Each batch is the program's until it is given back.
func (c *Collector) Batches(ctx context.Context) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		for {
			batch, err := c.Next(ctx)
			if err == io.EOF || !yield(batch, err) || err != nil {
				return
			}
		}
	}
}

// try fetches, if there is something; false: there is nothing yet.
func (f *fetch) try(uintptr) bool {
	c := f.collector
	c.life.RLock()
	defer c.life.RUnlock()
	if c.handle == nil {
		f.status = C.RINGTAIL_AGAIN
		return true
	}
	f.view.struct_size = C.sizeof_ringtail_batch_view_t
	f.status = C.ringtail_collector_next(c.handle, c.takeDone(), &f.view)
	if f.status != C.RINGTAIL_AGAIN {
		return true
	}
	c.flush()
	if f.unwatch == nil && f.ctx.Done() != nil {
		cancelled := make(chan struct{})
		f.cancelled = cancelled
		f.unwatch = context.AfterFunc(f.ctx, func() {
			c.event.SetReadDeadline(past)
			close(cancelled)
		})
	}
	return false
}

// settle takes back what waiting needed.
func (f *fetch) settle() {
	f.collector.deferBack()
	f.ctx = nil
	if f.unwatch == nil {
		return
	}
	if !f.unwatch() {
		// It runs, or has run: its deadline is not for the next call.
		<-f.cancelled
		f.collector.event.SetReadDeadline(time.Time{})
	}
	f.unwatch = nil
}

// giveBack gives a batch's memory back: with the next fetch, which costs nothing, unless that may take a while.
func (c *Collector) giveBack(batch *C.ringtail_batch_t) {
	c.back.Lock()
	if !c.back.atOnce && c.back.done == nil {
		c.back.done = batch
		batch = nil
	}
	c.back.Unlock()
	if batch != nil {
		C.ringtail_batch_free(batch)
	}
}

// takeDone is for a fetch: the batch that goes back with it. From here on there may be others, until flush.
func (c *Collector) takeDone() *C.ringtail_batch_t {
	c.back.Lock()
	defer c.back.Unlock()
	done := c.back.done
	c.back.done = nil
	return done
}

// flush gives back what waits for a fetch, and from now on everything at once: the memory may be what is waited for.
func (c *Collector) flush() {
	c.back.Lock()
	done := c.back.done
	c.back.done, c.back.atOnce = nil, true
	c.back.Unlock()
	if done != nil {
		C.ringtail_batch_free(done)
	}
}

// deferBack ends what flush began, unless the collector is closed.
func (c *Collector) deferBack() {
	c.life.RLock()
	defer c.life.RUnlock()
	if c.handle == nil {
		return
	}
	c.back.Lock()
	c.back.atOnce = false
	c.back.Unlock()
}
