/* Files and attributes come and go while a collector runs; two collectors live beside each other. */
#include "check.h"

static const char *io;

static ringtail_collector_t *with_pipelines(const char *yaml) {
    ringtail_config_t *config = ringtail_config_new();
    ringtail_error_t *error = NULL;
    EXPECT(RINGTAIL_OK, ringtail_config_load(config, yaml, strlen(yaml), &error));
    set(config, "io", io);
    set(config, "batch.max_delay", "5ms");
    ringtail_collector_t *made = collector(config);
    start(made);
    return made;
}

static ringtail_attribute_t text_attribute(const char *name, const char *text) {
    ringtail_attribute_t attribute = {.name = name, .name_len = (uint32_t)strlen(name), .text = text};
    attribute.text_len = (uint32_t)strlen(text);
    attribute.kind = RINGTAIL_TYPE_TEXT;
    return attribute;
}

static const ringtail_attribute_t *find(const ringtail_batch_view_t *view, const char *name) {
    const ringtail_source_t *source = ringtail_source_at(view, ringtail_record_at(view, 0)->source);
    for (uint32_t at = 0; at < source->attribute_count; at++) {
        const ringtail_attribute_t *attribute = ringtail_attribute_at(view, source, at);
        if (attribute->name_len == strlen(name) && memcmp(attribute->name, name, attribute->name_len) == 0) {
            return attribute;
        }
    }
    return NULL;
}

static uint64_t id(const ringtail_batch_view_t *view) {
    return ringtail_source_at(view, ringtail_record_at(view, 0)->source)->id;
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    io = argv[2];
    const char *a = path_of(argv[1], "a.log");
    const char *b = path_of(argv[1], "b [1].log");
    ringtail_text_t paths[2] = {{a, strlen(a)}, {b, strlen(b)}};
    ringtail_text_t relative = {RINGTAIL_STR("x.log")};
    ringtail_error_t *error = NULL;
    ringtail_collector_t *first = with_pipelines("");
    ringtail_collector_t *second = with_pipelines("pipelines: {x: {from: {start: end}}, y: {}}");
    ringtail_batch_view_t view = RINGTAIL_INIT(ringtail_batch_view_t);

    append(a, "in a\n");
    EXPECT(RINGTAIL_ECONFIG, ringtail_collector_add_files(first, NULL, 0, &relative, 1, &error));
    ringtail_error_free(error);
    EXPECT(RINGTAIL_EUNKNOWN, ringtail_collector_add_files(first, RINGTAIL_STR("none"), paths, 1, NULL));
    EXPECT(RINGTAIL_EUNKNOWN, ringtail_collector_add_files(second, NULL, 0, paths, 1, NULL));
    EXPECT(RINGTAIL_EINVAL, ringtail_collector_add_files(first, NULL, 0, NULL, 1, NULL));

    /* What the host knows of a file is in its source, beside what its path tells. */
    ringtail_attribute_t attributes[2] = {text_attribute("team", "shop"), text_attribute("k8s.pod.name", "web-0")};
    attributes[1] = (ringtail_attribute_t){.name = "replica", .name_len = 7, .number = 3, .kind = RINGTAIL_TYPE_INT};
    EXPECT(RINGTAIL_OK,
           ringtail_collector_set_attributes(first, a, strlen(a), attributes, 2, sizeof(attributes[0])));
    EXPECT(RINGTAIL_OK, ringtail_collector_add_files(first, NULL, 0, paths, 2, &error));
    EXPECT(RINGTAIL_OK, ringtail_collector_add_files(first, NULL, 0, paths, 2, &error));
    next(first, NULL, &view);
    CHECK(body_is(ringtail_record_at(&view, 0), "in a"));
    const ringtail_attribute_t *team = find(&view, "team");
    CHECK(team != NULL && team->kind == RINGTAIL_TYPE_TEXT && memcmp(team->text, "shop", team->text_len) == 0);
    const ringtail_attribute_t *replica = find(&view, "replica");
    CHECK(replica != NULL && replica->kind == RINGTAIL_TYPE_INT && replica->number == 3 && replica->text == NULL);
    EXPECT(RINGTAIL_OK, ringtail_collector_ack(first, &view.token, 1));
    const uint64_t first_id = id(&view);

    /* The same source has the same number; with other attributes it has another one. */
    append(a, "more\n");
    next(first, view.batch, &view);
    CHECK(id(&view) == first_id);
    EXPECT(RINGTAIL_OK, ringtail_collector_ack(first, &view.token, 1));
    attributes[0].kind = 77;
    EXPECT(RINGTAIL_EINVAL,
           ringtail_collector_set_attributes(first, a, strlen(a), attributes, 1, sizeof(attributes[0])));
    EXPECT(RINGTAIL_OK, ringtail_collector_set_attributes(first, a, strlen(a), NULL, 0, sizeof(attributes[0])));
    append(a, "bare\n");
    next(first, view.batch, &view);
    CHECK(body_is(ringtail_record_at(&view, 0), "bare") && find(&view, "team") == NULL && id(&view) != first_id);
    EXPECT(RINGTAIL_OK, ringtail_collector_ack(first, &view.token, 1));

    /* A file that is removed is not read further; its name is a name and not a glob. */
    EXPECT(RINGTAIL_OK, ringtail_collector_remove_files(first, RINGTAIL_STR("default"), paths, 1, &error));
    append(b, "in b\n");
    next(first, view.batch, &view);
    CHECK(body_is(ringtail_record_at(&view, 0), "in b"));
    EXPECT(RINGTAIL_OK, ringtail_collector_ack(first, &view.token, 1));
    append(a, "not seen\n");

    /* Another collector has its own files, and its pipelines have names. */
    EXPECT(RINGTAIL_OK, ringtail_collector_add_files(second, RINGTAIL_STR("y"), paths, 1, &error));
    ringtail_batch_free(view.batch);
    next(second, NULL, &view);
    CHECK(view.pipeline_len == 1 && view.pipeline[0] == 'y' && body_is(ringtail_record_at(&view, 0), "in a"));

    /* What is rejected is counted and does not come again. */
    EXPECT(RINGTAIL_OK, ringtail_collector_reject(second, &view.token, 1));
    CHECK(figure(second, "lost_bytes.rejected") >= 5 && figure(first, "lost_bytes.rejected") == 0);
    ringtail_batch_free(view.batch);
    EXPECT(RINGTAIL_OK, ringtail_collector_stop(first, 10000));
    EXPECT(RINGTAIL_OK, ringtail_collector_wait(first, 60000));
    EXPECT(RINGTAIL_END, ringtail_collector_next(first, NULL, &view));
    EXPECT(RINGTAIL_ESTATE, ringtail_collector_add_files(first, NULL, 0, paths, 1, NULL));
    CHECK(figure(first, "fetched_records") == 4);
    ringtail_collector_free(first);
    ringtail_collector_free(second);
    return 0;
}
