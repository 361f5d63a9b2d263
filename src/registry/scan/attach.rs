//! Inventories as referrers of their image.
//!
//! Holds: each hook has one inventory at an image; a newer one takes the older one's place.

use cove_model::registry::{Image, Referrer};
use cove_store::{Prefix, Read, keys};
use serde_json::json;

use super::config::SbomFormat;
use super::opened::Opened;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::images::{ManifestPut, UnlinkChecks};
use crate::manifest::OCI_MANIFEST;
use crate::registry::Registry;

/// The annotation that says which hook made an inventory.
const MADE_BY: &str = "dev.cove.scan.hook";
const EMPTY_CONFIG: &str = "application/vnd.oci.empty.v1+json";

impl Registry {
    pub(super) async fn attach_sbom(
        &self,
        opened: &Opened,
        hook: &str,
        format: SbomFormat,
        sbom: Vec<u8>,
    ) -> Result<(), RegistryError> {
        let image = &*opened.image;
        let (tenant, repository, size) = (&image.tenant, image.repository.as_str(), sbom.len());
        let empty = self.put_blob(tenant, repository, b"{}".to_vec()).await?;
        let blob = self.put_blob(tenant, repository, sbom).await?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": format.media_type(),
            "config": {"mediaType": EMPTY_CONFIG, "digest": empty.as_str(), "size": 2},
            "layers": [{"mediaType": format.media_type(), "digest": blob.as_str(), "size": size}],
            "subject": {"mediaType": image.media_type, "digest": image.digest, "size": image.manifest_size},
            "annotations": {MADE_BY: hook},
        });
        let bytes = manifest.to_string().into_bytes();
        let digest = Digest::of(&bytes);
        let put = ManifestPut {
            bytes: bytes.into(),
            media_type: Some(OCI_MANIFEST.to_owned()),
            digest: None,
            tags: Vec::new(),
        };
        self.put_manifest(tenant, repository, put).await?;
        self.remove_older(image, hook, format, &digest).await
    }

    async fn remove_older(
        &self,
        image: &Image,
        hook: &str,
        format: SbomFormat,
        kept: &Digest,
    ) -> Result<(), RegistryError> {
        let parent = keys::referrer_parent(&image.repository, &image.digest);
        let all = self.store.read(|view| view.scan::<Referrer>(&Prefix::parent(&image.tenant, &parent)));
        for referrer in all {
            let by = referrer.annotations.as_ref().and_then(|annotations| annotations.get(MADE_BY));
            let is_ours =
                by.map(String::as_str) == Some(hook) && referrer.artifact_type.as_deref() == Some(format.media_type());
            if is_ours && referrer.digest != kept.as_str() {
                match self.delete_manifest(&image.tenant, &image.repository, &referrer.digest, UnlinkChecks::None).await
                {
                    Ok(_) | Err(RegistryError::ManifestUnknown { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}
