package ringtail

/*
#include <ringtail.h>
*/
import "C"

import "unsafe"

// Option is a part of a configuration: a [Property], or a document in [YAML]. What is said later counts.
type Option struct{ key, text string }

// Property sets one key. It is that of the YAML configuration with points between its parts ("memory",
// "batch.max_delay", "pipelines.shop.from.files.paths"); the value is YAML ("64MiB", "[/var/log/app.log]").
func Property(key, value string) Option {
	if key == "" {
		// An empty key would be taken for a document; the library refuses this one.
		key = "."
	}
	return Option{key, value}
}

// YAML adds a document of the shape of the agent's configuration: `pipelines:`, `memory:`, but no outputs, since the program
// is the only one.
func YAML(text string) Option { return Option{"", text} }

// Check says whether a configuration can be used; the error names every mistake.
func Check(options ...Option) error {
	return withConfig(options, func(config *C.ringtail_config_t) error {
		var explanation *C.ringtail_error_t
		return failed(C.ringtail_config_check(config, &explanation), explanation)
	})
}

// withConfig makes the library's configuration for the time of a call.
func withConfig(options []Option, use func(*C.ringtail_config_t) error) error {
	if err := usable(); err != nil {
		return err
	}
	config := C.ringtail_config_new()
	if config == nil {
		return ErrPanic
	}
	defer C.ringtail_config_free(config)
	for _, option := range options {
		var explanation *C.ringtail_error_t
		var status C.ringtail_status_t
		text, textLen := chars(option.text)
		if option.key == "" {
			status = C.ringtail_config_load(config, text, textLen, &explanation)
		} else {
			key, keyLen := chars(option.key)
			status = C.ringtail_config_set(config, key, keyLen, text, textLen, &explanation)
		}
		if err := failed(status, explanation); err != nil {
			return err
		}
	}
	return use(config)
}

// chars is a string as C takes it: for the time of a call, since the library copies its arguments.
func chars(text string) (*C.char, C.size_t) {
	return (*C.char)(unsafe.Pointer(unsafe.StringData(text))), C.size_t(len(text))
}
