//! What agents of other hosts report of their tasks: SubmitTaskStateChange and SubmitContainerStateChange.
//!
//! In: a report, and the task as it is known. Out: the task as it is then. The decision has no clock, store or await.
//!
//! Holds: a state only moves forward, so that a report that comes late or twice changes nothing and is acknowledged; the
//! first reason of an end stays. Tasks of this node are its own agent's: nobody reports them.

use cove_base::Timestamp;
use cove_model::arn::Tenant;
use cove_model::service::Departed;
use cove_model::task::{Container, ContainerState, NetworkBinding, StopCode, Task, TaskStatus};
use cove_model::task_definition::TransportProtocol;
use cove_model::task_end::{advance, decide_reason, stopped, stopping};
use cove_store::{Read, Tx, keys};

use super::error::EcsError;
use super::wire::{AcknowledgmentOut, ContainerStateChange, NetworkBindingIn, SubmitTaskStateChangeIn};
use super::{cluster, reference};
use crate::Context;

/// As AWS answers.
const ACKNOWLEDGED: AcknowledgmentOut = AcknowledgmentOut { acknowledgment: "ACK" };
/// Agents cut reasons themselves.
const REASON_MAX: usize = 1024;
/// A digest, an id of Docker's.
const ID_MAX: usize = 256;
/// ECS's quota of reserved ports of an instance, on both kinds of addresses.
const BINDINGS_MAX: usize = 200;

/// SubmitTaskStateChange.
pub(super) async fn task(cx: &Context, input: SubmitTaskStateChangeIn) -> Result<AcknowledgmentOut, EcsError> {
    if !input.attachments.is_empty() {
        return Err(EcsError::client("No attachment of this cluster belongs to an agent of another host."));
    }
    if !input.managed_agents.is_empty() {
        return Err(EcsError::client("No container on another host has a managed agent of this cluster."));
    }
    let (of, task) = (input.cluster.clone(), input.task.clone());
    let report = TaskReport::read(input)?;
    write(cx, of, task, move |task, now| report.apply(task, now)).await
}

/// SubmitContainerStateChange.
pub(super) async fn container(cx: &Context, input: ContainerStateChange) -> Result<AcknowledgmentOut, EcsError> {
    let (of, task) = (input.cluster.clone(), input.task.clone());
    let report = ContainerReport::read(input)?;
    let apply = move |task: &mut Task, now| {
        if report.apply(task, now)? && task.is_live() {
            stopping(task, now);
        }
        Ok(())
    };
    write(cx, of, task, apply).await
}

async fn write(
    cx: &Context,
    cluster: Option<String>,
    task: Option<String>,
    apply: impl FnOnce(&mut Task, Timestamp) -> Result<(), EcsError> + Send + 'static,
) -> Result<AcknowledgmentOut, EcsError> {
    let tenant = cx.tenant.clone();
    let name = reference::cluster(&tenant, cluster.as_deref())?;
    let text = task.ok_or_else(|| EcsError::parameter("Task cannot be empty."))?;
    let id = reference::task(&tenant, &name, &text)?;
    cx.store
        .write(move |tx| {
            let before = reported(tx, &tenant, &name, &id)?;
            let mut task = before.clone();
            apply(&mut task, tx.now())?;
            if task == before {
                return Ok(());
            }
            // Whoever reports a task has it.
            task.observed.accepted_at.get_or_insert(tx.now());
            task.version += 1;
            if !task.is_live() {
                // Whoever keeps it counts its end once.
                Departed::of(&task).into_iter().for_each(|ended| tx.put(ended));
            }
            tx.put(task);
            Ok::<_, EcsError>(())
        })
        .await?;
    Ok(ACKNOWLEDGED)
}

/// The task, if an agent of another host has it.
fn reported(tx: &Tx<'_>, tenant: &Tenant, cluster: &str, id: &str) -> Result<Task, EcsError> {
    cluster::active(tx, tenant, cluster)?;
    let found = tx.get::<Task>(&keys::task(tenant, cluster, id));
    let task = found.ok_or_else(|| EcsError::client("The referenced task was not found."))?;
    if !task.placement.elsewhere {
        return Err(EcsError::client("The task belongs to this node: its own agent alone reports what becomes of it."));
    }
    Ok((*task).clone())
}

/// What is said of a task.
#[derive(Debug)]
struct TaskReport {
    status: TaskStatus,
    reason: Option<String>,
    containers: Vec<ContainerReport>,
    pull_started_at: Option<Timestamp>,
    pull_stopped_at: Option<Timestamp>,
    execution_stopped_at: Option<Timestamp>,
}

