//! Who refers to a manifest: signatures, SBOMs, attestations.
//!
//! In: the referrer records that pushes with a `subject` leave. Out: descriptors by digest, page by page.
//!
//! Holds: a page fits into what clients read of an index; a record stays small, whatever annotations a manifest has.
//!
//! Indexes under the older tag schema (`sha256-HEX`), which clients of registries without a referrers API maintain
//! themselves, need no look: what they list with a valid subject left its own record when it was pushed, and nothing
//! else belongs into the list.

use std::collections::BTreeMap;
use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::registry::{Image, Referrer};
use cove_store::{Prefix, Read, Tx, keys};

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::manifest::{Descriptor, Manifest};
use crate::registry::Registry;
use crate::repositories::known;

/// Clients read manifests of 4 MB at least, and this list is one to them. One descriptor always fits.
const PAGE_BYTES: usize = 3 * 1024 * 1024;
/// Records looked at in one go.
const BATCH: usize = 256;
/// Annotations beyond that stay in the manifest: records live in memory.
const ANNOTATIONS_RECORD_BYTES: usize = 4096;

/// Part of a list of referrers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReferrersPage {
    pub manifests: Vec<Descriptor>,
    /// Whether there may be more after the last one.
    pub more: bool,
}

impl Registry {
    /// Descriptors of what refers to a digest, known to us or not, by digest and after `last`; of one artifact type if
    /// given.
    ///
    /// # Errors
    /// When the repository is unknown or a manifest cannot be read.
    pub async fn referrers(
        &self,
        tenant: &Tenant,
        repository: &str,
        subject: &Digest,
        artifact_type: Option<&str>,
        last: Option<&str>,
    ) -> Result<ReferrersPage, RegistryError> {
        let parent = keys::referrer_parent(repository, subject.as_str());
        let key = |digest: &str| keys::referrer(tenant, repository, subject.as_str(), digest);
        let (mut page, mut bytes, mut after) = (ReferrersPage::default(), 0, last.map(key));
        loop {
            let batch = self.store.read(|view| {
                known(view, tenant, repository)?;
                Ok::<_, RegistryError>(view.page::<Referrer>(&Prefix::parent(tenant, &parent), after.as_ref(), BATCH))
            })?;
            let fits = |referrer: &&Arc<Referrer>| {
                artifact_type.is_none_or(|kind| referrer.artifact_type.as_deref() == Some(kind))
            };
            for referrer in batch.iter().filter(fits) {
                let descriptor = self.descriptor_of(referrer).await?;
                bytes += serde_json::to_vec(&descriptor).map_or(PAGE_BYTES, |text| text.len());
                if bytes > PAGE_BYTES && !page.manifests.is_empty() {
                    page.more = true;
                    return Ok(page);
                }
                page.manifests.push(descriptor);
            }
            match batch.last() {
                Some(seen) if batch.len() == BATCH => after = Some(key(&seen.digest)),
                Some(_) | None => return Ok(page),
            }
        }
    }

    async fn descriptor_of(&self, referrer: &Referrer) -> Result<Descriptor, RegistryError> {
        let annotations = match &referrer.annotations {
            Some(annotations) => annotations.clone(),
            None => self.annotations_of(referrer).await?,
        };
        Ok(Descriptor {
            media_type: referrer.media_type.clone(),
            digest: referrer.digest.clone(),
            size: referrer.size,
            artifact_type: referrer.artifact_type.clone(),
            annotations: (!annotations.is_empty()).then_some(annotations),
            platform: None,
        })
    }

    async fn annotations_of(&self, referrer: &Referrer) -> Result<BTreeMap<String, String>, RegistryError> {
        let bytes = self.manifest_bytes(&referrer.digest).await?;
        let manifest = Manifest::parse(&bytes, Some(&referrer.media_type)).map_err(RegistryError::ManifestInvalid)?;
        Ok(manifest.annotations)
    }
}

/// Digests of those who refer to a digest.
pub(crate) fn referrers_of(read: &impl Read, tenant: &Tenant, repository: &str, subject: &str) -> Vec<String> {
    let inside = Prefix::parent(tenant, &keys::referrer_parent(repository, subject));
    read.scan::<Referrer>(&inside).iter().map(|referrer| referrer.digest.clone()).collect()
}

/// Records that an image refers to its subject, if it has one.
pub(crate) fn put_referrer(tx: &mut Tx<'_>, image: &Image, manifest: &Manifest) {
    let Some(subject) = &image.subject else { return };
    let bytes: usize = manifest.annotations.iter().map(|(name, value)| name.len() + value.len()).sum();
    tx.put(Referrer {
        tenant: image.tenant.clone(),
        repository: image.repository.clone(),
        subject: subject.clone(),
        digest: image.digest.clone(),
        media_type: image.media_type.clone(),
        size: image.manifest_size,
        artifact_type: manifest.shown_artifact_type().map(str::to_owned),
        annotations: (bytes <= ANNOTATIONS_RECORD_BYTES).then(|| manifest.annotations.clone()),
    });
}
