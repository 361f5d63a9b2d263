//! What can be done to a registered instance, and what that does to its tasks.
//!
//! | | instance | its tasks |
//! |---|---|---|
//! | drain, activate | DRAINING, ACTIVE | go on |
//! | remove | INACTIVE | must be none, or are stopped when it is forced |
//! | terminate | as remove; of a capacity provider's group: DRAINING until it is empty, else INACTIVE | go on, else are lost |
//! | interrupt (Spot) | DRAINING now, INACTIVE after the warning | go on, then are stopped: SpotInterruption |
//! | fail | INACTIVE | are lost at once: TerminationNotice, no exit codes |
//! | recover | ACTIVE again, under its old id; not what its capacity provider took away | |
//!
//! Holds: instance and tasks change in one transaction. A task that is lost was never asked to stop.

use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::capacity_provider::{CapacityProvider, Switch};
use cove_model::cluster::{Cluster, ClusterStatus};
use cove_model::container_instance::{Agent, Capacity, ContainerInstance, ContainerInstanceStatus};
use cove_model::task::{Desired, StopCode, StopOrder, Task};
use cove_store::{Prefix, Read, Tx, keys};

use super::scale::group_max;

/// ECS's words for tasks of an instance that was deregistered under them.
const DEREGISTERED: &str = "Container instance deregistration forced by user";

/// What somebody wants of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Drain,
    Activate,
    Remove {
        /// Tasks on it are stopped instead of being in the way.
        force: bool,
    },
    /// The machine is taken away. In a capacity provider's group managed draining decides: with it the tasks may leave
    /// first, without it they are lost with the machine. Elsewhere it is a removal.
    Terminate {
        force: bool,
    },
    /// A Spot interruption.
    Interrupt {
        warning_millis: i64,
    },
    /// As if the machine had died.
    Fail,
    Recover,
}

/// Why it cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("Found running tasks on the instance.")]
    RunningTasks,
    #[error("instance {0} is INACTIVE: recover it first")]
    Gone(String),
    #[error("instance {0} is there: only what is INACTIVE is recovered")]
    Present(String),
    #[error("instance {0} is on-demand: only Spot capacity is interrupted")]
    OnDemand(String),
    #[error("task {0} is not of FARGATE_SPOT: only Spot capacity is interrupted")]
    NotSpot(String),
    #[error("task {0} has been asked to stop already")]
    Stopping(String),
    #[error("instance {0} is being taken away and leaves soon")]
    Leaving(String),
    #[error("instance {0} was taken away by its capacity provider, and does not come back")]
    Terminated(String),
    #[error("instance {0} is of {1}, which is not ACTIVE")]
    Homeless(String, String),
    #[error("instance {0} is of the group {1}, which has as many as it may have")]
    Full(String, String),
}

/// How an instance ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Deregistered,
    SpotInterrupted,
    Failed,
    /// A managed instance on its last day.
    Retired,
}

/// Does it; the instance as it is then.
///
/// # Errors
/// When the instance is not in a state for it. Nothing was written then.
pub fn apply(tx: &mut Tx<'_>, instance: &ContainerInstance, verb: Verb) -> Result<ContainerInstance, Refused> {
    check(instance, verb)?;
    if verb == Verb::Recover {
        find_home(tx, instance)?;
    }
    let is_empty = tasks_on(tx, instance).is_empty();
    let draining = managed_draining(tx, instance);
    if !is_empty
        && (verb == Verb::Remove { force: false } || verb == Verb::Terminate { force: false } && draining.is_none())
    {
        return Err(Refused::RunningTasks);
    }
    let now = tx.now();
    let mut changed = match verb {
        Verb::Drain => with_status(instance, ContainerInstanceStatus::Draining),
        Verb::Activate => with_status(instance, ContainerInstanceStatus::Active),
        Verb::Remove { .. } => end(tx, instance, End::Deregistered),
        Verb::Terminate { force: false } if !is_empty && draining == Some(Switch::Enabled) => {
            let draining = with_status(instance, ContainerInstanceStatus::Draining);
            ContainerInstance { leaves_when_empty: true, leaves_since: Some(now), ..draining }
        }
        Verb::Terminate { force: false } if draining == Some(Switch::Disabled) => end(tx, instance, End::Failed),
        Verb::Terminate { .. } => end(tx, instance, End::Deregistered),
        Verb::Fail => end(tx, instance, End::Failed),
        Verb::Interrupt { warning_millis } => ContainerInstance {
            // A second interruption does not put the end off.
            leaves_at: instance.leaves_at.or(Some(now.plus_millis(warning_millis))),
            ..with_status(instance, ContainerInstanceStatus::Draining)
        },
        Verb::Recover => ContainerInstance {
            registered_at: now,
            leaves_at: None,
            leaves_when_empty: false,
            leaves_since: None,
            gone_at: None,
            ..with_status(instance, ContainerInstanceStatus::Active)
        },
    };
    if changed != *instance {
        changed.version = instance.version + 1;
        tx.put(changed.clone());
    }
    Ok(changed)
}

/// Whether the instance is in a state for it.
pub(super) fn check(instance: &ContainerInstance, verb: Verb) -> Result<(), Refused> {
    let id = || instance.ec2_instance_id.clone();
    match (verb, instance.is_registered()) {
        (Verb::Recover, true) => Err(Refused::Present(id())),
        (Verb::Recover, false) if instance.is_terminated => Err(Refused::Terminated(id())),
        (Verb::Recover, false) => Ok(()),
        (_, false) => Err(Refused::Gone(id())),
        (Verb::Activate, true) if instance.leaves_at.is_some() || instance.leaves_when_empty => {
            Err(Refused::Leaving(id()))
        }
        (Verb::Interrupt { .. }, true) if instance.capacity == Capacity::OnDemand => Err(Refused::OnDemand(id())),
        (
            Verb::Drain
            | Verb::Activate
            | Verb::Remove { .. }
            | Verb::Terminate { .. }
            | Verb::Interrupt { .. }
            | Verb::Fail,
            true,
        ) => Ok(()),
    }
}

