//! Executables that say what they were built from: Go's, and Rust's of `cargo auditable`.
//!
//! Holds: an executable of any size is read as it comes for Go's list; Rust's needs the table of sections at the end, so
//! that those up to [`WHOLE_MAX_BYTES`] are held in memory.

use std::io::{Cursor, Read};

use super::{Fault, Raw, go, rust};
use crate::package::Manager;

/// Of the programs that people build with `cargo auditable` few are larger.
const WHOLE_MAX_BYTES: u64 = 96 << 20;

pub(super) fn read(size: u64, content: &mut dyn Read) -> Result<Vec<(Manager, Vec<Raw>)>, Fault> {
    let mut head = Vec::new();
    content.take(4).read_to_end(&mut head).map_err(Fault::Read)?;
    if head != b"\x7fELF" {
        return Ok(Vec::new());
    }
    if size > WHOLE_MAX_BYTES {
        return Ok(go::find(content)?.into_iter().map(|found| (Manager::Go, found)).collect());
    }
    content.take(WHOLE_MAX_BYTES).read_to_end(&mut head).map_err(Fault::Read)?;
    if let Some(list) = section(&head, b".dep-v0") {
        return Ok(vec![(Manager::Cargo, rust::parse_auditable(list).map_err(Fault::Broken)?)]);
    }
    Ok(go::find(&mut Cursor::new(&head))?.into_iter().map(|found| (Manager::Go, found)).collect())
}

/// A section of an ELF file, of either width and byte order. Nothing when there is none or the file is damaged.
fn section<'a>(file: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let elf = Elf { file, wide: *file.get(4)? == 2, big: *file.get(5)? == 2 };
    let (table, size, count, names) = if elf.wide {
        (elf.number(0x28, 8)?, elf.number(0x3a, 2)?, elf.number(0x3c, 2)?, elf.number(0x3e, 2)?)
    } else {
        (elf.number(0x20, 4)?, elf.number(0x2e, 2)?, elf.number(0x30, 2)?, elf.number(0x32, 2)?)
    };
    let header = |number: usize| table.checked_add(number.checked_mul(size)?);
    let names = elf.content(header(names)?)?;
    (0..count).filter_map(header).find_map(|at| {
        let called = names.get(elf.number(at, 4)?..)?;
        let called = called.get(..called.iter().position(|byte| *byte == 0)?)?;
        if called == name { elf.content(at) } else { None }
    })
}

struct Elf<'a> {
    file: &'a [u8],
    wide: bool,
    big: bool,
}

impl<'a> Elf<'a> {
    fn number(&self, at: usize, width: usize) -> Option<usize> {
        let bytes = self.file.get(at..at.checked_add(width)?)?;
        let fold = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        let value = if self.big { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) };
        usize::try_from(value).ok()
    }

    /// The bytes of the section whose header is at `at`.
    fn content(&self, at: usize) -> Option<&'a [u8]> {
        let (offset, size) = if self.wide {
            (self.number(at.checked_add(0x18)?, 8)?, self.number(at.checked_add(0x20)?, 8)?)
        } else {
            (self.number(at.checked_add(0x10)?, 4)?, self.number(at.checked_add(0x14)?, 4)?)
        };
        self.file.get(offset..offset.checked_add(size)?)
    }
}
