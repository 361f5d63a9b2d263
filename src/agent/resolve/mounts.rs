//! Volumes, tmpfs and devices.

use std::path::PathBuf;

use cove_model::task_definition::{
    ContainerDefinition, DeviceCgroupPermission, LinuxParameters, MountPoint, Scope, TaskDefinitionDocument,
};
use cove_runtime::rootfs::{Fill, Manner};
use cove_runtime::spec::{BindMount, DeviceSpec, TmpfsMount};

use super::{ResolveError, Surroundings};

const MIB: u64 = 1 << 20;

/// Volumes that one image may declare: far more than any does, and a bound on mounts.
const IMAGE_VOLUMES_MAX: usize = 128;

/// Bind mounts, and the directories that must be there first.
#[derive(Default)]
pub(super) struct Binds {
    pub binds: Vec<BindMount>,
    pub directories: Vec<PathBuf>,
    /// Directories of the task that begin with what the container's image holds at their path.
    pub fills: Vec<Fill>,
}

impl Binds {
    fn has(&self, destination: &str) -> bool {
        self.binds.iter().any(|known| known.destination == destination)
    }
}

/// The container's own mount points, then those of `volumesFrom`, then the volumes that its image declares and nobody
/// mounted anything at. As in Docker, what another container lends begins with that one's content.
pub(super) fn binds(around: &Surroundings<'_>, definition: &ContainerDefinition) -> Result<Binds, ResolveError> {
    let mut all = Binds::default();
    collect(&mut all, around, definition, &mut Vec::new())?;
    Ok(all)
}

fn collect<'a>(
    all: &mut Binds,
    around: &Surroundings<'a>,
    definition: &'a ContainerDefinition,
    visited: &mut Vec<&'a str>,
) -> Result<(), ResolveError> {
    visited.push(definition.name.as_deref().unwrap_or_default());
    for point in &definition.mount_points {
        add(all, around, point)?;
    }
    for from in &definition.volumes_from {
        let name = from.source_container.as_deref().unwrap_or_default();
        // Two that lend to each other are both satisfied.
        if visited.contains(&name) {
            continue;
        }
        let mut lent = Binds::default();
        collect(&mut lent, around, container_named(around.document, name)?, visited)?;
        let read_only = from.read_only.unwrap_or(false);
        for bind in lent.binds {
            if !all.has(&bind.destination) {
                all.binds.push(BindMount { read_only: read_only || bind.read_only, ..bind });
            }
        }
        all.directories.extend(lent.directories);
    }
    add_image_volumes(all, around, definition)
}

fn container_named<'a>(
    document: &'a TaskDefinitionDocument,
    name: &str,
) -> Result<&'a ContainerDefinition, ResolveError> {
    let found = document.container_definitions.iter().find(|definition| definition.name.as_deref() == Some(name));
    found.ok_or_else(|| ResolveError::UnknownSource(name.to_owned()))
}

/// A volume with a source path is that host directory, a shared one of Docker's a directory of the node; any other is a
/// directory of the task, gone with it.
fn add(all: &mut Binds, around: &Surroundings<'_>, point: &MountPoint) -> Result<(), ResolveError> {
    let name = point.source_volume.as_deref().unwrap_or_default();
    let destination = absolute(point.container_path.as_deref())?;
    let position = around.document.volumes.iter().position(|volume| volume.name.as_deref() == Some(name));
    let position = position.ok_or_else(|| ResolveError::UnknownVolume(name.to_owned()))?;
    if all.has(&destination) {
        return Ok(());
    }
    let volume = &around.document.volumes[position];
    let (host, docker) = (volume.host.as_ref(), volume.docker_volume_configuration.as_ref());
    let host_path = host.and_then(|host| host.source_path.as_deref()).filter(|path| !path.is_empty());
    let source = match host_path {
        Some(path) => PathBuf::from(path),
        // Named by position, so that no volume name can step out of the directory.
        None => {
            let is_tmpfs = docker.is_some_and(|docker| !docker.driver_opts.is_empty());
            let (volume, manner) = match docker.and_then(|docker| docker.scope) {
                // Its name is one part of a path: registration has seen to that.
                Some(Scope::Shared) => (around.shared_volumes.join(name).join("data"), Manner::Moved),
                None | Some(Scope::Task) if is_tmpfs => (around.volumes.join(position.to_string()), Manner::InPlace),
                None | Some(Scope::Task) => (around.volumes.join(position.to_string()), Manner::Replaced),
            };
            all.fills.push(Fill { volume: volume.clone(), path: destination.clone(), manner });
            volume
        }
    };
    all.directories.push(source.clone());
    let read_only = point.read_only.unwrap_or(false);
    all.binds.push(BindMount { source, destination, read_only, propagation: None });
    Ok(())
}

