/*
 * libringtail: a container-log collection core for programs that embed it. Guide: ffi/README.md.
 *
 * Generated from ffi/src by cbindgen: BLESS=1 cargo test -p ringtail-ffi --test header. Do not edit.
 *
 * What holds everywhere:
 *  - A text or a buffer is a pointer and a length. A length of 0 makes the pointer meaningless. Arguments are copied.
 *  - What a call hands out is written only on success (and `err` only on failure).
 *  - `const ringtail_x_t *`: from any thread, concurrently. `ringtail_x_t *`: from any thread, one at a time; otherwise
 *    RINGTAIL_EBUSY. No thread has to be the one that made the handle.
 *  - A handle that is NULL, of another type, or freed gives RINGTAIL_EINVAL. In the child of a fork a handle that was made
 *    before gives RINGTAIL_EFORKED.
 *  - No call unwinds or aborts: a defect of the library gives RINGTAIL_EPANIC.
 *  - The library reads no environment variable, handles no signal, writes to no standard stream, raises no limit of the
 *    process, and starts no thread before ringtail_collector_start.
 *  - Memory of the library is given back to the library, by the _free function of its type, and never to free().
 */


#ifndef RINGTAIL_H
#define RINGTAIL_H

#include <stddef.h>
#include <stdint.h>

/* A literal as a pointer and a length: ringtail_config_set(config, RINGTAIL_STR("memory"), RINGTAIL_STR("64MiB"), &err). */
#define RINGTAIL_STR(literal) (literal), (sizeof(literal) - 1)

/* For structures that say their size: ringtail_batch_view_t view = RINGTAIL_INIT(ringtail_batch_view_t). */
#ifdef __cplusplus
#define RINGTAIL_INIT(type) ringtail_init<type>()
template <typename T> inline T ringtail_init() noexcept {
    T value = T();
    value.struct_size = static_cast<uint32_t>(sizeof(T));
    return value;
}
#else
#define RINGTAIL_INIT(type) {.struct_size = (uint32_t)sizeof(type)}
#endif

/* The number behind `libringtail.so.`: programs built for another one cannot use this library. */
#define RINGTAIL_ABI_VERSION 1

/* Grows with every release that adds to the ABI; nothing is ever taken away under one `RINGTAIL_ABI_VERSION`. */
#define RINGTAIL_API_LEVEL 1

/* The release that this header belongs to. */
#define RINGTAIL_VERSION_MAJOR 0

/* See `RINGTAIL_VERSION_MAJOR`. */
#define RINGTAIL_VERSION_MINOR 1

/* See `RINGTAIL_VERSION_MAJOR`. */
#define RINGTAIL_VERSION_PATCH 0

/* A record that has no stream: a raw line, or one whose stream could not be told. */
#define RINGTAIL_STREAM_NONE 0

/* Standard output. */
#define RINGTAIL_STREAM_STDOUT 1

/* Standard error. */
#define RINGTAIL_STREAM_STDERR 2

/* Cut at `max_line` or `max_record`. */
#define RINGTAIL_FLAG_TRUNCATED 1

/* Not in the format of its file; the body is the line as it was found. */
#define RINGTAIL_FLAG_MALFORMED 2

/* Delivered before its end was seen. */
#define RINGTAIL_FLAG_PARTIAL 4

/* The value of an attribute is text. */
#define RINGTAIL_TYPE_TEXT 0

/* The value of an attribute is a whole number. */
#define RINGTAIL_TYPE_INT 1

/* The batch holds records of log files. */
#define RINGTAIL_BATCH_RECORDS 1

/* `ringtail_collector_wait` waits as long as it takes. */
#define RINGTAIL_FOREVER UINT32_MAX

/* The first whole line tells the format. */
#define RINGTAIL_INPUT_AUTO 0

/* The files of kubelet, written by containerd and CRI-O. */
#define RINGTAIL_INPUT_CRI 1

/* The files of docker's json-file driver. */
#define RINGTAIL_INPUT_DOCKER_JSON 2

/* A line is a record. */
#define RINGTAIL_INPUT_RAW 3

/* No more came for a while: a raw line without its newline, and open partials, are delivered as they are. */
#define RINGTAIL_FLUSH_TIMEOUT 1

/* The file ends here. */
#define RINGTAIL_FLUSH_END 2

/* One JSON object a line, flat, as the agent's outputs write it. */
#define RINGTAIL_FORMAT_NDJSON 0

/* The messages only, byte for byte, each with a newline. */
#define RINGTAIL_FORMAT_TEXT 1

/* As it is. */
#define RINGTAIL_COMPRESSION_NONE 0

/* One zstd frame, level 1. */
#define RINGTAIL_COMPRESSION_ZSTD 1

/* One lz4 frame. */
#define RINGTAIL_COMPRESSION_LZ4 2

/* One gzip member. */
#define RINGTAIL_COMPRESSION_GZIP 3

