//! GetAccountSetting, PutAccountSetting.

use serde::{Deserialize, Serialize};

use super::error::EcrError;
use crate::aws::context::Context;

/// Names with the values that are taken; the first one holds while nothing was put.
const SETTINGS: [(&str, &[&str]); 3] = [
    ("BASIC_SCAN_TYPE_VERSION", &["AWS_NATIVE"]),
    ("BLOB_MOUNTING", &["DISABLED", "ENABLED"]),
    ("REGISTRY_POLICY_SCOPE", &["V2", "V1"]),
];

#[derive(Deserialize)]
pub(super) struct GetIn {
    name: String,
}

#[derive(Deserialize)]
pub(super) struct PutIn {
    name: String,
    value: String,
}

#[derive(Serialize)]
pub(super) struct SettingOut {
    name: String,
    value: String,
}

pub(super) fn get(cx: &Context, input: GetIn) -> Result<SettingOut, EcrError> {
    let default = values(&input.name)?[0];
    let value = cx.registry.settings(&cx.tenant).account.get(&input.name).cloned();
    Ok(SettingOut { name: input.name, value: value.unwrap_or_else(|| default.to_owned()) })
}

pub(super) async fn put(cx: &Context, input: PutIn) -> Result<SettingOut, EcrError> {
    let known = values(&input.name)?;
    if !known.contains(&input.value.as_str()) {
        return Err(invalid("value", &input.name, known));
    }
    let (name, value) = (input.name.clone(), input.value.clone());
    let put = cx.registry.change_settings(&cx.tenant, move |settings, _| {
        settings.account.insert(name, value);
        Ok::<_, EcrError>(())
    });
    put.await?;
    Ok(SettingOut { name: input.name, value: input.value })
}

fn values(name: &str) -> Result<&'static [&'static str], EcrError> {
    let found = SETTINGS.iter().find(|(known, _)| *known == name);
    found.map(|(_, values)| *values).ok_or_else(|| {
        let names: Vec<&str> = SETTINGS.iter().map(|(name, _)| *name).collect();
        invalid("name", name, &names)
    })
}

fn invalid(member: &str, of: &str, known: &[&str]) -> EcrError {
    EcrError::InvalidParameter(format!(
        "Invalid parameter at '{member}' failed to satisfy constraint: 'Member must satisfy enum value set: [{}]': {of}",
        known.join(", ")
    ))
}
