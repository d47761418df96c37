package ringtail

/*
#include <stdlib.h>
#include <ringtail.h>
*/
import "C"

import (
	"iter"
	"time"
	"unsafe"
)

// Input is the format of a file.
type Input uint32

const (
	// Auto: the first whole line tells.
	Auto       Input = C.RINGTAIL_INPUT_AUTO
	CRI        Input = C.RINGTAIL_INPUT_CRI
	DockerJSON Input = C.RINGTAIL_INPUT_DOCKER_JSON
	// Raw: a line is a record.
	Raw Input = C.RINGTAIL_INPUT_RAW
)

// Flush says why what is not whole is not waited for any longer.
type Flush uint32

const (
	// FlushTimeout: no more came for a while.
	FlushTimeout Flush = C.RINGTAIL_FLUSH_TIMEOUT
	// FlushEnd: the file ends here.
	FlushEnd Flush = C.RINGTAIL_FLUSH_END
)

// ParserOptions say how a file is parsed. Zeros are defaults.
type ParserOptions struct {
	Input Input
	// MaxLine is the longest line in bytes: 1 MiB, at most 8 MiB.
	MaxLine uint64
	// MaxRecord is the longest record, joined from its parts, in bytes: 4 MiB, at most 8 MiB.
	MaxRecord uint64
}

// Parser parses one file, for programs that have a tailer of their own: it splits lines, decodes them, and joins partial records
// across reads. For one goroutine at a time.
//
//	n, err := file.Read(parser.Buffer(64 << 10))
//	parsed, err := parser.Parse(n, time.Now())
//	for record := range parsed.Records() { ... }
type Parser struct {
	handle *C.ringtail_parser_t
	// In C's memory, since the library's records point into it. buffer[from:to] is what is not parsed yet: a line without its
	// end.
	buffer   []byte
	from, to int
	table    []C.ringtail_record_t
}

// recordsFirst is how many records there is room for at first.
const recordsFirst = 1024

// NewParser makes a parser. It is to be closed.
func NewParser(options ParserOptions) (*Parser, error) {
	if err := usable(); err != nil {
		return nil, err
	}
	raw := C.ringtail_parser_options_t{
		struct_size: C.sizeof_ringtail_parser_options_t,
		input:       C.uint32_t(options.Input),
		max_line:    C.uint64_t(options.MaxLine),
		max_record:  C.uint64_t(options.MaxRecord),
	}
	p := new(Parser)
	if err := failed(C.ringtail_parser_new(&raw, &p.handle), nil); err != nil {
		return nil, err
	}
	p.table = unsafe.Slice((*C.ringtail_record_t)(C.calloc(recordsFirst, C.sizeof_ringtail_record_t)), recordsFirst)
	return p, nil
}

// Buffer is room for the next n bytes of the file, behind what is not parsed yet; nil once the parser is closed. Records of
// the call before are dead.
func (p *Parser) Buffer(n int) []byte {
	if p.handle == nil {
		return nil
	}
	rest := p.buffer[p.from:p.to]
	if len(p.buffer)-len(rest) < n {
		size := max(2*len(p.buffer), len(rest)+n)
		grown := unsafe.Slice((*byte)(C.malloc(C.size_t(size))), size)
		copy(grown, rest)
		C.free(unsafe.Pointer(unsafe.SliceData(p.buffer)))
		p.buffer = grown
	} else {
		copy(p.buffer, rest)
	}
	p.from, p.to = 0, len(rest)
	return p.buffer[p.to : p.to+n]
}

