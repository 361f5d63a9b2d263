//! The caps of what is written: by a task into its writable layers and volumes of its own, by the tasks of a managed
//! instance together, whose provider says how large its volume is, and into shared volumes.
//!
//! In: live tasks, and what each has on disk. Out: an order to stop for those beyond their ephemeral storage, for the one
//! that has written most of an instance that is full, and for all that have a shared volume which is too large: who filled
//! it cannot be told.
//!
//! Holds: measuring takes at most a twentieth of one core, however much there is, and nothing while nobody writes; a task is stopped by the same order as
//! by StopTask, so nothing of it is lost that a stop would keep.
//! Why a stop, where Fargate's disk is just full: a shared file system has no such edge without project quotas, and one
//! task must not fill the disk of all others.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cove_model::arn::Tenant;
use cove_model::task::{Desired, StopCode, StopOrder, Task};
use cove_runtime::rootfs::Used;
use cove_store::{Prefix, Read, Record, StoreError};
use tokio::sync::watch;

use crate::deps::{Deps, blocking};
use crate::driver::volumes;
use crate::volumes as shared;

/// Between two rounds: a disk of 500 MB/s takes five gigabytes in it.
const ROUND: Duration = Duration::from_secs(10);
/// The pause is this often the round's own time: a twentieth of a core at most.
const PAUSE_FACTOR: u32 = 20;
const GIB: u64 = 1 << 30;
/// What the file system may take in before tasks are measured again: little beside the smallest limit.
const GROWTH_BYTES: u64 = 64 << 20;
/// Somebody else may free what a task takes: after so many rounds tasks are measured all the same.
const ROUNDS_SKIPPED_MAX: u32 = 30;

/// Measures until it is told to stop.
pub(crate) async fn run(deps: Arc<Deps>, mut stopped: watch::Receiver<bool>) {
    let mut pause = ROUND;
    let mut quiet = Quiet::default();
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopped.changed() => return,
        }
        if quiet.goes_on(used_bytes(&deps)) {
            continue;
        }
        let began = std::time::Instant::now();
        tokio::select! {
            () = round(&deps) => {}
            // What is being measured is left alone.
            _ = stopped.changed() => return,
        }
        pause = ROUND.max(began.elapsed() * PAUSE_FACTOR);
    }
}

/// What the file system of the data directory holds; `None` when it does not say.
fn used_bytes(deps: &Deps) -> Option<u64> {
    let stat = nix::sys::statvfs::statvfs(deps.data.root()).ok()?;
    Some((stat.blocks() - stat.blocks_free()) * stat.fragment_size())
}

/// Whether so little was written since tasks were measured that measuring would find nothing.
#[derive(Default)]
struct Quiet {
    measured_at: Option<u64>,
    skipped: u32,
}

impl Quiet {
    fn goes_on(&mut self, used: Option<u64>) -> bool {
        let grown = match (self.measured_at, used) {
            (Some(before), Some(now)) => now > before.saturating_add(GROWTH_BYTES),
            (None, _) | (_, None) => true,
        };
        if grown || self.skipped == ROUNDS_SKIPPED_MAX {
            *self = Self { measured_at: used, skipped: 0 };
            return false;
        }
        // What was freed by others must not hide what is written from now on.
        self.measured_at = self.measured_at.min(used);
        self.skipped += 1;
        true
    }
}

