package ringtail

/*
#include <ringtail.h>
*/
import "C"

import (
	"runtime"
	"unsafe"
)

// AddFiles collects these files too, from now on: absolute paths, not globs, each followed with its rotated siblings. What
// is in them already is read from the beginning, or from where it was acknowledged before. pipeline is a name of the
// configuration, or "" for the only one. Many files are added by one call rather than by many. Errors: [ErrUnknown] (no
// such pipeline), [ErrConfig] (a path that is not absolute), [ErrState] (stopped); then none is added.
func (c *Collector) AddFiles(pipeline string, paths ...string) error {
	return c.call(func(handle *C.ringtail_collector_t) error {
		var pins runtime.Pinner
		defer pins.Unpin()
		var explanation *C.ringtail_error_t
		name, nameLen := chars(pipeline)
		list := texts(&pins, paths)
		status := C.ringtail_collector_add_files(
			handle, name, nameLen, unsafe.SliceData(list), C.size_t(len(list)), &explanation)
		return failed(status, explanation)
	})
}

// RemoveFiles collects these files no longer: those that [Collector.AddFiles] added, by the same paths. What was read of
// them is still delivered, and their positions are kept. Errors as AddFiles.
func (c *Collector) RemoveFiles(pipeline string, paths ...string) error {
	return c.call(func(handle *C.ringtail_collector_t) error {
		var pins runtime.Pinner
		defer pins.Unpin()
		var explanation *C.ringtail_error_t
		name, nameLen := chars(pipeline)
		list := texts(&pins, paths)
		status := C.ringtail_collector_remove_files(
			handle, name, nameLen, unsafe.SliceData(list), C.size_t(len(list)), &explanation)
		return failed(status, explanation)
	})
}

// SetAttributes gives attributes to the file that is matched as path: what the program knows about it. They stand in its
// [Source] in every batch that is fetched from now on, in place of ones of the same name, and replace what was given
// before; none takes them away. The file need not be there yet.
func (c *Collector) SetAttributes(path string, attributes ...Attribute) error {
	return c.call(func(handle *C.ringtail_collector_t) error {
		var pins runtime.Pinner
		defer pins.Unpin()
		name, nameLen := chars(path)
		list := rawAttributes(&pins, attributes)
		status := C.ringtail_collector_set_attributes(
			handle, name, nameLen, unsafe.SliceData(list), C.size_t(len(list)), C.sizeof_ringtail_attribute_t)
		return failed(status, nil)
	})
}

// texts is a table of strings for the time of a call. What the table points to is pinned; so the table may be Go's.
func texts(pins *runtime.Pinner, list []string) []C.ringtail_text_t {
	raw := make([]C.ringtail_text_t, len(list))
	for i, text := range list {
		raw[i] = C.ringtail_text_t{text: pinned(pins, text), len: C.size_t(len(text))}
	}
	return raw
}

// rawAttributes is a table of attributes, as texts.
func rawAttributes(pins *runtime.Pinner, list []Attribute) []C.ringtail_attribute_t {
	raw := make([]C.ringtail_attribute_t, len(list))
	for i, attribute := range list {
		raw[i] = C.ringtail_attribute_t{
			name:     pinned(pins, attribute.Name),
			name_len: C.uint32_t(len(attribute.Name)),
			kind:     C.uint32_t(attribute.Kind),
			number:   C.int64_t(attribute.Number),
		}
		if attribute.Kind == Text {
			raw[i].text, raw[i].text_len = pinned(pins, attribute.Text), C.uint32_t(len(attribute.Text))
		}
	}
	return raw
}

func pinned(pins *runtime.Pinner, text string) *C.char {
	if text == "" {
		return nil
	}
	data := unsafe.StringData(text)
	pins.Pin(data)
	return (*C.char)(unsafe.Pointer(data))
}
