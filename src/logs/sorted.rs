//! Reads a stream whose events did not come in the order of their times, in that order.
//!
//! In: a place to go on from, a range of times. Out: the next events before or after it.
//!
//! Holds: pages follow each other without gap or repetition; an event that comes late is found by who has not read past
//! its time. Memory is one page. Segments whose times lie elsewhere are not read again: those that nobody writes any more
//! are looked at once.
//! Why no index on disk: streams that clients fill are small (they are capped), and mostly in order.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::LogError;
use crate::format::{Event, HEADER, Position};
use crate::reader::Direction;
use crate::segment::{self, Segment};

/// Segments whose times are remembered; beyond it all are forgotten.
const REMEMBERED_MAX: usize = 4096;

/// An event's place in the order of times; equal times are in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub time_ms: i64,
    pub position: Position,
}

impl Place {
    /// Before every event.
    pub const FIRST: Self = Self { time_ms: i64::MIN, position: Position { segment: 0, offset: 0 } };
    /// After every event.
    pub const LAST: Self = Self { time_ms: i64::MAX, position: Position { segment: u64::MAX, offset: u64::MAX } };
}

/// What to read.
#[derive(Debug, Clone, Copy)]
pub struct SortedQuery {
    pub direction: Direction,
    /// Neither this one nor what lies behind it.
    pub beyond: Place,
    /// Inclusive, in ms.
    pub from_ms: i64,
    /// Exclusive, in ms.
    pub to_ms: i64,
    pub max_events: usize,
    /// Bytes of messages; at least one event is returned whatever its size.
    pub max_bytes: usize,
}

/// Events by time, whatever the direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortedPage {
    pub events: Vec<Event>,
    /// Nothing more in this direction now.
    pub end: bool,
}

/// Whether the stream's order is that of its times, so that [`crate::read`] gives it.
///
/// # Errors
/// When a file cannot be read.
pub fn is_ordered(dir: &Path) -> Result<bool, LogError> {
    for number in segment::numbers(dir)?.into_iter().rev() {
        if Segment::open(dir, number)?.is_some_and(|segment| !segment.header.ordered) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// One page by time. A directory that does not exist is an empty stream.
///
/// # Errors
/// When a file cannot be read.
pub fn read_sorted(dir: &Path, query: &SortedQuery) -> Result<SortedPage, LogError> {
    let numbers = segment::numbers(dir)?;
    let mut chosen = Chosen::new(query);
    for (index, number) in numbers.iter().enumerate() {
        let Some(mut segment) = Segment::open(dir, *number)? else { continue };
        let is_sealed = index + 1 < numbers.len();
        if is_sealed && times(dir, &mut segment)?.is_none_or(|(first, last)| !chosen.may_want(first, last)) {
            continue;
        }
        let mut at = HEADER;
        while let Some(record) = segment.record_at(at)? {
            let place = Place { time_ms: record.time_ms, position: Position { segment: *number, offset: at } };
            chosen.offer(place, usize::try_from(record.word.message).unwrap_or(usize::MAX));
            at = record.end();
        }
    }
    let mut open: HashMap<u64, Segment> = HashMap::new();
    let mut events = Vec::with_capacity(chosen.places.len());
    for place in chosen.places.keys() {
        let number = place.position.segment;
        let segment = match open.entry(number) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(empty) => match Segment::open(dir, number)? {
                Some(segment) => empty.insert(segment),
                // Dropped meanwhile: its events are gone.
                None => continue,
            },
        };
        if let Some(record) = segment.record_at(place.position.offset)? {
            events.extend(segment.event(record)?);
        }
    }
    Ok(SortedPage { events, end: chosen.limit.is_none() })
}

/// The place just before a boundary between records, for who has read so far in the order of arrival.
///
/// # Errors
/// When a file cannot be read.
pub fn place_before(dir: &Path, boundary: Position) -> Result<Place, LogError> {
    let Some(mut segment) = Segment::open(dir, boundary.segment)? else { return Ok(Place::FIRST) };
    Ok(match segment.record_before(boundary.offset)? {
        Some(record) => {
            let position = Position { segment: boundary.segment, offset: record.at };
            Place { time_ms: record.time_ms, position }
        }
        None => {
            let position = Position { segment: boundary.segment, offset: 0 };
            Place { time_ms: segment.header.latest_before, position }
        }
    })
}

/// The best so far.
struct Chosen<'a> {
    query: &'a SortedQuery,
    places: BTreeMap<Place, usize>,
    bytes: usize,
    /// The first that found no room: what lies behind it has none either.
    limit: Option<Place>,
}

impl<'a> Chosen<'a> {
    fn new(query: &'a SortedQuery) -> Self {
        Self { query, places: BTreeMap::new(), bytes: 0, limit: None }
    }

    /// Whether anything of these times may be among the chosen.
    fn may_want(&self, first: i64, last: i64) -> bool {
        let Self { query, limit, .. } = self;
        let in_range = last >= query.from_ms && first < query.to_ms;
        let beyond = match query.direction {
            Direction::Forward => last >= query.beyond.time_ms && limit.is_none_or(|limit| first <= limit.time_ms),
            Direction::Backward => first <= query.beyond.time_ms && limit.is_none_or(|limit| last >= limit.time_ms),
        };
        // What is left out here is more that comes later.
        in_range && beyond
    }

