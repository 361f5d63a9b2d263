//! Account settings: per principal, with an account-wide default, above AWS's own.

use cove_model::account::AccountSetting;
use cove_model::arn::Tenant;
use cove_store::{Read, keys};

use super::error::EcsError;
use super::page::{Direction, Listing};
use super::wire::{
    DeleteAccountSettingIn, ListAccountSettingsIn, ListAccountSettingsOut, PutAccountSettingIn, Setting, SettingOut,
};
use crate::Context;

/// A setting, its value without anybody's doing first, and the values it may have.
struct Known {
    name: &'static str,
    values: &'static [&'static str],
}

const ON_OFF: &[&str] = &["disabled", "enabled"];

/// Every setting; the first value is AWS's default. Long ARNs cannot be switched off here: everything has them.
const KNOWN: &[Known] = &[
    Known { name: "awsvpcTrunking", values: ON_OFF },
    Known { name: "containerInsights", values: &["disabled", "enabled", "enhanced"] },
    Known { name: "containerInstanceLongArnFormat", values: &["enabled"] },
    Known { name: "defaultLogDriverMode", values: &["non-blocking", "blocking"] },
    Known { name: "fargateEventWindows", values: ON_OFF },
    Known { name: "fargateFIPSMode", values: ON_OFF },
    Known { name: "fargateTaskRetirementWaitPeriod", values: &["7", "0", "14"] },
    Known { name: "guardDutyActivate", values: &["off"] },
    Known { name: "serviceLongArnFormat", values: &["enabled"] },
    Known { name: "tagResourceAuthorization", values: &["on", "off"] },
    Known { name: "taskLongArnFormat", values: &["enabled"] },
];

/// Whether a setting of that name may have the value.
pub(super) fn is_value(name: &str, value: &str) -> bool {
    KNOWN.iter().any(|known| known.name == name && known.values.contains(&value))
}

/// What holds for a principal: its own value, else root's, else the account's default, else AWS's.
pub(super) fn effective(store: &impl Read, tenant: &Tenant, principal_arn: &str, name: &str) -> String {
    let root = root_arn(tenant);
    let levels = [Some(principal_arn), Some(root.as_str()), None];
    let found =
        levels.iter().find_map(|level| store.get::<AccountSetting>(&keys::account_setting(tenant, *level, name)));
    match found {
        Some(setting) => setting.value.clone(),
        None => default_value(name).to_owned(),
    }
}

/// AWS's own value of a setting.
pub(super) fn default_value(name: &str) -> &'static str {
    KNOWN.iter().find(|known| known.name == name).map_or("", |known| known.values[0])
}

fn root_arn(tenant: &Tenant) -> String {
    tenant.global_arn("iam", "root")
}

/// Whose setting a request is about. Sessions of roles have root's settings, as federated users do on AWS.
fn principal(cx: &Context, given: Option<String>) -> String {
    let arn = given.unwrap_or_else(|| cx.caller.arn.clone());
    if arn.starts_with("arn:aws:iam::") { arn } else { root_arn(&cx.tenant) }
}

/// ListAccountSettings.
pub(super) fn list(cx: &Context, input: ListAccountSettingsIn) -> Result<ListAccountSettingsOut, EcsError> {
    /// The one listing whose pages are short.
    const LISTING: Listing = Listing { name: "settings", default: 10, max: 10 };
    if input.value.is_some() && input.name.is_none() {
        return Err(EcsError::parameter("You must specify an account setting name to filter by value."));
    }
    let principal = principal(cx, input.principal_arn.clone());
    let wanted = |name: &str| input.name.as_deref().is_none_or(|wanted| wanted == name);
    let settings: Vec<Setting> = cx.store.read(|view| {
        let value_of = |name: &str| {
            if input.effective_settings {
                return Some(effective(view, &cx.tenant, &principal, name));
            }
            let key = keys::account_setting(&cx.tenant, Some(&principal), name);
            view.get::<AccountSetting>(&key).map(|setting| setting.value.clone())
        };
        let named = KNOWN.iter().map(|known| known.name).filter(|name| wanted(name));
        named.filter_map(|name| value_of(name).map(|value| show(name, value, &principal))).collect()
    });
    let same_value = |setting: &Setting| input.value.as_deref().is_none_or(|value| value == setting.value);
    let items = settings.into_iter().filter(same_value).map(|setting| (setting.name.clone(), setting)).collect();
    let (settings, next_token) = LISTING.cut(&input.page, Direction::Up, items)?;
    Ok(ListAccountSettingsOut { settings, next_token })
}

/// PutAccountSetting: for the named principal, or for the caller.
pub(super) async fn put(cx: &Context, input: PutAccountSettingIn) -> Result<SettingOut, EcsError> {
    let principal = principal(cx, input.principal_arn.clone());
    store(cx, &input, Some(principal)).await
}

/// PutAccountSettingDefault: for everybody who has not said otherwise.
pub(super) async fn put_default(cx: &Context, input: PutAccountSettingIn) -> Result<SettingOut, EcsError> {
    store(cx, &input, None).await
}

async fn store(cx: &Context, input: &PutAccountSettingIn, principal: Option<String>) -> Result<SettingOut, EcsError> {
    if input.name == "guardDutyActivate" {
        return Err(EcsError::parameter("The setting guardDutyActivate is managed by AWS and cannot be changed."));
    }
    if !is_value(&input.name, &input.value) {
        return Err(EcsError::parameter(format!("Invalid value for setting {}: {}", input.name, input.value)));
    }
    let shown = principal.clone().unwrap_or_else(|| root_arn(&cx.tenant));
    let record = AccountSetting {
        tenant: cx.tenant.clone(),
        principal_arn: principal,
        name: input.name.clone(),
        value: input.value.clone(),
    };
    cx.store
        .write(move |tx| {
            tx.put(record);
            Ok::<_, EcsError>(())
        })
        .await?;
    Ok(SettingOut { setting: show(&input.name, input.value.clone(), &shown) })
}

/// DeleteAccountSetting: what held before holds again.
pub(super) async fn delete(cx: &Context, input: DeleteAccountSettingIn) -> Result<SettingOut, EcsError> {
    let principal = principal(cx, input.principal_arn);
    let (tenant, name) = (cx.tenant.clone(), input.name.clone());
    let key = keys::account_setting(&tenant, Some(&principal), &name);
    let owner = principal.clone();
    let value = cx
        .store
        .write(move |tx| {
            tx.delete::<AccountSetting>(&key);
            Ok::<_, EcsError>(effective(tx, &tenant, &owner, &name))
        })
        .await?;
    Ok(SettingOut { setting: show(&input.name, value, &principal) })
}

fn show(name: &str, value: String, principal_arn: &str) -> Setting {
    let kind = if name == "guardDutyActivate" { "aws_managed" } else { "user" };
    Setting { name: name.to_owned(), value, principal_arn: principal_arn.to_owned(), kind }
}
