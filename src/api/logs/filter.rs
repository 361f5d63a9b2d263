//! FilterLogEvents: the events of many streams of a group, in order of time.
//!
//! Holds: each call examines at most a bounded number of events, then answers what it found and a token to go on with;
//! memory is one event per stream, and a bounded number beyond that; a stream whose last event is too old costs one look at
//! its end. The order is (time, stream, position), which a token can name, so that nothing is
//! returned twice or left out between calls while containers write on.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use cove_logs::{Direction, Event, Position, Query, SortedQuery, Start};
use cove_model::logs::LogStream;

use super::error::LogsError;
use super::event::{PAGE_BYTES_MAX, limit};
use super::pattern::Pattern;
use super::stream::{self, blocking};
use super::wire::{FilterLogEventsIn, FilterLogEventsOut, FilteredEventOut};
use super::{group, token};
use crate::Context;

/// Events looked at by one call; a pattern that matches nothing comes back with a token then.
const EXAMINED_MAX: usize = 200_000;
/// Events of one stream in memory, and of all streams together; of each there is at least one.
const AHEAD: usize = 256;
const AHEAD_BYTES: usize = 64 << 10;
const AHEAD_ALL_BYTES: usize = 16 << 20;
/// The same of a stream whose events did not come by time, where each look costs more.
const SORTED_AHEAD: usize = 4096;
const SORTED_FACTOR: usize = 16;
const TOKEN: &str = "filter";

/// FilterLogEvents.
pub(super) async fn filter(cx: &Context, input: FilterLogEventsIn) -> Result<FilterLogEventsOut, LogsError> {
    if input.log_stream_names.is_some() && input.log_stream_name_prefix.is_some() {
        return Err(LogsError::parameter("logStreamNames and logStreamNamePrefix are mutually exclusive parameters."));
    }
    let group = group::named(cx, input.log_group_name, input.log_group_identifier)?;
    let streams: Vec<Arc<LogStream>> = match input.log_stream_names {
        Some(mut names) => {
            names.sort_unstable();
            names.dedup();
            names.iter().map(|name| stream::named(cx, &group.name, name)).collect::<Result<_, _>>()?
        }
        None => {
            let prefix = input.log_stream_name_prefix.unwrap_or_default();
            let mut streams = stream::of_group(cx, &group.name);
            streams.retain(|stream| stream.name.starts_with(&prefix));
            streams
        }
    };
    let search = Search {
        logs: cx.store.data_dir().logs(),
        streams,
        pattern: Pattern::parse(input.filter_pattern.as_deref().unwrap_or(""))?,
        from_ms: input.start_time.unwrap_or(i64::MIN),
        // Unlike GetLogEvents, the end is included.
        to_ms: input.end_time.map_or(i64::MAX, |end| end.saturating_add(1)),
        limit: limit(input.limit)?,
        after: input.next_token.as_deref().map(Place::read).transpose()?,
    };
    blocking(move || search.run()).await
}

/// An event's place in the order of the answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    time_ms: i64,
    stream: String,
    position: Position,
}

impl Place {
    fn write(&self) -> String {
        let Position { segment, offset } = self.position;
        token::write_place(TOKEN, &format!("{} {segment} {offset} {}", self.time_ms, self.stream))
    }

    fn read(text: &str) -> Result<Self, LogsError> {
        let place = token::read_place(TOKEN, text)?;
        let mut parts = place.splitn(4, ' ');
        let mut next = || parts.next().ok_or(LogsError::BadToken);
        let number = |text: &str| text.parse::<u64>().map_err(|_| LogsError::BadToken);
        let time_ms = next()?.parse().map_err(|_| LogsError::BadToken)?;
        let position = Position { segment: number(next()?)?, offset: number(next()?)? };
        Ok(Self { time_ms, stream: next()?.to_owned(), position })
    }
}

struct Search {
    logs: PathBuf,
    streams: Vec<Arc<LogStream>>,
    pattern: Pattern,
    from_ms: i64,
    to_ms: i64,
    limit: usize,
    after: Option<Place>,
}

