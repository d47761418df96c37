//! A file fed in chunks, as the engine reads it.

/// How much is read at once.
pub const CHUNK_BYTES: usize = 256 << 10;

/// Copies `file` chunk by chunk into `buffer`, each behind what was left of the chunk before, as a read would, and
/// gives it to `work` with its offset in the file. `work` says how much it consumed: all but an unfinished line.
///
/// # Panics
/// When a line is longer than a chunk, or the file does not end in a newline.
pub fn feed(file: &[u8], buffer: &mut Vec<u8>, mut work: impl FnMut(&mut [u8], usize) -> usize) {
    buffer.resize(2 * CHUNK_BYTES, 0);
    let (mut left, mut read) = (0, 0);
    while read < file.len() {
        let now = CHUNK_BYTES.min(file.len() - read);
        buffer[left..left + now].copy_from_slice(&file[read..read + now]);
        let consumed = work(&mut buffer[..left + now], read - left);
        read += now;
        buffer.copy_within(consumed..left + now, 0);
        left = left + now - consumed;
        assert!(left <= CHUNK_BYTES, "a line is longer than a chunk");
    }
    assert_eq!(left, 0, "the file ends in a newline");
}
