//! Placeholder until its first landing.
