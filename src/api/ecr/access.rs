//! Whose repository a request is about, and whether the caller may do that there.

use cove_model::access_policy::Principal;
use cove_model::arn::Tenant;

use super::error::{EcrError, of};
use crate::aws::context::{CallerKind, Context};

/// The user, role or root that calls.
pub(super) fn caller(cx: &Context) -> Principal {
    Principal::of_caller(&cx.tenant.account, &cx.caller.arn)
}

/// The tenant of a registry, once its policies let the caller at the repository. Operations are named as in `PutImage`.
pub(super) fn reach(
    cx: &Context,
    registry_id: Option<&str>,
    repository: &str,
    operation: &str,
) -> Result<Tenant, EcrError> {
    let account = registry_id.unwrap_or(&cx.tenant.account);
    let tenant = Tenant::new(account, &cx.tenant.region);
    // The owner gets rid of a policy that keeps everybody out.
    let is_owner = matches!(cx.caller.kind, CallerKind::Root | CallerKind::Dev) && account == cx.tenant.account;
    if is_owner && operation.ends_with("RepositoryPolicy") {
        return Ok(tenant);
    }
    let admitted = cx.registry.admit(&caller(cx), &tenant, repository, &format!("ecr:{operation}"));
    admitted.map_err(of(&tenant, repository))?;
    Ok(tenant)
}

/// The same where the repository need not be there.
pub(super) fn reach_any(
    cx: &Context,
    registry_id: Option<&str>,
    repository: &str,
    operation: &str,
) -> Result<Tenant, EcrError> {
    let tenant = Tenant::new(registry_id.unwrap_or(&cx.tenant.account), &cx.tenant.region);
    let admitted = cx.registry.admit_to_any(&caller(cx), &tenant, repository, &format!("ecr:{operation}"));
    admitted.map_err(of(&tenant, repository))?;
    Ok(tenant)
}