async fn round(deps: &Arc<Deps>) {
    let tasks = deps.store.read(|view| view.live::<Task>(&Prefix::all()));
    let mut volumes_of: HashMap<String, Volume> = HashMap::new();
    for task in tasks.into_iter().filter(|task| !task.desired.is_stopped() && !task.placement.elsewhere) {
        let (of, id) = (Arc::clone(deps), task.id.clone());
        let measured = blocking(move || of.snapshots.usage(&id, &[volumes(&of).join(&id)])).await;
        let used = match measured {
            Ok(Ok(used)) => used,
            Ok(Err(error)) => {
                tracing::debug!(task = task.id, error = cove_base::error::chain(&error), "disk use cannot be measured");
                continue;
            }
            Err(error) => {
                tracing::warn!(task = task.id, %error, "disk use cannot be measured");
                continue;
            }
        };
        let instance = deps.instance_of(&task);
        let volume_gib = instance.as_ref().and_then(|it| it.storage_gib);
        if let Some(reason) = over(used, limit_gib(&task, volume_gib, deps.settings.task_storage_gib)) {
            stop(deps, &task, reason).await;
        } else if let (Some(instance), Some(gib), Used::Bytes(bytes)) = (instance, volume_gib, used) {
            let volume = volumes_of.entry(instance.id.clone()).or_insert(Volume { gib, tasks: Vec::new() });
            volume.tasks.push((bytes, task));
        }
    }
    for volume in volumes_of.into_values() {
        if let Some((task, reason)) = volume.over() {
            stop(deps, task, reason).await;
        }
    }
    if deps.settings.shared_volume_gib > 0 {
        for tenant in shared::tenants(deps) {
            shared_round(deps, tenant).await;
        }
    }
}

async fn shared_round(deps: &Arc<Deps>, tenant: Tenant) {
    let of = Arc::clone(deps);
    let measured = blocking(move || {
        let users = shared::users(&of, &tenant);
        shared::list(&of, &tenant).map(|volumes| (users, volumes))
    });
    let (users, volumes) = match measured.await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            tracing::warn!(error = cove_base::error::chain(&error), "shared volumes cannot be measured");
            return;
        }
        Err(error) => {
            tracing::warn!(%error, "shared volumes cannot be measured");
            return;
        }
    };
    for volume in volumes {
        let Some(reason) = over_shared(&volume.name, volume.used, deps.settings.shared_volume_gib) else { continue };
        for task in users.get(&volume.name).into_iter().flatten().filter(|task| !task.desired.is_stopped()) {
            stop(deps, task, reason.clone()).await;
        }
    }
}

async fn stop(deps: &Deps, task: &Task, reason: String) {
    tracing::warn!(task = task.id, reason, "stopping a task for what was written");
    if let Err(error) = order_stop(deps, task, reason).await {
        tracing::warn!(task = task.id, error = cove_base::error::chain(&error), "it could not be stopped");
    }
}

/// What the tasks of an instance share, and have written.
struct Volume {
    gib: u32,
    tasks: Vec<(u64, Arc<Task>)>,
}

impl Volume {
    /// Who must stop when it is full, and why: whoever has written most.
    fn over(&self) -> Option<(&Task, String)> {
        let sum: u64 = self.tasks.iter().map(|(bytes, _)| bytes).sum();
        if sum <= u64::from(self.gib) * GIB {
            return None;
        }
        let (_, task) = self.tasks.iter().max_by_key(|(bytes, task)| (*bytes, &task.id))?;
        let reason = format!(
            "EphemeralStorageExceeded: the tasks of the instance have written {} and may have {} GiB together; this one wrote most",
            in_gib(sum),
            self.gib
        );
        Some((task, reason))
    }
}

fn in_gib(bytes: u64) -> String {
    format!("{}.{} GiB", bytes / GIB, bytes % GIB * 10 / GIB)
}

/// What the task asked for, else what its instance has, else what the operator gives; 0 is no limit.
fn limit_gib(task: &Task, volume_gib: Option<u32>, usual: u32) -> u32 {
    task.ephemeral_storage_gib.or(volume_gib).unwrap_or(usual)
}

/// Why the task must stop, if it must.
fn over(used: Used, limit_gib: u32) -> Option<String> {
    if limit_gib == 0 {
        return None;
    }
    let what = match used {
        Used::Bytes(bytes) if bytes <= u64::from(limit_gib) * GIB => return None,
        Used::Bytes(bytes) => format!("the task has written {}", in_gib(bytes)),
        Used::Unmeasurable => "the task has directories too deep or too many to be measured".to_owned(),
    };
    Some(format!("EphemeralStorageExceeded: {what} and may have {limit_gib} GiB in its containers and volumes"))
}

