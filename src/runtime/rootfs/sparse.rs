//! Maps of sparse files: where the pieces go that an archive has of them.
//!
//! | form | the map stands |
//! |---|---|
//! | GNU's old one, type `S` | in the header and in blocks behind it |
//! | PAX 0.0 | in pairs of `GNU.sparse.offset` and `GNU.sparse.numbytes` |
//! | PAX 0.1 | in `GNU.sparse.map`, numbers with commas |
//! | PAX 1.0 | before the content, one number in a line, filled up to a block |
//!
//! Holds: pieces are in order, apart and within the file, and are together what the archive has of it; their number is
//! bounded. How large a file may be is the unpacker's question.
//! Why all four: GNU tar, Go's reader (Docker, containerd) and libarchive take them, and bsdtar and GNU tar make them.

use super::error::{Result, RootfsError};
use super::tar::{damaged, decimal};

/// Pieces of one sparse file: a map of them takes one megabyte.
pub(super) const PIECES_MAX: usize = 65_536;

/// Offset and length.
pub(super) type Piece = (u64, u64);

/// What PAX records say about holes.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The file's own name: the header has one for readers that know nothing of holes.
    pub(super) name: Option<Vec<u8>>,
    major: Option<u64>,
    minor: Option<u64>,
    real_size: Option<u64>,
    count: Option<u64>,
    pieces: Vec<Piece>,
    /// An offset whose length is still to come.
    offset: Option<u64>,
}

/// Where the map is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The file has no holes.
    Plain,
    InRecords,
    InContent,
}

impl Said {
    /// A record whose key begins with `GNU.sparse.`, without that.
    pub(super) fn record(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let number = || decimal(value).ok_or_else(malformed);
        match key {
            b"major" => self.major = Some(number()?),
            b"minor" => self.minor = Some(number()?),
            b"name" => self.name = Some(value.to_vec()).filter(|name| !name.is_empty()),
            b"size" | b"realsize" => self.real_size = Some(number()?),
            b"numblocks" => self.count = Some(number()?),
            b"offset" if self.offset.is_some() => return Err(malformed()),
            b"offset" => self.offset = Some(number()?),
            b"numbytes" => {
                let offset = self.offset.take().ok_or_else(malformed)?;
                self.pieces.push((offset, number()?));
            }
            b"map" if value.is_empty() => self.pieces = Vec::new(),
            b"map" => {
                let numbers: Option<Vec<u64>> = value.split(|byte| *byte == b',').map(decimal).collect();
                let numbers = numbers.filter(|numbers| numbers.len().is_multiple_of(2)).ok_or_else(malformed)?;
                self.pieces = numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn form(&self) -> Result<Form> {
        match (self.major, self.minor) {
            (Some(1), Some(0)) => Ok(Form::InContent),
            (Some(0), Some(0 | 1)) => Ok(Form::InRecords),
            // The versions before 1.0 do not say which they are.
            (None, None) if self.real_size.is_some() => Ok(Form::InRecords),
            (None, None) if self.count.is_none() && self.pieces.is_empty() => Ok(Form::Plain),
            _ => Err(damaged("its sparse map has an unknown form")),
        }
    }

    pub(super) fn real_size(&self) -> Result<u64> {
        self.real_size.ok_or_else(malformed)
    }

    /// The map of the forms before 1.0.
    pub(super) fn pieces(self) -> Result<Vec<Piece>> {
        let is_whole = self.offset.is_none() && self.count == Some(self.pieces.len() as u64);
        if is_whole { Ok(self.pieces) } else { Err(malformed()) }
    }
}

/// Whether this is the map of a file of `real_size` bytes of which the archive has `size`.
pub(super) fn check(pieces: &[Piece], real_size: u64, size: u64) -> Result<()> {
    if pieces.len() > PIECES_MAX {
        return Err(RootfsError::Limit { limit: "pieces of a sparse file", value: PIECES_MAX as u64 });
    }
    let (mut end, mut total) = (0_u64, 0_u64);
    for (offset, length) in pieces {
        let piece_end = offset.checked_add(*length).filter(|piece_end| *offset >= end && *piece_end <= real_size);
        end = piece_end.ok_or_else(|| damaged("its sparse map is not in order"))?;
        total += length;
    }
    if total == size { Ok(()) } else { Err(damaged("its sparse map does not fit the content")) }
}

/// One line of a 1.0 map, byte by byte.
#[derive(Default)]
pub(super) struct Line(Option<u64>);

impl Line {
    /// The number, once its line ends.
    pub(super) fn push(&mut self, byte: u8) -> Result<Option<u64>> {
        match (byte, self.0) {
            (b'\n', Some(number)) => Ok(Some(number)),
            // A number does not begin with a zero that says nothing, so no line is long.
            (b'0'..=b'9', Some(0)) => Err(malformed()),
            (b'0'..=b'9', before) => {
                let digit = u64::from(byte - b'0');
                let number = before.unwrap_or(0).checked_mul(10).and_then(|number| number.checked_add(digit));
                self.0 = Some(number.ok_or_else(malformed)?);
                Ok(None)
            }
            _ => Err(malformed()),
        }
    }
}

pub(super) fn malformed() -> RootfsError {
    damaged("its sparse map is malformed")
}
