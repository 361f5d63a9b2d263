//! Account settings: per principal, with an account-wide default, above AWS's own.
//!
//! What they change here:
//!
//! | setting | |
//! |---|---|
//! | `containerInsights` | the setting of clusters that are made without one |
//! | `awsvpcTrunking` | how many interfaces new container instances have |
//! | `…LongArnFormat` | always on, as on AWS; there are no short ARNs that could be asked for |
//! | `fargateFIPSMode` | cannot be enabled: it promises certified cryptography, which is not there |
//! | `guardDutyActivate` | read only, as on AWS |
//! | `defaultLogDriverMode` | nothing: both modes are the same where a log is a local file, which neither blocks a container for a network nor loses lines to one |
//! | `fargateTaskRetirementWaitPeriod`, `fargateEventWindows` | nothing: they are about when AWS retires tasks for maintenance, and Cove never retires one (an upgrade leaves them running) |
//! | `tagResourceAuthorization` | nothing: it asks IAM for `ecs:TagResource` too, and no caller here lacks a permission |

use cove_model::account::AccountSetting;
use cove_model::arn::Tenant;
use cove_store::{Read, keys};

use super::error::EcsError;
use super::page::{Direction, Listing};
use super::wire::{
    DeleteAccountSettingIn, ListAccountSettingsIn, ListAccountSettingsOut, PutAccountSettingIn, Setting, SettingOut,
};
use crate::{CallerKind, Context};

/// A setting, its value without anybody's doing first, and the values it may have.
struct Known {
    name: &'static str,
    values: &'static [&'static str],
}

const RETIREMENT: &str = "fargateTaskRetirementWaitPeriod";
const GUARD_DUTY: &str = "guardDutyActivate";
const FIPS: &str = "fargateFIPSMode";
const ON_OFF: &[&str] = &["disabled", "enabled"];

/// Every setting; the first value is AWS's default.
const KNOWN: &[Known] = &[
    Known { name: "awsvpcTrunking", values: ON_OFF },
    Known { name: "containerInsights", values: &["disabled", "enabled", "enhanced"] },
    Known { name: "containerInstanceLongArnFormat", values: &["enabled"] },
    Known { name: "defaultLogDriverMode", values: &["non-blocking", "blocking"] },
    Known { name: "fargateEventWindows", values: ON_OFF },
    Known { name: FIPS, values: ON_OFF },
    Known { name: RETIREMENT, values: &["7", "0", "14"] },
    Known { name: GUARD_DUTY, values: &["off"] },
    Known { name: "serviceLongArnFormat", values: &["enabled"] },
    Known { name: "tagResourceAuthorization", values: &["on", "off"] },
    Known { name: "taskLongArnFormat", values: &["enabled"] },
];

/// Whether a setting of that name may have the value.
pub(super) fn is_value(name: &str, value: &str) -> bool {
    KNOWN.iter().any(|known| known.name == name && known.values.contains(&value))
}

/// What holds for a principal: its own value, else the account's, else AWS's.
pub(super) fn effective(store: &impl Read, tenant: &Tenant, principal_arn: &str, name: &str) -> String {
    let own = level(tenant, &principal_of(tenant, principal_arn));
    // Older versions kept root's beside the account's.
    let levels = [own, None, Some(root_arn(tenant))];
    let found = levels
        .iter()
        .find_map(|level| store.get::<AccountSetting>(&keys::account_setting(tenant, level.as_deref(), name)));
    match found {
        Some(setting) => setting.value.clone(),
        None => default_value(name).to_owned(),
    }
}

/// AWS's own value of a setting.
pub(super) fn default_value(name: &str) -> &'static str {
    KNOWN.iter().find(|known| known.name == name).map_or("", |known| known.values[0])
}

/// Whose record says it: what root sets for itself holds for everybody who has not said otherwise, as the account's default
/// does. So they are one, and the later call wins.
fn level(tenant: &Tenant, principal: &str) -> Option<String> {
    (principal != root_arn(tenant)).then(|| principal.to_owned())
}

fn root_arn(tenant: &Tenant) -> String {
    tenant.global_arn("iam", "root")
}

/// Who a caller is to the settings: a session of a role is the role; whoever is neither user nor role is root, as
/// federated users are on AWS.
fn principal_of(tenant: &Tenant, caller_arn: &str) -> String {
    let session = caller_arn.strip_prefix("arn:aws:sts::").and_then(|rest| rest.split_once(":assumed-role/"));
    match session {
        Some((account, session)) => {
            let role = session.split('/').next().unwrap_or_default();
            format!("arn:aws:iam::{account}:role/{role}")
        }
        None if caller_arn.starts_with("arn:aws:iam::") => caller_arn.to_owned(),
        None => root_arn(tenant),
    }
}