    fn offer(&mut self, place: Place, bytes: usize) {
        let query = self.query;
        let is_wanted = place.time_ms >= query.from_ms
            && place.time_ms < query.to_ms
            && self.comes_first(query.beyond, place)
            && self.limit.is_none_or(|limit| self.comes_first(place, limit));
        if !is_wanted {
            return;
        }
        self.places.insert(place, bytes);
        self.bytes += bytes;
        while self.places.len() > query.max_events || self.bytes > query.max_bytes && self.places.len() > 1 {
            let last = match query.direction {
                Direction::Forward => self.places.pop_last(),
                Direction::Backward => self.places.pop_first(),
            };
            let Some((place, bytes)) = last else { return };
            self.bytes -= bytes;
            self.limit = Some(place);
        }
    }

    fn comes_first(&self, one: Place, other: Place) -> bool {
        match self.query.direction {
            Direction::Forward => one < other,
            Direction::Backward => one > other,
        }
    }
}

/// First and last time of a segment that nobody writes any more; `None` of an empty one.
fn times(dir: &Path, segment: &mut Segment) -> Result<Option<(i64, i64)>, LogError> {
    type Known = HashMap<(PathBuf, u64), Option<(i64, i64)>>;
    static KNOWN: Mutex<Option<Known>> = Mutex::new(None);
    let key = (dir.to_owned(), segment.number);
    let lock = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = lock().as_ref().and_then(|known| known.get(&key)) {
        return Ok(*known);
    }
    let (mut at, mut found) = (HEADER, None);
    while let Some(record) = segment.record_at(at)? {
        let (first, last) = found.unwrap_or((record.time_ms, record.time_ms));
        found = Some((record.time_ms.min(first), record.time_ms.max(last)));
        at = record.end();
    }
    let mut known = lock();
    let known = known.get_or_insert_default();
    if known.len() >= REMEMBERED_MAX {
        known.clear();
    }
    known.insert(key, found);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use cove_base::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::StreamWriter;

    fn query(direction: Direction, max_events: usize, max_bytes: usize) -> SortedQuery {
        let beyond = match direction {
            Direction::Forward => Place::FIRST,
            Direction::Backward => Place::LAST,
        };
        SortedQuery { direction, beyond, from_ms: i64::MIN, to_ms: i64::MAX, max_events, max_bytes }
    }

    fn place(event: &Event) -> Place {
        Place { time_ms: event.time_ms, position: event.position }
    }

    /// Every event, a page at a time.
    fn paged(dir: &Path, mut query: SortedQuery) -> Vec<Event> {
        let mut all = Vec::new();
        loop {
            let page = read_sorted(dir, &query).unwrap();
            match query.direction {
                Direction::Forward => {
                    query.beyond = page.events.last().map_or(query.beyond, place);
                    all.extend(page.events);
                }
                Direction::Backward => {
                    query.beyond = page.events.first().map_or(query.beyond, place);
                    all.splice(0..0, page.events);
                }
            }
            if page.end {
                return all;
            }
        }
    }

    #[test]
    fn late_events_stand_where_their_time_says_and_pages_have_no_gap() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = StreamWriter::open_for_events(dir.path(), 1 << 30).unwrap();
        let put = |log: &mut StreamWriter, events: &[(i64, &[u8])]| log.put(Timestamp(99), events).unwrap();
        put(&mut log, &[(30, b"c"), (40, b"d")]);
        put(&mut log, &[(10, b"a"), (30, b"c2"), (50, b"e")]);
        put(&mut log, &[(20, b"b")]);
        assert!(!is_ordered(dir.path()).unwrap());
        for direction in [Direction::Forward, Direction::Backward] {
            for max in 1..8 {
                let events = paged(dir.path(), query(direction, max, 1 << 20));
                let texts: Vec<_> = events.iter().map(|event| String::from_utf8_lossy(&event.message)).collect();
                assert_eq!(texts, ["a", "b", "c", "c2", "d", "e"], "{direction:?} {max}");
            }
        }
        let some = SortedQuery { from_ms: 20, to_ms: 40, ..query(Direction::Forward, 9, 1 << 20) };
        assert_eq!(read_sorted(dir.path(), &some).unwrap().events.len(), 3);
        // One who has read the first two by arrival goes on after the second's time.
        let read = crate::read(dir.path(), &crate::Query { max_events: 2, ..crate::Query::all() }).unwrap();
        assert_eq!(place_before(dir.path(), read.forward).unwrap().time_ms, 40);
        assert!(read_sorted(&dir.path().join("absent"), &some).unwrap().end);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn pages_of_any_size_give_every_event_once_and_by_time(
            times in prop::collection::vec((0i64..50, 0usize..60_000), 1..80), max_events in 1usize..30, max_bytes in 1usize..200_000,
        ) {
            let dir = tempfile::tempdir().unwrap();
            // The smallest cap that rotates without dropping.
            let mut log = StreamWriter::open_for_events(dir.path(), 4 << 20).unwrap();
            for (time, size) in &times {
                log.put(Timestamp(0), &[(*time, &vec![b'x'; *size])]).unwrap();
            }
            let stats = crate::stats(dir.path()).unwrap();
            let kept = times.len() - usize::try_from(stats.dropped_events).unwrap();
            for direction in [Direction::Forward, Direction::Backward] {
                let events = paged(dir.path(), query(direction, max_events, max_bytes));
                prop_assert_eq!(events.len(), kept);
                prop_assert!(events.windows(2).all(|pair| place(&pair[0]) < place(&pair[1])));
            }
        }
    }
}
