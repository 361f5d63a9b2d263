//! RegisterTaskDefinition and looking at one definition.

use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::tag::Tag;
use cove_model::task_definition::{TaskDefinition, TaskDefinitionStatus, TaskFamily};
use cove_store::{Read, Tx, keys};

use super::check::Checked;
use super::{check, show};
use crate::Context;
use crate::ecs::error::EcsError;
use crate::ecs::reference::{self, DefinitionRef};
use crate::ecs::tag;
use crate::ecs::wire::{DescribeTaskDefinitionIn, RegisterTaskDefinitionIn, TagsField, TaskDefinitionOut};

/// RegisterTaskDefinition. A family's numbers are never used again, also when its revisions are gone.
pub(in crate::ecs) async fn register(
    cx: &Context,
    input: RegisterTaskDefinitionIn,
) -> Result<TaskDefinitionOut, EcsError> {
    tag::check(&input.tags)?;
    let checked = check(input.document)?;
    let family = checked.document.family.clone().unwrap_or_default();
    let definition = keep(cx, family, checked, input.tags).await?;
    let tags = (!definition.tags.is_empty()).then(|| definition.tags.clone());
    Ok(TaskDefinitionOut { task_definition: show(&definition), tags })
}

/// Keeps what was checked as the next revision of the family.
pub(in crate::ecs) async fn keep(
    cx: &Context,
    family: String,
    checked: Checked,
    tags: Vec<Tag>,
) -> Result<TaskDefinition, EcsError> {
    let (tenant, registered_by) = (cx.tenant.clone(), cx.caller.arn.clone());
    cx.store.write(move |tx| next_revision(tx, &tenant, registered_by, family, checked, tags)).await
}

/// The same as part of a larger transaction.
pub(in crate::ecs) fn next_revision(
    tx: &mut Tx<'_>,
    tenant: &Tenant,
    registered_by: String,
    family: String,
    mut checked: Checked,
    tags: Vec<Tag>,
) -> Result<TaskDefinition, EcsError> {
    for role in [&mut checked.document.task_role_arn, &mut checked.document.execution_role_arn] {
        *role = role.take().map(|text| role_arn(tenant, text));
    }
    let last = tx.get::<TaskFamily>(&keys::family(tenant, &family)).map_or(0, |family| family.last_revision);
    let revision = last.checked_add(1).ok_or_else(|| EcsError::client("Too many revisions of the family."))?;
    let definition = TaskDefinition {
        tenant: tenant.clone(),
        family: family.clone(),
        revision,
        status: TaskDefinitionStatus::Active,
        document: checked.document,
        tags,
        requires_attributes: checked.requires_attributes,
        compatibilities: checked.compatibilities,
        registered_at: tx.now(),
        registered_by,
        deregistered_at: None,
        delete_requested_at: None,
    };
    tx.put(TaskFamily { tenant: tenant.clone(), family, last_revision: revision });
    tx.put(definition.clone());
    Ok(definition)
}

/// A role given by its name is shown by its ARN.
fn role_arn(tenant: &Tenant, text: String) -> String {
    if text.starts_with("arn:") { text } else { tenant.global_arn("iam", format_args!("role/{text}")) }
}

/// DescribeTaskDefinition.
pub(in crate::ecs) fn describe(cx: &Context, input: DescribeTaskDefinitionIn) -> Result<TaskDefinitionOut, EcsError> {
    let wanted = reference::definition(&cx.tenant, &input.task_definition)?;
    let found = cx.store.read(|view| find(view, &cx.tenant, &wanted));
    let definition = found.ok_or_else(|| EcsError::client("Unable to describe task definition."))?;
    let tags = input.include.contains(&TagsField::Tags).then(|| definition.tags.clone());
    Ok(TaskDefinitionOut { task_definition: show(&definition), tags })
}

/// The revision that is meant, whatever its status; of a family alone, the newest ACTIVE one.
pub(in crate::ecs) fn find(store: &impl Read, tenant: &Tenant, wanted: &DefinitionRef) -> Option<Arc<TaskDefinition>> {
    match wanted {
        DefinitionRef::Revision { family, revision } => store.get(&keys::definition(tenant, family, *revision)),
        DefinitionRef::Latest { family } => {
            let last = store.get::<TaskFamily>(&keys::family(tenant, family))?.last_revision;
            (1..=last).rev().find_map(|revision| {
                let found = store.get::<TaskDefinition>(&keys::definition(tenant, family, revision));
                found.filter(|definition| definition.status == TaskDefinitionStatus::Active)
            })
        }
    }
}
