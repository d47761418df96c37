//! One row of the checkpoint: where one (pipeline, output, lineage) stands, and who its files are.
//!
//! Key: pipeline, 0x00, output, 0x00, lineage (names cannot contain a NUL byte; a lineage that is a stray has one behind the path of its log). Value, little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, [`VERSION`] |
//! | 1 | format found: 0 none, 1 CRI, 2 docker json-file, 3 raw |
//! | 3 x (4 + 8) | position per stream: generation, offset |
//! | 4 + 8 + 4 + 8 | tail: generation, end, length, hash |
//! | 4 | number of files, then for each: |
//! | 4 + 8 + 8 + 4 + 8 + 8 + 1 | generation, device, inode, head length, head hash, size, 1 if `.gz` |
//! | 4 + n | path length, path |
//! | 8 | xxh3 of all before: redb's page checksums are checked on opening only |
//!
//! A later version keeps the first byte and the last eight, so that every build tells a row of another version from a damaged one.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use ringtail_parse::Format;
use ringtail_read::{FileRecord, Head, Identity, Tail};
use ringtail_record::Position;
use xxhash_rust::xxh3::xxh3_64;

use crate::cursor::Streams;
use crate::view::Standing;

/// The version of the value's layout.
pub(crate) const VERSION: u8 = 1;

/// Which (pipeline, output, lineage) a row is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) pipeline: Arc<str>,
    pub(crate) output: Arc<str>,
    pub(crate) lineage: Arc<Path>,
}

/// What a row says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// From where a restart goes on.
    pub(crate) standing: Standing,
    /// Bytes to recognise the file by, with their generation.
    pub(crate) tail: (u32, Tail),
    /// The files that are to be read on, and older ones, to be known again.
    pub(crate) files: Vec<FileRecord>,
}

/// The bytes are not a row or a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// Why bytes do not become a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRow {
    Damaged,
    /// A whole row in the layout of this version.
    Version(u8),
}

impl From<Damaged> for NoRow {
    fn from(Damaged: Damaged) -> Self {
        NoRow::Damaged
    }
}

impl Key {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let lineage = self.lineage.as_os_str().as_bytes();
        [self.pipeline.as_bytes(), self.output.as_bytes(), lineage].join(&0)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Key, Damaged> {
        let mut parts = bytes.splitn(3, |byte| *byte == 0);
        let mut part = || parts.next().ok_or(Damaged);
        let text = |bytes| std::str::from_utf8(bytes).map(Arc::from).map_err(|_| Damaged);
        let (pipeline, output) = (text(part()?)?, text(part()?)?);
        let lineage = Path::new(OsStr::from_bytes(part()?)).into();
        Ok(Key { pipeline, output, lineage })
    }
}

impl Row {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, format_number(self.standing.format)];
        for position in self.standing.streams {
            out.extend(position.generation.to_le_bytes());
            out.extend(position.offset.to_le_bytes());
        }
        let (generation, tail) = self.tail;
        out.extend(generation.to_le_bytes());
        out.extend(tail.end.to_le_bytes());
        out.extend(tail.len.to_le_bytes());
        out.extend(tail.hash.to_le_bytes());
        out.extend(length(self.files.len()));
        for file in &self.files {
            encode_file(file, &mut out);
        }
        out.extend(xxh3_64(&out).to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Row, NoRow> {
        let (body, sum) = bytes.split_last_chunk::<8>().ok_or(NoRow::Damaged)?;
        if xxh3_64(body) != u64::from_le_bytes(*sum) {
            return Err(NoRow::Damaged);
        }
        let mut from = Reader(body);
        match from.u8()? {
            VERSION => Ok(decode_body(from)?),
            version => Err(NoRow::Version(version)),
        }
    }
}

/// What follows the version.
fn decode_body(mut from: Reader<'_>) -> Result<Row, Damaged> {
    let format = format_of(from.u8()?)?;
    let mut streams = Streams::default();
    for position in &mut streams {
        *position = Position { generation: from.u32()?, offset: from.u64()? };
    }
    let tail = (from.u32()?, Tail { end: from.u64()?, len: from.u32()?, hash: from.u64()? });
    let count = from.u32()?;
    let files = (0..count).map(|_| decode_file(&mut from)).collect::<Result<_, _>>()?;
    let standing = Standing { streams, format };
    if from.0.is_empty() { Ok(Row { standing, tail, files }) } else { Err(Damaged) }
}

fn format_number(format: Option<Format>) -> u8 {
    match format {
        None => 0,
        Some(Format::Cri) => 1,
        Some(Format::DockerJson) => 2,
        Some(Format::Raw) => 3,
    }
}

fn format_of(number: u8) -> Result<Option<Format>, Damaged> {
    match number {
        0 => Ok(None),
        1 => Ok(Some(Format::Cri)),
        2 => Ok(Some(Format::DockerJson)),
        3 => Ok(Some(Format::Raw)),
        _ => Err(Damaged),
    }
}

