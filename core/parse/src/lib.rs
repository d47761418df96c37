//! Chunks to records: line split, container formats, joining of partials. Pure.
