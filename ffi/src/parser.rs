//! Parsing alone, for hosts that keep their own tailer: the bytes of one file in, records out.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::sync::{Mutex, TryLockError};

use ringtail_memory::{Budget, CarryPool, Use};
use ringtail_parse::{Decoded, Decoder, Format, Input, Limits, LineEnd, Table};
use ringtail_record::{Position, Stream};

use crate::entry::{enter, enter_or};
use crate::handle::{self, Kind};
use crate::sized::{self, SaysSize};
use crate::status::*;
use crate::types::ringtail_record_t;

/// The first whole line tells the format.
pub const RINGTAIL_INPUT_AUTO: u32 = 0;
/// The files of kubelet, written by containerd and CRI-O.
pub const RINGTAIL_INPUT_CRI: u32 = 1;
/// The files of docker's json-file driver.
pub const RINGTAIL_INPUT_DOCKER_JSON: u32 = 2;
/// A line is a record.
pub const RINGTAIL_INPUT_RAW: u32 = 3;

/// No more came for a while: a raw line without its newline, and open partials, are delivered as they are.
pub const RINGTAIL_FLUSH_TIMEOUT: u32 = 1;
/// The file ends here.
pub const RINGTAIL_FLUSH_END: u32 = 2;

/// What the carries of one parser may hold. The limits on lines and records bound it far below: three open records, a line that
/// is cut, and what was joined in one buffer.
const MEMORY: usize = 1 << 30;
/// Carries that a parser keeps for later, in bytes.
const KEPT: usize = 64 << 10;
const MAX_LINE: usize = 1 << 20;
const MAX_RECORD: usize = 4 << 20;

/// The state of parsing one file, between its buffers.
#[allow(non_camel_case_types)]
pub struct ringtail_parser_t {
    _opaque: [u8; 0],
}

/// How a file is parsed. Zeros are defaults.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ringtail_parser_options_t {
    /// In: the size of this structure as the program knows it.
    pub struct_size: u32,
    /// `RINGTAIL_INPUT_*`.
    pub input: u32,
    /// The longest line in bytes; 0: 1 MiB. At most 8 MiB.
    pub max_line: u64,
    /// The longest record, joined from its parts, in bytes; 0: 4 MiB. At most 8 MiB.
    pub max_record: u64,
}

/// What a call to a parser did.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ringtail_parsed_t {
    /// In: the size of this structure as the program knows it.
    pub struct_size: u32,
    /// The format: `RINGTAIL_INPUT_AUTO` as long as it is not known.
    pub format: u32,
    /// Records written.
    pub record_count: usize,
    /// Bytes of the buffer that are done with. The rest, a line without its end, belongs in front of the next bytes.
    pub consumed: usize,
    /// How many bytes of the file, from the parser's first one on, are done with for good: whoever begins again with a new parser begins
    /// here, where no record is open.
    pub resume_offset: u64,
    /// Lines that are not in the format of the file.
    pub malformed_lines: u64,
    /// Bytes that `max_line` and `max_record` cut off.
    pub lost_bytes: u64,
}

// SAFETY: repr(C), integers only, the size first.
unsafe impl SaysSize for ringtail_parser_options_t {
    const LEAST: usize = size_of::<u32>();
}
// SAFETY: as above.
unsafe impl SaysSize for ringtail_parsed_t {
    const LEAST: usize = std::mem::offset_of!(ringtail_parsed_t, malformed_lines);
}

impl Kind for ringtail_parser_t {
    const TAG: u64 = u64::from_le_bytes(*b"rt-parsr");
    type Body = Mutex<Parser>;
}

pub(crate) struct Parser {
    decoder: Decoder,
    carries: CarryPool,
    budget: Budget,
    table: Table,
    /// Where the next bytes lie in the file, counted from the parser's first one.
    offset: u64,
    resume: u64,
    /// The buffer of the last call.
    chunk: Chunk,
    /// Records of the table that were written out.
    written: usize,
}

/// Where the messages of the last call lie.
struct Chunk(*const u8);

// SAFETY: an address, that only the host follows.
unsafe impl Send for Chunk {}