/// What is said of a container.
#[derive(Debug)]
struct ContainerReport {
    name: String,
    state: ContainerState,
    reason: Option<String>,
    exit_code: Option<i32>,
    image_digest: Option<String>,
    runtime_id: Option<String>,
    ports: Vec<NetworkBinding>,
}

impl TaskReport {
    fn read(input: SubmitTaskStateChangeIn) -> Result<Self, EcsError> {
        let status = match input.status.as_deref() {
            Some("RUNNING") => TaskStatus::Running,
            Some("STOPPED") => TaskStatus::Stopped,
            // Whatever is before.
            Some("PENDING" | "NONE" | "MANIFEST_PULLED" | "PULLED" | "CREATED") => TaskStatus::Pending,
            other => return Err(unknown_status(other)),
        };
        Ok(Self {
            status,
            reason: reason(input.reason),
            containers: input.containers.into_iter().map(ContainerReport::read).collect::<Result<_, _>>()?,
            pull_started_at: input.pull_started_at.map(moment),
            pull_stopped_at: input.pull_stopped_at.map(moment),
            execution_stopped_at: input.execution_stopped_at.map(moment),
        })
    }

    fn apply(self, task: &mut Task, now: Timestamp) -> Result<(), EcsError> {
        // What is STOPPED as a whole has its reason from below.
        let follows = self.status != TaskStatus::Stopped;
        for container in self.containers {
            let goes_down = container.apply(task, now)?;
            if goes_down && follows && task.is_live() {
                stopping(task, now);
            }
        }
        if !task.is_live() {
            return Ok(());
        }
        let seen = &mut task.observed;
        seen.pull_started_at = seen.pull_started_at.or(self.pull_started_at);
        seen.pull_stopped_at = seen.pull_stopped_at.or(self.pull_stopped_at);
        seen.execution_stopped_at = seen.execution_stopped_at.or(self.execution_stopped_at);
        match self.status {
            TaskStatus::Stopped => ended(task, self.reason, now),
            TaskStatus::Running => {
                if task.observed.status < TaskStatus::Running {
                    task.observed.started_at = Some(now);
                }
                advance(task, TaskStatus::Running);
            }
            TaskStatus::Provisioning
            | TaskStatus::Pending
            | TaskStatus::Activating
            | TaskStatus::Deactivating
            | TaskStatus::Stopping
            | TaskStatus::Deprovisioning => {}
        }
        Ok(())
    }
}

/// STOPPED, and why: an order, what the agent says, or what became of the containers.
fn ended(task: &mut Task, reason: Option<String>, now: Timestamp) {
    let has_run = |it: &Container| it.essential && it.seen.started_at.is_some();
    let has_started = task.observed.started_at.is_some() || task.containers.iter().any(has_run);
    match reason {
        Some(reason) if has_started && !task.desired.is_stopped() && task.observed.stop_code.is_none() => {
            task.observed.stop_code = Some(StopCode::EssentialContainerExited);
            task.observed.stopped_reason = Some(reason);
        }
        reason => decide_reason(task, reason.as_deref().filter(|_| !has_started)),
    }
    for container in &mut task.containers {
        container.seen.stopped_at = container.seen.stopped_at.or(Some(now));
    }
    stopped(task, now);
}

impl ContainerReport {
    fn read(input: ContainerStateChange) -> Result<Self, EcsError> {
        let name = input.container_name.ok_or_else(|| EcsError::parameter("Container name cannot be empty."))?;
        let state = match input.status.as_deref() {
            Some("RUNNING" | "RESOURCES_PROVISIONED") => ContainerState::Running,
            Some("STOPPED") => ContainerState::Stopped,
            Some("PULLED" | "CREATED") => ContainerState::Pulled,
            Some("PENDING" | "NONE" | "MANIFEST_PULLED") => ContainerState::Pending,
            other => return Err(unknown_status(other)),
        };
        let ids = [&input.image_digest, &input.runtime_id];
        if ids.into_iter().flatten().any(|id| id.len() > ID_MAX) || input.network_bindings.len() > BINDINGS_MAX {
            return Err(EcsError::parameter(format!("Invalid state change of container {name}.")));
        }
        Ok(Self {
            name,
            state,
            reason: reason(input.reason),
            exit_code: input.exit_code,
            image_digest: input.image_digest,
            runtime_id: input.runtime_id,
            ports: bindings(&input.network_bindings)?,
        })
    }

