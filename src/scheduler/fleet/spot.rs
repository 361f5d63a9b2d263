//! Takes interrupted Spot instances away when their warning is over.
//!
//! Holds: the deadline is in the record, so that a server which was down when it passed does it right after its start.

use std::sync::Arc;
use std::time::Duration;

use cove_base::{Clock, Timestamp};
use cove_model::container_instance::ContainerInstance;
use cove_store::{Prefix, Read, Store, StoreError, Tx};

use super::verb::{End, end};

/// After the store refused a write.
pub(super) const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Runs until the store closes. Cancel safe.
pub async fn watch_departures(store: Store, clock: Clock) {
    let mut changed = store.watch::<ContainerInstance>();
    loop {
        let next = store.read(|view| next_departure(&view.scan(&Prefix::all())));
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
            result = changed.changed() => if result.is_err() { return },
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
    instances.iter().filter(|one| one.is_registered()).filter_map(|one| one.leaves_at).min()
}

fn depart(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let now = tx.now();
    for instance in tx.scan::<ContainerInstance>(&Prefix::all()) {
        if instance.is_registered() && instance.leaves_at.is_some_and(|at| at <= now) {
            let gone = end(tx, &instance, End::SpotInterrupted);
            tx.put(gone);
        }
    }
    Ok(())
}
