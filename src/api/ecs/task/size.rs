//! What a task takes, with the request's overrides laid over its definition.
//!
//! In: document and overrides. Out: a [`TaskSize`], or the refusal. No store.

use cove_model::task_definition::{ContainerDefinition, TaskDefinitionDocument};
use cove_model::task_override::{ContainerOverride, TaskOverride};
use cove_model::task_template::TaskSize;

use crate::ecs::definition;
use crate::ecs::error::EcsError;

/// ECS's limit of all overrides together, as JSON.
const OVERRIDES_MAX_BYTES: usize = 8192;
/// What Fargate gives without being asked.
const FARGATE_STORAGE_GIB: u32 = 20;
const FARGATE_STORAGE_MAX_GIB: u32 = 200;

/// Whether the task gets a size of Fargate's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SizedBy {
    Fargate,
    Instance,
}

/// Computes it.
pub(crate) fn size(
    document: &TaskDefinitionDocument,
    overrides: &TaskOverride,
    sized_by: SizedBy,
) -> Result<TaskSize, EcsError> {
    let cpu = overrides.cpu.as_deref().or(document.cpu.as_deref()).map(definition::parse_cpu).transpose();
    let cpu = cpu.map_err(|_| EcsError::parameter("Invalid 'cpu' setting for task."))?;
    let memory = overrides.memory.as_deref().or(document.memory.as_deref()).map(definition::parse_memory).transpose();
    let memory = memory.map_err(|_| EcsError::parameter("Invalid 'memory' setting for task."))?;
    if sized_by == SizedBy::Fargate {
        definition::check_fargate_size(cpu, memory)?;
    }
    let (mut cpu_sum, mut memory_sum) = (0, 0);
    for container in &document.container_definitions {
        let given = overrides.of_container(container.name.as_deref());
        cpu_sum += i64::from(given.and_then(|it| it.cpu).or(container.cpu).unwrap_or(0));
        memory_sum += i64::from(container_memory(container, given)?);
    }
    if cpu.is_some_and(|limit| cpu_sum > limit) {
        return Err(EcsError::client(
            "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'.",
        ));
    }
    if memory.is_some_and(|limit| memory_sum > limit) {
        return Err(EcsError::client(
            "The sum of all container 'memory' values cannot be greater than the value of the task 'memory'.",
        ));
    }
    Ok(TaskSize {
        task_cpu: cpu.map(|units| units.to_string()),
        task_memory: memory.map(|mib| mib.to_string()),
        cpu: cpu.unwrap_or(cpu_sum),
        memory_mib: memory.unwrap_or(memory_sum),
        ephemeral_storage_gib: storage(document, overrides, sized_by)?,
    })
}

/// What a container reserves: its soft limit, else its hard one.
fn container_memory(container: &ContainerDefinition, given: Option<&ContainerOverride>) -> Result<i32, EcsError> {
    let hard = given.and_then(|it| it.memory).or(container.memory);
    let soft = given.and_then(|it| it.memory_reservation).or(container.memory_reservation);
    if let (Some(hard), Some(soft)) = (hard, soft)
        && soft > hard
    {
        return Err(EcsError::client(format!(
            "Invalid setting for container '{}'. 'memory' must be greater than or equal to 'memoryReservation'.",
            container.name.as_deref().unwrap_or_default()
        )));
    }
    Ok(soft.or(hard).unwrap_or(0))
}

fn storage(
    document: &TaskDefinitionDocument,
    overrides: &TaskOverride,
    sized_by: SizedBy,
) -> Result<Option<u32>, EcsError> {
    let given = overrides.ephemeral_storage.as_ref().or(document.ephemeral_storage.as_ref());
    let Some(given) = given else {
        return Ok((sized_by == SizedBy::Fargate).then_some(FARGATE_STORAGE_GIB));
    };
    let gib = given.size_in_gi_b.and_then(|gib| u32::try_from(gib).ok()).unwrap_or(0);
    if (FARGATE_STORAGE_GIB + 1..=FARGATE_STORAGE_MAX_GIB).contains(&gib) {
        return Ok(Some(gib));
    }
    Err(EcsError::client("Ephemeral storage size must be between 21 and 200 GiB."))
}