/* A handle on a batch that the host holds. */
typedef struct ringtail_batch_t ringtail_batch_t;

/* A collection: files that are followed, batches that are fetched, positions that move with what is acknowledged. */
typedef struct ringtail_collector_t ringtail_collector_t;

/* A configuration in the making. */
typedef struct ringtail_config_t ringtail_config_t;

/* An encoder with its compressor and its buffer. */
typedef struct ringtail_encoder_t ringtail_encoder_t;

/* Why a call failed. */
typedef struct ringtail_error_t ringtail_error_t;

/* The open records of one file, one a stream at most. */
typedef struct ringtail_joiner_t ringtail_joiner_t;

/* The state of parsing one file, between its buffers. */
typedef struct ringtail_parser_t ringtail_parser_t;

/*
 * Zero: done. Positive: no error, but not done either. Negative: an error, in blocks of a hundred by area. A program
 * must expect numbers that it does not know: new ones may be added, none is ever used for something else.
 */
typedef int32_t ringtail_status_t;

/* One record. Its bytes are not copied: they stay where they were read, until the batch is given back. */
typedef struct ringtail_record_t {
    /* The message: any bytes, not ended by a zero. */
    const uint8_t *body;
    /* Nanoseconds since 1970-01-01T00:00:00Z: the container runtime's time, for raw files the time of reading. */
    int64_t time_ns;
    /* The length of the message in bytes. */
    uint32_t body_len;
    /* The number of the file in the view's `sources`. */
    uint32_t source;
    /* The number of its first field in the view's `fields`. */
    uint32_t field_begin;
    /* How many fields parsing steps found in it: none in this version. */
    uint16_t field_count;
    /* `RINGTAIL_STREAM_*`. */
    uint8_t stream;
    /* `RINGTAIL_FLAG_*`, or-ed; further ones may come. */
    uint8_t flags;
} ringtail_record_t;

/* A named value: an attribute of a file (`k8s.pod.name`), or a field of a record. */
typedef struct ringtail_attribute_t {
    /* The name: UTF-8, not ended by a zero. */
    const char *name;
    /* The value of `RINGTAIL_TYPE_TEXT`: UTF-8, not ended by a zero; else NULL. */
    const char *text;
    /* The value of `RINGTAIL_TYPE_INT`; else 0. */
    int64_t number;
    /* The length of the name in bytes. */
    uint32_t name_len;
    /* The length of the text in bytes. */
    uint32_t text_len;
    /* `RINGTAIL_TYPE_*`; further ones may come. */
    uint32_t kind;
    /* 0. */
    uint32_t reserved;
} ringtail_attribute_t;

/* A file that records come from, with everything that is known once per file. */
typedef struct ringtail_source_t {
    /*
     * The same for the same file with the same attributes, in all batches of a collector, and never used again: by it
     * a host finds again what it made of the attributes.
     */
    uint64_t id;
    /* The path that was matched (the value of `log.file.path`): UTF-8, not ended by a zero. */
    const char *path;
    /* All attributes, `log.file.path` first; stepped by the view's `attribute_stride`. */
    const struct ringtail_attribute_t *attributes;
    /* The length of the path in bytes. */
    uint32_t path_len;
    /* How many attributes there are. */
    uint32_t attribute_count;
} ringtail_source_t;

/*
 * A batch, as `ringtail_collector_next` shows it. Every pointer is valid until the batch is given back.
 *
 * Set `struct_size` to `sizeof(ringtail_batch_view_t)` before the call (`RINGTAIL_INIT`). Records are stepped by
 * `record_stride`, which a later library may enlarge; likewise the other tables.
 */
typedef struct ringtail_batch_view_t {
    /* In: the size of this structure as the program knows it. */
    uint32_t struct_size;
    /* `RINGTAIL_BATCH_*`; a host gives back and acknowledges what it does not know. */
    uint32_t kind;
    /* The handle by which it is given back: to `ringtail_collector_next` or `ringtail_batch_free`. */
    struct ringtail_batch_t *batch;
    /* What `ringtail_collector_ack` takes, also after the batch was given back. */
    uint64_t token;
    /* The records, in order. */
    const struct ringtail_record_t *records;
    /* How many there are. */
    uint32_t record_count;
    /* Bytes from one record to the next. */
    uint32_t record_stride;
    /* The files that records name by number. */
    const struct ringtail_source_t *sources;
    /* How many there are. */
    uint32_t source_count;
    /* Bytes from one to the next. */
    uint32_t source_stride;
    /* The fields that records name by number; none in this version. */
    const struct ringtail_attribute_t *fields;
    /* How many there are. */
    uint32_t field_count;
    /* Bytes from one field to the next. */
    uint32_t field_stride;
    /* Bytes from one attribute of a source to the next. */
    uint32_t attribute_stride;
    /* The length of the pipeline's name in bytes. */
    uint32_t pipeline_len;
    /* The name of the pipeline that the records belong to: not ended by a zero. */
    const char *pipeline;
    /* The sum of the lengths of all messages. */
    uint64_t body_bytes;
} ringtail_batch_view_t;

