//! Host ports. They belong to the host, so that tasks of all tenants and instances compete for them.

use std::collections::HashSet;

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
    let own = |port: &PortRequest| NetworkBinding {
        container_port: port.container_port,
        host_port: port.container_port,
        protocol: port.protocol,
    };
    match request.network_mode {
        NetworkMode::None => Ok(request.ports.iter().map(|_| Vec::new()).collect()),
        NetworkMode::Awsvpc => Ok(request.ports.iter().map(|ports| ports.iter().map(own).collect()).collect()),
        NetworkMode::Host | NetworkMode::Bridge => {
            let mut taken = static_ports(request, ledger)?;
            let bind = |port: &PortRequest| {
                let host_port = match wanted(request.network_mode, port) {
                    Some(fixed) => fixed,
                    None => dynamic(port.protocol, host, ledger, &mut taken, seed)?,
                };
                Ok(NetworkBinding { container_port: port.container_port, host_port, protocol: port.protocol })
            };
            let mut bind = bind;
            request.ports.iter().map(|ports| ports.iter().map(&mut bind).collect()).collect()
        }
    }
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
pub(super) fn static_ports(
    request: &Request,
    ledger: &Ledger<'_>,
) -> Result<HashSet<(TransportProtocol, u16)>, String> {
    let mut taken = HashSet::new();
    match request.network_mode {
        NetworkMode::Awsvpc | NetworkMode::None => return Ok(taken),
        NetworkMode::Host | NetworkMode::Bridge => {}
    }
    for port in request.ports.iter().flatten() {
        let Some(fixed) = wanted(request.network_mode, port) else { continue };
        if !ledger.is_port_free(port.protocol, fixed) || !taken.insert((port.protocol, fixed)) {
            return Err(format!("host port {fixed}/{} is in use or reserved", name(port.protocol)));
        }
    }
    Ok(taken)
}

fn dynamic(
    protocol: TransportProtocol,
    host: &HostFacts,
    ledger: &Ledger<'_>,
    taken: &mut HashSet<(TransportProtocol, u16)>,
    seed: &mut Seed,
) -> Result<u16, String> {
    let (first, last) = (*host.ephemeral_ports.start(), *host.ephemeral_ports.end());
    let size = u32::from(last.saturating_sub(first)) + 1;
    let start = seed.below(size);
    (0..size)
        .filter_map(|step| u16::try_from(u32::from(first) + (start + step) % size).ok())
        .find(|port| ledger.is_port_free(protocol, *port) && taken.insert((protocol, *port)))
        .ok_or_else(|| format!("no {} port between {first} and {last} is free", name(protocol)))
}

const fn name(protocol: TransportProtocol) -> &'static str {
    match protocol {
        TransportProtocol::Tcp => "tcp",
        TransportProtocol::Udp => "udp",
    }
}
