//! Which attributes go out: an output's `attributes:`.

use std::fmt;

/// A choice of attributes by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection(Choice);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Choice {
    All,
    Some(Vec<Pattern>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Name(Box<str>),
    Prefix(Box<str>),
}

/// A pattern that is neither a name nor a prefix followed by `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadPattern {
    /// Nothing, or only white space.
    Empty,
    /// A `*` that is not the last character.
    StarInside(Box<str>),
}

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadPattern::Empty => write!(f, "an empty attribute name; write a name or a prefix such as k8s.*"),
            BadPattern::StarInside(pattern) => {
                write!(f, "`{pattern}`: a * may only stand at the end, as in k8s.*")
            }
        }
    }
}

impl std::error::Error for BadPattern {}

impl Selection {
    /// Everything that is known.
    pub fn all() -> Self {
        Selection(Choice::All)
    }

    /// What `patterns` name: whole names (`k8s.pod.name`), prefixes (`k8s.*`) or everything (`*`). No pattern, no
    /// attribute.
    pub fn parse<P: AsRef<str>>(patterns: impl IntoIterator<Item = P>) -> Result<Self, BadPattern> {
        let patterns = patterns.into_iter().map(|pattern| Pattern::parse(pattern.as_ref()));
        Ok(Selection(Choice::Some(patterns.collect::<Result<_, _>>()?)))
    }

    /// Whether the attribute called `name` goes out.
    pub fn admits(&self, name: &str) -> bool {
        match &self.0 {
            Choice::All => true,
            Choice::Some(patterns) => patterns.iter().any(|pattern| pattern.matches(name)),
        }
    }
}

impl Default for Selection {
    fn default() -> Self {
        Selection::all()
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, BadPattern> {
        let text = text.trim();
        let (name, prefix) = match text.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (text, false),
        };
        match (name, prefix) {
            (name, _) if name.contains('*') => Err(BadPattern::StarInside(text.into())),
            ("", false) => Err(BadPattern::Empty),
            (name, true) => Ok(Pattern::Prefix(name.into())),
            (name, false) => Ok(Pattern::Name(name.into())),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Pattern::Name(own) => **own == *name,
            Pattern::Prefix(prefix) => name.starts_with(&**prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(patterns: &[&str]) -> Vec<&'static str> {
        let selection = Selection::parse(patterns).expect("good patterns");
        ["k8s.pod.name", "k8s.pod.names", "k8s", "log.file.path"]
            .into_iter()
            .filter(|name| selection.admits(name))
            .collect()
    }

    #[test]
    fn names_are_whole_prefixes_end_in_a_star_and_no_pattern_admits_nothing() {
        assert_eq!(admitted(&["k8s.pod.name"]), ["k8s.pod.name"]);
        assert_eq!(admitted(&["k8s.*"]), ["k8s.pod.name", "k8s.pod.names"]);
        assert_eq!(admitted(&[" log.file.path ", "k8s"]), ["k8s", "log.file.path"]);
        assert_eq!(admitted(&["*"]).len(), 4);
        assert_eq!(admitted(&[]).len(), 0);
        assert!(Selection::default().admits("anything"));
    }

    #[test]
    fn a_bad_pattern_is_named() {
        assert_eq!(Selection::parse(["a", " "]), Err(BadPattern::Empty));
        for bad in ["*.name", "k8s.*.name", "a**"] {
            assert_eq!(Selection::parse([bad]), Err(BadPattern::StarInside(bad.into())));
        }
    }
}
