//! Sources as C sees them: made once per source and not per batch, with the attributes that the host gave to the file.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::c_char;
use std::sync::{Arc, Weak};

use ringtail_record::{Attribute, Source, Value};

use crate::types::{RINGTAIL_TYPE_INT, RINGTAIL_TYPE_TEXT, ringtail_attribute_t, ringtail_source_t};

/// Sources kept beyond those in use before those that are gone are looked for.
const SURPLUS: usize = 1024;

/// The host's attributes, by path.
pub(crate) type Given = HashMap<Box<str>, Arc<[Attribute]>>;

/// A source with its table of attributes, which points into it.
pub(crate) struct Flat {
    source: Arc<Source>,
    table: Vec<ringtail_attribute_t>,
    id: u64,
}

// SAFETY: the table points into the source, which nobody changes.
unsafe impl Send for Flat {}
// SAFETY: as above.
unsafe impl Sync for Flat {}

impl Flat {
    fn new(source: Arc<Source>, id: u64) -> Self {
        let table = source.attributes().iter().map(flat).collect();
        Flat { source, table, id }
    }

    /// Valid as long as this is.
    pub(crate) fn view(&self) -> ringtail_source_t {
        let first = &self.table[0];
        ringtail_source_t {
            id: self.id,
            path: first.text,
            attributes: self.table.as_ptr(),
            path_len: first.text_len,
            attribute_count: u32::try_from(self.table.len()).unwrap_or(u32::MAX),
        }
    }
}

fn flat(attribute: &Attribute) -> ringtail_attribute_t {
    let (text, number, kind) = match &attribute.value {
        Value::Text(text) => (Some(&**text), 0, RINGTAIL_TYPE_TEXT),
        Value::Int(number) => (None, *number, RINGTAIL_TYPE_INT),
    };
    ringtail_attribute_t {
        name: attribute.name.as_ptr().cast::<c_char>(),
        text: text.map_or(std::ptr::null(), |text| text.as_ptr().cast::<c_char>()),
        number,
        name_len: length(&attribute.name),
        text_len: text.map_or(0, length),
        kind,
        reserved: 0,
    }
}

fn length(text: &str) -> u32 {
    u32::try_from(text.len())
        .expect("names and values come from paths and from C, whose lengths are 32 bits here")
}

/// The sources seen, by their address. An entry keeps the address from being used again, not the source's contents.
#[derive(Default)]
pub(crate) struct Sources {
    known: HashMap<usize, (Weak<Source>, Arc<Flat>)>,
    last_id: u64,
    /// Which state of the host's attributes the entries were made with.
    version: u64,
    sweep_at: usize,
}

impl Sources {
    /// The host's attributes changed: what is known is made anew if `version` is another one.
    pub(crate) fn refresh(&mut self, version: u64) {
        if self.version != version {
            self.version = version;
            self.known.clear();
        }
    }

    /// `source` as C sees it, with the attributes `given` to its path.
    pub(crate) fn flat(&mut self, source: &Arc<Source>, given: &Given) -> Arc<Flat> {
        let address = Arc::as_ptr(source).addr();
        if let Some((_, flat)) = self.known.get(&address) {
            return flat.clone();
        }
        self.sweep();
        self.last_id += 1;
        let flat = Arc::new(Flat::new(with_given(source, given), self.last_id));
        self.known.insert(address, (Arc::downgrade(source), flat.clone()));
        flat
    }

    /// Forgets sources that are gone. A source with given attributes is a copy, so that its original can go.
    fn sweep(&mut self) {
        if self.known.len() > self.sweep_at {
            self.known.retain(|_, (source, flat)| source.strong_count() > usize::from(flat.holds(source)));
            self.sweep_at = 2 * self.known.len() + SURPLUS;
        }
    }
}

impl Flat {
    fn holds(&self, source: &Weak<Source>) -> bool {
        Arc::as_ptr(&self.source) == source.as_ptr()
    }
}

fn with_given(source: &Arc<Source>, given: &Given) -> Arc<Source> {
    let path = match source.attributes().first().map(|first| &first.value) {
        Some(Value::Text(path)) => path,
        _ => return source.clone(),
    };
    match given.get(path) {
        None => source.clone(),
        Some(attributes) => {
            let mut own = Source::clone(source);
            attributes.iter().for_each(|attribute| own.set(attribute.clone()));
            Arc::new(own)
        }
    }
}
