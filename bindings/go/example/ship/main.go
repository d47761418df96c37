// Ship follows log files and posts their records to an HTTP server, a batch a request, one JSON object a line. A batch is
// acknowledged when the server took it; one that it did not take is sent again, also after a restart.
//
//	ship -data /var/lib/ship -to http://logs.example.com/ingest '/var/log/pods/*/*/*.log'
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"ringtail"
)

func main() {
	data := flag.String("data", "", "where positions are kept; nowhere, if nothing is said")
	to := flag.String("to", "", "the address to post to")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *to, options(*data, flag.Args())...); err != nil {
		log.Fatal(err)
	}
}

func options(data string, patterns []string) []ringtail.Option {
	// JSON is YAML too.
	list, _ := json.Marshal(patterns)
	options := []ringtail.Option{ringtail.Property("pipelines.logs.from.files.paths", string(list))}
	if data != "" {
		options = append(options, ringtail.Property("data_dir", data))
	}
	return options
}

// run ships until ctx is done, and then what was read by then.
func run(ctx context.Context, to string, options ...ringtail.Option) error {
	collector, err := ringtail.New(options...)
	if err != nil {
		return err
	}
	defer collector.Close()
	if err := collector.Start(); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { collector.Stop(30 * time.Second) })()
	var payload bytes.Buffer
	// Not with ctx: after it is done there is still the rest to fetch, up to the end.
	for batch, err := range collector.Batches(context.Background()) {
		if err != nil {
			return err
		}
		payload.Reset()
		encode(&payload, batch)
		token := batch.Token()
		// The payload has all of it: the memory can go back while the server is waited for.
		batch.Release()
		if err := deliver(ctx, to, payload.Bytes()); err != nil {
			return err
		}
		if err := collector.Ack(token); err != nil {
			return err
		}
	}
	return nil
}

// deliver posts until the server takes it. It gives up only when ctx is done: then the batch comes again after a restart.
func deliver(ctx context.Context, to string, payload []byte) error {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		err := post(ctx, to, payload)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// encode copies what is needed out of the batch, which can go back then.
func encode(payload *bytes.Buffer, batch *ringtail.Batch) {
	lines := json.NewEncoder(payload)
	for record := range batch.Records() {
		lines.Encode(map[string]string{
			"time":    record.Time().Format(time.RFC3339Nano),
			"stream":  record.Stream().String(),
			"message": strings.ToValidUTF8(string(record.Body()), "\uFFFD"),
			"path":    record.Source().Path,
		})
	}
}

func post(ctx context.Context, to string, payload []byte) error {
	// What is under way when ctx is done may still arrive.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(payload))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-ndjson")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	io.Copy(io.Discard, response.Body)
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s", response.Status)
	}
	return nil
}
