/* tail: prints the records of log files, in the poll loop of a host that has other descriptors to look after too.
 *
 *   tail [--once] FILE...
 *
 * cc tail.c $(pkg-config --cflags --libs ringtail) -o tail */
#include <poll.h>
#include <ringtail.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static volatile sig_atomic_t interrupted;

static void interrupt(int signal) {
    (void)signal;
    interrupted = 1;
}

/* Says what failed, if something did. */
static int failed(ringtail_status_t status, const char *what, ringtail_error_t *error) {
    if (status < 0) {
        fprintf(stderr, "tail: %s: %s\n", what,
                error != NULL ? ringtail_error_message(error, NULL) : ringtail_status_name(status));
        ringtail_error_free(error);
    }
    return status < 0;
}

static void print(const ringtail_batch_view_t *view) {
    for (uint32_t i = 0; i < view->record_count; i++) {
        const ringtail_record_t *record = ringtail_record_at(view, i);
        const ringtail_source_t *source = ringtail_source_at(view, record->source);
        printf("%.*s: ", (int)source->path_len, source->path);
        fwrite(record->body, 1, record->body_len, stdout);
        putchar('\n');
    }
}

/* Fetches, prints and acknowledges until nothing comes any more. */
static int run(ringtail_collector_t *collector, int once) {
    struct pollfd ready = {.fd = ringtail_collector_event_fd(collector), .events = POLLIN, .revents = 0};
    ringtail_batch_view_t view = RINGTAIL_INIT(ringtail_batch_view_t);
    ringtail_batch_t *done = NULL;
    int patience = once ? 10000 : -1;
    for (;;) {
        ringtail_status_t status = ringtail_collector_next(collector, done, &view);
        done = NULL;
        if (status == RINGTAIL_OK) {
            print(&view);
            fflush(stdout);
            done = view.batch;
            /* What is there already comes at once, the first of it after files were looked for. */
            patience = once ? 500 : -1;
            ringtail_collector_ack(collector, &view.token, 1);
        } else if (status == RINGTAIL_AGAIN) {
            int events = poll(&ready, 1, patience);
            if (interrupted || events == 0) {
                ringtail_collector_stop(collector, 2000);
            }
        } else {
            return status == RINGTAIL_END ? 0 : failed(status, "next", NULL);
        }
    }
}

int main(int argc, char **argv) {
    int once = argc > 1 && strcmp(argv[1], "--once") == 0;
    ringtail_config_t *config = ringtail_config_new();
    ringtail_collector_t *collector = NULL;
    ringtail_error_t *error = NULL;
    ringtail_status_t status = ringtail_collector_new(config, &collector, &error);
    ringtail_config_free(config);
    if (failed(status, "new", error)) {
        return 1;
    }
    for (int i = once ? 2 : 1; i < argc; i++) {
        ringtail_text_t path = {argv[i], strlen(argv[i])};
        status = ringtail_collector_add_files(collector, NULL, 0, &path, 1, &error);
        if (failed(status, argv[i], error)) {
            ringtail_collector_free(collector);
            return 1;
        }
    }
    signal(SIGINT, interrupt);
    status = ringtail_collector_start(collector, &error);
    int code = failed(status, "start", error) ? 1 : run(collector, once);
    ringtail_collector_free(collector);
    return code;
}
