//! Log streams.

use std::sync::Arc;

use cove_logs::StreamStats;
use cove_model::logs::{LogGroup, LogStream};
use cove_store::{Prefix, Read, keys};

use super::error::LogsError;
use super::wire::{DescribeLogStreamsIn, DescribeLogStreamsOut, LogStreamOut, Nothing, StreamIn};
use super::{group, token};
use crate::Context;

/// Where nobody looks any more; SDKs still pass it back.
pub(super) const SEQUENCE_TOKEN: &str = "49039859626652190000000000000000000000000000000000000001";

/// CreateLogStream. The directory appears with the first event.
pub(super) async fn create(cx: &Context, input: StreamIn) -> Result<Nothing, LogsError> {
    if input.log_stream_name.contains([':', '*']) {
        return Err(LogsError::parameter("logStreamName must not contain ':' or '*'."));
    }
    let tenant = cx.tenant.clone();
    let created_at = cx.clock.now();
    let directory = cove_base::ids::random_hex(16);
    cx.store
        .write(move |tx| {
            let (group, name) = (input.log_group_name, input.log_stream_name);
            if tx.get::<LogGroup>(&keys::log_group(&tenant, &group)).is_none() {
                return Err(LogsError::NoGroup);
            }
            if tx.get::<LogStream>(&keys::log_stream(&tenant, &group, &name)).is_some() {
                return Err(LogsError::StreamExists);
            }
            tx.put(LogStream { tenant, group, name, created_at, directory });
            Ok(Nothing {})
        })
        .await
}

/// DeleteLogStream. The agent removes the directory.
pub(super) async fn delete(cx: &Context, input: StreamIn) -> Result<Nothing, LogsError> {
    let tenant = cx.tenant.clone();
    cx.store
        .write(move |tx| {
            if tx.get::<LogGroup>(&keys::log_group(&tenant, &input.log_group_name)).is_none() {
                return Err(LogsError::NoGroup);
            }
            let key = keys::log_stream(&tenant, &input.log_group_name, &input.log_stream_name);
            if tx.delete::<LogStream>(&key) { Ok(Nothing {}) } else { Err(LogsError::NoStream) }
        })
        .await
}

/// DescribeLogStreams.
pub(super) async fn describe(cx: &Context, input: DescribeLogStreamsIn) -> Result<DescribeLogStreamsOut, LogsError> {
    let by_time = input.order_by.as_deref() == Some("LastEventTime");
    if by_time && input.log_stream_name_prefix.is_some() {
        return Err(LogsError::parameter("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let group = group::named(cx, input.log_group_name, input.log_group_identifier)?;
    let prefix = input.log_stream_name_prefix.unwrap_or_default();
    let mut streams = of_group(cx, &group.name);
    streams.retain(|stream| stream.name.starts_with(&prefix));
    let logs = cx.store.data_dir().logs();
    let (limit, next, descending) = (input.limit, input.next_token, input.descending);
    blocking(move || {
        let stats = |stream: &LogStream| cove_logs::stats(&logs.join(&stream.directory)).unwrap_or_default();
        let place = |stream: &LogStream| {
            let time = if by_time { stats(stream).last_event_ms.unwrap_or(0).max(0) } else { 0 };
            format!("{time:020}{}", stream.name)
        };
        let mut items: Vec<(String, Arc<LogStream>)> =
            streams.into_iter().map(|stream| (place(&stream), stream)).collect();
        items.sort_by(|one, other| one.0.cmp(&other.0));
        if descending {
            items.reverse();
        }
        let kind = if by_time { "streams by time" } else { "streams" };
        let (page, next_token) = token::page(kind, limit, next.as_deref(), descending, items)?;
        let log_streams = page.iter().map(|stream| show(stream, stats(stream))).collect();
        Ok(DescribeLogStreamsOut { log_streams, next_token })
    })
    .await
}

/// One stream of a group that exists.
pub(super) fn named(cx: &Context, group: &str, name: &str) -> Result<Arc<LogStream>, LogsError> {
    let key = keys::log_stream(&cx.tenant, group, name);
    cx.store.read(|view| view.get::<LogStream>(&key)).ok_or(LogsError::NoStream)
}

/// All streams of a group, by name.
pub(super) fn of_group(cx: &Context, group: &str) -> Vec<Arc<LogStream>> {
    cx.store.read(|view| view.scan::<LogStream>(&Prefix::parent(&cx.tenant, group)))
}

/// Reading files is kept off the server's async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogsError> + Send + 'static,
) -> Result<T, LogsError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(LogsError::Panicked))
}

fn show(stream: &LogStream, stats: StreamStats) -> LogStreamOut {
    let resource = format_args!("log-group:{}:log-stream:{}", stream.group, stream.name).to_string();
    LogStreamOut {
        log_stream_name: stream.name.clone(),
        creation_time: stream.created_at.millis(),
        first_event_timestamp: stats.first_event_ms,
        last_event_timestamp: stats.last_event_ms,
        last_ingestion_time: stats.last_ingestion_ms,
        upload_sequence_token: SEQUENCE_TOKEN.to_owned(),
        arn: stream.tenant.arn("logs", resource),
        stored_bytes: 0,
    }
}
