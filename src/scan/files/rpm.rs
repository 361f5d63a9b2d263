//! rpm: its database in SQLite, each row a package's header. The two older forms of the database are refused by name.

use super::sqlite::{self, number};
use super::{Parsed, Raw};
use crate::package::SourcePackage;

const NAME: usize = 1000;
const VERSION: usize = 1001;
const RELEASE: usize = 1002;
const EPOCH: usize = 1003;
const ARCH: usize = 1022;
const SOURCE: usize = 1044;

/// Databases of Berkeley DB and ndb, and what SQLite has not yet written into its file.
pub(super) fn is_other(path: &str) -> bool {
    let file = path.strip_prefix("var/lib/rpm/").or_else(|| path.strip_prefix("usr/lib/sysimage/rpm/"));
    matches!(file, Some("Packages" | "Packages.db" | "rpmdb.sqlite-wal"))
}

pub(super) fn refuse(bytes: &[u8]) -> Parsed {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    Err("not supported: rpm's database is read in its form of SQLite, without a log, alone")
}

pub(super) fn parse_sqlite(bytes: &[u8]) -> Parsed {
    let mut found = Vec::new();
    let mut broken = false;
    sqlite::blobs(bytes, "Packages", &mut |blob| match header(blob) {
        // Keys for signatures are kept as packages.
        Some(package) if package.name == "gpg-pubkey" => {}
        Some(package) => found.push(package),
        None => broken = true,
    })?;
    if broken { Err("a package's header is damaged") } else { Ok(found) }
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
