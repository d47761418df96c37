//! Encoding and compressing alone: records, of a batch or of the host's own, to a payload in a buffer of the library.
#![allow(unsafe_code)]

use std::ffi::c_char;
use std::path::Path;
use std::sync::{Arc, Mutex, TryLockError};

use ringtail_encode::{Compression, Packed, Packer, Selection, Wire};
use ringtail_record::{Flags, RecordView, Source, Stream};

use crate::entry::{enter, enter_or};
use crate::files::read_attributes;
use crate::handle::{self, Kind};
use crate::sized::{self, SaysSize};
use crate::status::*;
use crate::text::{text, things};
use crate::types::{ringtail_attribute_t, ringtail_batch_view_t, ringtail_record_t, ringtail_source_t};

/// One JSON object a line, flat, as the agent's outputs write it.
pub const RINGTAIL_FORMAT_NDJSON: u32 = 0;
/// The messages only, byte for byte, each with a newline.
pub const RINGTAIL_FORMAT_TEXT: u32 = 1;

/// As it is.
pub const RINGTAIL_COMPRESSION_NONE: u32 = 0;
/// One zstd frame, level 1.
pub const RINGTAIL_COMPRESSION_ZSTD: u32 = 1;
/// One lz4 frame.
pub const RINGTAIL_COMPRESSION_LZ4: u32 = 2;
/// One gzip member.
pub const RINGTAIL_COMPRESSION_GZIP: u32 = 3;

/// A buffer that was grown beyond this by one large batch is let go by the next call.
const KEPT: usize = 8 << 20;

/// An encoder with its compressor and its buffer.
#[allow(non_camel_case_types)]
pub struct ringtail_encoder_t {
    _opaque: [u8; 0],
}

/// How records are encoded. Zeros are defaults.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ringtail_encoder_options_t {
    /// In: the size of this structure as the program knows it.
    pub struct_size: u32,
    /// `RINGTAIL_FORMAT_*`.
    pub format: u32,
    /// `RINGTAIL_COMPRESSION_*`.
    pub compression: u32,
    /// The length of `attributes` in bytes.
    pub attributes_len: u32,
    /// Which attributes of a source go out: names or prefixes as `k8s.*`, separated by commas. NULL: all of them.
    pub attributes: *const c_char,
}

/// A payload.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ringtail_encoded_t {
    /// In: the size of this structure as the program knows it.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// The payload, in a buffer of the encoder.
    pub data: *const u8,
    /// Its length in bytes.
    pub len: usize,
    /// The length before compression.
    pub encoded_bytes: u64,
    /// Records in which bytes that are not UTF-8 were replaced by U+FFFD.
    pub replaced_utf8: u64,
}

// SAFETY: repr(C), integers and pointers only, the size first.
unsafe impl SaysSize for ringtail_encoder_options_t {
    const LEAST: usize = size_of::<u32>();
}
// SAFETY: as above.
unsafe impl SaysSize for ringtail_encoded_t {
    const LEAST: usize = std::mem::offset_of!(ringtail_encoded_t, encoded_bytes);
}

impl Kind for ringtail_encoder_t {
    const TAG: u64 = u64::from_le_bytes(*b"rt-encod");
    type Body = Mutex<Encoder>;
}

pub(crate) struct Encoder {
    packer: Packer,
    payload: Vec<u8>,
}

/// A record as C gave it, and what it points to.
///
/// # Safety
/// The body has as many readable bytes as is said, for `'a`.
unsafe fn record<'a>(record: &ringtail_record_t) -> RecordView<'a> {
    let set = |(flag, _): &&(Flags, _)| record.flags & flag.bits() != 0;
    RecordView {
        time_ns: record.time_ns,
        stream: Stream::ALL.get(usize::from(record.stream)).copied().unwrap_or_default(),
        flags: Flags::NAMES.iter().filter(set).fold(Flags::NONE, |flags, (flag, _)| flags | *flag),
        // SAFETY: the caller's promise; a body that is nowhere is empty.
        body: unsafe { things(record.body, record.body_len as usize) }.unwrap_or_default(),
        source: record.source,
    }
}

