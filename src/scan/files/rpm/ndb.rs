//! rpm's own database, `Packages.db`, as SUSE has it: pages of slots, each of which points to a package's header.
//!
//! Numbers are little-endian. Holds: no slot points out of the file, and each blob says whose it is.

use super::little;

const PAGE_BYTES: usize = 4096;
const SLOT_BYTES: usize = 16;
/// The file's own header takes as much as two slots.
const FIRST_SLOT: usize = 2;
/// Unit of offsets.
const BLOCK_BYTES: usize = 16;
const BLOB_HEAD_BYTES: usize = 16;

const DAMAGED: &str = "the database is damaged";

pub(super) fn blobs(file: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
    if !file.starts_with(b"RpmP") || little(file, 4, 4) != Some(0) {
        return Err("it is no database of rpm that is known");
    }
    let slots = little(file, 12, 4).and_then(|pages| file.get(..pages.checked_mul(PAGE_BYTES)?)).ok_or(DAMAGED)?;
    // Free bytes are not shared: what is read in total is at most the file.
    let mut left = file.len();
    for slot in slots.chunks_exact(SLOT_BYTES).skip(FIRST_SLOT) {
        let (package, block) = (little(slot, 4, 4).ok_or(DAMAGED)?, little(slot, 8, 4).ok_or(DAMAGED)?);
        if !slot.starts_with(b"Slot") {
            return Err(DAMAGED);
        }
        if package == 0 || block == 0 {
            continue;
        }
        let blob = file.get(block.saturating_mul(BLOCK_BYTES)..).ok_or(DAMAGED)?;
        let length = little(blob, 12, 4).ok_or(DAMAGED)?;
        if !blob.starts_with(b"BlbS") || little(blob, 4, 4) != Some(package) {
            return Err(DAMAGED);
        }
        left = left.checked_sub(length).ok_or(DAMAGED)?;
        each(blob.get(BLOB_HEAD_BYTES..BLOB_HEAD_BYTES.saturating_add(length)).ok_or(DAMAGED)?);
    }
    Ok(())
}
