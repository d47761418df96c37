//! The paths that specs ask for, as components that a walk follows step by step.
//!
//! Limits: [`MAX_ALTERNATIVES`] per pattern, [`MAX_COMPONENTS`] in a path.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Duration;

use globset::{GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};

use crate::listing::FileSpec;

/// How many paths the braces of one pattern may stand for.
const MAX_ALTERNATIVES: usize = 256;

/// How deep a pattern may reach.
const MAX_COMPONENTS: usize = 128;

/// A pattern that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// The pattern as it was given.
    pub pattern: String,
    /// Why, in words for whoever wrote it.
    pub reason: String,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.pattern, self.reason)
    }
}

impl std::error::Error for PatternError {}

/// One component of a pattern.
#[derive(Debug)]
pub(crate) enum Component {
    Literal(OsString),
    Glob(GlobMatcher),
    /// `**`: any number of directories; at the end, any file below.
    AnyDepth,
}

impl Component {
    pub(crate) fn matches(&self, name: &OsStr) -> bool {
        match self {
            Component::Literal(literal) => literal == name,
            Component::Glob(glob) => glob.is_match(Path::new(name)),
            Component::AnyDepth => true,
        }
    }
}

/// One path to follow, braces resolved.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// Index into [`Patterns::specs`].
    pub(crate) spec: usize,
    pub(crate) components: Vec<Component>,
    /// The whole pattern is without wildcards: where it is a directory, all files directly in it are meant.
    pub(crate) exact: bool,
}

impl Pattern {
    /// Whether literal names lead to `dir`: whoever wrote the pattern named it.
    pub(crate) fn names_dir(&self, dir: &Path) -> bool {
        let literal = |(at, name): (usize, &OsStr)| matches!(self.components.get(at), Some(Component::Literal(literal)) if literal == name);
        dir.iter().skip(1).enumerate().all(literal)
    }
}

/// What is known of a spec beside its patterns.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) id: u32,
    pub(crate) pipeline: u32,
    pub(crate) exclude: GlobSet,
    pub(crate) ignore_older: Option<Duration>,
}

impl Spec {
    /// Whether the path is to be left out; the directories above it were asked before.
    pub(crate) fn excludes(&self, path: &Path) -> bool {
        !self.exclude.is_empty() && self.exclude.is_match(path)
    }
}

/// All patterns of all specs.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    pub(crate) specs: Vec<Spec>,
    pub(crate) patterns: Vec<Pattern>,
}

impl Patterns {
    /// Compiles; the first pattern that cannot be used is the error.
    pub(crate) fn new(specs: &[FileSpec]) -> Result<Self, PatternError> {
        let mut patterns = Patterns::default();
        for (index, spec) in specs.iter().enumerate() {
            for text in &spec.paths {
                patterns.add(index, text)?;
            }
            let FileSpec { id, pipeline, ignore_older, .. } = *spec;
            patterns.specs.push(Spec { id, pipeline, exclude: excludes(&spec.exclude)?, ignore_older });
        }
        Ok(patterns)
    }

    /// The patterns of a spec's pipeline, with their numbers.
    pub(crate) fn of_pipeline(&self, spec: usize) -> impl Iterator<Item = (usize, &Pattern)> {
        let pipeline = self.specs[spec].pipeline;
        let patterns = self.patterns.iter().enumerate();
        patterns.filter(move |(_, pattern)| self.specs[pattern.spec].pipeline == pipeline)
    }

    fn add(&mut self, spec: usize, text: &str) -> Result<(), PatternError> {
        let fail = |reason: String| PatternError { pattern: text.to_owned(), reason };
        if !text.starts_with('/') {
            return Err(fail("not an absolute path; begin it with /".to_owned()));
        }
        let mut paths = Vec::new();
        for path in alternatives(text).map_err(fail)? {
            let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
            let components = parts.map(component).collect::<Result<Vec<_>, _>>().map_err(fail)?;
            if components.len() > MAX_COMPONENTS {
                return Err(fail(format!("more than {MAX_COMPONENTS} components")));
            }
            paths.push(components);
        }
        let exact = paths.iter().flatten().all(|component| matches!(component, Component::Literal(_)));
        self.patterns.extend(paths.into_iter().map(|components| Pattern { spec, components, exact }));
        Ok(())
    }
}

fn component(part: &str) -> Result<Component, String> {
    match part {
        "**" => Ok(Component::AnyDepth),
        ".." => Err("`..` cannot be followed; write the path without it".to_owned()),
        _ if is_mixed(part) => Err(mixed(part)),
        _ if part.contains(['*', '?', '[']) => Ok(Component::Glob(glob(part)?.compile_matcher())),
        _ => Ok(Component::Literal(unescape(part))),
    }
}

/// Whether `**` stands in a component with other characters, where it would mean no more than `*`.
fn is_mixed(part: &str) -> bool {
    let stars: Vec<usize> = significant(part).filter(|(_, char)| *char == '*').map(|(at, _)| at).collect();
    part != "**" && stars.windows(2).any(|pair| pair[0] + 1 == pair[1])
}

fn mixed(part: &str) -> String {
    let name = part.split('*').filter(|text| !text.is_empty()).collect::<Vec<_>>().join("*");
    let (begin, end) =
        (if part.starts_with('*') { "*" } else { "" }, if part.ends_with('*') { "*" } else { "" });
    let name = if name.is_empty() { "*".to_owned() } else { format!("{begin}{name}{end}") };
    format!(
        "in `{part}`, `**` is not a whole component; write `{name}` for one name, `**/{name}` for any depth"
    )
}

fn glob(text: &str) -> Result<globset::Glob, String> {
    let built = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build();
    built.map_err(|error| error.kind().to_string())
}

