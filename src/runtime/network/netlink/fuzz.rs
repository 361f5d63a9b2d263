//! Answers that no kernel gives.

use cove_fuzz::{Fuzz, Rng};

use super::decode::{attributes, messages};
use super::{conntrack, route, socket};

/// Nested attributes are walked this deep.
const DEPTH: usize = 4;

fn walk(bytes: &[u8], depth: usize) -> usize {
    attributes(bytes).map(|(_, payload)| 1 + if depth > 0 { walk(payload, depth - 1) } else { 0 }).sum()
}

/// Makes the first lengths good, so that more is read than the header.
fn lengths(rng: &mut Rng, bytes: &mut Vec<u8>) {
    if bytes.len() < 20 {
        bytes.resize(64, 0);
    }
    let length = u32::try_from(bytes.len()).unwrap_or(0);
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
    let kind = *rng.pick(&[2_u16, 3, 16, 20, 24, 0x100, 0x0a00]);
    bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
    let header = *rng.pick(&[4, 8, 12, 16]);
    if let Some(place) = bytes.get_mut(16 + header..20 + header) {
        place[..2].copy_from_slice(&(4 + rng.below(40) as u16).to_ne_bytes());
        place[2..].copy_from_slice(&(rng.below(60) as u16).to_ne_bytes());
    }
}

#[test]
fn fuzz_netlink() {
    Fuzz::new("netlink").shape(&lengths).run(|input| {
        let mut seen = String::new();
        for reply in messages(input) {
            let link = route::read_link(&reply).is_some();
            let way = route::read_route(&reply).is_some();
            let flow = reply.split(4).and_then(|(_, rest)| conntrack::read(rest)).is_some();
            let words = socket::verdict(&reply).and_then(|(text, _)| text).is_some();
            let count: usize = [0, 4, 8, 12, 16]
                .into_iter()
                .filter_map(|header| reply.split(header))
                .map(|(_, rest)| walk(rest, DEPTH))
                .sum();
            assert!(count <= reply.body.len() * (DEPTH + 1) * 5, "more attributes than bytes");
            seen.push_str(&format!("{link}{way}{flow}{words}{} ", count.min(9)));
        }
        seen.chars().take(80).collect()
    });
}
