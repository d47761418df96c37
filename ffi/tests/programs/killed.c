/* A host that is killed: it fetches, writes down and acknowledges until it has so many records; then it only fetches. Run again, it
 * must get what it did not acknowledge. Arguments: directory, backend, "until" a number of records or "all" there are. */
#include "check.h"

#include <unistd.h>

int main(int argc, char **argv) {
    CHECK(argc == 4);
    const size_t until = (size_t)strtoul(argv[3], NULL, 10);
    char paths[4096];
    snprintf(paths, sizeof(paths), "[%s/*.log]", argv[1]);
    ringtail_config_t *config = ringtail_config_new();
    set(config, "data_dir", path_of(argv[1], "data"));
    set(config, "io", argv[2]);
    set(config, "batch", "{max_delay: 5ms, max_records: 50}");
    set(config, "pipelines.p.from.files.paths", paths);
    ringtail_collector_t *made = collector(config);
    start(made);
    ringtail_batch_view_t view = RINGTAIL_INIT(ringtail_batch_view_t);
    ringtail_batch_t *done = NULL;
    size_t seen = 0;
    while (seen < until) {
        next(made, done, &view);
        done = view.batch;
        for (uint32_t at = 0; at < view.record_count; at++) {
            const ringtail_record_t *record = ringtail_record_at(&view, at);
            printf("%.*s\n", (int)record->body_len, (const char *)record->body);
        }
        seen += view.record_count;
        /* Written before it is acknowledged: what is acknowledged was delivered. */
        CHECK(fflush(stdout) == 0);
        EXPECT(RINGTAIL_OK, ringtail_collector_ack(made, &view.token, 1));
    }
    printf("acknowledged\n");
    CHECK(fflush(stdout) == 0);
    /* To be killed here, without a stop, once positions are on disk; fetched, and not acknowledged. */
    for (;;) {
        if (ringtail_collector_wait(made, 1000) == RINGTAIL_OK &&
            ringtail_collector_next(made, done, &view) == RINGTAIL_OK) {
            done = view.batch;
            printf("fetched\n");
            CHECK(fflush(stdout) == 0);
        }
    }
}
