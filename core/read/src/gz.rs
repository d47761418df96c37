//! Inflating a `.gz` piece by piece, from any position of its contents.

use std::fmt;

use flate2::{Decompress, FlushDecompress, Status};

/// The first byte of a gzip member.
const MAGIC: u8 = 0x1f;

/// The largest window that gzip knows.
const WINDOW_BITS: u8 = 15;

/// The file is damaged; nothing behind that place can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InflateError {
    /// Inflated bytes before the damage.
    pub at: u64,
}

impl fmt::Display for InflateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the gzip data is damaged behind byte {} of its contents", self.at)
    }
}

impl std::error::Error for InflateError {}

/// What one call used and made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inflated {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    /// Bytes of the output that were filled.
    pub produced: usize,
}

/// An incremental inflater: compressed bytes in, at any boundaries, contents out. Several members in a row are one file,
/// header fields (docker writes an `Extra` one) are skipped, checksums are checked, what follows the last member is
/// ignored. Holds the 32 KiB window, whatever comes.
pub struct Inflate {
    state: State,
    /// Inflated bytes so far, skipped ones included.
    position: u64,
    /// Where the output begins.
    from: u64,
}

enum State {
    /// Before the first member.
    Start,
    /// Behind a member: at the end, or before the next one.
    Between,
    Member(Box<Decompress>),
    /// Behind the last member.
    Ignored,
    Damaged(InflateError),
}

impl Inflate {
    /// Begins a file, whose contents come out from the inflated position `from` on. What lies before it still has to be
    /// inflated.
    pub fn new(from: u64) -> Self {
        Inflate { state: State::Start, position: 0, from }
    }

    /// The inflated position of the next byte that comes out, or that would, were it not skipped.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether the input may end here: there was a member, and none is unfinished.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Between | State::Ignored)
    }

    /// Inflates from `input` into `out`, until one of them is used up. `produced` 0 with all input consumed asks for more;
    /// `out` must not be empty. Once damaged, always damaged.
    pub fn inflate(&mut self, input: &[u8], out: &mut [u8]) -> Result<Inflated, InflateError> {
        let mut done = Inflated::default();
        while done.produced < out.len() {
            let (consumed, produced) = self.step(&input[done.consumed..], &mut out[done.produced..])?;
            done.consumed += consumed;
            let skipped = usize::try_from(self.from.saturating_sub(self.position)).unwrap_or(usize::MAX);
            let skipped = skipped.min(produced);
            self.position += u64::try_from(produced).expect("a buffer's length");
            out[done.produced..done.produced + produced].copy_within(skipped.., 0);
            done.produced += produced - skipped;
            if consumed == 0 && produced == 0 {
                break;
            }
        }
        Ok(done)
    }

    /// One step of the state machine: bytes consumed and produced; none of both when there is nothing to do.
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<(usize, usize), InflateError> {
        match &mut self.state {
            State::Damaged(error) => Err(*error),
            State::Ignored => Ok((input.len(), 0)),
            State::Start | State::Between => {
                self.state = match (input.first(), &self.state) {
                    (None, _) => return Ok((0, 0)),
                    (Some(&MAGIC), _) => State::Member(Box::new(Decompress::new_gzip(WINDOW_BITS))),
                    (Some(_), State::Between) => State::Ignored,
                    (Some(_), _) => return Err(self.damage()),
                };
                self.step(input, out)
            }
            State::Member(member) => {
                let (before_in, before_out) = (member.total_in(), member.total_out());
                let status = member.decompress(input, out, FlushDecompress::None);
                let consumed = usize::try_from(member.total_in() - before_in).expect("within the input");
                let produced = usize::try_from(member.total_out() - before_out).expect("within the output");
                match status {
                    Ok(Status::StreamEnd) => self.state = State::Between,
                    Ok(Status::Ok | Status::BufError) => {}
                    Err(_) if produced > 0 => self.state = State::Damaged(self.error(produced)),
                    Err(_) => return Err(self.damage()),
                }
                Ok((consumed, produced))
            }
        }
    }

    fn error(&self, produced: usize) -> InflateError {
        InflateError { at: self.position + u64::try_from(produced).expect("a buffer's length") }
    }

    fn damage(&mut self) -> InflateError {
        let error = self.error(0);
        self.state = State::Damaged(error);
        error
    }
}

impl fmt::Debug for Inflate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inflate(at {}, from {})", self.position, self.from)
    }
}

#[cfg(test)]
mod tests {
    use ringtail_oracles::gz::member;

    use super::*;

    #[test]
    fn a_cut_file_gives_what_it_has_and_is_not_complete() {
        let contents = b"line of a log\n".repeat(5000);
        let file = member(&contents);
        let mut inflate = Inflate::new(0);
        let mut out = vec![0; contents.len() + 1];
        let cut = &file[..file.len() - 9];
        let done = inflate.inflate(cut, &mut out).expect("sound as far as it goes");
        assert_eq!(&out[..done.produced], &contents[..done.produced]);
        assert!(done.produced > 0 && !inflate.is_complete());
        let rest = inflate.inflate(&file[file.len() - 9..], &mut out).expect("the rest");
        assert_eq!(done.produced + rest.produced, contents.len());
        assert!(inflate.is_complete());
    }

    #[test]
    fn empty_contents_are_complete_and_an_empty_file_is_not() {
        let mut inflate = Inflate::new(0);
        let mut out = [0; 64];
        assert!(!inflate.is_complete());
        let file = [member(b""), b"what follows".to_vec()].concat();
        assert_eq!(inflate.inflate(&file, &mut out), Ok(Inflated { consumed: file.len(), produced: 0 }));
        assert!(inflate.is_complete());
    }

    #[test]
    fn a_wrong_checksum_is_told_after_the_contents() {
        let mut file = member(b"hello\n");
        let at = file.len() - 8;
        file[at] ^= 1;
        let mut inflate = Inflate::new(0);
        let mut out = [0; 64];
        let first = inflate.inflate(&file, &mut out);
        let error = first.and_then(|_| inflate.inflate(&[], &mut out)).expect_err("damaged");
        assert_eq!(error, InflateError { at: 6 });
    }
}
