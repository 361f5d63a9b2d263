//! Links, addresses, routes and neighbours: the messages we send and what we read of the answers.

use std::net::Ipv4Addr;
use std::os::fd::RawFd;

use cove_model::network::Cidr;

use super::encode::{Attributes, CREATE, DUMP, EXCL, Message, REPLACE};
use super::{Channel, Refused, Reply, attributes, find};

const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const GETLINK: u16 = 18;
const SETLINK: u16 = 19;
const NEWADDR: u16 = 20;
const GETADDR: u16 = 22;
const NEWROUTE: u16 = 24;
const DELROUTE: u16 = 25;
const GETROUTE: u16 = 26;
const NEWNEIGH: u16 = 28;

const UP: u32 = 1;
const TABLE_MAIN: u8 = 254;
const PROTOCOL_STATIC: u8 = 4;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const SCOPE_NOWHERE: u8 = 255;
const UNICAST: u8 = 1;
const UNREACHABLE: u8 = 7;
const PERMANENT: u16 = 0x80;
/// Answer a route lookup with the entry that matched, not with the address asked for.
const FIB_MATCH: u32 = 0x2000;
/// An address that brings no route of its own.
const NO_PREFIX_ROUTE: u32 = 0x200;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINKINFO: u16 = 18;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_GROUP: u16 = 27;
const IFLA_NET_NS_FD: u16 = 28;
const ROUTE_LOCALNET: u16 = 26;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;

/// One end of a pair.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct End<'a> {
    pub(in super::super) name: &'a str,
    /// 0 lets the kernel choose.
    pub(in super::super) index: i32,
    pub(in super::super) mac: [u8; 6],
    pub(in super::super) group: u32,
}

fn link_header(index: i32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}

fn end(end: &End<'_>, mtu: u32) -> Attributes {
    // Both ends get their address at once: udev rewrites unset ones a moment later.
    let attributes = Attributes::new().text(IFLA_IFNAME, end.name).number(IFLA_MTU, mtu).bytes(IFLA_ADDRESS, &end.mac);
    if end.group == 0 { attributes } else { attributes.number(IFLA_GROUP, end.group) }
}

/// A veth pair, our end up, the peer born inside another namespace: it cannot be up before it knows its partner. Its
/// index counts only if ours is given.
pub(in super::super) fn veth(ours: &End<'_>, peer: &End<'_>, peer_namespace: RawFd, mtu: u32) -> Message {
    let namespace = u32::try_from(peer_namespace).unwrap_or(u32::MAX);
    let peer_attributes = end(peer, mtu).number(IFLA_NET_NS_FD, namespace);
    let mut peer_payload = link_header(peer.index, 0, 0).to_vec();
    peer_payload.extend_from_slice(peer_attributes.as_slice());
    let data = Attributes::new().bytes(1 | 0x8000, &peer_payload);
    let info = Attributes::new().text(1, "veth").nest(2, &data);
    let attributes = end(ours, mtu).nest(IFLA_LINKINFO, &info);
    Message::new(NEWLINK, CREATE | EXCL, &link_header(ours.index, UP, UP), &attributes)
}

pub(in super::super) fn link_up(index: i32) -> Message {
    Message::new(NEWLINK, 0, &link_header(index, UP, UP), &Attributes::new())
}

/// Lets 127/8 be routed over this link.
pub(in super::super) fn route_localnet(index: i32) -> Message {
    let conf = Attributes::new().number(ROUTE_LOCALNET, 1);
    let spec = Attributes::new().nest(libc::AF_INET as u16, &Attributes::new().nest(1, &conf));
    Message::new(SETLINK, 0, &link_header(index, 0, 0), &Attributes::new().nest(IFLA_AF_SPEC, &spec))
}

pub(in super::super) fn delete_link(name: &str) -> Message {
    Message::new(DELLINK, 0, &link_header(0, 0, 0), &Attributes::new().text(IFLA_IFNAME, name))
}

/// Deletes all links of a group.
pub(in super::super) fn delete_group(group: u32) -> Message {
    Message::new(DELLINK, 0, &link_header(0, 0, 0), &Attributes::new().number(IFLA_GROUP, group))
}

/// How an address relates to its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum OnLink {
    /// The prefix is reached over the link.
    Prefix,
    /// The address stands alone.
    No,
}

