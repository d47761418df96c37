//! Strays: rotated files that are found when the log, which is younger, has its number already: several listings in a row had
//! left them out, or somebody put them there. Readers may have gone past their place, and no position in the log could say what of
//! them was read. So each is a lineage of its own, of one generation, and its log goes on as if it were not there.
//!
//! The name of that lineage is the log's path, a NUL byte, which no path has, and the generation's number in decimal.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::Arc;

/// The lineage of the stray that holds this generation of `log`.
pub(crate) fn lineage_of(log: &Path, generation: u32) -> Arc<Path> {
    let mut name = log.as_os_str().as_bytes().to_vec();
    name.extend(format!("\0{generation}").bytes());
    Path::new(&OsString::from_vec(name)).into()
}

/// The log to which a lineage belongs: itself, or that of which it is a stray, and then which generation that is.
pub(crate) fn parse(lineage: &Path) -> (&Path, Option<u32>) {
    let bytes = lineage.as_os_str().as_bytes();
    let Some(at) = bytes.iter().rposition(|byte| *byte == 0) else { return (lineage, None) };
    let number = std::str::from_utf8(&bytes[at + 1..]).ok().and_then(|number| number.parse().ok());
    (Path::new(OsStr::from_bytes(&bytes[..at])), number)
}

/// The path of the log to which a lineage belongs: of most lineages, their name.
pub fn log_of(lineage: &Path) -> &Path {
    parse(lineage).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stray_has_a_name_that_tells_its_log() {
        let log = Path::new("/var/log/app.log");
        let stray = lineage_of(log, 7);
        assert_eq!(parse(&stray), (log, Some(7)));
        assert_eq!((parse(log), log_of(&stray)), ((log, None), log));
    }
}
