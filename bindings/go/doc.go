// Package ringtail follows container logs: it finds files, follows them through every rotation, parses each line without
// copying it, and keeps, across restarts, the positions of what was acknowledged. It is libringtail, the core of the
// ringtail agent, for programs that send logs on themselves.
//
// The life of a collection:
//
//	collector, err := ringtail.New(ringtail.YAML(config))   // no thread, no open file yet
//	defer collector.Close()
//	err = collector.Start()
//	for batch, err := range collector.Batches(ctx) {
//	    for record := range batch.Records() { ... }          // record.Body() is a view, not a copy
//	    err = batch.Ack()                                    // delivered: positions move on, the memory goes back
//	}
//
// # Memory
//
// The bytes of a batch stay where the library read them. [Record.Body] is a view of them, valid until the batch is given
// back by [Batch.Release], [Batch.Ack], [Batch.Return] or [Batch.Reject]. Whoever keeps a record longer takes
// [Record.Clone], or appends the body to a buffer of their own. Everything else, as paths and attributes in [Source], is
// ordinary Go memory and lives as long as somebody looks at it. Bodies must not be written to.
//
// How much may be in the library's and the host's hands at a time is bounded (`memory`, `max_unacked`): a host that keeps
// batches is not given more until it gives some back.
//
// # Giving back and acknowledging
//
// are two things. [Batch.Release] gives the memory back and says nothing about delivery; [Collector.Ack] takes the tokens
// of any number of batches, in any order, long after they were given back, and is one call into C. What is not
// acknowledged when the process ends comes again after a restart.
//
// # Goroutines
//
// A [Collector] may be used by any goroutines at once, but only one may be in [Collector.Next] at a time; another one gets
// [ErrBusy]. A [Batch] may be handed from goroutine to goroutine. A goroutine that waits in Next is parked by Go's network
// poller and holds no thread. A [Parser] and an [Encoder] are for one goroutine at a time.
//
// Nothing happens behind the program's back: there is no finalizer, and what is not closed is not freed. The library starts no thread
// before [Collector.Start], handles no signal, reads no environment, prints nothing.
//
// # Calls into C
//
// One for a batch ([Collector.Next], which gives the batch before it back too), none for a record. One more where Next has to wait, and one
// for each Ack of any number of tokens.
package ringtail
