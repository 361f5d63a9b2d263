//! Go: the modules that the linker writes into every program, from Go 1.18 on beside a magic.

use std::io::Read;

use super::{Fault, Raw};

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Magic, width of pointers, flags, and room for the pointers of older versions; then two texts with their lengths.
const HEADER_BYTES: usize = 32;
const INLINE: u8 = 2;
/// A program with thousands of modules has less than 1 MiB.
const LIST_MAX_BYTES: usize = 8 << 20;
/// Magics without a list: tools that read such lists have one or two.
const FALSE_MAX: usize = 64;
const CHUNK_BYTES: u64 = 256 << 10;
/// Stands before and after the list of modules.
const FRAME_BYTES: usize = 16;

/// Looks for the list in a program. Nothing when it is not Go's.
pub(super) fn find(content: &mut dyn Read) -> Result<Option<Vec<Raw>>, Fault> {
    let mut window: Vec<u8> = Vec::new();
    let mut wrong = 0;
    loop {
        let got = content.take(CHUNK_BYTES).read_to_end(&mut window).map_err(Fault::Read)?;
        while let Some(at) = position(&window, MAGIC) {
            window.drain(..at);
            let more = LIST_MAX_BYTES.saturating_sub(window.len()) as u64;
            content.take(more).read_to_end(&mut window).map_err(Fault::Read)?;
            match list(&window) {
                Some(Ok(found)) => return Ok(Some(found)),
                Some(Err(text)) => return Err(Fault::Broken(text)),
                // Tools that read such lists hold the magic as a text.
                None => drop(window.drain(..MAGIC.len())),
            }
            wrong += 1;
            if wrong > FALSE_MAX {
                return Err(Fault::Broken("it looks like Go's, and has no list of modules"));
            }
        }
        if got == 0 {
            return Ok(None);
        }
        window.drain(..window.len().saturating_sub(MAGIC.len() - 1));
    }
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == wanted[0]) {
        if bytes[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// What stands behind a magic; nothing when it is no list.
fn list(bytes: &[u8]) -> Option<Result<Vec<Raw>, &'static str>> {
    let (width, flags) = (*bytes.get(14)?, *bytes.get(15)?);
    if flags & INLINE == 0 {
        let old = matches!(width, 4 | 8) && flags <= 1;
        return old.then_some(Err("built by a Go before 1.18, whose list of modules is not read"));
    }
    let (version, rest) = sized(bytes.get(HEADER_BYTES..)?)?;
    let version = std::str::from_utf8(version).ok()?.strip_prefix("go")?;
    let (framed, _) = sized(rest)?;
    let modules = framed.get(FRAME_BYTES..framed.len().saturating_sub(FRAME_BYTES)).unwrap_or_default();
    let mut found = vec![Raw::new("stdlib", version.split_whitespace().next()?)];
    found.extend(modules_of(std::str::from_utf8(modules).ok()?));
    Some(Ok(found))
}

/// A text behind its length as a varint.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut length, mut shift) = (0_usize, 0_u32);
    for (at, byte) in bytes.iter().take(5).enumerate() {
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return bytes.get(at + 1..)?.split_at_checked(length);
        }
    }
    None
}

/// `mod PATH VERSION SUM`, `dep PATH VERSION SUM`, `=> PATH VERSION SUM` for what replaces the one before.
fn modules_of(text: &str) -> Vec<Raw> {
    let mut found: Vec<Raw> = Vec::new();
    for line in text.lines() {
        let mut words = line.split('\t');
        let (kind, path, version) = (words.next(), words.next(), words.next());
        let (Some(path), Some(version)) = (path, version) else { continue };
        match kind {
            Some("mod" | "dep") => found.push(Raw::new(path, version)),
            Some("=>") => {
                found.pop();
                found.push(Raw::new(path, version));
            }
            Some(_) | None => {}
        }
    }
    // What was built from a working copy has no version that anybody knows.
    found.retain(|module| module.version.starts_with('v'));
    found
}
