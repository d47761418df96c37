package ringtail

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// scene is a directory with a log, and a collector of what is in it.
type scene struct {
	*testing.T
	dir, log string
}

func newScene(t *testing.T) scene {
	dir := t.TempDir()
	return scene{t, dir, filepath.Join(dir, "a.log")}
}

// write appends CRI lines to a log.
func (s scene) write(path string, messages ...string) {
	s.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	s.must(err)
	var text strings.Builder
	for _, message := range messages {
		fmt.Fprintf(&text, "2026-01-02T03:04:05.123456789Z stdout F %s\n", message)
	}
	_, err = file.WriteString(text.String())
	s.must(err)
	s.must(file.Close())
}

// options are those of every test: the backend is the one that RINGTAIL_IO names; the library itself never looks.
func (s scene) options(more ...Option) []Option {
	io := os.Getenv("RINGTAIL_IO")
	if io == "" {
		io = "auto"
	}
	return append([]Option{
		Property("io", io),
		Property("batch.max_delay", "5ms"),
		Property("pipelines.shop.from.files.paths", "["+s.dir+"/*.log]"),
	}, more...)
}

func (s scene) start(more ...Option) *Collector {
	s.Helper()
	collector, err := New(s.options(more...)...)
	s.must(err)
	s.must(collector.Start())
	s.Cleanup(func() { collector.Close() })
	return collector
}

func (s scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// next is the next batch, which must come within a minute.
func (s scene) next(c *Collector) *Batch {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	batch, err := c.Next(ctx)
	s.must(err)
	return batch
}

// messages are the bodies of the next n records, whose batches are acknowledged.
func (s scene) messages(c *Collector, n int) []string {
	s.Helper()
	var messages []string
	for len(messages) < n {
		batch := s.next(c)
		for record := range batch.Records() {
			messages = append(messages, string(record.Body()))
		}
		s.must(batch.Ack())
	}
	return messages
}

func (s scene) figure(c *Collector, name string) uint64 {
	s.Helper()
	stats, err := c.Stats()
	s.must(err)
	value, known := stats[name]
	if !known {
		s.Fatalf("no figure is called %s", name)
	}
	return value
}

// until waits for something that must come true within a minute.
func (s scene) until(what string, is func() bool) {
	s.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("after a minute there is no %s", what)
		}
	}
}
