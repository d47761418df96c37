package ringtail

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A collection from its configuration to its end, and its next life: what was acknowledged does not come again.
func TestLife(t *testing.T) {
	s := newScene(t)
	data := Property("data_dir", filepath.Join(s.dir, "data"))
	s.write(s.log, "one", "two")
	c := s.start(data)
	batch := s.next(c)
	if batch.Len() != 2 || batch.BodyBytes() != 6 || batch.Pipeline() != "shop" || len(batch.Sources()) != 1 {
		t.Fatalf("%d records, %d bytes, %q", batch.Len(), batch.BodyBytes(), batch.Pipeline())
	}
	var kept []Record
	for record := range batch.Records() {
		kept = append(kept, record.Clone())
	}
	s.must(batch.Ack())
	first := kept[0]
	if string(first.Body()) != "one" || first.Stream() != Stdout || first.Stream().String() != "stdout" || first.Flags() != 0 ||
		first.TimeNs() != 1767323045123456789 || !first.Time().Equal(time.Unix(0, first.TimeNs())) {
		t.Errorf("%+v", first)
	}
	path, _ := first.Source().Attribute("log.file.path")
	if first.Source().Path != s.log || path != s.log || first.Source() != kept[1].Source() {
		t.Errorf("%+v", first.Source())
	}
	s.must(c.Stop(time.Minute))
	if _, err := c.Next(context.Background()); err != io.EOF {
		t.Errorf("%v, not the end", err)
	}
	if end, err := c.End(); err != nil || !end.AllAnswered || !end.PositionsKept {
		t.Errorf("%+v %v", end, err)
	}
	s.must(c.Close())

	s.write(s.log, "three")
	if again := s.messages(s.start(data), 1); !reflect.DeepEqual(again, []string{"three"}) {
		t.Errorf("%q", again)
	}
}

// The same source is the same *Source in all batches; the loop ends with the collection.
func TestBatchesEndWithTheCollection(t *testing.T) {
	s := newScene(t)
	s.write(s.log, numbered(1000, 0)...)
	c := s.start(Property("batch.max_records", "100"))
	records, sources := 0, map[*Source]bool{}
	for batch, err := range c.Batches(context.Background()) {
		s.must(err)
		records += batch.Len()
		sources[batch.Sources()[0]] = true
		s.must(batch.Ack())
		if records == 1000 {
			s.must(c.Stop(time.Minute))
		}
	}
	if records != 1000 || len(sources) != 1 {
		t.Errorf("%d records of %d sources", records, len(sources))
	}
}

func TestOneCallIntoCForABatch(t *testing.T) {
	s := newScene(t)
	s.write(s.log, numbered(1000, 0)...)
	c := s.start(Property("batch.max_records", "10"))
	const batches = 20
	s.until("queue", func() bool { return s.figure(c, "waiting_batches") >= batches })
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tokens := make([]Token, 0, batches)
	bytes := 0
	before := runtime.NumCgoCall()
	for range batches {
		batch, err := c.Next(ctx)
		s.must(err)
		for record := range batch.Records() {
			bytes += len(record.Body())
		}
		tokens = append(tokens, batch.Token())
		batch.Release()
	}
	if calls := runtime.NumCgoCall() - before; calls != batches {
		t.Errorf("%d calls for %d batches", calls, batches)
	}
	before = runtime.NumCgoCall()
	s.must(c.Ack(tokens...))
	if calls := runtime.NumCgoCall() - before; calls != 1 || bytes == 0 {
		t.Errorf("%d calls for one acknowledgement", calls)
	}
	if acked := s.figure(c, "acked_batches"); acked != batches {
		t.Errorf("%d acknowledged", acked)
	}
}

