//! PutSigningConfiguration, GetSigningConfiguration, DeleteSigningConfiguration, DescribeImageSigningStatus.
//!
//! Nobody signs here: rules are kept, and an image that a rule wants signed is shown as not signed, with the reason.

use cove_model::registry_settings::SigningRule;
use cove_model::wildcard;
use serde::{Deserialize, Serialize};

use super::error::{EcrError, of};
use super::image::selected;
use super::request::ImageIn;
use super::wire::ImageId;
use crate::aws::context::Context;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigurationWire {
    rules: Vec<RuleWire>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuleWire {
    signing_profile_arn: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    repository_filters: Vec<FilterWire>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FilterWire {
    filter: String,
    filter_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutIn {
    signing_configuration: ConfigurationWire,
}

#[derive(Deserialize)]
pub(super) struct NothingIn {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutOut {
    signing_configuration: ConfigurationWire,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigurationOut {
    registry_id: String,
    signing_configuration: ConfigurationWire,
}

pub(super) async fn put(cx: &Context, input: PutIn) -> Result<PutOut, EcrError> {
    let stored = |rule: &RuleWire| SigningRule {
        profile_arn: rule.signing_profile_arn.clone(),
        repositories: rule.repository_filters.iter().map(|filter| filter.filter.clone()).collect(),
    };
    let rules: Vec<SigningRule> = input.signing_configuration.rules.iter().map(stored).collect();
    let put = cx.registry.change_settings(&cx.tenant, move |settings, _| {
        settings.signing = Some(rules);
        Ok::<_, EcrError>(())
    });
    put.await?;
    Ok(PutOut { signing_configuration: input.signing_configuration })
}

pub(super) fn get(cx: &Context, _: NothingIn) -> Result<ConfigurationOut, EcrError> {
    let settings = cx.registry.settings(&cx.tenant);
    let account = cx.tenant.account.clone();
    let rules = settings.signing.as_ref().ok_or_else(|| EcrError::SigningConfigurationNotFound(account.clone()))?;
    Ok(ConfigurationOut { registry_id: account, signing_configuration: shown(rules) })
}

pub(super) async fn delete(cx: &Context, _: NothingIn) -> Result<ConfigurationOut, EcrError> {
    let account = cx.tenant.account.clone();
    let gone = cx.registry.change_settings(&cx.tenant, move |settings, _| {
        settings.signing.take().ok_or(EcrError::SigningConfigurationNotFound(account))
    });
    let signing_configuration = shown(&gone.await?);
    Ok(ConfigurationOut { registry_id: cx.tenant.account.clone(), signing_configuration })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusOut {
    registry_id: String,
    repository_name: String,
    image_id: ImageId,
    signing_statuses: Vec<StatusWire>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusWire {
    signing_profile_arn: String,
    status: &'static str,
    failure_code: &'static str,
    failure_reason: &'static str,
}

pub(super) fn status(cx: &Context, input: ImageIn) -> Result<StatusOut, EcrError> {
    let name = &input.of.repository_name;
    let tenant = input.of.reach(cx, "DescribeImageSigningStatus")?;
    let selector = selected(&input.image_id)?;
    let image = cx.registry.image(&tenant, name, &selector).map_err(of(&tenant, name))?;
    let settings = cx.registry.settings(&tenant);
    let wants = |rule: &&SigningRule| {
        rule.repositories.is_empty() || rule.repositories.iter().any(|pattern| wildcard::matches(pattern, name))
    };
    let unsigned = |rule: &SigningRule| StatusWire {
        signing_profile_arn: rule.profile_arn.clone(),
        status: "FAILED",
        failure_code: "SignerUnavailable",
        failure_reason: "This registry has no access to AWS Signer: it keeps signing rules and signs nothing.",
    };
    Ok(StatusOut {
        registry_id: tenant.account,
        repository_name: name.clone(),
        image_id: ImageId { image_digest: Some(image.digest.clone()), image_tag: input.image_id.image_tag },
        signing_statuses: settings.signing.iter().flatten().filter(wants).map(unsigned).collect(),
    })
}

fn shown(rules: &[SigningRule]) -> ConfigurationWire {
    let filter = |pattern: &String| FilterWire { filter: pattern.clone(), filter_type: "WILDCARD_MATCH".to_owned() };
    let rule = |rule: &SigningRule| RuleWire {
        signing_profile_arn: rule.profile_arn.clone(),
        repository_filters: rule.repositories.iter().map(filter).collect(),
    };
    ConfigurationWire { rules: rules.iter().map(rule).collect() }
}
