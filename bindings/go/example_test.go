package ringtail_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"ringtail"
)

// logFile is a file as kubelet writes it.
func logFile() (dir, path string) {
	dir, err := os.MkdirTemp("", "ringtail")
	if err != nil {
		log.Fatal(err)
	}
	path = filepath.Join(dir, "0.log")
	text := "2026-01-02T03:04:05Z stdout F hello\n2026-01-02T03:04:06Z stderr F world\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		log.Fatal(err)
	}
	return dir, path
}

// A whole collection: configured, fetched, acknowledged, stopped.
func Example() {
	dir, path := logFile()
	defer os.RemoveAll(dir)
	collector, err := ringtail.New(ringtail.YAML("pipelines: {pods: {from: {files: {paths: [" + path + "]}}}}"))
	if err != nil {
		log.Fatal(err)
	}
	defer collector.Close()
	if err := collector.Start(); err != nil {
		log.Fatal(err)
	}
	// It ends with the collection, which is stopped here after the first batch.
	for batch, err := range collector.Batches(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		for record := range batch.Records() {
			fmt.Printf("%s %s %s\n", record.Time().Format(time.TimeOnly), record.Stream(), record.Body())
		}
		if err := batch.Ack(); err != nil {
			log.Fatal(err)
		}
		if err := collector.Stop(10 * time.Second); err != nil {
			log.Fatal(err)
		}
	}
	end, _ := collector.End()
	fmt.Println("all acknowledged:", end.AllAnswered)
	// Output:
	// 03:04:05 stdout hello
	// 03:04:06 stderr world
	// all acknowledged: true
}

// Records that are kept longer than their batch are copied.
func ExampleRecord_Clone() {
	dir, path := logFile()
	defer os.RemoveAll(dir)
	collector, err := ringtail.New(ringtail.Property("pipelines.pods.from.files.paths", "["+path+"]"))
	if err != nil {
		log.Fatal(err)
	}
	defer collector.Close()
	if err := collector.Start(); err != nil {
		log.Fatal(err)
	}
	batch, err := collector.Next(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	var kept []ringtail.Record
	for record := range batch.Records() {
		kept = append(kept, record.Clone())
	}
	batch.Release()
	fmt.Printf("%s\n", kept[1].Body())
	fmt.Println(collector.Ack(batch.Token()))
	// Output:
	// world
	// <nil>
}