// A goroutine that waits is parked by the poller; a cancelled one leaves nothing behind for the next call.
func TestWaitingHoldsNoThreadAndEndsWithItsContext(t *testing.T) {
	s := newScene(t)
	c := s.start()
	for range 3 {
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() {
			_, err := c.Next(ctx)
			ended <- err
		}()
		s.until("goroutine in the poller", parked)
		if _, err := c.Next(context.Background()); !errors.Is(err, ErrBusy) {
			t.Errorf("%v, not busy", err)
		}
		cancel()
		if err := <-ended; err != context.Canceled {
			t.Errorf("%v", err)
		}
		if _, err := c.Next(ctx); err != context.Canceled {
			t.Errorf("%v", err)
		}
		ctx, cancel = context.WithTimeout(context.Background(), time.Millisecond)
		if _, err := c.Next(ctx); err != context.DeadlineExceeded {
			t.Errorf("%v", err)
		}
		cancel()
	}
	got := make(chan *Batch)
	go func() { got <- s.next(c) }()
	s.until("goroutine in the poller", parked)
	s.write(s.log, "at last")
	s.must((<-got).Ack())
}

// parked tells whether a goroutine is in Next and in the poller.
func parked() bool {
	stacks := make([]byte, 1<<20)
	for _, stack := range strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		head, _, _ := strings.Cut(stack, "\n")
		if strings.Contains(head, "IO wait") && strings.Contains(stack, "(*Collector).Next") {
			return true
		}
	}
	return false
}

// Batches outlive the collector; a waiting goroutine and every later call learn that it is closed.
func TestClose(t *testing.T) {
	s := newScene(t)
	s.write(s.log, "kept")
	c := s.start()
	batch := s.next(c)
	ended := make(chan error)
	go func() {
		_, err := c.Next(context.Background())
		ended <- err
	}()
	s.until("goroutine in the poller", parked)
	s.must(c.Close())
	_, statsErr := c.Stats()
	_, endErr := c.End()
	_, nextErr := c.Next(context.Background())
	for i, err := range []error{<-ended, c.Close(), c.Start(), c.Stop(0), c.Ack(batch.Token()), statsErr, endErr, nextErr,
		c.AddFiles("", s.log), c.SetAttributes(s.log)} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	for record := range batch.Records() {
		if string(record.Body()) != "kept" {
			t.Errorf("%q", record.Body())
		}
	}
	batch.Release()
	batch.Release()
}

func TestMisuse(t *testing.T) {
	s := newScene(t)
	s.write(s.log, "one", "two")
	c, err := New(s.options()...)
	s.must(err)
	defer c.Close()
	if _, err := c.Next(context.Background()); !errors.Is(err, ErrState) {
		t.Errorf("Next before Start: %v", err)
	}
	s.must(c.Start())
	if err := c.Start(); !errors.Is(err, ErrState) {
		t.Errorf("started twice: %v", err)
	}
	if _, err := c.End(); !errors.Is(err, ErrState) {
		t.Errorf("End before the end: %v", err)
	}
	batch := s.next(c)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("memory that was given back was shown")
			}
		}()
		for range batch.Records() {
			s.must(batch.Ack())
		}
	}()
	for _, err := range []error{batch.Ack(), batch.Reject(), c.Return(7777)} {
		if !errors.Is(err, ErrUnknown) || err.Error() != "ringtail: RINGTAIL_EUNKNOWN" {
			t.Errorf("answered twice: %v", err)
		}
	}
	s.must(c.Ack())
}

// A wrong configuration is told with every mistake; one that somebody else holds says who.
func TestConfigurationErrors(t *testing.T) {
	var explained *Error
	err := Check(YAML("memry: 1MiB"), Property("batch.max_bytes", "64MB"))
	if !errors.Is(err, ErrConfig) || !errors.As(err, &explained) || explained.MayPass {
		t.Fatalf("%v", err)
	}
	for _, part := range []string{"did you mean `memory`?", "write `64MiB`"} {
		if !strings.Contains(explained.Message, part) {
			t.Errorf("%q is not in %s", part, explained.Message)
		}
	}
	for _, option := range []Option{Property("", "1"), Property("memory", "["), YAML("- a")} {
		if err := Check(option); !errors.Is(err, ErrConfig) {
			t.Errorf("%v: %v", option, err)
		}
	}
	s := newScene(t)
	s.must(Check(s.options()...))
	data := Property("data_dir", filepath.Join(s.dir, "data"))
	s.start(data)
	second, err := New(s.options(data)...)
	s.must(err)
	defer second.Close()
	err = second.Start()
	if !errors.Is(err, ErrHeld) || !errors.As(err, &explained) || !explained.MayPass {
		t.Errorf("%v", err)
	}
}

