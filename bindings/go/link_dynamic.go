//go:build ringtail_dynamic

package ringtail

/*
#cgo pkg-config: ringtail
*/
import "C"