/* How a collection ended. */
typedef struct ringtail_end_t {
    /* In: the size of this structure as the program knows it. */
    uint32_t struct_size;
    /*
     * 1: everything that was read was acknowledged before the deadline, and nothing comes again. 0: what was not
     * comes again.
     */
    uint32_t all_answered;
    /* 1: all positions are on disk, or none are kept. */
    uint32_t positions_kept;
    /* 0. */
    uint32_t reserved;
} ringtail_end_t;

/* A text with its length. */
typedef struct ringtail_text_t {
    /* UTF-8, not ended by a zero. */
    const char *text;
    /* Its length in bytes. */
    size_t len;
} ringtail_text_t;

/* How a file is parsed. Zeros are defaults. */
typedef struct ringtail_parser_options_t {
    /* In: the size of this structure as the program knows it. */
    uint32_t struct_size;
    /* `RINGTAIL_INPUT_*`. */
    uint32_t input;
    /* The longest line in bytes; 0: 1 MiB. At most 8 MiB. */
    uint64_t max_line;
    /* The longest record, joined from its parts, in bytes; 0: 4 MiB. At most 8 MiB. */
    uint64_t max_record;
} ringtail_parser_options_t;

/* What a call to a parser did. */
typedef struct ringtail_parsed_t {
    /* In: the size of this structure as the program knows it. */
    uint32_t struct_size;
    /* The format: `RINGTAIL_INPUT_AUTO` as long as it is not known. */
    uint32_t format;
    /* Records written. */
    size_t record_count;
    /*
     * Bytes of the buffer that are done with. The rest, a line without its end, belongs in front of the next bytes.
     */
    size_t consumed;
    /*
     * How many bytes of the file, from the parser's first one on, are done with for good: whoever begins again with a
     * new parser begins here, where no record is open.
     */
    uint64_t resume_offset;
    /* Lines that are not in the format of the file. */
    uint64_t malformed_lines;
    /* Bytes that `max_line` and `max_record` cut off. */
    uint64_t lost_bytes;
} ringtail_parsed_t;

/* How records are encoded. Zeros are defaults. */
typedef struct ringtail_encoder_options_t {
    /* In: the size of this structure as the program knows it. */
    uint32_t struct_size;
    /* `RINGTAIL_FORMAT_*`. */
    uint32_t format;
    /* `RINGTAIL_COMPRESSION_*`. */
    uint32_t compression;
    /* The length of `attributes` in bytes. */
    uint32_t attributes_len;
    /* Which attributes of a source go out: names or prefixes as `k8s.*`, separated by commas. NULL: all of them. */
    const char *attributes;
} ringtail_encoder_options_t;

/* A payload. */
typedef struct ringtail_encoded_t {
    /* In: the size of this structure as the program knows it. */
    uint32_t struct_size;
    /* 0. */
    uint32_t reserved;
    /* The payload, in a buffer of the encoder. */
    const uint8_t *data;
    /* Its length in bytes. */
    size_t len;
    /* The length before compression. */
    uint64_t encoded_bytes;
    /* Records in which bytes that are not UTF-8 were replaced by U+FFFD. */
    uint64_t replaced_utf8;
} ringtail_encoded_t;

/* Done. */
#define RINGTAIL_OK 0

/* Nothing now; ask again when the event descriptor is readable. Of a parser: there are more records than fitted. */
#define RINGTAIL_AGAIN 1

/* The collection has ended, and nothing comes any more. */
#define RINGTAIL_END 2

/*
 * An argument is not legal: NULL where something must be, a handle that is none or was freed, a wrong structure size.
 */
#define RINGTAIL_EINVAL -101

/* Another thread is inside a call on this handle that only one may make at a time. */
#define RINGTAIL_EBUSY -102

/* The handle was made before a fork, and this is the child: it can only be freed here. */
#define RINGTAIL_EFORKED -103

/* A structure holds something in fields that this version does not know. */
#define RINGTAIL_E2BIG -104

/* Not at this point of the handle's life: before the start, started twice, or after the stop. */
#define RINGTAIL_ESTATE -105

/* No such token, pipeline or file. */
#define RINGTAIL_EUNKNOWN -106

/* The configuration is wrong; the error's message names each mistake with its place and what to write instead. */
#define RINGTAIL_ECONFIG -201

/* The kernel refuses what is needed: the I/O backend that was asked for, a descriptor, a thread. */
#define RINGTAIL_EIO -301

/* The checkpoint in `data_dir` cannot be used. */
#define RINGTAIL_ECHECKPOINT -302

/* Another collector, here or in another process, has this `data_dir`; the message names it. */
#define RINGTAIL_EHELD -303

/* The memory that this handle may use is spent. */
#define RINGTAIL_EMEMORY -304

