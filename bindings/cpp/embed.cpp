// embed: what an agent does with libringtail. It collects pods' logs, adds what it knows about each pod, makes zstd-compressed ndjson of every
// batch, and acknowledges once that is written.
//
//   embed DATA_DIR GLOB OUT
//
// c++ -std=c++17 embed.cpp $(pkg-config --cflags --libs ringtail) -o embed
#include <ringtail.hpp>

#include <fstream>
#include <iostream>
#include <unordered_set>

int main(int argc, char **argv) try {
    if (argc != 4 || !ringtail::is_compatible()) {
        std::cerr << "usage: embed DATA_DIR GLOB OUT\n";
        return 2;
    }
    ringtail::Config config;
    config.set("data_dir", argv[1]).set("memory", "64MiB");
    config.set("pipelines.pods.from.files.paths", std::string("['") + argv[2] + "']");

    ringtail::Collector collector(config);
    collector.start();
    ringtail::Encoder encoder(RINGTAIL_FORMAT_NDJSON, RINGTAIL_COMPRESSION_ZSTD);
    std::ofstream out(argv[3], std::ios::binary | std::ios::app);
    std::unordered_set<std::uint64_t> seen;

    // An agent would go on for ever; this one stops when nothing came for a while.
    while (!collector.ended()) {
        std::optional<ringtail::Batch> batch = collector.next();
        if (!batch) {
            if (!collector.wait(std::chrono::seconds(seen.empty() ? 5 : 1))) {
                collector.stop(std::chrono::seconds(5));
                collector.wait();
            }
            continue;
        }
        // A source has the same number in every batch: what is made of it once can be found again.
        for (std::size_t i = 0; i < batch->source_count(); ++i) {
            const ringtail::Source source = batch->source(i);
            if (seen.insert(source.id()).second) {
                const std::optional<ringtail::Attribute> pod = source.find("k8s.pod.name");
                std::cout << "file " << source.path() << " of pod " << (pod ? pod->text() : "none") << "\n";
            }
        }
        const std::string_view payload = encoder.encode(*batch);
        out.write(payload.data(), static_cast<std::streamsize>(payload.size())).flush();
        std::cout << batch->size() << " records, " << payload.size() << " bytes\n";
        if (out) {
            collector.ack(batch->token());
        } else {
            collector.give_back(batch->token());
        }
    }
    return collector.end()->all_answered == 1 ? 0 : 1;
} catch (const ringtail::Error &error) {
    std::cerr << "embed: " << error.what() << "\n";
    return 1;
}
