//! The node's table on the host, as rules.
//!
//! Packets to an address of the host itself and a published port go to the router that has the port. Nothing else
//! enters a transit link but answers, and from a transit link nothing reaches the host itself but answers.

use std::net::Ipv4Addr;

use cove_model::network::Cidr;

use super::lease::nowhere;
use super::names::{ANY_TRANSIT, Names};
use super::netlink::expression::{Is, Rule};
use super::netlink::nft::{ADDRESS, Hook, Maps, PORT, PROTOCOL, Transaction, both};

/// (protocol, port) → the router's transit address.
pub(super) const PORTS: &str = "ports";
/// The chain that is there only when Cove turned forwarding on.
pub(super) const FOREIGN: &str = "foreign";
const LOOPBACK: Cidr = Cidr { address: Ipv4Addr::new(127, 0, 0, 0), prefix: 8 };
const LOOPBACK_LINK: i32 = 1;
/// Bridges of container and machine managers (docker0, br-…, podman0, cni0, virbr0, lxcbr0, lxdbr0, incusbr0): who makes
/// them decides what is forwarded to and from them.
const MANAGED_BRIDGES: [&str; 8] = ["docker", "br-", "podman", "cni", "virbr", "lxcbr", "lxdbr", "incusbr"];

pub(super) fn build(table: &mut Transaction<'_>, names: &Names, range: Cidr, drop_foreign: bool) {
    let group = names.group();
    table.fresh_table();
    table.set(PORTS, both(PROTOCOL, PORT), Maps::To(ADDRESS));

    // 127/8 is routable over a transit link, so it must not come out of one. Transit addresses belong to us alone;
    // links of other nodes' servers are let be: they answer to their own tables.
    table.chain("raw", Some(Hook::RAW));
    table.rule("raw", &Rule::new().input_group(Is::In, group).source(Is::In, LOOPBACK).counter().drop());
    table.rule("raw", &Rule::new().input_group(Is::In, group).destination(Is::In, LOOPBACK).counter().drop());
    let stranger = Rule::new().input_prefix(Is::NotIn, ANY_TRANSIT).input_link(Is::NotIn, LOOPBACK_LINK);
    table.rule("raw", &stranger.destination(Is::In, range).counter().drop());

    for (chain, hook) in [("publish", Hook::PREROUTING), ("publish-own", Hook::OUTPUT)] {
        table.chain(chain, Some(hook));
        table.rule(chain, &Rule::new().destined_here().redirect_by_port(PORTS));
    }

    // From one router to another the source becomes an address that is nowhere, so that it never looks like the host.
    table.chain("translate", Some(Hook::POSTROUTING));
    table.rule("translate", &Rule::new().output_group(Is::In, group).source(Is::In, LOOPBACK).masquerade());
    let across = Rule::new().input_prefix(Is::In, ANY_TRANSIT).output_prefix(Is::In, ANY_TRANSIT);
    table.rule("translate", &across.source_nat(nowhere(range)));
    let outwards = Rule::new().input_group(Is::In, group).output_prefix(Is::NotIn, ANY_TRANSIT).source(Is::In, range);
    table.rule("translate", &outwards.masquerade());

    table.chain("forwarding", Some(Hook::FORWARD));
    table.rule("forwarding", &Rule::new().output_group(Is::NotIn, group).accept());
    table.rule("forwarding", &Rule::new().known_flow().accept());
    table.rule("forwarding", &Rule::new().published().accept());
    table.rule("forwarding", &Rule::new().counter().drop());

    table.chain("incoming", Some(Hook::INPUT));
    table.rule("incoming", &Rule::new().input_group(Is::NotIn, group).accept());
    table.rule("incoming", &Rule::new().known_flow().accept());
    table.rule("incoming", &Rule::new().counter().drop());

    if drop_foreign {
        // Forwarding was off: the host must not become a router for its neighbours because of us.
        table.chain(FOREIGN, Some(Hook::FORWARD));
        // With br_netfilter what two ports of one bridge say to each other comes by here too.
        table.rule(FOREIGN, &Rule::new().input_kind("bridge").output_kind("bridge").accept());
        for prefix in MANAGED_BRIDGES {
            table.rule(FOREIGN, &Rule::new().input_prefix(Is::In, prefix).accept());
            table.rule(FOREIGN, &Rule::new().output_prefix(Is::In, prefix).accept());
        }
        let between = Rule::new().input_prefix(Is::NotIn, ANY_TRANSIT).output_prefix(Is::NotIn, ANY_TRANSIT);
        table.rule(FOREIGN, &between.new_flow().counter().drop());
    }
}