fn over_shared(name: &str, used: Used, limit_gib: u32) -> Option<String> {
    let what = match used {
        Used::Bytes(bytes) if bytes <= u64::from(limit_gib) * GIB => return None,
        Used::Bytes(bytes) => format!("holds {}.{} GiB", bytes / GIB, bytes % GIB * 10 / GIB),
        Used::Unmeasurable => "has directories too deep or too many to be measured".to_owned(),
    };
    Some(format!("SharedVolumeExceeded: volume {name} {what} and may hold {limit_gib} GiB"))
}

async fn order_stop(deps: &Deps, task: &Task, reason: String) -> Result<(), StoreError> {
    let key = task.key();
    let stop = move |tx: &mut cove_store::Tx<'_>| {
        let Some(found) = tx.get::<Task>(&key).filter(|task| task.is_live() && !task.desired.is_stopped()) else {
            return Ok(());
        };
        let mut task = (*found).clone();
        task.desired = Desired::Stopped(StopOrder { code: StopCode::TerminationNotice, reason, at: tx.now() });
        task.version += 1;
        tx.put(task);
        Ok(())
    };
    deps.store.write(stop).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_stops_only_beyond_its_limit_and_says_how_much_it_wrote() {
        assert_eq!(over(Used::Bytes(20 * GIB), 20), None);
        let reason = over(Used::Bytes(20 * GIB + GIB / 2), 20).unwrap();
        assert!(reason.contains("20.5 GiB") && reason.contains("may have 20 GiB"), "{reason}");
        assert!(over(Used::Unmeasurable, 20).is_some());
        assert_eq!(over(Used::Bytes(u64::MAX), 0), None);
        assert_eq!(over(Used::Unmeasurable, 0), None);
    }

    #[test]
    fn a_shared_volume_beyond_its_cap_is_named() {
        assert_eq!(over_shared("v", Used::Bytes(GIB), 1), None);
        let reason = over_shared("v", Used::Bytes(GIB + 1), 1).unwrap();
        assert!(reason.contains("volume v holds 1.0 GiB and may hold 1 GiB"), "{reason}");
        assert!(over_shared("v", Used::Unmeasurable, 1).is_some());
    }

    #[test]
    fn tasks_are_measured_once_something_was_written_and_from_time_to_time() {
        let mut quiet = Quiet::default();
        assert!(!quiet.goes_on(Some(GIB)), "nothing is known at first");
        assert!(quiet.goes_on(Some(GIB + GROWTH_BYTES)));
        assert!(!quiet.goes_on(Some(GIB + GROWTH_BYTES + 1)));
        assert!(quiet.goes_on(Some(GIB)), "others have freed something");
        assert!(!quiet.goes_on(Some(GIB + GROWTH_BYTES + 1)), "which is written again");
        assert!(!quiet.goes_on(None));
        assert!(!quiet.goes_on(Some(GIB)));
        assert!((0..ROUNDS_SKIPPED_MAX).all(|_| quiet.goes_on(Some(GIB))));
        assert!(!quiet.goes_on(Some(GIB)));
    }

    #[test]
    fn what_the_task_asked_for_beats_what_is_usual() {
        let mut task = crate::resolve::tests::task();
        task.ephemeral_storage_gib = None;
        assert_eq!((limit_gib(&task, None, 7), limit_gib(&task, Some(80), 7)), (7, 80));
        task.ephemeral_storage_gib = Some(100);
        assert_eq!((limit_gib(&task, None, 7), limit_gib(&task, Some(80), 7)), (100, 100));
    }

    #[test]
    fn of_a_full_instance_the_task_stops_that_wrote_most() {
        let task = |id: &str, bytes: u64| {
            let mut task = crate::resolve::tests::task();
            task.id = id.into();
            (bytes, Arc::new(task))
        };
        let volume = |gib| Volume { gib, tasks: vec![task("a", GIB), task("b", 2 * GIB), task("c", GIB / 2)] };
        assert!(volume(4).over().is_none());
        let volume = volume(3);
        let (task, reason) = volume.over().unwrap();
        assert_eq!(task.id, "b");
        assert!(reason.contains("3.5 GiB") && reason.contains("3 GiB together"), "{reason}");
    }
}
