//! Who refers to a manifest: signatures, SBOMs, attestations.
//!
//! Two sources: the referrer records that pushes with a `subject` leave, and an index under the older tag schema
//! (`sha256-HEX`), which clients of registries without a referrers API maintain themselves.

use std::collections::BTreeMap;

use cove_model::arn::Tenant;
use cove_model::image::ImageSelector;
use cove_model::registry::Referrer;
use cove_store::{Prefix, Read, keys};

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::manifest::{Descriptor, Kind, Manifest};
use crate::registry::Registry;
use crate::repositories::known;

impl Registry {
    /// Descriptors of everything that refers to a digest, known to us or not, by digest; of one artifact type if given.
    ///
    /// # Errors
    /// When the repository is unknown.
    pub async fn referrers(
        &self,
        tenant: &Tenant,
        repository: &str,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let recorded = self.store.read(|view| {
            known(view, tenant, repository)?;
            let parent = keys::referrer_parent(repository, subject.as_str());
            Ok::<_, RegistryError>(view.scan::<Referrer>(&Prefix::parent(tenant, &parent)))
        })?;
        let mut found: BTreeMap<String, Descriptor> = self
            .tagged_referrers(tenant, repository, subject)
            .await
            .into_iter()
            .map(|descriptor| (descriptor.digest.clone(), descriptor))
            .collect();
        found.extend(recorded.iter().map(|referrer| (referrer.digest.clone(), descriptor_of(referrer))));
        let fits = |descriptor: &Descriptor| {
            artifact_type.is_none_or(|kind| descriptor.artifact_type.as_deref() == Some(kind))
        };
        Ok(found.into_values().filter(fits).collect())
    }

    /// What the index under the referrers tag lists, if there is one.
    async fn tagged_referrers(&self, tenant: &Tenant, repository: &str, subject: &Digest) -> Vec<Descriptor> {
        let tag = ImageSelector::Tag(format!("{}-{}", subject.algorithm().name(), subject.hex()));
        let Ok(stored) = self.manifest(tenant, repository, &tag).await else { return Vec::new() };
        match Manifest::parse(&stored.bytes, Some(&stored.image.media_type)).map(|manifest| manifest.kind) {
            Ok(Kind::Index { manifests }) => manifests,
            Ok(Kind::Image { .. }) | Err(_) => Vec::new(),
        }
    }
}

fn descriptor_of(referrer: &Referrer) -> Descriptor {
    Descriptor {
        media_type: referrer.media_type.clone(),
        digest: referrer.digest.clone(),
        size: referrer.size,
        artifact_type: referrer.artifact_type.clone(),
        annotations: (!referrer.annotations.is_empty()).then(|| referrer.annotations.clone()),
        platform: None,
    }
}
