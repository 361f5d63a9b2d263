//! The four kinds of events of ECS, as AWS documents them.
//!
//! In: a task or container instance as it is after its change, or what happened to a service. Out: a [`NewEvent`].
//!
//! Holds: members have the names and forms of AWS's examples: times as RFC 3339 with milliseconds, an interface's
//! attachment has type `eni`, and neither tags nor health are among a task's.

use cove_base::Timestamp;
use serde_json::{Map, Value, json};

use super::{DEFAULT_BUS, NewEvent};
use crate::arn::Tenant;
use crate::cluster::cluster_arn;
use crate::container_instance::{ContainerInstance, Resources, container_instance_arn};
use crate::task::{Container, ElasticNetworkInterface, Task, TaskNetwork};
use crate::task_override::ContainerOverride;

const SOURCE: &str = "aws.ecs";

fn event(tenant: &Tenant, detail_type: &str, resource: String, detail: Value, at: Timestamp) -> NewEvent {
    NewEvent {
        tenant: tenant.clone(),
        id: None,
        bus: DEFAULT_BUS.to_owned(),
        source: SOURCE.to_owned(),
        detail_type: detail_type.to_owned(),
        at,
        resources: vec![resource],
        detail: detail.to_string(),
        is_routed: false,
    }
}

/// What a task is after a change that raised its version.
#[must_use]
pub fn task_state_change(task: &Task, at: Timestamp) -> NewEvent {
    event(&task.tenant, "ECS Task State Change", task.arn(), task_detail(task, at), at)
}

fn task_detail(task: &Task, at: Timestamp) -> Value {
    let (seen, placement, order) = (&task.observed, &task.placement, task.desired.order());
    let time = |at: Option<Timestamp>| at.map(Timestamp::rfc3339);
    let instance = placement.container_instance.as_deref();
    let stop_code = seen.stop_code.or(order.map(|order| order.code));
    present(json!({
        "attachments": task.attachment_status().map(|status| attachment(task, status)).into_iter().collect::<Vec<_>>(),
        "attributes": task.attributes,
        "availabilityZone": Some(&placement.availability_zone).filter(|zone| !zone.is_empty()),
        "capacityProviderName": placement.capacity_provider,
        "clusterArn": task.cluster_arn(),
        "connectivity": seen.connectivity_at.map(|_| "CONNECTED"),
        "connectivityAt": time(seen.connectivity_at),
        "containerInstanceArn": instance.map(|id| container_instance_arn(&task.tenant, &task.cluster, id)),
        "containers": task.containers.iter().map(|container| container_of(task, container)).collect::<Vec<_>>(),
        "cpu": task.cpu.clone().unwrap_or_else(|| placement.cpu.to_string()),
        "createdAt": task.created_at.rfc3339(),
        "desiredStatus": if task.is_stopping() { "STOPPED" } else { "RUNNING" },
        "enableExecuteCommand": task.enable_execute_command,
        "ephemeralStorage": task.ephemeral_storage_gib.map(|gib| json!({"sizeInGiB": gib})),
        "executionStoppedAt": time(seen.execution_stopped_at),
        "group": task.group,
        "lastStatus": seen.status.as_str(),
        "launchType": placement.launch_type,
        "memory": task.memory.clone().unwrap_or_else(|| placement.memory_mib.to_string()),
        "overrides": overrides(task),
        "platformVersion": placement.platform_version,
        "pullStartedAt": time(seen.pull_started_at),
        "pullStoppedAt": time(seen.pull_stopped_at),
        "startedAt": time(seen.started_at),
        "startedBy": task.started_by,
        "stopCode": stop_code,
        "stoppedAt": time(seen.stopped_at),
        "stoppedReason": seen.stopped_reason.as_ref().or(order.map(|order| &order.reason)),
        "stoppingAt": time(seen.stopping_at),
        "taskArn": task.arn(),
        "taskDefinitionArn": task.definition_arn(),
        "updatedAt": at.rfc3339(),
        "version": task.version,
    }))
}

