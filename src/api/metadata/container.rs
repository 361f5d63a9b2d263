//! A container as the metadata endpoint shows it.

use cove_model::daemon::family_name;
use cove_model::network::Subnet;
use cove_model::task::{Container, ContainerSeen, ContainerState, Task, TaskNetwork};
use cove_model::task_definition::{ContainerDefinition, TaskDefinition, TransportProtocol};
use cove_store::{Read, Store, keys};
use serde_json::{Map, Value, json};

/// Shares that a container without a CPU size gets, as the kernel has them.
const CPU_SHARES_MIN: i64 = 2;

/// Which version of the endpoint asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V3,
    V4,
}

/// The container's document.
pub(super) fn document(store: &Store, task: &Task, container: &Container, version: Version) -> Value {
    let definition = definition(store, task);
    let given = definition.as_ref().and_then(|definition| container_definition(definition, &container.name));
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            body.insert(name.to_owned(), value);
        }
    };
    let seen = &container.seen;
    put("DockerId", container.runtime_id(&task.id).into());
    put("Name", container.name.as_str().into());
    put("DockerName", format!("ecs-{}-{}-{}", family_name(&task.family), task.revision, container.name).into());
    put("Image", container.image.as_str().into());
    put("ImageID", seen.image_digest.clone().into());
    if !container.ports.is_empty() {
        put("Ports", container.ports.iter().flat_map(ports).collect());
    }
    put("Labels", labels(task, container, given));
    put("DesiredStatus", if task.desired.is_stopped() { "STOPPED" } else { "RUNNING" }.into());
    put("KnownStatus", known_status(seen.state).into());
    put("ExitCode", seen.exit_code.into());
    put("Limits", limits(container));
    put("CreatedAt", task.created_at.rfc3339().into());
    put("StartedAt", seen.started_at.map(cove_base::Timestamp::rfc3339).into());
    put("FinishedAt", seen.stopped_at.map(cove_base::Timestamp::rfc3339).into());
    put("Type", "NORMAL".into());
    put("Health", health(seen));
    if let Some(log) = given.and_then(|given| given.log_configuration.as_ref()) {
        put("LogDriver", serde_json::to_value(log.log_driver).unwrap_or_default());
        put("LogOptions", serde_json::to_value(&log.options).unwrap_or_default());
    }
    put("Networks", networks(store, task, version));
    if version == Version::V4 {
        put("ContainerARN", task.container_arn(container).into());
        put("Snapshotter", "overlayfs".into());
        let policy = given.and_then(|given| given.restart_policy.as_ref());
        let restarts = policy.is_some_and(|policy| policy.enabled == Some(true));
        put("RestartCount", restarts.then_some(seen.attempt).into());
    }
    Value::Object(body)
}

/// The definition that the task runs.
pub(super) fn definition(store: &Store, task: &Task) -> Option<std::sync::Arc<TaskDefinition>> {
    let key = keys::definition(&task.tenant, &task.family, task.revision);
    store.read(|view| view.get::<TaskDefinition>(&key))
}

fn container_definition<'a>(definition: &'a TaskDefinition, name: &str) -> Option<&'a ContainerDefinition> {
    definition.document.container_definitions.iter().find(|given| given.name.as_deref() == Some(name))
}

/// Each port of a range by itself.
fn ports(binding: &cove_model::task::NetworkBinding) -> impl Iterator<Item = Value> + use<> {
    let protocol = match binding.protocol {
        TransportProtocol::Tcp => "tcp",
        TransportProtocol::Udp => "udp",
    };
    let pairs = binding.host_ports().zip(binding.container_port..=u16::MAX);
    pairs.map(move |(host, own)| json!({"ContainerPort": own, "Protocol": protocol, "HostPort": host}))
}