func TestFilesAndAttributesComeAndGo(t *testing.T) {
	s := newScene(t)
	added := filepath.Join(s.dir, "added.txt")
	c := s.start()
	s.write(added, "one")
	s.must(c.SetAttributes(added, Attribute{Name: "team", Text: "shop"}, Attribute{Name: "replica", Kind: Int, Number: 3},
		Attribute{Name: "empty"}))
	s.must(c.AddFiles("shop", added))
	batch := s.next(c)
	source := batch.Sources()[0]
	s.must(batch.Ack())
	for name, expected := range map[string]string{"team": "shop", "replica": "3", "empty": "", "log.file.path": added} {
		if value, ok := source.Attribute(name); value != expected || !ok {
			t.Errorf("%s: %q", name, value)
		}
	}
	if _, ok := source.Attribute("none"); ok {
		t.Error("an attribute that nobody gave")
	}
	s.must(c.SetAttributes(added))
	s.write(added, "two")
	batch = s.next(c)
	if other := batch.Sources()[0]; other.ID == source.ID || len(other.Attributes) >= len(source.Attributes) {
		t.Errorf("%+v", other)
	}
	s.must(batch.Ack())
	s.must(c.RemoveFiles("", added))
	if err := c.AddFiles("none", added); !errors.Is(err, ErrUnknown) {
		t.Errorf("%v", err)
	}
	if err := c.AddFiles("", "relative"); !errors.Is(err, ErrConfig) {
		t.Errorf("%v", err)
	}
	s.must(c.AddFiles(""))
}

func TestReturnedRecordsComeAgainAndRejectedOnesAreCounted(t *testing.T) {
	s := newScene(t)
	s.write(s.log, "wanted")
	c := s.start()
	s.must(s.next(c).Return())
	if again := s.messages(c, 1); again[0] != "wanted" {
		t.Errorf("%q", again)
	}
	s.write(s.log, "given up")
	s.must(s.next(c).Reject())
	info, err := os.Stat(s.log)
	s.must(err)
	lost := uint64(info.Size()) - uint64(len("2026-01-02T03:04:05.123456789Z stdout F wanted\n"))
	if rejected := s.figure(c, "lost_bytes.rejected"); rejected != lost {
		t.Errorf("%d bytes, not %d", rejected, lost)
	}
}

// What is released while somebody waits goes back at once: it may be the memory that is waited for.
func TestReleasedMemoryIsNotKeptFromWhoWaits(t *testing.T) {
	s := newScene(t)
	s.write(s.log, "one")
	c := s.start()
	batch := s.next(c)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		_, err := c.Next(ctx)
		ended <- err
	}()
	s.until("goroutine in the poller", parked)
	batch.Release()
	if held := s.figure(c, "held_batches"); held != 0 {
		t.Errorf("%d batches are kept", held)
	}
	cancel()
	<-ended
	s.must(c.Ack(batch.Token()))
}

func TestARecordCostsNoAllocation(t *testing.T) {
	s := newScene(t)
	s.write(s.log, numbered(5000, 0)...)
	c := s.start()
	batch := s.next(c)
	bytes := 0
	allocations := testing.AllocsPerRun(10, func() {
		for record := range batch.Records() {
			bytes += len(record.Body()) + len(record.Source().Path)
		}
	})
	if allocations != 0 || bytes == 0 {
		t.Errorf("%v allocations for %d records", allocations, batch.Len())
	}
	s.must(batch.Ack())
}