pub(in super::super) fn address(index: i32, address: Ipv4Addr, prefix: u8, on_link: OnLink) -> Message {
    let mut header = [libc::AF_INET as u8, prefix, 0, 0, 0, 0, 0, 0];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    let attributes = Attributes::new().bytes(2, &address.octets()).bytes(1, &address.octets());
    let attributes = match on_link {
        OnLink::Prefix => attributes,
        OnLink::No => attributes.number(8, NO_PREFIX_ROUTE),
    };
    Message::new(NEWADDR, CREATE | REPLACE, &header, &attributes)
}

fn route_header(prefix: u8, protocol: u8, scope: u8) -> [u8; 12] {
    [libc::AF_INET as u8, prefix, 0, 0, TABLE_MAIN, protocol, scope, UNICAST, 0, 0, 0, 0]
}

/// A route over a link, by a gateway or not; it replaces one with the same destination.
pub(in super::super) fn route(destination: Ipv4Addr, prefix: u8, index: i32, gateway: Option<Ipv4Addr>) -> Message {
    route_with(REPLACE, destination, prefix, index, gateway)
}

/// The same for an address that must not have a route yet.
pub(in super::super) fn first_route(destination: Ipv4Addr, index: i32, gateway: Ipv4Addr) -> Message {
    route_with(EXCL, destination, 32, index, Some(gateway))
}

fn route_with(flag: u16, destination: Ipv4Addr, prefix: u8, index: i32, gateway: Option<Ipv4Addr>) -> Message {
    let scope = if gateway.is_some() { SCOPE_UNIVERSE } else { SCOPE_LINK };
    let mut attributes = Attributes::new();
    if prefix > 0 {
        attributes = attributes.bytes(RTA_DST, &destination.octets());
    }
    attributes = attributes.number(RTA_OIF, index.cast_unsigned());
    if let Some(gateway) = gateway {
        attributes = attributes.bytes(RTA_GATEWAY, &gateway.octets());
    }
    Message::new(NEWROUTE, CREATE | flag, &route_header(prefix, PROTOCOL_STATIC, scope), &attributes)
}

/// Answers "unreachable" for what has no route of its own in a range.
pub(in super::super) fn unreachable(range: Cidr) -> Message {
    let mut header = route_header(range.prefix, PROTOCOL_STATIC, SCOPE_UNIVERSE);
    header[7] = UNREACHABLE;
    Message::new(NEWROUTE, CREATE | REPLACE, &header, &Attributes::new().bytes(RTA_DST, &range.address.octets()))
}

/// Deletes the /32 route of an address over one link.
pub(in super::super) fn delete_route(destination: Ipv4Addr, index: i32) -> Message {
    let attributes = Attributes::new().bytes(RTA_DST, &destination.octets()).number(RTA_OIF, index.cast_unsigned());
    Message::new(DELROUTE, 0, &route_header(32, 0, SCOPE_NOWHERE), &attributes)
}

pub(in super::super) fn neighbour(index: i32, address: Ipv4Addr, mac: [u8; 6]) -> Message {
    let mut header = [0; 12];
    header[0] = libc::AF_INET as u8;
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..10].copy_from_slice(&PERMANENT.to_ne_bytes());
    let attributes = Attributes::new().bytes(1, &address.octets()).bytes(2, &mac);
    Message::new(NEWNEIGH, CREATE | REPLACE, &header, &attributes)
}

/// A link as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Link {
    pub(in super::super) index: i32,
    pub(in super::super) name: String,
    pub(in super::super) group: u32,
    pub(in super::super) mtu: u32,
}

pub(super) fn read_link(reply: &Reply<'_>) -> Option<Link> {
    let (header, rest) = reply.split(16)?;
    let mut link = Link { index: number(&header[4..8])?.cast_signed(), name: String::new(), group: 0, mtu: 0 };
    for (kind, payload) in attributes(rest) {
        match kind {
            IFLA_IFNAME => link.name = String::from_utf8_lossy(payload).trim_end_matches('\0').to_owned(),
            IFLA_GROUP => link.group = number(payload)?,
            IFLA_MTU => link.mtu = number(payload)?,
            _ => {}
        }
    }
    (reply.kind == NEWLINK).then_some(link)
}

