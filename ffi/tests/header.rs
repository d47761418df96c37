//! `include/ringtail.h` is what the sources say: regenerated and compared. `BLESS=1` writes it.

use std::fs;
use std::path::Path;

fn header() -> String {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(crate_dir.join("cbindgen.toml")).expect("cbindgen.toml");
    // File by file, so that neither cargo nor the other crates are asked.
    let mut sources: Vec<_> = fs::read_dir(crate_dir.join("src"))
        .expect("the sources")
        .map(|entry| entry.expect("an entry").path())
        // It leads to all the others, which would be declared twice.
        .filter(|path| !path.ends_with("lib.rs"))
        .collect();
    sources.sort();
    // In the order in which somebody reads it.
    let place = |path: &Path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let order = [
            "version",
            "status",
            "error",
            "types",
            "config",
            "collector",
            "files",
            "stats",
            "batch",
            "parser",
            "joiner",
            "encoder",
        ];
        (order.iter().position(|known| *known == name).unwrap_or(order.len()), name)
    };
    sources.sort_by_key(|path| place(path));
    let builder = cbindgen::Builder::new().with_config(config);
    let builder = sources.into_iter().fold(builder, cbindgen::Builder::with_src);
    let mut text = Vec::new();
    builder.generate().expect("legal declarations").write(&mut text);
    let text = String::from_utf8(text).expect("UTF-8");
    // cbindgen writes the trailer behind the end of the guard.
    const END: &str = "#endif  /* RINGTAIL_H */\n";
    assert_eq!(text.matches(END).count(), 1);
    tidy(&text.replace(END, "")).trim_end().to_owned() + "\n\n" + END
}

/// Comments as C has them: without the section for Rust's callers, in as few lines as they need.
fn tidy(text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        // The opening comment is written out in cbindgen.toml.
        if line.trim() != "/*" || out.len() < 10 {
            out.push_str(line.trim_end());
            out.push('\n');
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        let comment: Vec<&str> = lines.by_ref().map(str::trim).take_while(|line| *line != "*/").collect();
        let said = comment.split(|line| *line == "# Safety").next().unwrap_or_default();
        let paragraphs: Vec<String> = said
            .split(|line| line.is_empty())
            .filter(|lines| !lines.is_empty())
            .map(|lines| lines.join(" "))
            .collect();
        out.push_str(&comment_of(indent, &paragraphs));
    }
    out
}

fn comment_of(indent: &str, paragraphs: &[String]) -> String {
    const WIDTH: usize = 118;
    let short = format!("{indent}/* {} */", paragraphs.join(" "));
    if paragraphs.len() == 1 && short.len() <= WIDTH {
        return short + "\n";
    }
    let mut out = format!("{indent}/*\n");
    for (n, paragraph) in paragraphs.iter().enumerate() {
        if n > 0 {
            out.push_str(&format!("{indent} *\n"));
        }
        let mut line = format!("{indent} *");
        for word in paragraph.split_whitespace() {
            if line.len() + 1 + word.len() > WIDTH {
                out.push_str(&line);
                out.push('\n');
                line = format!("{indent} *");
            }
            line.push(' ');
            line.push_str(word);
        }
        out.push_str(&line);
        out.push('\n');
    }
    out + indent + " */\n"
}

#[test]
fn the_committed_header_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../include/ringtail.h");
    let made = header();
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &made).expect("include/ringtail.h");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let first = made.lines().zip(committed.lines()).position(|(made, committed)| made != committed);
    assert!(
        made == committed,
        "include/ringtail.h is out of date (first difference in line {first:?}); write it anew with\n    \
         BLESS=1 cargo test -p ringtail-ffi --test header"
    );
}
