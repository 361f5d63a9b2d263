//! Addresses: of the task's subnet in awsvpc mode, of the node's own network in bridge mode.

use std::net::Ipv4Addr;

use cove_model::network::{Cidr, Subnet};
use cove_model::taken::Taken;
use cove_model::task::{ElasticNetworkInterface, TaskNetwork};
use cove_model::task_definition::NetworkMode;

use super::ledger::Ledger;
use super::seed::Seed;
use super::{BadRequest, Request, Snapshot};

/// The network of bridge-mode tasks, as Docker's default has it; the first address is the gateway's.
pub const BRIDGE_NETWORK: Cidr = Cidr { address: Ipv4Addr::new(172, 17, 0, 0), prefix: 16 };

/// AWS keeps the first four addresses of a subnet (network, router, DNS, reserve) and the last.
const SUBNET_FIRST: u32 = 4;
const SUBNET_LAST: u32 = 1;
/// Network, gateway; and the last one.
const BRIDGE_FIRST: u32 = 2;
const BRIDGE_LAST: u32 = 1;

/// What the request lets the network be, checked once.
pub(super) struct Choice<'a> {
    subnets: Vec<&'a Subnet>,
    security_groups: Vec<String>,
}

impl<'a> Choice<'a> {
    pub(super) fn of(snapshot: &'a Snapshot<'_>, request: &Request) -> Result<Self, BadRequest> {
        match request.network_mode {
            NetworkMode::None | NetworkMode::Host | NetworkMode::Bridge => {
                return Ok(Self { subnets: Vec::new(), security_groups: Vec::new() });
            }
            NetworkMode::Awsvpc => {}
        }
        let find = |id: &String| {
            let found = snapshot.subnets.iter().find(|subnet| subnet.id == *id);
            found.map(|subnet| &**subnet).ok_or_else(|| BadRequest::UnknownSubnet(id.clone()))
        };
        let subnets = request.subnets.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        let vpc_id = &subnets.first().ok_or(BadRequest::NoSubnets)?.vpc_id;
        if subnets.iter().any(|subnet| subnet.vpc_id != *vpc_id) {
            return Err(BadRequest::SeveralVpcs);
        }
        for id in &request.security_groups {
            let found = snapshot.security_groups.iter().find(|group| group.id == *id);
            let group = found.ok_or_else(|| BadRequest::UnknownSecurityGroup(id.clone()))?;
            if group.vpc_id != *vpc_id {
                return Err(BadRequest::SeveralVpcs);
            }
        }
        let mut security_groups = request.security_groups.clone();
        if security_groups.is_empty() {
            let default =
                snapshot.security_groups.iter().filter(|group| group.vpc_id == *vpc_id && group.name == "default");
            security_groups.extend(default.map(|group| group.id.clone()));
        }
        Ok(Self { subnets, security_groups })
    }

    /// Whether a task of this request could have an interface in that zone: interfaces do not cross zones.
    pub(super) fn reaches(&self, zone: &str) -> bool {
        self.subnets.is_empty() || self.subnets.iter().any(|subnet| subnet.availability_zone == zone)
    }

    /// An address and all that belongs to it; `Err` says why there is none. `zone`: only subnets of that zone.
    pub(super) fn take(
        &self,
        request: &Request,
        zone: Option<&str>,
        ledger: &mut Ledger<'_>,
        seed: &mut Seed,
    ) -> Result<TaskNetwork, String> {
        match request.network_mode {
            NetworkMode::None => Ok(TaskNetwork::None),
            NetworkMode::Host => Ok(TaskNetwork::Host),
            NetworkMode::Bridge => {
                let free = |address| ledger.take_bridge(address);
                let address = first_free(BRIDGE_NETWORK, BRIDGE_FIRST, BRIDGE_LAST, seed, free)
                    .ok_or_else(|| format!("no address of {BRIDGE_NETWORK} is free"))?;
                Ok(TaskNetwork::Bridge { address })
            }
            NetworkMode::Awsvpc => {
                let in_zone = |subnet: &&Subnet| zone.is_none_or(|zone| subnet.availability_zone == zone);
                let subnets: Vec<&Subnet> = self.subnets.iter().copied().filter(in_zone).collect();
                // Beginning anywhere spreads tasks over the zones, as AWS does.
                let start = seed.below(u32::try_from(subnets.len()).unwrap_or(1)) as usize;
                let (before, behind) = subnets.split_at(start.min(subnets.len()));
                for subnet in behind.iter().chain(before) {
                    let free = |address| ledger.take_address(&subnet.vpc_id, address);
                    if let Some(address) = first_free(subnet.cidr, SUBNET_FIRST, SUBNET_LAST, seed, free) {
                        return Ok(TaskNetwork::Awsvpc(self.interface(request, subnet, address, seed)));
                    }
                }
                Err("no subnet of the request has a free address".to_owned())
            }
        }
    }

