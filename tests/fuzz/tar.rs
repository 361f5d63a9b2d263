//! Tar archives: made header by header, and changed so that their checksums stay good.

use crate::rng::Rng;

const BLOCK: usize = 512;
/// Types that readers know, and one that they do not.
const KINDS: &[u8] = b"\x0001234567LKxgSA";
const NAME: std::ops::Range<usize> = 0..100;
const MODE: std::ops::Range<usize> = 100..108;
const UID: std::ops::Range<usize> = 108..116;
const SIZE: std::ops::Range<usize> = 124..136;
const TIME: std::ops::Range<usize> = 136..148;
const SUM: std::ops::Range<usize> = 148..156;
const KIND: usize = 156;
const LINK: std::ops::Range<usize> = 157..257;
const DEVICE: std::ops::Range<usize> = 329..345;
const SPARSE: std::ops::Range<usize> = 386..495;

/// One entry: header, content, filling.
#[must_use]
pub fn entry(kind: u8, name: &str, link: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; BLOCK];
    put(&mut bytes[NAME], name.as_bytes());
    put(&mut bytes[LINK], link.as_bytes());
    put(&mut bytes[MODE], b"0000755");
    put(&mut bytes[UID], b"0000000");
    put(&mut bytes[116..124], b"0000000");
    put(&mut bytes[SIZE], format!("{:011o}", content.len()).as_bytes());
    put(&mut bytes[TIME], b"00000000001");
    bytes[KIND] = kind;
    put(&mut bytes[257..265], b"ustar\x0000");
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    seal(&mut bytes);
    bytes
}

/// A PAX record.
#[must_use]
pub fn record(key: &str, value: &str) -> Vec<u8> {
    let body = key.len() + value.len() + 3;
    let length = (body..).find(|length| length.to_string().len() + body == *length).unwrap_or(body);
    format!("{length} {key}={value}\n").into_bytes()
}

/// Changes one header, or moves, copies or drops an entry. `names` are put in as names and link targets.
pub fn change(rng: &mut Rng, bytes: &mut Vec<u8>, names: &[&str]) {
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    let entries = entries(bytes);
    if entries.is_empty() {
        return;
    }
    let (at, end) = *rng.pick(&entries);
    let header = &mut bytes[at..at + BLOCK];
    match rng.below(13) {
        0 | 1 => put(&mut header[NAME], rng.pick(names).as_bytes()),
        2 | 3 => put(&mut header[LINK], rng.pick(names).as_bytes()),
        4 => header[KIND] = *rng.pick(KINDS),
        5 => number(rng, header, SIZE),
        6 => {
            let field = rng.pick(&[MODE, UID, TIME, DEVICE.start..337, 337..DEVICE.end]).clone();
            number(rng, header, field);
        }
        7 => {
            let at = SPARSE.start + rng.below(9) * 12;
            number(rng, header, at..(at + 12).min(SPARSE.end));
        }
        8 => {
            let piece = bytes[at..end].to_vec();
            let to = rng.pick(&entries).0;
            bytes.splice(to..to, piece);
        }
        9 => {
            bytes.drain(at..end);
        }
        10 | 11 => {
            let pax = entry(b'x', "pax", "", &sparse_record(rng, names));
            bytes.splice(at..at, pax);
        }
        _ => {
            let name = *rng.pick(names);
            let key = *rng.pick(&["path", "linkpath", "size", "uid", "mtime", "SCHILY.xattr.user.a", "GNU.sparse.map"]);
            let pax = entry(b'x', "pax", "", &record(key, name));
            bytes.splice(at..at, pax);
        }
    }
    seal(bytes);
}

/// Something about holes.
fn sparse_record(rng: &mut Rng, names: &[&str]) -> Vec<u8> {
    let keys = ["major", "minor", "size", "realsize", "numblocks", "offset", "numbytes", "map", "name"];
    let key = *rng.pick(&keys);
    let mut number = || (rng.number() >> rng.below(64)).to_string();
    let value = match key {
        "major" | "minor" => rng.below(3).to_string(),
        "map" => [number(), number(), number(), number()].join(","),
        "name" => (*rng.pick(names)).to_owned(),
        _ => number(),
    };
    record(&format!("GNU.sparse.{key}"), &value)
}

fn put(field: &mut [u8], value: &[u8]) {
    let length = value.len().min(field.len());
    field.fill(0);
    field[..length].copy_from_slice(&value[..length]);
}

fn number(rng: &mut Rng, header: &mut [u8], field: std::ops::Range<usize>) {
    let (digits, value) = (field.len() - 1, rng.number() >> rng.below(64));
    if rng.below(4) == 0 {
        let mut wide = vec![0; field.len() - 8];
        wide.extend_from_slice(&value.to_be_bytes());
        header[field.clone()].copy_from_slice(&wide);
        header[field.start] |= 0x80;
    } else {
        let text = format!("{value:0digits$o}");
        put(&mut header[field], &text.as_bytes()[text.len() - digits..]);
    }
}

/// Where entries begin and end, as far as their sizes can be believed.
fn entries(bytes: &[u8]) -> Vec<(usize, usize)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at + BLOCK <= bytes.len() {
        let header = &bytes[at..at + BLOCK];
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        let text: String = header[SIZE].iter().take_while(|byte| byte.is_ascii_digit()).map(|b| *b as char).collect();
        let size = usize::from_str_radix(&text, 8).unwrap_or(0);
        let has_content = matches!(header[KIND], 0 | b'0' | b'7' | b'x' | b'g' | b'L' | b'K' | b'S');
        let content = if has_content { size } else { 0 };
        let end = at.saturating_add(BLOCK).saturating_add(content).min(bytes.len()).next_multiple_of(BLOCK);
        found.push((at, end));
        at = end;
    }
    found
}

fn seal(bytes: &mut [u8]) {
    for (at, _) in entries(bytes) {
        let header = &mut bytes[at..at + BLOCK];
        header[SUM].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        put(&mut header[SUM], format!("{sum:06o}\0 ").as_bytes());
    }
}
