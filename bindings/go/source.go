package ringtail

/*
#include <ringtail.h>
*/
import "C"

import (
	"strconv"
	"unsafe"
)

// Kind is what the value of an attribute is. Further ones may come.
type Kind uint32

const (
	// Text: the value is Attribute.Text.
	Text Kind = C.RINGTAIL_TYPE_TEXT
	// Int: the value is Attribute.Number.
	Int Kind = C.RINGTAIL_TYPE_INT
)

// Attribute is a named value of a file, as k8s.pod.name.
type Attribute struct {
	Name string
	// Kind says which of the two the value is; left out, it is the text.
	Kind   Kind
	Text   string
	Number int64
}

// Value is the value as a text.
func (a Attribute) Value() string {
	if a.Kind == Int {
		return strconv.FormatInt(a.Number, 10)
	}
	return a.Text
}

// Source is a file that records come from, with everything that is known once per file. It is ordinary Go memory, and never
// changes: with other attributes the file becomes another Source.
type Source struct {
	// ID is the same for the same file with the same attributes, in all batches of a collector, and never used again: by
	// it a program finds again what it made of the attributes.
	ID uint64
	// Path is the path that was matched.
	Path string
	// Attributes are all of them, log.file.path first.
	Attributes []Attribute
}

// Attribute is the value of the attribute of this name as a text; false when there is none.
func (s *Source) Attribute(name string) (string, bool) {
	for _, attribute := range s.Attributes {
		if attribute.Name == name {
			return attribute.Value(), true
		}
	}
	return "", false
}

// How many sources are remembered before those that have not been seen for as long are forgotten.
const sourcesRemembered = 16 << 10

// sourceCache is what was made of the sources of the batches before: two generations, so that files which are gone are
// forgotten without being looked for.
type sourceCache struct{ young, old map[uint64]*Source }

// of makes the sources of a view.
func (s *sourceCache) of(view *C.ringtail_batch_view_t) []*Source {
	sources := make([]*Source, view.source_count)
	for i := range sources {
		raw := (*C.ringtail_source_t)(unsafe.Add(unsafe.Pointer(view.sources), uintptr(i)*uintptr(view.source_stride)))
		sources[i] = s.get(raw, uintptr(view.attribute_stride))
	}
	return sources
}

func (s *sourceCache) get(raw *C.ringtail_source_t, stride uintptr) *Source {
	id := uint64(raw.id)
	if source := s.young[id]; source != nil {
		return source
	}
	source := s.old[id]
	if source == nil {
		source = newSource(raw, stride)
	}
	if s.young == nil || len(s.young) >= sourcesRemembered {
		s.young, s.old = make(map[uint64]*Source), s.young
	}
	s.young[id] = source
	return source
}

func newSource(raw *C.ringtail_source_t, stride uintptr) *Source {
	source := &Source{
		ID:         uint64(raw.id),
		Path:       text(raw.path, raw.path_len),
		Attributes: make([]Attribute, raw.attribute_count),
	}
	for i := range source.Attributes {
		attribute := (*C.ringtail_attribute_t)(unsafe.Add(unsafe.Pointer(raw.attributes), uintptr(i)*stride))
		source.Attributes[i] = Attribute{
			Name:   text(attribute.name, attribute.name_len),
			Kind:   Kind(attribute.kind),
			Text:   text(attribute.text, attribute.text_len),
			Number: int64(attribute.number),
		}
	}
	return source
}

// text copies a text of the library.
func text(at *C.char, size C.uint32_t) string {
	return string(unsafe.Slice((*byte)(unsafe.Pointer(at)), int(size)))
}
