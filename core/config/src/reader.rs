//! Walks a tree, key by key, and collects everything that is wrong on the way.
//!
//! A reading function gives nothing where something was wrong, and the caller goes on with a default, so that one run
//! tells all mistakes.

use std::fs;
use std::path::Path;

use crate::problem::{Place, Problem, Problems};
use crate::yaml::{Node, Value};

/// Bytes of a secret's file.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// What a `${NAME}` stands for. Only the agent's own environment or a test's.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A key that a later version will understand, and what to do until then.
pub type Later = (&'static str, &'static str);

/// The walker.
pub struct Reader<'a> {
    env: Environment<'a>,
    /// What was found so far.
    pub problems: Problems,
}

/// A node with the path of keys that leads to it.
#[derive(Clone, Debug)]
pub struct Field<'n> {
    /// As in `pipelines.shop.from`; empty at the top.
    pub path: String,
    /// The node.
    pub node: &'n Node,
}

/// The keys of one mapping, taken one after the other.
pub struct Fields<'n> {
    /// See [`Field::path`].
    pub path: String,
    place: Place,
    left: Vec<(&'n str, &'n Place, &'n Node)>,
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// Takes the value of `key`. Each key is asked for once, also those that are not there: they are what is known.
    pub fn take(&mut self, key: &'static str) -> Option<Field<'n>> {
        self.known.push(key);
        let at = self.left.iter().position(|(name, ..)| *name == key)?;
        let (_, _, node) = self.left.remove(at);
        Some(Field { path: join(&self.path, key), node })
    }

    /// Whether `key` is there and not taken.
    pub fn has(&self, key: &str) -> bool {
        self.left.iter().any(|(name, ..)| *name == key)
    }

    /// Takes every key that is left: a mapping whose keys are names.
    pub fn take_all(&mut self) -> Vec<(&'n str, &'n Place, Field<'n>)> {
        let path = &self.path;
        let named = |(name, place, node)| (name, place, Field { path: join(path, name), node });
        std::mem::take(&mut self.left).into_iter().map(named).collect()
    }

    /// Reports the absence of something that must be there.
    pub fn missing(&self, reader: &mut Reader<'_>, message: impl Into<String>) {
        reader.error_at(&self.place, &self.path, message);
    }

    /// Reports every key that nobody took.
    pub fn finish(self, reader: &mut Reader<'_>, later: &[Later]) {
        for (name, place, _) in &self.left {
            let message = match later.iter().find(|(key, _)| key == name) {
                Some((_, remedy)) => format!("not yet in this version; {remedy}"),
                None => format!("unknown key; {}", suggestion(name, &self.known)),
            };
            reader.error_at(place, &join(&self.path, first_word(name)), message);
        }
    }
}

/// What a key that nobody knows is called in messages: with a forgotten colon it is the whole line, with the secret in it.
fn first_word(key: &str) -> &str {
    key.split_whitespace().next().unwrap_or(key)
}

impl<'a> Reader<'a> {
    /// A walker that replaces `${NAME}` by what `env` says.
    pub fn new(env: Environment<'a>) -> Self {
        Reader { env, problems: Problems::default() }
    }

    /// Reports a mistake at `place`.
    pub fn error_at(&mut self, place: &Place, key: &str, message: impl Into<String>) {
        self.problems.errors.push(Problem { place: place.clone(), key: key.into(), message: message.into() });
    }

    /// Reports a mistake in the value of `field`.
    pub fn error(&mut self, field: &Field<'_>, message: impl Into<String>) {
        self.error_at(&field.node.place, &field.path, message);
    }

    /// Reports what is legal and perhaps not meant.
    pub fn warn(&mut self, place: &Place, key: &str, message: impl Into<String>) {
        self.problems.warnings.push(Problem {
            place: place.clone(),
            key: key.into(),
            message: message.into(),
        });
    }

    /// The keys of a mapping. `example` is what to write where it is none.
    pub fn fields<'n>(&mut self, field: &Field<'n>, example: &str) -> Option<Fields<'n>> {
        let Value::Map(entries) = &field.node.value else {
            self.error(
                field,
                format!("{}; write {example}", what_stands(field.node, "keys and values belong")),
            );
            return None;
        };
        let left = entries.iter().map(|entry| (entry.key.as_str(), &entry.place, &entry.node)).collect();
        Some(Fields { path: field.path.clone(), place: field.node.place.clone(), left, known: Vec::new() })
    }

    /// The items of a list. A single value where a list belongs is told how to become one.
    pub fn list<'n>(&mut self, field: &Field<'n>) -> Option<Vec<Field<'n>>> {
        match &field.node.value {
            Value::List(nodes) => {
                let item = |(at, node)| Field { path: format!("{}[{at}]", field.path), node };
                Some(nodes.iter().enumerate().map(item).collect())
            }
            Value::Scalar { text, .. } if !field.node.is_null() => {
                self.error(field, format!("a list belongs here; write `[{text}]`"));
                None
            }
            _ => {
                self.error(field, format!("{}; write `[a, b]`", what_stands(field.node, "a list belongs")));
                None
            }
        }
    }

    /// The text of a scalar as it was written, for messages: `${NAME}` is not replaced in it.
    pub fn raw<'n>(&mut self, field: &Field<'n>) -> Option<&'n str> {
        match &field.node.value {
            Value::Scalar { text, .. } if !field.node.is_null() => Some(text),
            _ => {
                let message = what_stands(field.node, "a single value belongs");
                self.error(field, message);
                None
            }
        }
    }

    /// The text of a scalar, with every `${NAME}` replaced.
    pub fn text(&mut self, field: &Field<'_>) -> Option<String> {
        let raw = self.raw(field)?;
        match expand(raw, self.env) {
            Ok(text) => Some(text),
            Err(message) => {
                self.error(field, message);
                None
            }
        }
    }

    /// The text of a scalar, or of the file that `file:/path` names, without its last newline. `${NAME}` is replaced.
    pub fn secret(&mut self, field: &Field<'_>) -> Option<String> {
        let text = self.text(field)?;
        let Some(path) = text.strip_prefix("file:") else { return Some(text) };
        match read_secret(Path::new(path)) {
            Ok(secret) => Some(secret),
            Err(why) => {
                self.error(
                    field,
                    format!("{why}; name a file that the agent may read, as in `file:/run/secrets/token`"),
                );
                None
            }
        }
    }

    /// A scalar that `parse` understands; its error completes "`value` ...".
    pub fn parsed<T>(
        &mut self,
        field: Option<Field<'_>>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let field = field?;
        let raw = self.raw(&field)?;
        match parse(&self.text(&field)?) {
            Ok(value) => Some(value),
            Err(why) => {
                self.error(&field, format!("`{raw}` {why}"));
                None
            }
        }
    }

    /// One of `choices` by name.
    pub fn choice<T: Copy>(
        &mut self,
        field: Option<Field<'_>>,
        choices: &[(&'static str, T)],
        later: &[Later],
    ) -> Option<T> {
        self.parsed(field, |text| match choices.iter().find(|(name, _)| *name == text) {
            Some((_, value)) => Ok(*value),
            None => match later.iter().find(|(name, _)| *name == text) {
                Some((_, remedy)) => Err(format!("is not yet in this version; {remedy}")),
                None => Err(format!("is not known here; {}", suggestion(text, &names(choices)))),
            },
        })
    }
}

fn names<T>(choices: &[(&'static str, T)]) -> Vec<&'static str> {
    choices.iter().map(|(name, _)| *name).collect()
}

/// What to write instead of `name`: the nearest of `known`, or all of them.
pub fn suggestion(name: &str, known: &[&str]) -> String {
    let near = |known: &&&str| strsim::jaro_winkler(name, known);
    match known.iter().max_by(|a, b| near(a).total_cmp(&near(b))) {
        Some(best) if near(&best) > 0.8 => format!("did you mean `{best}`?"),
        _ => format!("known here: {}", known.join(", ")),
    }
}

fn what_stands(node: &Node, wanted: &str) -> String {
    match &node.value {
        Value::Scalar { .. } if node.is_null() => format!("has no value; {wanted} here"),
        Value::Scalar { .. } => format!("{wanted} here, not a single value"),
        Value::List(_) => format!("{wanted} here, not a list"),
        Value::Map(_) => format!("{wanted} here, not keys and values"),
    }
}

fn join(path: &str, key: &str) -> String {
    match path.is_empty() {
        true => key.into(),
        false => format!("{path}.{key}"),
    }
}

/// Replaces every `${NAME}`; `$${` stands for `${`, any other `$` for itself.
fn expand(text: &str, env: Environment<'_>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let escaped = rest[..at].ends_with('$');
        out.push_str(&rest[..at - usize::from(escaped)]);
        rest = &rest[at + 2..];
        if escaped {
            out.push_str("${");
            continue;
        }
        let Some(end) = rest.find('}') else {
            return Err("`${` without `}`; write `${NAME}`, or `$${` for the characters themselves".into());
        };
        let name = &rest[..end];
        match env(name) {
            Some(value) => out.push_str(&value),
            None => {
                return Err(format!(
                    "the environment variable `{name}` is not set; set it, or write `$${{` for a literal `${{`"
                ));
            }
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn read_secret(path: &Path) -> Result<String, String> {
    let cannot = |why: &dyn std::fmt::Display| format!("cannot read {}: {why}", path.display());
    let metadata = fs::metadata(path).map_err(|error| cannot(&error))?;
    if !metadata.is_file() {
        return Err(cannot(&"it is not a regular file"));
    }
    let size = metadata.len();
    if size > SECRET_BYTES_MAX {
        return Err(cannot(&format_args!("{size} bytes are too many for a secret")));
    }
    let mut text = fs::read_to_string(path).map_err(|error| cannot(&error))?;
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_and_doubled_dollars_are_not() {
        let env: Environment<'_> = &|name| (name == "HOST").then(|| "db-1".into());
        for (text, expected) in [
            ("plain $5 {x} $", "plain $5 {x} $"),
            ("http://${HOST}:80/${HOST}", "http://db-1:80/db-1"),
            ("$${HOST}", "${HOST}"),
            ("", ""),
        ] {
            assert_eq!(expand(text, env).as_deref(), Ok(expected), "{text}");
        }
        assert!(expand("${NONE}", env).is_err_and(|why| why.contains("`NONE`")));
        assert!(expand("${HOST", env).is_err());
    }

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_gets_the_list() {
        assert_eq!(suggestion("tpye", &["type", "batch"]), "did you mean `type`?");
        assert_eq!(suggestion("zzz", &["type", "batch"]), "known here: type, batch");
    }
}
