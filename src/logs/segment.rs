//! One segment file, read through a small window in either direction.
//!
//! Holds: no read goes past the file or trusts a length that both edges of the record do not agree on. Memory is one
//! window plus at most one record.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::LogError;
use crate::format::{Event, HEADER, Position, SegmentHeader, Word, time_at};

/// Bytes read at once: a few hundred lines, small beside the server's idle memory.
const WINDOW: u64 = 64 << 10;

/// Numbers of the segments in a stream's directory, ascending; empty when there is no directory.
pub(crate) fn numbers(dir: &Path) -> Result<Vec<u64>, LogError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(LogError::file("list", dir, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| LogError::file("list", dir, error))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".log")).filter(|digits| digits.len() == 20);
        found.extend(number.and_then(|digits| digits.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

pub(crate) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.log"))
}

/// An open segment.
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) header: SegmentHeader,
    file: File,
    path: PathBuf,
    /// Length when it was opened; the writer may have gone on since.
    length: u64,
    window: Vec<u8>,
    window_at: u64,
}

/// What a walk over a whole segment finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    /// End of the last whole record.
    pub(crate) end: u64,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    /// The latest time in it or before it.
    pub(crate) latest: i64,
}

/// A record without its message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    pub(crate) at: u64,
    pub(crate) word: Word,
    pub(crate) time_ms: i64,
}

impl Record {
    pub(crate) fn end(&self) -> u64 {
        self.at + self.word.total()
    }
}

impl Segment {
    /// `None` when the file is gone or its head was never written whole.
    pub(crate) fn open(dir: &Path, number: u64) -> Result<Option<Self>, LogError> {
        let path = path(dir, number);
        match File::open(&path) {
            Ok(file) => Self::of_file(file, path, number),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LogError::file("open", path, error)),
        }
    }

    pub(crate) fn of_file(file: File, path: PathBuf, number: u64) -> Result<Option<Self>, LogError> {
        let length = file.metadata().map_err(|error| LogError::file("examine", &path, error))?.len();
        if length < HEADER {
            return Ok(None);
        }
        let mut head = [0; HEADER as usize];
        file.read_exact_at(&mut head, 0).map_err(|error| LogError::file("read", &path, error))?;
        Ok(SegmentHeader::decode(&head).map(|header| Self {
            number,
            header,
            file,
            path,
            length,
            window: Vec::new(),
            window_at: 0,
        }))
    }

    /// The record that begins at `at`; `None` at the end or at a torn one.
    pub(crate) fn record_at(&mut self, at: u64) -> Result<Option<Record>, LogError> {
        let Some(lead) = self.bytes(at, 12, Toward::Later)? else { return Ok(None) };
        let Some(word) = word_at(lead, 0) else { return Ok(None) };
        let time_ms = time_at(lead, 4);
        let record = Record { at, word, time_ms };
        let closing = self.bytes(record.end() - 4, 4, Toward::Later)?.and_then(|edge| word_at(edge, 0));
        Ok((closing == Some(word)).then_some(record))
    }

    /// The record that ends at `end`; `None` at the head, or when `end` is no boundary.
    pub(crate) fn record_before(&mut self, end: u64) -> Result<Option<Record>, LogError> {
        let Some(edge_at) = end.checked_sub(4).filter(|at| *at >= HEADER) else { return Ok(None) };
        let Some(word) = self.bytes(edge_at, 4, Toward::Earlier)?.and_then(|edge| word_at(edge, 0)) else {
            return Ok(None);
        };
        let Some(at) = end.checked_sub(word.total()).filter(|at| *at >= HEADER) else { return Ok(None) };
        let Some(lead) = self.bytes(at, 12, Toward::Earlier)? else { return Ok(None) };
        Ok((word_at(lead, 0) == Some(word)).then(|| Record { at, word, time_ms: time_at(lead, 4) }))
    }

    /// The whole event of a record found before.
    pub(crate) fn event(&mut self, record: Record) -> Result<Option<Event>, LogError> {
        let position = Position { segment: self.number, offset: record.at };
        let (lead, total) = (record.word.lead() as usize, record.word.total());
        let Some(bytes) = self.bytes(record.at, total, Toward::Later)? else { return Ok(None) };
        let ingested_ms = if record.word.ingested { time_at(bytes, 12) } else { record.time_ms };
        let message = bytes[lead..lead + record.word.message as usize].to_vec();
        Ok(Some(Event { time_ms: record.time_ms, ingested_ms, message, position }))
    }

    /// End of the last whole record: at once when the file ends with one, else by a walk from the head.
    pub(crate) fn end(&mut self) -> Result<u64, LogError> {
        if self.length == HEADER || self.record_before(self.length)?.is_some() {
            return Ok(self.length);
        }
        Ok(self.walk()?.end)
    }

    /// Reads every record's head.
    pub(crate) fn walk(&mut self) -> Result<Summary, LogError> {
        let mut summary = Summary { end: HEADER, events: 0, bytes: 0, latest: self.header.latest_before };
        while let Some(record) = self.record_at(summary.end)? {
            summary.end = record.end();
            summary.events += 1;
            summary.bytes += record.word.message;
            summary.latest = summary.latest.max(record.time_ms);
        }
        Ok(summary)
    }

    /// `count` bytes at `at`, or `None` when the file does not have them.
    fn bytes(&mut self, at: u64, count: u64, toward: Toward) -> Result<Option<&[u8]>, LogError> {
        let Some(end) = at.checked_add(count).filter(|end| *end <= self.length) else { return Ok(None) };
        let held = at >= self.window_at && end <= self.window_at + self.window.len() as u64;
        if !held {
            let (from, to) = match toward {
                Toward::Later => (at, end.max(at + WINDOW).min(self.length)),
                Toward::Earlier => (at.min(end.saturating_sub(WINDOW)), end),
            };
            self.window.resize((to - from) as usize, 0);
            self.window_at = from;
            if let Err(error) = self.file.read_exact_at(&mut self.window, from) {
                self.window.clear();
                // Cut by a writer that opened the stream again meanwhile.
                if error.kind() == io::ErrorKind::UnexpectedEof {
                    return Ok(None);
                }
                return Err(LogError::file("read", &self.path, error));
            }
        }
        let start = (at - self.window_at) as usize;
        Ok(Some(&self.window[start..start + count as usize]))
    }
}

/// Which way the next read is likely to go.
#[derive(Clone, Copy)]
enum Toward {
    Later,
    Earlier,
}

fn word_at(bytes: &[u8], at: usize) -> Option<Word> {
    Word::decode([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