fn attachment(task: &Task, status: &str) -> Value {
    let TaskNetwork::Awsvpc(eni) = &task.network else { return Value::Null };
    let detail = |(name, value): (&str, String)| json!({"name": name, "value": value});
    let details: Vec<Value> = eni.details(&task.tenant.region).into_iter().map(detail).collect();
    json!({"id": eni.attachment_id, "type": "eni", "status": status, "details": details})
}

fn container_of(task: &Task, container: &Container) -> Value {
    let seen = &container.seen;
    let interface = |eni: &ElasticNetworkInterface| json!([{"attachmentId": eni.attachment_id, "privateIpv4Address": eni.address.to_string()}]);
    let (interfaces, bindings) = match &task.network {
        TaskNetwork::Awsvpc(eni) => (Some(interface(eni)), None),
        TaskNetwork::Host | TaskNetwork::Bridge { .. } => (None, Some(bindings(container))),
        TaskNetwork::None => (None, None),
    };
    present(json!({
        "containerArn": task.container_arn(container),
        "exitCode": seen.exit_code,
        "lastStatus": seen.state.as_str(),
        "name": container.name,
        "image": container.image,
        "imageDigest": seen.image_digest,
        "runtimeId": seen.runtime_id,
        "reason": seen.reason,
        "taskArn": task.arn(),
        "networkBindings": bindings,
        "networkInterfaces": interfaces.unwrap_or_else(|| json!([])),
        "cpu": container.cpu.as_deref().unwrap_or("0"),
        "memory": container.memory,
        "memoryReservation": container.memory_reservation,
    }))
}

fn bindings(container: &Container) -> Vec<Value> {
    if !container.has_run() {
        return Vec::new();
    }
    let binding = |port: &crate::task::NetworkBinding| match port.ranges() {
        None => json!({
            "bindIP": "0.0.0.0",
            "containerPort": port.container_port,
            "hostPort": port.host_port,
            "protocol": port.protocol,
        }),
        Some((own, host)) => json!({
            "bindIP": "0.0.0.0",
            "containerPortRange": own,
            "hostPortRange": host,
            "protocol": port.protocol,
        }),
    };
    container.ports.iter().map(binding).collect()
}

/// What the request overrode; every container has an entry, if only its name.
fn overrides(task: &Task) -> Value {
    let entry = |container: &Container| {
        let own = task.overrides.container_overrides.iter().find(|it| it.name.as_ref() == Some(&container.name));
        own.cloned().unwrap_or_else(|| ContainerOverride { name: Some(container.name.clone()), ..Default::default() })
    };
    let entries: Vec<_> = task.containers.iter().map(entry).collect();
    let mut shown = serde_json::to_value(&task.overrides).expect("an override holds nothing that JSON lacks");
    shown["containerOverrides"] = serde_json::to_value(entries).expect("an override holds nothing that JSON lacks");
    shown
}

/// What a container instance is after a change that raised its version, and what is left on it.
#[must_use]
pub fn container_instance_state_change(instance: &ContainerInstance, remaining: &Resources, at: Timestamp) -> NewEvent {
    let detail = json!({
        "agentConnected": instance.is_connected(),
        "attributes": instance.attributes,
        "clusterArn": cluster_arn(&instance.tenant, &instance.cluster),
        "containerInstanceArn": instance.arn(),
        "ec2InstanceId": instance.ec2_instance_id,
        "registeredResources": resources(&instance.registered),
        "remainingResources": resources(remaining),
        "registeredAt": instance.registered_at.rfc3339(),
        "status": instance.status.as_str(),
        "version": instance.version,
        "versionInfo": {"agentVersion": instance.agent_version().unwrap_or_default()},
        "updatedAt": at.rfc3339(),
    });
    event(&instance.tenant, "ECS Container Instance State Change", instance.arn(), detail, at)
}

