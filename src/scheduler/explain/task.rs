//! Why a task is not where it should be.

use cove_model::capacity_provider::CapacityProvider;
use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus};
use cove_model::task::{Container, ContainerState, Health, Keeper, Task, TaskStatus};
use cove_model::task_definition::TaskDefinition;
use cove_model::task_template::TaskTemplate;
use cove_store::{Prefix, Read, keys};

use super::{REFUSALS_MAX, refusal};
use crate::fleet::group_max;
use crate::host::HostFacts;
use crate::launch::probe;

/// Why it has no place yet.
fn waits(source: &impl Read, host: &HostFacts, task: &Task, template: &TaskTemplate) -> Vec<String> {
    let name = task.placement.capacity_provider.as_deref().unwrap_or_default();
    let end = task.created_at.plus_millis(host.fleet.provisioning_millis);
    let mut lines = vec![format!(
        "it waits since {} for room on capacity provider {name}, until {}",
        task.created_at.rfc3339(),
        end.rfc3339()
    )];
    if let Some(provider) = source.get::<CapacityProvider>(&keys::capacity_provider(&task.tenant, name)) {
        let instances = source.scan::<ContainerInstance>(&Prefix::parent(&task.tenant, &task.cluster));
        let members: Vec<_> = instances.iter().filter(|one| provider.pool().has(one)).collect();
        let active = members.iter().filter(|one| one.status == ContainerInstanceStatus::Active).count();
        let most = group_max(members.iter().map(|one| &***one));
        lines.push(format!("its group {} has {active} ACTIVE instances, and may grow to {most}", provider.asg));
    }
    let key = keys::definition(&template.tenant, &template.family, template.revision);
    let Some(definition) = source.get::<TaskDefinition>(&key) else { return lines };
    // The provider was chosen when it was made.
    let mut template = template.clone();
    template.placing.strategy.retain(|item| item.capacity_provider == name);
    match probe(source, host, &template, &definition) {
        Ok(refusals) => lines.extend(refusals.iter().take(REFUSALS_MAX).map(refusal)),
        Err(error) => lines.push(error.to_string()),
    }
    lines
}

/// Explains a task.
#[must_use]
pub fn task(source: &impl Read, host: &HostFacts, task: &Task) -> Vec<String> {
    let seen = &task.observed;
    let place = match (&task.placement.container_instance, &task.unplaced) {
        (Some(id), _) => format!("on {id}"),
        (None, None) => "on Fargate".to_owned(),
        (None, Some(_)) => "and has no place".to_owned(),
    };
    let mut lines = vec![format!("task {} is {} {place}", task.id, seen.status.as_str())];
    if let Some(template) = task.unplaced.as_deref().filter(|_| task.is_waiting()) {
        lines.extend(waits(source, host, task, template));
    }
    if task.placement.elsewhere && task.is_live() {
        lines.push(elsewhere(source, task));
    }
    if task.is_live() && !task.desired.is_stopped() {
        lines.extend(drains(source, task));
    }
    if let Some(order) = task.desired.order() {
        lines.push(format!("it was asked to stop at {}: {}", order.at.rfc3339(), order.reason));
    }
    if let Some(reason) = &seen.stopped_reason {
        lines.push(format!("stopped: {reason}"));
    }
    lines.extend(task.containers.iter().map(|it| container(task, it)));
    lines
}

/// What a container of it does, or how it ended.
pub(super) fn container(task: &Task, container: &Container) -> String {
    let seen = &container.seen;
    let health = match seen.health.filter(|_| seen.state != ContainerState::Stopped) {
        None => "",
        Some(Health::Healthy) => ", its health check passes",
        Some(Health::Unknown) => ", its health is not known yet",
        Some(Health::Unhealthy) => ", its health check fails",
    };
    let what = match seen.state {
        ContainerState::Pending if task.observed.status < TaskStatus::Activating => {
            format!("waits for its image {}", container.image)
        }
        ContainerState::Pending | ContainerState::Pulled => "waits for the containers that it depends on".to_owned(),
        ContainerState::Running => "runs".to_owned(),
        ContainerState::Stopped => match seen.exit_code {
            Some(code) => format!("has ended with exit code {code}"),
            None => "has not run".to_owned(),
        },
    };
    let reason = seen.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("container {} {what}{health}{reason}", container.name)
}

/// What is known of a task that another host's agent runs.
fn elsewhere(source: &impl Read, task: &Task) -> String {
    let id = task.placement.container_instance.as_deref().unwrap_or_default();
    let instance = source.get::<ContainerInstance>(&keys::container_instance(&task.tenant, &task.cluster, id));
    let is_connected = instance.is_some_and(|instance| instance.is_connected());
    let heard = if is_connected { "is connected" } else { "is not connected: this is what was last known" };
    let has = if task.observed.accepted_at.is_some() { "has the task" } else { "has not acknowledged the task yet" };
    format!("the agent of its host {has}; it {heard}")
}

/// What becomes of it when its instance is to go.
fn drains(source: &impl Read, task: &Task) -> Option<String> {
    let id = task.placement.container_instance.as_ref()?;
    let key = keys::container_instance(&task.tenant, &task.cluster, id);
    source.get::<ContainerInstance>(&key).filter(|one| one.leaves_when_empty)?;
    Some(match &task.keeper {
        None => "its instance drains and waits for it: nobody starts it elsewhere, it ends by itself or when it is stopped",
        Some(Keeper::Service(_)) => "its instance drains: its service starts another one elsewhere",
        Some(Keeper::Daemon(_)) => "its instance drains: it leaves when the tasks that are not of daemons have left",
    }
    .to_owned())
}
