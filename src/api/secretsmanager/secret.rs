//! CreateSecret, UpdateSecret, DescribeSecret, ListSecrets, DeleteSecret, RestoreSecret.

use std::collections::BTreeMap;

use cove_base::Timestamp;
use cove_base::ids::random_bytes;
use cove_model::arn::Tenant;
use cove_model::secret::{CURRENT, SUFFIX_CHARS, Secret, candidates};
use cove_model::tag::Tag;
use cove_store::{Prefix, Read, Vault, keys, secret as find};

use super::error::SecretsError;
use super::tag::merged;
use super::value::{add, given, living};
use super::wire::{CreateIn, DeleteIn, Description, Filter, IdIn, ListIn, ListOut, SecretOut, TagWire, UpdateIn};
use crate::Context;
use crate::aws::listing::{self, Order};

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// AWS's default and its range.
const RECOVERY_DAYS: i64 = 30;
const RECOVERY_DAYS_ALLOWED: std::ops::RangeInclusive<i64> = 7..=30;
/// AWS's page when none is asked for.
const PAGE: usize = 100;

/// CreateSecret.
pub(super) async fn create(cx: &Context, input: CreateIn) -> Result<SecretOut, SecretsError> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-/_+=.@!".contains(&byte);
    if !input.name.bytes().all(is_name) {
        return Err(SecretsError::InvalidName);
    }
    if !input.add_replica_regions.is_empty() {
        return Err(SecretsError::InvalidParameter("Replicas of secrets are not carried out by this version."));
    }
    refuse_kind(input.kind.as_deref())?;
    let value = given(input.secret_string, input.secret_binary)?;
    let tags = merged(Vec::new(), input.tags)?;
    let (vault, tenant) = (Vault::new(&cx.settings.keys.node_secret), cx.tenant.clone());
    cx.store
        .write(move |tx| {
            let now = tx.now();
            if let Some(known) = tx.get::<Secret>(&keys::secret(&tenant, &input.name)) {
                match known.gone_at {
                    Some(gone) if gone <= now => {}
                    Some(_) => {
                        return Err(SecretsError::InvalidRequest(
                            "You can't create this secret because a secret with this name is already scheduled for \
                             deletion.",
                        ));
                    }
                    None => return again(&vault, &known, value.as_ref(), input.client_request_token.as_deref()),
                }
            }
            let mut secret = Secret {
                tenant,
                name: input.name,
                suffix: suffix(),
                description: input.description,
                kms_key_id: input.kms_key_id.filter(|id| !id.is_empty()),
                tags,
                created_at: now,
                changed_at: now,
                accessed_at: None,
                deleted_at: None,
                gone_at: None,
                versions: Vec::new(),
                policy: None,
            };
            let stages = vec![CURRENT.to_owned()];
            let token = input.client_request_token;
            let id = value.map(|value| add(&vault, &mut secret, &value, token, stages, now)).transpose()?;
            tx.put(secret.clone());
            Ok(out(&secret, id))
        })
        .await
}

/// A request that came twice made one secret.
fn again(
    vault: &Vault,
    known: &Secret,
    value: Option<&super::value::Given>,
    token: Option<&str>,
) -> Result<SecretOut, SecretsError> {
    let exists = || SecretsError::Exists(known.name.clone());
    let (Some(value), Some(token)) = (value, token) else { return Err(exists()) };
    if known.version(Some(token), None).is_none() {
        return Err(exists());
    }
    let mut copy = known.clone();
    let id = add(vault, &mut copy, value, Some(token.to_owned()), Vec::new(), known.changed_at)?;
    Ok(out(known, Some(id)))
}

/// UpdateSecret.
pub(super) async fn update(cx: &Context, input: UpdateIn) -> Result<SecretOut, SecretsError> {
    refuse_kind(input.kind.as_deref())?;
    let value = given(input.secret_string, input.secret_binary)?;
    let (vault, tenant) = (Vault::new(&cx.settings.keys.node_secret), cx.tenant.clone());
    cx.store
        .write(move |tx| {
            let mut secret = living(tx, &tenant, &input.secret_id)?;
            let now = tx.now();
            if let Some(text) = input.description {
                secret.description = Some(text).filter(|text| !text.is_empty());
            }
            if let Some(key) = input.kms_key_id {
                secret.kms_key_id = Some(key).filter(|key| !key.is_empty());
            }
            secret.changed_at = now;
            let stages = vec![CURRENT.to_owned()];
            let token = input.client_request_token;
            let id = value.map(|value| add(&vault, &mut secret, &value, token, stages, now)).transpose()?;
            tx.put(secret.clone());
            Ok(out(&secret, id))
        })
        .await
}

