//! Scrub: every blob and manifest is read again from the disk and its digest checked.
//!
//! ```text
//! rest ──▶ pass: digest by digest, in order, at a bounded rate ──▶ rest until the next one is due
//!            │ differs, or cannot be read            ▲
//!            └─▶ set aside: the file leaves its name ─┘ a restart goes on behind the last digest noted
//! ```
//!
//! Holds: what is set aside is damaged: a push that replaced the file meanwhile wins (same lock as pins, same inode). A
//! repository that lacks a blob's file says that it lacks the blob, so that clients send it again, which heals it.
//! Why the state is a file and not a record: it is written every few seconds and nothing else depends on it.

mod damage;
mod plan;
mod read;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

pub use self::damage::Damaged;
use self::plan::Step;
pub use self::plan::{ScrubPass, ScrubState};
use crate::digest::Digest;
use crate::registry::{Registry, blocking};

/// The state is noted after this many files: what a crash makes us read again.
const NOTE_EVERY: u64 = 64;
/// Looks at the clock again at least this often while resting.
const REST_MAX: Duration = Duration::from_secs(60 * 60);
/// A damaged blob that somebody uses right now is looked at again that often, and how much later.
const BUSY_TRIES: u32 = 5;
const BUSY_PAUSE: Duration = Duration::from_millis(200);

/// What is known of scrubbing.
#[derive(Debug)]
pub(crate) struct Scrub {
    path: PathBuf,
    state: Mutex<ScrubState>,
    asked: Notify,
    /// Bytes per second, while one pass runs.
    rate: u64,
    every: Option<Duration>,
}

impl Scrub {
    /// Goes on where an earlier server was; a state that cannot be read begins anew.
    pub(crate) fn open(path: PathBuf, rate: u64, every: Option<Duration>) -> Self {
        let state = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { path, state: Mutex::new(state.unwrap_or_default()), asked: Notify::new(), rate, every }
    }

    fn change<T>(&self, change: impl FnOnce(&mut ScrubState) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Not durable: what a crash takes is read again.
    fn note(&self) {
        let bytes = serde_json::to_vec(&self.change(|state| state.clone())).unwrap_or_default();
        let fresh = self.path.with_extension("new");
        let noted = std::fs::write(&fresh, bytes).and_then(|()| std::fs::rename(&fresh, &self.path));
        if let Err(error) = noted {
            tracing::debug!(%error, "the state of the scrub could not be noted");
        }
    }
}

impl Registry {
    /// What scrubbing did and does.
    #[must_use]
    pub fn scrub_state(&self) -> ScrubState {
        self.scrub.change(|state| state.clone())
    }

    /// Begins a pass unless one runs.
    pub fn scrub_now(&self) {
        self.scrub.change(|state| state.asked = true);
        self.scrub.asked.notify_one();
    }

    /// Scrubs when it is due or asked for, until it is dropped.
    pub async fn scrub_for_ever(self) {
        loop {
            let now = self.clock.now();
            match self.scrub.change(|state| plan::next(state, now, self.scrub.every)) {
                Step::Pass => self.scrub_pass().await,
                Step::Rest(time) => {
                    let _ = tokio::time::timeout(time.min(REST_MAX), self.scrub.asked.notified()).await;
                }
            }
        }
    }

    /// One pass, or the rest of one.
    pub(crate) async fn scrub_pass(&self) {
        let now = self.clock.now();
        let after = self.scrub.change(|state| state.begin(now));
        let registry = self.clone();
        let digests = blocking(move || registry.scrub_list(after.as_deref())).await;
        for (count, digest) in digests.into_iter().enumerate() {
            let found = self.scrub_one(&digest).await;
            self.scrub.change(|state| state.passed(&digest, found));
            if (count as u64 + 1).is_multiple_of(NOTE_EVERY) {
                self.scrub.note();
            }
        }
        let ended = self.clock.now();
        let pass = self.scrub.change(|state| state.end(ended));
        self.scrub.note();
        for lost in self.damaged().await {
            tracing::error!(
                digest = lost.digest,
                repositories = lost.repositories.join(", "),
                "the content is damaged or gone; pushing it again heals it"
            );
        }
        tracing::info!(files = pass.files, bytes = pass.bytes, damaged = pass.damaged, "scrubbed the registry");
    }

    /// All digests behind one, in order.
    fn scrub_list(&self, after: Option<&str>) -> Vec<Digest> {
        let mut digests: Vec<Digest> = self.blobs.list(std::time::UNIX_EPOCH).into_iter().map(|(it, _)| it).collect();
        digests.retain(|digest| after.is_none_or(|after| digest.as_str() > after));
        digests.sort_unstable();
        digests
    }

    async fn scrub_one(&self, digest: &Digest) -> read::Found {
        for _ in 0..BUSY_TRIES {
            let found = read::check(self.blobs.path(digest), digest.clone(), self.scrub.rate).await;
            let read::Found::Damaged { inode, .. } = found else { return found };
            let (files, named) = (self.blobs.clone(), digest.clone());
            match blocking(move || files.set_aside(&named, inode)).await {
                Ok(crate::blobs::SetAside::Done) => {
                    tracing::error!(%digest, "a blob is damaged; it was set aside");
                    return found;
                }
                Ok(crate::blobs::SetAside::Replaced) => {}
                Ok(crate::blobs::SetAside::InUse) => tokio::time::sleep(BUSY_PAUSE).await,
                Err(error) => {
                    tracing::error!(%digest, %error, "a damaged blob could not be set aside");
                    return found;
                }
            }
        }
        tracing::warn!(%digest, "a blob looks damaged and is in use; the next pass looks again");
        read::Found::Gone
    }

    /// Lines for `/_cove/metrics`.
    #[must_use]
    pub fn scrub_metrics(&self) -> String {
        let state = self.scrub_state();
        let (files, bytes, damaged) = state.totals();
        let ended = state.last.map_or(0.0, |pass| pass.ended_at.epoch_seconds());
        format!(
            "# TYPE cove_registry_scrubbed_files_total counter\ncove_registry_scrubbed_files_total {files}\n\
             # TYPE cove_registry_scrubbed_bytes_total counter\ncove_registry_scrubbed_bytes_total {bytes}\n\
             # TYPE cove_registry_damaged_blobs_total counter\ncove_registry_damaged_blobs_total {damaged}\n\
             # TYPE cove_registry_scrub_ended_timestamp_seconds gauge\n\
             cove_registry_scrub_ended_timestamp_seconds {ended}\n"
        )
    }
}
