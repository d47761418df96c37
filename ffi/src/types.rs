//! The structures that cross the ABI. They only ever grow at their ends; arrays of them are stepped by a stride.
//!
//! What a field means is said here once, for C's header and for the code.
#![allow(non_camel_case_types, reason = "the names are C's")]

use std::ffi::c_char;

/// A handle on a batch that the host holds.
pub struct ringtail_batch_t {
    _opaque: [u8; 0],
}

/// A record that has no stream: a raw line, or one whose stream could not be told.
pub const RINGTAIL_STREAM_NONE: u8 = 0;
/// Standard output.
pub const RINGTAIL_STREAM_STDOUT: u8 = 1;
/// Standard error.
pub const RINGTAIL_STREAM_STDERR: u8 = 2;

/// Cut at `max_line` or `max_record`.
pub const RINGTAIL_FLAG_TRUNCATED: u8 = 1;
/// Not in the format of its file; the body is the line as it was found.
pub const RINGTAIL_FLAG_MALFORMED: u8 = 2;
/// Delivered before its end was seen.
pub const RINGTAIL_FLAG_PARTIAL: u8 = 4;

/// One record. Its bytes are not copied: they stay where they were read, until the batch is given back.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ringtail_record_t {
    /// The message: any bytes, not ended by a zero.
    pub body: *const u8,
    /// Nanoseconds since 1970-01-01T00:00:00Z: the container runtime's time, for raw files the time of reading.
    pub time_ns: i64,
    /// The length of the message in bytes.
    pub body_len: u32,
    /// The number of the file in the view's `sources`.
    pub source: u32,
    /// The number of its first field in the view's `fields`.
    pub field_begin: u32,
    /// How many fields parsing steps found in it: none in this version.
    pub field_count: u16,
    /// `RINGTAIL_STREAM_*`.
    pub stream: u8,
    /// `RINGTAIL_FLAG_*`, or-ed; further ones may come.
    pub flags: u8,
}

/// The value of an attribute is text.
pub const RINGTAIL_TYPE_TEXT: u32 = 0;
/// The value of an attribute is a whole number.
pub const RINGTAIL_TYPE_INT: u32 = 1;

/// A named value: an attribute of a file (`k8s.pod.name`), or a field of a record.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ringtail_attribute_t {
    /// The name: UTF-8, not ended by a zero.
    pub name: *const c_char,
    /// The value of `RINGTAIL_TYPE_TEXT`: UTF-8, not ended by a zero; else NULL.
    pub text: *const c_char,
    /// The value of `RINGTAIL_TYPE_INT`; else 0.
    pub number: i64,
    /// The length of the name in bytes.
    pub name_len: u32,
    /// The length of the text in bytes.
    pub text_len: u32,
    /// `RINGTAIL_TYPE_*`; further ones may come.
    pub kind: u32,
    /// 0.
    pub reserved: u32,
}

/// A file that records come from, with everything that is known once per file.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ringtail_source_t {
    /// The same for the same file with the same attributes, in all batches of a collector, and never used again: by
    /// it a host finds again what it made of the attributes.
    pub id: u64,
    /// The path that was matched (the value of `log.file.path`): UTF-8, not ended by a zero.
    pub path: *const c_char,
    /// All attributes, `log.file.path` first; stepped by the view's `attribute_stride`.
    pub attributes: *const ringtail_attribute_t,
    /// The length of the path in bytes.
    pub path_len: u32,
    /// How many attributes there are.
    pub attribute_count: u32,
}

/// The batch holds records of log files.
pub const RINGTAIL_BATCH_RECORDS: u32 = 1;

/// A batch, as `ringtail_collector_next` shows it. Every pointer is valid until the batch is given back.
///
/// Set `struct_size` to `sizeof(ringtail_batch_view_t)` before the call (`RINGTAIL_INIT`). Records are stepped by `record_stride`,
/// which a later library may enlarge; likewise the other tables.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ringtail_batch_view_t {
    /// In: the size of this structure as the program knows it.
    pub struct_size: u32,
    /// `RINGTAIL_BATCH_*`; a host gives back and acknowledges what it does not know.
    pub kind: u32,
    /// The handle by which it is given back: to `ringtail_collector_next` or `ringtail_batch_free`.
    pub batch: *mut ringtail_batch_t,
    /// What `ringtail_collector_ack` takes, also after the batch was given back.
    pub token: u64,
    /// The records, in order.
    pub records: *const ringtail_record_t,
    /// How many there are.
    pub record_count: u32,
    /// Bytes from one record to the next.
    pub record_stride: u32,
    /// The files that records name by number.
    pub sources: *const ringtail_source_t,
    /// How many there are.
    pub source_count: u32,
    /// Bytes from one to the next.
    pub source_stride: u32,
    /// The fields that records name by number; none in this version.
    pub fields: *const ringtail_attribute_t,
    /// How many there are.
    pub field_count: u32,
    /// Bytes from one field to the next.
    pub field_stride: u32,
    /// Bytes from one attribute of a source to the next.
    pub attribute_stride: u32,
    /// The length of the pipeline's name in bytes.
    pub pipeline_len: u32,
    /// The name of the pipeline that the records belong to: not ended by a zero.
    pub pipeline: *const c_char,
    /// The sum of the lengths of all messages.
    pub body_bytes: u64,
}

// The layout is a promise; the tests compare it in C and C++ too.
const _: () = assert!(size_of::<ringtail_record_t>() == 32);
const _: () = assert!(size_of::<ringtail_attribute_t>() == 40);
const _: () = assert!(size_of::<ringtail_source_t>() == 32);
const _: () = assert!(size_of::<ringtail_batch_view_t>() == 96);