/// Checks what a request overrides.
pub(crate) fn check_overrides(document: &TaskDefinitionDocument, overrides: &TaskOverride) -> Result<(), EcsError> {
    let length = serde_json::to_vec(overrides).map_or(usize::MAX, |json| json.len());
    if length > OVERRIDES_MAX_BYTES {
        return Err(EcsError::parameter(format!("Container Overrides length must be at most {OVERRIDES_MAX_BYTES}")));
    }
    for given in &overrides.container_overrides {
        let name = given.name.as_deref().unwrap_or("null");
        if !document.container_definitions.iter().any(|it| it.name.as_deref() == Some(name)) {
            return Err(EcsError::parameter(format!(
                "Override for container named {name} is not a container in the TaskDefinition."
            )));
        }
        let too_small = |value: Option<i32>, least: i32| value.is_some_and(|value| value < least);
        for (setting, bad) in [
            ("cpu", too_small(given.cpu, 0)),
            ("memory", too_small(given.memory, 6)),
            ("memoryReservation", too_small(given.memory_reservation, 6)),
        ] {
            if bad {
                return Err(EcsError::parameter(format!("Invalid '{setting}' setting for container '{name}'.")));
            }
        }
        if !given.resource_requirements.iter().all(definition::is_requirement) {
            return Err(EcsError::parameter(format!("Invalid 'resourceRequirements' setting for container '{name}'.")));
        }
        let illegal = |name: Option<&str>| name.is_none_or(|name| name.is_empty() || name.contains(['=', '\0']));
        if given.environment.iter().any(|pair| illegal(pair.name.as_deref())) {
            return Err(EcsError::parameter("Environment variable names should not be null or empty."));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document(value: serde_json::Value) -> TaskDefinitionDocument {
        serde_json::from_value(value).expect("a document")
    }

    fn overrides(value: serde_json::Value) -> TaskOverride {
        serde_json::from_value(value).expect("an override")
    }

    #[test]
    fn a_task_without_a_size_takes_what_its_containers_take() {
        let document = document(json!({"containerDefinitions": [
            {"name": "a", "cpu": 100, "memory": 128, "memoryReservation": 64}, {"name": "b", "memory": 32}]}));
        let plain = size(&document, &TaskOverride::default(), SizedBy::Instance).expect("a size");
        assert_eq!((plain.cpu, plain.memory_mib, plain.task_cpu), (100, 96, None));
        let over = overrides(json!({"containerOverrides": [{"name": "b", "cpu": 5, "memory": 40}]}));
        let other = size(&document, &over, SizedBy::Instance).expect("a size");
        assert_eq!((other.cpu, other.memory_mib), (105, 104));
    }

    #[test]
    fn fargate_sizes_stay_within_the_table_when_overridden() {
        let document = document(json!({"cpu": "256", "memory": "512", "containerDefinitions": [{"name": "a"}]}));
        let good = size(&document, &overrides(json!({"memory": "2 GB"})), SizedBy::Fargate).expect("a size");
        assert_eq!((good.memory_mib, good.ephemeral_storage_gib), (2048, Some(20)));
        assert!(size(&document, &overrides(json!({"memory": "3 GB"})), SizedBy::Fargate).is_err());
    }

    #[test]
    fn an_override_of_no_container_is_refused_in_the_words_of_ecs() {
        let document = document(json!({"containerDefinitions": [{"name": "a"}]}));
        let error = check_overrides(&document, &overrides(json!({"containerOverrides": [{"name": "b"}]})));
        assert_eq!(
            error.expect_err("refused").to_string(),
            "Override for container named b is not a container in the TaskDefinition."
        );
    }
}
