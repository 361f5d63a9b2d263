//! The host's side: the node's table, transit links, direct routes to tasks, forwarding, foreign firewalls.
//!
//! Holds: nothing without the node's group, table name or comment is changed, but for `ip_forward`, which is put back.

use std::net::Ipv4Addr;

use cove_base::crash::{self, Point};
use cove_base::paths::NodeName;
use cove_model::network::Cidr;

use super::host_table;
use super::lease::{HostLock, Lease};
use super::names::{ANY_TABLE, Names};
use super::namespace::Namespace;
use super::netlink::expression::{Is, Rule};
use super::netlink::nft::{self, Transaction, Value};
use super::netlink::route::{self, End, OnLink};
use super::netlink::{Batch, Channel, Protocol};
use super::outcome::{delete_elements, forget, missing_nft, missing_veth, tolerate};
use super::state::{HostRecord, Records};
use super::system::set_sysctl;
use super::{NetworkError, PortMap};

/// Ethernet's; a host with less on its way out gets less.
const USUAL_MTU: u32 = 1500;
/// Below this IPv4 itself is in trouble.
const LEAST_MTU: u32 = 576;
/// Any address that only a default route leads to.
const FAR_AWAY: Ipv4Addr = Ipv4Addr::new(1, 1, 1, 1);
/// Routes shorter than this are defaults in disguise.
const SHORTEST_REAL_PREFIX: u8 = 8;
const FORWARDING: &str = "net/ipv4/ip_forward";
const UDP: u8 = 17;

#[derive(Debug)]
pub(super) struct Host {
    pub(super) names: Names,
    pub(super) range: Cidr,
    pub(super) namespace: Namespace,
    pub(super) route: Channel,
    pub(super) nft: Channel,
    /// Table and forwarding are in place.
    pub(super) prepared: bool,
}

impl Host {
    pub(super) fn new(node: &NodeName, range: Cidr) -> Result<Self, NetworkError> {
        let namespace = Namespace::current()
            .map_err(|source| NetworkError::System { attempt: "open the host's network namespace", source })?;
        Ok(Self {
            names: Names::of(node),
            range,
            route: Channel::new(&namespace, Protocol::Route),
            nft: Channel::new(&namespace, Protocol::Netfilter),
            namespace,
            prepared: false,
        })
    }

    /// Turns forwarding on if it is off, and makes the table anew from the published ports.
    pub(super) fn prepare(&mut self, records: &Records, ports: &[(PortMap, Ipv4Addr)]) -> Result<(), NetworkError> {
        let _lock = HostLock::take()?;
        let drop_foreign = self.turn_on_forwarding(records)?;
        crash::at(Point::HostForwards);
        let table = self.names.table();
        let mut transaction = Transaction::on(&table);
        host_table::build(&mut transaction, &self.names, self.range, drop_foreign);
        for (port, router) in ports {
            transaction.add(host_table::PORTS, &port_key(*port), &Value::Bytes(&router.octets()));
        }
        transaction.commit(&mut self.nft).map_err(missing_nft)?;
        crash::at(Point::HostTable);
        self.prepared = true;
        self.open_foreign_firewall()
    }

    /// Whether we, or another server before us, turned forwarding on for a host that did not want it.
    fn turn_on_forwarding(&mut self, records: &Records) -> Result<bool, NetworkError> {
        let failed = |source| NetworkError::System { attempt: "turn on IPv4 forwarding", source };
        let on = self.namespace.run(|| std::fs::read_to_string(format!("/proc/sys/{FORWARDING}"))).map_err(failed)?;
        let was_off = if on.trim() == "0" {
            true
        } else {
            records.host().forwarding_was_off || self.another_node_turned_it_on()?
        };
        if was_off {
            records.write_host(HostRecord { forwarding_was_off: true })?;
            self.namespace.run(|| set_sysctl(FORWARDING, "1")).map_err(failed)?;
        }
        Ok(was_off)
    }

