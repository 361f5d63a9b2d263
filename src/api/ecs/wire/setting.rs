//! Account settings.

use serde::{Deserialize, Serialize};

use super::PageIn;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ListAccountSettingsIn {
    pub(crate) name: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) principal_arn: Option<String>,
    pub(crate) effective_settings: bool,
    #[serde(flatten)]
    pub(crate) page: PageIn,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListAccountSettingsOut {
    pub(crate) settings: Vec<Setting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

/// PutAccountSetting; PutAccountSettingDefault is the same without a principal.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PutAccountSettingIn {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) principal_arn: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeleteAccountSettingIn {
    pub(crate) name: String,
    pub(crate) principal_arn: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct SettingOut {
    pub(crate) setting: Setting,
}

/// ECS shape `Setting`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) principal_arn: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
}
