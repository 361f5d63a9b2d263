//! Layers by API: BatchCheckLayerAvailability, InitiateLayerUpload, UploadLayerPart, CompleteLayerUpload,
//! GetDownloadUrlForLayer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cove_registry::{Algorithm, ContentRange, Digest, RegistryError};
use http_body_util::{Empty, Full};
use serde::{Deserialize, Serialize};

use super::access::reach;
use super::error::{EcrError, of};
use crate::aws::context::Context;
use crate::oci::token as login_token;

/// What clients are asked to send per part: the least that AWS takes, since a part is decoded in memory.
const PART_BYTES: u64 = 5 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AvailabilityIn {
    registry_id: Option<String>,
    repository_name: String,
    layer_digests: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct AvailabilityOut {
    layers: Vec<Layer>,
    failures: Vec<LayerFailure>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    layer_digest: String,
    layer_availability: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    layer_size: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LayerFailure {
    layer_digest: String,
    failure_code: &'static str,
    failure_reason: String,
}

pub(super) async fn availability(cx: &Context, input: AvailabilityIn) -> Result<AvailabilityOut, EcrError> {
    let name = &input.repository_name;
    let tenant = reach(cx, input.registry_id.as_deref(), name, "BatchCheckLayerAvailability")?;
    let mut out = AvailabilityOut { layers: Vec::new(), failures: Vec::new() };
    for layer_digest in input.layer_digests {
        let Some(digest) = Digest::parse(&layer_digest) else {
            let failure_reason = format!("Invalid layer digest '{layer_digest}'");
            out.failures.push(LayerFailure { layer_digest, failure_code: "InvalidLayerDigest", failure_reason });
            continue;
        };
        let layer_size = match cx.registry.blob_wanted(&tenant, name, &digest).await {
            Ok(blob) => Some(blob.size),
            Err(RegistryError::BlobUnknown(_)) => None,
            Err(error) => return Err(of(&tenant, name)(error)),
        };
        let layer_availability = if layer_size.is_some() { "AVAILABLE" } else { "UNAVAILABLE" };
        out.layers.push(Layer { layer_digest, layer_availability, layer_size });
    }
    Ok(out)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StartIn {
    registry_id: Option<String>,
    repository_name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StartOut {
    upload_id: String,
    part_size: u64,
}

pub(super) async fn start(cx: &Context, input: StartIn) -> Result<StartOut, EcrError> {
    let name = &input.repository_name;
    let tenant = reach(cx, input.registry_id.as_deref(), name, "InitiateLayerUpload")?;
    let started = cx.registry.start_upload(&tenant, name, Algorithm::Sha256).await;
    Ok(StartOut { upload_id: started.map_err(|error| unlimited(of(&tenant, name)(error)))?, part_size: PART_BYTES })
}

/// These two operations have no LimitExceededException in the model.
fn unlimited(error: EcrError) -> EcrError {
    match error {
        EcrError::LimitExceeded(text) => EcrError::InvalidParameter(text),
        other => other,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PartIn {
    registry_id: Option<String>,
    repository_name: String,
    upload_id: String,
    part_first_byte: u64,
    part_last_byte: u64,
    layer_part_blob: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PartOut {
    registry_id: String,
    repository_name: String,
    upload_id: String,
    last_byte_received: u64,
}

pub(super) async fn append(cx: &Context, input: PartIn) -> Result<PartOut, EcrError> {
    let name = &input.repository_name;
    let tenant = reach(cx, input.registry_id.as_deref(), name, "UploadLayerPart")?;
    let bytes = STANDARD.decode(&input.layer_part_blob).map_err(|_| {
        EcrError::InvalidParameter(
            "Invalid parameter at 'layerPartBlob' failed to satisfy constraint: 'must be base64'".to_owned(),
        )
    })?;
    let range = ContentRange { start: input.part_first_byte, end: input.part_last_byte };
    if range.start > range.end {
        return Err(EcrError::InvalidParameter("Invalid parameter: partLastByte lies before partFirstByte".to_owned()));
    }
    let mut body = Full::new(Bytes::from(bytes));
    let id = &input.upload_id;
    let length = cx.registry.append(&tenant, name, id, Some(range), &mut body).await.map_err(of(&tenant, name))?;
    Ok(PartOut {
        registry_id: tenant.account.clone(),
        repository_name: input.repository_name,
        upload_id: input.upload_id,
        last_byte_received: length.saturating_sub(1),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CompleteIn {
    registry_id: Option<String>,
    repository_name: String,
    upload_id: String,
    layer_digests: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CompleteOut {
    registry_id: String,
    repository_name: String,
    upload_id: String,
    layer_digest: String,
}

pub(super) async fn complete(cx: &Context, input: CompleteIn) -> Result<CompleteOut, EcrError> {
    let name = &input.repository_name;
    let tenant = reach(cx, input.registry_id.as_deref(), name, "CompleteLayerUpload")?;
    let of = of(&tenant, name);
    // Several digests are the same layer by several algorithms: the first that we can check decides.
    let digest = input.layer_digests.iter().find_map(|text| Digest::parse(text));
    let digest = digest.ok_or_else(|| of(RegistryError::DigestInvalid(input.layer_digests.join(", "))))?;
    if cx.registry.upload_offset(&tenant, name, &input.upload_id).await.map_err(&of)? == 0 {
        return Err(EcrError::EmptyUpload(input.upload_id));
    }
    // One that was damaged is not there: it is what this upload heals.
    if cx.registry.blob_wanted(&tenant, name, &digest).await.is_ok() {
        cx.registry.cancel_upload(&tenant, name, &input.upload_id).await.map_err(&of)?;
        let (repository, account) = (name.clone(), tenant.account.clone());
        return Err(EcrError::LayerAlreadyExists { repository, account, digest: digest.to_string() });
    }
    let mut nothing = Empty::<Bytes>::new();
    let finished = cx.registry.finish(&tenant, name, &input.upload_id, None, &mut nothing, &digest).await;
    finished.map_err(|error| unlimited(of(error)))?;
    Ok(CompleteOut {
        registry_id: tenant.account.clone(),
        repository_name: name.clone(),
        upload_id: input.upload_id,
        layer_digest: digest.to_string(),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DownloadIn {
    registry_id: Option<String>,
    repository_name: String,
    layer_digest: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DownloadOut {
    download_url: String,
    layer_digest: String,
}

pub(super) fn download_url(cx: &Context, input: DownloadIn) -> Result<DownloadOut, EcrError> {
    let name = &input.repository_name;
    let tenant = reach(cx, input.registry_id.as_deref(), name, "GetDownloadUrlForLayer")?;
    let digest = Digest::parse(&input.layer_digest)
        .ok_or_else(|| of(&tenant, name)(RegistryError::DigestInvalid(input.layer_digest.clone())))?;
    cx.registry.blob(&tenant, name, &digest).map_err(of(&tenant, name))?;
    let expires = cx.clock.now().plus_millis(login_token::LINK_MILLIS);
    let grant = login_token::grant(&cx.settings.keys.node_secret, &tenant, name, digest.as_str(), expires);
    Ok(DownloadOut {
        download_url: format!("{}/v2/{name}/blobs/{digest}?grant={grant}", cx.settings.registry_url()),
        layer_digest: input.layer_digest,
    })
}
