//! Removes what is left of a task, in the kernel and on disk. Every part may be gone already.

use cove_base::crash::{self, Point};
use cove_model::task::Task;
use cove_runtime::rootfs::RootfsError;
use cove_shim::protocol::Request;

use super::{Driver, FINISH_TIMEOUT, StepError};
use crate::deps::{Deps, blocking};
use crate::step::Shim;

/// In the data directory.
const VOLUMES: &str = "volumes";

impl Driver {
    /// Ends the shim, then removes processes, network, writable layers and directories.
    pub(super) async fn release(&mut self, task: &Task) -> Result<(), StepError> {
        if let Some(attaching) = self.attaching.take() {
            attaching.await?;
        }
        self.finish_shim().await;
        crash::at(Point::ShimFinished);
        let (deps, id) = (std::sync::Arc::clone(&self.deps), task.id.clone());
        blocking(move || remove(&deps, &id)).await??;
        crash::at(Point::Released);
        self.known.shim = Shim::Gone;
        self.known.residue = false;
        Ok(())
    }

    /// Every container has ended and is recorded, so the shim ends by itself.
    async fn finish_shim(&mut self) {
        let Some(client) = &mut self.client else { return };
        if client.send(&Request::Finish).await.is_ok() {
            let ended = tokio::time::timeout(FINISH_TIMEOUT, async { while let Ok(Some(_)) = client.next().await {} });
            if ended.await.is_err() {
                tracing::warn!(key = ?self.key, "the shim does not end; its processes are killed");
            }
        }
        self.client = None;
    }

    /// Exit records are of use until STOPPED is durable.
    pub(super) async fn forget_exits(&self, id: &str) {
        let exits = self.deps.data.exits().join(id);
        let removed = blocking(move || remove_directory(&exits)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, task = id, "exit records could not be removed");
        }
    }
}

/// What could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("remove what is left of task {id}: {}", failures.join("; "))]
pub(crate) struct ReleaseError {
    id: String,
    failures: Vec<String>,
}

/// Tries every part and collects what failed.
pub(crate) fn remove(deps: &Deps, id: &str) -> Result<(), ReleaseError> {
    let mut failures = Vec::new();
    let mut note = |what: &str, result: Result<(), String>| {
        if let Err(why) = result {
            failures.push(format!("{what}: {why}"));
        }
    };
    let chain = |error: &dyn std::error::Error| cove_base::error::chain(error);
    note("cgroup", deps.cgroups.remove_task(id).map_err(|error| chain(&error)));
    crash::at(Point::ReleasedGroups);
    note("network", deps.networks.detach(id).map_err(|error| chain(&error)));
    crash::at(Point::ReleasedNetwork);
    note("writable layers", deps.snapshots.remove_writable(id).map_err(|error| chain(&error)));
    crash::at(Point::ReleasedLayers);
    note("run directory", remove_directory(&deps.run.task(id)).map_err(|error| error.to_string()));
    super::docker_volumes::unmount_below(&volumes(deps).join(id));
    note("volumes", remove_volumes(deps, id).map_err(|error| chain(&error)));
    if failures.is_empty() { Ok(()) } else { Err(ReleaseError { id: id.to_owned(), failures }) }
}

/// Volumes without a source path, one directory per task.
pub(crate) fn volumes(deps: &Deps) -> std::path::PathBuf {
    deps.data.root().join(VOLUMES)
}

/// Takes every mount off the volumes of all tasks, for who removes the data directory as a whole.
pub fn unmount_volumes(data_dir: &std::path::Path) {
    for task in std::fs::read_dir(data_dir.join(VOLUMES)).into_iter().flatten().flatten() {
        super::docker_volumes::unmount_below(&task.path());
    }
}

/// By way of the trash: what containers wrote may be nested deeper than a recursion can go.
fn remove_volumes(deps: &Deps, id: &str) -> Result<(), RootfsError> {
    let all = volumes(deps);
    match all.join(id).try_exists() {
        Ok(false) => Ok(()),
        Ok(true) | Err(_) => deps.snapshots.remove_directory(&all, id),
    }
}

/// Of what the server itself wrote.
fn remove_directory(path: &std::path::Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
