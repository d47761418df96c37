//! What a backend's answer may repeat of the request and nobody is shown: headers' values, and what is secret in a URL.
//!
//! Each is known as it was sent, decoded, and without the scheme before it (`Bearer`, `Basic`). What a backend makes of it
//! otherwise, a hash or a part, is not recognised.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use reqwest::Url;

use crate::config::Secret;

/// What stands for each of them.
const SHOWN_INSTEAD: &[u8] = b"***";

/// A shorter value of a query is no secret, and shorter segments of a path are names (`insert`, `jsonline`).
const QUERY_VALUE_LEN_MIN: usize = 4;
const SEGMENT_LEN_MIN: usize = 16;

/// The texts to hide, the longest first.
pub(crate) struct Hidden(Vec<Vec<u8>>);

impl Hidden {
    pub(crate) fn new(url: &Url, headers: &[(String, Secret)]) -> Self {
        let mut texts: Vec<Vec<u8>> = Vec::new();
        for (_, value) in headers {
            let value = value.expose();
            texts.push(value.into());
            texts.extend(value.split_once(' ').into_iter().flat_map(|(_, token)| credentials(token)));
        }
        texts.extend(url.password().into_iter().flat_map(|password| sent(url.username(), password)));
        for value in url.query().into_iter().flat_map(|query| query.split('&')) {
            let value = value.split_once('=').map_or(value, |(_, value)| value);
            texts.extend(both(value).into_iter().filter(|value| value.len() >= QUERY_VALUE_LEN_MIN));
        }
        for segment in url.path().split('/').filter(|segment| segment.len() >= SEGMENT_LEN_MIN) {
            texts.extend(both(segment));
        }
        texts.retain(|text| !text.is_empty());
        texts.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        texts.dedup();
        Hidden(texts)
    }

    /// How much more than is shown has to be read, so that none is cut off unrecognised.
    pub(crate) fn longest(&self) -> usize {
        self.0.first().map_or(0, Vec::len)
    }

    /// What of the first `limit` bytes of an answer may be logged: one line.
    pub(crate) fn shown(&self, answer: &[u8], limit: usize) -> String {
        let (mut shown, mut at) = (Vec::new(), 0);
        while at < answer.len().min(limit) {
            match self.0.iter().find(|text| answer[at..].starts_with(text)) {
                Some(text) => {
                    shown.extend_from_slice(SHOWN_INSTEAD);
                    at += text.len();
                }
                None => {
                    shown.push(answer[at]);
                    at += 1;
                }
            }
        }
        String::from_utf8_lossy(&shown).escape_debug().to_string()
    }
}

/// What follows the scheme in a header: itself, and the password where it is one of `Basic`.
fn credentials(token: &str) -> Vec<Vec<u8>> {
    let token = token.trim();
    let mut texts = vec![token.into()];
    if let Ok(decoded) = STANDARD.decode(token) {
        let password =
            decoded.iter().position(|byte| *byte == b':').map(|colon| decoded[colon + 1..].to_vec());
        texts.extend(password);
        texts.push(decoded);
    }
    texts
}

/// A password in a URL: there, and in the header that is made of it.
fn sent(user: &str, password: &str) -> Vec<Vec<u8>> {
    let decoded = [percent_decode_str(user).collect(), percent_decode_str(password).collect::<Vec<u8>>()];
    let mut texts = both(password);
    texts.push(STANDARD.encode(decoded.join(&b':')).into_bytes());
    texts
}

/// A part of a URL as it stands there, and as it is meant.
fn both(text: &str) -> Vec<Vec<u8>> {
    vec![text.into(), percent_decode_str(text).collect()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden() -> Hidden {
        let url = "http://me:p%40ss@host/insert/0123456789abcdef-token?key=quer%20y&refresh&x=1";
        let header = |value: &str| ("name".to_owned(), Secret::new(value));
        let headers = ["Bearer token-1", "plain", "Basic bWU6b3BlbiBzZXNhbWU="].map(header);
        Hidden::new(&Url::parse(url).expect("a URL"), &headers)
    }

    #[test]
    fn an_answer_that_repeats_the_request_is_shown_without_its_secrets() {
        for (answer, shown) in [
            ("no `Bearer token-1` here", "no `***` here"),
            ("no token-1 or plain", "no *** or ***"),
            ("bWU6b3BlbiBzZXNhbWU= open sesame", "*** ***"),
            ("p%40ss p@ss bWU6cEBzcw==", "*** *** ***"),
            ("/insert/0123456789abcdef-token?key=quer%20y&x=1", "/insert/***?key=***&x=1"),
            ("quer y\n", "***\\n"),
        ] {
            assert_eq!(hidden().shown(answer.as_bytes(), 200), shown);
        }
    }

    /// Wherever the limit cuts, no part of a secret is shown.
    #[test]
    fn a_secret_at_the_end_of_what_is_shown_is_hidden_whole() {
        let hidden = hidden();
        let answer = b"you sent Bearer token-1, which is wrong";
        for limit in 0..answer.len() {
            let read = answer.len().min(limit + hidden.longest());
            let shown = hidden.shown(&answer[..read], limit);
            assert!(!shown.contains("Be") && !shown.contains("tok"), "{limit}: {shown}");
            assert!(shown.len() <= limit + SHOWN_INSTEAD.len(), "{limit}: {shown}");
        }
    }
}
