//! GetSecretValue, PutSecretValue, and how a value becomes a version.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cove_base::Timestamp;
use cove_base::ids::uuid;
use cove_model::secret::{CURRENT, Secret, SecretVersion};
use cove_store::{StoreError, Tx, Vault, keys, secret as find};

use super::error::{MARKED, SecretsError};
use super::wire::{GetIn, PutIn, SecretOut, ValueOut};
use crate::Context;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// AWS's quota of staging labels of a secret. Each keeps a version.
const LABELS_MAX: usize = 20;

/// A value as a request brings it, checked. No `Debug`.
pub(super) struct Given {
    bytes: Vec<u8>,
    is_binary: bool,
}

/// The value of a request, if it has one.
pub(super) fn given(string: Option<String>, binary: Option<String>) -> Result<Option<Given>, SecretsError> {
    match (string, binary) {
        (Some(_), Some(_)) => Err(SecretsError::InvalidParameter(
            "You can't specify both a binary secret value and a string secret value in the same secret.",
        )),
        (Some(text), None) => Ok(Some(Given { bytes: text.into_bytes(), is_binary: false })),
        (None, Some(base64)) => match STANDARD.decode(base64) {
            Ok(bytes) => Ok(Some(Given { bytes, is_binary: true })),
            Err(_) => Err(SecretsError::InvalidParameter("SecretBinary is not base64.")),
        },
        (None, None) => Ok(None),
    }
}

/// Adds the value as a version. The same token with the same value is the same version; its id.
pub(super) fn add(
    vault: &Vault,
    secret: &mut Secret,
    value: &Given,
    token: Option<String>,
    stages: Vec<String>,
    now: Timestamp,
) -> Result<String, SecretsError> {
    let id = token.unwrap_or_else(uuid);
    if let Some(known) = secret.versions.iter().find(|version| version.id == id) {
        let same =
            known.is_binary == value.is_binary && vault.value(secret, known).is_some_and(|bytes| bytes == value.bytes);
        return if same { Ok(id) } else { Err(SecretsError::TokenInUse { token: id, arn: secret.arn() }) };
    }
    let mut stages = stages;
    // The first version is the current one whatever else it is.
    if secret.versions.is_empty() && !stages.iter().any(|stage| stage == CURRENT) {
        stages.push(CURRENT.to_owned());
    }
    let known = secret.versions.iter().flat_map(|version| &version.stages);
    let labels: BTreeSet<&String> = known.chain(&stages).collect();
    if labels.len() > LABELS_MAX {
        return Err(SecretsError::LimitExceeded(
            "You have reached the quota for staging labels that can be attached to all versions of a secret.",
        ));
    }
    let sealed = vault.seal(&secret.seal_context(&id), &value.bytes);
    let is_binary = value.is_binary;
    secret.add(SecretVersion { id: id.clone(), stages, created_at: now, is_binary, sealed });
    secret.changed_at = now;
    Ok(id)
}

/// A secret that may be changed.
pub(super) fn living(tx: &Tx<'_>, cx: &cove_model::arn::Tenant, id: &str) -> Result<Secret, SecretsError> {
    let secret = find(tx, cx, id, tx.now()).ok_or(SecretsError::NotFound)?;
    if secret.gone_at.is_some() { Err(MARKED) } else { Ok((*secret).clone()) }
}

/// PutSecretValue.
pub(super) async fn put(cx: &Context, input: PutIn) -> Result<SecretOut, SecretsError> {
    if input.rotation_token.is_some() {
        return Err(SecretsError::InvalidParameter("Rotation of secrets is not carried out by this version."));
    }
    let value = given(input.secret_string, input.secret_binary)?
        .ok_or(SecretsError::InvalidRequest("You must provide either SecretString or SecretBinary."))?;
    let stages = input.version_stages.unwrap_or_else(|| vec![CURRENT.to_owned()]);
    let (vault, tenant) = (Vault::new(&cx.settings.keys.node_secret), cx.tenant.clone());
    cx.store
        .write(move |tx| {
            let mut secret = living(tx, &tenant, &input.secret_id)?;
            let now = tx.now();
            let id = add(&vault, &mut secret, &value, input.client_request_token, stages, now)?;
            let version_stages = secret.version(Some(&id), None).map(|version| version.stages.clone());
            tx.put(secret.clone());
            let (arn, name) = (secret.arn(), secret.name);
            let version_stages = version_stages.filter(|stages| !stages.is_empty());
            Ok(SecretOut { arn, name, version_id: Some(id), version_stages, deletion_date: None })
        })
        .await
}

/// GetSecretValue.
pub(super) async fn get(cx: &Context, input: GetIn) -> Result<ValueOut, SecretsError> {
    let now = cx.clock.now();
    let secret = cx.store.read(|view| find(view, &cx.tenant, &input.secret_id, now)).ok_or(SecretsError::NotFound)?;
    if secret.gone_at.is_some() {
        return Err(MARKED);
    }
    let (id, stage) = (input.version_id.as_deref(), input.version_stage.as_deref());
    let version = secret.version(id, stage).ok_or_else(|| match (id, stage) {
        (Some(id), Some(_)) if secret.version(Some(id), None).is_some() => SecretsError::InvalidRequest(
            "You provided a VersionStage that is not associated to the provided VersionId.",
        ),
        (Some(id), _) => SecretsError::NoVersion { what: "VersionId", which: id.to_owned() },
        (None, stage) => SecretsError::NoVersion { what: "staging label", which: stage.unwrap_or(CURRENT).to_owned() },
    })?;
    let bytes = Vault::new(&cx.settings.keys.node_secret).value(&secret, version).ok_or(SecretsError::Sealed)?;
    note_access(cx, &secret, now).await;
    let (mut secret_binary, mut secret_string) = (None, None);
    if version.is_binary {
        secret_binary = Some(STANDARD.encode(bytes));
    } else {
        secret_string = Some(String::from_utf8(bytes).map_err(|_| SecretsError::Sealed)?);
    }
    Ok(ValueOut {
        arn: secret.arn(),
        name: secret.name.clone(),
        version_id: version.id.clone(),
        secret_binary,
        secret_string,
        version_stages: version.stages.clone(),
        created_date: version.created_at.epoch_seconds(),
    })
}

/// Once a day at most; a store that takes no writes keeps nobody from reading.
async fn note_access(cx: &Context, secret: &Secret, now: Timestamp) {
    let day = Timestamp(now.millis() - now.millis().rem_euclid(DAY_MILLIS));
    if secret.accessed_at == Some(day) {
        return;
    }
    let key = keys::secret(&secret.tenant, &secret.name);
    let noted = cx.store.write(move |tx| {
        if let Some(known) = cove_store::Read::get::<Secret>(tx, &key) {
            tx.put(Secret { accessed_at: Some(day), ..(*known).clone() });
        }
        Ok::<_, StoreError>(())
    });
    if let Err(error) = noted.await {
        tracing::warn!(error = cove_base::error::chain(&error), "could not note that a secret was read");
    }
}