/// Makes an encoder. `options` may be NULL for the defaults (ndjson, not compressed, all attributes); else set its `struct_size`
/// (`RINGTAIL_INIT`).
///
/// Ownership: options are copied; `*encoder` is the caller's, to be freed by `ringtail_encoder_free`. Threads: any. Errors:
/// `RINGTAIL_EINVAL` (no such format, compression or pattern), `RINGTAIL_E2BIG` (an option that this library does not know). Since: 0.1.
///
/// # Safety
/// `options` is NULL or has as many readable bytes as it says, its text too; `encoder` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_encoder_new(
    options: *const ringtail_encoder_options_t,
    encoder: *mut *mut ringtail_encoder_t,
) -> ringtail_status_t {
    enter(|| {
        if encoder.is_null() {
            return RINGTAIL_EINVAL;
        }
        // SAFETY: the caller's promise.
        match unsafe { packer(options) } {
            Ok(packer) => {
                let made = handle::give(Mutex::new(Encoder { packer, payload: Vec::new() }));
                // SAFETY: the caller's promise.
                unsafe { encoder.write(made) };
                RINGTAIL_OK
            }
            Err(status) => status,
        }
    })
}

/// # Safety
/// `options` is NULL or has as many readable bytes as it says, its text too.
unsafe fn packer(options: *const ringtail_encoder_options_t) -> Result<Packer, ringtail_status_t> {
    if options.is_null() {
        return Ok(Packer::new(Wire::Ndjson { attributes: Selection::all() }, Compression::None));
    }
    // SAFETY: the caller's promise.
    let options = unsafe { sized::read(options) }?;
    let attributes = match options.attributes.is_null() {
        true => Selection::all(),
        false => {
            // SAFETY: the caller's promise.
            let patterns = unsafe { text(options.attributes, options.attributes_len as usize) }?;
            Selection::parse(patterns.split(',').filter(|pattern| !pattern.is_empty()))
                .map_err(|_| RINGTAIL_EINVAL)?
        }
    };
    let wire = match options.format {
        RINGTAIL_FORMAT_NDJSON => Wire::Ndjson { attributes },
        RINGTAIL_FORMAT_TEXT => Wire::Text,
        _ => return Err(RINGTAIL_EINVAL),
    };
    let compression = match options.compression {
        RINGTAIL_COMPRESSION_NONE => Compression::None,
        RINGTAIL_COMPRESSION_ZSTD => Compression::Zstd,
        RINGTAIL_COMPRESSION_LZ4 => Compression::Lz4,
        RINGTAIL_COMPRESSION_GZIP => Compression::Gzip,
        _ => return Err(RINGTAIL_EINVAL),
    };
    Ok(Packer::new(wire, compression))
}

/// Encodes and compresses the records of `view`: one whole frame. The view is one of `ringtail_collector_next`, or the host's own:
/// `struct_size`, `records` with count and stride, `sources` with count and stride, and `attribute_stride` are looked at. Set
/// `encoded->struct_size` before.
///
/// Ownership: the payload is the encoder's, valid until its next call; the batch stays the caller's, and may be given back at once.
/// Threads: any, one at a time. Errors: `RINGTAIL_EINVAL` (also for a record that names no source of the view), `RINGTAIL_EBUSY`,
/// `RINGTAIL_EFORKED`. Since: 0.1.
///
/// # Safety
/// Everything that the view points to is readable, as far as it says; `encoded` has as many writable bytes as it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_encoder_encode(
    encoder: *mut ringtail_encoder_t,
    view: *const ringtail_batch_view_t,
    encoded: *mut ringtail_encoded_t,
) -> ringtail_status_t {
    let run = |encoder: &Mutex<Encoder>| {
        sized::check(encoded)?;
        let mut encoder = match encoder.try_lock() {
            Ok(encoder) => encoder,
            Err(TryLockError::WouldBlock) => return Err(RINGTAIL_EBUSY),
            Err(TryLockError::Poisoned(_)) => return Err(RINGTAIL_EPANIC),
        };
        // SAFETY: the caller's promise.
        let packed = unsafe { encode(&mut encoder, view)? };
        let told = ringtail_encoded_t {
            struct_size: 0,
            reserved: 0,
            data: encoder.payload.as_ptr(),
            len: encoder.payload.len(),
            encoded_bytes: packed.encoded_bytes,
            replaced_utf8: packed.replaced_utf8,
        };
        // SAFETY: the caller's promise.
        unsafe { sized::write(encoded, &told)? };
        Ok(RINGTAIL_OK)
    };
    enter(|| handle::with(encoder, run).and_then(|done| done).unwrap_or_else(|status| status))
}

