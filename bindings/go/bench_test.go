package ringtail

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// numbered are n messages, of at least size bytes each.
func numbered(n, size int) []string {
	messages := make([]string, n)
	for i := range messages {
		messages[i] = fmt.Sprintf("%08d%s", i, strings.Repeat("x", max(size-8, 0)))
	}
	return messages
}

// What a record costs over the batch itself, with views. One operation is one record.
func BenchmarkRecords(b *testing.B) {
	batch := fullBatch(b)
	b.ReportAllocs()
	b.ResetTimer()
	bytes, left := 0, b.N
	for left > 0 {
		for record := range batch.Records() {
			bytes += len(record.Body()) + int(record.Stream())
			if left--; left == 0 {
				break
			}
		}
	}
	if bytes == 0 {
		b.Error("nothing was read")
	}
}

// The same with a copy of each record into a buffer that is used again.
func BenchmarkRecordsAppended(b *testing.B) {
	batch := fullBatch(b)
	buffer := make([]byte, 0, 4<<20)
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; {
		buffer = buffer[:0]
		for record := range batch.Records() {
			buffer = append(buffer, record.Body()...)
			if left--; left == 0 {
				break
			}
		}
	}
}

// A file from the disk's cache through the library to here: one operation is one record of 200 bytes, with the reading and parsing
// that the library does meanwhile on a thread of its own.
func BenchmarkCollect(b *testing.B) {
	dir := b.TempDir()
	writeLog(b, filepath.Join(dir, "a.log"), b.N)
	c := startOn(b, dir)
	b.ReportAllocs()
	b.ResetTimer()
	records := 0
	for batch, err := range c.Batches(context.Background()) {
		if err != nil {
			b.Fatal(err)
		}
		for record := range batch.Records() {
			if len(record.Body()) == 200 {
				records++
			}
		}
		if err := batch.Ack(); err != nil {
			b.Fatal(err)
		}
		if records == b.N {
			break
		}
	}
	if records != b.N {
		b.Errorf("%d records of %d", records, b.N)
	}
}

// fullBatch is a batch of thousands of records of 200 bytes.
func fullBatch(b *testing.B) *Batch {
	dir := b.TempDir()
	const records = 4096
	writeLog(b, filepath.Join(dir, "a.log"), records)
	c := startOn(b, dir)
	batch, err := c.Next(context.Background())
	if err != nil || batch.Len() < records/2 {
		b.Fatal(batch, err)
	}
	b.Cleanup(batch.Release)
	return batch
}

func startOn(b *testing.B, dir string, more ...Option) *Collector {
	c, err := New(append(more, Property("pipelines.shop.from.files.paths", "["+dir+"/*.log]"))...)
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

func writeLog(b *testing.B, path string, records int) {
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	line := "2026-01-02T03:04:05.123456789Z stdout F " + strings.Repeat("x", 200) + "\n"
	block := strings.Repeat(line, 1024)
	for ; records > 0 && err == nil; records -= 1024 {
		_, err = file.WriteString(block[:len(line)*min(records, 1024)])
	}
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		b.Fatal(err)
	}
}
