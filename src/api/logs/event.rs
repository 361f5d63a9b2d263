//! GetLogEvents: one stream, a page at a time, in either direction.

use cove_logs::{Direction, Event, Page, Query, Start};

use super::error::LogsError;
use super::stream::{self, blocking};
use super::wire::{EventOut, GetLogEventsIn, GetLogEventsOut};
use super::{group, token};
use crate::Context;

/// AWS's longest page, in events and in bytes.
pub(super) const EVENTS_MAX: usize = 10_000;
pub(super) const PAGE_BYTES_MAX: usize = 1 << 20;
/// What one call may read of a stream in which few events fall into the range.
const SCAN_BYTES_MAX: u64 = 64 << 20;

/// GetLogEvents. Without a token: the latest events, or the earliest with `startFromHead`. At the end the token that was
/// passed comes back.
pub(super) async fn get(cx: &Context, input: GetLogEventsIn) -> Result<GetLogEventsOut, LogsError> {
    let group = group::named(cx, input.log_group_name, input.log_group_identifier)?;
    let stream = stream::named(cx, &group.name, &input.log_stream_name)?;
    let max_events = limit(input.limit)?;
    let (direction, start) = match &input.next_token {
        Some(text) => {
            let (direction, at) = token::read_position(&stream.directory, text)?;
            (direction, Start::At(at))
        }
        None if input.start_from_head => (Direction::Forward, Start::Head),
        None => (Direction::Backward, Start::Tail),
    };
    let query = Query {
        start,
        direction,
        from_ms: input.start_time.unwrap_or(i64::MIN),
        to_ms: input.end_time.unwrap_or(i64::MAX),
        max_events,
        max_bytes: PAGE_BYTES_MAX,
        max_scan_bytes: SCAN_BYTES_MAX,
    };
    let path = cx.store.data_dir().logs().join(&stream.directory);
    let page = blocking(move || Ok(cove_logs::read(&path, &query)?)).await?;
    Ok(show(&stream.directory, page, input.next_token))
}

fn show(directory: &str, page: Page, token: Option<String>) -> GetLogEventsOut {
    let mut forward = token::write_position(Direction::Forward, directory, page.forward);
    let mut backward = token::write_position(Direction::Backward, directory, page.backward);
    // Callers stop when the token that they sent comes back.
    if let Some(sent) = token.filter(|_| page.events.is_empty() && page.end) {
        if sent.starts_with('f') { forward = sent } else { backward = sent }
    }
    let mut events: Vec<EventOut> = page.events.iter().filter(|event| !event.message.is_empty()).map(out).collect();
    events.sort_by_key(|event| event.timestamp);
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
