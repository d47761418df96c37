/* The whole life of a collection: configured by properties and by YAML, waited for by poll and by wait, acknowledged, stopped,
 * and begun again where it ended. */
#include "check.h"

#include <poll.h>
#include <unistd.h>

static const char *directory;
static const char *io;

static ringtail_collector_t *begin(void) {
    ringtail_config_t *config = ringtail_config_new();
    ringtail_error_t *error = NULL;
    const char *yaml = "pipelines:\n  shop:\n    from:\n      max_line: 64KiB\n";
    const char *log = path_of(directory, "a.log");
    char paths[4096];
    CHECK(config != NULL);
    snprintf(paths, sizeof(paths), "[%s, %s/*.txt]", log, directory);
    EXPECT(RINGTAIL_OK, ringtail_config_load(config, yaml, strlen(yaml), &error));
    EXPECT(RINGTAIL_OK, ringtail_config_set(config, RINGTAIL_STR("memory"), RINGTAIL_STR("64MiB"), &error));
    set(config, "io", io);
    set(config, "data_dir", path_of(directory, "data"));
    set(config, "pipelines.shop.from.files.paths", paths);
    set(config, "batch.max_delay", "5ms");
    EXPECT(RINGTAIL_OK, ringtail_config_check(config, &error));
    ringtail_collector_t *made = collector(config);
    ringtail_batch_view_t view = RINGTAIL_INIT(ringtail_batch_view_t);
    EXPECT(RINGTAIL_ESTATE, ringtail_collector_next(made, NULL, &view));
    start(made);
    return made;
}

static void readable(const ringtail_collector_t *collector) {
    struct pollfd event = {.fd = ringtail_collector_event_fd(collector), .events = POLLIN};
    CHECK(event.fd >= 0);
    CHECK(poll(&event, 1, 60000) == 1);
}

static void end(ringtail_collector_t *collector) {
    ringtail_batch_view_t view = RINGTAIL_INIT(ringtail_batch_view_t);
    ringtail_end_t ended = RINGTAIL_INIT(ringtail_end_t);
    EXPECT(RINGTAIL_AGAIN, ringtail_collector_end(collector, &ended));
    EXPECT(RINGTAIL_OK, ringtail_collector_stop(collector, 10000));
    EXPECT(RINGTAIL_OK, ringtail_collector_stop(collector, 1));
    readable(collector);
    EXPECT(RINGTAIL_END, ringtail_collector_next(collector, NULL, &view));
    EXPECT(RINGTAIL_END, ringtail_collector_next(collector, NULL, &view));
    EXPECT(RINGTAIL_OK, ringtail_collector_wait(collector, RINGTAIL_FOREVER));
    EXPECT(RINGTAIL_OK, ringtail_collector_end(collector, &ended));
    CHECK(ended.all_answered == 1 && ended.positions_kept == 1);
    ringtail_collector_free(collector);
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    directory = argv[1];
    io = argv[2];
    const char *log = path_of(directory, "a.log");
    append(log, "2026-01-02T03:04:05.123456789Z stdout F one\n2026-01-02T03:04:06Z stderr F two\n");
    ringtail_collector_t *collector = begin();
    ringtail_batch_view_t view = RINGTAIL_INIT(ringtail_batch_view_t);
    readable(collector);
    EXPECT(RINGTAIL_OK, ringtail_collector_next(collector, NULL, &view));
    CHECK(view.kind == RINGTAIL_BATCH_RECORDS && view.record_count == 2 && view.body_bytes == 6);
    CHECK(view.pipeline_len == 4 && memcmp(view.pipeline, "shop", 4) == 0);
    CHECK(view.fields == NULL && view.field_count == 0);
    const ringtail_record_t *one = ringtail_record_at(&view, 0);
    const ringtail_record_t *two = ringtail_record_at(&view, 1);
    CHECK(body_is(one, "one") && body_is(two, "two"));
    CHECK(one->stream == RINGTAIL_STREAM_STDOUT && two->stream == RINGTAIL_STREAM_STDERR && one->flags == 0);
    CHECK(one->time_ns == INT64_C(1767323045123456789) && one->field_count == 0);
    const ringtail_source_t *source = ringtail_source_at(&view, one->source);
    CHECK(source->path_len == strlen(log) && memcmp(source->path, log, source->path_len) == 0);
    const ringtail_attribute_t *first = ringtail_attribute_at(&view, source, 0);
    CHECK(first->kind == RINGTAIL_TYPE_TEXT && first->text == source->path);
    CHECK(memcmp(first->name, "log.file.path", first->name_len) == 0);
    CHECK(figure(collector, "held_batches") == 1 && figure(collector, "unacked_batches") == 1);
    EXPECT(RINGTAIL_OK, ringtail_collector_ack(collector, &view.token, 1));
    EXPECT(RINGTAIL_EUNKNOWN, ringtail_collector_ack(collector, &view.token, 1));

    /* Nothing more: the descriptor is quiet, and the batch goes back all the same. */
    EXPECT(RINGTAIL_AGAIN, ringtail_collector_next(collector, view.batch, &view));
    struct pollfd event = {.fd = ringtail_collector_event_fd(collector), .events = POLLIN};
    CHECK(poll(&event, 1, 0) == 0);
    EXPECT(RINGTAIL_AGAIN, ringtail_collector_wait(collector, 0));
    CHECK(figure(collector, "held_batches") == 0 && figure(collector, "records") == 2);

    append(log, "2026-01-02T03:04:07Z stdout F three\n");
    next(collector, NULL, &view);
    CHECK(view.record_count == 1 && body_is(ringtail_record_at(&view, 0), "three"));
    EXPECT(RINGTAIL_OK, ringtail_collector_ack(collector, &view.token, 1));
    ringtail_batch_free(view.batch);
    end(collector);

    /* What was acknowledged does not come again. */
    append(log, "2026-01-02T03:04:08Z stdout F four\n");
    collector = begin();
    next(collector, NULL, &view);
    CHECK(view.record_count == 1 && body_is(ringtail_record_at(&view, 0), "four"));
    EXPECT(RINGTAIL_OK, ringtail_collector_ack(collector, &view.token, 1));
    ringtail_batch_free(view.batch);
    end(collector);
    return 0;
}
