package ringtail

/*
#include <ringtail.h>
*/
import "C"

import (
	"iter"
	"sync/atomic"
	"unsafe"
)

// Token names a batch to [Collector.Ack], also after the batch was given back. It is a number, not memory.
type Token uint64

// Batch is a table of records whose bytes are not copied. It is the program's until it is given back: by [Batch.Release], or
// by [Batch.Ack], [Batch.Return], [Batch.Reject], which answer for it too.
type Batch struct {
	collector *Collector
	view      C.ringtail_batch_view_t
	isBack    atomic.Bool
	sources   []*Source
	pipeline  string
}

// batch is what was fetched.
func (f *fetch) batch() *Batch {
	b := &Batch{collector: f.collector, view: f.view}
	if f.view.kind != C.RINGTAIL_BATCH_RECORDS {
		// Of a newer library: without records that are known here; to be acknowledged as any other.
		b.view.record_count = 0
		return b
	}
	b.sources = f.sources.of(&f.view)
	name := unsafe.Slice((*byte)(unsafe.Pointer(f.view.pipeline)), int(f.view.pipeline_len))
	pipeline, known := f.pipelines[string(name)]
	if !known {
		pipeline = string(name)
		f.pipelines[pipeline] = pipeline
	}
	b.pipeline = pipeline
	return b
}

// Token is what [Collector.Ack] takes.
func (b *Batch) Token() Token { return Token(b.view.token) }

// Len is the number of records.
func (b *Batch) Len() int { return int(b.view.record_count) }

// BodyBytes is the sum of the lengths of all bodies.
func (b *Batch) BodyBytes() int { return int(b.view.body_bytes) }

// Pipeline is the name of the pipeline that the records belong to.
func (b *Batch) Pipeline() string { return b.pipeline }

// Sources are the files that the records come from. The slice is not to be changed.
func (b *Batch) Sources() []*Source { return b.sources }

// Records goes through the records, in order, without a call into C and without an allocation. The bodies are views, valid
// until the batch is given back; [Record.Clone] makes copies.
//
// It panics when the batch was given back, also in the middle of the loop, rather than show memory that holds other
// records by now.
func (b *Batch) Records() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		at, stride := unsafe.Pointer(b.view.records), uintptr(b.view.record_stride)
		for n := b.Len(); n > 0; n-- {
			if b.isBack.Load() {
				panic("ringtail: a batch is read after it was given back")
			}
			raw := (*C.ringtail_record_t)(at)
			if !yield(Record{raw, b.sources[raw.source]}) {
				return
			}
			at = unsafe.Add(at, stride)
		}
	}
}

// Release gives the memory back, without saying anything about delivery. The second time it does nothing. It may come
// after [Collector.Close].
func (b *Batch) Release() {
	if !b.isBack.Swap(true) {
		b.collector.giveBack(b.view.batch)
	}
}

// Ack says that the batch is delivered, and gives it back: [Collector.Ack] and [Batch.Release] in one.
func (b *Batch) Ack() error {
	b.Release()
	return b.collector.Ack(b.Token())
}

// Return says that the batch was not delivered and is wanted again, and gives it back: see [Collector.Return].
func (b *Batch) Return() error {
	b.Release()
	return b.collector.Return(b.Token())
}

// Reject says that the batch is given up, and gives it back: see [Collector.Reject].
func (b *Batch) Reject() error {
	b.Release()
	return b.collector.Reject(b.Token())
}