/// # Safety
/// Everything that the view points to is readable, as far as it says.
unsafe fn encode(
    encoder: &mut Encoder,
    view: *const ringtail_batch_view_t,
) -> Result<Packed, ringtail_status_t> {
    // SAFETY: the caller's promise.
    let view = unsafe { known_part(view)? };
    let legal_strides = view.record_stride as usize >= size_of::<ringtail_record_t>()
        && view.record_stride.is_multiple_of(8)
        && view.source_stride as usize >= size_of::<ringtail_source_t>()
        && view.source_stride.is_multiple_of(8);
    let missing = (view.record_count > 0 && view.records.is_null())
        || (view.source_count > 0 && view.sources.is_null());
    if missing || !legal_strides || !view.records.is_aligned() || !view.sources.is_aligned() {
        return Err(RINGTAIL_EINVAL);
    }
    let at = |number: u32| {
        // SAFETY: the caller's promise: `number` is below the count, and aligned as the first one is.
        unsafe { &*view.records.byte_add(number as usize * view.record_stride as usize) }
    };
    if (0..view.record_count).any(|number| at(number).source >= view.source_count) {
        return Err(RINGTAIL_EINVAL);
    }
    // SAFETY: the caller's promise.
    let sources = unsafe { sources(&view)? };
    let Encoder { packer, payload } = encoder;
    payload.clear();
    payload.shrink_to(KEPT);
    // SAFETY: the caller's promise.
    let records = (0..view.record_count as usize)
        .map(|number| unsafe { record(&*view.records.byte_add(number * view.record_stride as usize)) });
    Ok(packer.pack_records(&sources, records, payload))
}

/// The part of a view that every version has.
///
/// # Safety
/// As many bytes are readable as it says.
unsafe fn known_part(view: *const ringtail_batch_view_t) -> Result<ringtail_batch_view_t, ringtail_status_t> {
    // SAFETY: the caller's promise. What a newer library wrote beyond is nothing that could be lost here.
    match unsafe { sized::read(view) } {
        Err(RINGTAIL_E2BIG) => Err(RINGTAIL_EINVAL),
        view => view,
    }
}

/// # Safety
/// Everything that the sources point to is readable, as far as they say.
unsafe fn sources(view: &ringtail_batch_view_t) -> Result<Vec<Arc<Source>>, ringtail_status_t> {
    let source = |number: u32| {
        // SAFETY: the caller's promise.
        let source = unsafe { &*view.sources.byte_add(number as usize * view.source_stride as usize) };
        // SAFETY: the caller's promise.
        let path = unsafe { text(source.path, source.path_len as usize)? };
        // A view of a program that is too old to have a stride has today's.
        let stride = match view.attribute_stride {
            0 => size_of::<ringtail_attribute_t>(),
            stride => stride as usize,
        };
        let count = source.attribute_count as usize;
        // SAFETY: the caller's promise.
        let attributes = unsafe { read_attributes(source.attributes, count, stride)? };
        let mut made = Source::from_path(Path::new(path));
        attributes.into_iter().for_each(|attribute| made.set(attribute));
        Ok(Arc::new(made))
    };
    (0..view.source_count).map(source).collect()
}

/// Frees an encoder. NULL is legal and does nothing.
///
/// Ownership: takes `encoder`; its payload is dead. Threads: one, the last that uses it. Errors: none. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn ringtail_encoder_free(encoder: *mut ringtail_encoder_t) {
    enter_or((), || drop(handle::take(encoder)));
}
