//! One view's decoding state, and what the engine may ask of it.

use memchr::memchr;
use ringtail_memory::{CarryPool, Exhausted};
use ringtail_record::{Position, Stream};

use crate::cut::Cut;
use crate::format::{self, Format, Input};
use crate::join::{AtLimit, Joins};
use crate::pass::Pass;
use crate::table::Table;
use crate::time::Timestamps;

/// The largest `max_line` and `max_record`, in bytes: larger ones are taken as this, since no carry is larger.
pub const LARGEST_LIMIT: usize = 8 << 20;

/// How long things may get, in bytes. Zero is taken as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One line of the file, its newline not counted.
    pub max_line: usize,
    /// One message, joined from its parts.
    pub max_record: usize,
}

/// Why a last line without its newline is not waited for any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEnd {
    /// `flush_after` passed.
    Timeout,
    /// The file will not grow any more.
    EndOfFile,
}

/// One view's decoding state: the format found, the open record of each stream, an over-long line being skipped.
///
/// It follows one lineage: a record may begin in one file and end in the next. Between calls it holds carries only.
pub struct Decoder {
    pub(crate) input: Input,
    pub(crate) format: Option<Format>,
    pub(crate) generation: u32,
    pub(crate) limits: Limits,
    pub(crate) carries: CarryPool,
    pub(crate) clock: Timestamps,
    pub(crate) joins: Joins,
    pub(crate) cut: Option<Cut>,
    /// The bytes before are a hole, which may go on.
    pub(crate) in_hole: bool,
    /// Where to go back to, since a carry was missing.
    stuck: Option<Position>,
}

impl Decoder {
    /// A decoder at the beginning of a line.
    pub fn new(input: Input, limits: Limits, carries: CarryPool) -> Self {
        let clamp = |limit: usize| limit.clamp(1, LARGEST_LIMIT);
        let limits = Limits { max_line: clamp(limits.max_line), max_record: clamp(limits.max_record) };
        Decoder {
            input,
            format: if let Input::Fixed(format) = input { Some(format) } else { None },
            generation: 0,
            limits,
            carries,
            clock: Timestamps::new(),
            joins: Joins::new(limits.max_record, AtLimit::Deliver),
            cut: None,
            in_hole: false,
            stuck: None,
        }
    }

    /// The format of the lines; nothing before the first whole line of an [`Input::Auto`].
    pub fn format(&self) -> Option<Format> {
        self.format
    }

    /// Tells an [`Input::Auto`] the format from `head`, the beginning of its file, for a view that begins elsewhere: its
    /// own first line may be malformed. Does nothing when the format is known, or cannot be told from `head`.
    pub fn learn_format(&mut self, head: &[u8]) {
        if self.format.is_some() {
            return;
        }
        self.format = match memchr(b'\n', head) {
            Some(len) if len <= self.limits.max_line => {
                format::of_line(&head[..len], &mut self.clock, &self.carries).ok()
            }
            _ => format::of_head(head, &mut self.clock),
        };
    }

    /// Decodes, in place, `chunk`: the bytes of the file `at.generation` from `at.offset` on, which is where the call
    /// before stopped. Appends to `table`; messages refer to `chunk` or to [`Table::joined`].
    ///
    /// Returns how many bytes were consumed: whole lines, and what was skipped. The rest, a line without its end and
    /// at most `max_line` long, is unchanged; the caller puts it in front of the next bytes.
    ///
    /// # Errors
    /// When a carry was needed and there was none. What `table` holds is valid; the rest of `chunk` may have been
    /// changed and must be read again. All carries are given back, and every further call fails until
    /// [`forget`](Self::forget) has said where to go back to.
    ///
    /// # Panics
    /// When `chunk` is 4 GiB or larger.
    pub fn decode(
        &mut self,
        chunk: &mut [u8],
        at: Position,
        now_ns: i64,
        table: &mut Table,
    ) -> Result<usize, Exhausted> {
        assert!(u32::try_from(chunk.len()).is_ok(), "a chunk of {} bytes", chunk.len());
        if self.stuck.is_some() {
            return Err(Exhausted);
        }
        self.enter(at.generation);
        let done = Pass { decoder: self, chunk, at, now_ns, table }.run();
        done.map_err(|begin| self.stick(begin))
    }