impl Parser {
    fn new(options: &ringtail_parser_options_t) -> Result<Self, ringtail_status_t> {
        let input = match options.input {
            RINGTAIL_INPUT_AUTO => Input::Auto,
            RINGTAIL_INPUT_CRI => Input::Fixed(Format::Cri),
            RINGTAIL_INPUT_DOCKER_JSON => Input::Fixed(Format::DockerJson),
            RINGTAIL_INPUT_RAW => Input::Fixed(Format::Raw),
            _ => return Err(RINGTAIL_EINVAL),
        };
        let limit = |said: u64, default| match usize::try_from(said) {
            Ok(0) => default,
            said => said.unwrap_or(usize::MAX),
        };
        let limits = Limits {
            max_line: limit(options.max_line, MAX_LINE),
            max_record: limit(options.max_record, MAX_RECORD),
        };
        let budget = Budget::new(MEMORY);
        let carries = CarryPool::new(&budget);
        Ok(Parser {
            decoder: Decoder::new(input, limits, carries.clone()),
            carries,
            budget,
            table: Table::default(),
            offset: 0,
            resume: 0,
            chunk: Chunk(std::ptr::null()),
            written: 0,
        })
    }

    /// Decodes `buffer`, or flushes what is unfinished and `buffer` with it; bytes consumed.
    fn decode(
        &mut self,
        buffer: &mut [u8],
        now_ns: i64,
        flush: Option<LineEnd>,
    ) -> Result<usize, ringtail_status_t> {
        self.table.clear();
        self.written = 0;
        if self.budget.used(Use::Carries) > KEPT {
            self.carries.trim();
        }
        let at = Position { generation: 0, offset: self.offset };
        self.chunk = Chunk(buffer.as_ptr());
        let consumed = match flush {
            None => self.decoder.decode(buffer, at, now_ns, &mut self.table),
            Some(why) => self.decoder.flush_line(buffer, at, now_ns, &mut self.table, why),
        };
        let Ok(consumed) = consumed else {
            // From the last place where nothing was open; the host was told where that is.
            self.decoder.forget();
            self.table.clear();
            self.offset = self.resume;
            return Err(RINGTAIL_EMEMORY);
        };
        if flush.is_some() {
            for stream in Stream::ALL {
                self.decoder.flush_partial(stream, &mut self.table);
            }
        }
        self.offset += consumed as u64;
        let open = Stream::ALL.iter().filter_map(|stream| self.decoder.open_since(*stream));
        self.resume = open.map(|position| position.offset).min().unwrap_or(self.offset);
        Ok(consumed)
    }

    fn told(&self, record_count: usize, consumed: usize) -> ringtail_parsed_t {
        let Table { malformed_lines, lost_line_bytes, lost_record_bytes, .. } = self.table;
        ringtail_parsed_t {
            struct_size: 0,
            format: match self.decoder.format() {
                None => RINGTAIL_INPUT_AUTO,
                Some(Format::Cri) => RINGTAIL_INPUT_CRI,
                Some(Format::DockerJson) => RINGTAIL_INPUT_DOCKER_JSON,
                Some(Format::Raw) => RINGTAIL_INPUT_RAW,
            },
            record_count,
            consumed,
            resume_offset: self.resume,
            malformed_lines,
            lost_bytes: lost_line_bytes + lost_record_bytes,
        }
    }

    /// Writes records that were not yet, as far as there is room.
    ///
    /// # Safety
    /// `records` has room for `capacity`.
    unsafe fn write(
        &mut self,
        records: *mut ringtail_record_t,
        capacity: usize,
    ) -> (usize, ringtail_status_t) {
        let left = &self.table.records[self.written..];
        let count = left.len().min(capacity);
        if count > 0 {
            // SAFETY: there is room for `capacity`, and `count` is not above it.
            let room = unsafe { std::slice::from_raw_parts_mut(records.cast::<MaybeUninit<_>>(), count) };
            let (chunk, joined) = (self.chunk.0, &*self.table.joined);
            let homes =
                |record: &Decoded| record.home.joined().map_or(chunk, |number| joined[number].as_ptr());
            // Nearly always all of them lie in the chunk: then nothing is asked of each.
            match joined.is_empty() {
                true => fill(room, left, |_| chunk),
                false => fill(room, left, homes),
            }
        }
        let status = if count < left.len() { RINGTAIL_AGAIN } else { RINGTAIL_OK };
        self.written += count;
        (count, status)
    }
}

