//! Takes interrupted Spot instances away when their warning is over, and draining ones with the last of their tasks;
//! interrupts tasks on Fargate Spot.
//!
//! Holds: the deadline is in the record, so that a server which was down when it passed does it right after its start.

use std::sync::Arc;
use std::time::Duration;

use cove_base::{Clock, Timestamp};
use cove_model::capacity_provider::FARGATE_SPOT;
use cove_model::container_instance::ContainerInstance;
use cove_model::task::{Desired, StopCode, StopOrder, Task};
use cove_store::{Prefix, Read, Store, StoreError, Tx};

use super::managed;
use super::verb::{End, Refused, end, tasks_on, terminated};

/// After the store refused a write.
pub(super) const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Runs until the store closes. Cancel safe.
pub async fn watch_departures(store: Store, clock: Clock) {
    let (mut instances, mut tasks) = (store.watch::<ContainerInstance>(), store.watch::<Task>());
    loop {
        let next = store.read(|view| {
            let is_due = !emptied(view).is_empty();
            if is_due { Some(clock.now()) } else { next_departure(&view.scan(&Prefix::all())) }
        });
        let wait = match next {
            None => None,
            Some(at) if at > clock.now() => Some(millis_until(at, clock.now())),
            Some(_) => {
                if let Err(error) = store.write(depart).await {
                    tracing::warn!(error = cove_base::error::chain(&error), "an interrupted instance cannot leave");
                    tokio::time::sleep(RETRY_DELAY).await;
                }
                continue;
            }
        };
        tokio::select! {
            result = instances.changed() => if result.is_err() { return },
            result = tasks.changed() => if result.is_err() { return },
            () = pause(wait) => {}
        }
    }
}

pub(super) async fn pause(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

pub(super) fn millis_until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(at.millis() - now.millis()).unwrap_or(0))
}

/// The earliest deadline of those that still are there.
pub(super) fn next_departure(instances: &[Arc<ContainerInstance>]) -> Option<Timestamp> {
    instances.iter().filter(|one| one.is_registered()).filter_map(|one| leaves_at(one)).min()
}

/// When the instance goes with whatever is on it: after a warning, or with its last day.
fn leaves_at(instance: &ContainerInstance) -> Option<Timestamp> {
    instance.leaves_at.or_else(|| managed::ends_at(instance))
}

/// Ends those whose time is over.
pub(crate) fn depart(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let now = tx.now();
    for instance in tx.scan::<ContainerInstance>(&Prefix::all()) {
        if instance.is_registered() && leaves_at(&instance).is_some_and(|at| at <= now) {
            let how = if instance.leaves_at.is_some() { End::SpotInterrupted } else { End::Retired };
            let gone = end(tx, &instance, how);
            tx.put(if instance.leaves_at.is_none() { terminated(gone) } else { gone });
        }
    }
    for instance in emptied(tx) {
        let gone = end(tx, &instance, End::Deregistered);
        tx.put(if instance.managed_by.is_some() { terminated(gone) } else { gone });
    }
    Ok(())
}

/// Those that were only waiting for their tasks to end.
pub(super) fn emptied(source: &impl Read) -> Vec<Arc<ContainerInstance>> {
    let waits = |one: &Arc<ContainerInstance>| one.is_registered() && one.leaves_when_empty;
    let mut waiting: Vec<_> = source.scan::<ContainerInstance>(&Prefix::all()).into_iter().filter(waits).collect();
    waiting.retain(|one| tasks_on(source, one).is_empty());
    waiting
}

/// ECS's words for a task on Fargate Spot whose capacity is wanted back.
const INTERRUPTED: &str = "Your Spot Task was interrupted.";

/// Interrupts a task on Fargate Spot: the warning is its SIGTERM, and the stopTimeout is how long it has.
///
/// # Errors
/// When it is no such task, or ends anyhow.
pub fn interrupt_task(tx: &mut Tx<'_>, task: &Task) -> Result<Task, Refused> {
    if task.placement.capacity_provider.as_deref() != Some(FARGATE_SPOT) {
        return Err(Refused::NotSpot(task.id.clone()));
    }
    if !task.is_live() || task.desired.is_stopped() {
        return Err(Refused::Stopping(task.id.clone()));
    }
    let order = StopOrder { code: StopCode::SpotInterruption, reason: INTERRUPTED.to_owned(), at: tx.now() };
    let interrupted = Task { desired: Desired::Stopped(order), version: task.version + 1, ..task.clone() };
    tx.put(interrupted.clone());
    Ok(interrupted)
}
