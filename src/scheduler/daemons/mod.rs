//! Keeps daemons: reads the state of each, decides, and carries the decision out in one transaction.
//!
//! Holds: as [`crate::services`]: woken by the store or a timer, no hint what changed, each decision is made again inside
//! its transaction, so that a crash between any two of them loses nothing.

pub(crate) mod apply;
mod begin;
pub(crate) mod decide;
pub(crate) mod read;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cove_base::{Clock, Timestamp};
use cove_model::alarm::Alarm;
use cove_model::capacity_provider::CapacityProvider;
use cove_model::container_instance::ContainerInstance;
use cove_model::daemon::{Daemon, DaemonDeployment};
use cove_model::service::Departed;
use cove_model::task::Task;
use cove_store::{Key, Prefix, Read, Record, Store};

use crate::deploy::Timing;
use crate::host::HostFacts;
use crate::services::Turn;
use decide::{Decision, State, decide};

pub use begin::{begin, retire};
pub use read::{covered_by, covering};

/// After the store refused a write.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Changes come in crowds: what comes within this time is looked at together.
const CROWD: Duration = Duration::from_millis(1);
/// Clocks jump and timers are late: the state is looked at this often whatever happens.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What the loop works with.
pub struct DaemonScheduler {
    pub store: Store,
    pub host: Arc<HostFacts>,
    pub timing: Timing,
    pub clock: Clock,
    /// Held while daemons are looked after: who holds it stops everything and nothing comes back.
    pub turn: Turn,
}

impl DaemonScheduler {
    /// Runs until the store closes. Cancel safe.
    pub async fn run(self) {
        let mut daemons = self.store.watch::<Daemon>();
        let mut deployments = self.store.watch::<DaemonDeployment>();
        let mut tasks = self.store.watch::<Task>();
        let mut instances = self.store.watch::<ContainerInstance>();
        let mut providers = self.store.watch::<CapacityProvider>();
        let mut departures = self.store.watch::<Departed>();
        let mut alarms = self.store.watch::<Alarm>();
        loop {
            for changed in [
                &mut daemons,
                &mut deployments,
                &mut tasks,
                &mut instances,
                &mut providers,
                &mut departures,
                &mut alarms,
            ] {
                changed.mark_unchanged();
            }
            let turn = self.turn.lock().await;
            let (work, wake_at) = self.look();
            let failed = self.carry_out(&work).await;
            drop(turn);
            let wait = if failed { RETRY_DELAY } else { self.until(wake_at) };
            tokio::select! {
                result = daemons.changed() => if result.is_err() { return },
                result = deployments.changed() => if result.is_err() { return },
                result = tasks.changed() => if result.is_err() { return },
                result = instances.changed() => if result.is_err() { return },
                result = providers.changed() => if result.is_err() { return },
                result = departures.changed() => if result.is_err() { return },
                result = alarms.changed() => if result.is_err() { return },
                () = tokio::time::sleep(wait) => {}
            }
            tokio::time::sleep(CROWD).await;
        }
    }

    fn look(&self) -> (BTreeSet<Key>, Option<Timestamp>) {
        self.store.read(|view| look(view, &self.timing, self.clock.now()))
    }

    /// Whether one could not be written.
    async fn carry_out(&self, work: &BTreeSet<Key>) -> bool {
        let mut failed = false;
        for key in work {
            let (of, host, timing) = (key.clone(), Arc::clone(&self.host), self.timing.clone());
            if let Err(error) = self.store.write(move |tx| apply::reconcile(tx, &host, &timing, &of)).await {
                let error = cove_base::error::chain(&error);
                tracing::warn!(daemon = ?key, error, "a daemon cannot be looked after");
                failed = true;
            }
        }
        failed
    }

    fn until(&self, at: Option<Timestamp>) -> Duration {
        let now = self.clock.now();
        let wait = at.map(|at| Duration::from_millis(u64::try_from(at.millis() - now.millis()).unwrap_or(0)));
        wait.map_or(LOOK_AGAIN, |wait| wait.min(LOOK_AGAIN))
    }
}

/// Which daemons need something, and when to look again.
pub(crate) fn look(source: &impl Read, timing: &Timing, now: Timestamp) -> (BTreeSet<Key>, Option<Timestamp>) {
    let (mut work, mut wake_at) = (BTreeSet::new(), None::<Timestamp>);
    for daemon in source.scan::<Daemon>(&Prefix::all()) {
        let Some(state) = read::state(source, &daemon, timing, now) else { continue };
        let decision = decide(&state);
        if let Some(at) = decision.wake_at {
            wake_at = Some(wake_at.map_or(at, |known| known.min(at)));
        }
        if is_work(&state, &decision) {
            work.insert(daemon.key());
        }
    }
    (work, wake_at)
}

/// Whether carrying the decision out would change anything.
fn is_work(state: &State, decision: &Decision) -> bool {
    decision.daemon != state.daemon
        || decision.deployment != state.deployment
        || !decision.start.is_empty()
        || !decision.stop.is_empty()
        || !decision.drain.is_empty()
        || decision.is_gone
        || !state.departed.is_empty()
}
