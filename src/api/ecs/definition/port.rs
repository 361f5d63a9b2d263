//! Port mappings and the members whose meaning depends on the network mode.
//!
//! Holds: after [`normalise`], every mapping has a protocol and, outside port ranges, a container port and a host port;
//! host port 0 asks for one of the ephemeral range.

use std::collections::{BTreeMap, BTreeSet};

use cove_model::task_definition::{ContainerDefinition, NetworkMode, PortMapping, TransportProtocol};

use crate::ecs::error::EcsError;

/// ECS's quota of port ranges per container.
const RANGES_MAX: usize = 100;
/// Ports that a task may have of the host. Each is a bound socket of its shim and a rule of the node, and is counted at
/// every change of the task: so it is a limit of this node, not of ECS. Where tasks have addresses of their own there is none.
const PORTS_MAX: usize = 1000;

/// Fills in host ports and checks every mapping of a container.
pub(super) fn normalise(definition: &mut ContainerDefinition, mode: NetworkMode) -> Result<(), EcsError> {
    let name = definition.name.clone().unwrap_or_default();
    if mode == NetworkMode::None && !definition.port_mappings.is_empty() {
        return Err(EcsError::client("Port mappings are not supported when networkMode=none."));
    }
    let (mut singles, mut ranges) = (Spans::default(), Spans::default());
    for mapping in &mut definition.port_mappings {
        let protocol = *mapping.protocol.get_or_insert(TransportProtocol::Tcp);
        let (first, last) = match mapping.container_port_range.as_deref() {
            Some(_) => check_range(&name, mapping, mode)?,
            None => normalise_single(&name, mapping, mode)?,
        };
        check_mapping_name(&name, mapping)?;
        let is_range = mapping.container_port_range.is_some();
        // A single port may be mapped to several of the host; which one a port of a range has must be plain.
        let meets =
            ranges.meet(protocol, first, last).or_else(|| singles.meet(protocol, first, last).filter(|_| is_range));
        if meets.is_some() {
            return Err(invalid("containerPortRange", &name));
        }
        let spans = if is_range { &mut ranges } else { &mut singles };
        spans.add(protocol, first, last);
    }
    if definition.port_mappings.iter().filter(|it| it.container_port_range.is_some()).count() > RANGES_MAX {
        return Err(invalid("containerPortRange", &name));
    }
    Ok(())
}

/// Ports that were seen: spans without a port in common, by protocol and last port.
#[derive(Default)]
struct Spans(BTreeMap<(TransportProtocol, u16), u16>);

impl Spans {
    /// The first port in common with one of them.
    fn meet(&self, protocol: TransportProtocol, first: u16, last: u16) -> Option<u16> {
        let ((other, _), from) = self.0.range((protocol, first)..).next()?;
        (*other == protocol && *from <= last).then_some((*from).max(first))
    }

    fn add(&mut self, protocol: TransportProtocol, first: u16, last: u16) {
        self.0.insert((protocol, last), first);
    }
}

fn invalid(setting: &str, container: &str) -> EcsError {
    EcsError::client(format!("Invalid '{setting}' setting for container '{container}'."))
}

fn port(value: i32) -> Option<u16> {
    u16::try_from(value).ok()
}

fn normalise_single(name: &str, mapping: &mut PortMapping, mode: NetworkMode) -> Result<(u16, u16), EcsError> {
    let container_port =
        mapping.container_port.and_then(port).filter(|it| *it > 0).ok_or_else(|| invalid("containerPort", name))?;
    let given = mapping.host_port.unwrap_or(0);
    let host_port = port(given).ok_or_else(|| invalid("hostPort", name))?;
    let equal = |mode: &str| {
        if host_port == 0 || host_port == container_port {
            return Ok(container_port);
        }
        Err(EcsError::client(format!(
            "When networkMode={mode}, the host ports and container ports in port mappings must match."
        )))
    };
    let host_port = match mode {
        NetworkMode::Awsvpc => equal("awsvpc")?,
        NetworkMode::Host => equal("host")?,
        NetworkMode::Bridge | NetworkMode::None => host_port,
    };
    mapping.host_port = Some(i32::from(host_port));
    Ok((container_port, container_port))
}

fn check_range(name: &str, mapping: &PortMapping, mode: NetworkMode) -> Result<(u16, u16), EcsError> {
    let bad = || invalid("containerPortRange", name);
    if mapping.container_port.is_some() || mapping.host_port.is_some() || mode == NetworkMode::Host {
        return Err(bad());
    }
    mapping.port_range().ok_or_else(bad)
}

