package ringtail

/*
#include <ringtail.h>
*/
import "C"

import (
	"sync"
	"unsafe"
)

// statNames are the names of the library's figures, in the order of their values.
var statNames = sync.OnceValue(func() []string {
	var names []string
	for {
		name := C.ringtail_stat_name(C.uint32_t(len(names)))
		if name == nil {
			return names
		}
		names = append(names, C.GoString(name))
	}
})

// Stats are the figures of the collection by name: "read_bytes", "records", "lost_bytes.truncated", "lag_bytes",
// "held_batches" and others. A name keeps its meaning; further ones may come.
func (c *Collector) Stats() (map[string]uint64, error) {
	names := statNames()
	values := make([]C.uint64_t, len(names))
	err := c.call(func(handle *C.ringtail_collector_t) error {
		return failed(C.ringtail_collector_stats(handle, unsafe.SliceData(values), C.size_t(len(values))), nil)
	})
	if err != nil {
		return nil, err
	}
	stats := make(map[string]uint64, len(names))
	for i, name := range names {
		stats[name] = uint64(values[i])
	}
	return stats, nil
}
