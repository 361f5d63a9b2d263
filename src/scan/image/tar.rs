//! The entries of a layer's archive: ustar, PAX and GNU's long names, as a stream.
//!
//! Holds: memory is bounded by constants whatever a header claims; every number is checked; an archive that ends within an
//! entry is an error.
//! Why not the `tar` crate's reader: it takes a long name's length on trust. Why not the runtime's: that one is made to
//! write files, and lives where kernel work is done.

use std::io::{self, Read};

const BLOCK: usize = 512;
/// PAX headers and long names of one entry, together: as much as the unpacker takes.
const META_MAX_BYTES: u64 = 1 << 20;
/// Text of a layer: more than any image has, and hours less than a bomb takes.
const LAYER_MAX_BYTES: u64 = 1 << 40;

/// What an entry is, as far as a scan cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    /// A file whose holes are left out.
    Sparse,
    Directory,
    Hardlink,
    /// Links, devices, pipes: they hide what has their name, and say nothing.
    Other,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mode: u64,
    pub(super) size: u64,
}

/// An archive; reading from it gives the content of the last entry.
pub(super) struct Archive<'a> {
    reader: &'a mut dyn Read,
    /// Content of the present entry not read yet, and the filling behind it.
    left: u64,
    filling: u64,
    budget: u64,
}

/// What comes before the header that it is about.
#[derive(Default)]
struct Extra {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
    bytes: u64,
}

impl<'a> Archive<'a> {
    pub(super) fn new(reader: &'a mut dyn Read) -> Self {
        Self { reader, left: 0, filling: 0, budget: LAYER_MAX_BYTES }
    }

    /// The next entry that is about a file; nothing at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut extra = Extra::default();
        loop {
            self.skip()?;
            let Some(block) = self.block()? else { return Ok(None) };
            if block.iter().all(|byte| *byte == 0) {
                // What follows is read all the same: a compressed layer has its checksum at the end.
                while self.block()?.is_some() {}
                return Ok(None);
            }
            let header = Header(&block);
            header.check()?;
            let size = header.number(124, 12)?;
            match header.0[156] {
                kind @ (b'L' | b'K' | b'x' | b'g') => {
                    let bytes = self.meta(size, &mut extra)?;
                    match kind {
                        b'L' => extra.name = Some(until_zero(&bytes)),
                        b'K' => extra.link = Some(until_zero(&bytes)),
                        b'x' => extra.pax(&bytes)?,
                        _ => {}
                    }
                }
                kind => {
                    // As the unpacker has it: links, devices, directories and pipes have no content, whatever they say.
                    let has_content = !matches!(kind, b'1'..=b'6');
                    self.enter(if has_content { extra.size.unwrap_or(size) } else { 0 });
                    return Ok(Some(self.entry(&header, kind, extra)?));
                }
            }
        }
    }

    fn entry(&mut self, header: &Header, kind: u8, extra: Extra) -> io::Result<Entry> {
        let name = extra.name.unwrap_or_else(|| header.name());
        let mut kind = match kind {
            b'1' => Kind::Hardlink,
            b'5' => Kind::Directory,
            b'S' => Kind::Sparse,
            0 if name.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' => Kind::File,
            _ => Kind::Other,
        };
        if kind == Kind::Sparse {
            let mut more = header.0[482] != 0;
            while more {
                // Further pieces stand before the content.
                more = self.block()?.ok_or(io::ErrorKind::UnexpectedEof)?[504] != 0;
            }
        } else if kind == Kind::File && extra.sparse {
            kind = Kind::Sparse;
        }
        let link = extra.link.unwrap_or_else(|| until_zero(&header.0[157..257]));
        Ok(Entry { kind, name, link, mode: header.number(100, 8).unwrap_or_default(), size: self.left })
    }

    fn enter(&mut self, size: u64) {
        self.left = size;
        self.filling = size.next_multiple_of(BLOCK as u64) - size;
    }

    /// A PAX header or long name.
    fn meta(&mut self, size: u64, extra: &mut Extra) -> io::Result<Vec<u8>> {
        extra.bytes = extra.bytes.saturating_add(size);
        if extra.bytes > META_MAX_BYTES {
            return Err(invalid("an entry's extended headers are too large"));
        }
        self.enter(size);
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Passes over what is left of the present entry.
    fn skip(&mut self) -> io::Result<()> {
        let mut buffer = [0; 8192];
        while self.read(&mut buffer)? > 0 {}
        let mut filling = [0; BLOCK];
        let count = usize::try_from(std::mem::take(&mut self.filling)).unwrap_or_default();
        self.spend(count)?;
        self.reader.read_exact(&mut filling[..count])
    }

    /// Nothing when the archive ends here.
    fn block(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut got = 0;
        while got < BLOCK {
            match self.reader.read(&mut block[got..]) {
                Ok(0) if got == 0 => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => got += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.spend(BLOCK)?;
        Ok(Some(block))
    }

    fn spend(&mut self, bytes: usize) -> io::Result<()> {
        self.budget = self.budget.checked_sub(bytes as u64).ok_or_else(|| invalid("the layer is too large"))?;
        Ok(())
    }
}

impl Read for Archive<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let got = self.reader.read(&mut buffer[..most])?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= got as u64;
        self.spend(got)?;
        Ok(got)
    }
}

