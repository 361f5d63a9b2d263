//! As much of SQLite's file format as rpm's database needs: the second column of every row of one table.
//!
//! Holds: every page is visited once at most, so that damage and malice end; nothing is read beyond the file.

/// Pages within pages: a table of 2^64 rows has fewer.
const DEPTH_MAX: usize = 40;
const HEADER_BYTES: usize = 100;
const INTERIOR: u8 = 5;
const LEAF: u8 = 13;

const DAMAGED: &str = "the database is damaged";

/// Calls `each` with the blob in the second column of every row.
pub(super) fn blobs(file: &[u8], table: &str, each: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
    if !file.starts_with(b"SQLite format 3\0") {
        return Err("it is no database of SQLite");
    }
    let size = number(file, 16, 2).ok_or(DAMAGED)?;
    let size = if size == 1 { 65536 } else { size };
    let reserved = number(file, 20, 1).ok_or(DAMAGED)?;
    let usable = size.checked_sub(reserved).filter(|usable| *usable >= 480).ok_or(DAMAGED)?;
    let mut reader = Reader { file, size, usable, left: file.len() / size, bytes: file.len() };
    let mut root = None;
    reader.walk(1, DEPTH_MAX, &mut |row| {
        if column(row, 1) == Some(table.as_bytes()) && column(row, 0) == Some(b"table") {
            root = column(row, 3).and_then(|bytes| number(bytes, 0, bytes.len()));
        }
    })?;
    let root = root.ok_or("the database lacks the table of packages")?;
    (reader.left, reader.bytes) = (file.len() / size, file.len());
    reader.walk(root, DEPTH_MAX, &mut |row| each(column(row, 1).unwrap_or_default()))
}

struct Reader<'a> {
    file: &'a [u8],
    size: usize,
    /// Of a page.
    usable: usize,
    /// Pages that may still be visited.
    left: usize,
    /// Bytes that rows may still have: no two share any.
    bytes: usize,
}

impl<'a> Reader<'a> {
    fn page(&mut self, page: usize) -> Result<&'a [u8], &'static str> {
        self.left = self.left.checked_sub(1).ok_or(DAMAGED)?;
        let from = page.checked_sub(1).and_then(|page| page.checked_mul(self.size)).ok_or(DAMAGED)?;
        self.file.get(from..from.saturating_add(self.size)).ok_or(DAMAGED)
    }

    fn walk(&mut self, number_of_page: usize, depth: usize, each: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
        let page = self.page(number_of_page)?;
        let head = if number_of_page == 1 { HEADER_BYTES } else { 0 };
        let kind = *page.get(head).ok_or(DAMAGED)?;
        let cells = number(page, head + 3, 2).ok_or(DAMAGED)?;
        let pointers = head + if kind == INTERIOR { 12 } else { 8 };
        for cell in 0..cells {
            let at = number(page, pointers + 2 * cell, 2).ok_or(DAMAGED)?;
            match kind {
                INTERIOR if depth > 0 => self.walk(number(page, at, 4).ok_or(DAMAGED)?, depth - 1, each)?,
                LEAF => each(&self.payload(page.get(at..).ok_or(DAMAGED)?)?),
                _ => return Err(DAMAGED),
            }
        }
        if kind == INTERIOR && depth > 0 {
            self.walk(number(page, head + 8, 4).ok_or(DAMAGED)?, depth - 1, each)?;
        }
        Ok(())
    }

    /// The bytes of a row, with those on overflow pages.
    fn payload(&mut self, cell: &[u8]) -> Result<Vec<u8>, &'static str> {
        let (length, rest) = varint(cell).ok_or(DAMAGED)?;
        let (_rowid, rest) = varint(rest).ok_or(DAMAGED)?;
        self.bytes = self.bytes.checked_sub(length).ok_or(DAMAGED)?;
        let most = self.usable - 35;
        if length <= most {
            return rest.get(..length).map(<[u8]>::to_vec).ok_or(DAMAGED);
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let local = least + (length - least) % (self.usable - 4);
        let local = if local <= most { local } else { least };
        let mut bytes = rest.get(..local).ok_or(DAMAGED)?.to_vec();
        let mut next = number(rest, local, 4).ok_or(DAMAGED)?;
        while bytes.len() < length {
            let page = self.page(next)?;
            next = number(page, 0, 4).ok_or(DAMAGED)?;
            let part = (length - bytes.len()).min(self.usable - 4);
            bytes.extend_from_slice(page.get(4..4 + part).ok_or(DAMAGED)?);
        }
        Ok(bytes)
    }
}

/// A column of a row as its bytes, whatever its type.
fn column(row: &[u8], wanted: usize) -> Option<&[u8]> {
    let (length, types) = varint(row)?;
    let mut types = types.get(..length.checked_sub(row.len() - types.len())?)?;
    let mut at = length;
    for number in 0.. {
        let (kind, rest) = varint(types)?;
        types = rest;
        let size = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            _ => kind.checked_sub(12)? / 2,
        };
        let end = at.checked_add(size)?;
        if number == wanted {
            return row.get(at..end);
        }
        at = end;
    }
    None
}

/// Big-endian.
pub(super) fn number(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(width)?).filter(|bytes| bytes.len() <= 8)?;
    usize::try_from(bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))).ok()
}

fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        if at == 8 {
            value = value << 8 | u64::from(*byte);
        } else {
            value = value << 7 | u64::from(byte & 0x7f);
        }
        if byte & 0x80 == 0 || at == 8 {
            return Some((usize::try_from(value).ok()?, &bytes[at + 1..]));
        }
    }
    None
}
