//go:build !ringtail_dynamic

package ringtail

// The archive and its header are made by `make go-library`, for the system that it runs on.

//go:generate ../../scripts/go-library

/*
#cgo CFLAGS: -I${SRCDIR}/lib/include
#cgo linux,amd64 LDFLAGS: -L${SRCDIR}/lib/linux_amd64
#cgo linux,arm64 LDFLAGS: -L${SRCDIR}/lib/linux_arm64
#cgo LDFLAGS: -l:libringtail.a -lgcc_s -lpthread -ldl -lm
*/
import "C"