/// Fills `room` with the first of `records`, whose messages lie where `home` says.
#[inline]
fn fill(
    room: &mut [MaybeUninit<ringtail_record_t>],
    records: &[Decoded],
    home: impl Fn(&Decoded) -> *const u8,
) {
    for (place, record) in room.iter_mut().zip(records) {
        place.write(ringtail_record_t {
            body: home(record).wrapping_add(record.off as usize),
            time_ns: record.time_ns,
            body_len: record.len,
            source: 0,
            field_begin: 0,
            field_count: 0,
            stream: record.stream as u8,
            flags: record.flags.bits(),
        });
    }
}

/// Makes a parser for one file. `options` may be NULL for the defaults; else set its `struct_size` (`RINGTAIL_INIT`).
///
/// Ownership: options are copied; `*parser` is the caller's, to be freed by `ringtail_parser_free`. Threads: any. Errors:
/// `RINGTAIL_EINVAL`, `RINGTAIL_E2BIG` (an option that this library does not know). Since: 0.1.
///
/// # Safety
/// `options` is NULL or has as many readable bytes as it says; `parser` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_parser_new(
    options: *const ringtail_parser_options_t,
    parser: *mut *mut ringtail_parser_t,
) -> ringtail_status_t {
    enter(|| {
        if parser.is_null() {
            return RINGTAIL_EINVAL;
        }
        let defaults = ringtail_parser_options_t { struct_size: 0, input: 0, max_line: 0, max_record: 0 };
        // SAFETY: the caller's promise.
        let options = if options.is_null() { Ok(defaults) } else { unsafe { sized::read(options) } };
        match options.and_then(|options| Parser::new(&options)) {
            Ok(made) => {
                // SAFETY: the caller's promise.
                unsafe { parser.write(handle::give(Mutex::new(made))) };
                RINGTAIL_OK
            }
            Err(status) => status,
        }
    })
}

/// Parses `buffer`, the next bytes of the file, in place: what was escaped is undone and what was split is joined inside it, and bodies of
/// records point into it, or into the parser. `now_ns`, nanoseconds since 1970, is the time of lines that have none. Call again with the
/// bytes behind `parsed->consumed` and what comes after them. `RINGTAIL_AGAIN`: there was no room for all records, get the rest by
/// `ringtail_parser_more`. Set `parsed->struct_size` before.
///
/// Ownership: the buffer stays the caller's; records are valid as long as the buffer is unchanged, and until the next call of
/// `ringtail_parser_parse`, `ringtail_parser_flush` or `ringtail_parser_free`. Threads: any, one at a time. Errors: `RINGTAIL_EMEMORY` (give the file
/// again from the last `resume_offset` on), `RINGTAIL_EBUSY`, `RINGTAIL_EINVAL`, `RINGTAIL_EFORKED`. Since: 0.1.
///
/// # Safety
/// `buffer` has `len` writable bytes, `records` room for `capacity`, `parsed` as many writable bytes as it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_parser_parse(
    parser: *mut ringtail_parser_t,
    buffer: *mut u8,
    len: usize,
    now_ns: i64,
    records: *mut ringtail_record_t,
    capacity: usize,
    parsed: *mut ringtail_parsed_t,
) -> ringtail_status_t {
    // SAFETY: the caller's promise.
    enter(|| unsafe { parse(parser, (buffer, len), now_ns, None, (records, capacity), parsed) })
}

