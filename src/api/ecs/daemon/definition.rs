//! Daemon task definitions.
//!
//! ```text
//! ACTIVE ──delete──▶ DELETE_IN_PROGRESS ──no task and no daemon refers to it──▶ gone (the agent's house-keeping)
//! ```
//!
//! Holds: what AWS's model of a daemon task definition does not have is neither kept nor shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use cove_model::daemon::{daemon_family, definition_arn, family_name, kept_family};
use cove_model::tag::Tag;
use cove_model::task_definition::{TaskDefinition, TaskDefinitionDocument, TaskDefinitionStatus};
use cove_store::{Prefix, Read};
use serde_json::{Map, Value};

use crate::Context;
use crate::ecs::error::EcsError;
use crate::ecs::page::{Direction, Listing};
use crate::ecs::reference::{self, DefinitionRef};
use crate::ecs::wire::{
    DaemonDefinitionArnOut, DaemonDefinitionIn, DaemonDefinitionOut, DefinitionFilter, ListDaemonDefinitionsIn,
    ListDaemonDefinitionsOut, RegisterDaemonDefinitionIn, SortOrder,
};
use crate::ecs::{definition, tag};

/// Members that a daemon task definition has in common with others,
const MEMBERS: [&str; 7] =
    ["family", "taskRoleArn", "executionRoleArn", "containerDefinitions", "cpu", "memory", "volumes"];
/// its containers (ECS shape `DaemonContainerDefinition`),
const CONTAINER_MEMBERS: [&str; 29] = [
    "name",
    "image",
    "memory",
    "memoryReservation",
    "repositoryCredentials",
    "healthCheck",
    "cpu",
    "essential",
    "entryPoint",
    "command",
    "workingDirectory",
    "environmentFiles",
    "environment",
    "secrets",
    "readonlyRootFilesystem",
    "mountPoints",
    "logConfiguration",
    "firelensConfiguration",
    "privileged",
    "user",
    "ulimits",
    "linuxParameters",
    "dependsOn",
    "startTimeout",
    "stopTimeout",
    "systemControls",
    "interactive",
    "pseudoTerminal",
    "restartPolicy",
];
/// their Linux parameters, and its volumes.
const LINUX_MEMBERS: [&str; 4] = ["capabilities", "devices", "initProcessEnabled", "tmpfs"];
const VOLUME_MEMBERS: [&str; 2] = ["name", "host"];

/// Leaves out what a daemon task definition does not have.
fn narrow(document: &mut Map<String, Value>) {
    document.retain(|name, _| MEMBERS.contains(&name.as_str()));
    each(document, "volumes", |volume| volume.retain(|name, _| VOLUME_MEMBERS.contains(&name.as_str())));
    each(document, "containerDefinitions", |container| {
        container.retain(|name, _| CONTAINER_MEMBERS.contains(&name.as_str()));
        let linux = container.get_mut("linuxParameters").and_then(Value::as_object_mut);
        linux.into_iter().for_each(|linux| linux.retain(|name, _| LINUX_MEMBERS.contains(&name.as_str())));
    });
}

fn each(document: &mut Map<String, Value>, list: &str, change: impl FnMut(&mut Map<String, Value>)) {
    let items = document.get_mut(list).and_then(Value::as_array_mut);
    items.into_iter().flatten().filter_map(Value::as_object_mut).for_each(change);
}

/// RegisterDaemonTaskDefinition.
pub(in crate::ecs) async fn register(
    cx: &Context,
    input: RegisterDaemonDefinitionIn,
) -> Result<DaemonDefinitionArnOut, EcsError> {
    let mut document = input.document;
    let unreadable = |error: serde_json::Error| EcsError::parameter(format!("Invalid request: {error}"));
    let tags: Vec<Tag> = document.remove("tags").map_or(Ok(Vec::new()), serde_json::from_value).map_err(unreadable)?;
    tag::check(&tags)?;
    narrow(&mut document);
    let document: TaskDefinitionDocument = serde_json::from_value(Value::Object(document)).map_err(unreadable)?;
    let checked = definition::check(document)?;
    let family = kept_family(checked.document.family.as_deref().unwrap_or_default());
    let made = definition::keep(cx, family, checked, tags).await?;
    Ok(DaemonDefinitionArnOut { daemon_task_definition_arn: arn(&made) })
}

fn arn(it: &TaskDefinition) -> String {
    definition_arn(&it.tenant, &it.family, it.revision)
}

/// DescribeDaemonTaskDefinition.
pub(in crate::ecs) fn describe(cx: &Context, input: DaemonDefinitionIn) -> Result<DaemonDefinitionOut, EcsError> {
    let wanted = reference::daemon_definition(&cx.tenant, &input.daemon_task_definition)?;
    let found = cx.store.read(|view| definition::find(view, &cx.tenant, &wanted));
    let found = found.ok_or_else(|| EcsError::client("Unable to describe daemon task definition."))?;
    Ok(DaemonDefinitionOut { daemon_task_definition: show(&found) })
}