/* A defect of the library was met and contained. The handle is of no use any more but to be freed. */
#define RINGTAIL_EPANIC -901

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 * The ABI of the library that was loaded: compare it with `RINGTAIL_ABI_VERSION`.
 *
 * Threads: any. Errors: none. Since: 0.1.
 */
uint32_t ringtail_abi_version(void);

/*
 * How much the library that was loaded can do: at least `RINGTAIL_API_LEVEL` for a program built with this header.
 *
 * Threads: any. Errors: none. Since: 0.1.
 */
uint32_t ringtail_api_level(void);

/*
 * The release of the library that was loaded, as in `"0.1.0"`.
 *
 * Ownership: static, never freed. Threads: any. Errors: none. Since: 0.1.
 */
const char *ringtail_version_string(void);

/*
 * The name of a status, as in `"RINGTAIL_EINVAL"`.
 *
 * Ownership: static, never freed. Threads: any. Errors: `"unknown status"` for a number that is none. Since: 0.1.
 */
const char *ringtail_status_name(ringtail_status_t status);

/*
 * The status that the failed call returned.
 *
 * Threads: any, concurrently. Errors: `RINGTAIL_EINVAL` where `error` is none. Since: 0.1.
 */
ringtail_status_t ringtail_error_status(const struct ringtail_error_t *error);

/*
 * What failed and what to do about it, in English, ended by a zero. `len`, where not NULL, gets the length.
 *
 * Ownership: the error's; valid until that is freed. Threads: any, concurrently. Errors: an empty text where `error`
 * is none. Since: 0.1.
 */
const char *ringtail_error_message(const struct ringtail_error_t *error, size_t *len);

/*
 * Whether the same call may succeed later without anything being changed: 1 or 0.
 *
 * Threads: any, concurrently. Errors: 0 where `error` is none. Since: 0.1.
 */
int32_t ringtail_error_may_pass(const struct ringtail_error_t *error);

/*
 * Frees an error. NULL is legal and does nothing.
 *
 * Ownership: takes `error`. Threads: one, the last that uses it. Errors: none. Since: 0.1.
 */
void ringtail_error_free(struct ringtail_error_t *error);

/*
 * A configuration in which everything has its default.
 *
 * Ownership: the caller's, to be freed by `ringtail_config_free`. Threads: any. Errors: NULL after a defect of the
 * library. Since: 0.1.
 */
struct ringtail_config_t *ringtail_config_new(void);

/*
 * Sets one property. The key is that of the YAML configuration with points between its parts (`memory`,
 * `batch.max_delay`, `pipelines.shop.from.start`), the value is YAML (`64MiB`, `[/var/log/app.log, /srv/b.log]`);
 * ffi/README.md lists all. What was set before under this key is replaced. Whether a key is known is found out by
 * `ringtail_collector_new` and `ringtail_config_check`.
 *
 * Ownership: key and value are copied; `err` may be NULL, and what it gets is the caller's. Threads: any, one at a
 * time. Errors: `RINGTAIL_ECONFIG` (no YAML, no key), `RINGTAIL_EINVAL`, `RINGTAIL_EBUSY`, `RINGTAIL_EFORKED`. Since:
 * 0.1.
 */
ringtail_status_t ringtail_config_set(struct ringtail_config_t *config,
                                      const char *key,
                                      size_t key_len,
                                      const char *value,
                                      size_t value_len,
                                      struct ringtail_error_t **err);

/*
 * Adds a YAML document of the shape of the agent's configuration: `pipelines:` with the same `from:`, `memory:`,
 * `hold_deleted:`, but no outputs, since the host is the only one. May be called several times; what is said later
 * counts.
 *
 * Ownership: the text is copied; `err` may be NULL, and what it gets is the caller's. Threads: any, one at a time.
 * Errors: as `ringtail_config_set`. Since: 0.1.
 */
ringtail_status_t ringtail_config_load(struct ringtail_config_t *config,
                                       const char *yaml,
                                       size_t yaml_len,
                                       struct ringtail_error_t **err);

/*
 * Whether the configuration can be used. The message of the error names every mistake, its place, and what to write
 * instead, a line each.
 *
 * Ownership: `err` may be NULL, and what it gets is the caller's. Threads: any, one at a time. Errors: as
 * `ringtail_config_set`. Since: 0.1.
 */
ringtail_status_t ringtail_config_check(const struct ringtail_config_t *config,
                                        struct ringtail_error_t **err);

/*
 * Frees a configuration. NULL is legal and does nothing.
 *
 * Ownership: takes `config`; collectors made from it keep their own copy. Threads: one, the last that uses it.
 * Errors: none. Since: 0.1.
 */
void ringtail_config_free(struct ringtail_config_t *config);

