//! GetLogEvents: one stream, a page at a time, in either direction.

use std::path::Path;

use cove_logs::{Direction, Event, Place, Query, SortedQuery, Start};

use super::error::LogsError;
use super::stream::{self, blocking};
use super::token::At;
use super::wire::{EventOut, GetLogEventsIn, GetLogEventsOut};
use super::{group, token};
use crate::Context;

/// AWS's longest page, in events and in bytes.
pub(super) const EVENTS_MAX: usize = 10_000;
pub(super) const PAGE_BYTES_MAX: usize = 1 << 20;
/// What one call may read of a stream in which few events fall into the range.
const SCAN_BYTES_MAX: u64 = 64 << 20;

/// What is read, of whatever kind of stream.
struct Wish {
    direction: Direction,
    at: Option<At>,
    from_ms: i64,
    to_ms: i64,
    max_events: usize,
}

struct Found {
    events: Vec<Event>,
    forward: At,
    backward: At,
    end: bool,
}

/// GetLogEvents. Without a token: the latest events, or the earliest with `startFromHead`. At the end the token that was
/// passed comes back. Events are by time, also those of clients that came late.
pub(super) async fn get(cx: &Context, input: GetLogEventsIn) -> Result<GetLogEventsOut, LogsError> {
    let group = group::named(cx, input.log_group_name, input.log_group_identifier)?;
    let stream = stream::named(cx, &group.name, &input.log_stream_name)?;
    let max_events = limit(input.limit)?;
    let (direction, at) = match &input.next_token {
        Some(text) => {
            let (direction, at) = token::read_at(&stream.directory, text)?;
            (direction, Some(at))
        }
        None if input.start_from_head => (Direction::Forward, None),
        None => (Direction::Backward, None),
    };
    let (from_ms, to_ms) = (input.start_time.unwrap_or(i64::MIN), input.end_time.unwrap_or(i64::MAX));
    let wish = Wish { direction, at, from_ms, to_ms, max_events };
    let path = cx.store.data_dir().logs().join(&stream.directory);
    let found = blocking(move || {
        let by_time = matches!(wish.at, Some(At::Place(_))) || !cove_logs::is_ordered(&path)?;
        if by_time { read_by_time(&path, &wish) } else { read_by_arrival(&path, &wish) }
    });
    Ok(show(&stream.directory, found.await?, input.next_token))
}

fn read_by_arrival(path: &Path, wish: &Wish) -> Result<Found, LogsError> {
    let start = match (wish.at, wish.direction) {
        (Some(At::Position(at)), _) => Start::At(at),
        (_, Direction::Forward) => Start::Head,
        (_, Direction::Backward) => Start::Tail,
    };
    let query = Query {
        start,
        direction: wish.direction,
        from_ms: wish.from_ms,
        to_ms: wish.to_ms,
        max_events: wish.max_events,
        max_bytes: PAGE_BYTES_MAX,
        max_scan_bytes: SCAN_BYTES_MAX,
    };
    let page = cove_logs::read(path, &query)?;
    let (forward, backward) = (At::Position(page.forward), At::Position(page.backward));
    Ok(Found { events: page.events, forward, backward, end: page.end })
}

fn read_by_time(path: &Path, wish: &Wish) -> Result<Found, LogsError> {
    let beyond = match (wish.at, wish.direction) {
        (Some(At::Place(place)), _) => place,
        (Some(At::Position(position)), _) => cove_logs::place_before(path, position)?,
        (None, Direction::Forward) => Place::FIRST,
        (None, Direction::Backward) => Place::LAST,
    };
    let query = SortedQuery {
        direction: wish.direction,
        beyond,
        from_ms: wish.from_ms,
        to_ms: wish.to_ms,
        max_events: wish.max_events,
        max_bytes: PAGE_BYTES_MAX,
    };
    let page = cove_logs::read_sorted(path, &query)?;
    let place = |event: Option<&Event>| {
        let nothing = if beyond == Place::LAST { Place::FIRST } else { beyond };
        At::Place(event.map_or(nothing, |event| Place { time_ms: event.time_ms, position: event.position }))
    };
    let (forward, backward) = (place(page.events.last()), place(page.events.first()));
    Ok(Found { events: page.events, forward, backward, end: page.end })
}

fn show(directory: &str, page: Found, token: Option<String>) -> GetLogEventsOut {
    let mut forward = token::write_at(Direction::Forward, directory, page.forward);
    let mut backward = token::write_at(Direction::Backward, directory, page.backward);
    // Callers stop when the token that they sent comes back.
    if let Some(sent) = token.filter(|_| page.events.is_empty() && page.end) {
        if sent.starts_with('f') { forward = sent } else { backward = sent }
    }
    let events: Vec<EventOut> = page.events.iter().filter(|event| !event.message.is_empty()).map(out).collect();
    GetLogEventsOut { events, next_forward_token: forward, next_backward_token: backward }
}

fn out(event: &Event) -> EventOut {
    EventOut {
        timestamp: event.time_ms.max(0),
        message: String::from_utf8_lossy(&event.message).into_owned(),
        ingestion_time: event.ingested_ms.max(0),
    }
}

/// The model allows 1 to 10,000.
pub(super) fn limit(asked: Option<i64>) -> Result<usize, LogsError> {
    let Some(asked) = asked else { return Ok(EVENTS_MAX) };
    let good = usize::try_from(asked).ok().filter(|limit| (1..=EVENTS_MAX).contains(limit));
    good.ok_or_else(|| LogsError::parameter(format!("limit must be between 1 and {EVENTS_MAX}")))
}
