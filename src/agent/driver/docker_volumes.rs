//! Docker volumes, made before the containers that mount them.
//!
//! ```text
//! scope task     DATA/volumes/TASK/NUMBER                     gone with the task; a tmpfs where the driver's options say so
//! scope shared   DATA/shared-volumes/TENANT/NAME/{data,volume.json}  kept until `cove volume rm`
//! ```
//!
//! Holds: a shared volume is there once its `data` is, which is made last. What a crash interrupts goes on with the next
//! task that mounts the volume. Only one task at a time makes or fills shared volumes of this node.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cove_model::arn::Tenant;
use cove_model::task::Task;
use cove_model::task_definition::{DockerVolumeConfiguration, Scope, TaskDefinitionDocument};
use cove_runtime::rootfs;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::release;
use crate::deps::Deps;

static SHARED: Mutex<()> = Mutex::new(());

/// Held while a task makes and fills shared volumes, or one is removed; it guards no memory.
pub(crate) type Turn = MutexGuard<'static, ()>;

/// Waits for the others.
pub(crate) fn turn() -> Turn {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes what the definition asks for. The reason is ECS's where it has one.
pub(super) fn prepare(deps: &Deps, task: &Task, document: &TaskDefinitionDocument) -> Result<Option<Turn>, String> {
    let own = release::volumes(deps).join(&task.id);
    let mut turn = None;
    for (number, volume) in document.volumes.iter().enumerate() {
        let (Some(docker), Some(name)) = (&volume.docker_volume_configuration, &volume.name) else { continue };
        if docker.scope == Some(Scope::Shared) {
            if turn.is_none() {
                turn = Some(self::turn());
            }
            let place = shared(deps, &task.tenant)?.join(name);
            make_shared(&place, name, docker)?;
        } else if !docker.driver_opts.is_empty() {
            let place = own.join(number.to_string());
            mount_tmpfs(&place, docker)
                .map_err(|error| format!("CannotCreateVolumeError: failed to mount local volume {name}: {error}"))?;
        }
    }
    Ok(turn)
}

/// Where a tenant's shared volumes are.
pub(crate) fn shared(deps: &Deps, tenant: &Tenant) -> Result<PathBuf, String> {
    let legal = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !legal(&tenant.account) || !legal(&tenant.region) {
        return Err(format!("CannotCreateVolumeError: no directory can be named after {}", tenant.region));
    }
    Ok(deps.data.shared_volumes().join(format!("{}.{}", tenant.account, tenant.region)))
}

fn make_shared(place: &Path, name: &str, docker: &DockerVolumeConfiguration) -> Result<(), String> {
    let data = place.join("data");
    let failed = |error: &dyn std::error::Error| {
        format!("CannotCreateVolumeError: volume {name}: {}", cove_base::error::chain(error))
    };
    if data.exists() {
        return rootfs::settle(&data).map_err(|error| failed(&error));
    }
    if docker.autoprovision != Some(true) {
        return Err(format!(
            "initialize volume: volume detection failed, volume '{name}' does not exist and autoprovision is set to false"
        ));
    }
    let about = serde_json::json!({"driver": "local", "labels": docker.labels});
    let make = || {
        fs::create_dir_all(place)?;
        fs::write(place.join("volume.json"), about.to_string())?;
        fs::create_dir(&data)
    };
    make().map_err(|error: io::Error| failed(&error))
}

/// In the place of one that an interrupted preparation left.
fn mount_tmpfs(place: &Path, docker: &DockerVolumeConfiguration) -> io::Result<()> {
    unmount(place);
    fs::create_dir_all(place)?;
    let (flags, data) = options(docker.driver_opts.get("o").map_or("", String::as_str));
    Ok(mount(Some("tmpfs"), place, Some("tmpfs"), flags, Some(data.as_str()))?)
}

/// As mount(8) tells them apart: words that the kernel has flags for, and the rest, which is the file system's.
fn options(text: &str) -> (MsFlags, String) {
    let (mut flags, mut rest) = (MsFlags::empty(), Vec::new());
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word {
            "ro" => flags |= MsFlags::MS_RDONLY,
            "nosuid" => flags |= MsFlags::MS_NOSUID,
            "nodev" => flags |= MsFlags::MS_NODEV,
            "noexec" => flags |= MsFlags::MS_NOEXEC,
            "noatime" => flags |= MsFlags::MS_NOATIME,
            "nodiratime" => flags |= MsFlags::MS_NODIRATIME,
            "relatime" => flags |= MsFlags::MS_RELATIME,
            "sync" => flags |= MsFlags::MS_SYNCHRONOUS,
            "rw" | "suid" | "dev" | "exec" | "atime" | "async" | "defaults" => {}
            other => rest.push(other),
        }
    }
    (flags, rest.join(","))
}

/// Takes every mount off the volumes of a task.
pub(super) fn unmount_below(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        unmount(&entry.path());
    }
}

fn unmount(place: &Path) {
    while umount2(place, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).is_ok() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_told_from_what_the_file_system_reads() {
        let (flags, rest) = options("size=64k, nosuid,uid=1000,ro,rw");
        assert_eq!((flags, rest.as_str()), (MsFlags::MS_NOSUID | MsFlags::MS_RDONLY, "size=64k,uid=1000"));
        assert_eq!(options(""), (MsFlags::empty(), String::new()));
    }
}