/// The files that the rows of one lineage know, oldest first. Each row names them as they
/// were when it was written; of a file that several name, the one that saw most of it is the newest.
pub(crate) fn known_files<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Vec<FileRecord> {
    let mut files: Vec<&FileRecord> = rows.into_iter().flat_map(|row| &row.files).collect();
    files.sort_by_key(|file| (file.generation, Reverse((file.identity.head.len, file.size))));
    files.dedup_by_key(|file| file.generation);
    files.into_iter().cloned().collect()
}

fn encode_file(file: &FileRecord, out: &mut Vec<u8>) {
    let Identity { dev, ino, head } = file.identity;
    out.extend(file.generation.to_le_bytes());
    out.extend(dev.to_le_bytes());
    out.extend(ino.to_le_bytes());
    out.extend(head.len.to_le_bytes());
    out.extend(head.hash.to_le_bytes());
    out.extend(file.size.to_le_bytes());
    out.push(file.gz.into());
    let path = file.path.as_os_str().as_bytes();
    out.extend(length(path.len()));
    out.extend(path);
}

fn decode_file(from: &mut Reader<'_>) -> Result<FileRecord, Damaged> {
    let generation = from.u32()?;
    let (dev, ino) = (from.u64()?, from.u64()?);
    let head = Head { len: from.u32()?, hash: from.u64()? };
    let (size, gz) = (from.u64()?, from.u8()? != 0);
    let len = usize::try_from(from.u32()?).map_err(|_| Damaged)?;
    let path = Path::new(OsStr::from_bytes(from.take(len)?)).into();
    Ok(FileRecord { generation, identity: Identity { dev, ino, head }, size, path, gz })
}

fn length(n: usize) -> [u8; 4] {
    u32::try_from(n).expect("paths and file lists are far below 4 GiB").to_le_bytes()
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Damaged> {
        let (front, rest) = self.0.split_at_checked(n).ok_or(Damaged)?;
        self.0 = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (front, rest) = self.0.split_first_chunk::<N>().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*front)
    }

    fn u8(&mut self) -> Result<u8, Damaged> {
        self.array().map(|[byte]: [u8; 1]| byte)
    }

    fn u32(&mut self) -> Result<u32, Damaged> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Damaged> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row() -> impl Strategy<Value = Row> {
        let position =
            (any::<u32>(), any::<u64>()).prop_map(|(generation, offset)| Position { generation, offset });
        let file = (any::<[u32; 2]>(), any::<[u64; 4]>(), any::<bool>(), "[a-z/]{0,40}").prop_map(
            |(a, b, gz, path)| {
                let identity = Identity { dev: b[0], ino: b[1], head: Head { len: a[0], hash: b[2] } };
                FileRecord { generation: a[1], identity, size: b[3], path: Path::new(&path).into(), gz }
            },
        );
        let tail = any::<(u32, u64, u32, u64)>().prop_map(|(g, end, len, hash)| (g, Tail { end, len, hash }));
        ([position.clone(), position.clone(), position], 0u8..4, tail, prop::collection::vec(file, 0..5))
            .prop_map(|(streams, format, tail, files)| {
                let standing = Standing { streams, format: format_of(format).expect("a number in use") };
                Row { standing, tail, files }
            })
    }

    proptest! {
        #[test]
        fn a_row_comes_back_and_one_flipped_bit_is_damage(row in row(), at in any::<prop::sample::Index>(), bit in 0u32..8) {
            let bytes = row.encode();
            prop_assert_eq!(Row::decode(&bytes), Ok(row));
            let mut flipped = bytes.clone();
            flipped[at.index(bytes.len())] ^= 1 << bit;
            prop_assert_eq!(Row::decode(&flipped), Err(NoRow::Damaged));
            prop_assert_eq!(Row::decode(&bytes[..at.index(bytes.len())]), Err(NoRow::Damaged));
        }

        #[test]
        fn a_row_of_another_version_is_not_damage(row in row(), version in any::<u8>(), rest in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assume!(version != VERSION);
            let body = [&[version], &row.encode()[1..], &rest].concat();
            let bytes = [&body[..], &xxh3_64(&body).to_le_bytes()].concat();
            prop_assert_eq!(Row::decode(&bytes), Err(NoRow::Version(version)));
        }

        /// An output that answers nothing leaves a row from when the file was new; it must not hide what another's tells.
        #[test]
        fn the_files_of_a_lineage_are_those_of_the_row_that_saw_most(rows in prop::collection::vec(row(), 1..4)) {
            let files = known_files(&rows);
            prop_assert!(files.is_sorted_by_key(|file| file.generation));
            for seen in rows.iter().flat_map(|row| &row.files) {
                let known: Vec<_> = files.iter().filter(|file| file.generation == seen.generation).collect();
                prop_assert_eq!(known.len(), 1);
                prop_assert!(
                    (known[0].identity.head.len, known[0].size) >= (seen.identity.head.len, seen.size)
                );
            }
        }

        #[test]
        fn a_key_comes_back(names in prop::array::uniform3("[^\0]{1,20}")) {
            let [pipeline, output, lineage] = names;
            let key = Key { pipeline: pipeline.into(), output: output.into(), lineage: Path::new(&lineage).into() };
            prop_assert_eq!(Key::decode(&key.encode()), Ok(key));
        }
    }
}