// Parse parses the first n bytes of the last [Parser.Buffer], behind what was left before. now is the time of lines that
// have none. Errors: [ErrMemory] (give the file again from the last ResumeOffset on, to a new parser), [ErrInvalid] where
// the buffer has no n bytes, [ErrClosed].
func (p *Parser) Parse(n int, now time.Time) (Parsed, error) {
	if p.handle == nil {
		return Parsed{}, ErrClosed
	}
	if n < 0 || n > len(p.buffer)-p.to {
		return Parsed{}, ErrInvalid
	}
	p.to += n
	return p.collect(func(parsed *C.ringtail_parsed_t) C.ringtail_status_t {
		rest := p.buffer[p.from:p.to]
		return C.ringtail_parser_parse(p.handle, (*C.uint8_t)(unsafe.SliceData(rest)), C.size_t(len(rest)),
			C.int64_t(now.UnixNano()), unsafe.SliceData(p.table), C.size_t(len(p.table)), parsed)
	})
}

// Flush delivers what is not whole, because it is not waited for any longer. Half a CRI or docker line never becomes a
// record.
func (p *Parser) Flush(why Flush, now time.Time) (Parsed, error) {
	if p.handle == nil {
		return Parsed{}, ErrClosed
	}
	return p.collect(func(parsed *C.ringtail_parsed_t) C.ringtail_status_t {
		rest := p.buffer[p.from:p.to]
		return C.ringtail_parser_flush(p.handle, (*C.uint8_t)(unsafe.SliceData(rest)), C.size_t(len(rest)),
			C.int64_t(now.UnixNano()), C.uint32_t(why), unsafe.SliceData(p.table), C.size_t(len(p.table)), parsed)
	})
}

// collect makes a call and gets the records that did not fit, into a larger table.
func (p *Parser) collect(call func(*C.ringtail_parsed_t) C.ringtail_status_t) (Parsed, error) {
	raw := C.ringtail_parsed_t{struct_size: C.sizeof_ringtail_parsed_t}
	status := call(&raw)
	if err := failed(status, nil); err != nil {
		return Parsed{}, err
	}
	count := int(raw.record_count)
	parsed := Parsed{MalformedLines: uint64(raw.malformed_lines), LostBytes: uint64(raw.lost_bytes)}
	p.from += int(raw.consumed)
	for status == C.RINGTAIL_AGAIN {
		size := 2 * len(p.table)
		table := C.realloc(unsafe.Pointer(unsafe.SliceData(p.table)), C.size_t(size)*C.sizeof_ringtail_record_t)
		p.table = unsafe.Slice((*C.ringtail_record_t)(table), size)
		status = C.ringtail_parser_more(p.handle, &p.table[count], C.size_t(size-count), &raw)
		if err := failed(status, nil); err != nil {
			return Parsed{}, err
		}
		count += int(raw.record_count)
		parsed.MalformedLines += uint64(raw.malformed_lines)
		parsed.LostBytes += uint64(raw.lost_bytes)
	}
	parsed.Format, parsed.ResumeOffset = Input(raw.format), uint64(raw.resume_offset)
	parsed.table = p.table[:count]
	return parsed, nil
}

// Close frees the parser; records that it made are dead. The second time it returns [ErrClosed].
func (p *Parser) Close() error {
	if p.handle == nil {
		return ErrClosed
	}
	C.ringtail_parser_free(p.handle)
	C.free(unsafe.Pointer(unsafe.SliceData(p.buffer)))
	C.free(unsafe.Pointer(unsafe.SliceData(p.table)))
	*p = Parser{}
	return nil
}

// Parsed is what a call to a [Parser] made. Its records are valid until the parser's next call.
type Parsed struct {
	// Format is Auto as long as it is not known.
	Format Input
	// ResumeOffset is how many bytes of the file, from the parser's first one on, are done with for good: whoever begins
	// again with a new parser begins here.
	ResumeOffset uint64
	// MalformedLines are not in the format of the file.
	MalformedLines uint64
	// LostBytes were cut off by MaxLine and MaxRecord.
	LostBytes uint64
	table     []C.ringtail_record_t
}

// Len is the number of records.
func (p Parsed) Len() int { return len(p.table) }

// Records goes through the records, in order. They have no Source.
func (p Parsed) Records() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for i := range p.table {
			if !yield(Record{&p.table[i], nil}) {
				return
			}
		}
	}
}