/// DeleteSecret. With force it is gone at once, and one that is not there is as good as gone.
pub(super) async fn delete(cx: &Context, input: DeleteIn) -> Result<SecretOut, SecretsError> {
    let force = input.force_delete_without_recovery;
    if force && input.recovery_window_in_days.is_some() {
        return Err(SecretsError::InvalidParameter(
            "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.",
        ));
    }
    let days = input.recovery_window_in_days.unwrap_or(RECOVERY_DAYS);
    if !RECOVERY_DAYS_ALLOWED.contains(&days) {
        return Err(SecretsError::InvalidParameter(
            "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).",
        ));
    }
    let tenant = cx.tenant.clone();
    cx.store
        .write(move |tx| {
            let now = tx.now();
            if force {
                let Some(found) = find(tx, &tenant, &input.secret_id, now) else {
                    return never_there(&tenant, &input.secret_id, now);
                };
                tx.delete::<Secret>(&keys::secret(&tenant, &found.name));
                return Ok(SecretOut { deletion_date: Some(now.epoch_seconds()), ..out(&found, None) });
            }
            let mut secret = living(tx, &tenant, &input.secret_id)?;
            let gone = now.plus_millis(days * DAY_MILLIS);
            (secret.deleted_at, secret.gone_at) = (Some(now), Some(gone));
            tx.put(secret.clone());
            Ok(SecretOut { deletion_date: Some(gone.epoch_seconds()), ..out(&secret, None) })
        })
        .await
}

/// What a forced deletion says of a secret that is not there.
fn never_there(tenant: &Tenant, id: &str, now: Timestamp) -> Result<SecretOut, SecretsError> {
    let named = candidates(tenant, id);
    let (name, end) = named.first().ok_or(SecretsError::NotFound)?;
    let end = end.map_or_else(suffix, str::to_owned);
    let arn = tenant.arn("secretsmanager", format_args!("secret:{name}-{end}"));
    let deletion_date = Some(now.epoch_seconds());
    Ok(SecretOut { arn, name: (*name).to_owned(), version_id: None, version_stages: None, deletion_date })
}

/// RestoreSecret.
pub(super) async fn restore(cx: &Context, input: IdIn) -> Result<SecretOut, SecretsError> {
    let tenant = cx.tenant.clone();
    cx.store
        .write(move |tx| {
            let found = find(tx, &tenant, &input.secret_id, tx.now()).ok_or(SecretsError::NotFound)?;
            tx.put(Secret { deleted_at: None, gone_at: None, ..(*found).clone() });
            Ok(out(&found, None))
        })
        .await
}

/// DescribeSecret.
pub(super) fn describe(cx: &Context, input: IdIn) -> Result<Description, SecretsError> {
    let now = cx.clock.now();
    let found = cx.store.read(|view| find(view, &cx.tenant, &input.secret_id, now)).ok_or(SecretsError::NotFound)?;
    Ok(Description { version_ids_to_stages: Some(stages(&found)), ..described(&found) })
}

