//! A router's table, as rules: who may send, who may be reached.
//!
//! A task reaches everything outside; it is reached by members of its groups, by the host, and on published ports.
//! The router itself is reached only by tasks, only for metadata and names.

use std::net::Ipv4Addr;

use cove_model::network::Cidr;

use super::host::port_key;
use super::lease::Lease;
use super::netlink::expression::{Is, Rule, Verdict};
use super::netlink::nft::{ADDRESS, Hook, LINK, Maps, PORT, PROTOCOL, Transaction, Value, both};
use super::state::TaskRecord;
use super::{Attachment, DNS_ADDRESS, METADATA_ADDRESS, NetworkId, names};

pub(super) const TABLE: &str = "cove";
const SOURCES: &str = "sources";
const PORTS: &str = "ports";
const TASKS: &str = "tasks";
const LINK_LOCAL: Cidr = Cidr { address: Ipv4Addr::new(169, 254, 0, 0), prefix: 16 };
const LOOPBACK_LINK: i32 = 1;
/// Where refused packets are copied to, for flow logs.
const LOG_GROUP: u16 = 5;
/// All tasks of a bridge network reach each other, as with Docker.
const EVERYBODY: &str = "bridge";

/// The rules without any task.
pub(super) fn build(table: &mut Transaction<'_>, cidr: Cidr, lease: Lease, transit: i32) {
    table.fresh_table();
    table.set(SOURCES, both(LINK, ADDRESS), Maps::Nothing);
    table.set(PORTS, both(PROTOCOL, PORT), Maps::To(both(ADDRESS, PORT)));
    table.set(TASKS, ADDRESS, Maps::ToVerdict);

    table.chain("raw", Some(Hook::RAW));
    table.rule("raw", &Rule::new().input_link(Is::In, transit).source(Is::In, cidr).counter().drop());
    table.rule("raw", &Rule::new().input_link(Is::In, transit).accept());
    table.rule("raw", &Rule::new().input_link(Is::In, LOOPBACK_LINK).accept());
    table.rule("raw", &Rule::new().link_and_source(Is::NotIn, SOURCES).counter().drop());

    table.chain("publish", Some(Hook::PREROUTING));
    let arrived = Rule::new().input_link(Is::In, transit).destination_is(lease.router);
    table.rule("publish", &arrived.redirect_by_port_to_port(PORTS));

    table.chain("translate", Some(Hook::POSTROUTING));
    table.rule("translate", &Rule::new().output_link(Is::In, transit).source(Is::In, cidr).masquerade());

    table.chain("forwarding", Some(Hook::FORWARD));
    table.rule("forwarding", &Rule::new().known_flow().accept());
    // Also keeps tasks from the metadata service of a cloud that the host may run in.
    table.rule("forwarding", &Rule::new().destination(Is::In, LINK_LOCAL).counter().drop());
    table.rule("forwarding", &Rule::new().output_link(Is::In, transit).accept());
    table.rule("forwarding", &Rule::new().input_link(Is::In, transit).source_is(lease.host).accept());
    table.rule("forwarding", &Rule::new().input_link(Is::In, transit).published().accept());
    table.rule("forwarding", &Rule::new().destination_verdict(TASKS));
    table.rule("forwarding", &Rule::new().log(LOG_GROUP).counter().drop());

    table.chain("incoming", Some(Hook::INPUT));
    table.rule("incoming", &Rule::new().known_flow().accept());
    table.rule("incoming", &Rule::new().input_link(Is::In, LOOPBACK_LINK).accept());
    table.rule("incoming", &Rule::new().input_link(Is::In, transit).counter().drop());
    for (address, protocol, port) in [(METADATA_ADDRESS, 6, 80), (DNS_ADDRESS, 17, 53), (DNS_ADDRESS, 6, 53)] {
        let service = Rule::new().destination_is(address).protocol(protocol).destination_port(port);
        table.rule("incoming", &service.accept());
    }
    table.rule("incoming", &Rule::new().counter().drop());
}

/// The groups that decide who reaches a task: sorted, each once.
pub(super) fn groups(attachment: &Attachment) -> Vec<String> {
    match attachment.network {
        NetworkId::Bridge => vec![EVERYBODY.to_owned()],
        NetworkId::Vpc(_) => {
            let mut groups = attachment.security_groups.clone();
            groups.sort_unstable();
            groups.dedup();
            groups
        }
    }
}

fn members(group: &str) -> String {
    format!("members-{group}")
}

/// Makes what a list of groups needs and the table lacks; `known` names the sets and chains that are there.
pub(super) fn add_groups(table: &mut Transaction<'_>, groups: &[String], known: &mut Vec<String>) {
    for set in groups.iter().map(|group| members(group)) {
        if !known.contains(&set) {
            table.set(&set, ADDRESS, Maps::Nothing);
            known.push(set);
        }
    }
    let chain = names::chain_of(groups);
    if !groups.is_empty() && !known.contains(&chain) {
        table.chain(&chain, None);
        for group in groups {
            table.rule(&chain, &Rule::new().source_in_set(&members(group)).accept());
        }
        known.push(chain);
    }
}

/// A task's elements: set, key and value bytes; a chain's name is the value of the verdict map.
pub(super) fn add_task(table: &mut Transaction<'_>, attachment: &Attachment, link: i32) {
    let address = attachment.address.octets();
    table.add(SOURCES, &source_key(link, attachment.address), &Value::None);
    let groups = groups(attachment);
    for group in &groups {
        table.add(&members(group), &address, &Value::None);
    }
    if !groups.is_empty() {
        table.add(TASKS, &address, &Value::Verdict(Verdict::Jump(&names::chain_of(&groups))));
    }
    for port in &attachment.ports {
        let [high, low] = port.container_port.to_be_bytes();
        let [a, b, c, d] = address;
        table.add(PORTS, &port_key(*port), &Value::Bytes(&[a, b, c, d, high, low, 0, 0]));
    }
}

/// The keys of a task's elements.
pub(super) fn keys(record: &TaskRecord) -> Vec<(String, Vec<u8>)> {
    let (Some(attachment), Some(link)) = (&record.attachment, record.link) else { return Vec::new() };
    let address = attachment.address.octets().to_vec();
    let groups = groups(attachment);
    let mut keys = vec![(SOURCES.to_owned(), source_key(link, attachment.address).to_vec())];
    keys.extend(groups.iter().map(|group| (members(group), address.clone())));
    if !groups.is_empty() {
        keys.push((TASKS.to_owned(), address));
    }
    keys.extend(attachment.ports.iter().map(|port| (PORTS.to_owned(), port_key(*port).to_vec())));
    keys
}

fn source_key(link: i32, address: Ipv4Addr) -> [u8; 8] {
    let mut key = [0; 8];
    key[..4].copy_from_slice(&link.to_ne_bytes());
    key[4..].copy_from_slice(&address.octets());
    key
}
