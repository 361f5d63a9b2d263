//! A hash table of Berkeley DB, `Packages`, as Red Hat had it up to release 8: the values that are too large for a page,
//! which all headers of packages are.
//!
//! Numbers are as the machine that wrote them has them; the magic says which. Holds: what is read in total is at most
//! the file, so that chains of pages that bite their tail end.

use super::{little, sqlite};

const MAGIC: usize = 0x0006_1561;
const PAGE_HEAD_BYTES: usize = 26;
const HASH_PAGE: usize = 13;
/// Of tables that older versions wrote.
const HASH_PAGE_UNSORTED: usize = 2;
const OVERFLOW_PAGE: usize = 7;
/// Of an entry that names an overflow page.
const OFF_PAGE: usize = 3;

const DAMAGED: &str = "the database is damaged";

pub(super) fn blobs(file: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
    let number = if little(file, 12, 4) == Some(MAGIC) {
        little
    } else if sqlite::number(file, 12, 4) == Some(MAGIC) {
        sqlite::number
    } else {
        return Err("it is no hash table of Berkeley DB");
    };
    let size = number(file, 20, 4).filter(|size| (512..=65536).contains(size)).ok_or(DAMAGED)?;
    let mut table = Table { file, size, number, left: file.len() / size };
    for page in file.chunks_exact(size).skip(1) {
        let kind = number(page, 25, 1).ok_or(DAMAGED)?;
        if kind != HASH_PAGE && kind != HASH_PAGE_UNSORTED {
            continue;
        }
        let entries = number(page, 20, 2).ok_or(DAMAGED)?;
        // Keys and values alternate.
        for entry in (1..entries).step_by(2) {
            let at = number(page, PAGE_HEAD_BYTES + 2 * entry, 2).ok_or(DAMAGED)?;
            if number(page, at, 1) == Some(OFF_PAGE) {
                let (first, length) =
                    (number(page, at + 4, 4).ok_or(DAMAGED)?, number(page, at + 8, 4).ok_or(DAMAGED)?);
                each(&table.value(first, length)?);
            }
        }
    }
    Ok(())
}

struct Table<'a> {
    file: &'a [u8],
    size: usize,
    number: fn(&[u8], usize, usize) -> Option<usize>,
    /// Overflow pages that may still be read.
    left: usize,
}

impl Table<'_> {
    fn value(&mut self, first: usize, length: usize) -> Result<Vec<u8>, &'static str> {
        let (mut bytes, mut next) = (Vec::new(), first);
        while bytes.len() < length {
            self.left = self.left.checked_sub(1).ok_or(DAMAGED)?;
            let from = next.checked_mul(self.size).filter(|from| *from > 0).ok_or(DAMAGED)?;
            let page = self.file.get(from..from.saturating_add(self.size)).ok_or(DAMAGED)?;
            if (self.number)(page, 25, 1) != Some(OVERFLOW_PAGE) {
                return Err(DAMAGED);
            }
            let part = (length - bytes.len()).min(self.size - PAGE_HEAD_BYTES);
            bytes.extend_from_slice(&page[PAGE_HEAD_BYTES..PAGE_HEAD_BYTES + part]);
            next = (self.number)(page, 16, 4).ok_or(DAMAGED)?;
        }
        Ok(bytes)
    }
}