fn show(it: &TaskDefinition) -> Map<String, Value> {
    let document = serde_json::to_value(&it.document).expect("documents hold nothing that JSON lacks");
    let Value::Object(mut shown) = document else { unreachable!("a struct is a JSON object") };
    narrow(&mut shown);
    shown.entry("volumes").or_insert_with(|| Value::Array(Vec::new()));
    shown.insert("family".to_owned(), family_name(&it.family).into());
    shown.insert("revision".to_owned(), it.revision.into());
    shown.insert("daemonTaskDefinitionArn".to_owned(), arn(it).into());
    shown.extend(status(it));
    shown
}

/// What the description and the summary have in common.
fn status(it: &TaskDefinition) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("status".to_owned(), serde_json::to_value(it.status).expect("a status is a string"));
    shown.insert("registeredAt".to_owned(), it.registered_at.epoch_seconds().into());
    shown.insert("registeredBy".to_owned(), it.registered_by.as_str().into());
    if let Some(at) = it.delete_requested_at {
        shown.insert("deleteRequestedAt".to_owned(), at.epoch_seconds().into());
    }
    shown
}

/// ListDaemonTaskDefinitions: by family, then by number.
pub(in crate::ecs) fn list(cx: &Context, input: ListDaemonDefinitionsIn) -> Result<ListDaemonDefinitionsOut, EcsError> {
    let mut found = cx.store.read(|view| view.scan::<TaskDefinition>(&Prefix::tenant(&cx.tenant)));
    found.retain(|it| daemon_family(&it.family).is_some_and(|family| is_asked_for(family, &input)));
    if input.revision.is_some() {
        let mut last: BTreeMap<String, Arc<TaskDefinition>> = BTreeMap::new();
        for it in found {
            let known = last.entry(it.family.clone()).or_insert_with(|| Arc::clone(&it));
            if known.revision < it.revision {
                *known = it;
            }
        }
        found = last.into_values().collect();
    }
    let is_wanted = |it: &TaskDefinition| match input.status {
        None | Some(DefinitionFilter::Active) => it.status == TaskDefinitionStatus::Active,
        Some(DefinitionFilter::DeleteInProgress) => it.status == TaskDefinitionStatus::DeleteInProgress,
        Some(DefinitionFilter::All) => true,
    };
    found.retain(|it| is_wanted(it));
    let mut items: Vec<(String, Map<String, Value>)> =
        found.iter().map(|it| (format!("{}\0{:010}", it.family, it.revision), summary(it))).collect();
    items.sort_by(|left, right| left.0.cmp(&right.0));
    let direction = match input.sort {
        None | Some(SortOrder::Asc) => Direction::Up,
        Some(SortOrder::Desc) => {
            items.reverse();
            Direction::Down
        }
    };
    let (daemon_task_definitions, next_token) = Listing::of("daemon-definitions").cut(&input.page, direction, items)?;
    Ok(ListDaemonDefinitionsOut { daemon_task_definitions, next_token })
}

fn is_asked_for(family: &str, input: &ListDaemonDefinitionsIn) -> bool {
    input.family.as_deref().is_none_or(|wanted| family == wanted)
        && input.family_prefix.as_deref().is_none_or(|prefix| family.starts_with(prefix))
}

fn summary(it: &TaskDefinition) -> Map<String, Value> {
    let mut shown = status(it);
    shown.insert("arn".to_owned(), arn(it).into());
    shown
}

/// DeleteDaemonTaskDefinition. Daemons that refer to it go on; no new ones can.
pub(in crate::ecs) async fn delete(
    cx: &Context,
    input: DaemonDefinitionIn,
) -> Result<DaemonDefinitionArnOut, EcsError> {
    let tenant = cx.tenant.clone();
    let wanted = reference::daemon_definition(&tenant, &input.daemon_task_definition)?;
    if let DefinitionRef::Latest { .. } = wanted {
        return Err(EcsError::client("Invalid revision number. Number: null"));
    }
    cx.store
        .write(move |tx| {
            let found = definition::find(tx, &tenant, &wanted)
                .ok_or_else(|| EcsError::client("The specified daemon task definition does not exist."))?;
            if found.status != TaskDefinitionStatus::Active {
                return Err(EcsError::client("The specified daemon task definition is not ACTIVE."));
            }
            let status = TaskDefinitionStatus::DeleteInProgress;
            let made = TaskDefinition { status, delete_requested_at: Some(tx.now()), ..(*found).clone() };
            tx.put(made.clone());
            Ok(DaemonDefinitionArnOut { daemon_task_definition_arn: arn(&made) })
        })
        .await
}
