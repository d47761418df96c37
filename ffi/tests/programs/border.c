/* What a host can do wrong: each has its status, and the library goes on. */
#define _POSIX_C_SOURCE 200809L
#define RINGTAIL_EXPERIMENTAL
#include "check.h"

#include <pthread.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *directory;
static const char *io;

static ringtail_collector_t *running(void) {
    ringtail_config_t *config = ringtail_config_new();
    char paths[4096];
    snprintf(paths, sizeof(paths), "[%s/*.log]", directory);
    set(config, "io", io);
    set(config, "pipelines.p.from.files.paths", paths);
    set(config, "batch.max_delay", "5ms");
    ringtail_collector_t *made = collector(config);
    start(made);
    return made;
}

static void wrong_handles(void) {
    ringtail_config_t *config = ringtail_config_new();
    ringtail_batch_view_t view = RINGTAIL_INIT(ringtail_batch_view_t);
    ringtail_error_t *error = NULL;
    ringtail_collector_t *made = NULL;
    uint64_t token = 1;
    EXPECT(RINGTAIL_EINVAL, ringtail_config_set(NULL, RINGTAIL_STR("memory"), RINGTAIL_STR("64MiB"), NULL));
    EXPECT(RINGTAIL_EINVAL, ringtail_config_set(config, NULL, 6, RINGTAIL_STR("64MiB"), NULL));
    EXPECT(RINGTAIL_EINVAL, ringtail_config_load(config, "\xff\xfe", 2, &error));
    EXPECT(RINGTAIL_EINVAL, ringtail_error_status(error));
    ringtail_error_free(error);
    EXPECT(RINGTAIL_EINVAL, ringtail_collector_new(NULL, &made, NULL));
    EXPECT(RINGTAIL_EINVAL, ringtail_collector_new(config, NULL, NULL));
    EXPECT(RINGTAIL_EINVAL, ringtail_collector_start(NULL, NULL));
    EXPECT(RINGTAIL_EINVAL, ringtail_collector_next(NULL, NULL, &view));
    EXPECT(RINGTAIL_EINVAL, ringtail_collector_ack(NULL, &token, 1));
    EXPECT(RINGTAIL_EINVAL, ringtail_collector_wait(NULL, 0));
    EXPECT(RINGTAIL_EINVAL, ringtail_collector_stop(NULL, 0));
    CHECK(ringtail_collector_event_fd(NULL) == -1);
    /* One type for another. */
    EXPECT(RINGTAIL_EINVAL, ringtail_collector_wait((ringtail_collector_t *)(void *)config, 0));
    EXPECT(RINGTAIL_EINVAL, ringtail_collector_next((ringtail_collector_t *)(void *)config, NULL, &view));
    ringtail_batch_free((ringtail_batch_t *)(void *)config);
    EXPECT(RINGTAIL_OK, ringtail_config_check(config, NULL));
    /* An address that is no handle's, and one between two. */
    EXPECT(RINGTAIL_EINVAL, ringtail_config_check((ringtail_config_t *)(void *)((char *)config + 1), NULL));
    uint64_t zeros[4] = {0, 0, 0, 0};
    EXPECT(RINGTAIL_EINVAL, ringtail_config_check((ringtail_config_t *)(void *)zeros, NULL));
    /* After it was freed, and freed twice. */
    ringtail_config_free(config);
    EXPECT(RINGTAIL_EINVAL, ringtail_config_check(config, NULL));
    ringtail_config_free(config);
    ringtail_config_free(NULL);
    ringtail_collector_free(NULL);
    ringtail_batch_free(NULL);
    ringtail_error_free(NULL);
    CHECK(ringtail_error_message(NULL, NULL)[0] == '\0' && ringtail_error_may_pass(NULL) == 0);
    CHECK(strcmp(ringtail_status_name(RINGTAIL_EPANIC), "RINGTAIL_EPANIC") == 0);
    CHECK(strcmp(ringtail_status_name(12345), "unknown status") == 0 && ringtail_stat_name(100000) == NULL);
}

static void wrong_configurations(void) {
    ringtail_config_t *config = ringtail_config_new();
    ringtail_error_t *error = NULL;
    ringtail_collector_t *made = NULL;
    size_t len = 0;
    EXPECT(RINGTAIL_ECONFIG, ringtail_config_set(config, RINGTAIL_STR("memory"), RINGTAIL_STR("[1"), &error));
    ringtail_error_free(error);
    set(config, "memry", "1");
    set(config, "batch.max_bytes", "64MB");
    EXPECT(RINGTAIL_ECONFIG, ringtail_collector_new(config, &made, &error));
    CHECK(made == NULL && ringtail_error_may_pass(error) == 0);
    const char *message = ringtail_error_message(error, &len);
    CHECK(strlen(message) == len);
    CHECK(strstr(message, "did you mean `memory`?") != NULL && strstr(message, "write `64MiB`") != NULL);
    ringtail_error_free(error);
    CHECK(ringtail_error_message(error, &len)[0] == '\0' && len == 0);
    ringtail_config_free(config);
}

