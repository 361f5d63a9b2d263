//! When to scrub, and what a pass counts. Pure.

use std::time::Duration;

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

use super::read::Found;
use crate::digest::Digest;

/// What is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ScrubState {
    /// The pass under way.
    pub running: Option<Running>,
    pub last: Option<ScrubPass>,
    /// Of all passes that ended.
    total_files: u64,
    total_bytes: u64,
    total_damaged: u64,
    /// Somebody asked for a pass.
    pub(super) asked: bool,
}

/// A pass under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Running {
    pub began_at: Timestamp,
    /// The last digest that was checked.
    pub after: Option<String>,
    pub files: u64,
    pub bytes: u64,
    pub damaged: u64,
}

/// A pass that ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ScrubPass {
    pub began_at: Timestamp,
    pub ended_at: Timestamp,
    pub files: u64,
    pub bytes: u64,
    /// How many it set aside.
    pub damaged: u64,
}

/// The one next thing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Pass,
    Rest(Duration),
}

/// A pass that was interrupted goes on; else one begins so long after the last one began. A new node has nothing old to
/// read, so its first pass is due after one interval, counted from now.
pub(super) fn next(state: &mut ScrubState, now: Timestamp, every: Option<Duration>) -> Step {
    if state.asked || state.running.is_some() {
        return Step::Pass;
    }
    let Some(every) = every else { return Step::Rest(Duration::MAX) };
    let last = state.last.get_or_insert(ScrubPass { began_at: now, ended_at: now, ..ScrubPass::default() });
    let since = u64::try_from(now.millis().saturating_sub(last.began_at.millis())).unwrap_or(0);
    match every.checked_sub(Duration::from_millis(since)) {
        Some(left) if !left.is_zero() => Step::Rest(left),
        Some(_) | None => Step::Pass,
    }
}

impl ScrubState {
    /// Begins a pass or goes on with one; behind which digest.
    pub(super) fn begin(&mut self, now: Timestamp) -> Option<String> {
        self.asked = false;
        self.running.get_or_insert(Running { began_at: now, ..Running::default() }).after.clone()
    }

    pub(super) fn passed(&mut self, digest: &Digest, found: Found) {
        let Some(running) = &mut self.running else { return };
        running.after = Some(digest.to_string());
        match found {
            Found::Whole { bytes } => {
                running.files += 1;
                running.bytes += bytes;
            }
            Found::Damaged { bytes, .. } => {
                running.files += 1;
                running.bytes += bytes;
                running.damaged += 1;
            }
            Found::Gone => {}
        }
    }

    pub(super) fn end(&mut self, now: Timestamp) -> ScrubPass {
        let Running { began_at, files, bytes, damaged, .. } = self.running.take().unwrap_or_default();
        let pass = ScrubPass { began_at, ended_at: now, files, bytes, damaged };
        self.total_files += files;
        self.total_bytes += bytes;
        self.total_damaged += damaged;
        self.last = Some(pass);
        pass
    }

    /// Whether a pass was asked for that has not begun.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked
    }

    /// Files, bytes and damaged ones so far.
    pub(super) fn totals(&self) -> (u64, u64, u64) {
        let running = self.running.clone().unwrap_or_default();
        (self.total_files + running.files, self.total_bytes + running.bytes, self.total_damaged + running.damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

    fn at(millis: i64) -> Timestamp {
        Timestamp(millis)
    }

    #[test]
    fn a_pass_comes_a_week_after_the_last_one_began_or_when_asked() {
        let mut state = ScrubState::default();
        assert_eq!(next(&mut state, at(1000), Some(WEEK)), Step::Rest(WEEK));
        assert_eq!(next(&mut state, at(61_000), Some(WEEK)), Step::Rest(WEEK - Duration::from_secs(60)));
        assert_eq!(next(&mut state, at(1000 + 7 * 24 * 60 * 60 * 1000), Some(WEEK)), Step::Pass);
        assert_eq!(next(&mut ScrubState::default(), at(1), None), Step::Rest(Duration::MAX), "never by itself");
        state.asked = true;
        assert_eq!(next(&mut state, at(61_000), None), Step::Pass);
    }

    #[test]
    fn an_interrupted_pass_goes_on_behind_its_last_digest() {
        let mut state = ScrubState::default();
        let digest = Digest::of(b"x");
        assert_eq!(state.begin(at(1)), None);
        state.passed(&digest, Found::Whole { bytes: 7 });
        let text = serde_json::to_string(&state).unwrap();
        let mut state: ScrubState = serde_json::from_str(&text).unwrap();
        assert_eq!(next(&mut state, at(2), None), Step::Pass);
        assert_eq!(state.begin(at(2)).as_deref(), Some(digest.as_str()));
        state.passed(&digest, Found::Damaged { bytes: 1, inode: 1 });
        let pass = state.end(at(3));
        assert_eq!((pass.began_at, pass.files, pass.bytes, pass.damaged), (at(1), 2, 8, 1));
        assert_eq!((state.totals(), state.running), ((2, 8, 1), None));
    }
}
