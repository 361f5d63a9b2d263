//! Keeps services: reads the state of each, decides ([`crate::deploy`]), and carries the decision out in one transaction.
//!
//! Holds: woken by the store or a timer, it takes no hint what changed. A decision is made again inside its transaction, on
//! what is true there; so a crash between any two of them loses nothing, and there is no recovery path.
//! Why the state is read outside first: most of the time nothing is to be done, and then nothing is queued.

pub(crate) mod apply;
mod begin;
mod forget;
pub(crate) mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cove_base::{Clock, Timestamp};
use cove_model::alarm::Alarm;
use cove_model::container_instance::ContainerInstance;
use cove_model::service::{Departed, Service, ServiceDeployment, TaskSet};
use cove_model::task::Task;
use cove_store::{Key, Prefix, Read, Record, Store, StoreError};

use crate::deploy::{Decision, State, Timing, decide};
use crate::host::HostFacts;

pub use begin::{begin, end_open, put_revision};
pub use read::Scene;

/// After the store refused a write.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Changes come in crowds, as when fifty tasks start: what comes within this time is looked at together. It is far below
/// what a task takes to start.
const CROWD: Duration = Duration::from_millis(1);
/// Clocks jump and timers are late: the state is looked at this often whatever happens.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What the loop works with.
pub struct ServiceScheduler {
    pub store: Store,
    pub host: Arc<HostFacts>,
    pub timing: Timing,
    pub clock: Clock,
    /// Held while services are looked after: who holds it stops everything and nothing comes back.
    pub turn: Turn,
}

/// One at a time.
pub type Turn = Arc<tokio::sync::Mutex<()>>;

impl ServiceScheduler {
    /// Runs until the store closes. Cancel safe.
    pub async fn run(self) {
        let mut services = self.store.watch::<Service>();
        let mut tasks = self.store.watch::<Task>();
        let mut instances = self.store.watch::<ContainerInstance>();
        let mut rollouts = self.store.watch::<ServiceDeployment>();
        let mut departures = self.store.watch::<Departed>();
        let mut alarms = self.store.watch::<Alarm>();
        let mut sets = self.store.watch::<TaskSet>();
        loop {
            for changed in
                [&mut services, &mut tasks, &mut instances, &mut rollouts, &mut departures, &mut alarms, &mut sets]
            {
                changed.mark_unchanged();
            }
            let turn = self.turn.lock().await;
            let round = self.look();
            let failed = self.carry_out(&round.work).await | self.forget().await;
            drop(turn);
            let wait = if failed { RETRY_DELAY } else { self.until(round.wake_at) };
            tokio::select! {
                result = services.changed() => if result.is_err() { return },
                result = tasks.changed() => if result.is_err() { return },
                result = instances.changed() => if result.is_err() { return },
                result = rollouts.changed() => if result.is_err() { return },
                result = departures.changed() => if result.is_err() { return },
                result = alarms.changed() => if result.is_err() { return },
                result = sets.changed() => if result.is_err() { return },
                () = tokio::time::sleep(wait) => {}
            }
            tokio::time::sleep(CROWD).await;
        }
    }

    fn look(&self) -> Round {
        self.store.read(|view| look(view, &self.timing, self.clock.now()))
    }

    /// Whether one could not be written.
    async fn carry_out(&self, work: &BTreeSet<Key>) -> bool {
        // All at once, so that they share a commit.
        let writes: Vec<_> = work.iter().map(|key| (key, tokio::spawn(self.write(key.clone())))).collect();
        let mut failed = false;
        for (key, write) in writes {
            let error = match write.await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => cove_base::error::chain(&error),
                Err(error) => error.to_string(),
            };
            tracing::warn!(service = ?key, error, "a service cannot be looked after");
            failed = true;
        }
        failed
    }

    /// Whether that could not be written.
    async fn forget(&self) -> bool {
        let over = self.store.read(|view| forget::forgotten(view, self.clock.now()));
        if over.is_empty() {
            return false;
        }
        let done = self.store.write(move |tx| forget::delete(tx, &over)).await;
        if let Err(error) = &done {
            tracing::warn!(error = cove_base::error::chain(error), "services that are gone cannot be forgotten");
        }
        done.is_err()
    }

    fn write(&self, key: Key) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        let (store, host, timing) = (self.store.clone(), Arc::clone(&self.host), self.timing.clone());
        async move { store.write(move |tx| apply::reconcile(tx, &host, &timing, &key)).await }
    }

    fn until(&self, at: Option<Timestamp>) -> Duration {
        let now = self.clock.now();
        let wait = at.map(|at| Duration::from_millis(u64::try_from(at.millis() - now.millis()).unwrap_or(0)));
        wait.map_or(LOOK_AGAIN, |wait| wait.min(LOOK_AGAIN))
    }
}

/// Which services need something, and when to look again.
#[must_use]
pub fn look(source: &impl Read, timing: &Timing, now: Timestamp) -> Round {
    let mut scene = Scene::at(timing, now);
    let mut round = Round::default();
    for service in source.live::<Service>(&Prefix::all()) {
        let state = scene.state(source, &service);
        let decision = decide(&state);
        if let Some(at) = decision.wake_at {
            round.wake_at = Some(round.wake_at.map_or(at, |known| known.min(at)));
        }
        if is_work(&state, &decision) {
            round.work.insert(service.key());
        }
    }
    round
}

/// What a look at all services found.
#[derive(Debug, Default)]
pub struct Round {
    pub work: BTreeSet<Key>,
    pub wake_at: Option<Timestamp>,
}

/// Whether carrying the decision out would change anything.
fn is_work(state: &State, decision: &Decision) -> bool {
    decision.service != state.service
        || decision.rollouts != state.rollouts
        || decision.task_sets != state.task_sets
        || !decision.start.is_empty()
        || !decision.stop.is_empty()
        || !decision.say.is_empty()
        || !state.departed.is_empty()
}
