/* What a record costs a host in C: ns in ringtail_collector_next, a walk over the records, and giving the batch back.
 * Arguments: file, records in it. Prints the median over the batches in ns a record, the records, and the sum of what was looked at. */
#include <ringtail.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

int main(int argc, char **argv) {
    static double costs[1 << 16];
    size_t batches = 0;
    uint64_t seen = 0, sum = 0;
    uint64_t wanted = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
    ringtail_config_t *config = ringtail_config_new();
    ringtail_collector_t *collector = NULL;
    if (wanted == 0 || ringtail_collector_new(config, &collector, NULL) != RINGTAIL_OK) {
        return 1;
    }
    ringtail_text_t path = {argv[1], strlen(argv[1])};
    if (ringtail_collector_add_files(collector, NULL, 0, &path, 1, NULL) != RINGTAIL_OK ||
        ringtail_collector_start(collector, NULL) != RINGTAIL_OK) {
        return 1;
    }
    ringtail_batch_view_t view = RINGTAIL_INIT(ringtail_batch_view_t);
    while (seen < wanted) {
        if (ringtail_collector_wait(collector, 60000) != RINGTAIL_OK) {
            return 1;
        }
        double begin = now_ns();
        if (ringtail_collector_next(collector, NULL, &view) != RINGTAIL_OK) {
            return 1;
        }
        for (uint32_t i = 0; i < view.record_count; i++) {
            const ringtail_record_t *record = ringtail_record_at(&view, i);
            sum += record->body_len + record->body[0];
        }
        ringtail_batch_free(view.batch);
        double cost = (now_ns() - begin) / view.record_count;
        ringtail_collector_ack(collector, &view.token, 1);
        seen += view.record_count;
        if (batches < sizeof(costs) / sizeof(costs[0])) {
            costs[batches++] = cost;
        }
    }
    qsort(costs, batches, sizeof(costs[0]), by_value);
    printf("%.3f %llu %llu\n", costs[batches / 2], (unsigned long long)seen, (unsigned long long)sum);
    ringtail_collector_free(collector);
    ringtail_config_free(config);
    return 0;
}