/// Whether it can be among those that a selection by zone means.
#[must_use]
pub fn is_meant(source: &impl Read, instance: &ContainerInstance, verb: Verb) -> bool {
    match verb {
        Verb::Recover => check(instance, verb).is_ok() && find_home(source, instance).is_ok(),
        Verb::Drain
        | Verb::Activate
        | Verb::Remove { .. }
        | Verb::Terminate { .. }
        | Verb::Interrupt { .. }
        | Verb::Fail => instance.is_registered(),
    }
}

/// What comes back needs its cluster, its capacity provider if it is managed, and a place in its group.
fn find_home(source: &impl Read, instance: &ContainerInstance) -> Result<(), Refused> {
    let (tenant, id) = (&instance.tenant, || instance.ec2_instance_id.clone());
    let cluster = source.get::<Cluster>(&keys::cluster(tenant, &instance.cluster));
    if cluster.is_none_or(|it| it.status == ClusterStatus::Inactive) {
        return Err(Refused::Homeless(id(), format!("cluster {}", instance.cluster)));
    }
    let provider = |name: &String| source.get::<CapacityProvider>(&keys::capacity_provider(tenant, name));
    if let Some(name) = instance.managed_by.as_ref().filter(|name| !provider(name).is_some_and(|it| it.is_active())) {
        return Err(Refused::Homeless(id(), format!("capacity provider {name}")));
    }
    let Some(asg) = &instance.asg else { return Ok(()) };
    let all = source.scan::<ContainerInstance>(&Prefix::tenant(tenant));
    let members = || all.iter().map(Arc::as_ref).filter(|it| it.asg.as_ref() == Some(asg));
    let (there, most) = (members().filter(|it| it.is_registered()).count(), group_max(members()));
    if most > 0 && there >= most { Err(Refused::Full(id(), asg.clone())) } else { Ok(()) }
}

/// What the capacity provider says of the instance's group; `None` when there is none. Managed instances always drain.
pub(super) fn managed_draining(source: &impl Read, instance: &ContainerInstance) -> Option<Switch> {
    if instance.managed_by.is_some() {
        return Some(Switch::Enabled);
    }
    instance.asg.as_ref()?;
    let providers = source.scan::<CapacityProvider>(&Prefix::tenant(&instance.tenant));
    providers.iter().find(|it| it.is_active() && it.pool().has(instance)).map(|it| it.managed_draining)
}

fn with_status(instance: &ContainerInstance, status: ContainerInstanceStatus) -> ContainerInstance {
    ContainerInstance { status, ..instance.clone() }
}

/// Orders the instance's tasks to stop; the instance as it is after that, which the caller writes.
pub(super) fn end(tx: &mut Tx<'_>, instance: &ContainerInstance, how: End) -> ContainerInstance {
    let now = tx.now();
    for task in tasks_on(tx, instance) {
        if let Some(task) = ordered(&task, instance, how, now) {
            tx.put(task);
        }
    }
    let (status, gone_at) = (ContainerInstanceStatus::Inactive, Some(now));
    let version = instance.version + 1;
    // Nobody is told anything of it any more.
    let agent = instance.agent.clone().map(|agent| Agent { connected: false, ..agent });
    let (leaves_at, leaves_when_empty, leaves_since) = (None, false, None);
    ContainerInstance {
        status,
        agent,
        gone_at,
        leaves_at,
        leaves_when_empty,
        leaves_since,
        version,
        ..instance.clone()
    }
}

/// The instance that its capacity provider has ended.
pub(super) fn terminated(gone: ContainerInstance) -> ContainerInstance {
    ContainerInstance { is_terminated: true, ..gone }
}

/// The task with its order, if that is news: desired state only moves forward.
pub(super) fn ordered(task: &Task, instance: &ContainerInstance, how: End, now: Timestamp) -> Option<Task> {
    let terminated = || format!("Host EC2 (instance {}) terminated.", instance.ec2_instance_id);
    let order = |code, reason| StopOrder { code, reason, at: now };
    let desired = match (how, &task.desired) {
        (End::Deregistered, Desired::Running) => {
            Desired::Stopped(order(StopCode::UserInitiated, DEREGISTERED.to_owned()))
        }
        (End::SpotInterrupted, Desired::Running) => Desired::Stopped(order(StopCode::SpotInterruption, terminated())),
        (End::Retired, Desired::Running) => Desired::Stopped(order(StopCode::TerminationNotice, terminated())),
        (End::Failed, Desired::Running) => Desired::Lost(order(StopCode::TerminationNotice, terminated())),
        // Who wanted it first stays the reason.
        (End::Failed, Desired::Stopped(before)) => Desired::Lost(before.clone()),
        (End::Deregistered | End::SpotInterrupted | End::Retired, Desired::Stopped(_)) | (_, Desired::Lost(_)) => {
            return None;
        }
    };
    Some(Task { desired, version: task.version + 1, ..task.clone() })
}

pub(super) fn tasks_on(source: &impl Read, instance: &ContainerInstance) -> Vec<Arc<Task>> {
    source.listed(&keys::tasks_on(&instance.tenant, &instance.cluster, &instance.id))
}
