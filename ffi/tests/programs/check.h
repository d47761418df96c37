/* What the test programs share. */
#ifndef CHECK_H
#define CHECK_H

#include <ringtail.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A call that must return this status; its error, if there is one, is told. */
#define EXPECT(expected, call) expect((expected), (call), #call, __FILE__, __LINE__)

static inline void expect(ringtail_status_t expected, ringtail_status_t got, const char *call, const char *file,
                          int line) {
    if (expected != got) {
        fprintf(stderr, "%s:%d: %s: %s, not %s\n", file, line, call, ringtail_status_name(got),
                ringtail_status_name(expected));
        exit(1);
    }
}

/* Sets a property that must be legal. */
static inline void set(ringtail_config_t *config, const char *key, const char *value) {
    ringtail_error_t *error = NULL;
    if (ringtail_config_set(config, key, strlen(key), value, strlen(value), &error) != RINGTAIL_OK) {
        fprintf(stderr, "%s: %s: %s\n", key, value, ringtail_error_message(error, NULL));
        exit(1);
    }
}

/* A collector that must be made, and whose configuration is freed. */
static inline ringtail_collector_t *collector(ringtail_config_t *config) {
    ringtail_error_t *error = NULL;
    ringtail_collector_t *made = NULL;
    if (ringtail_collector_new(config, &made, &error) != RINGTAIL_OK) {
        fprintf(stderr, "%s\n", ringtail_error_message(error, NULL));
        exit(1);
    }
    ringtail_config_free(config);
    return made;
}

static inline void start(ringtail_collector_t *made) {
    ringtail_error_t *error = NULL;
    if (ringtail_collector_start(made, &error) != RINGTAIL_OK) {
        fprintf(stderr, "%s\n", ringtail_error_message(error, NULL));
        exit(1);
    }
}

/* <directory>/<name>, which lives as long as the program. */
static inline const char *path_of(const char *directory, const char *name) {
    static char paths[64][512];
    static size_t used;
    CHECK(used < 64);
    char *path = paths[used++];
    snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    return path;
}

static inline void append(const char *path, const char *text) {
    FILE *file = fopen(path, "a");
    CHECK(file != NULL);
    CHECK(fputs(text, file) >= 0);
    CHECK(fclose(file) == 0);
}

static inline int body_is(const ringtail_record_t *record, const char *text) {
    return record->body_len == strlen(text) && memcmp(record->body, text, record->body_len) == 0;
}

/* The next batch, which must come within a minute. */
static inline void next(ringtail_collector_t *from, ringtail_batch_t *done, ringtail_batch_view_t *view) {
    EXPECT(RINGTAIL_OK, ringtail_collector_wait(from, 60000));
    EXPECT(RINGTAIL_OK, ringtail_collector_next(from, done, view));
}

static inline uint64_t figure(const ringtail_collector_t *from, const char *name) {
    uint64_t values[64];
    EXPECT(RINGTAIL_OK, ringtail_collector_stats(from, values, 64));
    for (uint32_t index = 0; ringtail_stat_name(index) != NULL; index++) {
        if (strcmp(ringtail_stat_name(index), name) == 0) {
            return values[index];
        }
    }
    fprintf(stderr, "no figure is called %s\n", name);
    exit(1);
}

#endif
