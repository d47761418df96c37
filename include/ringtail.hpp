// ringtail.hpp: libringtail for C++17. Header only, over ringtail.h, which says what every call does; guide: ffi/README.md.
//
// Every class owns one handle: it can be moved and not copied, and gives the handle back when it is destroyed. What failed is
// thrown as ringtail::Error, except where a status is an answer: Collector::next returns nothing, and Collector::ended says why.
// Bodies, names and texts are views, valid as long as their Batch lives, or as the call says.
#ifndef RINGTAIL_HPP
#define RINGTAIL_HPP

#include "ringtail.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ringtail {

// A call that failed.
class Error : public std::runtime_error {
public:
    Error(ringtail_status_t status, const std::string &message, bool may_pass = false)
        : std::runtime_error(message), status_(status), may_pass_(may_pass) {}

    // RINGTAIL_E*.
    ringtail_status_t status() const noexcept { return status_; }
    // Whether the same call may succeed later without anything being changed.
    bool may_pass() const noexcept { return may_pass_; }

private:
    ringtail_status_t status_;
    bool may_pass_;
};

namespace detail {

// Owns a handle until it is destroyed.
template <typename T, void (*Free)(T *)> class Handle {
public:
    explicit Handle(T *handle = nullptr) noexcept : handle_(handle) {}
    ~Handle() { reset(); }
    Handle(const Handle &) = delete;
    Handle &operator=(const Handle &) = delete;
    Handle(Handle &&other) noexcept : handle_(other.release()) {}
    Handle &operator=(Handle &&other) noexcept {
        if (this != &other) {
            reset(other.release());
        }
        return *this;
    }

    T *get() const noexcept { return handle_; }
    T *release() noexcept { return std::exchange(handle_, nullptr); }
    void reset(T *handle = nullptr) noexcept {
        T *old = std::exchange(handle_, handle);
        if (old != nullptr) {
            Free(old);
        }
    }

private:
    T *handle_;
};

// Throws what failed; takes the error. By reference: the call that makes `status` sets it, before or after the argument is
// evaluated.
inline void check(ringtail_status_t status, ringtail_error_t *const &error) {
    if (status >= 0) {
        return;
    }
    Handle<ringtail_error_t, ringtail_error_free> owned(error);
    std::size_t len = 0;
    const char *text = ringtail_error_message(owned.get(), &len);
    const std::string message = len > 0 ? std::string(text, len) : std::string(ringtail_status_name(status));
    throw Error(status, message, ringtail_error_may_pass(owned.get()) != 0);
}

inline void check(ringtail_status_t status) {
    ringtail_error_t *const none = nullptr;
    check(status, none);
}

} // namespace detail

// Whether the library that was loaded serves a program built with this header.
inline bool is_compatible() noexcept {
    return ringtail_abi_version() == RINGTAIL_ABI_VERSION && ringtail_api_level() >= RINGTAIL_API_LEVEL;
}

// A configuration in the making.
class Config {
public:
    Config() : handle_(ringtail_config_new()) {
        if (handle_.get() == nullptr) {
            throw Error(RINGTAIL_EPANIC, "ringtail_config_new");
        }
    }

    // One property: the YAML's key with points, and a YAML value.
    Config &set(std::string_view key, std::string_view value) {
        ringtail_error_t *error = nullptr;
        detail::check(ringtail_config_set(handle_.get(), key.data(), key.size(), value.data(), value.size(), &error),
                      error);
        return *this;
    }
    // A YAML document.
    Config &load(std::string_view yaml) {
        ringtail_error_t *error = nullptr;
        detail::check(ringtail_config_load(handle_.get(), yaml.data(), yaml.size(), &error), error);
        return *this;
    }
    // Throws every mistake, a line each.
    void check() const {
        ringtail_error_t *error = nullptr;
        detail::check(ringtail_config_check(handle_.get(), &error), error);
    }

    const ringtail_config_t *get() const noexcept { return handle_.get(); }

private:
    detail::Handle<ringtail_config_t, ringtail_config_free> handle_;
};

// A named value of a file.
class Attribute {
public:
    explicit Attribute(const ringtail_attribute_t *raw) noexcept : raw_(raw) {}

    std::string_view name() const noexcept { return {raw_->name, raw_->name_len}; }
    bool is_text() const noexcept { return raw_->kind == RINGTAIL_TYPE_TEXT; }
    // Empty where it is no text.
    std::string_view text() const noexcept {
        return raw_->text == nullptr ? std::string_view() : std::string_view(raw_->text, raw_->text_len);
    }
    // 0 where it is no number.
    std::int64_t number() const noexcept { return raw_->number; }

private:
    const ringtail_attribute_t *raw_;
};

