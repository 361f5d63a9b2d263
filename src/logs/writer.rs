//! Writes a stream: one `write` per read of the pipe, segments by size, the oldest dropped.
//!
//! Holds: a failed write leaves the file as it was before, and the stream says later how much was lost. A stream has one
//! writer at a time: the last segment is locked while it lives.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use cove_base::Timestamp;

use crate::error::LogError;
use crate::format::{EVENT_BYTES_MAX, HEADER, SegmentHeader, push_record};
use crate::grouping::Grouping;
use crate::lines::Lines;
use crate::segment::{self, Segment};

/// Large enough that rotation is rare, small enough that dropping the oldest is gentle and a walk takes milliseconds.
const SEGMENT_BYTES_MAX: u64 = 8 << 20;
/// Room for the longest event; so a stream's cap is in truth never below twice this.
const SEGMENT_BYTES_MIN: u64 = 512 << 10;
/// A stream's cap is kept to an eighth of itself.
const SEGMENTS_PER_STREAM: u64 = 8;
/// What is gathered before a write, when one call brings more than a pipe holds.
const BATCH_BYTES: usize = 256 << 10;
/// Memory that an idle writer may keep.
const SPARE_MAX: usize = 96 << 10;

/// Which pipe bytes came from; each has its own unfinished line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Stdout,
    Stderr,
}

/// Whether times may go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// A container's own output: the time is raised to the latest one seen, should the clock step back.
    Kept,
    /// A client's events, with times of its own.
    AsGiven,
}

/// The one writer of a stream.
#[derive(Debug)]
pub struct StreamWriter {
    dir: PathBuf,
    order: Order,
    max_bytes: u64,
    file: File,
    number: u64,
    /// Where the next record goes.
    length: u64,
    events: u64,
    bytes: u64,
    latest: i64,
    stdout: Lines,
    stderr: Lines,
    /// Gathers lines of both into events, where a line is not an event.
    grouping: Option<Box<Grouping>>,
    batch: Batch,
    /// Events that could not be written since the last success.
    lost: u64,
}

/// Records that wait for their `write`.
#[derive(Debug, Default)]
struct Batch {
    records: Vec<u8>,
    events: u64,
    bytes: u64,
}

impl StreamWriter {
    /// Opens a container's stream for appending; the directory is made, a torn tail is cut.
    ///
    /// # Errors
    /// When the directory cannot be used, or another writer has the stream.
    pub fn open(dir: &Path, max_bytes: u64) -> Result<Self, LogError> {
        Self::open_as(dir, max_bytes, Order::Kept)
    }

    /// Opens a stream of events that clients put, whose times need not be in order.
    ///
    /// # Errors
    /// As [`StreamWriter::open`].
    pub fn open_for_events(dir: &Path, max_bytes: u64) -> Result<Self, LogError> {
        Self::open_as(dir, max_bytes, Order::AsGiven)
    }

    fn open_as(dir: &Path, max_bytes: u64, order: Order) -> Result<Self, LogError> {
        fs::create_dir_all(dir).map_err(|error| LogError::file("create", dir, error))?;
        loop {
            if let Some(writer) = Self::try_open(dir, max_bytes, order)? {
                return Ok(writer);
            }
        }
    }

