//! Requests and replies of CloudWatch Logs, as clients see them. Times are milliseconds here, unlike elsewhere in AWS.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A reply without members.
#[derive(Serialize)]
pub(crate) struct Nothing {}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateLogGroupIn {
    pub(crate) log_group_name: String,
    pub(crate) log_group_class: Option<String>,
    pub(crate) kms_key_id: Option<String>,
    pub(crate) deletion_protection_enabled: Option<bool>,
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
}

/// Operations that take a group's name and nothing else.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GroupIn {
    pub(crate) log_group_name: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DescribeLogGroupsIn {
    pub(crate) log_group_name_prefix: Option<String>,
    pub(crate) log_group_name_pattern: Option<String>,
    pub(crate) log_group_class: Option<String>,
    pub(crate) log_group_identifiers: Vec<String>,
    pub(crate) account_identifiers: Vec<String>,
    pub(crate) include_linked_accounts: bool,
    pub(crate) next_token: Option<String>,
    pub(crate) limit: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeLogGroupsOut {
    pub(crate) log_groups: Vec<LogGroupOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogGroupOut {
    pub(crate) log_group_name: String,
    pub(crate) creation_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retention_in_days: Option<u32>,
    pub(crate) metric_filter_count: u32,
    pub(crate) arn: String,
    pub(crate) stored_bytes: u64,
    pub(crate) log_group_class: String,
    pub(crate) log_group_arn: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PutRetentionIn {
    pub(crate) log_group_name: String,
    pub(crate) retention_in_days: i64,
}

/// CreateLogStream and DeleteLogStream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamIn {
    pub(crate) log_group_name: String,
    pub(crate) log_stream_name: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DescribeLogStreamsIn {
    pub(crate) log_group_name: Option<String>,
    pub(crate) log_group_identifier: Option<String>,
    pub(crate) log_stream_name_prefix: Option<String>,
    pub(crate) order_by: Option<String>,
    pub(crate) descending: bool,
    pub(crate) next_token: Option<String>,
    pub(crate) limit: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeLogStreamsOut {
    pub(crate) log_streams: Vec<LogStreamOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogStreamOut {
    pub(crate) log_stream_name: String,
    pub(crate) creation_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_event_timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_event_timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_ingestion_time: Option<i64>,
    pub(crate) upload_sequence_token: String,
    pub(crate) arn: String,
    /// AWS has answered 0 since 2019.
    pub(crate) stored_bytes: u64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GetLogEventsIn {
    pub(crate) log_group_name: Option<String>,
    pub(crate) log_group_identifier: Option<String>,
    pub(crate) log_stream_name: String,
    pub(crate) start_time: Option<i64>,
    pub(crate) end_time: Option<i64>,
    pub(crate) next_token: Option<String>,
    pub(crate) limit: Option<i64>,
    pub(crate) start_from_head: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GetLogEventsOut {
    pub(crate) events: Vec<EventOut>,
    pub(crate) next_forward_token: String,
    pub(crate) next_backward_token: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventOut {
    pub(crate) timestamp: i64,
    pub(crate) message: String,
    pub(crate) ingestion_time: i64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct FilterLogEventsIn {
    pub(crate) log_group_name: Option<String>,
    pub(crate) log_group_identifier: Option<String>,
    pub(crate) log_stream_names: Option<Vec<String>>,
    pub(crate) log_stream_name_prefix: Option<String>,
    pub(crate) start_time: Option<i64>,
    pub(crate) end_time: Option<i64>,
    pub(crate) filter_pattern: Option<String>,
    pub(crate) next_token: Option<String>,
    pub(crate) limit: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FilterLogEventsOut {
    pub(crate) events: Vec<FilteredEventOut>,
    /// Empty since AWS deprecated it.
    pub(crate) searched_log_streams: Vec<Nothing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FilteredEventOut {
    pub(crate) log_stream_name: String,
    pub(crate) timestamp: i64,
    pub(crate) message: String,
    pub(crate) ingestion_time: i64,
    pub(crate) event_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PutLogEventsIn {
    pub(crate) log_group_name: String,
    pub(crate) log_stream_name: String,
    pub(crate) log_events: Vec<EventIn>,
}

#[derive(Deserialize)]
pub(crate) struct EventIn {
    pub(crate) timestamp: i64,
    pub(crate) message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PutLogEventsOut {
    pub(crate) next_sequence_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rejected_log_events_info: Option<Rejected>,
}

/// Which events of a batch were left out, by index.
#[derive(Serialize, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rejected {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) too_new_log_event_start_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) too_old_log_event_end_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expired_log_event_end_index: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TagIn {
    pub(crate) resource_arn: String,
    pub(crate) tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UntagIn {
    pub(crate) resource_arn: String,
    pub(crate) tag_keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListTagsIn {
    pub(crate) resource_arn: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TagGroupIn {
    pub(crate) log_group_name: String,
    pub(crate) tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UntagGroupIn {
    pub(crate) log_group_name: String,
    /// Names of tags: keys.
    pub(crate) tags: Vec<String>,
}

#[derive(Serialize)]
pub(crate) struct TagsOut {
    pub(crate) tags: BTreeMap<String, String>,
}
