/* The layout of every structure that crosses the border, as this compiler sees it. */
#include <ringtail.h>
#include <stdio.h>

#define STRUCT(type) printf("%s: %zu bytes\n", #type, sizeof(type))
#define FIELD(type, field) printf("  %s at %zu\n", #field, offsetof(type, field))

int main(void) {
    STRUCT(ringtail_record_t);
    FIELD(ringtail_record_t, body);
    FIELD(ringtail_record_t, time_ns);
    FIELD(ringtail_record_t, body_len);
    FIELD(ringtail_record_t, source);
    FIELD(ringtail_record_t, field_begin);
    FIELD(ringtail_record_t, field_count);
    FIELD(ringtail_record_t, stream);
    FIELD(ringtail_record_t, flags);
    STRUCT(ringtail_attribute_t);
    FIELD(ringtail_attribute_t, name);
    FIELD(ringtail_attribute_t, text);
    FIELD(ringtail_attribute_t, number);
    FIELD(ringtail_attribute_t, name_len);
    FIELD(ringtail_attribute_t, text_len);
    FIELD(ringtail_attribute_t, kind);
    FIELD(ringtail_attribute_t, reserved);
    STRUCT(ringtail_source_t);
    FIELD(ringtail_source_t, id);
    FIELD(ringtail_source_t, path);
    FIELD(ringtail_source_t, attributes);
    FIELD(ringtail_source_t, path_len);
    FIELD(ringtail_source_t, attribute_count);
    STRUCT(ringtail_batch_view_t);
    FIELD(ringtail_batch_view_t, struct_size);
    FIELD(ringtail_batch_view_t, kind);
    FIELD(ringtail_batch_view_t, batch);
    FIELD(ringtail_batch_view_t, token);
    FIELD(ringtail_batch_view_t, records);
    FIELD(ringtail_batch_view_t, record_count);
    FIELD(ringtail_batch_view_t, record_stride);
    FIELD(ringtail_batch_view_t, sources);
    FIELD(ringtail_batch_view_t, source_count);
    FIELD(ringtail_batch_view_t, source_stride);
    FIELD(ringtail_batch_view_t, fields);
    FIELD(ringtail_batch_view_t, field_count);
    FIELD(ringtail_batch_view_t, field_stride);
    FIELD(ringtail_batch_view_t, attribute_stride);
    FIELD(ringtail_batch_view_t, pipeline_len);
    FIELD(ringtail_batch_view_t, pipeline);
    FIELD(ringtail_batch_view_t, body_bytes);
    STRUCT(ringtail_end_t);
    FIELD(ringtail_end_t, struct_size);
    FIELD(ringtail_end_t, all_answered);
    FIELD(ringtail_end_t, positions_kept);
    FIELD(ringtail_end_t, reserved);
    STRUCT(ringtail_text_t);
    FIELD(ringtail_text_t, text);
    FIELD(ringtail_text_t, len);
    STRUCT(ringtail_parser_options_t);
    FIELD(ringtail_parser_options_t, struct_size);
    FIELD(ringtail_parser_options_t, input);
    FIELD(ringtail_parser_options_t, max_line);
    FIELD(ringtail_parser_options_t, max_record);
    STRUCT(ringtail_parsed_t);
    FIELD(ringtail_parsed_t, struct_size);
    FIELD(ringtail_parsed_t, format);
    FIELD(ringtail_parsed_t, record_count);
    FIELD(ringtail_parsed_t, consumed);
    FIELD(ringtail_parsed_t, resume_offset);
    FIELD(ringtail_parsed_t, malformed_lines);
    FIELD(ringtail_parsed_t, lost_bytes);
    STRUCT(ringtail_encoder_options_t);
    FIELD(ringtail_encoder_options_t, struct_size);
    FIELD(ringtail_encoder_options_t, format);
    FIELD(ringtail_encoder_options_t, compression);
    FIELD(ringtail_encoder_options_t, attributes_len);
    FIELD(ringtail_encoder_options_t, attributes);
    STRUCT(ringtail_encoded_t);
    FIELD(ringtail_encoded_t, struct_size);
    FIELD(ringtail_encoded_t, reserved);
    FIELD(ringtail_encoded_t, data);
    FIELD(ringtail_encoded_t, len);
    FIELD(ringtail_encoded_t, encoded_bytes);
    FIELD(ringtail_encoded_t, replaced_utf8);
    return 0;
}
