//! rpm: its database in each of its three forms, in which every package is a header.

mod berkeley;
mod ndb;
mod sqlite;

use super::{Parsed, Raw};
use crate::package::SourcePackage;
use sqlite::number;

const NAME: usize = 1000;
const VERSION: usize = 1001;
const RELEASE: usize = 1002;
const EPOCH: usize = 1003;
const ARCH: usize = 1022;
const SOURCE: usize = 1044;

/// Where distributions keep it.
const DIRECTORIES: [&str; 2] = ["var/lib/rpm/", "usr/lib/sysimage/rpm/"];

pub(super) fn is_database(path: &str) -> bool {
    let file = DIRECTORIES.iter().find_map(|directory| path.strip_prefix(directory));
    matches!(file, Some("Packages" | "Packages.db" | "rpmdb.sqlite"))
}

/// What SQLite has not yet written into its file.
pub(super) fn is_log(path: &str) -> bool {
    DIRECTORIES.iter().any(|directory| path.strip_prefix(directory) == Some("rpmdb.sqlite-wal"))
}

pub(super) fn parse_log(bytes: &[u8]) -> Parsed {
    if bytes.is_empty() {
        Ok(Vec::new())
    } else {
        Err("not supported: packages may be missing that are only in this log")
    }
}

pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let mut found = Vec::new();
    let mut broken = false;
    let mut each = |blob: &[u8]| match header(blob) {
        // Keys for signatures are kept as packages.
        Some(package) if package.name == "gpg-pubkey" => {}
        Some(package) => found.push(package),
        None => broken = true,
    };
    if bytes.starts_with(b"SQLite") {
        sqlite::blobs(bytes, "Packages", &mut each)?;
    } else if bytes.starts_with(b"RpmP") {
        ndb::blobs(bytes, &mut each)?;
    } else {
        berkeley::blobs(bytes, &mut each)?;
    }
    if broken { Err("a package's header is damaged") } else { Ok(found) }
}

/// Little-endian.
fn little(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(width)?).filter(|bytes| bytes.len() <= 8)?;
    usize::try_from(bytes.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))).ok()
}

/// Counts of entries and of bytes, the entries (tag, type, offset, count), the bytes.
fn header(blob: &[u8]) -> Option<Raw> {
    let (entries, size) = (number(blob, 0, 4)?, number(blob, 4, 4)?);
    let data = 8_usize.checked_add(entries.checked_mul(16)?)?;
    let (index, data) = (blob.get(8..data)?, blob.get(data..data.checked_add(size)?)?);
    let place = |tag: usize| {
        let entry = index.chunks_exact(16).find(|entry| number(entry, 0, 4) == Some(tag))?;
        data.get(number(entry, 8, 4)?..)
    };
    let word = |tag: usize| {
        let bytes = place(tag)?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
    };
    let epoch = place(EPOCH).and_then(|bytes| number(bytes, 0, 4)).filter(|epoch| *epoch > 0);
    let epoch = epoch.map(|epoch| format!("{epoch}:")).unwrap_or_default();
    let version = format!("{epoch}{}-{}", word(VERSION)?, word(RELEASE)?);
    let source = word(SOURCE).and_then(|file| source(&file, &epoch));
    Some(Raw { name: word(NAME)?, version, source, arch: word(ARCH) })
}

/// `name-version-release.src.rpm`
fn source(file: &str, epoch: &str) -> Option<SourcePackage> {
    let (rest, release) = file.strip_suffix(".rpm")?.rsplit_once('.')?.0.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    Some(SourcePackage { name: name.to_owned(), version: format!("{epoch}{version}-{release}") })
}
