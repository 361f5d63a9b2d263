//! Why a service is not where it should be.

use cove_base::Timestamp;
use cove_base::words::counted;
use cove_model::alarm::Alarm;
use cove_model::service::{
    DeploymentConfiguration, HookAction, HookState, HookStatus, LifecycleStage, RolloutState, Service,
    ServiceDeployment, ServiceDeploymentStatus, ServiceRevision, ServiceStatus, TaskSet, TaskSetStatus,
};
use cove_model::task::Keeper;
use cove_model::task_definition::TaskDefinition;
use cove_store::{Prefix, Read, keys};

use super::{REFUSALS_MAX, last_stopped, pause, refusal};
use crate::deploy::{State, Timing, need_millis, stays_until};
use crate::host::HostFacts;
use crate::launch::probe;
use crate::services::Scene;

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
        "service {} is {}: {} wanted, {} there, {healthy} of them healthy",
        service.name,
        status(service.status),
        counted(service.desired_count as usize, "task"),
        wanted.len(),
    )];
    let (minimum, maximum) =
        (service.configuration.minimum(service.desired_count), service.configuration.maximum(service.desired_count));
    for (place, it) in service.deployments.iter().enumerate() {
        let tasks = wanted.iter().filter(|task| *task.deployment == *it.id).count();
        let kind = if place == 0 { "PRIMARY" } else { "ACTIVE" };
        lines.push(format!("deployment {} ({kind}) has {}: {}", it.id, counted(tasks, "task"), rollout(it.rollout)));
    }
    let of_set = |set: &TaskSet| wanted.iter().filter(|task| *task.deployment == *set.id).count();
    lines.extend(state.task_sets.iter().map(|set| task_set(set, service.desired_count, of_set(set))));
    if service.deployments.len() > 1 {
        let maximum = counted(maximum as usize, "task");
        lines.push(format!("between {minimum} healthy ones and {maximum} at once are allowed meanwhile"));
    }
    if let Some(rollout) = state.rollouts.first().filter(|rollout| rollout.stage.is_some()) {
        lines.push(stage(rollout, &service.configuration, now));
        let waits = rollout.hooks.iter().filter(|hook| hook.status == HookStatus::AwaitingAction);
        lines.extend(waits.map(waiting));
    }
    lines.extend(baking(&state));
    lines.extend(unknown_alarms(source, service));
    lines.extend(last_deployment(source, service));
    let pauses = service.pacing_of.iter();
    lines.extend(pauses.filter_map(|(id, pacing)| pause(pacing, now).map(|text| format!("{id}: {text}"))));
    let kept = wanted.iter().filter(|task| task.is_protected(now)).count();
    if kept > 0 {
        let are = if kept == 1 { "is" } else { "are" };
        lines.push(format!("{} {are} protected from scaling in and deployments", counted(kept, "task")));
    }
    if let Some(trouble) = &service.trouble {
        lines.push(format!("since {}: {}", trouble.since.rfc3339(), trouble.reason));
        lines.extend(refusals(source, host, service));
    }
    let keeper = Keeper::Service(service.name.clone());
    lines.extend(last_stopped(source, &service.tenant, &service.cluster, &keeper));
    lines
}

fn task_set(set: &TaskSet, service_desired: u32, there: usize) -> String {
    let named = set.external_id.as_ref().map(|id| format!(" ({id})")).unwrap_or_default();
    let status = match set.status {
        TaskSetStatus::Primary => "PRIMARY",
        TaskSetStatus::Active => "ACTIVE",
        TaskSetStatus::Draining => "DRAINING",
    };
    let wanted = counted(set.computed_desired_count(service_desired) as usize, "task");
    let steady = if set.is_steady { "steady" } else { "stabilizing" };
    format!("task set {}{named} is {status}: {} % are {wanted}, {there} there, {steady}", set.id, set.scale_percent)
}

fn stage(rollout: &ServiceDeployment, configuration: &DeploymentConfiguration, now: Timestamp) -> String {
    let until = stays_until(rollout, configuration, now).map(|at| format!(" until {}", at.rfc3339()));
    let percent = rollout.production_percent;
    let part = (percent > 0.0 && percent < 100.0).then(|| format!(" with {percent} % of the traffic"));
    let stage = rollout.stage.map_or("", LifecycleStage::as_str);
    format!("the deployment is in the stage {stage}{}{}", part.unwrap_or_default(), until.unwrap_or_default())
}

fn waiting(hook: &HookState) -> String {
    let then = match hook.on_timeout {
        HookAction::Continue => "CONTINUE",
        HookAction::Rollback => "ROLLBACK",
    };
    let until = hook.expires_at.map(|at| format!(" until {}, then {then}", at.rfc3339())).unwrap_or_default();
    format!("it waits for ContinueServiceDeployment of hook {}{until}", hook.id)
}

/// A rolling update that runs alone, and is still watched.
fn baking(state: &State) -> Option<String> {
    let rollout = state.rollouts.first()?;
    let until = rollout.baking_since?.plus_millis(need_millis(rollout, state.alarms_need_millis));
    let alarms = rollout.configuration.alarms.as_ref().filter(|alarms| alarms.enable);
    let names = alarms.map(|alarms| alarms.alarm_names.join(", ")).filter(|names| !names.is_empty());
    let by = names.map(|names| format!(" by the alarms {names}")).unwrap_or_default();
    Some(format!("the deployment is watched{by} until {}", until.rfc3339()))
}

fn unknown_alarms(source: &impl Read, service: &Service) -> Vec<String> {
    let alarms = service.configuration.alarms.as_ref().filter(|alarms| alarms.enable);
    let names = alarms.into_iter().flat_map(|alarms| &alarms.alarm_names);
    let unknown = names.filter(|name| source.get::<Alarm>(&keys::alarm(&service.tenant, name)).is_none());
    unknown.map(|name| format!("alarm {name} does not exist and watches nothing")).collect()
}

/// What became of the last deployment, when it is not the one that runs.
fn last_deployment(source: &impl Read, service: &Service) -> Option<String> {
    let inside = Prefix::parent(&service.tenant, &keys::service_parent(&service.cluster, &service.name));
    let all = source.scan::<ServiceDeployment>(&inside);
    let last = all.iter().max_by_key(|one| one.created_at)?;
    let Some(back) = &last.rollback else {
        let why = last.status_reason.as_deref().filter(|_| last.status == ServiceDeploymentStatus::RollbackFailed)?;
        return Some(format!("the last deployment has failed: {why}; no other has completed that it could go back to"));
    };
    let definition = |id: &str| {
        let key = keys::service_revision(&service.tenant, &service.cluster, &service.name, id);
        let found = source.get::<ServiceRevision>(&key);
        found.map_or_else(|| "?".to_owned(), |it| format!("{}:{}", it.template.family, it.template.revision))
    };
    Some(format!(
        "the last deployment went back from {} to {} at {}: {}",
        definition(&last.target_revision),
        definition(&back.revision),
        back.started_at.rfc3339(),
        back.reason
    ))
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
