//! Reads a stream by time and position, in either direction, whether or not somebody writes it.
//!
//! Holds: a page costs at most `max_scan_bytes` of reading and `max_bytes` of memory. Positions stay good for ever: one
//! whose segment was dropped means the nearest event that is left.

use std::path::{Path, PathBuf};

use crate::error::LogError;
use crate::format::{Event, HEADER, Position};
use crate::segment::{self, Record, Segment};
use crate::sorted::{Place, SortedQuery, is_ordered, read_sorted};

/// Which way to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Backward,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Head,
    Tail,
    At(Position),
}

/// What to read.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    pub start: Start,
    pub direction: Direction,
    /// Inclusive, in ms.
    pub from_ms: i64,
    /// Exclusive, in ms.
    pub to_ms: i64,
    pub max_events: usize,
    /// Bytes of messages; at least one event is returned whatever its size.
    pub max_bytes: usize,
    /// Bytes of segments looked at.
    pub max_scan_bytes: u64,
}

impl Query {
    /// Everything from the head, a page at a time.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            start: Start::Head,
            direction: Direction::Forward,
            from_ms: i64::MIN,
            to_ms: i64::MAX,
            max_events: 10_000,
            max_bytes: 1 << 20,
            max_scan_bytes: u64::MAX,
        }
    }
}

/// What was found, in the order of the stream for both directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub events: Vec<Event>,
    /// Read forward from here to go on after the last event.
    pub forward: Position,
    /// Read backward from here to go on before the first event.
    pub backward: Position,
    /// Nothing more in this direction now.
    pub end: bool,
}

/// What is known of a stream without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamStats {
    pub first_event_ms: Option<i64>,
    pub last_event_ms: Option<i64>,
    pub last_ingestion_ms: Option<i64>,
    /// Bytes on disk.
    pub bytes: u64,
    /// Events and message bytes that caps or retention have removed.
    pub dropped_events: u64,
    pub dropped_bytes: u64,
}

/// One page of a stream. A directory that does not exist is an empty stream.
///
/// # Errors
/// When a file cannot be read, or the position never was one.
pub fn read(dir: &Path, query: &Query) -> Result<Page, LogError> {
    let numbers = segment::numbers(dir)?;
    let mut walk = Walk { dir, query, numbers, events: Vec::new(), bytes: 0, scanned: 0 };
    match query.direction {
        Direction::Forward => walk.forward(),
        Direction::Backward => walk.backward(),
    }
}

/// First and last event, size and drop counters.
///
/// # Errors
/// When a file cannot be read.
pub fn stats(dir: &Path) -> Result<StreamStats, LogError> {
    let (first, last) = (edge(dir, Direction::Forward)?, last_event(dir)?);
    let numbers = segment::numbers(dir)?;
    let size = |number: &u64| std::fs::metadata(segment::path(dir, *number)).map_or(0, |meta| meta.len());
    let dropped = match numbers.first() {
        Some(number) => Segment::open(dir, *number)?.map(|segment| segment.header),
        None => None,
    };
    Ok(StreamStats {
        first_event_ms: first.map(|event| event.time_ms),
        last_event_ms: last.as_ref().map(|event| event.time_ms),
        last_ingestion_ms: last.map(|event| event.ingested_ms),
        bytes: numbers.iter().map(size).sum(),
        dropped_events: dropped.map_or(0, |header| header.events_before),
        dropped_bytes: dropped.map_or(0, |header| header.bytes_before),
    })
}

/// The event whose time is the latest; it costs one look at the end where events came in order of time.
///
/// # Errors
/// When a file cannot be read.
pub fn last_event(dir: &Path) -> Result<Option<Event>, LogError> {
    edge(dir, Direction::Backward)
}