// A file that records come from.
class Source {
public:
    Source(const ringtail_batch_view_t *view, const ringtail_source_t *raw) noexcept : view_(view), raw_(raw) {}

    // The same for the same file with the same attributes, in all batches of a collector.
    std::uint64_t id() const noexcept { return raw_->id; }
    std::string_view path() const noexcept { return {raw_->path, raw_->path_len}; }
    std::size_t size() const noexcept { return raw_->attribute_count; }
    Attribute operator[](std::size_t index) const noexcept {
        return Attribute(ringtail_attribute_at(view_, raw_, static_cast<std::uint32_t>(index)));
    }
    std::optional<Attribute> find(std::string_view name) const noexcept {
        for (std::size_t index = 0; index < size(); ++index) {
            if ((*this)[index].name() == name) {
                return (*this)[index];
            }
        }
        return std::nullopt;
    }

private:
    const ringtail_batch_view_t *view_;
    const ringtail_source_t *raw_;
};

// One record; a view as cheap as a pointer.
class Record {
public:
    explicit Record(const ringtail_record_t *raw) noexcept : raw_(raw) {}

    std::string_view body() const noexcept { return {reinterpret_cast<const char *>(raw_->body), raw_->body_len}; }
    std::int64_t time_ns() const noexcept { return raw_->time_ns; }
    std::chrono::system_clock::time_point time() const noexcept {
        const auto since = std::chrono::nanoseconds(raw_->time_ns);
        return std::chrono::system_clock::time_point(
            std::chrono::duration_cast<std::chrono::system_clock::duration>(since));
    }
    // RINGTAIL_STREAM_*.
    std::uint8_t stream() const noexcept { return raw_->stream; }
    // RINGTAIL_FLAG_*.
    std::uint8_t flags() const noexcept { return raw_->flags; }
    // The number of its file in Batch::source.
    std::uint32_t source() const noexcept { return raw_->source; }
    const ringtail_record_t *raw() const noexcept { return raw_; }

private:
    const ringtail_record_t *raw_;
};

// A batch in the host's hands. Its memory goes back when it is destroyed; its token acknowledges it, also later.
class Batch {
public:
    class Iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = Record;
        using difference_type = std::ptrdiff_t;
        using pointer = void;
        using reference = Record;

        Iterator(const char *at, std::size_t stride) noexcept : at_(at), stride_(stride) {}
        Record operator*() const noexcept {
            return Record(static_cast<const ringtail_record_t *>(static_cast<const void *>(at_)));
        }
        Iterator &operator++() noexcept {
            at_ += stride_;
            return *this;
        }
        Iterator operator++(int) noexcept {
            Iterator old = *this;
            ++*this;
            return old;
        }
        bool operator==(const Iterator &other) const noexcept { return at_ == other.at_; }
        bool operator!=(const Iterator &other) const noexcept { return at_ != other.at_; }

    private:
        const char *at_;
        std::size_t stride_;
    };

    explicit Batch(const ringtail_batch_view_t &view) noexcept : handle_(view.batch), view_(view) {}

    std::uint64_t token() const noexcept { return view_.token; }
    std::string_view pipeline() const noexcept { return {view_.pipeline, view_.pipeline_len}; }
    std::size_t size() const noexcept { return view_.record_count; }
    bool empty() const noexcept { return size() == 0; }
    std::uint64_t body_bytes() const noexcept { return view_.body_bytes; }
    Record operator[](std::size_t index) const noexcept {
        return Record(ringtail_record_at(&view_, static_cast<std::uint32_t>(index)));
    }
    Iterator begin() const noexcept { return {first(), view_.record_stride}; }
    Iterator end() const noexcept { return {first() + size() * view_.record_stride, view_.record_stride}; }
    // The file of a record; valid as long as this batch stays where it is.
    Source source(Record record) const noexcept { return Source(&view_, ringtail_source_at(&view_, record.source())); }
    std::size_t source_count() const noexcept { return view_.source_count; }
    Source source(std::size_t index) const noexcept {
        return Source(&view_, ringtail_source_at(&view_, static_cast<std::uint32_t>(index)));
    }
    const ringtail_batch_view_t &view() const noexcept { return view_; }
    // Gives up the handle, which the caller gives back from now on.
    ringtail_batch_t *release() noexcept { return handle_.release(); }

private:
    const char *first() const noexcept { return static_cast<const char *>(static_cast<const void *>(view_.records)); }

    detail::Handle<ringtail_batch_t, ringtail_batch_free> handle_;
    ringtail_batch_view_t view_;
};

