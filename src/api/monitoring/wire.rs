//! Requests and replies as clients see them. Times are seconds since the epoch.

use std::collections::BTreeMap;

use cove_model::alarm::Comparison;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Dimension {
    pub(super) name: String,
    pub(super) value: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutMetricDataIn {
    pub(super) namespace: String,
    #[serde(default)]
    pub(super) metric_data: Vec<Datum>,
    #[serde(default)]
    pub(super) entity_metric_data: Vec<Value>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Datum {
    pub(super) metric_name: String,
    #[serde(default)]
    pub(super) dimensions: Vec<Dimension>,
    pub(super) timestamp: Option<f64>,
    pub(super) value: Option<f64>,
    pub(super) statistic_values: Option<StatisticSet>,
    #[serde(default)]
    pub(super) values: Vec<f64>,
    #[serde(default)]
    pub(super) counts: Vec<f64>,
    pub(super) unit: Option<String>,
    pub(super) storage_resolution: Option<i64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StatisticSet {
    pub(super) sample_count: f64,
    pub(super) sum: f64,
    pub(super) minimum: f64,
    pub(super) maximum: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Nothing {}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListMetricsIn {
    pub(super) namespace: Option<String>,
    pub(super) metric_name: Option<String>,
    #[serde(default)]
    pub(super) dimensions: Vec<DimensionFilter>,
    pub(super) next_token: Option<String>,
    pub(super) recently_active: Option<String>,
    pub(super) include_linked_accounts: Option<bool>,
    pub(super) owning_account: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DimensionFilter {
    pub(super) name: String,
    pub(super) value: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListMetricsOut {
    pub(super) metrics: Vec<Metric>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Metric {
    #[serde(default)]
    pub(super) namespace: String,
    #[serde(default)]
    pub(super) metric_name: String,
    #[serde(default)]
    pub(super) dimensions: Vec<Dimension>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetMetricStatisticsIn {
    pub(super) namespace: String,
    pub(super) metric_name: String,
    #[serde(default)]
    pub(super) dimensions: Vec<Dimension>,
    pub(super) start_time: f64,
    pub(super) end_time: f64,
    pub(super) period: i64,
    #[serde(default)]
    pub(super) statistics: Vec<String>,
    #[serde(default)]
    pub(super) extended_statistics: Vec<String>,
    pub(super) unit: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetMetricStatisticsOut {
    pub(super) label: String,
    pub(super) datapoints: Vec<Datapoint>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Datapoint {
    pub(super) timestamp: i64,
    pub(super) unit: String,
    /// `SampleCount`, `Average` and so on, those that were asked for.
    #[serde(flatten)]
    pub(super) statistics: BTreeMap<String, f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) extended_statistics: BTreeMap<String, f64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetMetricDataIn {
    pub(super) metric_data_queries: Vec<Query>,
    pub(super) start_time: f64,
    pub(super) end_time: f64,
    pub(super) next_token: Option<String>,
    pub(super) scan_by: Option<ScanBy>,
    pub(super) max_datapoints: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum ScanBy {
    TimestampDescending,
    TimestampAscending,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Query {
    pub(super) id: String,
    pub(super) metric_stat: Option<MetricStat>,
    pub(super) expression: Option<String>,
    pub(super) label: Option<String>,
    pub(super) return_data: Option<bool>,
    pub(super) account_id: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MetricStat {
    pub(super) metric: Metric,
    pub(super) period: i64,
    pub(super) stat: String,
    pub(super) unit: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetMetricDataOut {
    pub(super) metric_data_results: Vec<DataResult>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_token: Option<String>,
    pub(super) messages: Vec<Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DataResult {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) timestamps: Vec<i64>,
    pub(super) values: Vec<f64>,
    pub(super) status_code: &'static str,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutMetricAlarmIn {
    pub(super) alarm_name: String,
    pub(super) alarm_description: Option<String>,
    pub(super) actions_enabled: Option<bool>,
    #[serde(rename = "OKActions", default)]
    pub(super) ok_actions: Vec<String>,
    #[serde(default)]
    pub(super) alarm_actions: Vec<String>,
    #[serde(default)]
    pub(super) insufficient_data_actions: Vec<String>,
    pub(super) metric_name: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) statistic: Option<String>,
    pub(super) extended_statistic: Option<String>,
    #[serde(default)]
    pub(super) dimensions: Vec<Dimension>,
    pub(super) period: Option<u32>,
    pub(super) unit: Option<String>,
    pub(super) evaluation_periods: Option<u32>,
    pub(super) datapoints_to_alarm: Option<u32>,
    pub(super) threshold: Option<f64>,
    pub(super) comparison_operator: Option<String>,
    pub(super) treat_missing_data: Option<String>,
    pub(super) evaluate_low_sample_count_percentile: Option<String>,
    #[serde(default)]
    pub(super) metrics: Vec<Value>,
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
    pub(super) threshold_metric_id: Option<String>,
    pub(super) evaluation_criteria: Option<Value>,
    pub(super) evaluation_interval: Option<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    pub(super) key: String,
    pub(super) value: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct DescribeAlarmsIn {
    pub(super) alarm_names: Vec<String>,
    pub(super) alarm_name_prefix: Option<String>,
    pub(super) alarm_types: Vec<String>,
    pub(super) children_of_alarm_name: Option<String>,
    pub(super) parents_of_alarm_name: Option<String>,
    pub(super) state_value: Option<String>,
    pub(super) action_prefix: Option<String>,
    pub(super) max_records: Option<usize>,
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeAlarmsOut {
    pub(super) composite_alarms: Vec<Value>,
    pub(super) metric_alarms: Vec<MetricAlarm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeAlarmsForMetricIn {
    pub(super) metric_name: String,
    pub(super) namespace: String,
    pub(super) statistic: Option<String>,
    pub(super) extended_statistic: Option<String>,
    #[serde(default)]
    pub(super) dimensions: Vec<Dimension>,
    pub(super) period: Option<u32>,
    pub(super) unit: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AlarmsForMetricOut {
    pub(super) metric_alarms: Vec<MetricAlarm>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MetricAlarm {
    pub(super) alarm_name: String,
    pub(super) alarm_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) alarm_description: Option<String>,
    pub(super) alarm_configuration_updated_timestamp: f64,
    pub(super) actions_enabled: bool,
    #[serde(rename = "OKActions")]
    pub(super) ok_actions: Vec<String>,
    pub(super) alarm_actions: Vec<String>,
    pub(super) insufficient_data_actions: Vec<String>,
    pub(super) state_value: &'static str,
    pub(super) state_reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state_reason_data: Option<String>,
    pub(super) state_updated_timestamp: f64,
    pub(super) state_transitioned_timestamp: f64,
    pub(super) metric_name: String,
    pub(super) namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) statistic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) extended_statistic: Option<String>,
    pub(super) dimensions: Vec<Dimension>,
    pub(super) period: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<String>,
    pub(super) evaluation_periods: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) datapoints_to_alarm: Option<u32>,
    pub(super) threshold: f64,
    pub(super) comparison_operator: Comparison,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) treat_missing_data: Option<cove_model::alarm::MissingData>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AlarmNamesIn {
    pub(super) alarm_names: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetAlarmStateIn {
    pub(super) alarm_name: String,
    pub(super) state_value: cove_model::alarm::StateValue,
    pub(super) state_reason: String,
    pub(super) state_reason_data: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeAlarmHistoryIn {
    pub(super) alarm_name: Option<String>,
    pub(super) alarm_contributor_id: Option<String>,
    #[serde(default)]
    pub(super) alarm_types: Vec<String>,
    pub(super) history_item_type: Option<String>,
    pub(super) start_date: Option<f64>,
    pub(super) end_date: Option<f64>,
    pub(super) max_records: Option<usize>,
    pub(super) next_token: Option<String>,
    pub(super) scan_by: Option<ScanBy>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeAlarmHistoryOut {
    pub(super) alarm_history_items: Vec<HistoryItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HistoryItem {
    pub(super) alarm_name: String,
    pub(super) alarm_type: &'static str,
    pub(super) timestamp: f64,
    pub(super) history_item_type: cove_model::alarm::HistoryKind,
    pub(super) history_summary: String,
    pub(super) history_data: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct TagIn {
    #[serde(rename = "ResourceARN")]
    pub(super) resource_arn: String,
    #[serde(rename = "Tags")]
    pub(super) tags: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
pub(super) struct UntagIn {
    #[serde(rename = "ResourceARN")]
    pub(super) resource_arn: String,
    #[serde(rename = "TagKeys")]
    pub(super) tag_keys: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ListTagsIn {
    #[serde(rename = "ResourceARN")]
    pub(super) resource_arn: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagsOut {
    pub(super) tags: Vec<Tag>,
}
