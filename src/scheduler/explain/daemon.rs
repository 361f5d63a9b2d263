//! Why a daemon is not where it should be.

use cove_base::Timestamp;
use cove_base::words::counted;
use cove_model::daemon::{Daemon, DaemonDeployment, DaemonDeploymentStatus, DaemonStatus};
use cove_model::task::Keeper;
use cove_store::Read;

use super::{REFUSALS_MAX, last_stopped, pause};
use crate::daemons::read::state;
use crate::deploy::Timing;

/// Explains a daemon.
#[must_use]
pub fn daemon(source: &impl Read, timing: &Timing, daemon: &Daemon, now: Timestamp) -> Vec<String> {
    let Some(state) = state(source, daemon, timing, now) else {
        return vec![format!("daemon {}: its deployment is missing", daemon.name)];
    };
    let wanted: Vec<_> = state.tasks.iter().filter(|task| task.is_wanted).collect();
    let eligible: Vec<_> = state.instances.iter().filter(|it| it.is_eligible).collect();
    let has_task = |id: &str| wanted.iter().any(|task| task.instance() == Some(id));
    let has_healthy = |id: &str| wanted.iter().any(|task| task.instance() == Some(id) && task.is_healthy());
    let served = eligible.iter().filter(|it| has_task(&it.id)).count();
    let healthy = eligible.iter().filter(|it| has_healthy(&it.id)).count();
    let mut lines = vec![format!(
        "daemon {} is {}: {} to run on, {served} with its task, {healthy} of them healthy",
        daemon.name,
        status(daemon.status),
        counted(eligible.len(), "container instance"),
    )];
    if eligible.is_empty() {
        lines.push("no ACTIVE instance of this cluster belongs to its capacity providers".to_owned());
    }
    lines.push(deployment(&state.deployment));
    lines.extend(baking(&state.deployment));
    lines.extend(pause(&daemon.pacing, now));
    let lacking = eligible.iter().filter(|it| !has_task(&it.id)).take(REFUSALS_MAX);
    lines.extend(lacking.map(|it| format!("{} has no task of it", it.id)));
    if let Some(trouble) = &daemon.trouble {
        lines.push(format!("since {}: {}", trouble.since.rfc3339(), trouble.reason));
    }
    lines.extend(last_stopped(source, &daemon.tenant, &daemon.cluster, &Keeper::Daemon(daemon.name.clone())));
    lines
}

/// All instances run it, and it is watched for a while.
fn baking(it: &DaemonDeployment) -> Option<String> {
    let since = it.baking_since.filter(|_| it.status == DaemonDeploymentStatus::InProgress)?;
    let alarms = it.configuration.watched_alarms().unwrap_or_default().join(", ");
    let by = if alarms.is_empty() { String::new() } else { format!(" by the alarms {alarms}") };
    let until = since.plus_millis(it.configuration.bake_millis()).rfc3339();
    Some(format!("the deployment is watched{by} until {until}"))
}

fn deployment(it: &DaemonDeployment) -> String {
    let failed_tasks = it.tripped_at.unwrap_or(it.failed_tasks);
    let reason = it.status_reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let failed =
        if failed_tasks > 0 { format!(", {} failed", counted(failed_tasks as usize, "task")) } else { String::new() };
    format!("deployment {} {}{failed}{reason}", it.id, rollout(it.status))
}

const fn status(status: DaemonStatus) -> &'static str {
    match status {
        DaemonStatus::Active => "ACTIVE",
        DaemonStatus::DeleteInProgress => "DELETE_IN_PROGRESS",
    }
}

const fn rollout(status: DaemonDeploymentStatus) -> &'static str {
    match status {
        DaemonDeploymentStatus::Pending => "is about to begin",
        DaemonDeploymentStatus::InProgress => "is in progress",
        DaemonDeploymentStatus::StopRequested => "was asked to stop",
        DaemonDeploymentStatus::Successful => "has succeeded",
        DaemonDeploymentStatus::Stopped => "has stopped, it starts no more tasks",
        DaemonDeploymentStatus::RollbackInProgress => "goes back to the revision before",
        DaemonDeploymentStatus::RollbackSuccessful => "has gone back to the revision before",
        DaemonDeploymentStatus::RollbackFailed => "could not go back to the revision before, it starts no more tasks",
    }
}
