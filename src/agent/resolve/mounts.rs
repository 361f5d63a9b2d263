//! Volumes, tmpfs and devices.

use std::path::{Path, PathBuf};

use cove_model::task_definition::{
    ContainerDefinition, DeviceCgroupPermission, LinuxParameters, MountPoint, TaskDefinitionDocument,
};
use cove_runtime::spec::{BindMount, DeviceSpec, TmpfsMount};

use super::{ResolveError, Surroundings};

const MIB: u64 = 1 << 20;

/// Bind mounts, and the directories that must be there first.
#[derive(Default)]
pub(super) struct Binds {
    pub binds: Vec<BindMount>,
    pub directories: Vec<PathBuf>,
}

/// The container's own mount points, then those of `volumesFrom`.
pub(super) fn binds(around: &Surroundings<'_>, definition: &ContainerDefinition) -> Result<Binds, ResolveError> {
    let mut all = Binds::default();
    for point in &definition.mount_points {
        add(&mut all, around, point, false)?;
    }
    for from in &definition.volumes_from {
        let name = from.source_container.as_deref().unwrap_or_default();
        let source = container_named(around.document, name)?;
        for point in &source.mount_points {
            add(&mut all, around, point, from.read_only.unwrap_or(false))?;
        }
    }
    Ok(all)
}

fn container_named<'a>(
    document: &'a TaskDefinitionDocument,
    name: &str,
) -> Result<&'a ContainerDefinition, ResolveError> {
    let found = document.container_definitions.iter().find(|definition| definition.name.as_deref() == Some(name));
    found.ok_or_else(|| ResolveError::UnknownSource(name.to_owned()))
}

/// A volume with a source path is that host directory; without one it is a directory of the task, gone with it.
fn add(all: &mut Binds, around: &Surroundings<'_>, point: &MountPoint, read_only: bool) -> Result<(), ResolveError> {
    let name = point.source_volume.as_deref().unwrap_or_default();
    let destination = absolute(point.container_path.as_deref())?;
    let volume = around.document.volumes.iter().find(|volume| volume.name.as_deref() == Some(name));
    let volume = volume.ok_or_else(|| ResolveError::UnknownVolume(name.to_owned()))?;
    let host_path = volume.host.as_ref().and_then(|host| host.source_path.as_deref()).filter(|path| !path.is_empty());
    let source = match host_path {
        Some(path) => PathBuf::from(path),
        None => volume_directory(around.volumes, around.document, name)?,
    };
    if all.binds.iter().any(|known| known.destination == destination) {
        return Ok(());
    }
    all.directories.push(source.clone());
    let read_only = read_only || point.read_only.unwrap_or(false);
    all.binds.push(BindMount { source, destination, read_only, propagation: None });
    Ok(())
}

/// Named by position, so that no volume name can step out of the directory.
fn volume_directory(root: &Path, document: &TaskDefinitionDocument, name: &str) -> Result<PathBuf, ResolveError> {
    let position = document.volumes.iter().position(|volume| volume.name.as_deref() == Some(name));
    let position = position.ok_or_else(|| ResolveError::UnknownVolume(name.to_owned()))?;
    Ok(root.join(position.to_string()))
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
    if path.starts_with('/') { Ok(path.to_owned()) } else { Err(ResolveError::RelativePath(path.to_owned())) }
}
