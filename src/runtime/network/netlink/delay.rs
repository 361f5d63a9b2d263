//! Queueing of a link, as far as it makes packets late: one queue for most, and one that delays for some.
//!
//! ```text
//! root 1: prio, all packets to band 3     filters: spared → 1:3, then the concerned → 1:1
//!          └ 1:1  10: netem delay ± jitter
//! ```

use super::encode::{Attributes, Batch, CREATE, DUMP, EXCL, Message};
use super::{Channel, Refused, find};
use cove_model::network::Cidr;

const NEWQDISC: u16 = 36;
const DELQDISC: u16 = 37;
const GETQDISC: u16 = 38;
const NEWTFILTER: u16 = 44;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;

const ROOT: u32 = 0xffff_ffff;
const QUEUES: u32 = 1 << 16;
const LATE: u32 = QUEUES | 1;
const USUAL: u32 = QUEUES | 3;
const DELAYING: u32 = 0x10 << 16;
const NETEM: &str = "netem";

/// The kernel's default of packets that wait.
const WAITING_MAX: u32 = 1000;
const NETEM_LATENCY: u16 = 10;
const NETEM_JITTER: u16 = 11;

const U32_CLASS: u16 = 1;
const U32_SELECTOR: u16 = 5;
const IPV4: u16 = 0x0800;
/// Where the destination stands in an IPv4 header.
const DESTINATION: i32 = 16;

fn header(link: i32, handle: u32, parent: u32, info: u32) -> [u8; 20] {
    let mut header = [0; 20];
    header[4..8].copy_from_slice(&link.to_ne_bytes());
    header[8..12].copy_from_slice(&handle.to_ne_bytes());
    header[12..16].copy_from_slice(&parent.to_ne_bytes());
    header[16..20].copy_from_slice(&info.to_ne_bytes());
    header
}

/// Makes what goes over a link to some addresses late. All or nothing.
pub(in super::super) fn start(
    channel: &mut Channel,
    link: i32,
    (delay_nanos, jitter_nanos): (i64, i64),
    to: &[Cidr],
    spared: &[Cidr],
) -> Result<(), Refused> {
    let mut batch = Batch::new();
    batch.push("put queues on a link", prio(link));
    batch.push("delay packets of a queue", netem(link, delay_nanos, jitter_nanos));
    for range in spared {
        batch.push("spare packets of a delay", filter(link, 1, *range, USUAL));
    }
    for range in to {
        batch.push("choose packets for a delay", filter(link, 2, *range, LATE));
    }
    let started = channel.run(&batch);
    if started.is_err() {
        // What was made of it goes with its root. Nothing may be there.
        let _ = stop(channel, link);
    }
    started
}

pub(in super::super) fn stop(channel: &mut Channel, link: i32) -> Result<(), Refused> {
    let message = Message::new(DELQDISC, 0, &header(link, QUEUES, ROOT, 0), &Attributes::new());
    channel.one("take the queues off a link", message)
}

/// Whether packets of a link are made late.
pub(in super::super) fn runs(channel: &mut Channel, link: i32) -> Result<bool, Refused> {
    let mut found = false;
    let message = Message::new(GETQDISC, DUMP, &header(0, 0, 0, 0), &Attributes::new());
    channel.ask("list the queues", &message, |reply| {
        let Some((header, rest)) = reply.split(20) else { return };
        let here = header[4..8] == link.to_ne_bytes();
        let kind = find(rest, TCA_KIND).unwrap_or_default();
        found |= here && kind.split(|byte| *byte == 0).next() == Some(NETEM.as_bytes());
    })?;
    Ok(found)
}

fn prio(link: i32) -> Message {
    let mut options = 3_i32.to_ne_bytes().to_vec();
    options.extend([2; 16]);
    let attributes = Attributes::new().text(TCA_KIND, "prio").bytes(TCA_OPTIONS, &options);
    Message::new(NEWQDISC, CREATE | EXCL, &header(link, QUEUES, ROOT, 0), &attributes)
}

fn netem(link: i32, delay_nanos: i64, jitter_nanos: i64) -> Message {
    // Latency, limit, loss, gap, duplicate, jitter: the times stand in nanoseconds behind.
    let mut options: Vec<u8> =
        [0, WAITING_MAX, 0, 0, 0, 0].iter().flat_map(|field: &u32| field.to_ne_bytes()).collect();
    let times = Attributes::new()
        .bytes(NETEM_LATENCY, &delay_nanos.to_ne_bytes())
        .bytes(NETEM_JITTER, &jitter_nanos.to_ne_bytes());
    options.extend_from_slice(times.as_slice());
    let attributes = Attributes::new().text(TCA_KIND, NETEM).bytes(TCA_OPTIONS, &options);
    Message::new(NEWQDISC, CREATE | EXCL, &header(link, DELAYING, LATE, 0), &attributes)
}

fn filter(link: i32, priority: u32, range: Cidr, class: u32) -> Message {
    // Flags: the answer stands. One key follows.
    let mut selector = vec![1, 0, 1, 0];
    selector.extend([0; 12]);
    selector.extend(range.mask().to_be_bytes());
    selector.extend(range.address.octets());
    selector.extend(DESTINATION.to_ne_bytes());
    selector.extend([0; 4]);
    let options = Attributes::new().number(U32_CLASS, class).bytes(U32_SELECTOR, &selector);
    let attributes = Attributes::new().text(TCA_KIND, "u32").nest(TCA_OPTIONS, &options);
    let info = priority << 16 | u32::from(IPV4.to_be());
    Message::new(NEWTFILTER, CREATE | EXCL, &header(link, 0, QUEUES, info), &attributes)
}
