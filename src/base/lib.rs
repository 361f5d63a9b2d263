//! What every stage needs and none owns: time, random ids, names of places on disk, durable and mapped files, error chains.
//!
//! Holds: nothing here knows a noun of the domain. No threads; no state but the crash point that a test armed.

pub mod clock;
pub mod crash;
pub mod error;
pub mod files;
pub mod ids;
pub mod mapped;
pub mod paths;
pub mod words;

pub use clock::{Clock, Timestamp};
