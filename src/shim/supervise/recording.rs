//! An exit on its way to disk.
//!
//! ```text
//! ended ──▶ due ── written ─────────────────────────▶ told
//!            ▲ └── refused (disk full, …) ──▶ waits ─┐
//!            └────────── RETRY_INTERVAL ─────────────┘
//! ```
//!
//! Holds: the exit is given back, to be told, only once its record is durable. A refusal costs the loop nothing but
//! another deadline, so everything else of the task goes on meanwhile.
//! Why a missing directory counts as written: the server makes it before the shim and removes it when it has forgotten
//! the task; a record that nobody will read must not keep the shim alive.

use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use cove_base::crash::{self, Point};

use super::note;
use crate::journal;
use crate::protocol::ExitRecord;

/// How long after a refusal the record is written again: a freed disk is noticed soon, a full one costs next to nothing.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// An exit that is not durable yet.
#[derive(Debug)]
pub(super) struct Recording {
    record: ExitRecord,
    due: Instant,
    refused: bool,
}

impl Recording {
    pub(super) fn new(record: ExitRecord) -> Self {
        Self { record, due: Instant::now(), refused: false }
    }

    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// Writes the record if it is time; the exit to be told, once durable. Refusals are noted once, not at every try.
    pub(super) fn advance(&mut self, exits: &Path) -> Option<ExitRecord> {
        if Instant::now() < self.due {
            return None;
        }
        let record = &self.record;
        match journal::write(exits, record) {
            Ok(()) if self.refused => note(&format!("recorded the exit of {} at last", record.container)),
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                note(&format!("nobody wants the exit of {} any more: {} is gone", record.container, exits.display()));
            }
            Err(error) => {
                if !self.refused {
                    note(&format!("cannot record the exit of {}, tries again: {error}", record.container));
                }
                self.refused = true;
                self.due = Instant::now() + RETRY_INTERVAL;
                return None;
            }
        }
        crash::at(Point::ShimRecorded);
        Some(self.record.clone())
    }
}
