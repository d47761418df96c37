package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"ringtail"
)

// server refuses every third request, and remembers what it took.
type server struct {
	sync.Mutex
	requests int
	taken    map[string]int
}

func (s *server) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	s.Lock()
	defer s.Unlock()
	if s.requests++; s.requests%3 == 0 {
		http.Error(response, "not now", http.StatusServiceUnavailable)
		return
	}
	for lines := bufio.NewScanner(request.Body); lines.Scan(); {
		var record struct{ Message string }
		if err := json.Unmarshal(lines.Bytes(), &record); err != nil {
			http.Error(response, err.Error(), http.StatusBadRequest)
			return
		}
		s.taken[record.Message]++
	}
}

func (s *server) has() int {
	s.Lock()
	defer s.Unlock()
	return len(s.taken)
}

// Every record arrives, in spite of a server that refuses some; after a stop and a second start nothing comes twice that
// was acknowledged, and nothing is missing.
func TestEveryRecordArrivesAcrossARestart(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.log")
	took := &server{taken: make(map[string]int)}
	http := httptest.NewServer(took)
	defer http.Close()
	backend := os.Getenv("RINGTAIL_IO")
	if backend == "" {
		backend = "auto"
	}
	options := append(options(filepath.Join(dir, "data"), []string{dir + "/*.log"}),
		ringtail.Property("batch.max_records", "100"), ringtail.Property("batch.max_delay", "5ms"), ringtail.Property("io", backend))
	const each = 1000
	for life := range 2 {
		write(t, path, life*each, each)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- run(ctx, http.URL, options...) }()
		for end := time.Now().Add(time.Minute); took.has() < (life+1)*each; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("life %d: %d records after a minute", life, took.has())
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	for message, times := range took.taken {
		if times != 1 {
			t.Errorf("%s: %d times", message, times)
		}
	}
}

func write(t *testing.T, path string, from, count int) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for i := range count {
		if _, err := fmt.Fprintf(file, "2026-01-02T03:04:05Z stdout F message %d\n", from+i); err != nil {
			t.Fatal(err)
		}
	}
}
