//! gzip: contents that are known come out from any position at any boundaries; of a damaged file comes an honest
//! beginning.

use std::io::{Read, Write};

use flate2::bufread::GzDecoder;
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
    // What follows the last member is ignored; without any it is no gzip file.
    if !members.is_empty() && !garbage.starts_with(&[0x1f]) {
        file.extend_from_slice(garbage);
    }
    let (found, ended) = inflate(&file, from as u64, piece, room);
    assert_eq!(found, contents.get(from..).unwrap_or(&[]));
    assert_eq!(ended, Ok(!members.is_empty()));
}

/// A file of one member, cut after `cut` bytes: what the beginning gives, and it is not complete.
///
/// # Panics
/// Where that is not so.
pub fn check_cut(contents: &[u8], cut: usize, from: usize, piece: usize, room: usize) {
    let file = member(contents);
    let file = &file[..cut % file.len()];
    let (found, ended) = inflate(file, from as u64, piece, room);
    let (known, _) = naive(file);
    assert!(contents.starts_with(&known), "the twin made bytes that nobody wrote");
    assert_eq!(found, known.get(from..).unwrap_or(&[]));
    assert_eq!(ended, Ok(false));
}

/// Any bytes, from any position, whatever the pieces: a file that is whole gives what another decoder reads from it, one
/// that is cut gives what there is, and one that is damaged a beginning of that.
///
/// # Panics
/// Where that is not so.
pub fn check_any(file: &[u8], from: usize, piece: usize, room: usize) {
    let (contents, is_whole) = naive(file);
    let contents = contents.get(from..).unwrap_or(&[]);
    let (found, ended) = inflate(file, from as u64, piece, room);
    assert_eq!(ended == Ok(true), is_whole, "{ended:?}");
    match ended {
        Ok(_) => assert_eq!(found, contents),
        // What stands just before the damage may come out or not.
        Err(_) => assert!(contents.starts_with(&found) || found.starts_with(contents)),
    }
}

/// The contents of `file`, or what comes out of it before the damage, and whether it is whole: by the decoder that flate2
/// has for whole members, which reads headers and checks sums itself.
fn naive(mut file: &[u8]) -> (Vec<u8>, bool) {
    let (mut contents, mut is_whole) = (Vec::new(), false);
    while file.first() == Some(&0x1f) {
        let mut member = GzDecoder::new(file);
        if member.read_to_end(&mut contents).is_err() {
            return (contents, false);
        }
        (file, is_whole) = (member.into_inner(), true);
    }
    (contents, is_whole)
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
