//! PutLogEvents: a client's own events, appended to a stream that no container writes.

use std::path::PathBuf;

use cove_base::Timestamp;
use cove_logs::{LogError, StreamWriter};
use tokio::sync::Mutex;

use super::error::LogsError;
use super::group;
use super::stream::{self, SEQUENCE_TOKEN, blocking};
use super::wire::{EventIn, PutLogEventsIn, PutLogEventsOut, Rejected};
use crate::Context;

/// AWS's limits of a batch: bytes, and what each event adds to them.
const BATCH_BYTES_MAX: usize = 1_048_576;
const EVENT_OVERHEAD: usize = 26;
const DAY_MILLIS: i64 = 86_400_000;
const OLDEST_MILLIS: i64 = 14 * DAY_MILLIS;
const NEWEST_MILLIS: i64 = 2 * 3_600_000;
const SPAN_MILLIS: i64 = DAY_MILLIS;
/// A stream that clients fill is capped like a container's.
const STREAM_BYTES_MAX: u64 = 256 << 20;

/// A stream has one writer at a time; clients' batches are short, so they simply queue. Who waits has no thread yet: those
/// are few, and tasks need them.
static WRITING: Mutex<()> = Mutex::const_new(());

/// PutLogEvents. On disk before it is acknowledged.
pub(super) async fn put(cx: &Context, input: PutLogEventsIn) -> Result<PutLogEventsOut, LogsError> {
    let group = group::named(cx, Some(input.log_group_name), None)?;
    let stream = stream::named(cx, &group.name, &input.log_stream_name)?;
    check(&input.log_events)?;
    let now = cx.clock.now();
    let oldest_kept = group.retention_days.map_or(i64::MIN, |days| now.millis() - i64::from(days) * DAY_MILLIS);
    let (accepted, rejected) = sort_out(&input.log_events, now, oldest_kept);
    let path = cx.store.data_dir().logs().join(&stream.directory);
    let events: Vec<EventIn> = input.log_events.into_iter().skip(accepted.start).take(accepted.len()).collect();
    if !events.is_empty() {
        let turn = WRITING.lock().await;
        blocking(move || {
            let _turn = turn;
            append(path, now, &events)
        })
        .await?;
    }
    Ok(PutLogEventsOut { next_sequence_token: SEQUENCE_TOKEN.to_owned(), rejected_log_events_info: rejected })
}

fn append(path: PathBuf, now: Timestamp, events: &[EventIn]) -> Result<(), LogsError> {
    let events: Vec<(i64, &[u8])> = events.iter().map(|event| (event.timestamp, event.message.as_bytes())).collect();
    let mut writer = StreamWriter::open_for_events(&path, STREAM_BYTES_MAX).map_err(|error| match error {
        LogError::File { what: "lock", .. } => {
            LogsError::parameter("The log stream belongs to a running container, which is its only writer.")
        }
        LogError::File { .. } | LogError::BadPosition { .. } | LogError::Pattern { .. } => error.into(),
    })?;
    writer.put(now, &events)?;
    Ok(writer.sync()?)
}

fn check(events: &[EventIn]) -> Result<(), LogsError> {
    let bytes: usize = events.iter().map(|event| event.message.len() + EVENT_OVERHEAD).sum();
    if bytes > BATCH_BYTES_MAX {
        return Err(LogsError::parameter(format!(
            "Upload too large: {bytes} bytes exceeds limit of {BATCH_BYTES_MAX}"
        )));
    }
    if let Some(long) = events.iter().find(|event| event.message.len() > cove_logs::EVENT_BYTES_MAX) {
        return Err(LogsError::parameter(format!(
            "Log event too large: {} bytes exceeds limit of {}",
            long.message.len() + EVENT_OVERHEAD,
            cove_logs::EVENT_BYTES_MAX + EVENT_OVERHEAD
        )));
    }
    if events.windows(2).any(|pair| pair[0].timestamp > pair[1].timestamp) {
        return Err(LogsError::parameter(
            "Log events in a single PutLogEvents request must be in chronological order.",
        ));
    }
    let span =
        events.first().zip(events.last()).map_or(0, |(first, last)| last.timestamp.saturating_sub(first.timestamp));
    if span > SPAN_MILLIS {
        return Err(LogsError::parameter(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ));
    }
    Ok(())
}

/// Which events (they are in order) are kept, and what is said about the others.
fn sort_out(events: &[EventIn], now: Timestamp, oldest_kept: i64) -> (std::ops::Range<usize>, Option<Rejected>) {
    let before = |limit: i64| events.iter().take_while(|event| event.timestamp < limit).count();
    let too_old = before(now.millis() - OLDEST_MILLIS);
    let expired = before(oldest_kept);
    let end = before(now.millis() + NEWEST_MILLIS + 1);
    let rejected = Rejected {
        too_old_log_event_end_index: Some(too_old).filter(|count| *count > 0),
        expired_log_event_end_index: Some(expired).filter(|count| *count > 0),
        too_new_log_event_start_index: Some(end).filter(|end| *end < events.len()),
    };
    let start = too_old.max(expired).min(end);
    (start..end, Some(rejected).filter(|rejected| *rejected != Rejected::default()))
}