/// The link of a name; `None` when there is none.
pub(in super::super) fn link(channel: &mut Channel, name: &str) -> Result<Option<Link>, Refused> {
    let message = Message::new(GETLINK, 0, &link_header(0, 0, 0), &Attributes::new().text(IFLA_IFNAME, name));
    let mut found = None;
    match channel.ask("look up a link", &message, |reply| found = read_link(&reply)) {
        Err(refused) if refused.errno() == libc::ENODEV => Ok(None),
        outcome => outcome.map(|()| found),
    }
}

/// All links of the namespace.
pub(in super::super) fn links(channel: &mut Channel) -> Result<Vec<Link>, Refused> {
    let mut found = Vec::new();
    let message = Message::new(GETLINK, DUMP, &link_header(0, 0, 0), &Attributes::new());
    channel.ask("list the links", &message, |reply| found.extend(read_link(&reply)))?;
    Ok(found)
}

/// A destination that somebody routes or owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Destination {
    pub(in super::super) address: Ipv4Addr,
    pub(in super::super) prefix: u8,
    pub(in super::super) index: i32,
}

pub(super) fn read_route(reply: &Reply<'_>) -> Option<Destination> {
    let (header, rest) = reply.split(12)?;
    (reply.kind == NEWROUTE && header[0] == libc::AF_INET as u8).then_some(())?;
    Some(Destination {
        address: find(rest, RTA_DST).map_or(Some(Ipv4Addr::UNSPECIFIED), ip)?,
        prefix: header[1].min(32),
        index: find(rest, RTA_OIF).map_or(Some(0), number)?.cast_signed(),
    })
}

/// All IPv4 routes and own addresses.
pub(in super::super) fn destinations(channel: &mut Channel) -> Result<Vec<Destination>, Refused> {
    let mut found = Vec::new();
    let message =
        Message::new(GETROUTE, DUMP, &[libc::AF_INET as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &Attributes::new());
    channel.ask("list the routes", &message, |reply| found.extend(read_route(&reply)))?;
    let message = Message::new(GETADDR, DUMP, &[libc::AF_INET as u8, 0, 0, 0, 0, 0, 0, 0], &Attributes::new());
    channel.ask("list the addresses", &message, |reply| {
        if let Some((header, rest)) = reply.split(8)
            && reply.kind == NEWADDR
            && header[0] == libc::AF_INET as u8
            && let Some(address) = find(rest, 2).and_then(ip)
            && let Some(index) = number(&header[4..8])
        {
            found.push(Destination { address, prefix: header[1].min(32), index: index.cast_signed() });
        }
    })?;
    Ok(found)
}

/// The routing entry that an address matches; `None` when nothing leads there.
pub(in super::super) fn lookup(channel: &mut Channel, address: Ipv4Addr) -> Result<Option<Destination>, Refused> {
    let mut header = route_header(32, 0, 0);
    (header[4], header[7]) = (0, 0);
    header[8..12].copy_from_slice(&FIB_MATCH.to_ne_bytes());
    let message = Message::new(GETROUTE, 0, &header, &Attributes::new().bytes(RTA_DST, &address.octets()));
    let mut found = None;
    match channel.ask("look up a route", &message, |reply| found = read_route(&reply)) {
        // A namespace without a default route, or one that says so on purpose.
        Err(refused)
            if matches!(refused.errno(), libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EACCES | libc::EINVAL) =>
        {
            Ok(None)
        }
        outcome => outcome.map(|()| found),
    }
}

fn number(payload: &[u8]) -> Option<u32> {
    payload.first_chunk::<4>().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn ip(payload: &[u8]) -> Option<Ipv4Addr> {
    payload.first_chunk::<4>().map(|bytes| Ipv4Addr::from(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_odd_answers_are_no_links_and_no_routes() {
        for length in 0..40 {
            let body = vec![0xff; length];
            let reply = Reply { kind: NEWROUTE, flags: 0, sequence: 0, body: &body };
            assert_eq!(read_route(&reply), None);
            let reply = Reply { kind: NEWLINK, ..reply };
            if length < 16 {
                assert_eq!(read_link(&reply), None);
            } else {
                assert_eq!(read_link(&reply).map(|link| link.name), Some(String::new()));
            }
        }
    }
}