/// Whose setting a request is about. Only root may name somebody else.
fn principal(cx: &Context, given: Option<String>) -> Result<String, EcsError> {
    let own = principal_of(&cx.tenant, &cx.caller.arn);
    let Some(given) = given else { return Ok(own) };
    let wanted = principal_of(&cx.tenant, &given);
    match cx.caller.kind {
        CallerKind::Root | CallerKind::Dev => Ok(wanted),
        CallerKind::Role if wanted == own => Ok(wanted),
        CallerKind::Role => Err(EcsError::client("You must be the root user or the principal to use principalArn.")),
    }
}

/// ListAccountSettings.
pub(super) fn list(cx: &Context, input: ListAccountSettingsIn) -> Result<ListAccountSettingsOut, EcsError> {
    /// The one listing whose pages are short.
    const LISTING: Listing = Listing { name: "settings", default: 10, max: 10 };
    if input.value.is_some() && input.name.is_none() {
        return Err(EcsError::parameter("You must specify an account setting name to filter by value."));
    }
    let principal = principal(cx, input.principal_arn.clone())?;
    let wanted = |name: &str| input.name.as_deref().is_none_or(|wanted| wanted == name);
    let settings: Vec<Setting> = cx.store.read(|view| {
        let value_of = |name: &str| {
            if input.effective_settings {
                return Some(effective(view, &cx.tenant, &principal, name));
            }
            let key = keys::account_setting(&cx.tenant, level(&cx.tenant, &principal).as_deref(), name);
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
    let principal = principal(cx, input.principal_arn.clone())?;
    if input.name == RETIREMENT && principal != root_arn(&cx.tenant) {
        return Err(EcsError::parameter(format!("{RETIREMENT} can only be set for the root user.")));
    }
    store(cx, &input, level(&cx.tenant, &principal)).await
}

/// PutAccountSettingDefault: for everybody who has not said otherwise.
pub(super) async fn put_default(cx: &Context, input: PutAccountSettingIn) -> Result<SettingOut, EcsError> {
    store(cx, &input, None).await
}

async fn store(cx: &Context, input: &PutAccountSettingIn, principal: Option<String>) -> Result<SettingOut, EcsError> {
    if input.name == GUARD_DUTY {
        return Err(EcsError::parameter("The setting guardDutyActivate is managed by AWS and cannot be changed."));
    }
    if input.name.ends_with("LongArnFormat") && input.value == "disabled" {
        return Err(EcsError::parameter("You can no longer disable Long Arn settings"));
    }
    if input.name == FIPS && input.value == "enabled" {
        return Err(EcsError::parameter(
            "fargateFIPSMode cannot be enabled: Cove's cryptography is not FIPS 140 certified.",
        ));
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
    let principal = principal(cx, input.principal_arn)?;
    let (tenant, name) = (cx.tenant.clone(), input.name.clone());
    let keys = [level(&tenant, &principal), Some(principal.clone())]
        .map(|level| keys::account_setting(&tenant, level.as_deref(), &name));
    let owner = principal.clone();
    let value = cx
        .store
        .write(move |tx| {
            for key in &keys {
                tx.delete::<AccountSetting>(key);
            }
            Ok::<_, EcsError>(effective(tx, &tenant, &owner, &name))
        })
        .await?;
    Ok(SettingOut { setting: show(&input.name, value, &principal) })
}

fn show(name: &str, value: String, principal_arn: &str) -> Setting {
    let kind = if name == GUARD_DUTY { "aws_managed" } else { "user" };
    Setting { name: name.to_owned(), value, principal_arn: principal_arn.to_owned(), kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_of_a_role_has_the_settings_of_the_role() {
        let tenant = Tenant::new("000000000000", "us-east-1");
        let of = |arn: &str| principal_of(&tenant, arn);
        assert_eq!(of("arn:aws:sts::000000000000:assumed-role/app/abc"), "arn:aws:iam::000000000000:role/app");
        assert_eq!(of("arn:aws:iam::000000000000:user/ann"), "arn:aws:iam::000000000000:user/ann");
        assert_eq!(of("arn:aws:sts::000000000000:federated-user/bob"), "arn:aws:iam::000000000000:root");
    }
}