    /// Whether the task is on its way down by it: an essential container has ended.
    fn apply(self, task: &mut Task, now: Timestamp) -> Result<bool, EcsError> {
        let found = task.containers.iter_mut().find(|container| container.name == self.name);
        let container =
            found.ok_or_else(|| EcsError::parameter(format!("The task has no container named {}.", self.name)))?;
        let ends = self.state == ContainerState::Stopped && container.seen.state != ContainerState::Stopped;
        let goes_down = ends && container.essential;
        self.apply_to(container, now);
        Ok(goes_down)
    }

    fn apply_to(self, container: &mut Container, now: Timestamp) {
        let seen = &mut container.seen;
        if seen.state == ContainerState::Stopped {
            return;
        }
        seen.image_digest = seen.image_digest.take().or(self.image_digest);
        seen.runtime_id = seen.runtime_id.take().or(self.runtime_id);
        if !self.ports.is_empty() {
            container.ports = self.ports;
        }
        if self.state == ContainerState::Running {
            seen.started_at = seen.started_at.or(Some(now));
        }
        if self.state == ContainerState::Stopped {
            seen.stopped_at = Some(now);
            seen.exit_code = self.exit_code;
            // One that has a code has run, also when nobody said so.
            seen.started_at = seen.started_at.or(self.exit_code.map(|_| now));
        }
        seen.reason = seen.reason.take().or(self.reason);
        seen.state = seen.state.max(self.state);
    }
}

fn unknown_status(given: Option<&str>) -> EcsError {
    EcsError::parameter(format!("Invalid status: {}.", given.unwrap_or("null").chars().take(64).collect::<String>()))
}

fn reason(given: Option<String>) -> Option<String> {
    let mut text = given.filter(|text| !text.is_empty())?;
    text.truncate(text.floor_char_boundary(REASON_MAX));
    Some(text)
}

fn moment(seconds: f64) -> Timestamp {
    #[allow(clippy::cast_possible_truncation, reason = "a float becomes the nearest moment there is")]
    let millis = (seconds * 1000.0) as i64;
    // What is beyond has no date.
    Timestamp(millis.clamp(0, 253_402_300_799_000))
}

/// Docker binds each port for both kinds of addresses; it is one.
fn bindings(given: &[NetworkBindingIn]) -> Result<Vec<NetworkBinding>, EcsError> {
    let mut all: Vec<NetworkBinding> = Vec::with_capacity(given.len());
    for one in given {
        let binding = binding(one).ok_or_else(|| EcsError::parameter("Invalid networkBindings."))?;
        let is_known = |known: &NetworkBinding| {
            (known.container_port, known.protocol) == (binding.container_port, binding.protocol)
        };
        if !all.iter().any(is_known) {
            all.push(binding);
        }
    }
    Ok(all)
}

fn binding(given: &NetworkBindingIn) -> Option<NetworkBinding> {
    let one = |port: Option<i32>| port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    let range = |text: &Option<String>| {
        let (first, last) = text.as_deref()?.split_once('-')?;
        let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
        Some((first, last.checked_sub(first)?))
    };
    let protocol = given.protocol.unwrap_or(TransportProtocol::Tcp);
    if let Some((container_port, more)) = range(&given.container_port_range) {
        let (host_port, _) = range(&given.host_port_range)?;
        return Some(NetworkBinding { container_port, host_port, protocol, more: Some(more) });
    }
    Some(NetworkBinding {
        container_port: one(given.container_port)?,
        host_port: one(given.host_port)?,
        protocol,
        more: None,
    })
}

#[cfg(test)]
mod tests {
    use cove_model::fixture;
    use cove_model::task::{Desired, StopOrder};
    use serde_json::{Value, json};

    use super::*;

    fn pair() -> Task {
        let side = Container { essential: false, ..fixture::container("side") };
        let mut task = Task { containers: vec![fixture::container("main"), side], ..fixture::task("t") };
        task.placement.elsewhere = true;
        task
    }

    fn said(task: &Task, input: Value, at: i64) -> Task {
        let report = TaskReport::read(serde_json::from_value(input).unwrap()).unwrap();
        let mut task = task.clone();
        report.apply(&mut task, Timestamp(at)).unwrap();
        task
    }

