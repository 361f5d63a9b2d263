//! Shared Docker volumes as an operator sees them: what is there, how large it is, who has it, and an end to it.
//!
//! In: a tenant and names. Out: a list, or a volume less.
//!
//! Holds: what a live task mounts is not removed; a task that comes meanwhile waits, and makes the volume anew or is told
//! that there is none. A removal that is interrupted has either not begun or goes on by itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::task::Task;
use cove_model::task_definition::{Scope, TaskDefinition, TaskDefinitionDocument};
use cove_runtime::rootfs::{Used, measure};
use cove_store::{Prefix, Read, keys};

use crate::agent::AgentHandle;
use crate::deps::{Deps, blocking};
use crate::driver::{shared_volumes, shared_volumes_turn};

/// A shared volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedVolume {
    pub name: String,
    pub used: Used,
    /// ARNs of the live tasks that have it.
    pub tasks: Vec<String>,
}

/// Why a volume is still there.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    #[error("there is no shared volume `{0}`")]
    Unknown(String),
    #[error("volume `{name}` is in use by {}: stop what has it first", .tasks.join(", "))]
    InUse { name: String, tasks: Vec<String> },
    #[error("look at the shared volumes")]
    List(#[source] std::io::Error),
    #[error("remove or measure a shared volume")]
    Disk(#[from] cove_runtime::rootfs::RootfsError),
    #[error("{0}")]
    Place(String),
    #[error("the work did not end")]
    Ended(#[from] tokio::task::JoinError),
}

impl AgentHandle {
    /// A tenant's shared volumes by name. Measuring takes as long as there are files.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub async fn shared_volumes(&self, tenant: &Tenant) -> Result<Vec<SharedVolume>, VolumeError> {
        let (deps, tenant) = (Arc::clone(self.deps()), tenant.clone());
        blocking(move || list(&deps, &tenant)).await?
    }

    /// Removes one that nobody has.
    ///
    /// # Errors
    /// When there is no such volume, a live task has it, or the disk refuses.
    pub async fn remove_shared_volume(&self, tenant: &Tenant, name: &str) -> Result<(), VolumeError> {
        let (deps, tenant, name) = (Arc::clone(self.deps()), tenant.clone(), name.to_owned());
        blocking(move || remove(&deps, &tenant, &name)).await?
    }
}

pub(crate) fn list(deps: &Deps, tenant: &Tenant) -> Result<Vec<SharedVolume>, VolumeError> {
    let home = shared_volumes(deps, tenant).map_err(VolumeError::Place)?;
    let mut users = users(deps, tenant);
    let mut found = Vec::new();
    for name in names_in(&home)? {
        let used = measure(&home.join(&name))?;
        let tasks = users.remove(&name).unwrap_or_default();
        found.push(SharedVolume { name, used, tasks: tasks.iter().map(|task| task.arn()).collect() });
    }
    Ok(found)
}

fn names_in(home: &Path) -> Result<Vec<String>, VolumeError> {
    let entries = match fs::read_dir(home) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(VolumeError::List(error)),
    };
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    Ok(names)
}

fn remove(deps: &Deps, tenant: &Tenant, name: &str) -> Result<(), VolumeError> {
    let unknown = || VolumeError::Unknown(name.to_owned());
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(unknown());
    }
    let home = shared_volumes(deps, tenant).map_err(VolumeError::Place)?;
    // A task is published before it mounts anything, and mounts only after its turn.
    let _turn = shared_volumes_turn();
    if let Some(tasks) = users(deps, tenant).remove(name) {
        let tasks = tasks.iter().map(|task| task.arn()).collect();
        return Err(VolumeError::InUse { name: name.to_owned(), tasks });
    }
    if !home.join(name).exists() {
        return Err(unknown());
    }
    Ok(deps.snapshots.remove_directory(&home, name)?)
}

/// Live tasks by the shared volumes that their definitions name.
pub(crate) fn users(deps: &Deps, tenant: &Tenant) -> BTreeMap<String, Vec<Arc<Task>>> {
    deps.store.read(|view| {
        let mut users: BTreeMap<String, Vec<Arc<Task>>> = BTreeMap::new();
        for task in view.live::<Task>(&Prefix::tenant(tenant)) {
            let key = keys::definition(&task.tenant, &task.family, task.revision);
            let Some(definition) = view.get::<TaskDefinition>(&key) else { continue };
            for name in shared_names(&definition.document) {
                users.entry(name.to_owned()).or_default().push(Arc::clone(&task));
            }
        }
        users
    })
}

fn shared_names(document: &TaskDefinitionDocument) -> impl Iterator<Item = &str> {
    let is_shared =
        |docker: &cove_model::task_definition::DockerVolumeConfiguration| docker.scope == Some(Scope::Shared);
    let shared = document
        .volumes
        .iter()
        .filter(move |volume| volume.docker_volume_configuration.as_ref().is_some_and(is_shared));
    shared.filter_map(|volume| volume.name.as_deref())
}

/// Tenants that have shared volumes, as the directories say.
pub(crate) fn tenants(deps: &Deps) -> Vec<Tenant> {
    let names = names_in(&deps.data.shared_volumes()).unwrap_or_default();
    let tenant = |name: &String| name.split_once('.').map(|(account, region)| Tenant::new(account, region));
    names.iter().filter_map(tenant).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_volumes_of_scope_shared_are_shared() {
        let document: TaskDefinitionDocument = serde_json::from_value(serde_json::json!({"family": "f", "volumes": [
            {"name": "a", "dockerVolumeConfiguration": {"scope": "shared"}},
            {"name": "b", "dockerVolumeConfiguration": {"scope": "task"}},
            {"name": "c", "dockerVolumeConfiguration": {}},
            {"name": "d", "host": {}},
        ]}))
        .unwrap();
        assert_eq!(shared_names(&document).collect::<Vec<_>>(), ["a"]);
    }
}