/// The first event that one reads in that direction.
fn edge(dir: &Path, direction: Direction) -> Result<Option<Event>, LogError> {
    let (start, beyond) = match direction {
        Direction::Forward => (Start::Head, Place::FIRST),
        Direction::Backward => (Start::Tail, Place::LAST),
    };
    if is_ordered(dir)? {
        let one = Query { start, direction, max_events: 1, ..Query::all() };
        return Ok(read(dir, &one)?.events.pop());
    }
    let (from_ms, to_ms) = (i64::MIN, i64::MAX);
    let one = SortedQuery { direction, beyond, from_ms, to_ms, max_events: 1, max_bytes: 1 };
    Ok(read_sorted(dir, &one)?.events.pop())
}

/// Reads on where it stopped, for as long as somebody asks.
#[derive(Debug)]
pub struct Follower {
    dir: PathBuf,
    at: Start,
}

impl Follower {
    /// Begins at `start`; [`Start::Tail`] is what is written from now on.
    ///
    /// # Errors
    /// When the stream cannot be read.
    pub fn new(dir: &Path, start: Start) -> Result<Self, LogError> {
        let mut follower = Self { dir: dir.to_owned(), at: start };
        if start == Start::Tail {
            follower.poll(0)?;
        }
        Ok(follower)
    }

    /// What came since the last call, at most `max_events`; empty when nothing did. Never waits.
    ///
    /// # Errors
    /// When the stream cannot be read.
    pub fn poll(&mut self, max_events: usize) -> Result<Vec<Event>, LogError> {
        let page = read(&self.dir, &Query { start: self.at, max_events, ..Query::all() })?;
        self.at = Start::At(page.forward);
        Ok(page.events)
    }
}

/// One reading.
struct Walk<'a> {
    dir: &'a Path,
    query: &'a Query,
    numbers: Vec<u64>,
    events: Vec<Event>,
    bytes: usize,
    scanned: u64,
}

