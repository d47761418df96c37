//! gzip: contents that are known come out from any position at any boundaries; of a damaged file comes an honest
//! beginning.

use std::io::Write;

use flate2::{Compression, GzBuilder};
use ringtail_read::{Inflate, InflateError};

use crate::choices::Choices;

/// One member with the header fields that docker writes.
pub fn member(contents: &[u8]) -> Vec<u8> {
    let builder =
        GzBuilder::new().extra(br#"{"lastTime":"2026-01-02T03:04:05Z"}"#.to_vec()).filename("0.log");
    let mut writer = builder.write(Vec::new(), Compression::fast());
    writer.write_all(contents).expect("memory");
    writer.finish().expect("memory")
}

/// All that comes out of `file` from the position `from` on, read in pieces of `piece` bytes, with room for `room`; what
/// came before the damage, and the damage; whether the file was complete.
pub fn inflate(file: &[u8], from: u64, piece: usize, room: usize) -> (Vec<u8>, Result<bool, InflateError>) {
    let (mut inflate, mut contents, mut out) = (Inflate::new(from), Vec::new(), vec![0; room]);
    for piece in file.chunks(piece) {
        let mut at = 0;
        loop {
            match inflate.inflate(&piece[at..], &mut out) {
                Err(error) => return (contents, Err(error)),
                Ok(done) => {
                    at += done.consumed;
                    contents.extend_from_slice(&out[..done.produced]);
                    if done.produced == 0 && at == piece.len() {
                        break;
                    }
                }
            }
        }
    }
    (contents, Ok(inflate.is_complete()))
}

/// A sound file: all of its contents behind `from`, whatever the pieces.
///
/// # Panics
/// Where that is not so.
pub fn check_sound(members: &[Vec<u8>], garbage: &[u8], from: usize, piece: usize, room: usize) {
    let contents = members.concat();
    let mut file: Vec<u8> = members.iter().flat_map(|contents| member(contents)).collect();
    // What follows the last member is ignored, but only behind contents: else it is no gzip file.
    if !contents.is_empty() && !garbage.starts_with(&[0x1f]) {
        file.extend_from_slice(garbage);
    }
    let (found, ended) = inflate(&file, from as u64, piece, room);
    assert_eq!(found, contents.get(from..).unwrap_or(&[]));
    assert_eq!(ended, Ok(!contents.is_empty()));
}

/// A file of one member, cut after `cut` bytes: a beginning of its contents, and it is not complete.
///
/// # Panics
/// Where that is not so.
pub fn check_cut(contents: &[u8], cut: usize, from: usize, piece: usize, room: usize) {
    let file = member(contents);
    let cut = cut % file.len();
    let (found, ended) = inflate(&file[..cut], from as u64, piece, room);
    assert!(contents.get(from..).unwrap_or(&[]).starts_with(&found), "bytes that nobody wrote");
    assert_eq!(ended, Ok(false));
}

/// Any bytes: whatever the pieces, and from any position, the same comes out if the file is whole, and else a beginning
/// of the same.
///
/// # Panics
/// Where that is not so.
pub fn check_any(file: &[u8], from: usize, piece: usize, room: usize) {
    let (contents, ended) = inflate(file, 0, usize::MAX, 1 << 16);
    let (pieces, pieces_ended) = inflate(file, from as u64, piece, room);
    let contents = contents.get(from..).unwrap_or(&[]);
    assert_eq!(ended == Ok(true), pieces_ended == Ok(true), "damage depends on the pieces");
    if ended == Ok(true) {
        assert_eq!(pieces, contents);
    } else {
        // What stands just before the damage may come out or not.
        assert!(contents.starts_with(&pieces) || pieces.starts_with(contents));
    }
}

/// Members, garbage behind them, a cut, flipped bits; or bytes that are a file by themselves.
pub fn fuzz(data: &[u8]) {
    let mut choices = Choices(data);
    let kind = choices.byte();
    let (piece, room, from) = (choices.length(), choices.length(), choices.number() % 5000);
    let (flip_at, flip_bit, cut) = (choices.number(), choices.byte() % 8, choices.number());
    let text = choices.rest();
    match kind % 4 {
        0 => {
            let mut members: Vec<Vec<u8>> = text.split(|byte| *byte == 0x1c).map(<[u8]>::to_vec).collect();
            let garbage = if kind & 4 == 0 { Vec::new() } else { members.pop().unwrap_or_default() };
            check_sound(&members, &garbage, from, piece, room);
        }
        1 => check_cut(text, cut, from, piece, room),
        2 => {
            let mut file: Vec<u8> = text.split(|byte| *byte == 0x1c).flat_map(member).collect();
            let at = flip_at % file.len();
            file[at] ^= 1 << flip_bit;
            check_any(&file, from, piece, room);
        }
        _ => check_any(text, from, piece, room),
    }
}
