// The C++ face: RAII, moves, views, exceptions; and the headers, each twice.
#include <ringtail.h>
#include <ringtail.h>
#include <ringtail.hpp>
#include <ringtail.hpp>

#include <fstream>
#include <iostream>
#include <type_traits>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            std::cerr << __FILE__ << ":" << __LINE__ << ": " << #condition << "\n";                                    \
            std::exit(1);                                                                                              \
        }                                                                                                              \
    } while (0)

static_assert(!std::is_copy_constructible_v<ringtail::Batch> && std::is_nothrow_move_constructible_v<ringtail::Batch>);
static_assert(!std::is_copy_constructible_v<ringtail::Collector> && std::is_nothrow_move_assignable_v<ringtail::Collector>);

int main(int argc, char **argv) {
    CHECK(argc == 3 && ringtail::is_compatible());
    const std::string directory = argv[1];
    const std::string log = directory + "/a.log";
    std::ofstream(log) << "one\ntwo\n";
    ringtail::Config config;
    config.load("batch: {max_delay: 5ms}").set("io", argv[2]);
    try {
        config.set("memory", "[");
        CHECK(false);
    } catch (const ringtail::Error &error) {
        CHECK(error.status() == RINGTAIL_ECONFIG && !error.may_pass());
        CHECK(std::string(error.what()).find("property memory") != std::string::npos);
    }
    config.check();
    ringtail::Collector made(config);
    ringtail::Collector collector(std::move(made));
    collector.start();
    collector.set_attributes(log, {{"team", "shop"}});
    collector.add_files({log});
    collector.wait();
    std::optional<ringtail::Batch> batch = collector.next();
    CHECK(batch && !batch->empty() && batch->pipeline() == "default");
    std::string bodies;
    for (const ringtail::Record record : *batch) {
        bodies += record.body();
        CHECK(record.stream() == RINGTAIL_STREAM_NONE && record.time() > std::chrono::system_clock::time_point());
    }
    CHECK(bodies == "onetwo" && (*batch)[1].body() == "two");
    const ringtail::Source source = batch->source((*batch)[0]);
    CHECK(source.path() == log && source.find("team")->text() == "shop" && !source.find("none"));
    ringtail::Encoder encoder(RINGTAIL_FORMAT_NDJSON, RINGTAIL_COMPRESSION_NONE);
    CHECK(encoder.encode(*batch).find("\"message\":\"two\",\"log.file.path\":\"") != std::string_view::npos);
    collector.ack(batch->token());
    CHECK(!collector.next(std::move(*batch)) && !collector.ended());
    collector.stop(std::chrono::seconds(10));
    while (!collector.ended()) {
        CHECK(collector.wait(std::chrono::minutes(1)));
        collector.next();
    }
    CHECK(collector.end() && collector.end()->all_answered == 1);
    for (const auto &[name, value] : collector.stats()) {
        CHECK(name != "held_batches" || value == 0);
    }
    ringtail::Parser parser;
    std::vector<ringtail_record_t> records;
    std::string text = "2026-01-02T03:04:05Z stdout F parsed\n2026-01-02T03:04:05Z stdout";
    const ringtail_parsed_t parsed = parser.parse(text.data(), text.size(), 0, records);
    CHECK(records.size() == 1 && ringtail::Record(&records[0]).body() == "parsed" && parsed.consumed == 37);
    return 0;
}
