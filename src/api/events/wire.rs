//! Requests and replies as clients see them. Times are seconds since the epoch.

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutEventsIn {
    pub(super) entries: Vec<Entry>,
    pub(super) endpoint_id: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Entry {
    pub(super) time: Option<f64>,
    pub(super) source: Option<String>,
    pub(super) resources: Vec<String>,
    pub(super) detail_type: Option<String>,
    pub(super) detail: Option<String>,
    pub(super) event_bus_name: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutEventsOut {
    pub(super) failed_entry_count: usize,
    pub(super) entries: Vec<EntryOut>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EntryOut {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_message: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TestEventPatternIn {
    pub(super) event_pattern: String,
    pub(super) event: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TestEventPatternOut {
    pub(super) result: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutRuleIn {
    pub(super) name: String,
    pub(super) schedule_expression: Option<String>,
    pub(super) event_pattern: Option<String>,
    pub(super) state: Option<String>,
    pub(super) description: Option<String>,
    pub(super) role_arn: Option<String>,
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
    pub(super) event_bus_name: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RuleArnOut {
    pub(super) rule_arn: String,
}

/// DescribeRule, EnableRule, DisableRule, DeleteRule.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RuleIn {
    pub(super) name: String,
    pub(super) event_bus_name: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event_pattern: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schedule_expression: Option<String>,
    pub(super) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role_arn: Option<String>,
    pub(super) event_bus_name: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeRuleOut {
    #[serde(flatten)]
    pub(super) rule: Rule,
    pub(super) created_by: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListRulesIn {
    pub(super) name_prefix: Option<String>,
    pub(super) event_bus_name: Option<String>,
    pub(super) next_token: Option<String>,
    pub(super) limit: Option<usize>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListRulesOut {
    pub(super) rules: Vec<Rule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutTargetsIn {
    pub(super) rule: String,
    pub(super) event_bus_name: Option<String>,
    pub(super) targets: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RemoveTargetsIn {
    pub(super) rule: String,
    pub(super) event_bus_name: Option<String>,
    pub(super) ids: Vec<String>,
}

/// Entries fail all or none here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TargetsOut {
    pub(super) failed_entry_count: usize,
    pub(super) failed_entries: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListTargetsIn {
    pub(super) rule: String,
    pub(super) event_bus_name: Option<String>,
    pub(super) next_token: Option<String>,
    pub(super) limit: Option<usize>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListTargetsOut {
    pub(super) targets: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RulesByTargetIn {
    pub(super) target_arn: String,
    pub(super) event_bus_name: Option<String>,
    pub(super) next_token: Option<String>,
    pub(super) limit: Option<usize>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RulesByTargetOut {
    pub(super) rule_names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateEventBusIn {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) event_source_name: Option<String>,
    pub(super) kms_key_identifier: Option<String>,
    pub(super) dead_letter_config: Option<Value>,
    pub(super) log_config: Option<Value>,
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateEventBusOut {
    pub(super) event_bus_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct BusIn {
    pub(super) name: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Bus {
    pub(super) name: String,
    pub(super) arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) creation_time: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListEventBusesIn {
    pub(super) name_prefix: Option<String>,
    pub(super) next_token: Option<String>,
    pub(super) limit: Option<usize>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListEventBusesOut {
    pub(super) event_buses: Vec<Bus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    pub(super) key: String,
    pub(super) value: String,
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

#[derive(Debug, Serialize)]
pub(super) struct Nothing {}
