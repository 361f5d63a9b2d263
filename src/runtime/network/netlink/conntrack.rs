//! Flows that the kernel remembers, and forgetting some of them.
//!
//! Why a dump: deleting needs the full tuple, and filters in the request are newer than the kernels we support.

use std::net::Ipv4Addr;

use super::encode::{Attributes, Batch, DUMP, Message};
use super::{Channel, Refused, find};

const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
const STATISTICS: u16 = 1 << 8 | 5;
const HEADER: [u8; 4] = [libc::AF_INET as u8, 0, 0, 0];
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;

/// One direction of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Tuple {
    pub(in super::super) protocol: u8,
    pub(in super::super) source: Ipv4Addr,
    pub(in super::super) destination: Ipv4Addr,
    pub(in super::super) destination_port: u16,
}

/// A flow as its beginner sees it and as the answers come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Flow {
    pub(in super::super) original: Tuple,
    pub(in super::super) reply: Tuple,
}

/// Forgets the flows that match; how many.
pub(in super::super) fn forget(channel: &mut Channel, matches: impl Fn(&Flow) -> bool) -> Result<usize, Refused> {
    if count(channel)? == Some(0) {
        return Ok(0);
    }
    let mut doomed = Batch::new();
    let dump = Message::new(GET, DUMP, &HEADER, &Attributes::new());
    channel.ask("list the connections", &dump, |reply| {
        let Some((_, rest)) = reply.split(4) else { return };
        let Some(flow) = read(rest) else { return };
        if !matches(&flow) {
            return;
        }
        let mut attributes = Attributes::new();
        for kind in [TUPLE_ORIGINAL, ZONE, ID] {
            if let Some(payload) = find(rest, kind) {
                let nested = if kind == TUPLE_ORIGINAL { 0x8000 } else { 0 };
                attributes = attributes.bytes(kind | nested, payload);
            }
        }
        doomed.push("forget a connection", Message::new(DELETE, 0, &HEADER, &attributes));
    })?;
    let count = doomed.len();
    match channel.run(&doomed) {
        // It ended by itself meanwhile; the others were deleted all the same.
        Err(refused) if refused.errno() == libc::ENOENT => Ok(count),
        outcome => outcome.map(|()| count),
    }
}

/// How many flows the namespace has; `None` when the kernel does not say. A dump walks the table of the whole machine,
/// so it is worth asking first.
fn count(channel: &mut Channel) -> Result<Option<u32>, Refused> {
    let mut entries = None;
    let message = Message::new(STATISTICS, 0, &HEADER, &Attributes::new());
    channel.ask("count the connections", &message, |reply| {
        let counted = reply.split(4).and_then(|(_, rest)| find(rest, 1));
        entries = counted.and_then(|bytes| bytes.first_chunk::<4>()).map(|bytes| u32::from_be_bytes(*bytes));
    })?;
    Ok(entries)
}

pub(super) fn read(attributes: &[u8]) -> Option<Flow> {
    Some(Flow { original: tuple(find(attributes, TUPLE_ORIGINAL)?)?, reply: tuple(find(attributes, TUPLE_REPLY)?)? })
}

fn tuple(payload: &[u8]) -> Option<Tuple> {
    let (addresses, protocol) = (find(payload, 1)?, find(payload, 2)?);
    let address = |kind| find(addresses, kind)?.first_chunk::<4>().map(|bytes| Ipv4Addr::from(*bytes));
    Some(Tuple {
        protocol: *find(protocol, 1)?.first()?,
        source: address(1)?,
        destination: address(2)?,
        // ICMP has none.
        destination_port: find(protocol, 3)
            .and_then(|bytes| bytes.first_chunk::<2>())
            .map_or(0, |bytes| u16::from_be_bytes(*bytes)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn odd_flows_are_passed_over(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
            let _ = super::read(&bytes);
        }
    }
}
