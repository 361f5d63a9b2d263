//! Task definitions.

use cove_model::tag::Tag;
use cove_model::task_definition::{TaskDefinitionDocument, TaskDefinitionStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Failure, PageIn};

#[derive(Debug, Deserialize)]
pub(crate) struct RegisterTaskDefinitionIn {
    #[serde(flatten)]
    pub(crate) document: TaskDefinitionDocument,
    #[serde(default)]
    pub(crate) tags: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeTaskDefinitionIn {
    pub(crate) task_definition: String,
    #[serde(default)]
    pub(crate) include: Vec<TagsField>,
}

/// The one thing that may be included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum TagsField {
    Tags,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeregisterTaskDefinitionIn {
    pub(crate) task_definition: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeleteTaskDefinitionsIn {
    pub(crate) task_definitions: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ListTaskDefinitionsIn {
    pub(crate) family_prefix: Option<String>,
    pub(crate) status: Option<TaskDefinitionStatus>,
    pub(crate) sort: Option<SortOrder>,
    #[serde(flatten)]
    pub(crate) page: PageIn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum SortOrder {
    Asc,
    Desc,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ListTaskDefinitionFamiliesIn {
    pub(crate) family_prefix: Option<String>,
    pub(crate) status: Option<FamilyStatus>,
    #[serde(flatten)]
    pub(crate) page: PageIn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum FamilyStatus {
    Active,
    Inactive,
    All,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskDefinitionOut {
    pub(crate) task_definition: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tags: Option<Vec<Tag>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeleteTaskDefinitionsOut {
    pub(crate) task_definitions: Vec<Value>,
    pub(crate) failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListTaskDefinitionsOut {
    pub(crate) task_definition_arns: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListTaskDefinitionFamiliesOut {
    pub(crate) families: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}