/// ListSecrets, by name unless another order is asked for.
#[allow(clippy::needless_pass_by_value, reason = "the form of every handler")]
pub(super) fn list(cx: &Context, input: ListIn) -> Result<ListOut, SecretsError> {
    let now = cx.clock.now();
    let mut all = cx.store.read(|view| view.scan::<Secret>(&Prefix::tenant(&cx.tenant)));
    all.retain(|secret| match secret.gone_at {
        Some(gone) => input.include_planned_deletion && now < gone,
        None => true,
    });
    all.retain(|secret| input.filters.iter().all(|filter| fits(filter, secret)));
    let at = |secret: &Secret| match input.sort_by.as_deref() {
        Some("last-changed-date") => Some(secret.changed_at),
        Some("last-accessed-date") => secret.accessed_at,
        Some("name") => None,
        Some(_) | None => Some(secret.created_at),
    };
    let place = |secret: &std::sync::Arc<Secret>| (at(secret), secret.name.clone(), secret.suffix.clone());
    let order = if input.sort_order.as_deref() == Some("desc") { Order::Down } else { Order::Up };
    let limit = input.max_results.unwrap_or(PAGE);
    let (page, next_token) = listing::page(all, input.next_token.as_deref(), limit, order, place)
        .map_err(|_| SecretsError::InvalidNextToken)?;
    let entry = |secret: &Secret| Description { secret_versions_to_stages: Some(stages(secret)), ..described(secret) };
    Ok(ListOut { secret_list: page.iter().map(|secret| entry(secret)).collect(), next_token })
}

/// One of the values must be the beginning of what the filter looks at; after `!`, none may. What is said in words, a
/// description, is found whatever its case, and by `all` wherever it stands.
fn fits(filter: &Filter, secret: &Secret) -> bool {
    let tag_keys = secret.tags.iter().map(|tag| tag.key.as_str());
    let tag_values = secret.tags.iter().map(|tag| tag.value.as_str());
    let (name, region) = (secret.name.as_str(), secret.tenant.region.as_str());
    let looked_at: Vec<&str> = match filter.key.as_deref() {
        Some("name") => vec![name],
        Some("description") => secret.description.as_deref().into_iter().collect(),
        Some("tag-key") => tag_keys.collect(),
        Some("tag-value") => tag_values.collect(),
        Some("primary-region") => vec![region],
        // No service of AWS owns one here.
        Some("owning-service") => Vec::new(),
        Some(_) | None => {
            secret.description.as_deref().into_iter().chain([name]).chain(tag_keys).chain(tag_values).collect()
        }
    };
    let begins = |value: &str| match filter.key.as_deref() {
        Some("description") => looked_at.iter().any(|text| text.to_lowercase().starts_with(&value.to_lowercase())),
        Some("all") | None => value.split_whitespace().all(|word| {
            let word = word.to_lowercase();
            looked_at.iter().any(|text| text.to_lowercase().contains(&word))
        }),
        Some(_) => looked_at.iter().any(|text| text.starts_with(value)),
    };
    filter.values.iter().any(|value| match value.strip_prefix('!') {
        Some(not) => !begins(not),
        None => begins(value),
    })
}

fn refuse_kind(kind: Option<&str>) -> Result<(), SecretsError> {
    match kind {
        None | Some("") => Ok(()),
        Some(_) => Err(SecretsError::InvalidParameter("Managed external secrets are not carried out by this version.")),
    }
}

/// Letters and digits, as AWS's ARNs end.
fn suffix() -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789AB";
    random_bytes(SUFFIX_CHARS).iter().map(|byte| char::from(letters[usize::from(byte % 64)])).collect()
}

fn out(secret: &Secret, version_id: Option<String>) -> SecretOut {
    SecretOut { version_id, ..SecretOut::of(secret) }
}

fn stages(secret: &Secret) -> BTreeMap<String, Vec<String>> {
    let staged = secret.versions.iter().filter(|version| !version.stages.is_empty());
    staged.map(|version| (version.id.clone(), version.stages.clone())).collect()
}

fn described(secret: &Secret) -> Description {
    let tag = |tag: &Tag| TagWire { key: tag.key.clone(), value: tag.value.clone() };
    Description {
        arn: secret.arn(),
        name: secret.name.clone(),
        description: secret.description.clone(),
        kms_key_id: secret.kms_key_id.clone(),
        last_changed_date: secret.changed_at.epoch_seconds(),
        last_accessed_date: secret.accessed_at.map(Timestamp::epoch_seconds),
        deleted_date: secret.deleted_at.map(Timestamp::epoch_seconds),
        tags: secret.tags.iter().map(tag).collect(),
        version_ids_to_stages: None,
        secret_versions_to_stages: None,
        created_date: secret.created_at.epoch_seconds(),
    }
}