fn resources(it: &Resources) -> Vec<Value> {
    let number = |name: &str, value: i64| json!({"name": name, "type": "INTEGER", "integerValue": value});
    let set = |name: &str, values: Vec<String>| json!({"name": name, "type": "STRINGSET", "stringSetValue": values});
    let ports = |ports: &[u16]| ports.iter().map(u16::to_string).collect();
    let mut all = vec![
        number("CPU", it.cpu),
        number("MEMORY", it.memory_mib),
        set("PORTS", ports(&it.ports_tcp)),
        set("PORTS_UDP", ports(&it.ports_udp)),
    ];
    if !it.gpus.is_empty() {
        all.push(set("GPU", it.gpus.clone()));
    }
    all
}

/// How a deployment fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentState {
    InProgress,
    Completed,
    Failed,
}

impl DeploymentState {
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::InProgress => ("INFO", "SERVICE_DEPLOYMENT_IN_PROGRESS"),
            Self::Completed => ("INFO", "SERVICE_DEPLOYMENT_COMPLETED"),
            Self::Failed => ("ERROR", "SERVICE_DEPLOYMENT_FAILED"),
        }
    }
}

/// A deployment of a service began, is done, or failed. `reason` is for people, as in `ECS deployment ecs-svc/1 in
/// progress.`
#[must_use]
pub fn deployment_state_change(
    tenant: &Tenant,
    service_arn: &str,
    deployment_id: &str,
    state: DeploymentState,
    reason: &str,
    at: Timestamp,
) -> NewEvent {
    let (event_type, name) = state.names();
    let detail = json!({
        "eventType": event_type,
        "eventName": name,
        "deploymentId": deployment_id,
        "updatedAt": at.rfc3339(),
        "reason": reason,
    });
    event(tenant, "ECS Deployment State Change", service_arn.to_owned(), detail, at)
}

/// What happened to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceActionKind {
    ServiceSteadyState,
    TasksetSteadyState,
    CapacityProviderSteadyState,
    ServiceDesiredCountUpdated,
    ServiceRebalancingStarted,
    ServiceRebalancingCompleted,
    TasksStopped,
    ServiceTaskStartImpaired,
    ServiceDaemonPlacementConstraintViolated,
    ServiceTaskPlacementFailure,
    ServiceTaskConfigurationFailure,
}

impl ServiceActionKind {
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::ServiceSteadyState => ("INFO", "SERVICE_STEADY_STATE"),
            Self::TasksetSteadyState => ("INFO", "TASKSET_STEADY_STATE"),
            Self::CapacityProviderSteadyState => ("INFO", "CAPACITY_PROVIDER_STEADY_STATE"),
            Self::ServiceDesiredCountUpdated => ("INFO", "SERVICE_DESIRED_COUNT_UPDATED"),
            Self::ServiceRebalancingStarted => ("INFO", "SERVICE_REBALANCING_STARTED"),
            Self::ServiceRebalancingCompleted => ("INFO", "SERVICE_REBALANCING_COMPLETED"),
            Self::TasksStopped => ("INFO", "TASKS_STOPPED"),
            Self::ServiceTaskStartImpaired => ("WARN", "SERVICE_TASK_START_IMPAIRED"),
            Self::ServiceDaemonPlacementConstraintViolated => ("ERROR", "SERVICE_DAEMON_PLACEMENT_CONSTRAINT_VIOLATED"),
            Self::ServiceTaskPlacementFailure => ("ERROR", "SERVICE_TASK_PLACEMENT_FAILURE"),
            Self::ServiceTaskConfigurationFailure => ("ERROR", "SERVICE_TASK_CONFIGURATION_FAILURE"),
        }
    }
}