    /// `None` when the last segment was taken away between looking and locking.
    fn try_open(dir: &Path, max_bytes: u64, order: Order) -> Result<Option<Self>, LogError> {
        let numbers = segment::numbers(dir)?;
        let Some(&number) = numbers.last() else {
            let header = SegmentHeader { events_before: 0, bytes_before: 0, latest_before: i64::MIN, ordered: true };
            let file = match create(dir, 1, &header, order) {
                Ok(file) => file,
                Err(LogError::File { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
                Err(error) => return Err(error),
            };
            return Ok(Some(Self::new(dir, order, max_bytes, file, (1, HEADER, 0, 0, i64::MIN))));
        };
        let path = segment::path(dir, number);
        let Some(file) = open_locked(&path)? else { return Ok(None) };
        let reader = file.try_clone().map_err(|error| LogError::file("open", &path, error))?;
        let Some(mut segment) = Segment::of_file(reader, path.clone(), number)? else {
            // Its head was never whole, so nothing was ever in it.
            fs::remove_file(&path).map_err(|error| LogError::file("remove", &path, error))?;
            return Ok(None);
        };
        let found = segment.walk()?;
        file.set_len(found.end).map_err(|error| LogError::file("cut", &path, error))?;
        let events = segment.header.events_before + found.events;
        let bytes = segment.header.bytes_before + found.bytes;
        let mut writer = Self::new(dir, order, max_bytes, file, (number, found.end, events, bytes, found.latest));
        if order == Order::AsGiven && segment.header.ordered {
            writer.rotate()?;
        }
        Ok(Some(writer))
    }

    fn new(dir: &Path, order: Order, max_bytes: u64, file: File, at: (u64, u64, u64, u64, i64)) -> Self {
        let (number, length, events, bytes, latest) = at;
        Self {
            dir: dir.to_owned(),
            order,
            max_bytes,
            file,
            number,
            length,
            events,
            bytes,
            latest,
            stdout: Lines::default(),
            stderr: Lines::default(),
            grouping: None,
            batch: Batch::default(),
            lost: 0,
        }
    }

    /// From now on an event begins with a line that matches, and has all lines up to the next such.
    ///
    /// # Errors
    /// When the pattern is no regular expression that can be used.
    pub fn begin_events_at(&mut self, pattern: &str) -> Result<(), LogError> {
        self.grouping = Some(Box::new(Grouping::new(pattern)?));
        Ok(())
    }

    /// A number for the event that waits for more lines, if one does.
    #[must_use]
    pub fn open_event(&self) -> Option<u64> {
        self.grouping.as_ref().and_then(|grouping| grouping.open())
    }

    /// Writes the event that waits for more lines.
    ///
    /// # Errors
    /// As [`StreamWriter::append`].
    pub fn end_event(&mut self, at: Timestamp) -> Result<(), LogError> {
        let time_ms = self.time(at);
        if let Some(grouping) = &mut self.grouping {
            grouping.end(&mut |time, event| self.batch.push(time, None, event));
        }
        self.flush(time_ms)
    }

    /// Takes what was read from a pipe: every completed line becomes an event of time `at`.
    ///
    /// # Errors
    /// When the disk refuses; the lines are lost and counted, and the writer can be used further.
    pub fn append(&mut self, source: Source, at: Timestamp, bytes: &[u8]) -> Result<(), LogError> {
        let time_ms = self.time(at);
        for piece in bytes.chunks(BATCH_BYTES) {
            let lines = match source {
                Source::Stdout => &mut self.stdout,
                Source::Stderr => &mut self.stderr,
            };
            let (batch, grouping) = (&mut self.batch, &mut self.grouping);
            lines.push(piece, |line| batch.take(grouping.as_deref_mut(), time_ms, line));
            self.flush(time_ms)?;
        }
        Ok(())
    }

    /// The pipe has ended: an unfinished line becomes an event.
    ///
    /// # Errors
    /// As [`StreamWriter::append`].
    pub fn finish(&mut self, source: Source, at: Timestamp) -> Result<(), LogError> {
        let time_ms = self.time(at);
        let lines = match source {
            Source::Stdout => &mut self.stdout,
            Source::Stderr => &mut self.stderr,
        };
        let (batch, grouping) = (&mut self.batch, &mut self.grouping);
        lines.finish(|line| batch.take(grouping.as_deref_mut(), time_ms, line));
        self.flush(time_ms)
    }

    /// Adds events of a client, each `(time in ms, message)`, in the order given; too long messages are cut.
    ///
    /// # Errors
    /// As [`StreamWriter::append`].
    pub fn put(&mut self, ingested: Timestamp, events: &[(i64, &[u8])]) -> Result<(), LogError> {
        let mut latest = self.latest;
        for (time_ms, message) in events {
            let message = &message[..message.len().min(EVENT_BYTES_MAX)];
            let time_ms = match self.order {
                Order::Kept => (*time_ms).max(latest),
                Order::AsGiven => *time_ms,
            };
            latest = latest.max(time_ms);
            self.batch.push(time_ms, Some(ingested.millis()), message);
            if self.batch.records.len() >= BATCH_BYTES {
                self.flush(latest)?;
            }
        }
        self.flush(latest)
    }

    /// Waits until what was written is on disk; for events that are acknowledged to somebody.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<(), LogError> {
        let failed = |error| LogError::file("sync", segment::path(&self.dir, self.number), error);
        self.file.sync_data().and_then(|()| cove_base::files::sync_directory(&self.dir)).map_err(failed)
    }

    fn time(&self, at: Timestamp) -> i64 {
        match self.order {
            Order::Kept => at.millis().max(self.latest),
            Order::AsGiven => at.millis(),
        }
    }

    /// Writes the batch. `latest` is the latest time in it.
    fn flush(&mut self, latest: i64) -> Result<(), LogError> {
        if self.batch.events == 0 {
            return Ok(());
        }
        if self.lost > 0 {
            let notice = format!("cove: {} log events were lost because they could not be written", self.lost);
            let mut first = Batch::default();
            first.push(latest, None, notice.as_bytes());
            first.records.append(&mut self.batch.records);
            self.batch.records = first.records;
            self.batch.events += first.events;
            self.batch.bytes += first.bytes;
        }
        let written = self.write();
        match written {
            Ok(()) => {
                self.length += self.batch.records.len() as u64;
                self.events += self.batch.events;
                self.bytes += self.batch.bytes;
                self.latest = self.latest.max(latest);
                self.lost = 0;
            }
            Err(_) => self.lost += self.batch.events - u64::from(self.lost > 0),
        }
        self.batch.clear();
        written
    }

    fn write(&mut self) -> Result<(), LogError> {
        let size = self.batch.records.len() as u64;
        if self.length > HEADER && self.length + size > segment_bytes(self.max_bytes) {
            self.rotate()?;
        }
        // At a fixed place, not appended: what a failed write left behind is overwritten by the next one.
        self.file.write_all_at(&self.batch.records, self.length).map_err(|error| {
            let _ = self.file.set_len(self.length);
            LogError::file("write", segment::path(&self.dir, self.number), error)
        })
    }

    fn rotate(&mut self) -> Result<(), LogError> {
        let header = SegmentHeader {
            events_before: self.events,
            bytes_before: self.bytes,
            latest_before: self.latest,
            ordered: self.order == Order::Kept,
        };
        self.file = create(&self.dir, self.number + 1, &header, self.order)?;
        self.number += 1;
        self.length = HEADER;
        self.drop_oldest()
    }

    /// Makes room for one full segment. The header of the oldest that stays says how much went.
    fn drop_oldest(&self) -> Result<(), LogError> {
        let mut old = Vec::new();
        for number in segment::numbers(&self.dir)?.into_iter().filter(|number| *number < self.number) {
            let path = segment::path(&self.dir, number);
            old.push((fs::metadata(&path).map_or(0, |meta| meta.len()), path));
        }
        let mut total: u64 = old.iter().map(|(bytes, _)| bytes).sum();
        for (bytes, path) in old {
            if total + segment_bytes(self.max_bytes) <= self.max_bytes.max(2 * SEGMENT_BYTES_MIN) {
                break;
            }
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(LogError::file("remove", path, error));
                }
                Ok(()) | Err(_) => total -= bytes,
            }
        }
        Ok(())
    }
}