fn unescape(part: &str) -> OsString {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'\\' { rest.next().unwrap_or(byte) } else { byte });
    }
    OsString::from_vec(bytes)
}

fn excludes(globs: &[String]) -> Result<GlobSet, PatternError> {
    let mut set = GlobSetBuilder::new();
    for text in globs {
        let fail = |reason: String| PatternError { pattern: text.clone(), reason };
        if let Some(part) = text.split(['/', '{', '}', ',']).find(|part| is_mixed(part)) {
            return Err(fail(mixed(part)));
        }
        set.add(glob(text).map_err(fail)?);
    }
    set.build().map_err(|error| PatternError { pattern: globs.join(", "), reason: error.to_string() })
}

/// What the braces of a pattern stand for: `/a/{b,c}/d` is `/a/b/d` and `/a/c/d`. They may be nested and span slashes.
fn alternatives(text: &str) -> Result<Vec<String>, String> {
    let mut done = Vec::new();
    let mut open = vec![text.to_owned()];
    while let Some(path) = open.pop() {
        match braces(&path)? {
            None => done.push(path),
            Some((from, to)) => {
                for part in split_alternatives(&path[from + 1..to]).into_iter().rev() {
                    open.push(format!("{}{part}{}", &path[..from], &path[to + 1..]));
                }
            }
        }
        if open.len() + done.len() > MAX_ALTERNATIVES {
            return Err(format!("the braces stand for more than {MAX_ALTERNATIVES} paths"));
        }
    }
    Ok(done)
}

/// Where the first pair of braces begins and ends.
fn braces(path: &str) -> Result<Option<(usize, usize)>, String> {
    let (mut from, mut depth) = (None, 0);
    for (at, char) in significant(path) {
        match char {
            '{' => {
                from = from.or(Some(at));
                depth += 1;
            }
            '}' if depth == 0 => return Err("`}` without `{`".to_owned()),
            '}' if depth == 1 => return Ok(from.map(|from| (from, at))),
            '}' => depth -= 1,
            _ => {}
        }
    }
    if depth > 0 { Err("`{` without `}`".to_owned()) } else { Ok(None) }
}

/// Splits at the commas that lie in no inner braces.
fn split_alternatives(inner: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, char) in significant(inner) {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[from..]);
    parts
}

/// The characters that are not escaped and not in brackets. (A `[` that is never closed is an error of its component.)
fn significant(text: &str) -> impl Iterator<Item = (usize, char)> + '_ {
    let (mut escaped, mut class) = (false, None);
    text.char_indices().filter(move |&(at, char)| {
        if std::mem::take(&mut escaped) {
            return false;
        }
        match (char, class) {
            ('\\', _) => escaped = true,
            ('[', None) => class = Some(at),
            // A bracket right behind `[` or `[!` is an element of the class.
            (']', Some(from))
                if at > from + 1 && !(at == from + 2 && text[from + 1..].starts_with(['!', '^'])) =>
            {
                class = None;
                return false;
            }
            _ => {}
        }
        class.is_none() && !escaped
    })
}

/// The bytes of a name, for the parser of siblings.
pub(crate) fn bytes(name: &OsStr) -> &[u8] {
    name.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let spec = FileSpec { paths: vec![text.to_owned()], ..FileSpec::default() };
        let error = Patterns::new(&[spec]).expect_err(text);
        assert_eq!(error.pattern, text);
        error.reason
    }

    #[test]
    fn braces_stand_for_paths_and_escapes_and_classes_protect_them() {
        let table: &[(&str, &[&str])] = &[
            ("/a/{b,c}/d", &["/a/b/d", "/a/c/d"]),
            ("/{a,b/{c,d}}.log", &["/a.log", "/b/c.log", "/b/d.log"]),
            ("/a{,b}", &["/a", "/ab"]),
            ("/a[{]b", &["/a[{]b"]),
            (r"/a\{b,c\}", &[r"/a\{b,c\}"]),
            ("/[]{]{x,y}", &["/[]{]x", "/[]{]y"]),
        ];
        for (text, expected) in table {
            assert_eq!(alternatives(text).expect("sound"), *expected, "{text}");
        }
    }

    #[test]
    fn a_pattern_that_cannot_be_used_is_named_with_the_reason() {
        assert!(error("var/log/*.log").contains("absolute"));
        assert!(error("/var/../log").contains(".."));
        assert!(error("/var/[a").contains("unclosed"));
        assert!(error("/var/{a").contains("without"));
        assert!(error("/var/a}").contains("without"));
        assert!(
            error("/var/log/**x").contains("write `*x` for one name, `**/*x` for any depth"),
            "{}",
            error("/var/log/**x")
        );
        for mixed in ["/var/a**", "/var/{b,a**}/x", "/var/***", "/var/a**b/x"] {
            assert!(error(mixed).contains("whole component"), "{mixed}");
        }
        for sound in ["/var/**", "/var/**/x", "/{var/**,x}/y", r"/var/\**x", "/var/[**]x", r"/var/*\*"] {
            let spec = FileSpec { paths: vec![sound.to_owned()], ..FileSpec::default() };
            assert!(Patterns::new(&[spec]).is_ok(), "{sound}");
        }
        assert!(error(&format!("/{}", "{a,b}".repeat(9))).contains("256"));
        assert!(error(&"/x".repeat(129)).contains("128"));
        let spec = FileSpec { exclude: vec!["/x/**.gz".to_owned()], ..FileSpec::default() };
        assert!(Patterns::new(&[spec]).expect_err("mixed").reason.contains("`**/*.gz`"));
        let spec = FileSpec { exclude: vec!["/x/[".to_owned()], ..FileSpec::default() };
        assert_eq!(Patterns::new(&[spec]).expect_err("unclosed").pattern, "/x/[");
    }
}