/// An action of a service; what is empty or `None` is left out.
#[derive(Debug, Clone, Copy)]
pub struct ServiceAction<'a> {
    pub kind: ServiceActionKind,
    pub tenant: &'a Tenant,
    pub cluster: &'a str,
    pub service_arn: &'a str,
    pub capacity_provider_arns: &'a [String],
    pub container_instance_arns: &'a [String],
    pub task_arns: &'a [String],
    pub desired_count: Option<u32>,
    /// As in `RESOURCE:FARGATE`.
    pub reason: Option<&'a str>,
}

impl<'a> ServiceAction<'a> {
    /// An action about which no more is to be said.
    #[must_use]
    pub const fn new(kind: ServiceActionKind, tenant: &'a Tenant, cluster: &'a str, service_arn: &'a str) -> Self {
        Self {
            kind,
            tenant,
            cluster,
            service_arn,
            capacity_provider_arns: &[],
            container_instance_arns: &[],
            task_arns: &[],
            desired_count: None,
            reason: None,
        }
    }

    /// The event.
    #[must_use]
    pub fn event(&self, at: Timestamp) -> NewEvent {
        let (event_type, name) = self.kind.names();
        let list = |arns: &[String]| Some(arns.to_vec()).filter(|arns| !arns.is_empty());
        let detail = present(json!({
            "eventType": event_type,
            "eventName": name,
            "clusterArn": cluster_arn(self.tenant, self.cluster),
            "capacityProviderArns": list(self.capacity_provider_arns),
            "containerInstanceArns": list(self.container_instance_arns),
            "taskArns": list(self.task_arns),
            "desiredCount": self.desired_count,
            "reason": self.reason,
            "createdAt": at.rfc3339(),
        }));
        event(self.tenant, "ECS Service Action", self.service_arn.to_owned(), detail, at)
    }
}

/// The object without its nulls.
fn present(value: Value) -> Value {
    let Value::Object(members) = value else { return value };
    Value::Object(members.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> Tenant {
        Tenant::new("111122223333", "us-west-2")
    }

    #[test]
    fn a_deployment_says_what_awss_example_says() {
        let arn = "arn:aws:ecs:us-west-2:111122223333:service/default/servicetest";
        let got = deployment_state_change(
            &tenant(),
            arn,
            "ecs-svc/123",
            DeploymentState::InProgress,
            "ECS deployment ecs-svc/123 in progress.",
            Timestamp(0),
        );
        assert_eq!((got.source.as_str(), got.detail_type.as_str()), ("aws.ecs", "ECS Deployment State Change"));
        assert_eq!(got.resources, [arn]);
        let detail: Value = serde_json::from_str(&got.detail).unwrap();
        let expected = json!({
            "eventType": "INFO", "eventName": "SERVICE_DEPLOYMENT_IN_PROGRESS", "deploymentId": "ecs-svc/123",
            "updatedAt": "1970-01-01T00:00:00.000Z", "reason": "ECS deployment ecs-svc/123 in progress.",
        });
        assert_eq!(detail, expected);
    }

    #[test]
    fn a_service_action_leaves_out_what_it_does_not_know() {
        let tenant = tenant();
        let steady = ServiceAction::new(ServiceActionKind::ServiceSteadyState, &tenant, "default", "arn");
        let detail: Value = serde_json::from_str(&steady.event(Timestamp(0)).detail).unwrap();
        let expected = json!({
            "eventType": "INFO", "eventName": "SERVICE_STEADY_STATE",
            "clusterArn": "arn:aws:ecs:us-west-2:111122223333:cluster/default",
            "createdAt": "1970-01-01T00:00:00.000Z",
        });
        assert_eq!(detail, expected);
        let failed = ServiceAction {
            kind: ServiceActionKind::ServiceTaskPlacementFailure,
            reason: Some("RESOURCE:FARGATE"),
            ..steady
        };
        let detail: Value = serde_json::from_str(&failed.event(Timestamp(0)).detail).unwrap();
        assert_eq!((&detail["eventType"], &detail["reason"]), (&json!("ERROR"), &json!("RESOURCE:FARGATE")));
    }
}
