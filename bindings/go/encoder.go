package ringtail

/*
#include <ringtail.h>
*/
import "C"

import (
	"runtime"
	"strings"
	"unsafe"
)

// Format is a wire format.
type Format uint32

const (
	// NDJSON: one JSON object a line, flat, as the agent's outputs write it.
	NDJSON Format = C.RINGTAIL_FORMAT_NDJSON
	// Messages: the messages only, byte for byte, each with a newline.
	Messages Format = C.RINGTAIL_FORMAT_TEXT
)

// Compression is what a payload is compressed with: one whole frame.
type Compression uint32

const (
	Uncompressed Compression = C.RINGTAIL_COMPRESSION_NONE
	Zstd         Compression = C.RINGTAIL_COMPRESSION_ZSTD
	LZ4          Compression = C.RINGTAIL_COMPRESSION_LZ4
	Gzip         Compression = C.RINGTAIL_COMPRESSION_GZIP
)

// EncoderOptions say how records are encoded. Zeros are defaults.
type EncoderOptions struct {
	Format      Format
	Compression Compression
	// Attributes of a source that go out: names, or prefixes as "k8s.*". None said: all of them.
	Attributes []string
}

// Encoder turns batches into payloads, in a buffer of the library. For one goroutine at a time.
type Encoder struct{ handle *C.ringtail_encoder_t }

// NewEncoder makes an encoder. It is to be closed. Errors: [ErrInvalid].
func NewEncoder(options EncoderOptions) (*Encoder, error) {
	if err := usable(); err != nil {
		return nil, err
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	attributes := strings.Join(options.Attributes, ",")
	raw := C.ringtail_encoder_options_t{
		struct_size:    C.sizeof_ringtail_encoder_options_t,
		format:         C.uint32_t(options.Format),
		compression:    C.uint32_t(options.Compression),
		attributes:     pinned(&pins, attributes),
		attributes_len: C.uint32_t(len(attributes)),
	}
	e := new(Encoder)
	if err := failed(C.ringtail_encoder_new(&raw, &e.handle), nil); err != nil {
		return nil, err
	}
	return e, nil
}

// Encoded is a payload.
type Encoded struct {
	// Data is the payload, in the library's memory: valid until the encoder's next call.
	Data []byte
	// EncodedBytes is the length before compression.
	EncodedBytes uint64
	// ReplacedUTF8 counts the records in which bytes that are not UTF-8 were replaced by U+FFFD.
	ReplacedUTF8 uint64
}

// Encode encodes a batch, which may be given back at once. Errors: [ErrClosed] when it was given back before, or the encoder
// is closed.
func (e *Encoder) Encode(batch *Batch) (Encoded, error) {
	if batch.isBack.Load() {
		return Encoded{}, ErrClosed
	}
	// Apart from the batch, which has Go's pointers beside it.
	view := batch.view
	return e.encode(&view)
}

// EncodeParsed encodes what a [Parser] made of a file with these attributes.
func (e *Encoder) EncodeParsed(parsed Parsed, path string, attributes ...Attribute) (Encoded, error) {
	var pins runtime.Pinner
	defer pins.Unpin()
	list := rawAttributes(&pins, attributes)
	source := &C.ringtail_source_t{
		path:            pinned(&pins, path),
		path_len:        C.uint32_t(len(path)),
		attribute_count: C.uint32_t(len(list)),
	}
	if len(list) > 0 {
		source.attributes = &list[0]
		pins.Pin(source.attributes)
	}
	pins.Pin(source)
	return e.encode(&C.ringtail_batch_view_t{
		struct_size:      C.sizeof_ringtail_batch_view_t,
		records:          unsafe.SliceData(parsed.table),
		record_count:     C.uint32_t(len(parsed.table)),
		record_stride:    C.sizeof_ringtail_record_t,
		sources:          source,
		source_count:     1,
		source_stride:    C.sizeof_ringtail_source_t,
		attribute_stride: C.sizeof_ringtail_attribute_t,
	})
}

func (e *Encoder) encode(view *C.ringtail_batch_view_t) (Encoded, error) {
	if e.handle == nil {
		return Encoded{}, ErrClosed
	}
	raw := C.ringtail_encoded_t{struct_size: C.sizeof_ringtail_encoded_t}
	if err := failed(C.ringtail_encoder_encode(e.handle, view, &raw), nil); err != nil {
		return Encoded{}, err
	}
	return Encoded{
		Data:         unsafe.Slice((*byte)(raw.data), int(raw.len)),
		EncodedBytes: uint64(raw.encoded_bytes),
		ReplacedUTF8: uint64(raw.replaced_utf8),
	}, nil
}

// Close frees the encoder and its last payload. The second time it returns [ErrClosed].
func (e *Encoder) Close() error {
	if e.handle == nil {
		return ErrClosed
	}
	C.ringtail_encoder_free(e.handle)
	e.handle = nil
	return nil
}
