//! CloudWatch Logs: groups and streams are records, events are the files that shims write ([`cove_logs`]).
//!
//! Holds: nothing is copied: GetLogEvents reads what the container's shim wrote a moment ago. Deleting a record is all that
//! a delete does; the agent removes directories that no record names.
//! Absent: Insights, metric and subscription filters, export, StartLiveTail (its event stream needs its own protocol).

mod error;
mod event;
mod filter;
#[cfg(test)]
mod fuzz;
mod group;
mod pattern;
mod put;
mod stream;
mod tag;
#[cfg(test)]
mod tests;
mod token;
mod wire;

use crate::{Op, Service, json, read};

pub(crate) const OPS: &[Op] = &[
    Op::done("CreateLogGroup", "a_log_group_survives_a_restart", |cx, input| json(cx, input, group::create)),
    Op::done("DeleteLogGroup", "a_log_group_survives_a_restart", |cx, input| json(cx, input, group::delete)),
    Op::partial("DescribeLogGroups", "a_log_group_survives_a_restart", "linked accounts", |cx, input| {
        read(cx, input, group::describe)
    }),
    Op::done("PutRetentionPolicy", "retention_is_kept_and_checked", |cx, input| json(cx, input, group::put_retention)),
    Op::done("DeleteRetentionPolicy", "retention_is_kept_and_checked", |cx, input| {
        json(cx, input, group::delete_retention)
    }),
    Op::done("CreateLogStream", "events_put_are_read_back", |cx, input| json(cx, input, stream::create)),
    Op::done("DeleteLogStream", "events_put_are_read_back", |cx, input| json(cx, input, stream::delete)),
    Op::done("DescribeLogStreams", "events_put_are_read_back", |cx, input| json(cx, input, stream::describe)),
    Op::partial("PutLogEvents", "events_put_are_read_back", "entities", |cx, input| json(cx, input, put::put)),
    Op::partial("GetLogEvents", "events_put_are_read_back", "sorting of events put out of order", |cx, input| {
        json(cx, input, event::get)
    }),
    Op::partial(
        "FilterLogEvents",
        "filtering_finds_events_of_all_streams_in_order",
        "column patterns, events put out of order",
        |cx, input| json(cx, input, filter::filter),
    ),
    Op::done("TagResource", "log_group_tags_are_kept", |cx, input| json(cx, input, tag::tag)),
    Op::done("UntagResource", "log_group_tags_are_kept", |cx, input| json(cx, input, tag::untag)),
    Op::done("ListTagsForResource", "log_group_tags_are_kept", |cx, input| read(cx, input, tag::list)),
    Op::done("TagLogGroup", "log_group_tags_are_kept", |cx, input| json(cx, input, tag::tag_group)),
    Op::done("UntagLogGroup", "log_group_tags_are_kept", |cx, input| json(cx, input, tag::untag_group)),
    Op::done("ListTagsLogGroup", "log_group_tags_are_kept", |cx, input| read(cx, input, tag::list_group)),
];

/// CloudWatch Logs.
pub static SERVICE: Service = Service::json("logs", "Logs_20140328", include_bytes!("model.json.gz"), OPS);
