//! What a definition that requires MANAGED_INSTANCES must be.

use cove_model::task_definition::{Compatibility, NetworkMode, TaskDefinitionDocument};

use crate::ecs::error::EcsError;

/// There and on Fargate tasks have interfaces of their own unless they say otherwise.
pub(super) fn normalise(document: &mut TaskDefinitionDocument) {
    let wanted = &document.requires_compatibilities;
    let alone = wanted.iter().all(|it| matches!(it, Compatibility::ManagedInstances | Compatibility::Fargate));
    if document.network_mode.is_none() && is_wanted(document) && alone {
        document.network_mode = Some(NetworkMode::Awsvpc);
    }
}

/// A network of the instance alone is not there.
pub(super) fn check(document: &TaskDefinitionDocument, mode: NetworkMode) -> Result<(), EcsError> {
    match mode {
        NetworkMode::Bridge if is_wanted(document) => {
            Err(EcsError::client("Managed Instances only support network modes 'awsvpc', 'host' and 'none'."))
        }
        NetworkMode::Bridge | NetworkMode::Awsvpc | NetworkMode::Host | NetworkMode::None => Ok(()),
    }
}

fn is_wanted(document: &TaskDefinitionDocument) -> bool {
    document.requires_compatibilities.contains(&Compatibility::ManagedInstances)
}
