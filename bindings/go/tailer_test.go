package ringtail

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

var now = time.Unix(1700000000, 0)

// The same text in reads of every size gives the same records: partial state, and half lines, are carried between them.
func TestParserCarriesWhatIsNotWhole(t *testing.T) {
	text := "2026-01-02T03:04:05Z stdout P begun and \n" +
		"2026-01-02T03:04:06Z stderr F between\n" +
		"2026-01-02T03:04:07Z stdout F ended\n" +
		"not CRI\n"
	for size := 1; size <= len(text); size++ {
		p, err := NewParser(ParserOptions{Input: CRI})
		if err != nil {
			t.Fatal(err)
		}
		var bodies []string
		var last Parsed
		malformed := uint64(0)
		for left := text; left != ""; {
			n := copy(p.Buffer(min(size, len(left))), left)
			if last, err = p.Parse(n, now); err != nil {
				t.Fatal(err)
			}
			for record := range last.Records() {
				bodies = append(bodies, string(record.Body()))
			}
			malformed += last.MalformedLines
			left = left[n:]
		}
		if !reflect.DeepEqual(bodies, []string{"between", "begun and ended", "not CRI"}) || malformed != 1 ||
			last.ResumeOffset != uint64(len(text)) || last.Format != CRI {
			t.Errorf("reads of %d: %q, %+v", size, bodies, last)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// More records than there was room for come all the same; what a raw file ends with comes when it is not waited for.
func TestParserGrowsAndFlushes(t *testing.T) {
	p, err := NewParser(ParserOptions{Input: Raw})
	if err != nil {
		t.Fatal(err)
	}
	const lines = 5 * recordsFirst
	var text strings.Builder
	for i := range lines {
		fmt.Fprintln(&text, i)
	}
	text.WriteString("without end")
	parsed, err := p.Parse(copy(p.Buffer(text.Len()), text.String()), now)
	if err != nil || parsed.Len() != lines {
		t.Fatalf("%d records, %v", parsed.Len(), err)
	}
	i := 0
	for record := range parsed.Records() {
		if string(record.Body()) != fmt.Sprint(i) || record.TimeNs() != now.UnixNano() || record.Source() != nil {
			t.Fatalf("record %d: %q", i, record.Body())
		}
		i++
	}
	parsed, err = p.Flush(FlushTimeout, now)
	if err != nil || parsed.Len() != 1 {
		t.Fatalf("%d records, %v", parsed.Len(), err)
	}
	for record := range parsed.Records() {
		if kept := record.Clone(); string(kept.Body()) != "without end" || kept.Flags() != Partial {
			t.Errorf("%q", kept.Body())
		}
	}
	if _, err := p.Parse(1<<30, now); err != ErrInvalid {
		t.Errorf("more than there is: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	_, parseErr := p.Parse(0, now)
	_, flushErr := p.Flush(FlushEnd, now)
	for _, err := range []error{p.Close(), parseErr, flushErr} {
		if err != ErrClosed {
			t.Errorf("after Close: %v", err)
		}
	}
	if p.Buffer(1) != nil {
		t.Error("a buffer of a closed parser")
	}
	if _, err := NewParser(ParserOptions{Input: 99}); !errors.Is(err, ErrInvalid) {
		t.Errorf("%v", err)
	}
}

func TestEncoderOfABatchAndOfParsedRecords(t *testing.T) {
	s := newScene(t)
	s.write(s.log, "hello")
	c := s.start()
	e, err := NewEncoder(EncoderOptions{Compression: Gzip, Attributes: []string{"team", "replica"}})
	s.must(err)
	s.must(c.SetAttributes(s.log, Attribute{Name: "team", Text: "shop"}))
	batch := s.next(c)
	encoded, err := e.Encode(batch)
	s.must(err)
	s.must(batch.Ack())
	expected := `{"time":"2026-01-02T03:04:05.123456789Z","stream":"stdout","message":"hello","team":"shop"}` + "\n"
	if text := unzip(s, encoded); text != expected {
		t.Errorf("%s", text)
	}
	if _, err := e.Encode(batch); err != ErrClosed {
		t.Errorf("a batch that was given back: %v", err)
	}

	p, err := NewParser(ParserOptions{})
	s.must(err)
	defer p.Close()
	parsed, err := p.Parse(copy(p.Buffer(100), "2026-01-02T03:04:05Z stderr F \xffoops\n"), now)
	s.must(err)
	encoded, err = e.EncodeParsed(parsed, "/a", Attribute{Name: "replica", Kind: Int, Number: 3})
	s.must(err)
	expected = `{"time":"2026-01-02T03:04:05Z","stream":"stderr","message":"` + "\uFFFD" + `oops","replica":3}` + "\n"
	if text := unzip(s, encoded); text != expected || encoded.ReplacedUTF8 != 1 {
		t.Errorf("%s %+v", text, encoded)
	}
	s.must(e.Close())
	if _, err := e.EncodeParsed(parsed, "/a"); err != ErrClosed || e.Close() != ErrClosed {
		t.Errorf("after Close: %v", err)
	}
	if _, err := NewEncoder(EncoderOptions{Compression: 9}); !errors.Is(err, ErrInvalid) {
		t.Errorf("%v", err)
	}
}

func unzip(s scene, encoded Encoded) string {
	reader, err := gzip.NewReader(bytes.NewReader(encoded.Data))
	s.must(err)
	text, err := io.ReadAll(reader)
	s.must(err)
	if uint64(len(text)) != encoded.EncodedBytes {
		s.Errorf("%d bytes, not %d", len(text), encoded.EncodedBytes)
	}
	return string(text)
}
