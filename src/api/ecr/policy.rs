//! SetRepositoryPolicy, GetRepositoryPolicy, DeleteRepositoryPolicy, PutRegistryPolicy, GetRegistryPolicy,
//! DeleteRegistryPolicy.

use cove_model::access_policy::Verdict;
use cove_model::arn::Tenant;
use cove_model::registry::Repository;
use cove_registry::access::{registry_policy, repository_policy};
use serde::{Deserialize, Serialize};

use super::access::caller;
use super::error::{EcrError, of};
use super::request::RepositoryIn;
use crate::aws::context::Context;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SetIn {
    #[serde(flatten)]
    of: RepositoryIn,
    policy_text: String,
    #[serde(default)]
    force: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PolicyOut {
    registry_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository_name: Option<String>,
    policy_text: String,
}

pub(super) async fn set(cx: &Context, input: SetIn) -> Result<PolicyOut, EcrError> {
    let name = &input.of.repository_name;
    let tenant = input.of.reach(cx, "SetRepositoryPolicy")?;
    let policy = repository_policy(&input.policy_text).ok_or_else(|| invalid("Invalid repository policy provided"))?;
    let arn = Repository::arn_of(&tenant, name);
    if !input.force && policy.verdict(&caller(cx), "ecr:SetRepositoryPolicy", &arn) == Verdict::Denied {
        return Err(invalid("The policy would keep you from setting another one; set force to put it all the same"));
    }
    cx.registry.set_policy(&tenant, name, Some(input.policy_text.clone())).await.map_err(of(&tenant, name))?;
    Ok(of_repository(&tenant, name, input.policy_text))
}

pub(super) fn get(cx: &Context, input: RepositoryIn) -> Result<PolicyOut, EcrError> {
    let name = &input.repository_name;
    let tenant = input.reach(cx, "GetRepositoryPolicy")?;
    let found = cx.registry.policy_of(&tenant, name).map_err(of(&tenant, name))?;
    found.map(|policy| of_repository(&tenant, name, policy.text.clone())).ok_or_else(|| none(&tenant, name))
}

pub(super) async fn delete(cx: &Context, input: RepositoryIn) -> Result<PolicyOut, EcrError> {
    let name = &input.repository_name;
    let tenant = input.reach(cx, "DeleteRepositoryPolicy")?;
    let gone = cx.registry.set_policy(&tenant, name, None).await.map_err(of(&tenant, name))?;
    gone.map(|policy| of_repository(&tenant, name, policy.text.clone())).ok_or_else(|| none(&tenant, name))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutIn {
    policy_text: String,
}

#[derive(Deserialize)]
pub(super) struct NothingIn {}

pub(super) async fn put_registry(cx: &Context, input: PutIn) -> Result<PolicyOut, EcrError> {
    registry_policy(&input.policy_text).ok_or_else(|| invalid("Invalid registry policy provided"))?;
    let text = input.policy_text.clone();
    let put = cx.registry.change_settings(&cx.tenant, move |settings, _| {
        settings.policy = Some(text);
        Ok::<_, EcrError>(())
    });
    put.await?;
    Ok(of_registry(&cx.tenant, input.policy_text))
}

pub(super) fn get_registry(cx: &Context, _: NothingIn) -> Result<PolicyOut, EcrError> {
    let text = cx.registry.settings(&cx.tenant).policy.clone();
    text.map(|text| of_registry(&cx.tenant, text)).ok_or_else(|| no_registry_policy(&cx.tenant))
}

pub(super) async fn delete_registry(cx: &Context, _: NothingIn) -> Result<PolicyOut, EcrError> {
    let tenant = cx.tenant.clone();
    let gone = cx.registry.change_settings(&cx.tenant, move |settings, _| {
        settings.policy.take().ok_or_else(|| no_registry_policy(&tenant))
    });
    Ok(of_registry(&cx.tenant, gone.await?))
}

fn of_repository(tenant: &Tenant, name: &str, policy_text: String) -> PolicyOut {
    PolicyOut { registry_id: tenant.account.clone(), repository_name: Some(name.to_owned()), policy_text }
}

fn of_registry(tenant: &Tenant, policy_text: String) -> PolicyOut {
    PolicyOut { registry_id: tenant.account.clone(), repository_name: None, policy_text }
}

fn none(tenant: &Tenant, name: &str) -> EcrError {
    EcrError::RepositoryPolicyNotFound { repository: name.to_owned(), account: tenant.account.clone() }
}

fn no_registry_policy(tenant: &Tenant) -> EcrError {
    EcrError::RegistryPolicyNotFound(tenant.account.clone())
}

fn invalid(why: &str) -> EcrError {
    EcrError::InvalidParameter(format!("Invalid parameter at 'PolicyText' failed to satisfy constraint: '{why}'"))
}
