//! Java: the `pom.properties` that Maven puts into archives, also of archives within.

use std::io::{Cursor, Read};

use super::{Parsed, Raw};

/// Archives within archives: an application server's has two.
const DEPTH_MAX: usize = 3;
/// Entries of all archives of one file.
const ENTRIES_MAX: usize = 200_000;
/// Text of all archives within one file.
const INNER_MAX_BYTES: u64 = 128 << 20;
const POM_MAX_BYTES: u64 = 64 << 10;

pub(super) fn parse(_path: &str, bytes: &[u8]) -> Parsed {
    let mut search = Search { found: Vec::new(), entries: 0, bytes: 0 };
    search.archive(bytes, DEPTH_MAX)?;
    search.found.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
    search.found.dedup();
    Ok(search.found)
}

struct Search {
    found: Vec<Raw>,
    entries: usize,
    bytes: u64,
}

impl Search {
    fn archive(&mut self, bytes: &[u8], depth: usize) -> Result<(), &'static str> {
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|_| "it is no archive")?;
        self.entries += archive.len();
        if self.entries > ENTRIES_MAX {
            return Err("it has too many entries");
        }
        for at in 0..archive.len() {
            let mut entry = archive.by_index(at).map_err(|_| "an entry of it cannot be read")?;
            let name = entry.name().map_err(|_| "a name in it cannot be read")?.into_owned();
            if name.starts_with("META-INF/maven/") && name.ends_with("/pom.properties") {
                self.found.extend(pom(&inner(&mut entry, POM_MAX_BYTES)?));
            } else if name.ends_with(".jar") || name.ends_with(".war") {
                if depth == 0 {
                    return Err("it holds archives within archives too deeply");
                }
                let bytes = inner(&mut entry, INNER_MAX_BYTES - self.bytes)?;
                self.bytes += bytes.len() as u64;
                // Tests of tools carry files that only look like archives.
                if bytes.starts_with(b"PK") {
                    self.archive(&bytes, depth - 1)?;
                }
            }
        }
        Ok(())
    }
}

fn inner(entry: &mut dyn Read, max: u64) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::new();
    entry.take(max + 1).read_to_end(&mut bytes).map_err(|_| "an entry of it is damaged")?;
    if bytes.len() as u64 > max { Err("an entry of it is too large") } else { Ok(bytes) }
}

fn pom(bytes: &[u8]) -> Option<Raw> {
    let text = String::from_utf8_lossy(bytes);
    let get = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
    };
    Some(Raw::new(format!("{}:{}", get("groupId")?, get("artifactId")?), get("version")?))
}
