//! Reads a layer's archive: ustar, PAX, GNU long names and sparse files.
//!
//! In: bytes in chunks, as another thread inflates them. Out: one [`Entry`] after the other, then its content.
//! Holds: memory is bounded by constants whatever a header claims; every number is checked. Names are bytes, not yet
//! judged: that is the unpacker's job.
//! Why not the `tar` crate's reader: it copies content once more and takes a long name's length on trust.

use std::sync::mpsc::Receiver;

use super::error::{Result, RootfsError};
use super::sparse::{self, Form, Line, Piece};

const BLOCK: usize = 512;
/// PAX headers and long names of one entry, together: far above PATH_MAX and the 64 KiB of an xattr.
const META_BYTES_MAX: u64 = 1 << 20;
/// Before the names of what PAX says about holes.
const SPARSE: &[u8] = b"GNU.sparse.";

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink,
    Hardlink,
    Character,
    Block,
    Fifo,
    /// Something that layers do not hold; skipped, as Docker does with global headers.
    Unknown,
}

/// One header with all that PAX and GNU say about it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) mtime: (i64, u32),
    pub(super) device: (u64, u64),
    /// Bytes of content in the archive, without a sparse file's map.
    pub(super) size: u64,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Pieces (offset, length) and the real size.
    pub(super) sparse: Option<(Vec<Piece>, u64)>,
}

/// The archive as it comes.
pub(super) struct Archive {
    chunks: Receiver<std::io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    used: usize,
    /// Content of the present entry not read yet, and the filling after it.
    left: u64,
    filling: u64,
    /// Bytes that may still come, over the whole archive.
    budget: u64,
    bytes_max: u64,
}

/// What PAX or GNU headers say about the entry that follows.
#[derive(Default)]
struct Extra {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<(i64, u32)>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    sparse: sparse::Said,
    /// Bytes of such headers so far: an entry may have many, and all of their attributes are kept.
    meta_bytes: u64,
}

impl Archive {
    /// An archive of at most `bytes_max` bytes, whatever stands between and behind its entries.
    pub(super) fn new(chunks: Receiver<std::io::Result<Vec<u8>>>, bytes_max: u64) -> Self {
        Self { chunks, chunk: Vec::new(), used: 0, left: 0, filling: 0, budget: bytes_max, bytes_max }
    }

    /// The next entry; `None` at the end. What was not read of the last one is skipped.
    pub(super) fn next(&mut self) -> Result<Option<Entry>> {
        let mut extra = Extra::default();
        loop {
            self.skip_content()?;
            let mut block = [0; BLOCK];
            if !self.read_block(&mut block)? || block.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            check_sum(&block)?;
            let size = number(&block[124..136])?;
            match block[156] {
                b'x' => self.pax(size, &mut extra)?,
                b'L' => extra.name = Some(self.text(size, &mut extra.meta_bytes)?),
                b'K' => extra.link = Some(self.text(size, &mut extra.meta_bytes)?),
                b'g' => self.begin_content(size),
                kind => return self.entry(&block, kind, size, extra).map(Some),
            }
        }
    }

