//! Why a service or a task is not where it should be, in sentences that a person can read.
//!
//! In: records as they are now. Out: lines. Nothing is changed; placement is asked again without taking anything.

use cove_base::Timestamp;
use cove_model::capacity_provider::CapacityProvider;
use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus};
use cove_model::service::{HookStatus, LifecycleStage, RolloutState, Service, ServiceRevision, ServiceStatus};
use cove_model::task::{ContainerState, Health, Keeper, Task, TaskStatus};
use cove_model::task_definition::TaskDefinition;
use cove_model::task_template::TaskTemplate;
use cove_store::{Prefix, Read, keys};

use crate::deploy::Timing;
use crate::host::HostFacts;
use crate::launch::probe;
use crate::place::Refusal;
use crate::services::Scene;

/// Instances that are listed with what they lack.
const REFUSALS_MAX: usize = 20;

/// Explains a service.
#[must_use]
pub fn service(
    source: &impl Read,
    host: &HostFacts,
    timing: &Timing,
    service: &Service,
    now: Timestamp,
) -> Vec<String> {
    let state = Scene::at(timing, now).state(source, service);
    let wanted: Vec<_> = state.tasks.iter().filter(|task| task.is_wanted).collect();
    let healthy = wanted.iter().filter(|task| task.is_healthy()).count();
    let mut lines = vec![format!(
        "service {} is {}: {} tasks wanted, {} there, {healthy} of them healthy",
        service.name,
        status(service.status),
        service.desired_count,
        wanted.len(),
    )];
    let (minimum, maximum) =
        (service.configuration.minimum(service.desired_count), service.configuration.maximum(service.desired_count));
    for (place, it) in service.deployments.iter().enumerate() {
        let tasks = wanted.iter().filter(|task| task.deployment() == it.id).count();
        let kind = if place == 0 { "PRIMARY" } else { "ACTIVE" };
        lines.push(format!("deployment {} ({kind}) has {tasks} tasks: {}", it.id, rollout(it.rollout)));
    }
    if service.deployments.len() > 1 {
        lines.push(format!("between {minimum} healthy tasks and {maximum} tasks at once are allowed meanwhile"));
    }
    if let Some(rollout) = state.rollouts.first().filter(|rollout| rollout.stage.is_some()) {
        lines.push(format!("the deployment is in the stage {}", rollout.stage.map_or("", LifecycleStage::as_str)));
        let waits = rollout.hooks.iter().filter(|hook| hook.status == HookStatus::AwaitingAction);
        lines.extend(waits.map(|hook| format!("it waits for ContinueServiceDeployment of hook {}", hook.id)));
    }
    for (id, pacing) in &service.pacing_of {
        let Some(at) = pacing.not_before.filter(|at| *at > now) else { continue };
        let secs = (at.millis() - now.millis() + 999) / 1000;
        lines.push(format!("{} tasks of {id} in a row did not stay: the next one starts in {secs} s", pacing.failures));
    }
    let kept = wanted.iter().filter(|task| task.is_protected(now)).count();
    if kept > 0 {
        lines.push(format!("{kept} tasks are protected from scaling in and deployments"));
    }
    if let Some(trouble) = &service.trouble {
        lines.push(format!("since {}: {}", trouble.since.rfc3339(), trouble.reason));
        lines.extend(refusals(source, host, service));
    }
    lines
}

/// What each instance lacks for one more task.
fn refusals(source: &impl Read, host: &HostFacts, service: &Service) -> Vec<String> {
    let Some(primary) = service.primary() else { return Vec::new() };
    let key = keys::service_revision(&service.tenant, &service.cluster, &service.name, &primary.revision);
    let Some(revision) = source.get::<ServiceRevision>(&key) else { return Vec::new() };
    let mut template = revision.template.clone();
    template.group = service.group();
    template.constraints.extend(service.constraints.iter().cloned());
    let key = keys::definition(&template.tenant, &template.family, template.revision);
    let Some(definition) = source.get::<TaskDefinition>(&key) else { return Vec::new() };
    match probe(source, host, &template, &definition) {
        Ok(refusals) if refusals.is_empty() => vec!["by now there is room for one more task".to_owned()],
        Ok(refusals) => refusals.iter().take(REFUSALS_MAX).map(refusal).collect(),
        Err(error) => vec![error.to_string()],
    }
}

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
        let most = members.iter().filter_map(|one| one.asg_max).max().unwrap_or(0);
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

fn refusal(it: &Refusal) -> String {
    let place = it.arn.as_deref().and_then(|arn| arn.rsplit('/').next()).unwrap_or("this host");
    let detail = it.detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default();
    format!("{place}: {}{detail}", it.reason.as_str())
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
    for container in &task.containers {
        let seen = &container.seen;
        let health = match seen.health {
            None => "",
            Some(Health::Healthy) => ", its health check passes",
            Some(Health::Unknown) => ", its health is not known yet",
            Some(Health::Unhealthy) => ", its health check fails",
        };
        let what = match seen.state {
            ContainerState::Pending if task.observed.status < TaskStatus::Activating => {
                format!("waits for its image {}", container.image)
            }
            ContainerState::Pending | ContainerState::Pulled => {
                "waits for the containers that it depends on".to_owned()
            }
            ContainerState::Running => "runs".to_owned(),
            ContainerState::Stopped => match seen.exit_code {
                Some(code) => format!("has ended with exit code {code}"),
                None => "has not run".to_owned(),
            },
        };
        let reason = seen.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        lines.push(format!("container {} {what}{health}{reason}", container.name));
    }
    lines
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

const fn status(status: ServiceStatus) -> &'static str {
    match status {
        ServiceStatus::Active => "ACTIVE",
        ServiceStatus::Draining => "DRAINING",
        ServiceStatus::Inactive => "INACTIVE",
    }
}

const fn rollout(state: RolloutState) -> &'static str {
    match state {
        RolloutState::InProgress => "in progress",
        RolloutState::Completed => "completed",
        RolloutState::Failed => "failed, it starts no more tasks",
    }
}
