//! A task definition as clients see it: the stored document, with the empty lists that AWS shows and the record's own
//! members around it.

use cove_model::daemon::definition_arn;
use cove_model::task_definition::{TaskDefinition, TaskDefinitionDocument};
use serde_json::{Map, Value, json};

/// Lists that ECS shows even when they are empty.
const CONTAINER_LISTS: [&str; 5] = ["portMappings", "environment", "mountPoints", "volumesFrom", "systemControls"];
const TASK_LISTS: [&str; 2] = ["volumes", "placementConstraints"];

/// The ARN of one revision.
pub(crate) fn arn(definition: &TaskDefinition) -> String {
    definition_arn(&definition.tenant, &definition.family, definition.revision)
}

/// ECS shape `TaskDefinition`.
pub(crate) fn show(definition: &TaskDefinition) -> Value {
    let mut shown = show_document(&definition.document);
    let mut set = |name: &str, value: Value| {
        shown.insert(name.to_owned(), value);
    };
    set("taskDefinitionArn", arn(definition).into());
    set("family", definition.family.as_str().into());
    set("revision", definition.revision.into());
    set("status", to_value(definition.status));
    set("compatibilities", to_value(&definition.compatibilities));
    set("registeredAt", definition.registered_at.epoch_seconds().into());
    set("registeredBy", definition.registered_by.as_str().into());
    if !definition.requires_attributes.is_empty() {
        set("requiresAttributes", to_value(&definition.requires_attributes));
    }
    if let Some(at) = definition.deregistered_at {
        set("deregisteredAt", at.epoch_seconds().into());
    }
    if let Some(at) = definition.delete_requested_at {
        set("deleteRequestedAt", at.epoch_seconds().into());
    }
    Value::Object(shown)
}

fn show_document(document: &TaskDefinitionDocument) -> Map<String, Value> {
    let Value::Object(mut shown) = to_value(document) else { unreachable!("a struct is a JSON object") };
    for name in TASK_LISTS {
        shown.entry(name).or_insert_with(|| json!([]));
    }
    let containers = shown.get_mut("containerDefinitions").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
        for name in CONTAINER_LISTS {
            container.entry(name).or_insert_with(|| json!([]));
        }
    }
    shown
}

fn to_value(value: impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("documents hold nothing that JSON lacks")
}