    fn another_node_turned_it_on(&mut self) -> Result<bool, NetworkError> {
        for table in self.other_nodes()? {
            if nft::chain_drops(&mut self.nft, &table, host_table::FOREIGN)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn other_nodes(&mut self) -> Result<Vec<String>, NetworkError> {
        let (mut tables, _) = nft::tables(&mut self.nft).map_err(missing_nft)?;
        tables.retain(|name| name.starts_with(ANY_TABLE) && *name != self.names.table());
        Ok(tables)
    }

    /// Whether our table is there.
    pub(super) fn has_table(&mut self) -> Result<bool, NetworkError> {
        let (tables, _) = nft::tables(&mut self.nft).map_err(missing_nft)?;
        Ok(tables.contains(&self.names.table()))
    }

    /// Lets our links through a FORWARD chain that drops (Docker, ufw): an accept of ours alone does not help there.
    pub(super) fn open_foreign_firewall(&mut self) -> Result<(), NetworkError> {
        let comment = self.names.table();
        if nft::chain_drops(&mut self.nft, "filter", "FORWARD")? != Some(true)
            || nft::rules_with_comment(&mut self.nft, "filter", "FORWARD", &comment)?.len() == 2
        {
            return Ok(());
        }
        self.close_foreign_firewall()?;
        let prefix = self.names.link_prefix();
        let mut transaction = Transaction::on("filter");
        for rule in [Rule::new().input_prefix(Is::In, &prefix), Rule::new().output_prefix(Is::In, &prefix)] {
            transaction.rule_first("FORWARD", &rule.counter().accept().comment(&comment));
        }
        Ok(transaction.commit(&mut self.nft)?)
    }

    pub(super) fn close_foreign_firewall(&mut self) -> Result<(), NetworkError> {
        let comment = self.names.table();
        let mut transaction = Transaction::on("filter");
        for handle in nft::rules_with_comment(&mut self.nft, "filter", "FORWARD", &comment)? {
            transaction.delete_rule("FORWARD", handle);
        }
        Ok(transaction.commit(&mut self.nft)?)
    }

    /// What a packet on its way out may carry.
    pub(super) fn mtu(&mut self) -> Result<u32, NetworkError> {
        let Some(way_out) = route::lookup(&mut self.route, FAR_AWAY)? else { return Ok(USUAL_MTU) };
        let links = route::links(&mut self.route)?;
        let mtu = links.iter().find(|link| link.index == way_out.index).map_or(USUAL_MTU, |link| link.mtu);
        Ok(mtu.clamp(LEAST_MTU, USUAL_MTU))
    }

    /// The pair that joins a router to the host; the answer is the host end's index.
    pub(super) fn join(&mut self, lease: Lease, router: &Namespace, mtu: u32) -> Result<i32, NetworkError> {
        let name = self.names.link(lease.slot);
        let ours = End { name: &name, index: 0, mac: mac(lease.host), group: self.names.group() };
        let peer = End { name: TRANSIT, index: 0, mac: mac(lease.router), group: 0 };
        self.route
            .one(format!("create veth pair {name}"), route::veth(&ours, &peer, router.fd(), mtu))
            .map_err(missing_veth)?;
        let index =
            route::link(&mut self.route, &name)?.ok_or_else(|| NetworkError::NotUp { network: name.clone() })?.index;
        let mut batch = Batch::new();
        batch.push("let 127/8 over the transit", route::route_localnet(index));
        batch.push("neighbour of the transit", route::neighbour(index, lease.router, mac(lease.router)));
        batch.push("address of the transit", route::address(index, lease.host, 31, OnLink::Prefix));
        self.route.run(&batch)?;
        Ok(index)
    }

    /// The index of a transit link that is there.
    pub(super) fn link_of(&mut self, slot: u16) -> Result<Option<i32>, NetworkError> {
        let found = route::link(&mut self.route, &self.names.link(slot))?;
        Ok(found.filter(|link| link.group == self.names.group()).map(|link| link.index))
    }

    pub(super) fn part(&mut self, slot: u16) -> Result<(), NetworkError> {
        let name = self.names.link(slot);
        tolerate(self.route.one(format!("delete link {name}"), route::delete_link(&name)), &[libc::ENODEV])
    }

    /// Publishes ports: all, or none and the one that was taken.
    pub(super) fn add_ports(&mut self, ports: &[PortMap], router: Ipv4Addr) -> Result<(), NetworkError> {
        let table = self.names.table();
        let mut transaction = Transaction::on(&table);
        let mut by_message = Vec::new();
        for port in ports {
            let index = transaction.add(host_table::PORTS, &port_key(*port), &Value::Bytes(&router.octets()));
            by_message.push((index, *port));
        }
        transaction.commit(&mut self.nft).map_err(|refused| {
            let taken = by_message.iter().find(|(index, _)| *index == refused.index && refused.errno() == libc::EEXIST);
            match taken {
                Some((_, port)) => NetworkError::PortTaken { port: port.host_port, udp: port.udp },
                None => refused.into(),
            }
        })
    }

    pub(super) fn delete_ports(&mut self, ports: &[PortMap]) -> Result<(), NetworkError> {
        let table = self.names.table();
        let keys =
            ports.iter().map(|port| (host_table::PORTS.to_owned(), port_key(*port).to_vec())).collect::<Vec<_>>();
        delete_elements(&mut self.nft, &table, &keys)
    }

    /// Makes flows of released UDP ports forget their old target.
    pub(super) fn forget_udp(&mut self, ports: &[PortMap], router: Ipv4Addr) {
        let udp: Vec<u16> = ports.iter().filter(|port| port.udp).map(|port| port.host_port).collect();
        if udp.is_empty() {
            return;
        }
        forget(&mut self.nft, |flow| {
            flow.original.protocol == UDP
                && flow.reply.source == router
                && udp.contains(&flow.original.destination_port)
        });
    }

    /// A direct way to a task, unless the host has a better idea of where that address is.
    pub(super) fn add_route(&mut self, address: Ipv4Addr, lease: Lease, link: i32) -> Result<bool, NetworkError> {
        if let Some(known) = route::lookup(&mut self.route, address)?
            && known.prefix >= SHORTEST_REAL_PREFIX
        {
            tracing::debug!(%address, prefix = known.prefix, "the host routes this address already; no direct way to the task");
            return Ok(known.index == link && known.prefix == 32);
        }
        match self.route.one(format!("route {address} to its router"), route::first_route(address, link, lease.router))
        {
            Err(refused) if refused.errno() == libc::EEXIST => Ok(false),
            outcome => Ok(outcome.map(|()| true)?),
        }
    }

    pub(super) fn delete_route(&mut self, address: Ipv4Addr, link: i32) -> Result<(), NetworkError> {
        let message = route::delete_route(address, link);
        tolerate(self.route.one(format!("delete the route to {address}"), message), &[libc::ESRCH, libc::ENODEV])
    }

    /// Deletes links of ours that no router needs, and the table when there is no router.
    pub(super) fn sweep(&mut self, keep: &[String]) -> Result<(), NetworkError> {
        let group = self.names.group();
        for link in
            route::links(&mut self.route)?.iter().filter(|link| link.group == group && !keep.contains(&link.name))
        {
            tolerate(
                self.route.one(format!("delete link {}", link.name), route::delete_link(&link.name)),
                &[libc::ENODEV],
            )?;
        }
        Ok(())
    }

    /// Takes everything of the node from the host. Goes on after failures.
    pub(super) fn remove_all(&mut self, records: &Records) -> Vec<NetworkError> {
        let mut failures = Vec::new();
        let lock = HostLock::take().map_err(|error| failures.push(error));
        failures.extend(self.close_foreign_firewall().err());
        let links = self.route.one("delete our links", route::delete_group(self.names.group()));
        failures.extend(tolerate(links, &[libc::ENODEV]).err());
        let table = self.names.table();
        let mut transaction = Transaction::on(&table);
        transaction.delete_table();
        failures.extend(tolerate(transaction.commit(&mut self.nft), &[libc::ENOENT]).err());
        // Another node's server may still need it; it has noted for itself that forwarding was off.
        if records.host().forwarding_was_off && matches!(self.other_nodes().as_deref(), Ok([])) {
            let restored = self.namespace.run(|| set_sysctl(FORWARDING, "0"));
            failures.extend(
                restored.err().map(|source| NetworkError::System { attempt: "turn off IPv4 forwarding again", source }),
            );
        }
        self.prepared = false;
        drop(lock);
        failures
    }
}

/// The transit's name inside a router.
pub(super) const TRANSIT: &str = "transit";

/// Deterministic, so that neighbours are known before the link is.
pub(super) fn mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0xc1, a, b, c, d]
}

/// (protocol, port), each padded to four bytes.
pub(super) fn port_key(port: PortMap) -> [u8; 8] {
    let [high, low] = port.host_port.to_be_bytes();
    [if port.udp { UDP } else { 6 }, 0, 0, 0, high, low, 0, 0]
}