    /// A piece of the present entry's content; empty when it is read.
    pub(super) fn content(&mut self) -> Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        if !self.fill()? {
            return Err(damaged("it ends within a file"));
        }
        let count = self.left.min((self.chunk.len() - self.used) as u64) as usize;
        let start = self.used;
        self.used += count;
        self.left -= count as u64;
        Ok(&self.chunk[start..start + count])
    }

    /// Reads on to the end of the stream, so that its digest covers every byte.
    pub(super) fn drain(&mut self) -> Result<()> {
        while self.fill()? {
            self.used = self.chunk.len();
        }
        Ok(())
    }

    fn entry(&mut self, block: &[u8; BLOCK], kind: u8, size: u64, mut extra: Extra) -> Result<Entry> {
        let name = extra.sparse.name.take().or(extra.name).unwrap_or_else(|| full_name(block));
        let kind_of = match kind {
            b'0' | 0 if name.ends_with(b"/") => Kind::Directory,
            b'0' | 0 | b'7' | b'S' => Kind::File,
            b'1' => Kind::Hardlink,
            b'2' => Kind::Symlink,
            b'3' => Kind::Character,
            b'4' => Kind::Block,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            _ => Kind::Unknown,
        };
        // By the type alone, as every reader does it: who reads another size sees other entries behind it.
        let has_content = !matches!(kind, b'1'..=b'6');
        let size = if has_content { extra.size.unwrap_or(size) } else { 0 };
        let sparse = if kind == b'S' {
            // The map's further blocks do not count as content.
            let map = self.old_map(block)?;
            self.begin_content(size);
            Some(map)
        } else {
            self.begin_content(size);
            self.map(kind_of, extra.sparse)?
        };
        if let Some((pieces, real)) = &sparse {
            sparse::check(pieces, *real, self.left)?;
        }
        let devices = matches!(kind_of, Kind::Character | Kind::Block);
        Ok(Entry {
            kind: kind_of,
            name,
            link: extra.link.unwrap_or_else(|| until_nul(&block[157..257]).to_vec()),
            mode: (number(&block[100..108])? & 0o7777) as u32,
            uid: extra.uid.map_or_else(|| number(&block[108..116]), Ok)?,
            gid: extra.gid.map_or_else(|| number(&block[116..124]), Ok)?,
            mtime: extra.mtime.unwrap_or((signed(&block[136..148])?, 0)),
            device: if devices { (number(&block[329..337])?, number(&block[337..345])?) } else { (0, 0) },
            size: self.left,
            xattrs: extra.xattrs,
            sparse,
        })
    }

    /// Old GNU sparse map: four pieces in the header, then blocks of 21.
    fn old_map(&mut self, block: &[u8; BLOCK]) -> Result<(Vec<Piece>, u64)> {
        let real = number(&block[483..495])?;
        let mut pieces = Vec::new();
        let (mut table, mut count, mut more) = (block[386..482].to_vec(), 4, block[482] != 0);
        loop {
            for piece in table.chunks_exact(24).take(count) {
                if piece[12] != 0 {
                    pieces.push((number(&piece[..12])?, number(&piece[12..])?));
                }
            }
            if !more {
                return Ok((pieces, real));
            }
            let mut next = [0; BLOCK];
            if !self.read_block(&mut next)? || pieces.len() > sparse::PIECES_MAX {
                return Err(damaged("its sparse map does not end"));
            }
            (table, count, more) = (next[..504].to_vec(), 21, next[504] != 0);
        }
    }

    /// The map that PAX records have, or name; the content has begun.
    fn map(&mut self, kind: Kind, said: sparse::Said) -> Result<Option<(Vec<Piece>, u64)>> {
        let form = said.form()?;
        if form == Form::Plain {
            return Ok(None);
        }
        if kind != Kind::File {
            return Err(damaged("a sparse map is about something that is no file"));
        }
        let real = said.real_size()?;
        let pieces = if form == Form::InContent { self.map_in_content()? } else { said.pieces()? };
        Ok(Some((pieces, real)))
    }

    fn map_in_content(&mut self) -> Result<Vec<Piece>> {
        let whole = self.left;
        let count = self.map_number()?;
        if count > sparse::PIECES_MAX as u64 {
            return Err(RootfsError::Limit { limit: "pieces of a sparse file", value: sparse::PIECES_MAX as u64 });
        }
        let mut pieces = Vec::new();
        for _ in 0..count {
            pieces.push((self.map_number()?, self.map_number()?));
        }
        while !(whole - self.left).is_multiple_of(BLOCK as u64) {
            self.map_byte()?;
        }
        Ok(pieces)
    }

    fn map_number(&mut self) -> Result<u64> {
        let mut line = Line::default();
        loop {
            if let Some(number) = line.push(self.map_byte()?)? {
                return Ok(number);
            }
        }
    }

    fn map_byte(&mut self) -> Result<u8> {
        if self.left == 0 || !self.fill()? {
            return Err(damaged("its sparse map does not end"));
        }
        let byte = self.chunk[self.used];
        self.used += 1;
        self.left -= 1;
        Ok(byte)
    }

    fn pax(&mut self, size: u64, extra: &mut Extra) -> Result<()> {
        let bytes = self.meta(size, &mut extra.meta_bytes)?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let bad = || damaged("a PAX record is malformed");
            let space = rest.iter().take(20).position(|byte| *byte == b' ').ok_or_else(bad)?;
            let length = decimal(&rest[..space]).and_then(|length| usize::try_from(length).ok()).ok_or_else(bad)?;
            if length <= space + 1 || length > rest.len() || rest[length - 1] != b'\n' {
                return Err(bad());
            }
            let record = &rest[space + 1..length - 1];
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(bad)?;
            pax_record(&record[..equals], &record[equals + 1..], extra)?;
            rest = &rest[length..];
        }
        Ok(())
    }

    fn text(&mut self, size: u64, meta_bytes: &mut u64) -> Result<Vec<u8>> {
        let bytes = self.meta(size, meta_bytes)?;
        Ok(until_nul(&bytes).to_vec())
    }

    fn meta(&mut self, size: u64, meta_bytes: &mut u64) -> Result<Vec<u8>> {
        *meta_bytes = meta_bytes.saturating_add(size);
        if *meta_bytes > META_BYTES_MAX {
            return Err(RootfsError::Limit { limit: "bytes of one entry's headers", value: META_BYTES_MAX });
        }
        self.begin_content(size);
        let mut bytes = Vec::with_capacity(size as usize);
        loop {
            let piece = self.content()?;
            if piece.is_empty() {
                return Ok(bytes);
            }
            bytes.extend_from_slice(piece);
        }
    }

    fn begin_content(&mut self, size: u64) {
        self.left = size;
        self.filling = size.wrapping_neg() % BLOCK as u64;
    }

    fn skip_content(&mut self) -> Result<()> {
        while !self.content()?.is_empty() {}
        self.left = std::mem::take(&mut self.filling);
        while !self.content()?.is_empty() {}
        Ok(())
    }

    /// `false` at a clean end.
    fn read_block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool> {
        let mut have = 0;
        while have < BLOCK {
            if !self.fill()? {
                return if have == 0 { Ok(false) } else { Err(damaged("it ends within a header")) };
            }
            let count = (BLOCK - have).min(self.chunk.len() - self.used);
            block[have..have + count].copy_from_slice(&self.chunk[self.used..self.used + count]);
            self.used += count;
            have += count;
        }
        Ok(true)
    }

    /// Makes sure that a byte is at hand; `false` at the end.
    fn fill(&mut self) -> Result<bool> {
        while self.used == self.chunk.len() {
            match self.chunks.recv() {
                Ok(Ok(chunk)) => {
                    let left = self.budget.checked_sub(chunk.len() as u64);
                    self.budget =
                        left.ok_or(RootfsError::Limit { limit: "archive's unpacked bytes", value: self.bytes_max })?;
                    (self.chunk, self.used) = (chunk, 0);
                }
                Ok(Err(error)) => return Err(RootfsError::Blob(error)),
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// An empty value takes back what a record before it said: the header counts, as Go's reader does it.
fn pax_record(key: &[u8], value: &[u8], extra: &mut Extra) -> Result<()> {
    let is_name = matches!(key, b"path" | b"linkpath" | b"GNU.sparse.name");
    if is_name && value.contains(&0) {
        return Err(damaged("a name holds a NUL"));
    }
    let text = Some(value).filter(|value| !value.is_empty());
    let integer = || text.map(|text| decimal(text).ok_or_else(|| damaged("a PAX number is malformed"))).transpose();
    match key {
        b"path" => extra.name = text.map(<[u8]>::to_vec),
        b"linkpath" => extra.link = text.map(<[u8]>::to_vec),
        b"size" => extra.size = integer()?,
        b"uid" => extra.uid = integer()?,
        b"gid" => extra.gid = integer()?,
        b"mtime" => {
            let time = text.map(|text| moment(text).ok_or_else(|| damaged("a PAX time is malformed")));
            extra.mtime = time.transpose()?;
        }
        _ => {
            if let Some(name) = key.strip_prefix(SPARSE) {
                extra.sparse.record(name, value)?;
            } else if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                extra.xattrs.push((name.to_vec(), value.to_vec()));
            }
        }
    }
    Ok(())
}

/// Seconds with an optional fraction and sign.
fn moment(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let (seconds, nanos): (i64, u32) = (whole.parse().ok()?, digits.parse().ok()?);
    if text.starts_with('-') && nanos > 0 {
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos));
    }
    Some((seconds, nanos))
}

pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn check_sum(block: &[u8; BLOCK]) -> Result<()> {
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = block[148..156].iter().map(|byte| u64::from(*byte)).sum();
    let wanted = number(&block[148..156])?;
    if sum - own + 8 * u64::from(b' ') == wanted { Ok(()) } else { Err(damaged("a header's checksum is wrong")) }
}

/// Octal text, or GNU's base 256 when the first bit is set.
fn number(field: &[u8]) -> Result<u64> {
    if field[0] & 0x80 == 0 {
        let digits: Vec<u8> = field.iter().copied().filter(|byte| !matches!(byte, 0 | b' ')).collect();
        return digits
            .iter()
            .try_fold(0_u64, |value, digit| match digit {
                b'0'..=b'7' => value.checked_mul(8).map(|value| value + u64::from(digit - b'0')),
                _ => None,
            })
            .ok_or_else(|| damaged("a number in a header is malformed"));
    }
    let head = u64::from(field[0] & 0x7f);
    let joined =
        field[1..].iter().try_fold(head, |value, byte| value.checked_mul(256).map(|value| value | u64::from(*byte)));
    joined.filter(|_| field[0] & 0x40 == 0).ok_or_else(|| damaged("a number in a header is out of range"))
}

/// A time before 1970 counts as 1970: nothing depends on it.
fn signed(field: &[u8]) -> Result<i64> {
    if field[0] & 0xC0 == 0xC0 {
        return Ok(0);
    }
    i64::try_from(number(field)?).map_err(|_| damaged("a time in a header is out of range"))
}

