//! DeregisterTaskDefinition and DeleteTaskDefinitions.
//!
//! ```text
//! ACTIVE ──deregister──▶ INACTIVE ──delete──▶ DELETE_IN_PROGRESS ──no task refers to it──▶ gone (the agent's house-keeping)
//! ```

use cove_model::task_definition::{TaskDefinition, TaskDefinitionStatus};
use cove_store::{Read, keys};

use super::{register, show};
use crate::Context;
use crate::ecs::error::EcsError;
use crate::ecs::reference::{self, DefinitionRef};
use crate::ecs::wire::{
    DeleteTaskDefinitionsIn, DeleteTaskDefinitionsOut, DeregisterTaskDefinitionIn, Failure, TaskDefinitionOut,
};

/// ECS's limit of one DeleteTaskDefinitions.
const DELETE_MAX: usize = 10;

/// DeregisterTaskDefinition. Tasks of the revision go on.
pub(in crate::ecs) async fn deregister(
    cx: &Context,
    input: DeregisterTaskDefinitionIn,
) -> Result<TaskDefinitionOut, EcsError> {
    let tenant = cx.tenant.clone();
    let wanted = reference::definition(&tenant, &input.task_definition)?;
    if let DefinitionRef::Latest { .. } = wanted {
        return Err(EcsError::client("Invalid revision number. Number: null"));
    }
    let definition = cx
        .store
        .write(move |tx| {
            let found = register::find(tx, &tenant, &wanted)
                .ok_or_else(|| EcsError::client("The specified task definition does not exist."))?;
            let mut definition = (*found).clone();
            match definition.status {
                TaskDefinitionStatus::Active => {
                    definition.status = TaskDefinitionStatus::Inactive;
                    definition.deregistered_at = Some(tx.now());
                    tx.put(definition.clone());
                    Ok(definition)
                }
                TaskDefinitionStatus::Inactive | TaskDefinitionStatus::DeleteInProgress => {
                    Err(EcsError::client("The specified task definition is inactive."))
                }
            }
        })
        .await?;
    Ok(TaskDefinitionOut { task_definition: show(&definition), tags: None })
}

/// DeleteTaskDefinitions. Each is judged by itself; what cannot go is among the failures.
pub(in crate::ecs) async fn delete(
    cx: &Context,
    input: DeleteTaskDefinitionsIn,
) -> Result<DeleteTaskDefinitionsOut, EcsError> {
    if input.task_definitions.is_empty() {
        return Err(EcsError::parameter("Task definitions cannot be empty."));
    }
    if input.task_definitions.len() > DELETE_MAX {
        return Err(EcsError::parameter("Task definitions cannot have more than 10 elements."));
    }
    let tenant = cx.tenant.clone();
    let mut wanted = Vec::new();
    for text in &input.task_definitions {
        match reference::definition(&tenant, text)? {
            DefinitionRef::Revision { family, revision } => wanted.push((family, revision)),
            DefinitionRef::Latest { .. } => return Err(EcsError::client("Invalid revision number. Number: null")),
        }
    }
    let out = cx
        .store
        .write(move |tx| {
            let mut out = DeleteTaskDefinitionsOut { task_definitions: Vec::new(), failures: Vec::new() };
            for (family, revision) in wanted {
                let arn = tenant.arn("ecs", format_args!("task-definition/{family}:{revision}"));
                let failure = |reason: &str, detail: &str| Failure {
                    arn: Some(arn.clone()),
                    reason: reason.to_owned(),
                    detail: Some(detail.to_owned()),
                };
                let Some(found) = tx.get::<TaskDefinition>(&keys::definition(&tenant, &family, revision)) else {
                    out.failures.push(failure("MISSING", "The specified task definition does not exist."));
                    continue;
                };
                let mut definition = (*found).clone();
                match definition.status {
                    TaskDefinitionStatus::Active => {
                        let detail = "The specified task definition is still in ACTIVE status. Please deregister the target and try again.";
                        out.failures.push(failure("ACTIVE", detail));
                        continue;
                    }
                    TaskDefinitionStatus::Inactive => {
                        definition.status = TaskDefinitionStatus::DeleteInProgress;
                        definition.delete_requested_at = Some(tx.now());
                        tx.put(definition.clone());
                    }
                    TaskDefinitionStatus::DeleteInProgress => {}
                }
                out.task_definitions.push(show(&definition));
            }
            Ok::<_, EcsError>(out)
        })
        .await?;
    Ok(out)
}