/// Delivers what is not whole, because it is not waited for any longer: `why` is `RINGTAIL_FLUSH_*`. `rest` is the line without its end that
/// the call before left with the host, or nothing. Half a CRI or docker line never becomes a record.
///
/// Ownership, threads, errors: as `ringtail_parser_parse`. Since: 0.1.
///
/// # Safety
/// As `ringtail_parser_parse`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_parser_flush(
    parser: *mut ringtail_parser_t,
    rest: *mut u8,
    len: usize,
    now_ns: i64,
    why: u32,
    records: *mut ringtail_record_t,
    capacity: usize,
    parsed: *mut ringtail_parsed_t,
) -> ringtail_status_t {
    enter(|| {
        let why = match why {
            RINGTAIL_FLUSH_TIMEOUT => LineEnd::Timeout,
            RINGTAIL_FLUSH_END => LineEnd::EndOfFile,
            _ => return RINGTAIL_EINVAL,
        };
        // SAFETY: the caller's promise.
        unsafe { parse(parser, (rest, len), now_ns, Some(why), (records, capacity), parsed) }
    })
}

/// Writes the records that did not fit into the last call's. `RINGTAIL_AGAIN`: there are still more.
///
/// Ownership, threads, errors: as `ringtail_parser_parse`; those written before stay valid. Since: 0.1.
///
/// # Safety
/// `records` has room for `capacity`, `parsed` as many writable bytes as it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringtail_parser_more(
    parser: *mut ringtail_parser_t,
    records: *mut ringtail_record_t,
    capacity: usize,
    parsed: *mut ringtail_parsed_t,
) -> ringtail_status_t {
    // SAFETY: the caller's promise.
    enter(|| unsafe { more(parser, (records, capacity), parsed, |_| Ok(0)) })
}

/// Frees a parser. NULL is legal and does nothing.
///
/// Ownership: takes `parser`; records that it wrote are dead. Threads: one, the last that uses it. Errors: none. Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn ringtail_parser_free(parser: *mut ringtail_parser_t) {
    enter_or((), || drop(handle::take(parser)));
}

/// # Safety
/// As `ringtail_parser_parse`.
unsafe fn parse(
    parser: *mut ringtail_parser_t,
    (buffer, len): (*mut u8, usize),
    now_ns: i64,
    flush: Option<LineEnd>,
    records: (*mut ringtail_record_t, usize),
    parsed: *mut ringtail_parsed_t,
) -> ringtail_status_t {
    if (len > 0 && buffer.is_null()) || u32::try_from(len).is_err() {
        return RINGTAIL_EINVAL;
    }
    let buffer = match len {
        0 => &mut [][..],
        // SAFETY: the caller's promise: its own bytes, which nobody else uses during the call.
        _ => unsafe { std::slice::from_raw_parts_mut(buffer, len) },
    };
    // SAFETY: the caller's promise.
    unsafe { more(parser, records, parsed, |parser| parser.decode(buffer, now_ns, flush)) }
}

/// Lets `decode` make records, and writes those that are there.
///
/// # Safety
/// `records` has room for `capacity`, `parsed` as many writable bytes as it says.
unsafe fn more(
    parser: *mut ringtail_parser_t,
    (records, capacity): (*mut ringtail_record_t, usize),
    parsed: *mut ringtail_parsed_t,
    decode: impl FnOnce(&mut Parser) -> Result<usize, ringtail_status_t>,
) -> ringtail_status_t {
    if capacity > 0 && (records.is_null() || !records.is_aligned()) {
        return RINGTAIL_EINVAL;
    }
    let run = |parser: &Mutex<Parser>| {
        sized::check(parsed)?;
        let mut parser = match parser.try_lock() {
            Ok(parser) => parser,
            Err(TryLockError::WouldBlock) => return Err(RINGTAIL_EBUSY),
            Err(TryLockError::Poisoned(_)) => return Err(RINGTAIL_EPANIC),
        };
        let consumed = decode(&mut parser)?;
        // SAFETY: the caller's promise.
        let (count, status) = unsafe { parser.write(records, capacity) };
        // SAFETY: the caller's promise.
        unsafe { sized::write(parsed, &parser.told(count, consumed))? };
        Ok(status)
    };
    handle::with(parser, run).and_then(|done| done).unwrap_or_else(|status| status)
}
