//! `dependsOn` and `links`: they name containers of the task, and never in a circle.

use cove_model::task_definition::{ContainerCondition, ContainerDefinition};

use crate::ecs::error::EcsError;

/// Checks conditions, names and that some order of starting exists.
pub(super) fn check(containers: &[ContainerDefinition]) -> Result<(), EcsError> {
    let find = |name: &str| containers.iter().position(|it| it.name.as_deref() == Some(name));
    let mut needs: Vec<Vec<usize>> = vec![Vec::new(); containers.len()];
    for (index, definition) in containers.iter().enumerate() {
        for dependency in &definition.depends_on {
            let name = dependency.container_name.as_deref().unwrap_or("null");
            let target = find(name).ok_or_else(|| {
                EcsError::client(format!("Cannot depend on container + '{name}' because it does not exist"))
            })?;
            check_condition(dependency.condition, &containers[target])?;
            needs[index].push(target);
        }
        for link in &definition.links {
            let name = link.split(':').next().unwrap_or_default();
            let target = find(name).ok_or_else(|| {
                EcsError::client(format!(
                    "Invalid 'links' setting for container '{}'.",
                    definition.name.as_deref().unwrap_or_default()
                ))
            })?;
            needs[index].push(target);
        }
    }
    if has_cycle(&needs) {
        return Err(EcsError::client("Container dependencies must not form a cycle."));
    }
    Ok(())
}

fn check_condition(condition: Option<ContainerCondition>, target: &ContainerDefinition) -> Result<(), EcsError> {
    match condition {
        Some(ContainerCondition::Success | ContainerCondition::Complete) if target.essential.unwrap_or(true) => {
            Err(EcsError::client(
                "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container",
            ))
        }
        Some(ContainerCondition::Healthy)
            if target.health_check.as_ref().is_none_or(|check| check.command == ["NONE"]) =>
        {
            Err(EcsError::client("A dependency container with HEALTHY condition must have health check configured"))
        }
        Some(
            ContainerCondition::Start
            | ContainerCondition::Success
            | ContainerCondition::Complete
            | ContainerCondition::Healthy,
        ) => Ok(()),
        None => Err(EcsError::client("Container dependency condition should not be null.")),
    }
}

/// Takes away containers that need nobody any more until none is left, or a circle is.
fn has_cycle(needs: &[Vec<usize>]) -> bool {
    let mut done = vec![false; needs.len()];
    loop {
        let ready = (0..needs.len()).find(|index| !done[*index] && needs[*index].iter().all(|other| done[*other]));
        match ready {
            Some(index) => done[index] = true,
            None => return done.contains(&false),
        }
    }
}