// A collection.
class Collector {
public:
    explicit Collector(const Config &config) {
        ringtail_collector_t *made = nullptr;
        ringtail_error_t *error = nullptr;
        detail::check(ringtail_collector_new(config.get(), &made, &error), error);
        handle_.reset(made);
    }

    // Starts the threads.
    void start() {
        ringtail_error_t *error = nullptr;
        detail::check(ringtail_collector_start(handle_.get(), &error), error);
    }
    // Readable while there is something to fetch.
    int event_fd() const noexcept { return ringtail_collector_event_fd(handle_.get()); }
    // Whether there is something to fetch, waiting for it at most `timeout`.
    bool wait(std::chrono::milliseconds timeout) const {
        const auto most = std::chrono::milliseconds(RINGTAIL_FOREVER - 1);
        const auto ms = timeout.count() < 0 ? std::chrono::milliseconds(0) : (timeout > most ? most : timeout);
        return wait_ms(static_cast<std::uint32_t>(ms.count()));
    }
    // Waits until there is something to fetch.
    void wait() const { wait_ms(RINGTAIL_FOREVER); }

    // The next batch; nothing when there is none now, or none any more: see ended().
    std::optional<Batch> next() { return next_after(nullptr); }
    // The same, giving `done` back in the same call.
    std::optional<Batch> next(Batch &&done) { return next_after(done.release()); }
    // Whether nothing comes any more.
    bool ended() const noexcept { return ended_; }

    void ack(std::uint64_t token) { ack(&token, 1); }
    void ack(const std::uint64_t *tokens, std::size_t n) {
        detail::check(ringtail_collector_ack(handle_.get(), tokens, n));
    }
    // Its records are wanted again.
    void give_back(std::uint64_t token) { detail::check(ringtail_collector_return(handle_.get(), &token, 1)); }
    // Its records are given up.
    void reject(std::uint64_t token) { detail::check(ringtail_collector_reject(handle_.get(), &token, 1)); }

    // Begins to stop: go on with next() and ack() until ended().
    void stop(std::chrono::milliseconds deadline) {
        detail::check(ringtail_collector_stop(handle_.get(), static_cast<std::uint32_t>(deadline.count())));
    }
    // How it ended; nothing before it has.
    std::optional<ringtail_end_t> end() const {
        ringtail_end_t end = RINGTAIL_INIT(ringtail_end_t);
        const ringtail_status_t status = ringtail_collector_end(handle_.get(), &end);
        detail::check(status);
        return status == RINGTAIL_OK ? std::optional<ringtail_end_t>(end) : std::nullopt;
    }

    // Collects these files too; `pipeline` may be empty where there is one only.
    void add_files(const std::vector<std::string> &paths, std::string_view pipeline = {}) {
        const std::vector<ringtail_text_t> texts = texts_of(paths);
        ringtail_error_t *error = nullptr;
        detail::check(ringtail_collector_add_files(handle_.get(), pipeline.data(), pipeline.size(), texts.data(),
                                                   texts.size(), &error),
                      error);
    }
    void remove_files(const std::vector<std::string> &paths, std::string_view pipeline = {}) {
        const std::vector<ringtail_text_t> texts = texts_of(paths);
        ringtail_error_t *error = nullptr;
        detail::check(ringtail_collector_remove_files(handle_.get(), pipeline.data(), pipeline.size(), texts.data(),
                                                      texts.size(), &error),
                      error);
    }
    // What the host knows about the file at `path`: names and texts.
    void set_attributes(std::string_view path, const std::vector<std::pair<std::string, std::string>> &attributes) {
        std::vector<ringtail_attribute_t> raw;
        raw.reserve(attributes.size());
        for (const auto &[name, text] : attributes) {
            ringtail_attribute_t attribute = ringtail_attribute_t();
            attribute.name = name.data();
            attribute.name_len = static_cast<std::uint32_t>(name.size());
            attribute.text = text.data();
            attribute.text_len = static_cast<std::uint32_t>(text.size());
            attribute.kind = RINGTAIL_TYPE_TEXT;
            raw.push_back(attribute);
        }
        detail::check(ringtail_collector_set_attributes(handle_.get(), path.data(), path.size(), raw.data(), raw.size(),
                                                        sizeof(ringtail_attribute_t)));
    }
    // All figures with their names.
    std::vector<std::pair<std::string_view, std::uint64_t>> stats() const {
        std::vector<std::pair<std::string_view, std::uint64_t>> named;
        while (const char *name = ringtail_stat_name(static_cast<std::uint32_t>(named.size()))) {
            named.emplace_back(name, 0);
        }
        std::vector<std::uint64_t> values(named.size());
        detail::check(ringtail_collector_stats(handle_.get(), values.data(), values.size()));
        for (std::size_t index = 0; index < named.size(); ++index) {
            named[index].second = values[index];
        }
        return named;
    }

