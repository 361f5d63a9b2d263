//! Sorting more entries than fit in memory: sorted runs in temporary files, merged at the end.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use super::file::Database;
use super::{DatabaseError, base};

/// Lines that are sorted in memory.
const RUN_BYTES: usize = 32 << 20;
/// Runs are read and written once.
const LEVEL: i32 = 1;

/// An entry's key and its line. Lines of one key are ordered as texts, so that the result does not depend on the input's.
pub(super) type Line = (String, Vec<u8>);

/// Entries that wait to be in order.
pub(super) struct Runs {
    directory: PathBuf,
    lines: Vec<Line>,
    bytes: usize,
    files: Vec<PathBuf>,
}

impl Runs {
    /// Runs lie beside the database: there is room for that too.
    pub(super) fn new(database: &Path) -> Self {
        let directory = super::writer::directory(database).to_owned();
        Self { directory, lines: Vec::new(), bytes: 0, files: Vec::new() }
    }

    pub(super) fn add(&mut self, line: Line) -> Result<(), DatabaseError> {
        self.bytes += line.0.len() + line.1.len();
        self.lines.push(line);
        if self.bytes >= RUN_BYTES { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<(), DatabaseError> {
        self.lines.sort_unstable();
        let path = self.directory.join(format!(".advisories.{}.tmp", cove_base::ids::random_hex(8)));
        self.files.push(path.clone());
        let lines = std::mem::take(&mut self.lines);
        self.bytes = 0;
        write(&path, &lines).map_err(|source| DatabaseError::Write { path, source })
    }

    /// All entries in order, each once, with those of `earlier` whose ecosystem `keep` says to keep.
    pub(super) fn merge(
        &mut self,
        earlier: Option<&Database>,
        keep: &dyn Fn(&str) -> bool,
        each: &mut dyn FnMut(Line) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        self.lines.sort_unstable();
        let mut inputs: Vec<Box<dyn Iterator<Item = Result<Line, DatabaseError>> + '_>> = Vec::new();
        for path in &self.files {
            inputs.push(Box::new(lines_of_run(path)?));
        }
        inputs.push(Box::new(std::mem::take(&mut self.lines).into_iter().map(Ok)));
        if let Some(earlier) = earlier {
            inputs.push(Box::new(lines_of_database(earlier, keep)));
        }
        let mut heap = BinaryHeap::new();
        for (number, input) in inputs.iter_mut().enumerate() {
            if let Some(line) = input.next() {
                heap.push(Reverse((line?, number)));
            }
        }
        let mut last: Option<Line> = None;
        while let Some(Reverse((line, number))) = heap.pop() {
            if let Some(next) = inputs[number].next() {
                heap.push(Reverse((next?, number)));
            }
            if last.as_ref() != Some(&line) {
                each(line.clone())?;
                last = Some(line);
            }
        }
        Ok(())
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        for path in &self.files {
            let _ = fs::remove_file(path);
        }
    }
}

fn write(path: &Path, lines: &[Line]) -> io::Result<()> {
    let mut encoder = zstd::Encoder::new(File::options().write(true).create_new(true).open(path)?, LEVEL)?;
    for (key, line) in lines {
        encoder.write_all(&[key.as_bytes(), b"\t", line, b"\n"].concat())?;
    }
    encoder.finish()?;
    Ok(())
}

/// A run holds `key TAB line` (JSON escapes tabs and line ends; keys with either never come here).
fn lines_of_run(path: &Path) -> Result<impl Iterator<Item = Result<Line, DatabaseError>> + use<>, DatabaseError> {
    let fault = |path: &Path, source| DatabaseError::Read { path: path.to_owned(), source };
    let decoder = File::open(path).and_then(zstd::Decoder::new).map_err(|error| fault(path, error))?;
    let path = path.to_owned();
    Ok(BufReader::new(decoder).split(b'\n').map(move |line| {
        let line = line.map_err(|error| fault(&path, error))?;
        let at = line.iter().position(|byte| *byte == b'\t').unwrap_or_default();
        Ok((String::from_utf8_lossy(&line[..at]).into_owned(), line[at + 1..].to_vec()))
    }))
}

fn lines_of_database<'a>(
    database: &'a Database,
    keep: &'a dyn Fn(&str) -> bool,
) -> impl Iterator<Item = Result<Line, DatabaseError>> + 'a {
    #[derive(serde::Deserialize)]
    struct Keyed {
        key: String,
    }
    (0..database.blocks()).flat_map(move |number| {
        let text = match database.text(number) {
            Ok(text) => text,
            Err(error) => return vec![Err(error)],
        };
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let keyed = lines.filter_map(|line| {
            let keyed: Keyed = serde_json::from_slice(line).ok()?;
            keep(base_of_key(&keyed.key)).then(|| Ok((keyed.key, line.to_vec())))
        });
        keyed.collect()
    })
}

/// The ecosystem of a key.
pub(super) fn base_of_key(key: &str) -> &str {
    base(key.split('\0').next().unwrap_or_default())
}