    fn interface(
        &self,
        request: &Request,
        subnet: &Subnet,
        address: Ipv4Addr,
        seed: &mut Seed,
    ) -> ElasticNetworkInterface {
        let [a, b, c, d] = address.octets();
        ElasticNetworkInterface {
            attachment_id: seed.uuid(),
            id: seed.eni_id(),
            vpc_id: subnet.vpc_id.clone(),
            subnet_id: subnet.id.clone(),
            security_groups: self.security_groups.clone(),
            address,
            mac: format!("02:c0:{a:02x}:{b:02x}:{c:02x}:{d:02x}"),
            assign_public_ip: request.assign_public_ip,
        }
    }
}

/// On another host the network is its own agent's to make.
pub(super) const fn elsewhere(request: &Request) -> TaskNetwork {
    match request.network_mode {
        NetworkMode::Bridge => TaskNetwork::Bridge { address: Ipv4Addr::UNSPECIFIED },
        NetworkMode::Host => TaskNetwork::Host,
        // awsvpc was refused before.
        NetworkMode::None | NetworkMode::Awsvpc => TaskNetwork::None,
    }
}

/// How many tasks of the request's group each zone has, and how many of them came by this request: without instances
/// they are spread over the zones, as AWS does. Those that are there may be on their way out, so between equals the new
/// ones count.
pub(super) struct Zones(Vec<(String, usize, usize)>);

impl Zones {
    pub(super) fn of(snapshot: &Snapshot<'_>, request: &Request, network: &Choice<'_>, seed: &mut Seed) -> Self {
        let mut names: Vec<&str> = network.subnets.iter().map(|subnet| subnet.availability_zone.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        // Between equals chance decides.
        let start = seed.below(u32::try_from(names.len()).unwrap_or(1)) as usize;
        let number = names.len();
        names.rotate_left(start.min(number));
        let there = |name: &str| {
            let number = |taken: &Taken| taken.of_group(&request.tenant, &request.cluster, &request.group, name);
            usize::try_from(snapshot.taken.number(number)).unwrap_or(0)
        };
        let zones = names.into_iter().map(|name| (name.to_owned(), there(name), 0)).collect();
        Self(zones)
    }

    /// An address in the zone that has fewest, else in the next.
    pub(super) fn take(
        &mut self,
        network: &Choice<'_>,
        request: &Request,
        ledger: &mut Ledger<'_>,
        seed: &mut Seed,
    ) -> Result<TaskNetwork, String> {
        self.0.sort_by_key(|(_, all, new)| (*all, *new));
        let mut taken = None;
        for (name, all, new) in &mut self.0 {
            let found = network.take(request, Some(name), ledger, seed);
            if found.is_ok() {
                *all += 1;
                *new += 1;
                return found;
            }
            taken = Some(found);
        }
        // Other modes have no zones.
        taken.unwrap_or_else(|| network.take(request, None, ledger, seed))
    }
}

/// The first address that `take` gets, beginning anywhere between the ones that are kept at both ends.
fn first_free(
    network: Cidr,
    kept_first: u32,
    kept_last: u32,
    seed: &mut Seed,
    mut take: impl FnMut(Ipv4Addr) -> bool,
) -> Option<Ipv4Addr> {
    let size = u32::try_from(network.size()).unwrap_or(u32::MAX).checked_sub(kept_first + kept_last)?;
    let start = seed.below(size);
    let offsets = (0..size).map(|step| kept_first + ((u64::from(start) + u64::from(step)) % u64::from(size)) as u32);
    offsets.map(|offset| network.nth(offset)).find(|address| take(*address))
}