/// The definition's labels, and ECS's own, which nobody can replace.
fn labels(task: &Task, container: &Container, given: Option<&ContainerDefinition>) -> Value {
    let mut labels: Map<String, Value> = given
        .iter()
        .flat_map(|given| &given.docker_labels)
        .map(|(key, value)| (key.clone(), value.as_str().into()))
        .collect();
    let own = [
        ("cluster", task.cluster_arn()),
        ("container-name", container.name.clone()),
        ("task-arn", task.arn()),
        ("task-definition-family", family_name(&task.family).to_owned()),
        ("task-definition-version", task.revision.to_string()),
    ];
    labels.extend(own.map(|(name, value)| (format!("com.amazonaws.ecs.{name}"), value.into())));
    Value::Object(labels)
}

/// The agent's inner names of states.
fn known_status(state: ContainerState) -> &'static str {
    match state {
        ContainerState::Pending => "NONE",
        ContainerState::Pulled => "PULLED",
        ContainerState::Running => "RUNNING",
        ContainerState::Stopped => "STOPPED",
    }
}

/// Only of a container with a check.
fn health(seen: &ContainerSeen) -> Value {
    let Some(health) = seen.health else { return Value::Null };
    let mut shown = json!({"status": health.as_str()});
    if let Some(since) = seen.health_since {
        shown["statusSince"] = since.rfc3339().into();
    }
    shown
}

fn limits(container: &Container) -> Value {
    let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<i64>().ok());
    let mut limits = json!({"CPU": number(&container.cpu).unwrap_or(0).max(CPU_SHARES_MIN)});
    if let Some(memory) = number(&container.memory) {
        limits["Memory"] = memory.into();
    }
    limits
}

fn networks(store: &Store, task: &Task, version: Version) -> Value {
    let network = match &task.network {
        TaskNetwork::None | TaskNetwork::Host => json!({"NetworkMode": mode(task)}),
        TaskNetwork::Bridge { address } => json!({"NetworkMode": mode(task), "IPv4Addresses": [address]}),
        TaskNetwork::Awsvpc(eni) => {
            let mut network = json!({"NetworkMode": mode(task), "IPv4Addresses": [eni.address]});
            if version == Version::V4 {
                network["AttachmentIndex"] = 0.into();
                network["MACAddress"] = eni.mac.as_str().into();
                network["DomainNameServers"] = json!(["169.254.169.253"]);
                network["PrivateDNSName"] = private_dns_name(eni.address, &task.tenant.region).into();
                let subnet = store.read(|view| view.get::<Subnet>(&keys::subnet(&task.tenant, &eni.subnet_id)));
                if let Some(subnet) = subnet {
                    network["IPv4SubnetCIDRBlock"] = subnet.cidr.to_string().into();
                    let gateway = format!("{}/{}", subnet.cidr.nth(1), subnet.cidr.prefix);
                    network["SubnetGatewayIpv4Address"] = gateway.into();
                }
            }
            network
        }
    };
    json!([network])
}

fn mode(task: &Task) -> Value {
    serde_json::to_value(task.network.mode()).unwrap_or_default()
}

fn private_dns_name(address: std::net::Ipv4Addr, region: &str) -> String {
    let [a, b, c, d] = address.octets();
    let domain = if region == "us-east-1" { "ec2.internal".to_owned() } else { format!("{region}.compute.internal") };
    format!("ip-{a}-{b}-{c}-{d}.{domain}")
}

#[cfg(test)]
mod tests {
    use cove_model::task::NetworkBinding;

    use super::*;

    #[test]
    fn each_port_of_a_range_is_shown_up_to_the_last_there_is() {
        let shown = |container_port, more| {
            let binding = NetworkBinding { container_port, host_port: 40_000, protocol: TransportProtocol::Tcp, more };
            ports(&binding).map(|port| port["ContainerPort"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(shown(u16::MAX, None), [json!(65_535)]);
        assert_eq!(shown(u16::MAX - 1, Some(1)), [json!(65_534), json!(65_535)]);
    }
}
