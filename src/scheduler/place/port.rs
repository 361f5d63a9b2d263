//! Host ports. They belong to the host, so that tasks of all tenants and instances compete for them.

use std::collections::HashSet;

use cove_model::container_instance::ContainerInstance;
use cove_model::task::NetworkBinding;
use cove_model::task_definition::{NetworkMode, TransportProtocol};

use super::ledger::Ledger;
use super::seed::Seed;
use super::{PortRequest, Request};
use crate::host::HostFacts;

/// A binding for each port of each container; `Err` says which port cannot be had.
pub(super) fn choose(
    request: &Request,
    host: &HostFacts,
    ledger: &Ledger<'_>,
    seed: &mut Seed,
) -> Result<Vec<Vec<NetworkBinding>>, String> {
    match request.network_mode {
        NetworkMode::None => Ok(request.ports.iter().map(|_| Vec::new()).collect()),
        NetworkMode::Awsvpc => Ok(request.ports.iter().map(|ports| ports.iter().map(own).collect()).collect()),
        NetworkMode::Host | NetworkMode::Bridge => {
            let mut taken = static_ports(request, ledger, None)?;
            let bind = |port: &PortRequest| {
                let host_port = match wanted(request.network_mode, port) {
                    Some(fixed) => fixed,
                    None => dynamic(port, host, ledger, &mut taken, seed)?,
                };
                Ok(NetworkBinding { host_port, ..own(port) })
            };
            let mut bind = bind;
            request.ports.iter().map(|ports| ports.iter().map(&mut bind).collect()).collect()
        }
    }
}

/// The bindings that the request itself fixes; the others are chosen on the other host, whose agent reports them.
pub(super) fn fixed(
    request: &Request,
    ledger: &Ledger<'_>,
    instance: &ContainerInstance,
) -> Result<Vec<Vec<NetworkBinding>>, String> {
    static_ports(request, ledger, Some(instance))?;
    let bind = |port: &PortRequest| {
        wanted(request.network_mode, port).map(|host_port| NetworkBinding { host_port, ..own(port) })
    };
    Ok(request.ports.iter().map(|ports| ports.iter().filter_map(bind).collect()).collect())
}

/// The same port on both sides.
const fn own(port: &PortRequest) -> NetworkBinding {
    let PortRequest { container_port, protocol, more, .. } = *port;
    NetworkBinding { container_port, host_port: container_port, protocol, more }
}

/// The host port that the request itself fixes.
fn wanted(mode: NetworkMode, port: &PortRequest) -> Option<u16> {
    match mode {
        NetworkMode::Host | NetworkMode::Awsvpc => Some(port.container_port),
        NetworkMode::Bridge => port.host_port.filter(|port| *port != 0),
        NetworkMode::None => None,
    }
}

/// Every fixed port of the request, if all are free; looked at first, so that no dynamic port takes one of them.
/// `instance`: another host, with ports of its own.
pub(super) fn static_ports(
    request: &Request,
    ledger: &Ledger<'_>,
    instance: Option<&ContainerInstance>,
) -> Result<HashSet<(TransportProtocol, u16)>, String> {
    let mut taken = HashSet::new();
    match request.network_mode {
        NetworkMode::Awsvpc | NetworkMode::None => return Ok(taken),
        NetworkMode::Host | NetworkMode::Bridge => {}
    }
    for port in request.ports.iter().flatten() {
        let Some(fixed) = wanted(request.network_mode, port) else { continue };
        let is_free = match instance {
            None => ledger.is_port_free(port.protocol, fixed),
            Some(instance) => !ledger.account(instance).ports.contains(&(port.protocol, fixed)),
        };
        if !is_free || !taken.insert((port.protocol, fixed)) {
            return Err(format!("host port {fixed}/{} is in use or reserved", name(port.protocol)));
        }
    }
    Ok(taken)
}

/// The first run of free ports after a random one; what is before it is looked at last.
fn dynamic(
    wanted: &PortRequest,
    host: &HostFacts,
    ledger: &Ledger<'_>,
    taken: &mut HashSet<(TransportProtocol, u16)>,
    seed: &mut Seed,
) -> Result<u16, String> {
    let (protocol, more) = (wanted.protocol, wanted.more.unwrap_or(0));
    let (first, last) = (*host.ephemeral_ports.start(), *host.ephemeral_ports.end());
    let from = first.saturating_add(u16::try_from(seed.below(u32::from(last.saturating_sub(first)) + 1)).unwrap_or(0));
    let (mut run, mut previous) = (0u32, None);
    for port in (from..=last).chain(first..=from.saturating_add(more).min(last)) {
        let follows = previous.is_some_and(|before: u16| before.checked_add(1) == Some(port));
        previous = Some(port);
        let is_free = ledger.is_port_free(protocol, port) && !taken.contains(&(protocol, port));
        run = match (is_free, follows) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => run + 1,
        };
        if run > u32::from(more) {
            taken.extend((port - more..=port).map(|one| (protocol, one)));
            return Ok(port - more);
        }
    }
    let what = if more == 0 { "port".to_owned() } else { format!("run of {} ports", u32::from(more) + 1) };
    Err(format!("no {} {what} between {first} and {last} is free", name(protocol)))
}

const fn name(protocol: TransportProtocol) -> &'static str {
    match protocol {
        TransportProtocol::Tcp => "tcp",
        TransportProtocol::Udp => "udp",
    }
}