/*
 * Makes a collector from a configuration. Starts no thread and opens no file.
 *
 * Ownership: `config` is copied and stays the caller's; `*collector` is the caller's, to be freed by
 * `ringtail_collector_free`; `err` may be NULL, and what it gets is the caller's. Threads: any. Errors:
 * `RINGTAIL_ECONFIG` (every mistake is named in the message), `RINGTAIL_EIO`, `RINGTAIL_EINVAL`, `RINGTAIL_EBUSY`,
 * `RINGTAIL_EFORKED`. Since: 0.1.
 */
ringtail_status_t ringtail_collector_new(const struct ringtail_config_t *config,
                                         struct ringtail_collector_t **collector,
                                         struct ringtail_error_t **err);

/*
 * Starts collecting: locks `data_dir`, opens the checkpoint, starts the threads. From here on there are threads: one
 * that scans, one that keeps positions (with `data_dir`), `threads` that read and parse; all have all signals
 * blocked.
 *
 * Ownership: `err` may be NULL, and what it gets is the caller's. Threads: any. Errors: `RINGTAIL_EHELD` (another
 * collector has `data_dir`; may pass), `RINGTAIL_ECHECKPOINT`, `RINGTAIL_EIO`, `RINGTAIL_ECONFIG`, `RINGTAIL_ESTATE`
 * (started before), `RINGTAIL_EINVAL`, `RINGTAIL_EFORKED`. After an error it may be tried again. Since: 0.1.
 */
ringtail_status_t ringtail_collector_start(struct ringtail_collector_t *collector,
                                           struct ringtail_error_t **err);

/*
 * A descriptor that is readable while there is something to fetch: a batch, the end, a failure. For poll, epoll or
 * any event loop; it is never to be read, written or closed.
 *
 * Ownership: the collector's, from `ringtail_collector_new` to `ringtail_collector_free`. Threads: any, concurrently.
 * Errors: -1. Since: 0.1.
 */
int32_t ringtail_collector_event_fd(const struct ringtail_collector_t *collector);

/*
 * Waits until there is something to fetch, at most `timeout_ms` milliseconds or `RINGTAIL_FOREVER`: `RINGTAIL_OK`, or
 * `RINGTAIL_AGAIN` when the time was over.
 *
 * Threads: any, concurrently, but not while another one frees the collector: that waits for this call. Errors:
 * `RINGTAIL_EINVAL`, `RINGTAIL_EFORKED`. Since: 0.1.
 */
ringtail_status_t ringtail_collector_wait(const struct ringtail_collector_t *collector, uint32_t timeout_ms);

/*
 * Gives `done` back (unless it is NULL) and shows the next batch. Never blocks. `RINGTAIL_AGAIN`: none now, wait for
 * the descriptor or with `ringtail_collector_wait`. `RINGTAIL_END`: none any more. Set `view->struct_size` before
 * (`RINGTAIL_INIT`); a view may be used again.
 *
 * Ownership: takes `done`, whatever it returns, as `ringtail_batch_free` does; the batch of the view is the caller's,
 * until it is given back, and may outlive the collector. Threads: any, one at a time. Errors: `RINGTAIL_EBUSY`
 * (another thread is in this call), `RINGTAIL_ESTATE` (not started), `RINGTAIL_EPANIC` (see
 * `ringtail_collector_failure`), `RINGTAIL_EINVAL`, `RINGTAIL_EFORKED`. Since: 0.1.
 */
ringtail_status_t ringtail_collector_next(struct ringtail_collector_t *collector,
                                          struct ringtail_batch_t *done,
                                          struct ringtail_batch_view_t *view);

/*
 * Says that the batches of these tokens are delivered: positions move on behind everything that is acknowledged
 * without a gap, and are on disk at most a second later. In any order, batch given back or not.
 *
 * Ownership: the tokens are copied. Threads: any, concurrently. Errors: `RINGTAIL_EUNKNOWN` (a token was never given
 * out, or was answered before; the others are acknowledged), `RINGTAIL_EINVAL`, `RINGTAIL_EFORKED`. Since: 0.1.
 */
ringtail_status_t ringtail_collector_ack(const struct ringtail_collector_t *collector,
                                         const uint64_t *tokens,
                                         size_t n);

/*
 * Says that the batches of these tokens were not delivered and are wanted again: their records come again in new
 * batches, and with them what was read behind them from the same files.
 *
 * Ownership, threads, errors: as `ringtail_collector_ack`. Since: 0.1.
 */
ringtail_status_t ringtail_collector_return(const struct ringtail_collector_t *collector,
                                            const uint64_t *tokens,
                                            size_t n);

/*
 * Says that the batches of these tokens will never be delivered, and are given up: positions move on, and their bytes
 * of input are counted in the figure `lost_bytes.rejected`.
 *
 * Ownership, threads, errors: as `ringtail_collector_ack`. Since: 0.1.
 */
ringtail_status_t ringtail_collector_reject(const struct ringtail_collector_t *collector,
                                            const uint64_t *tokens,
                                            size_t n);