impl Search {
    fn run(&self) -> Result<FilterLogEventsOut, LogsError> {
        let from_ms = self.after.as_ref().map_or(self.from_ms, |after| after.time_ms.max(self.from_ms));
        let mut cursors = Vec::with_capacity(self.streams.len());
        let mut heap = BinaryHeap::new();
        for (index, stream) in self.streams.iter().enumerate() {
            let mut cursor = self.cursor(stream, from_ms)?;
            while let Some(event) = cursor.peek()? {
                let place = place(stream, event);
                if self.after.as_ref().is_none_or(|after| place > *after) {
                    heap.push(Reverse((place, index)));
                    break;
                }
                cursor.ready.pop_front();
            }
            cursors.push(cursor);
        }
        let (mut events, mut bytes, mut examined) = (Vec::new(), 0, 0);
        let mut last: Option<Place> = None;
        while let Some(Reverse((at, index))) = heap.pop() {
            if examined == EXAMINED_MAX || events.len() == self.limit || bytes >= PAGE_BYTES_MAX {
                let next_token = last.as_ref().map(Place::write);
                return Ok(FilterLogEventsOut { events, searched_log_streams: Vec::new(), next_token });
            }
            let (stream, cursor) = (&self.streams[index], &mut cursors[index]);
            if let Some(event) = cursor.ready.pop_front() {
                let message = String::from_utf8_lossy(&event.message);
                if !message.is_empty() && self.pattern.matches(&message) {
                    bytes += message.len();
                    events.push(show(stream, &event, message.into_owned()));
                }
            }
            examined += 1;
            last = Some(at);
            if let Some(event) = cursor.peek()? {
                heap.push(Reverse((place(stream, event), index)));
            }
        }
        Ok(FilterLogEventsOut { events, searched_log_streams: Vec::new(), next_token: None })
    }
}

/// What each stream may have in memory, that all together stay small.
const fn ahead_bytes(streams: usize) -> usize {
    let share = AHEAD_ALL_BYTES / if streams == 0 { 1 } else { streams };
    if share < AHEAD_BYTES { share } else { AHEAD_BYTES }
}

/// One stream, a few events ahead.
struct Cursor {
    path: PathBuf,
    query: Query,
    /// Where the reading is, in a stream whose events did not come by time.
    by_time: Option<cove_logs::Place>,
    ready: VecDeque<Event>,
    ended: bool,
}

impl Search {
    fn cursor(&self, stream: &LogStream, from_ms: i64) -> Result<Cursor, LogsError> {
        let query = Query {
            start: Start::Head,
            direction: Direction::Forward,
            from_ms,
            to_ms: self.to_ms,
            max_events: AHEAD,
            max_bytes: ahead_bytes(self.streams.len()),
            max_scan_bytes: u64::MAX,
        };
        let path = self.logs.join(&stream.directory);
        // Who follows a group asks for the last minute again and again, and most of its streams ended long ago.
        let ended = from_ms > i64::MIN && cove_logs::last_event(&path)?.is_none_or(|last| last.time_ms < from_ms);
        let by_time = (!cove_logs::is_ordered(&path)?).then_some(cove_logs::Place::FIRST);
        Ok(Cursor { path, query, by_time, ready: VecDeque::new(), ended })
    }
}

impl Cursor {
    fn peek(&mut self) -> Result<Option<&Event>, LogsError> {
        while let Some(beyond) = self.by_time.filter(|_| self.ready.is_empty() && !self.ended) {
            let Query { direction, from_ms, to_ms, .. } = self.query;
            let max_bytes = PAGE_BYTES_MAX.min(self.query.max_bytes * SORTED_FACTOR);
            let max_events = SORTED_AHEAD;
            let query = SortedQuery { direction, beyond, from_ms, to_ms, max_events, max_bytes };
            let page = cove_logs::read_sorted(&self.path, &query)?;
            let last = page.events.last();
            self.by_time = last
                .map(|event| cove_logs::Place { time_ms: event.time_ms, position: event.position })
                .or(Some(beyond));
            self.ended = page.end;
            self.ready.extend(page.events);
        }
        while self.ready.is_empty() && !self.ended {
            let page = cove_logs::read(&self.path, &self.query)?;
            self.query.start = Start::At(page.forward);
            self.ended = page.end;
            self.ready.extend(page.events);
        }
        Ok(self.ready.front())
    }
}

fn place(stream: &LogStream, event: &Event) -> Place {
    Place { time_ms: event.time_ms, stream: stream.name.clone(), position: event.position }
}

fn show(stream: &LogStream, event: &Event, message: String) -> FilteredEventOut {
    // 56 digits as AWS's: time, stream, position. The same event has the same id for ever.
    let stream_id = stream.directory.get(..8).and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or(0);
    let Position { segment, offset } = event.position;
    let time = event.time_ms.max(0);
    FilteredEventOut {
        log_stream_name: stream.name.clone(),
        timestamp: time,
        message,
        ingestion_time: event.ingested_ms.max(0),
        event_id: format!("{time:014}{stream_id:010}{segment:016}{offset:016}"),
    }
}