fn full_name(block: &[u8; BLOCK]) -> Vec<u8> {
    let name = until_nul(&block[..100]);
    let prefix = if &block[257..263] == b"ustar\0" { until_nul(&block[345..500]) } else { &[] };
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or(bytes)
}

pub(super) fn damaged(why: &'static str) -> RootfsError {
    RootfsError::Damaged { why }
}

#[cfg(test)]
mod tests {
    use cove_fuzz::tar::{entry, record};

    use super::*;

    fn read(archive: &[u8], bytes_max: u64) -> Result<Vec<Entry>> {
        let (sender, chunks) = std::sync::mpsc::channel();
        archive.chunks(4096).for_each(|chunk| sender.send(Ok(chunk.to_vec())).unwrap());
        drop(sender);
        let mut archive = Archive::new(chunks, bytes_max);
        let mut entries = Vec::new();
        while let Some(entry) = archive.next()? {
            entries.push(entry);
        }
        archive.drain()?;
        Ok(entries)
    }

    #[test]
    fn attributes_of_many_headers_before_one_entry_are_bounded_together() {
        let header = entry(b'x', "pax", "", &record("SCHILY.xattr.user.a", &"v".repeat(60_000)));
        let file = entry(b'0', "file", "", b"");
        let few = [header.repeat(10), file.clone()].concat();
        assert_eq!(read(&few, u64::MAX).unwrap()[0].xattrs.len(), 10);
        let many = [header.repeat(20), file].concat();
        assert!(matches!(read(&many, u64::MAX), Err(RootfsError::Limit { value: META_BYTES_MAX, .. })));
    }

    #[test]
    fn what_stands_behind_the_last_entry_is_bounded_too() {
        let archive = [entry(b'0', "file", "", b"x"), vec![0; 1 << 20]].concat();
        assert_eq!(read(&archive, 2 << 20).unwrap().len(), 1);
        assert!(matches!(read(&archive, 1 << 20), Err(RootfsError::Limit { .. })));
    }
}