/*
 * Begins to stop and returns at once: nothing more is read, and what was read is still handed over. Go on with
 * `ringtail_collector_next` and `ringtail_collector_ack` until `RINGTAIL_END`, which comes when everything is
 * acknowledged or `deadline_ms` is over; what is not acknowledged by then comes again after a restart. The second
 * time it does nothing.
 *
 * Threads: any, concurrently. Errors: `RINGTAIL_EIO` (no thread for it: it ends as after a kill), `RINGTAIL_EINVAL`,
 * `RINGTAIL_EFORKED`. Since: 0.1.
 */
ringtail_status_t ringtail_collector_stop(const struct ringtail_collector_t *collector,
                                          uint32_t deadline_ms);

/*
 * How the collection ended: `RINGTAIL_OK` once `ringtail_collector_next` returned `RINGTAIL_END`, `RINGTAIL_AGAIN`
 * before. Set `end->struct_size` before.
 *
 * Ownership: copies. Threads: any, concurrently. Errors: `RINGTAIL_EINVAL`, `RINGTAIL_EFORKED`. Since: 0.1.
 */
ringtail_status_t ringtail_collector_end(const struct ringtail_collector_t *collector,
                                         struct ringtail_end_t *end);

/*
 * Why `ringtail_collector_next` returns `RINGTAIL_EPANIC`: `RINGTAIL_OK` and an error, or `RINGTAIL_AGAIN` when
 * nothing failed.
 *
 * Ownership: what `err` gets is the caller's. Threads: any, concurrently. Errors: `RINGTAIL_EINVAL`,
 * `RINGTAIL_EFORKED`. Since: 0.1.
 */
ringtail_status_t ringtail_collector_failure(const struct ringtail_collector_t *collector,
                                             struct ringtail_error_t **err);

/*
 * Ends the collection at once, unless it has ended, and frees the collector. What was acknowledged is kept; what was
 * fetched and not acknowledged comes again after a restart. Waits for the library's threads. To deliver everything
 * first, stop. NULL is legal and does nothing.
 *
 * In the child of a fork it leaves everything alone: the threads are the parent's.
 *
 * Ownership: takes `collector`; batches that the host holds stay valid, and are given back by `ringtail_batch_free`.
 * Threads: any; calls of other threads end first. Errors: none. Since: 0.1.
 */
void ringtail_collector_free(struct ringtail_collector_t *collector);

/*
 * Collects these files too, from now on. They are absolute paths, not globs; each is followed with its rotated
 * siblings. What is in them already is read from the beginning, or from where they were acknowledged before. A path
 * that is collected already changes nothing. Many files are added by one call rather than by many.
 *
 * `pipeline`: a name from the configuration, or nothing (`pipeline_len` 0) for the only one.
 *
 * Ownership: everything is copied; `err` may be NULL, and what it gets is the caller's. Threads: any, concurrently.
 * Errors: `RINGTAIL_EUNKNOWN` (no such pipeline), `RINGTAIL_ECONFIG` (a path that is not absolute), `RINGTAIL_ESTATE`
 * (stopped), `RINGTAIL_EINVAL`, `RINGTAIL_EFORKED`; then none is added. Since: 0.1.
 */
ringtail_status_t ringtail_collector_add_files(const struct ringtail_collector_t *collector,
                                               const char *pipeline,
                                               size_t pipeline_len,
                                               const struct ringtail_text_t *paths,
                                               size_t n,
                                               struct ringtail_error_t **err);

/*
 * Collects these files no longer: those that `ringtail_collector_add_files` added, by the same paths. What was read
 * of them is still delivered, and their positions are kept. A path that is not collected changes nothing.
 *
 * Ownership, threads, errors: as `ringtail_collector_add_files`. Since: 0.1.
 */
ringtail_status_t ringtail_collector_remove_files(const struct ringtail_collector_t *collector,
                                                  const char *pipeline,
                                                  size_t pipeline_len,
                                                  const struct ringtail_text_t *paths,
                                                  size_t n,
                                                  struct ringtail_error_t **err);

/*
 * Gives attributes to the file that is matched as `path`: what the host knows about it, as its own pod metadata. They
 * stand in the `attributes` of its source in every batch that is fetched from now on, in place of ones of the same
 * name. They replace what was given before; `n` 0 takes them away. The file need not be there yet. `stride`:
 * `sizeof(ringtail_attribute_t)`.
 *
 * Ownership: everything is copied. Threads: any, concurrently. Errors: `RINGTAIL_EINVAL` (also for a kind that is not
 * `RINGTAIL_TYPE_*`), `RINGTAIL_EFORKED`. Since: 0.1.
 */
ringtail_status_t ringtail_collector_set_attributes(const struct ringtail_collector_t *collector,
                                                    const char *path,
                                                    size_t path_len,
                                                    const struct ringtail_attribute_t *attributes,
                                                    size_t n,
                                                    size_t stride);

/*
 * The name of the figure number `index`, as in `"read_bytes"`; NULL when there are no more. A number keeps its
 * meaning; new ones come behind.
 *
 * Ownership: static, never freed. Threads: any. Errors: none. Since: 0.1.
 */
