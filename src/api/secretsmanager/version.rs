//! ListSecretVersionIds and UpdateSecretVersionStage.

use cove_model::secret::{CURRENT, PREVIOUS, SecretVersion};
use cove_store::secret as find;

use super::error::SecretsError;
use super::value::living;
use super::wire::{SecretOut, StageIn, VersionOut, VersionsIn, VersionsOut};
use crate::Context;
use crate::aws::listing::{self, Order};

/// AWS's page when none is asked for.
const PAGE: usize = 100;

/// ListSecretVersionIds, the oldest first. Those without a stage are deprecated.
pub(super) fn list(cx: &Context, input: VersionsIn) -> Result<VersionsOut, SecretsError> {
    let now = cx.clock.now();
    let secret = cx.store.read(|view| find(view, &cx.tenant, &input.secret_id, now)).ok_or(SecretsError::NotFound)?;
    let is_shown = |version: &&SecretVersion| input.include_deprecated || !version.stages.is_empty();
    let shown = secret.versions.iter().filter(is_shown).collect();
    let limit = input.max_results.unwrap_or(PAGE);
    let place = |version: &&SecretVersion| (version.created_at, version.id.clone());
    let (page, next_token) = listing::page(shown, input.next_token.as_deref(), limit, Order::Up, place)
        .map_err(|_| SecretsError::InvalidNextToken)?;
    let version = |it: &SecretVersion| VersionOut {
        version_id: it.id.clone(),
        version_stages: it.stages.clone(),
        created_date: it.created_at.epoch_seconds(),
    };
    let versions = page.into_iter().map(version).collect();
    Ok(VersionsOut { arn: secret.arn(), name: secret.name.clone(), versions, next_token })
}

/// UpdateSecretVersionStage.
pub(super) async fn update_stage(cx: &Context, input: StageIn) -> Result<SecretOut, SecretsError> {
    let tenant = cx.tenant.clone();
    cx.store
        .write(move |tx| {
            let mut secret = living(tx, &tenant, &input.secret_id)?;
            move_stage(&mut secret.versions, &input)?;
            secret.changed_at = tx.now();
            tx.put(secret.clone());
            Ok(SecretOut::of(&secret))
        })
        .await
}

/// A stage is of one version at most: who takes it from one must say so. What AWSCURRENT leaves is AWSPREVIOUS then.
fn move_stage(versions: &mut [SecretVersion], input: &StageIn) -> Result<(), SecretsError> {
    let (stage, from, to) = (&input.version_stage, &input.remove_from_version_id, &input.move_to_version_id);
    let has = |version: &SecretVersion| version.stages.contains(stage);
    let holder = versions.iter().find(|version| has(version)).map(|version| version.id.clone());
    for id in from.iter().chain(to) {
        if !versions.iter().any(|version| version.id == *id) {
            return Err(SecretsError::NoVersion { what: "VersionId", which: id.clone() });
        }
    }
    match (&holder, from) {
        (Some(holder), None) if Some(holder) != to.as_ref() => {
            return Err(SecretsError::Stage(format!(
                "The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to version {holder}, so you must explicitly reference that version in RemoveFromVersionId."
            )));
        }
        (holder, Some(from)) if holder.as_ref() != Some(from) => {
            return Err(SecretsError::Stage(format!("Staging label {stage} is not attached to version {from}.")));
        }
        (Some(_) | None, _) => {}
    }
    if to.is_none() && stage == CURRENT {
        return Err(SecretsError::Stage(format!(
            "You can only move staging label {CURRENT} to a different secret version. It can't be completely removed."
        )));
    }
    let moves_current = stage == CURRENT && holder != *to;
    for version in versions {
        let had = version.stages.contains(stage);
        version.stages.retain(|known| known != stage && !(moves_current && known == PREVIOUS));
        if Some(&version.id) == to.as_ref() {
            version.stages.push(stage.clone());
        } else if had && moves_current {
            version.stages.push(PREVIOUS.to_owned());
        }
    }
    Ok(())
}
