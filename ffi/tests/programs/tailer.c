/* A host that keeps its own tailer: it parses buffers with partial state between them, joins what it split itself, and encodes. */
#include "check.h"

static const int64_t now = INT64_C(1700000000000000000);

static ringtail_parser_t *parser(uint32_t input) {
    ringtail_parser_options_t options = RINGTAIL_INIT(ringtail_parser_options_t);
    ringtail_parser_t *made = NULL;
    options.input = input;
    EXPECT(RINGTAIL_OK, ringtail_parser_new(&options, &made));
    return made;
}

/* The same text in pieces of every size gives the same records. */
static void pieces(void) {
    static const char text[] = "2026-01-02T03:04:05Z stdout P begun and \n"
                               "2026-01-02T03:04:06Z stderr F between\n"
                               "2026-01-02T03:04:07Z stdout F ended\n"
                               "not CRI\n";
    static const char *const expected[] = {"between", "begun and ended", "not CRI"};
    for (size_t size = 1; size <= sizeof(text); size++) {
        ringtail_parser_t *made = parser(RINGTAIL_INPUT_CRI);
        ringtail_parsed_t parsed = RINGTAIL_INIT(ringtail_parsed_t);
        char buffer[sizeof(text)];
        size_t held = 0;
        size_t seen = 0;
        uint64_t malformed = 0;
        for (size_t off = 0; off < sizeof(text) - 1; off += size) {
            size_t count = size < sizeof(text) - 1 - off ? size : sizeof(text) - 1 - off;
            memcpy(buffer + held, text + off, count);
            held += count;
            ringtail_record_t records[1];
            ringtail_status_t status =
                ringtail_parser_parse(made, (uint8_t *)buffer, held, now, records, 1, &parsed);
            size_t consumed = parsed.consumed;
            malformed += parsed.malformed_lines;
            while (parsed.record_count > 0) {
                CHECK(seen < 3 && body_is(&records[0], expected[seen]));
                CHECK((seen == 2) == (records[0].flags == RINGTAIL_FLAG_MALFORMED));
                seen++;
                if (status == RINGTAIL_OK) {
                    break;
                }
                status = ringtail_parser_more(made, records, 1, &parsed);
                CHECK(parsed.consumed == 0);
            }
            CHECK(parsed.resume_offset <= off + count && parsed.format == RINGTAIL_INPUT_CRI);
            held -= consumed;
            memmove(buffer, buffer + consumed, held);
        }
        CHECK(seen == 3 && held == 0 && malformed == 1 && parsed.resume_offset == sizeof(text) - 1);
        ringtail_parser_free(made);
    }
}

static void formats(void) {
    char docker[] = "{\"log\":\"tab\\there\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05Z\"}\n";
    char raw[] = "a raw line\nwithout end";
    ringtail_record_t records[4];
    ringtail_parsed_t parsed = RINGTAIL_INIT(ringtail_parsed_t);
    ringtail_parser_t *made = parser(RINGTAIL_INPUT_AUTO);
    EXPECT(RINGTAIL_OK,
           ringtail_parser_parse(made, (uint8_t *)docker, strlen(docker), now, records, 4, &parsed));
    CHECK(parsed.record_count == 1 && body_is(&records[0], "tab\there"));
    CHECK(parsed.format == RINGTAIL_INPUT_DOCKER_JSON && records[0].time_ns != now);
    ringtail_parser_free(made);
    made = parser(RINGTAIL_INPUT_RAW);
    EXPECT(RINGTAIL_OK, ringtail_parser_parse(made, (uint8_t *)raw, strlen(raw), now, records, 4, &parsed));
    CHECK(parsed.record_count == 1 && body_is(&records[0], "a raw line") && records[0].time_ns == now);
    uint8_t *rest = (uint8_t *)raw + parsed.consumed;
    size_t len = strlen(raw) - parsed.consumed;
    EXPECT(RINGTAIL_EINVAL, ringtail_parser_flush(made, rest, len, now, 0, records, 4, &parsed));
    EXPECT(RINGTAIL_OK, ringtail_parser_flush(made, rest, len, now, RINGTAIL_FLUSH_TIMEOUT, records, 4, &parsed));
    CHECK(parsed.record_count == 1 && body_is(&records[0], "without end"));
    CHECK(records[0].flags == RINGTAIL_FLAG_PARTIAL && parsed.consumed == len);
    EXPECT(RINGTAIL_OK, ringtail_parser_parse(made, NULL, 0, now, NULL, 0, &parsed));
    ringtail_parser_free(made);
    /* An open partial is given up. */
    char open[] = "2026-01-02T03:04:05Z stdout P half\n";
    EXPECT(RINGTAIL_OK, ringtail_parser_new(NULL, &made));
    EXPECT(RINGTAIL_OK, ringtail_parser_parse(made, (uint8_t *)open, strlen(open), now, records, 4, &parsed));
    CHECK(parsed.record_count == 0 && parsed.consumed == strlen(open) && parsed.resume_offset == 0);
    memset(open, 'x', sizeof(open));
    EXPECT(RINGTAIL_OK, ringtail_parser_flush(made, NULL, 0, now, RINGTAIL_FLUSH_END, records, 4, &parsed));
    CHECK(parsed.record_count == 1 && body_is(&records[0], "half") && parsed.resume_offset == sizeof(open) - 1);
    ringtail_parser_free(made);
}

