//! Values that agent and library write the same way: names, paths, numbers, `memory:`, `hold_deleted:`.

use std::path::Path;

use ringtail_engine::HoldDeleted;

use crate::problem::Place;
use crate::reader::{Field, Reader};
use crate::scalar::{duration, show_size, size};

/// Less does not hold a slab a thread and one batch an output.
const MEMORY_MIN: u64 = 16 << 20;
/// Bytes of a pipeline's or an output's name: it is a metric's label and part of the checkpoint's keys.
const NAME_BYTES_MAX: usize = 64;

/// Reports a pipeline's or an output's name that is not a legal one.
pub fn check_name(reader: &mut Reader<'_>, place: &Place, key: &str, name: &str) {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(legal) {
        let message = format!(
            "is not a legal name; use 1 to {NAME_BYTES_MAX} of the letters a-z, A-Z, digits, `-`, `_` and `.`"
        );
        reader.error_at(place, key, message);
    }
}

/// A path from the root.
pub fn absolute(text: &str) -> Result<String, String> {
    match text.starts_with('/') {
        true => Ok(text.into()),
        false => Err("is not absolute; write the path from `/` on".into()),
    }
}

/// A whole number within bounds.
pub fn count(text: &str, min: u64, max: u64) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        Ok(_) => Err(format!("is out of bounds; write a number from {min} to {max}")),
        Err(_) => Err(format!("is not a whole number; write one from {min} to {max}")),
    }
}

/// `memory:`, in bytes.
pub fn memory(text: &str) -> Result<usize, String> {
    let bytes = size(text)?;
    match usize::try_from(bytes) {
        Ok(memory) if bytes >= MEMORY_MIN => Ok(memory),
        Ok(_) => Err(format!("is too little; write `{}` or more", show_size(MEMORY_MIN))),
        Err(_) => Err("is more than this machine can address; write `128MiB`".into()),
    }
}

/// `hold_deleted:`.
pub fn hold_deleted(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<HoldDeleted> {
    let mut fields = reader.fields(field, "`{max_bytes: 1GiB, max_age: 1h}`")?;
    let max_bytes = reader.parsed(fields.take("max_bytes"), size);
    let max_age = reader.parsed(fields.take("max_age"), duration);
    fields.finish(reader, &[]);
    let default = HoldDeleted::default();
    Some(HoldDeleted {
        max_bytes: max_bytes.unwrap_or(default.max_bytes),
        max_age: max_age.unwrap_or(default.max_age),
    })
}

/// A path as a glob that means itself.
pub fn literal(path: &Path) -> String {
    let mut glob = String::new();
    for char in path.to_string_lossy().chars() {
        if matches!(char, '*' | '?' | '[' | ']' | '{' | '}' | ',' | '!' | '\\') {
            glob.push('\\');
        }
        glob.push(char);
    }
    glob
}