    ringtail_collector_t *get() const noexcept { return handle_.get(); }

private:
    static std::vector<ringtail_text_t> texts_of(const std::vector<std::string> &paths) {
        std::vector<ringtail_text_t> texts;
        texts.reserve(paths.size());
        for (const std::string &path : paths) {
            texts.push_back(ringtail_text_t{path.data(), path.size()});
        }
        return texts;
    }
    bool wait_ms(std::uint32_t timeout) const {
        const ringtail_status_t status = ringtail_collector_wait(handle_.get(), timeout);
        detail::check(status);
        return status == RINGTAIL_OK;
    }
    std::optional<Batch> next_after(ringtail_batch_t *done) {
        ringtail_batch_view_t view = RINGTAIL_INIT(ringtail_batch_view_t);
        const ringtail_status_t status = ringtail_collector_next(handle_.get(), done, &view);
        if (status == RINGTAIL_EPANIC) {
            ringtail_error_t *error = nullptr;
            ringtail_collector_failure(handle_.get(), &error);
            detail::check(status, error);
        }
        detail::check(status);
        ended_ = status == RINGTAIL_END;
        return status == RINGTAIL_OK ? std::optional<Batch>(Batch(view)) : std::nullopt;
    }

    detail::Handle<ringtail_collector_t, ringtail_collector_free> handle_;
    bool ended_ = false;
};

// Encodes and compresses batches.
class Encoder {
public:
    // `format`: RINGTAIL_FORMAT_*; `compression`: RINGTAIL_COMPRESSION_*.
    explicit Encoder(std::uint32_t format = RINGTAIL_FORMAT_NDJSON,
                     std::uint32_t compression = RINGTAIL_COMPRESSION_ZSTD) {
        ringtail_encoder_options_t options = RINGTAIL_INIT(ringtail_encoder_options_t);
        options.format = format;
        options.compression = compression;
        ringtail_encoder_t *made = nullptr;
        detail::check(ringtail_encoder_new(&options, &made));
        handle_.reset(made);
    }

    // The payload of a batch; valid until the next call.
    std::string_view encode(const Batch &batch) { return encode(batch.view()); }
    std::string_view encode(const ringtail_batch_view_t &view) {
        ringtail_encoded_t encoded = RINGTAIL_INIT(ringtail_encoded_t);
        detail::check(ringtail_encoder_encode(handle_.get(), &view, &encoded));
        return {reinterpret_cast<const char *>(encoded.data), encoded.len};
    }

private:
    detail::Handle<ringtail_encoder_t, ringtail_encoder_free> handle_;
};

// Parses one file that the host reads itself.
class Parser {
public:
    explicit Parser(std::uint32_t input = RINGTAIL_INPUT_AUTO) {
        ringtail_parser_options_t options = RINGTAIL_INIT(ringtail_parser_options_t);
        options.input = input;
        ringtail_parser_t *made = nullptr;
        detail::check(ringtail_parser_new(&options, &made));
        handle_.reset(made);
    }

    // Parses `buffer` in place and appends all of its records to `records`. They are valid as long as the buffer is unchanged and
    // until the next call. What it did; `consumed` bytes are done with.
    ringtail_parsed_t parse(char *buffer, std::size_t len, std::int64_t now_ns, std::vector<ringtail_record_t> &records) {
        std::size_t used = records.size();
        records.resize(used + room_);
        ringtail_parsed_t first = RINGTAIL_INIT(ringtail_parsed_t);
        ringtail_status_t status = ringtail_parser_parse(handle_.get(), reinterpret_cast<std::uint8_t *>(buffer), len,
                                                         now_ns, records.data() + used, room_, &first);
        if (status < 0) {
            records.resize(used);
        }
        detail::check(status);
        used += first.record_count;
        while (status == RINGTAIL_AGAIN) {
            room_ *= 2;
            records.resize(used + room_);
            ringtail_parsed_t more = RINGTAIL_INIT(ringtail_parsed_t);
            status = ringtail_parser_more(handle_.get(), records.data() + used, room_, &more);
            detail::check(status);
            used += more.record_count;
            first.record_count += more.record_count;
        }
        records.resize(used);
        return first;
    }

    ringtail_parser_t *get() const noexcept { return handle_.get(); }

private:
    detail::Handle<ringtail_parser_t, ringtail_parser_free> handle_;
    std::size_t room_ = 1024;
};

} // namespace ringtail

#endif // RINGTAIL_HPP
