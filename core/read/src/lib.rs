//! Which files, who they are, following, rotation: from paths to the next bytes to read.
//!
//! ```text
//! Scanner (its own thread)                              Lineage (on its shard)
//! patterns -> walk -> siblings -> generations --Listing--> what was found, moved, lost; what to read next
//!                                     ^-------- claims ----- how far each generation was consumed
//! ```
//! A *lineage* is one log over time: a path together with its rotated siblings. A *generation* is one stretch of its
//! contents, numbered in the order of writing; a file is the place where a generation lies at the moment. A rename, a
//! copy or a compression moves a generation to another place; a truncation begins a new generation in the same place.
//! A rotated file that is found behind its successor is a lineage
//! of its own (`stray`). The engine places a view at (generation, offset), the offset counted in uncompressed bytes.
//!
//! The scanner numbers the generations, since it alone sees all files and may read them. What it cannot know is how
//! far the shard has read: the shard tells it with claims ([`Scanner::claim`]), from the checkpoint at the start and
//! then once in a while. A claim may be old; it only has to be true.
//!
//! Never here: records, pipelines, outputs; reading the bytes themselves is the engine's call to `io`.

mod dirs;
mod gather;
mod generation;
mod gz;
mod head;
mod identity;
mod judge;
mod lineage;
mod links;
mod listing;
mod look;
mod maps;
mod newcomer;
mod next;
mod open;
mod patterns;
mod proof;
mod resolve;
mod roles;
mod scanner;
mod siblings;
mod stray;
mod survey;
mod tracked;
mod walk;

pub use generation::Generation;
pub use gz::{Inflate, InflateError, Inflated};
pub use head::{Content, head_of, tail_of};
pub use identity::{Claim, FileRecord, HEAD_BYTES, Head, Identity, TAIL_BYTES, Tail};
pub use lineage::{GRACE, LINGER, Lineage};
pub use listing::{FileSpec, Listing, Place, Sighting};
pub use next::{Change, LostReason, Next, Start, Turn};
pub use open::{OpenFile, OpenFiles};
pub use patterns::PatternError;
pub use scanner::{Cost, Reopened, ScanError, Scanner};
pub use siblings::{Sibling, sibling};
pub use stray::log_of;