static void misuse(void) {
    struct {
        ringtail_parser_options_t options;
        uint64_t unknown;
    } newer;
    memset(&newer, 0, sizeof(newer));
    newer.options.struct_size = sizeof(newer);
    ringtail_parser_t *made = NULL;
    ringtail_parsed_t parsed = RINGTAIL_INIT(ringtail_parsed_t);
    EXPECT(RINGTAIL_OK, ringtail_parser_new(&newer.options, &made));
    EXPECT(RINGTAIL_EINVAL, ringtail_parser_parse(made, NULL, 1, now, NULL, 0, &parsed));
    EXPECT(RINGTAIL_EINVAL, ringtail_parser_parse(made, NULL, 0, now, NULL, 1, &parsed));
    EXPECT(RINGTAIL_EINVAL, ringtail_parser_parse(made, NULL, 0, now, NULL, 0, NULL));
    ringtail_parser_free(made);
    EXPECT(RINGTAIL_EINVAL, ringtail_parser_more(made, NULL, 0, &parsed));
    newer.unknown = 1;
    EXPECT(RINGTAIL_E2BIG, ringtail_parser_new(&newer.options, &made));
    newer.options.struct_size = 4;
    EXPECT(RINGTAIL_OK, ringtail_parser_new(&newer.options, &made));
    ringtail_parser_free(made);
    newer.options.struct_size = sizeof(newer.options);
    newer.options.input = 99;
    EXPECT(RINGTAIL_EINVAL, ringtail_parser_new(&newer.options, &made));
    EXPECT(RINGTAIL_EINVAL, ringtail_parser_new(NULL, NULL));
    CHECK(ringtail_joiner_new(0) == NULL);
    EXPECT(RINGTAIL_EINVAL, ringtail_joiner_add(NULL, 0, 0, NULL, 0, 1, NULL));
}

static void joining(void) {
    ringtail_joiner_t *made = ringtail_joiner_new(10);
    ringtail_record_t record;
    const uint8_t *whole = (const uint8_t *)"whole";
    EXPECT(RINGTAIL_OK, ringtail_joiner_add(made, RINGTAIL_STREAM_STDERR, 7, whole, 5, 1, &record));
    CHECK(record.body == whole && record.stream == RINGTAIL_STREAM_STDERR && record.time_ns == 7);
    EXPECT(RINGTAIL_AGAIN, ringtail_joiner_add(made, RINGTAIL_STREAM_STDOUT, 1, whole, 5, 0, &record));
    EXPECT(RINGTAIL_OK, ringtail_joiner_add(made, RINGTAIL_STREAM_STDOUT, 2, (const uint8_t *)"+rest...", 8, 1, &record));
    CHECK(body_is(&record, "whole+rest") && record.time_ns == 1 && record.flags == RINGTAIL_FLAG_TRUNCATED);
    EXPECT(RINGTAIL_AGAIN, ringtail_joiner_add(made, RINGTAIL_STREAM_NONE, 3, whole, 5, 0, &record));
    EXPECT(RINGTAIL_OK, ringtail_joiner_flush(made, RINGTAIL_STREAM_NONE, &record));
    CHECK(body_is(&record, "whole") && record.flags == RINGTAIL_FLAG_PARTIAL);
    EXPECT(RINGTAIL_AGAIN, ringtail_joiner_flush(made, RINGTAIL_STREAM_NONE, &record));
    EXPECT(RINGTAIL_EINVAL, ringtail_joiner_flush(made, 3, &record));
    ringtail_joiner_free(made);
}