const char *ringtail_stat_name(uint32_t index);

/*
 * Writes the first `n` figures to `values`; zeros where this library has fewer.
 *
 * Ownership: copies. Threads: any, concurrently. Errors: `RINGTAIL_EINVAL`, `RINGTAIL_EFORKED`, `RINGTAIL_EPANIC`.
 * Since: 0.1.
 */
ringtail_status_t ringtail_collector_stats(const struct ringtail_collector_t *collector,
                                           uint64_t *values,
                                           size_t n);

/*
 * Gives a batch back, without fetching another one: its memory goes back to the collector, and every pointer of its
 * view is dead. Says nothing about its delivery: see `ringtail_collector_ack`. NULL is legal and does nothing.
 *
 * Ownership: takes `batch`; legal also after `ringtail_collector_free`. Threads: any. Errors: none; a handle that is
 * none, or was given back before, is left alone. Since: 0.1.
 */
void ringtail_batch_free(struct ringtail_batch_t *batch);

/*
 * Makes a parser for one file. `options` may be NULL for the defaults; else set its `struct_size` (`RINGTAIL_INIT`).
 *
 * Ownership: options are copied; `*parser` is the caller's, to be freed by `ringtail_parser_free`. Threads: any.
 * Errors: `RINGTAIL_EINVAL`, `RINGTAIL_E2BIG` (an option that this library does not know). Since: 0.1.
 */
ringtail_status_t ringtail_parser_new(const struct ringtail_parser_options_t *options,
                                      struct ringtail_parser_t **parser);

/*
 * Parses `buffer`, the next bytes of the file, in place: what was escaped is undone and what was split is joined
 * inside it, and bodies of records point into it, or into the parser. `now_ns`, nanoseconds since 1970, is the time
 * of lines that have none. Call again with the bytes behind `parsed->consumed` and what comes after them.
 * `RINGTAIL_AGAIN`: there was no room for all records, get the rest by `ringtail_parser_more`. Set
 * `parsed->struct_size` before.
 *
 * Ownership: the buffer stays the caller's; records are valid as long as the buffer is unchanged, and until the next
 * call of `ringtail_parser_parse`, `ringtail_parser_flush` or `ringtail_parser_free`. Threads: any, one at a time.
 * Errors: `RINGTAIL_EMEMORY` (give the file again from the last `resume_offset` on), `RINGTAIL_EBUSY`,
 * `RINGTAIL_EINVAL`, `RINGTAIL_EFORKED`. Since: 0.1.
 */
ringtail_status_t ringtail_parser_parse(struct ringtail_parser_t *parser,
                                        uint8_t *buffer,
                                        size_t len,
                                        int64_t now_ns,
                                        struct ringtail_record_t *records,
                                        size_t capacity,
                                        struct ringtail_parsed_t *parsed);

/*
 * Delivers what is not whole, because it is not waited for any longer: `why` is `RINGTAIL_FLUSH_*`. `rest` is the
 * line without its end that the call before left with the host, or nothing. Half a CRI or docker line never becomes a
 * record.
 *
 * Ownership, threads, errors: as `ringtail_parser_parse`. Since: 0.1.
 */
ringtail_status_t ringtail_parser_flush(struct ringtail_parser_t *parser,
                                        uint8_t *rest,
                                        size_t len,
                                        int64_t now_ns,
                                        uint32_t why,
                                        struct ringtail_record_t *records,
                                        size_t capacity,
                                        struct ringtail_parsed_t *parsed);

/*
 * Writes the records that did not fit into the last call's. `RINGTAIL_AGAIN`: there are still more.
 *
 * Ownership, threads, errors: as `ringtail_parser_parse`; those written before stay valid. Since: 0.1.
 */
ringtail_status_t ringtail_parser_more(struct ringtail_parser_t *parser,
                                       struct ringtail_record_t *records,
                                       size_t capacity,
                                       struct ringtail_parsed_t *parsed);

/*
 * Frees a parser. NULL is legal and does nothing.
 *
 * Ownership: takes `parser`; records that it wrote are dead. Threads: one, the last that uses it. Errors: none.
 * Since: 0.1.
 */
void ringtail_parser_free(struct ringtail_parser_t *parser);

/*
 * Makes a joiner for one file. Records longer than `max_record` bytes, at most 8 MiB, are cut and marked.
 *
 * Ownership: the caller's, to be freed by `ringtail_joiner_free`. Threads: any. Errors: NULL where `max_record` is 0.
 * Since: 0.1.
 */
struct ringtail_joiner_t *ringtail_joiner_new(size_t max_record);