struct Header<'a>(&'a [u8; BLOCK]);

impl Header<'_> {
    fn check(&self) -> io::Result<()> {
        let sum =
            self.0.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) });
        if self.number(148, 8)? == sum.sum::<u64>() { Ok(()) } else { Err(invalid("a header's checksum is wrong")) }
    }

    /// Octal, or binary when the first bit says so.
    fn number(&self, at: usize, width: usize) -> io::Result<u64> {
        let field = &self.0[at..at + width];
        let wrong = || invalid("a header has a wrong number");
        if field[0] & 0x80 != 0 {
            let (high, low) = field[1..].split_at(width.saturating_sub(9));
            if field[0] != 0x80 || high.iter().any(|byte| *byte != 0) {
                return Err(wrong());
            }
            let value = low.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
            return if value > i64::MAX.unsigned_abs() { Err(wrong()) } else { Ok(value) };
        }
        let text = std::str::from_utf8(field).map_err(|_| wrong())?.trim_matches([' ', '\0']);
        if text.is_empty() { Ok(0) } else { u64::from_str_radix(text, 8).map_err(|_| wrong()) }
    }

    /// With its prefix, which GNU's own format does not have.
    fn name(&self) -> Vec<u8> {
        let name = until_zero(&self.0[..100]);
        let prefix = until_zero(&self.0[345..500]);
        if &self.0[257..263] == b"ustar\0" && !prefix.is_empty() { [prefix, name].join(&b'/') } else { name }
    }
}

impl Extra {
    /// Records `LENGTH KEY=VALUE LF`.
    fn pax(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let wrong = || invalid("a PAX record is damaged");
        while !bytes.is_empty() {
            let space = bytes.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
            let length = std::str::from_utf8(&bytes[..space]).ok().and_then(|text| text.parse::<usize>().ok());
            let length = length.filter(|length| *length > space + 1).ok_or_else(wrong)?;
            let record =
                bytes.get(space + 1..length).and_then(|record| record.strip_suffix(b"\n")).ok_or_else(wrong)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" | b"GNU.sparse.name" => self.name = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
                    self.size = Some(size.filter(|size| *size <= i64::MAX.unsigned_abs()).ok_or_else(wrong)?);
                }
                _ => self.sparse |= key.starts_with(b"GNU.sparse."),
            }
            bytes = &bytes[length..];
        }
        Ok(())
    }
}

fn until_zero(field: &[u8]) -> Vec<u8> {
    field.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
