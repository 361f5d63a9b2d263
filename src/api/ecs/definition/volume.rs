//! Volumes of the task, and the mount points that name them.

use std::collections::BTreeSet;

use cove_model::task_definition::{Scope, TaskDefinitionDocument, Volume};

use super::check::is_name;
use crate::ecs::error::EcsError;

/// Checks the task's volumes; a volume without any configuration is an empty directory of the task, as `host: {}` is.
pub(super) fn check_volumes(document: &mut TaskDefinitionDocument) -> Result<(), EcsError> {
    let mut names = BTreeSet::new();
    let mut at_launch = 0;
    for volume in &mut document.volumes {
        let name = volume.name.clone().unwrap_or_default();
        if name.is_empty() {
            return Err(EcsError::client("Volume.name should not be null or empty."));
        }
        if !is_name(&name) {
            return Err(EcsError::client("Volume.name contains invalid characters."));
        }
        if !names.insert(name) {
            return Err(EcsError::client("Volume names must be unique."));
        }
        check_kinds(volume)?;
        at_launch += usize::from(volume.configured_at_launch == Some(true));
        if kinds(volume) == 0 {
            volume.host.get_or_insert_default();
        }
    }
    if at_launch > 1 {
        return Err(EcsError::client("Only one volume per task definition can be configured at launch."));
    }
    Ok(())
}

fn kinds(volume: &Volume) -> usize {
    [
        volume.host.is_some(),
        volume.docker_volume_configuration.is_some(),
        volume.efs_volume_configuration.is_some(),
        volume.s3files_volume_configuration.is_some(),
        volume.fsx_windows_file_server_volume_configuration.is_some(),
        volume.configured_at_launch == Some(true),
    ]
    .into_iter()
    .filter(|given| *given)
    .count()
}

fn check_kinds(volume: &Volume) -> Result<(), EcsError> {
    if kinds(volume) > 1 {
        return Err(EcsError::client(
            "When the volume parameter is specified, only one volume configuration type should be used.",
        ));
    }
    if let Some(path) = volume.host.as_ref().and_then(|host| host.source_path.as_deref()) {
        if path.trim().is_empty() {
            return Err(EcsError::client("host.sourcePath should not be blank."));
        }
        if !path.starts_with('/') || path.contains('\0') {
            return Err(EcsError::client("host.sourcePath should be an absolute path."));
        }
    }
    if let Some(docker) = &volume.docker_volume_configuration
        && docker.autoprovision == Some(true)
        && docker.scope != Some(Scope::Shared)
    {
        return Err(EcsError::client("Autoprovision can only be specified for shared volumes."));
    }
    if let Some(efs) = &volume.efs_volume_configuration
        && efs.transit_encryption_port.is_some_and(|port| u16::try_from(port).is_err())
    {
        return Err(EcsError::client("Invalid 'transitEncryptionPort' setting for volume."));
    }
    Ok(())
}

/// Checks that mount points and `volumesFrom` name what exists.
pub(super) fn check_mounts(document: &TaskDefinitionDocument) -> Result<(), EcsError> {
    for definition in &document.container_definitions {
        let container = definition.name.as_deref().unwrap_or_default();
        let mut paths = BTreeSet::new();
        for mount in &definition.mount_points {
            if !document.volumes.iter().any(|volume| volume.name == mount.source_volume) {
                let name = mount.source_volume.as_deref().unwrap_or("null");
                return Err(EcsError::client(format!("Unknown volume '{name}'.")));
            }
            let path = mount.container_path.as_deref().unwrap_or_default();
            if path.trim().is_empty() || !path.starts_with('/') || path.contains('\0') {
                return Err(EcsError::client(format!("Invalid 'containerPath' setting for container '{container}'.")));
            }
            if !paths.insert(path) {
                return Err(EcsError::client(format!(
                    "Invalid setting for container '{container}'. Container path '{path}' is mounted multiple times."
                )));
            }
        }
        for source in &definition.volumes_from {
            let other = document.container_definitions.iter().find(|it| it.name == source.source_container);
            if other.is_none_or(|other| other.name == definition.name) {
                let name = source.source_container.as_deref().unwrap_or("null");
                return Err(EcsError::client(format!("Unknown container '{name}' in volumesFrom.")));
            }
        }
    }
    Ok(())
}