fn check_mapping_name(container: &str, mapping: &PortMapping) -> Result<(), EcsError> {
    let Some(name) = mapping.name.as_deref() else {
        return if mapping.app_protocol.is_none() { Ok(()) } else { Err(invalid("appProtocol", container)) };
    };
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    if name.is_empty() || name.len() > 64 || name.starts_with('-') || !name.bytes().all(legal) {
        return Err(invalid("name", container));
    }
    Ok(())
}

/// A fixed host port may be mapped once in a task. The ports of ranges are fixed where the task has an address of its
/// own, for there they are the containers'; elsewhere they are found when it starts.
pub(super) fn check_host_ports(containers: &[ContainerDefinition], mode: NetworkMode) -> Result<(), EcsError> {
    let mut seen = Spans::default();
    let mut names = BTreeSet::new();
    for mapping in containers.iter().flat_map(|it| &it.port_mappings) {
        if mapping.name.as_deref().is_some_and(|name| !names.insert(name)) {
            return Err(EcsError::client("Port mapping names must be unique in a task definition."));
        }
        let fixed = match mode {
            NetworkMode::Awsvpc => mapping.port_range(),
            NetworkMode::Bridge | NetworkMode::Host | NetworkMode::None => None,
        };
        let single = || mapping.host_port.and_then(port).filter(|port| *port > 0).map(|port| (port, port));
        let Some((first, last)) = fixed.or_else(single) else { continue };
        let protocol = mapping.protocol.unwrap_or(TransportProtocol::Tcp);
        if let Some(host_port) = seen.meet(protocol, first, last) {
            let protocol = match protocol {
                TransportProtocol::Tcp => "TCP",
                TransportProtocol::Udp => "UDP",
            };
            return Err(EcsError::client(format!(
                "{protocol} host port '{host_port}' is mapped multiple times in task."
            )));
        }
        seen.add(protocol, first, last);
    }
    Ok(())
}

/// No task takes more of the host's ports than it can bear.
pub(super) fn check_number(containers: &[ContainerDefinition], mode: NetworkMode) -> Result<(), EcsError> {
    match mode {
        NetworkMode::Bridge | NetworkMode::Host => {}
        NetworkMode::Awsvpc | NetworkMode::None => return Ok(()),
    }
    let of = |it: &PortMapping| it.port_range().map_or(1, |(first, last)| usize::from(last - first) + 1);
    let number: usize = containers.iter().flat_map(|it| &it.port_mappings).map(of).sum();
    if number > PORTS_MAX {
        return Err(EcsError::client(format!(
            "The task maps {number} ports of the host, those of ranges included; at most {PORTS_MAX} are supported. Use networkMode=awsvpc for more."
        )));
    }
    Ok(())
}

/// Members that a network mode rules out.
pub(super) fn check_network_members(definition: &ContainerDefinition, mode: NetworkMode) -> Result<(), EcsError> {
    let name = match mode {
        NetworkMode::Bridge => return check_extra_hosts(definition),
        NetworkMode::Host => "host",
        NetworkMode::Awsvpc => "awsvpc",
        NetworkMode::None => "none",
    };
    if !definition.links.is_empty() {
        return Err(EcsError::client(format!("Links are not supported when networkMode={name}.")));
    }
    if mode == NetworkMode::Awsvpc {
        if definition.hostname.is_some() {
            return Err(EcsError::client("hostname is not supported on container when networkMode=awsvpc."));
        }
        if !definition.extra_hosts.is_empty() {
            return Err(EcsError::client("Extra hosts are not supported when networkMode=awsvpc."));
        }
        if definition.disable_networking == Some(true) {
            return Err(EcsError::client("disableNetworking is not supported on container when networkMode=awsvpc."));
        }
    }
    check_extra_hosts(definition)
}

fn check_extra_hosts(definition: &ContainerDefinition) -> Result<(), EcsError> {
    let container = definition.name.as_deref().unwrap_or_default();
    let blank = |text: &Option<String>| text.as_deref().is_none_or(|text| text.trim().is_empty());
    if definition.extra_hosts.iter().any(|entry| blank(&entry.hostname) || blank(&entry.ip_address)) {
        return Err(invalid("extraHosts", container));
    }
    Ok(())
}