static void encoding(void) {
    static const uint8_t zstd[] = {0x28, 0xb5, 0x2f, 0xfd}, lz4[] = {0x04, 0x22, 0x4d, 0x18}, gzip[] = {0x1f, 0x8b};
    static const struct {
        uint32_t compression;
        const uint8_t *magic;
        size_t len;
    } kinds[] = {{RINGTAIL_COMPRESSION_ZSTD, zstd, 4}, {RINGTAIL_COMPRESSION_LZ4, lz4, 4}, {RINGTAIL_COMPRESSION_GZIP, gzip, 2}};
    static const char expected[] =
        "{\"time\":\"2023-11-14T22:13:20Z\",\"stream\":\"stdout\",\"message\":\"say \\\"hi\\\"\",\"replica\":3}\n";
    ringtail_attribute_t replica = {.name = "replica", .name_len = 7, .number = 3, .kind = RINGTAIL_TYPE_INT};
    ringtail_source_t source = {.path = "/a", .path_len = 2, .attributes = &replica, .attribute_count = 1};
    ringtail_record_t record = {.body = (const uint8_t *)"say \"hi\"", .body_len = 8, .time_ns = now, .stream = RINGTAIL_STREAM_STDOUT};
    ringtail_batch_view_t view = RINGTAIL_INIT(ringtail_batch_view_t);
    view.records = &record;
    view.record_count = 1;
    view.record_stride = sizeof(record);
    view.sources = &source;
    view.source_count = 1;
    view.source_stride = sizeof(source);
    view.attribute_stride = sizeof(replica);
    ringtail_encoder_options_t options = RINGTAIL_INIT(ringtail_encoder_options_t);
    options.attributes = "replica,k8s.*";
    options.attributes_len = (uint32_t)strlen(options.attributes);
    ringtail_encoder_t *made = NULL;
    ringtail_encoded_t encoded = RINGTAIL_INIT(ringtail_encoded_t);
    EXPECT(RINGTAIL_OK, ringtail_encoder_new(&options, &made));
    for (int again = 0; again < 2; again++) {
        EXPECT(RINGTAIL_OK, ringtail_encoder_encode(made, &view, &encoded));
        CHECK(encoded.len == strlen(expected) && memcmp(encoded.data, expected, encoded.len) == 0);
        CHECK(encoded.encoded_bytes == encoded.len && encoded.replaced_utf8 == 0);
    }
    record.source = 1;
    EXPECT(RINGTAIL_EINVAL, ringtail_encoder_encode(made, &view, &encoded));
    record.source = 0;
    view.record_stride = 8;
    EXPECT(RINGTAIL_EINVAL, ringtail_encoder_encode(made, &view, &encoded));
    view.record_stride = sizeof(record);
    ringtail_encoder_free(made);
    for (size_t kind = 0; kind < 3; kind++) {
        options.compression = kinds[kind].compression;
        EXPECT(RINGTAIL_OK, ringtail_encoder_new(&options, &made));
        EXPECT(RINGTAIL_OK, ringtail_encoder_encode(made, &view, &encoded));
        CHECK(encoded.len > kinds[kind].len && memcmp(encoded.data, kinds[kind].magic, kinds[kind].len) == 0);
        CHECK(encoded.encoded_bytes == strlen(expected));
        ringtail_encoder_free(made);
    }
    options.compression = 9;
    EXPECT(RINGTAIL_EINVAL, ringtail_encoder_new(&options, &made));
}

int main(void) {
    pieces();
    formats();
    misuse();
    joining();
    encoding();
    return 0;
}