/// Each a directory of the task, named by the positions of container and volume.
fn add_image_volumes(
    all: &mut Binds,
    around: &Surroundings<'_>,
    definition: &ContainerDefinition,
) -> Result<(), ResolveError> {
    let name = definition.name.as_deref().unwrap_or_default();
    let Some(volumes) = around.image_volumes.get(name) else { return Ok(()) };
    if volumes.len() > IMAGE_VOLUMES_MAX {
        return Err(ResolveError::ImageVolumes { limit: IMAGE_VOLUMES_MAX, got: volumes.len() });
    }
    let containers = &around.document.container_definitions;
    let place = containers.iter().position(|one| one.name.as_deref() == Some(name)).unwrap_or(0);
    let linux = definition.linux_parameters.as_ref();
    let tmpfs: Vec<String> = linux
        .into_iter()
        .flat_map(|linux| &linux.tmpfs)
        .map(|given| absolute(given.container_path.as_deref()))
        .collect::<Result<_, _>>()?;
    for (number, path) in volumes.iter().enumerate() {
        let destination = cleaned(path);
        if destination == "/" || all.has(&destination) || tmpfs.contains(&destination) {
            continue;
        }
        let source = around.volumes.join(format!("image.{place}.{number}"));
        all.fills.push(Fill { volume: source.clone(), path: destination.clone(), manner: Manner::Replaced });
        all.directories.push(source.clone());
        all.binds.push(BindMount { source, destination, read_only: false, propagation: None });
    }
    Ok(())
}

/// `linuxParameters.tmpfs`.
pub(super) fn tmpfs(linux: &LinuxParameters) -> Result<Vec<TmpfsMount>, ResolveError> {
    linux
        .tmpfs
        .iter()
        .map(|given| {
            Ok(TmpfsMount {
                destination: absolute(given.container_path.as_deref())?,
                size_bytes: given.size.and_then(|mib| u64::try_from(mib).ok()).unwrap_or(0) * MIB,
                options: given.mount_options.clone(),
            })
        })
        .collect()
}

/// `linuxParameters.devices`; all permissions when none is named.
pub(super) fn devices(linux: &LinuxParameters) -> Vec<DeviceSpec> {
    linux
        .devices
        .iter()
        .filter_map(|given| {
            let host_path = PathBuf::from(given.host_path.as_deref()?);
            let container_path = given.container_path.as_deref().map_or_else(|| host_path.clone(), PathBuf::from);
            let letter = |permission: &DeviceCgroupPermission| match permission {
                DeviceCgroupPermission::Read => 'r',
                DeviceCgroupPermission::Write => 'w',
                DeviceCgroupPermission::Mknod => 'm',
            };
            let named: String = given.permissions.iter().map(letter).collect();
            let permissions = if named.is_empty() { "rwm".to_owned() } else { named };
            Some(DeviceSpec { host_path, container_path, permissions })
        })
        .collect()
}

fn absolute(path: Option<&str>) -> Result<String, ResolveError> {
    let path = path.unwrap_or_default();
    if path.starts_with('/') { Ok(cleaned(path)) } else { Err(ResolveError::RelativePath(path.to_owned())) }
}

/// One spelling of each path: from the root, no `.`, `..` or empty part. Links are resolved when it is used.
fn cleaned(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}
