//! Create-, Update-, Delete-, Describe- and ValidatePullThroughCacheRule.
//!
//! A rule is of a registry: other accounts get at it by the registry's policy, in which `repository/PREFIX` stands for it.

use cove_model::arn::{Arn, Tenant};
use cove_model::image::ecr_tenant;
use cove_model::registry_rules::{PullThroughRule, ROOT, Upstream};
use cove_store::{Prefix, Read, Tx, keys, secret};
use serde::{Deserialize, Serialize};

use super::access::reach_any;
use super::error::EcrError;
use super::page::page;
use super::request::PageIn;
use crate::aws::context::Context;

/// What a registry's policy must let others at who list its rules.
const EVERY: &str = "*";

/// AWS's quota of a registry.
const RULES_MAX: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateIn {
    ecr_repository_prefix: String,
    upstream_registry_url: String,
    registry_id: Option<String>,
    upstream_registry: Option<Upstream>,
    credential_arn: Option<String>,
    custom_role_arn: Option<String>,
    upstream_repository_prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UpdateIn {
    registry_id: Option<String>,
    ecr_repository_prefix: String,
    credential_arn: Option<String>,
    custom_role_arn: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PrefixIn {
    registry_id: Option<String>,
    ecr_repository_prefix: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeIn {
    registry_id: Option<String>,
    #[serde(default)]
    ecr_repository_prefixes: Vec<String>,
    #[serde(flatten)]
    page: PageIn,
}

/// A rule in every answer. Members that an operation does not have are left out of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RuleWire {
    ecr_repository_prefix: String,
    registry_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_registry_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_registry: Option<Upstream>,
    upstream_repository_prefix: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_role_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_valid: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeOut {
    pull_through_cache_rules: Vec<RuleWire>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(super) async fn create(cx: &Context, input: CreateIn) -> Result<RuleWire, EcrError> {
    let tenant =
        reach_any(cx, input.registry_id.as_deref(), &input.ecr_repository_prefix, "CreatePullThroughCacheRule")?;
    let host = input.upstream_registry_url.as_str();
    let upstream = Upstream::of_host(host);
    if !cx.registry.is_upstream(host) || input.upstream_registry.is_some_and(|named| Some(named) != upstream) {
        return Err(EcrError::UnsupportedUpstream(format!(
            "The upstream registry URL {host} is invalid. Specify a valid upstream registry URL and try again"
        )));
    }
    if upstream.is_some_and(Upstream::needs_secret) && input.credential_arn.is_none() {
        return Err(EcrError::UnsupportedUpstream(
            "The specified upstream registry requires authentication. Specify a valid Secrets Manager ARN and try again"
                .to_owned(),
        ));
    }
    let other_account = ecr_tenant(host).is_some_and(|of| of.account != tenant.account);
    if other_account && input.custom_role_arn.is_none() {
        return Err(invalid("customRoleArn", "must be specified for a registry of another account"));
    }
    let upstream_prefix = input.upstream_repository_prefix.unwrap_or_else(|| ROOT.to_owned());
    if input.ecr_repository_prefix == ROOT && upstream_prefix != ROOT {
        return Err(invalid("upstreamRepositoryPrefix", "must be ROOT when the repository prefix is ROOT"));
    }
    let (prefix, url) = (input.ecr_repository_prefix, input.upstream_registry_url);
    let (credential_arn, custom_role_arn) = (input.credential_arn, input.custom_role_arn);
    let made = cx.store.write(move |tx| {
        check_secret(tx, &tenant, credential_arn.as_deref())?;
        if tx.get::<PullThroughRule>(&keys::pull_through_rule(&tenant, &prefix)).is_some() {
            return Err(EcrError::RuleAlreadyExists { prefix, account: tenant.account });
        }
        if tx.count::<PullThroughRule>(&Prefix::tenant(&tenant)) >= RULES_MAX {
            return Err(EcrError::LimitExceeded(format!("A registry can have at most {RULES_MAX} rules")));
        }
        let rule = PullThroughRule {
            tenant,
            prefix,
            upstream_url: url,
            upstream,
            upstream_prefix,
            credential_arn,
            custom_role_arn,
            created_at: tx.now(),
            updated_at: tx.now(),
        };
        tx.put(rule.clone());
        Ok(rule)
    });
    Ok(RuleWire { updated_at: None, ..shown(&made.await?) })
}

pub(super) async fn update(cx: &Context, input: UpdateIn) -> Result<RuleWire, EcrError> {
    let tenant =
        reach_any(cx, input.registry_id.as_deref(), &input.ecr_repository_prefix, "UpdatePullThroughCacheRule")?;
    if input.credential_arn.is_none() && input.custom_role_arn.is_none() {
        return Err(invalid("credentialArn", "a secret or a role must be specified"));
    }
    let changed = cx.store.write(move |tx| {
        check_secret(tx, &tenant, input.credential_arn.as_deref())?;
        let mut rule = known(tx, &tenant, &input.ecr_repository_prefix)?;
        rule.credential_arn = input.credential_arn.or(rule.credential_arn);
        rule.custom_role_arn = input.custom_role_arn.or(rule.custom_role_arn);
        rule.updated_at = tx.now();
        tx.put(rule.clone());
        Ok::<_, EcrError>(rule)
    });
    let changed = shown(&changed.await?);
    Ok(RuleWire { created_at: None, upstream_registry: None, upstream_registry_url: None, ..changed })
}

/// What was fetched stays.
pub(super) async fn delete(cx: &Context, input: PrefixIn) -> Result<RuleWire, EcrError> {
    let tenant =
        reach_any(cx, input.registry_id.as_deref(), &input.ecr_repository_prefix, "DeletePullThroughCacheRule")?;
    let gone = cx.store.write(move |tx| {
        let rule = known(tx, &tenant, &input.ecr_repository_prefix)?;
        tx.delete::<PullThroughRule>(&keys::pull_through_rule(&tenant, &rule.prefix));
        Ok::<_, EcrError>(rule)
    });
    Ok(RuleWire { updated_at: None, upstream_registry: None, ..shown(&gone.await?) })
}

pub(super) fn describe(cx: &Context, input: DescribeIn) -> Result<DescribeOut, EcrError> {
    let tenant = reach_any(cx, input.registry_id.as_deref(), EVERY, "DescribePullThroughCacheRules")?;
    if !input.ecr_repository_prefixes.is_empty() {
        let find = |prefix: &String| cx.store.read(|view| known(view, &tenant, prefix)).map(|rule| shown(&rule));
        let pull_through_cache_rules = input.ecr_repository_prefixes.iter().map(find).collect::<Result<_, _>>()?;
        return Ok(DescribeOut { pull_through_cache_rules, next_token: None });
    }
    let all = cx.store.read(|view| view.scan::<PullThroughRule>(&Prefix::tenant(&tenant)));
    let (found, next_token) = page(all, |rule| rule.prefix.clone(), &input.page)?;
    Ok(DescribeOut { pull_through_cache_rules: found.iter().map(|rule| shown(rule)).collect(), next_token })
}

pub(super) async fn validate(cx: &Context, input: PrefixIn) -> Result<RuleWire, EcrError> {
    let tenant =
        reach_any(cx, input.registry_id.as_deref(), &input.ecr_repository_prefix, "ValidatePullThroughCacheRule")?;
    let rule = cx.store.read(|view| known(view, &tenant, &input.ecr_repository_prefix))?;
    let failure = cx.registry.try_rule(&rule).await.err().map(|error| error.to_string());
    let is_valid = Some(failure.is_none());
    Ok(RuleWire { created_at: None, updated_at: None, upstream_registry: None, is_valid, failure, ..shown(&rule) })
}

/// A rule's secret is of the registry's own account and region, and there.
fn check_secret(tx: &Tx<'_>, tenant: &Tenant, arn: Option<&str>) -> Result<(), EcrError> {
    let Some(arn) = arn else { return Ok(()) };
    if !Arn::parse(arn).is_some_and(|arn| arn.belongs_to(tenant)) {
        return Err(EcrError::SecretForeign);
    }
    let found = secret(tx, tenant, arn, tx.now()).filter(|secret| secret.gone_at.is_none());
    found.map(|_| ()).ok_or(EcrError::SecretNotFound)
}

fn known(read: &impl Read, tenant: &Tenant, prefix: &str) -> Result<PullThroughRule, EcrError> {
    let found = read.get::<PullThroughRule>(&keys::pull_through_rule(tenant, prefix));
    let unknown = || EcrError::RuleNotFound { prefix: prefix.to_owned(), account: tenant.account.clone() };
    found.map(|rule| (*rule).clone()).ok_or_else(unknown)
}

fn invalid(at: &str, why: &str) -> EcrError {
    EcrError::InvalidParameter(format!("Invalid parameter at '{at}' failed to satisfy constraint: '{why}'"))
}

fn shown(rule: &PullThroughRule) -> RuleWire {
    RuleWire {
        ecr_repository_prefix: rule.prefix.clone(),
        registry_id: rule.tenant.account.clone(),
        upstream_registry_url: Some(rule.upstream_url.clone()),
        upstream_registry: rule.upstream,
        upstream_repository_prefix: rule.upstream_prefix.clone(),
        credential_arn: rule.credential_arn.clone(),
        custom_role_arn: rule.custom_role_arn.clone(),
        created_at: Some(rule.created_at.epoch_seconds()),
        updated_at: Some(rule.updated_at.epoch_seconds()),
        is_valid: None,
        failure: None,
    }
}