/* A program that is older than the library, one that is newer, and one that is confused. */
static void ages(void) {
    append(path_of(directory, "ages.log"), "one\n");
    ringtail_collector_t *made = running();
    struct {
        ringtail_batch_view_t view;
        uint64_t beyond;
    } newer;
    memset(&newer, 0xff, sizeof(newer));
    newer.view.struct_size = sizeof(newer);
    EXPECT(RINGTAIL_OK, ringtail_collector_wait(made, 60000));
    newer.view.struct_size = 8;
    EXPECT(RINGTAIL_EINVAL, ringtail_collector_next(made, NULL, &newer.view));
    newer.view.struct_size = 1u << 20;
    EXPECT(RINGTAIL_EINVAL, ringtail_collector_next(made, NULL, &newer.view));
    EXPECT(RINGTAIL_EINVAL, ringtail_collector_next(made, NULL, NULL));
    newer.view.struct_size = sizeof(newer);
    EXPECT(RINGTAIL_OK, ringtail_collector_next(made, NULL, &newer.view));
    CHECK(newer.view.record_count == 1 && newer.beyond == 0 && newer.view.struct_size == sizeof(newer));
    EXPECT(RINGTAIL_OK, ringtail_collector_return(made, &newer.view.token, 1));
    ringtail_batch_view_t old;
    memset(&old, 0x55, sizeof(old));
    old.struct_size = offsetof(ringtail_batch_view_t, fields);
    next(made, newer.view.batch, &old);
    CHECK(old.record_count == 1 && body_is(ringtail_record_at(&old, 0), "one"));
    CHECK(old.body_bytes == UINT64_C(0x5555555555555555) && old.field_count == 0x55555555);
    ringtail_batch_free(old.batch);
    ringtail_batch_free(old.batch);
    ringtail_collector_free(made);
}

static void *wait_for_ever(void *made) {
    ringtail_status_t status = ringtail_collector_wait((ringtail_collector_t *)made, RINGTAIL_FOREVER);
    CHECK(status == RINGTAIL_OK || status == RINGTAIL_EINVAL);
    return NULL;
}

static void *fetch_until_the_end(void *made) {
    ringtail_batch_view_t view = RINGTAIL_INIT(ringtail_batch_view_t);
    ringtail_batch_t *done = NULL;
    for (;;) {
        ringtail_status_t status = ringtail_collector_next((ringtail_collector_t *)made, done, &view);
        done = NULL;
        switch (status) {
        case RINGTAIL_OK:
            done = view.batch;
            EXPECT(RINGTAIL_OK, ringtail_collector_ack((ringtail_collector_t *)made, &view.token, 1));
            break;
        case RINGTAIL_AGAIN:
        case RINGTAIL_EBUSY:
            EXPECT(RINGTAIL_OK, ringtail_collector_wait((ringtail_collector_t *)made, RINGTAIL_FOREVER));
            break;
        default:
            EXPECT(RINGTAIL_END, status);
            return NULL;
        }
    }
}

/* Four threads fetch at once; a fifth stops. */
static void threads(void) {
    const char *log = path_of(directory, "threads.log");
    FILE *file = fopen(log, "w");
    CHECK(file != NULL);
    for (int line = 0; line < 2000; line++) {
        CHECK(fputs("a line\n", file) >= 0);
    }
    CHECK(fclose(file) == 0);
    ringtail_collector_t *made = running();
    pthread_t fetching[4];
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&fetching[i], NULL, fetch_until_the_end, made) == 0);
    }
    while (figure(made, "fetched_records") < 2000) {
        EXPECT(RINGTAIL_EUNKNOWN, ringtail_collector_ack(made, (const uint64_t[]){UINT64_MAX}, 1));
    }
    EXPECT(RINGTAIL_OK, ringtail_collector_stop(made, 20000));
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_join(fetching[i], NULL) == 0);
    }
    EXPECT(RINGTAIL_ESTATE, ringtail_collector_start(made, NULL));
    ringtail_collector_free(made);
    EXPECT(RINGTAIL_EINVAL, ringtail_collector_wait(made, 0));
}

