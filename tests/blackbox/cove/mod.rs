//! Cove's own endpoints and verbs, one file per noun.

mod events;
mod fleet;
mod image;
mod task;