impl Walk<'_> {
    fn forward(&mut self) -> Result<Page, LogError> {
        let Some((first, offset)) = self.forward_start()? else { return Ok(self.nothing()) };
        let mut began = None;
        let mut at = Position { segment: self.numbers[first], offset };
        for index in first..self.numbers.len() {
            if index > first {
                at = Position { segment: self.numbers[index], offset: HEADER };
            }
            if self.wholly_before(index)? {
                continue;
            }
            let Some(mut segment) = Segment::open(self.dir, at.segment)? else { continue };
            while let Some(record) = segment.record_at(at.offset)? {
                if segment.header.ordered && record.time_ms >= self.query.to_ms {
                    return Ok(self.page(began.unwrap_or(at), at, true));
                }
                if self.full(record) {
                    return Ok(self.page(began.unwrap_or(at), at, false));
                }
                if self.take(&mut segment, record)? {
                    began.get_or_insert(at);
                }
                at.offset = record.end();
            }
        }
        Ok(self.page(began.unwrap_or(at), at, true))
    }

    fn backward(&mut self) -> Result<Page, LogError> {
        let Some((last, offset)) = self.backward_start()? else { return Ok(self.nothing()) };
        let mut ended = None;
        let mut at = Position { segment: self.numbers[last], offset: offset.unwrap_or(HEADER) };
        for index in (0..=last).rev() {
            let Some(mut segment) = Segment::open(self.dir, self.numbers[index])? else { continue };
            let end = match offset {
                Some(offset) if index == last => offset,
                Some(_) | None => segment.end()?,
            };
            at = Position { segment: self.numbers[index], offset: end };
            if self.wholly_before(index)? {
                break;
            }
            if segment.header.ordered && segment.header.latest_before >= self.query.to_ms {
                at.offset = HEADER;
                continue;
            }
            while let Some(record) = segment.record_before(at.offset)? {
                let past = segment.header.ordered && record.time_ms < self.query.from_ms;
                if past || self.full(record) {
                    self.events.reverse();
                    return Ok(self.page(at, ended.unwrap_or(at), past));
                }
                let boundary = at;
                if self.take(&mut segment, record)? {
                    ended.get_or_insert(boundary);
                }
                at.offset = record.at;
            }
        }
        self.events.reverse();
        Ok(self.page(at, ended.unwrap_or(at), true))
    }

    /// Index of the first segment to read and the offset in it.
    fn forward_start(&self) -> Result<Option<(usize, u64)>, LogError> {
        let Some(last) = self.numbers.len().checked_sub(1) else { return Ok(None) };
        Ok(Some(match self.query.start {
            Start::Head => (0, HEADER),
            Start::Tail => (last, self.end_of(last)?),
            Start::At(position) => match self.numbers.binary_search(&position.segment) {
                Ok(index) => (index, self.checked(position)?),
                Err(index) if index <= last => (index, HEADER),
                Err(_) => return Err(bad(position)),
            },
        }))
    }

    /// Index of the last segment to read and the offset where it ends for us; `None` is its own end.
    fn backward_start(&self) -> Result<Option<(usize, Option<u64>)>, LogError> {
        let Some(last) = self.numbers.len().checked_sub(1) else { return Ok(None) };
        Ok(Some(match self.query.start {
            Start::Head => (0, Some(HEADER)),
            Start::Tail => (last, None),
            Start::At(position) => match self.numbers.binary_search(&position.segment) {
                Ok(index) => (index, Some(self.checked(position)?)),
                Err(0) => (0, Some(HEADER)),
                Err(index) if index <= last => (index - 1, None),
                Err(_) => return Err(bad(position)),
            },
        }))
    }

    fn end_of(&self, index: usize) -> Result<u64, LogError> {
        match Segment::open(self.dir, self.numbers[index])? {
            Some(mut segment) => segment.end(),
            None => Ok(HEADER),
        }
    }

    /// A token comes from outside: it must be the edge of a record.
    fn checked(&self, position: Position) -> Result<u64, LogError> {
        if position.offset == HEADER {
            return Ok(HEADER);
        }
        let Some(mut segment) = Segment::open(self.dir, position.segment)? else { return Ok(HEADER) };
        segment.record_before(position.offset)?.ok_or_else(|| bad(position))?;
        Ok(position.offset)
    }

    /// The next segment's head knows the latest time of everything before it.
    fn wholly_before(&self, index: usize) -> Result<bool, LogError> {
        let Some(next) = self.numbers.get(index + 1).filter(|_| self.query.from_ms > i64::MIN) else {
            return Ok(false);
        };
        Ok(Segment::open(self.dir, *next)?.is_some_and(|next| next.header.latest_before < self.query.from_ms))
    }

    fn full(&self, record: Record) -> bool {
        let wanted = self.wants(record);
        let no_room = !self.events.is_empty() && self.bytes + record.word.message as usize > self.query.max_bytes;
        (wanted && (self.events.len() >= self.query.max_events || no_room)) || self.scanned >= self.query.max_scan_bytes
    }

    fn wants(&self, record: Record) -> bool {
        record.time_ms >= self.query.from_ms && record.time_ms < self.query.to_ms
    }

    fn take(&mut self, segment: &mut Segment, record: Record) -> Result<bool, LogError> {
        self.scanned += record.word.total();
        if !self.wants(record) {
            return Ok(false);
        }
        let Some(event) = segment.event(record)? else { return Ok(false) };
        self.bytes += event.message.len();
        self.events.push(event);
        Ok(true)
    }

    fn page(&mut self, backward: Position, forward: Position, end: bool) -> Page {
        Page { events: std::mem::take(&mut self.events), forward, backward, end }
    }

    /// A stream without segments. Its first one will have number 1.
    fn nothing(&mut self) -> Page {
        let at = Position { segment: 1, offset: HEADER };
        self.page(at, at, true)
    }
}

fn bad(position: Position) -> LogError {
    LogError::BadPosition { segment: position.segment, offset: position.offset }
}