/* Whoever waits is woken by the end, and a collector may be freed meanwhile. */
static void freed_while_waited_for(void) {
    ringtail_collector_t *made = running();
    ringtail_batch_view_t view = RINGTAIL_INIT(ringtail_batch_view_t);
    while (ringtail_collector_next(made, NULL, &view) == RINGTAIL_OK) {
        ringtail_batch_free(view.batch);
    }
    pthread_t waiting;
    CHECK(pthread_create(&waiting, NULL, wait_for_ever, made) == 0);
    ringtail_collector_free(made);
    CHECK(pthread_join(waiting, NULL) == 0);
}

/* The child of a fork is refused; the parent goes on. */
static void forked(void) {
    append(path_of(directory, "forked.log"), "before\n");
    ringtail_collector_t *made = running();
    ringtail_batch_view_t view = RINGTAIL_INIT(ringtail_batch_view_t);
    uint64_t value = 0;
    next(made, NULL, &view);
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        EXPECT(RINGTAIL_EFORKED, ringtail_collector_ack(made, &view.token, 1));
        EXPECT(RINGTAIL_EFORKED, ringtail_collector_wait(made, RINGTAIL_FOREVER));
        EXPECT(RINGTAIL_EFORKED, ringtail_collector_stop(made, 0));
        EXPECT(RINGTAIL_EFORKED, ringtail_collector_stats(made, &value, 1));
        EXPECT(RINGTAIL_EFORKED, ringtail_collector_next(made, view.batch, &view));
        CHECK(ringtail_collector_event_fd(made) == -1);
        ringtail_batch_free(view.batch);
        ringtail_collector_free(made);
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    EXPECT(RINGTAIL_OK, ringtail_collector_ack(made, &view.token, 1));
    ringtail_batch_free(view.batch);
    ringtail_collector_free(made);
}

/* A batch outlives its collector. */
static void outlived(void) {
    append(path_of(directory, "outlived.log"), "still here\n");
    ringtail_collector_t *made = running();
    ringtail_batch_view_t view = RINGTAIL_INIT(ringtail_batch_view_t);
    ringtail_batch_t *held[64];
    ringtail_record_t records[64];
    uint32_t count = 0;
    uint64_t seen = 0;
    while (seen < 4 && count < 64) {
        next(made, NULL, &view);
        seen += view.record_count;
        held[count] = view.batch;
        records[count++] = *ringtail_record_at(&view, 0);
    }
    CHECK(figure(made, "held_batches") == count);
    EXPECT(RINGTAIL_OK, ringtail_collector_stop(made, 0));
    ringtail_collector_free(made);
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t at = 0; at < records[i].body_len; at++) {
            bytes += records[i].body[at] != 0;
        }
        ringtail_batch_free(held[i]);
    }
    CHECK(bytes > 0);
}

/* A defect in a thread of the library: the descriptor becomes readable, next says so, and another collector goes on. */
static void defect(void) {
    append(path_of(directory, "defect.log"), "one\n");
    ringtail_collector_t *made = running();
    ringtail_collector_t *other = running();
    ringtail_batch_view_t view = RINGTAIL_INIT(ringtail_batch_view_t);
    ringtail_error_t *error = NULL;
    EXPECT(RINGTAIL_AGAIN, ringtail_collector_failure(made, &error));
    EXPECT(RINGTAIL_OK, ringtail_test_panic_in_thread(made));
    append(path_of(directory, "defect.log"), "two\n");
    ringtail_status_t status = RINGTAIL_OK;
    while (status >= 0 && status != RINGTAIL_END) {
        EXPECT(RINGTAIL_OK, ringtail_collector_wait(made, 60000));
        status = ringtail_collector_next(made, NULL, &view);
        if (status == RINGTAIL_OK) {
            ringtail_batch_free(view.batch);
        }
    }
    EXPECT(RINGTAIL_EPANIC, status);
    EXPECT(RINGTAIL_OK, ringtail_collector_failure(made, &error));
    CHECK(strstr(ringtail_error_message(error, NULL), "rt-shard-0") != NULL);
    CHECK(strstr(ringtail_error_message(error, NULL), "ringtail_test_panic_in_thread") != NULL);
    ringtail_error_free(error);
    next(other, NULL, &view);
    CHECK(view.record_count > 0);
    ringtail_batch_free(view.batch);
    ringtail_collector_free(made);
    ringtail_collector_free(other);
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    directory = argv[1];
    io = argv[2];
    EXPECT(RINGTAIL_EPANIC, ringtail_test_panic());
    wrong_handles();
    wrong_configurations();
    ages();
    threads();
    freed_while_waited_for();
    forked();
    outlived();
    defect();
    EXPECT(RINGTAIL_EPANIC, ringtail_test_panic());
    return 0;
}
