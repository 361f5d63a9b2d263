//! RegisterPullTimeUpdateExclusion, DeregisterPullTimeUpdateExclusion, ListPullTimeUpdateExclusions: users and roles whose
//! pulls leave no `lastRecordedPullTime`.

use cove_model::registry_settings::PullTimeExclusion;
use serde::{Deserialize, Serialize};

use super::error::EcrError;
use super::page::page;
use super::request::PageIn;
use crate::aws::context::Context;

/// AWS's quota.
const EXCLUSIONS_MAX: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PrincipalIn {
    principal_arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RegisterOut {
    principal_arn: String,
    created_at: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PrincipalOut {
    principal_arn: String,
}

pub(super) async fn register(cx: &Context, input: PrincipalIn) -> Result<RegisterOut, EcrError> {
    let principal_arn = input.principal_arn;
    let registered = cx.registry.change_settings(&cx.tenant, move |settings, now| {
        if settings.leaves_no_pull_time(&principal_arn) {
            return Err(EcrError::ExclusionAlreadyExists(principal_arn));
        }
        if settings.pull_time_exclusions.len() >= EXCLUSIONS_MAX {
            return Err(EcrError::TooManyExclusions(EXCLUSIONS_MAX));
        }
        let made = PullTimeExclusion { principal_arn, created_at: now };
        settings.pull_time_exclusions.push(made.clone());
        Ok(made)
    });
    let made = registered.await?;
    Ok(RegisterOut { principal_arn: made.principal_arn, created_at: made.created_at.epoch_seconds() })
}

pub(super) async fn deregister(cx: &Context, input: PrincipalIn) -> Result<PrincipalOut, EcrError> {
    let principal_arn = input.principal_arn;
    let gone = cx.registry.change_settings(&cx.tenant, move |settings, _| {
        if !settings.leaves_no_pull_time(&principal_arn) {
            return Err(EcrError::ExclusionNotFound(principal_arn));
        }
        settings.pull_time_exclusions.retain(|one| one.principal_arn != principal_arn);
        Ok(principal_arn)
    });
    Ok(PrincipalOut { principal_arn: gone.await? })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListOut {
    pull_time_update_exclusions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(super) fn list(cx: &Context, input: PageIn) -> Result<ListOut, EcrError> {
    let settings = cx.registry.settings(&cx.tenant);
    let mut arns: Vec<String> = settings.pull_time_exclusions.iter().map(|one| one.principal_arn.clone()).collect();
    arns.sort_unstable();
    let (pull_time_update_exclusions, next_token) = page(arns, Clone::clone, &input)?;
    Ok(ListOut { pull_time_update_exclusions, next_token })
}
