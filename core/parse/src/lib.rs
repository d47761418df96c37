//! Chunks to records: line split, container formats, joining of partials.
//!
//! ```text
//! chunk (bytes of a file) --lines--> part --join--> Decoded (a range of the chunk, or of a carry)
//!                        memchr    cri | docker json-file | raw   per stream
//! ```
//! [`Decoder::decode`] works in place: what it understands it leaves where it was read, what it unescapes or joins it
//! moves to the left inside the chunk, and only what is unfinished at the chunk's end goes to a carry.
//!
//! Never here: clocks, files, threads, the environment; anything that knows a record's fields; `unsafe` but in `mask`.
//!
//! Limits: a line is cut at [`Limits::max_line`], a joined record at [`Limits::max_record`], both at most
//! [`LARGEST_LIMIT`]; at most one record per stream is open, and one line is being skipped.
//!
//! # What is delivered
//! | input | message | stream | time |
//! |---|---|---|---|
//! | CRI line | what follows the tag and its space, byte for byte (a carriage return too) | the line's | the line's |
//! | docker json-file line | `log`, unescaped, without the newline that ends it | the line's, [`Stream::None`] where omitted | the line's |
//! | raw line | the line without its newline, and without one carriage return before that | [`Stream::None`] | `now_ns` |
//! | a line that is not in its file's format | the line without its newline, unchanged, marked [`Flags::MALFORMED`] | [`Stream::None`] | `now_ns` |
//! | a blank line of a CRI or docker file | nothing; it counts as malformed. No runtime writes one, a crash of the node may leave one | | |
//! | NUL bytes before a line: a hole | nothing; it counts as one malformed line. Of a raw file 4096 or more | | |
//!
//! A CRI line tagged `P`, and a docker line whose `log` does not end in a newline, is a *part*: the parts of a stream
//! are joined up to and with the first line that is none. The record has the time of its first part. One that passes
//! `max_record` is delivered at once, and the rest of its parts is skipped: an endless run of parts holds nothing back. A
//! resume in the middle of them delivers what is left as a record of its own.
//!
//! [`Stream::None`]: ringtail_record::Stream::None
//! [`Flags::MALFORMED`]: ringtail_record::Flags::MALFORMED

mod cri;
mod cut;
mod decoder;
mod docker;
mod escape;
mod format;
mod hole;
mod join;
mod joiner;
mod mask;
mod pass;
mod table;
mod time;
mod unusual;

pub use decoder::{Decoder, LARGEST_LIMIT, Limits, LineEnd};
pub use format::{Format, Input, UnknownInput};
pub use joiner::{Joined, Joiner};
pub use table::{Decoded, Home, Table};
