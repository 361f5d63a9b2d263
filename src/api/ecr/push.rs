//! PutImage.

use bytes::Bytes;
use cove_registry::{Digest, ManifestPut, RegistryError};
use serde::{Deserialize, Serialize};

use super::access::reach;
use super::error::{EcrError, of};
use super::wire::{ImageId, ImageWire};
use crate::aws::context::Context;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutIn {
    registry_id: Option<String>,
    repository_name: String,
    image_manifest: String,
    image_manifest_media_type: Option<String>,
    image_tag: Option<String>,
    image_digest: Option<String>,
}

#[derive(Serialize)]
pub(super) struct PutOut {
    image: ImageWire,
}

pub(super) async fn put(cx: &Context, input: PutIn) -> Result<PutOut, EcrError> {
    let name = &input.repository_name;
    let tenant = reach(cx, input.registry_id.as_deref(), name, "PutImage")?;
    let digest = match &input.image_digest {
        None => None,
        Some(text) => {
            Some(Digest::parse(text).ok_or_else(|| of(&tenant, name)(RegistryError::DigestInvalid(text.clone())))?)
        }
    };
    let put = ManifestPut {
        bytes: Bytes::from(input.image_manifest.clone().into_bytes()),
        media_type: input.image_manifest_media_type,
        digest,
        tags: input.image_tag.clone().into_iter().collect(),
    };
    let pushed = cx.registry.put_manifest(&tenant, name, put).await.map_err(|error| match error {
        RegistryError::DigestMismatch { promised, got } => EcrError::ImageDigestDoesNotMatch { promised, got },
        other => of(&tenant, name)(other),
    })?;
    if pushed.unchanged {
        return Err(EcrError::ImageAlreadyExists {
            repository: name.clone(),
            account: tenant.account.clone(),
            digest: pushed.image.digest,
            tag: input.image_tag.unwrap_or_else(|| "null".to_owned()),
        });
    }
    Ok(PutOut {
        image: ImageWire {
            registry_id: tenant.account.clone(),
            repository_name: name.clone(),
            image_id: ImageId { image_digest: Some(pushed.image.digest), image_tag: input.image_tag },
            image_manifest: input.image_manifest,
            image_manifest_media_type: pushed.image.media_type,
        },
    })
}