/*
 * Adds a part of a record of `stream` (`RINGTAIL_STREAM_*`). `is_last` not 0: the record ends with it, and is written
 * to `record`: `RINGTAIL_OK`. Otherwise it stays open: `RINGTAIL_AGAIN`. The record has the time of its first part.
 *
 * Ownership: the part is copied, unless it is all of the record: then `record->body` points to it; else into the
 * joiner, until its next call. Threads: any, one at a time. Errors: `RINGTAIL_EMEMORY`, `RINGTAIL_EBUSY`,
 * `RINGTAIL_EINVAL`, `RINGTAIL_EFORKED`; the part was not added. Since: 0.1.
 */
ringtail_status_t ringtail_joiner_add(struct ringtail_joiner_t *joiner,
                                      uint8_t stream,
                                      int64_t time_ns,
                                      const uint8_t *part,
                                      size_t len,
                                      int32_t is_last,
                                      struct ringtail_record_t *record);

/*
 * Delivers the open record of `stream` without waiting for its end, marked `RINGTAIL_FLAG_PARTIAL`: `RINGTAIL_OK`, or
 * `RINGTAIL_AGAIN` when none is open.
 *
 * Ownership, threads, errors: as `ringtail_joiner_add`. Since: 0.1.
 */
ringtail_status_t ringtail_joiner_flush(struct ringtail_joiner_t *joiner,
                                        uint8_t stream,
                                        struct ringtail_record_t *record);

/*
 * Frees a joiner, and what is open in it. NULL is legal and does nothing.
 *
 * Ownership: takes `joiner`. Threads: one, the last that uses it. Errors: none. Since: 0.1.
 */
void ringtail_joiner_free(struct ringtail_joiner_t *joiner);

/*
 * Makes an encoder. `options` may be NULL for the defaults (ndjson, not compressed, all attributes); else set its
 * `struct_size` (`RINGTAIL_INIT`).
 *
 * Ownership: options are copied; `*encoder` is the caller's, to be freed by `ringtail_encoder_free`. Threads: any.
 * Errors: `RINGTAIL_EINVAL` (no such format, compression or pattern), `RINGTAIL_E2BIG` (an option that this library
 * does not know). Since: 0.1.
 */
ringtail_status_t ringtail_encoder_new(const struct ringtail_encoder_options_t *options,
                                       struct ringtail_encoder_t **encoder);

/*
 * Encodes and compresses the records of `view`: one whole frame. The view is one of `ringtail_collector_next`, or the
 * host's own: `struct_size`, `records` with count and stride, `sources` with count and stride, and `attribute_stride`
 * are looked at. Set `encoded->struct_size` before.
 *
 * Ownership: the payload is the encoder's, valid until its next call; the batch stays the caller's, and may be given
 * back at once. Threads: any, one at a time. Errors: `RINGTAIL_EINVAL` (also for a record that names no source of the
 * view), `RINGTAIL_EBUSY`, `RINGTAIL_EFORKED`. Since: 0.1.
 */
ringtail_status_t ringtail_encoder_encode(struct ringtail_encoder_t *encoder,
                                          const struct ringtail_batch_view_t *view,
                                          struct ringtail_encoded_t *encoded);

/*
 * Frees an encoder. NULL is legal and does nothing.
 *
 * Ownership: takes `encoder`; its payload is dead. Threads: one, the last that uses it. Errors: none. Since: 0.1.
 */
void ringtail_encoder_free(struct ringtail_encoder_t *encoder);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus


/* Entry number `index` of a table of a view, whose entries may be larger than this header knows. */
static inline const ringtail_record_t *ringtail_record_at(const ringtail_batch_view_t *view, uint32_t index) {
    return (const ringtail_record_t *)(const void *)((const char *)view->records + (size_t)index * view->record_stride);
}

static inline const ringtail_source_t *ringtail_source_at(const ringtail_batch_view_t *view, uint32_t index) {
    return (const ringtail_source_t *)(const void *)((const char *)view->sources + (size_t)index * view->source_stride);
}

static inline const ringtail_attribute_t *ringtail_field_at(const ringtail_batch_view_t *view, uint32_t index) {
    return (const ringtail_attribute_t *)(const void *)((const char *)view->fields + (size_t)index * view->field_stride);
}

static inline const ringtail_attribute_t *ringtail_attribute_at(const ringtail_batch_view_t *view,
                                                                const ringtail_source_t *source, uint32_t index) {
    return (const ringtail_attribute_t *)(const void *)((const char *)source->attributes +
                                                        (size_t)index * view->attribute_stride);
}

#ifdef RINGTAIL_EXPERIMENTAL
/* What stands here may change or go with any release. */

#ifdef __cplusplus
extern "C" {
#endif

/* Panics inside the library, so that a host can prove that it survives one: returns RINGTAIL_EPANIC. */
ringtail_status_t ringtail_test_panic(void);

/* Lets a thread of the library panic at the next batch: ringtail_collector_next returns RINGTAIL_EPANIC. */
ringtail_status_t ringtail_test_panic_in_thread(const ringtail_collector_t *collector);

#ifdef __cplusplus
}
#endif
#endif /* RINGTAIL_EXPERIMENTAL */

#endif  /* RINGTAIL_H */
