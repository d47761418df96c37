package ringtail

/*
#include <ringtail.h>
*/
import "C"

import "unsafe"

// Ack says that the batches of these tokens are delivered: positions move on behind everything that is acknowledged without
// a gap, and are on disk at most a second later. In any order, batch given back or not; one call into C. [ErrUnknown]: a
// token was never given out or was answered before; the others are acknowledged.
func (c *Collector) Ack(tokens ...Token) error {
	return c.call(func(handle *C.ringtail_collector_t) error {
		return failed(C.ringtail_collector_ack(handle, first(tokens), C.size_t(len(tokens))), nil)
	})
}

// Return says that the batches of these tokens were not delivered and are wanted again: their records come again in new
// batches, and with them what was read behind them from the same files. Errors as [Collector.Ack].
func (c *Collector) Return(tokens ...Token) error {
	return c.call(func(handle *C.ringtail_collector_t) error {
		return failed(C.ringtail_collector_return(handle, first(tokens), C.size_t(len(tokens))), nil)
	})
}

// Reject says that the batches of these tokens will never be delivered, and are given up: positions move on, and their
// bytes of input are counted in the figure lost_bytes.rejected. Errors as [Collector.Ack].
func (c *Collector) Reject(tokens ...Token) error {
	return c.call(func(handle *C.ringtail_collector_t) error {
		return failed(C.ringtail_collector_reject(handle, first(tokens), C.size_t(len(tokens))), nil)
	})
}

// first is a slice as C takes it.
func first(tokens []Token) *C.uint64_t { return (*C.uint64_t)(unsafe.SliceData(tokens)) }