    /// Decides about `rest`, the last line of the file that has no newline, and that [`decode`](Self::decode) left with
    /// the caller. Returns how many bytes were consumed: all or nothing.
    ///
    /// A raw line is delivered, marked [`Flags::PARTIAL`]; what comes of it later is a line of its own. Half a CRI or
    /// docker line never is, nor one that may still become one: after [`LineEnd::Timeout`] it goes on waiting, after
    /// [`LineEnd::EndOfFile`] it is consumed and counted as [`Table::torn_line_bytes`], but for a docker line that lacks
    /// nothing but its newline, which is delivered. What stands in a CRI or docker file and cannot be the beginning of such a line is delivered after [`LineEnd::EndOfFile`] as it is, marked
    /// [`Flags::MALFORMED`] and [`Flags::PARTIAL`]. The same holds for an over-long line.
    ///
    /// [`Flags::PARTIAL`]: ringtail_record::Flags::PARTIAL
    /// [`Flags::MALFORMED`]: ringtail_record::Flags::MALFORMED
    ///
    /// # Errors
    /// As [`decode`](Self::decode): an over-long line could not be joined to its record.
    pub fn flush_line(
        &mut self,
        rest: &mut [u8],
        at: Position,
        now_ns: i64,
        table: &mut Table,
        why: LineEnd,
    ) -> Result<usize, Exhausted> {
        if self.stuck.is_some() {
            return Err(Exhausted);
        }
        self.enter(at.generation);
        let done = Pass { decoder: self, chunk: rest, at, now_ns, table }.flush(why);
        done.map_err(|begin| self.stick(begin))
    }

    /// Delivers the open record of `stream` marked [`Flags::PARTIAL`]; what comes next is taken for its rest: it is a record
    /// of its own and marked too, unless [`leave_gap`](Self::leave_gap) says otherwise. Returns the
    /// position behind its last part, to which the `end` of the record refers: it may lie in an earlier file. Nothing when
    /// nothing is open.
    ///
    /// [`Flags::PARTIAL`]: ringtail_record::Flags::PARTIAL
    pub fn flush_partial(&mut self, stream: Stream, table: &mut Table) -> Option<Position> {
        self.joins.flush(stream, table)
    }

    /// Bytes before those that come next are lost: the next record of a stream is not taken for the rest of one that was
    /// flushed.
    pub fn leave_gap(&mut self) {
        self.joins.part_ways();
    }

    /// Where the open record of `stream` begins: the position from which a resume must read to get it whole. An
    /// over-long line counts for every stream. Nothing when nothing is open.
    pub fn open_since(&self, stream: Stream) -> Option<Position> {
        self.joins.begin(stream).into_iter().chain(self.cut_begin()).min()
    }

    /// Drops all open records and the over-long line, so that their carries go back to the pool. Returns the smallest
    /// position to read from again; nothing when nothing was held.
    pub fn forget(&mut self) -> Option<Position> {
        let positions = [self.stuck.take(), self.cut_begin(), self.joins.forget()];
        self.cut = None;
        self.in_hole = false;
        positions.into_iter().flatten().min()
    }

    /// The beginning of the over-long line, while that is not delivered.
    fn cut_begin(&self) -> Option<Position> {
        self.cut.as_ref().filter(|cut| cut.kept.is_some()).map(|cut| cut.begin)
    }

    /// Gives all carries back and waits for [`forget`](Self::forget): there was none for the line at `begin`.
    fn stick(&mut self, begin: Position) -> Exhausted {
        self.stuck = self.forget().into_iter().chain([begin]).min();
        Exhausted
    }

    /// A raw file's successor is looked at anew: see [`Input::Auto`].
    fn enter(&mut self, generation: u32) {
        if self.generation != generation && self.input == Input::Auto && self.format == Some(Format::Raw) {
            self.format = None;
        }
        self.in_hole &= self.generation == generation;
        self.generation = generation;
    }
}