    fn running() -> Value {
        let bindings = json!([{"bindIP": "0.0.0.0", "containerPort": 80, "hostPort": 32768, "protocol": "tcp"},
            {"bindIP": "::", "containerPort": 80, "hostPort": 32768, "protocol": "tcp"}]);
        json!({"status": "RUNNING", "pullStartedAt": 1.5, "containers": [
            {"containerName": "main", "status": "RUNNING", "runtimeId": "r", "imageDigest": "sha256:1",
             "networkBindings": bindings}, {"containerName": "side", "status": "RUNNING"}]})
    }

    #[test]
    fn a_task_runs_and_ends_as_its_agent_says_and_never_goes_back() {
        let up = said(&pair(), running(), 10);
        assert_eq!((up.observed.status, up.observed.started_at), (TaskStatus::Running, Some(Timestamp(10))));
        assert_eq!(up.observed.pull_started_at, Some(Timestamp(1500)));
        assert_eq!((up.containers[0].ports.len(), up.containers[0].ports[0].host_port), (1, 32768));
        let over = json!({"status": "STOPPED", "containers": [
            {"containerName": "main", "status": "STOPPED", "exitCode": 3}, {"containerName": "side", "status": "STOPPED"}]});
        let down = said(&up, over.clone(), 20);
        assert_eq!(down.observed.stop_code, Some(StopCode::EssentialContainerExited));
        assert_eq!(down.observed.stopped_reason.as_deref(), Some("Essential container in task exited"));
        assert_eq!((down.containers[0].seen.exit_code, down.containers[1].seen.exit_code), (Some(3), None));
        assert_eq!(said(&down, running(), 30), down, "late");
        assert_eq!(said(&down, over, 40), down, "twice");
    }

    #[test]
    fn the_end_of_an_essential_container_takes_the_task_down_and_that_of_another_does_not() {
        let up = said(&pair(), running(), 10);
        let end =
            |name: &str| json!({"status": "RUNNING", "containers": [{"containerName": name, "status": "STOPPED"}]});
        assert_eq!(said(&up, end("side"), 20).observed.status, TaskStatus::Running);
        let going = said(&up, end("main"), 20);
        assert_eq!((going.observed.status, going.observed.stopping_at), (TaskStatus::Stopping, Some(Timestamp(20))));
        assert_eq!(said(&going, running(), 30).observed.status, TaskStatus::Stopping);
    }

    #[test]
    fn an_order_gives_the_reason_and_a_task_that_never_ran_has_its_agents() {
        let mut ordered = said(&pair(), running(), 10);
        let order = StopOrder { code: StopCode::UserInitiated, reason: "bye".into(), at: Timestamp(11) };
        ordered.desired = Desired::Stopped(order);
        let down = said(&ordered, json!({"status": "STOPPED", "reason": "whatever"}), 20);
        assert_eq!(down.observed.stopped_reason.as_deref(), Some("bye"));
        let text = "CannotPullContainerError: no such image";
        let over = json!({"status": "STOPPED", "reason": text,
            "containers": [{"containerName": "main", "status": "STOPPED", "reason": text}]});
        let failed = said(&pair(), over, 20);
        assert_eq!(failed.observed.stop_code, Some(StopCode::TaskFailedToStart));
        assert_eq!(failed.observed.stopped_reason.as_deref(), Some(text));
        assert!(failed.desired.is_stopped());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for input in [
            json!({"status": "GONE"}),
            json!({}),
            json!({"status": "RUNNING", "containers": [{"status": "RUNNING"}]}),
            json!({"status": "RUNNING", "containers": [{"containerName": "main", "status": "UP"}]}),
            json!({"status": "RUNNING", "containers": [{"containerName": "main", "status": "RUNNING",
                "networkBindings": [{"containerPort": 80, "hostPort": 99999}]}]}),
            json!({"status": "RUNNING", "containers": [{"containerName": "main", "status": "RUNNING",
                "runtimeId": "x".repeat(ID_MAX + 1)}]}),
        ] {
            let read = TaskReport::read(serde_json::from_value(input.clone()).unwrap());
            assert!(matches!(read, Err(EcsError::InvalidParameter(_))), "{input}");
        }
        let other = json!({"status": "RUNNING", "containers": [{"containerName": "x", "status": "RUNNING"}]});
        let report = TaskReport::read(serde_json::from_value(other).unwrap()).unwrap();
        assert!(report.apply(&mut pair(), Timestamp(1)).is_err());
        assert_eq!(moment(f64::MAX).rfc3339(), "9999-12-31T23:59:59.000Z");
    }
}
