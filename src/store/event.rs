//! The event log: which command changed which records, in the same transaction as the change.
//!
//! Holds: revisions only grow; the newest [`EVENTS_KEPT`] are there. Why a log of our own: sled's subscriptions block
//! the writer and go deaf.

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

/// How many events are kept. sled takes several times the space of what lives, so few: the last minutes of a busy server.
pub(crate) const EVENTS_KEPT: u64 = if cfg!(test) { 50 } else { 1_000 };

/// What one command did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub revision: u64,
    pub at: Timestamp,
    /// `None` when they were too many to list: look at the whole state.
    pub changes: Option<Vec<Change>>,
}

/// A record that a command wrote or deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub tree: String,
    /// The stored form of the key.
    pub key: String,
    pub deleted: bool,
}

impl Event {
    /// The stored form; the list is left out when the event would be larger than `limit` bytes.
    pub(crate) fn encode(mut self, limit: usize) -> Result<Vec<u8>, serde_json::Error> {
        let json = serde_json::to_vec(&self)?;
        if json.len() <= limit {
            return Ok(json);
        }
        self.changes = None;
        serde_json::to_vec(&self)
    }
}
