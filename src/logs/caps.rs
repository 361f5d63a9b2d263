//! Keeps logs from filling the disk: the node's cap, and a group's retention.
//!
//! Holds: what a live writer has locked is never removed. A stream that loses all its segments keeps an empty one whose
//! header carries the counters.

use std::cmp::Reverse;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::LogError;
use crate::format::{HEADER, SegmentHeader};
use crate::segment::{self, Segment};
use crate::writer::{create_with_header, open_locked};

/// One segment of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentUse {
    pub stream: PathBuf,
    pub number: u64,
    pub bytes: u64,
    pub modified_ms: i64,
    /// The last of its stream: perhaps still written.
    pub last: bool,
}

/// Every segment below the logs directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeUsage {
    pub segments: Vec<SegmentUse>,
    pub bytes: u64,
}

/// What the cap took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    pub segments: u64,
    pub bytes: u64,
    /// Bytes above the cap that could not be dropped, because their writers are alive.
    pub still_over: u64,
}

/// Looks at the streams' directories below `logs`.
///
/// # Errors
/// When a directory cannot be listed.
pub fn usage(logs: &Path) -> Result<NodeUsage, LogError> {
    let mut usage = NodeUsage::default();
    let entries = match fs::read_dir(logs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(usage),
        Err(error) => return Err(LogError::file("list", logs, error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| LogError::file("list", logs, error))?;
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let stream = entry.path();
        let numbers = segment::numbers(&stream)?;
        for number in &numbers {
            let Ok(meta) = fs::metadata(segment::path(&stream, *number)) else { continue };
            let modified_ms = meta.mtime() * 1000 + meta.mtime_nsec() / 1_000_000;
            let last = Some(number) == numbers.last();
            usage.bytes += meta.len();
            usage.segments.push(SegmentUse {
                stream: stream.clone(),
                number: *number,
                bytes: meta.len(),
                modified_ms,
                last,
            });
        }
    }
    Ok(usage)
}

/// Which segments go so that at most `cap` bytes stay, oldest first; a stream's last segment only when no other is left.
#[must_use]
pub fn choose_drops(usage: &NodeUsage, cap: u64) -> Vec<&SegmentUse> {
    let mut over = usage.bytes.saturating_sub(cap);
    let mut candidates: Vec<&SegmentUse> =
        usage.segments.iter().filter(|one| !one.last || one.bytes > HEADER).collect();
    // The number decides between equal times, so that a stream never gets a hole in the middle.
    candidates.sort_by_key(|one| (one.last, one.modified_ms, Reverse(one.bytes), one.stream.clone(), one.number));
    let mut chosen = Vec::new();
    for one in candidates {
        if over == 0 {
            break;
        }
        over = over.saturating_sub(one.bytes);
        chosen.push(one);
    }
    chosen
}

/// Drops the oldest segments of the node until `cap` bytes are left.
///
/// # Errors
/// The first failure; the next call goes on.
pub fn enforce_caps(logs: &Path, cap: u64) -> Result<Dropped, LogError> {
    let usage = usage(logs)?;
    let mut dropped = Dropped::default();
    for one in choose_drops(&usage, cap) {
        let gone = if one.last { retire(&one.stream, one.number, None)? } else { remove(&one.stream, one.number)? };
        if gone {
            dropped.segments += 1;
            dropped.bytes += one.bytes;
        }
    }
    dropped.still_over = usage.bytes.saturating_sub(dropped.bytes).saturating_sub(cap);
    Ok(dropped)
}

/// Removes the segments of one stream in which every event is older than `cutoff_ms`; how many.
///
/// # Errors
/// The first failure; the next call goes on.
pub fn remove_older_than(stream: &Path, cutoff_ms: i64) -> Result<u64, LogError> {
    let numbers = segment::numbers(stream)?;
    let mut removed = 0;
    for pair in numbers.windows(2) {
        let Some(next) = Segment::open(stream, pair[1])? else { break };
        if next.header.latest_before >= cutoff_ms {
            return Ok(removed);
        }
        removed += u64::from(remove(stream, pair[0])?);
    }
    if let Some(last) = numbers.last() {
        removed += u64::from(retire(stream, *last, Some(cutoff_ms))?);
    }
    Ok(removed)
}

fn remove(stream: &Path, number: u64) -> Result<bool, LogError> {
    let path = segment::path(stream, number);
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(LogError::file("remove", path, error)),
    }
}

/// Replaces a last segment that nobody writes by an empty successor; `false` when it is in use, empty or not old enough.
fn retire(stream: &Path, number: u64, cutoff_ms: Option<i64>) -> Result<bool, LogError> {
    let path = segment::path(stream, number);
    let held: File = match open_locked(&path) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(false),
        Err(LogError::File { what: "lock", .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    let Some(mut segment) = Segment::of_file(held, path, number)? else { return Ok(false) };
    let found = segment.walk()?;
    if found.events == 0 || cutoff_ms.is_some_and(|cutoff| found.latest >= cutoff) {
        return Ok(false);
    }
    let header = SegmentHeader {
        events_before: segment.header.events_before + found.events,
        bytes_before: segment.header.bytes_before + found.bytes,
        latest_before: found.latest,
        ordered: segment.header.ordered,
    };
    let next = segment::path(stream, number + 1);
    match create_with_header(&next, &header) {
        Ok(_) => remove(stream, number),
        // A writer rotated meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(LogError::file("create", next, error)),
    }
}