impl Drop for StreamWriter {
    /// A last try for lines without an end; the time is the latest one, for want of a clock.
    fn drop(&mut self) {
        let at = Timestamp(self.latest.max(0));
        let _ = self.finish(Source::Stdout, at);
        let _ = self.finish(Source::Stderr, at);
        let _ = self.end_event(at);
    }
}

impl Batch {
    /// Takes a line, which is an event or becomes part of one.
    fn take(&mut self, grouping: Option<&mut Grouping>, time_ms: i64, line: &[u8]) {
        match grouping {
            None => self.push(time_ms, None, line),
            Some(grouping) => grouping.push(time_ms, line, &mut |time, event| self.push(time, None, event)),
        }
    }

    fn push(&mut self, time_ms: i64, ingested_ms: Option<i64>, message: &[u8]) {
        push_record(&mut self.records, time_ms, ingested_ms, message);
        self.events += 1;
        self.bytes += message.len() as u64;
    }

    fn clear(&mut self) {
        self.events = 0;
        self.bytes = 0;
        self.records.clear();
        if self.records.capacity() > SPARE_MAX {
            self.records.shrink_to(SPARE_MAX);
        }
    }
}

fn segment_bytes(max_bytes: u64) -> u64 {
    (max_bytes / SEGMENTS_PER_STREAM).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)
}

/// A new, locked segment with its head.
fn create(dir: &Path, number: u64, header: &SegmentHeader, order: Order) -> Result<File, LogError> {
    let path = segment::path(dir, number);
    let header = SegmentHeader { ordered: order == Order::Kept, ..*header };
    create_with_header(&path, &header).map_err(|error| LogError::file("create", path, error))
}

/// The file exists with its whole header or is removed again; locked for this process.
pub(crate) fn create_with_header(path: &Path, header: &SegmentHeader) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    let locked = file.try_lock().map_err(io::Error::from).and_then(|()| file.write_all_at(&header.encode(), 0));
    match locked {
        Ok(()) => Ok(file),
        Err(error) => {
            let _ = fs::remove_file(path);
            Err(error)
        }
    }
}

/// Opens a last segment and takes its lock; `None` when it vanished meanwhile.
pub(crate) fn open_locked(path: &Path) -> Result<Option<File>, LogError> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LogError::file("open", path, error)),
    };
    file.try_lock().map_err(|error| LogError::file("lock", path, error.into()))?;
    let links = file.metadata().map_err(|error| LogError::file("examine", path, error))?.nlink();
    Ok((links > 0).then_some(file))
}
