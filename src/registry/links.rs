//! Membership of blobs in repositories: nobody reads a blob through a repository that lacks it.

use std::path::PathBuf;
use std::sync::Arc;

use cove_model::access_policy::Principal;
use cove_model::arn::Tenant;
use cove_model::registry::{BlobLink, Image, Repository};
use cove_model::registry_rules::UpstreamTag;
use cove_model::registry_settings::RegistrySettings;
use cove_store::{Prefix, Read, StoreError, Tx, keys};

use crate::access;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::quota::admit;
use crate::registry::{Registry, blocking};
use crate::repositories::known;

/// The account setting that turns mounts on, and its value for that. As on AWS they are off at first.
const MOUNTS: (&str, &str) = ("BLOB_MOUNTING", "ENABLED");

/// A blob that a repository has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobFile {
    pub digest: Digest,
    pub path: PathBuf,
    pub size: u64,
}

impl Registry {
    /// A blob, if the repository has it.
    ///
    /// # Errors
    /// When the repository or the blob is unknown.
    pub fn blob(&self, tenant: &Tenant, repository: &str, digest: &Digest) -> Result<BlobFile, RegistryError> {
        let link = self.store.read(|view| {
            known(view, tenant, repository)?;
            view.get::<BlobLink>(&keys::blob_link(tenant, repository, digest.as_str()))
                .ok_or_else(|| RegistryError::BlobUnknown(digest.to_string()))
        })?;
        Ok(BlobFile { digest: digest.clone(), path: self.blobs.path(digest), size: link.size })
    }

    /// A blob, if the repository has it, for a client that will not send it again when it is there: no collection takes
    /// it before the manifest comes.
    ///
    /// # Errors
    /// When the repository or the blob is unknown.
    pub async fn blob_wanted(
        &self,
        tenant: &Tenant,
        repository: &str,
        digest: &Digest,
    ) -> Result<BlobFile, RegistryError> {
        let found = self.blob(tenant, repository, digest)?;
        if self.blobs.size(digest) != Some(found.size) {
            // Damaged and set aside, or what a power cut left of one: the client sends it again.
            return Err(RegistryError::BlobUnknown(digest.to_string()));
        }
        let key = keys::blob_link(tenant, repository, digest.as_str());
        let fresh_after = self.clock.now().plus_millis(-self.config.collect_grace_millis / 2);
        if self.store.read(|view| view.get::<BlobLink>(&key)).is_some_and(|link| link.linked_at >= fresh_after) {
            return Ok(found);
        }
        let unknown = RegistryError::BlobUnknown(digest.to_string());
        let (tenant, repository, digest) = (tenant.clone(), repository.to_owned(), digest.to_string());
        let kept = self.store.write(move |tx| match tx.get::<BlobLink>(&key) {
            Some(known) => {
                link(tx, &tenant, &repository, &digest, known.size);
                Ok(())
            }
            None => Err(unknown),
        });
        match kept.await {
            // A store that takes no writes loses no membership either.
            Ok(()) | Err(RegistryError::Store(StoreError::ReadOnly(_))) => Ok(found),
            Err(error) => Err(error),
        }
    }

    /// Makes a blob of another repository of the same tenant a member of this one; `from` of `None` means any. Whether
    /// there is such a blob that may be mounted; a guest must name where it is.
    ///
    /// # Errors
    /// When the target repository is unknown.
    pub async fn mount(
        &self,
        who: &Principal,
        tenant: &Tenant,
        repository: &str,
        digest: &Digest,
        from: Option<&str>,
    ) -> Result<bool, RegistryError> {
        let there = self.blobs.size(digest);
        let (tenant, repository, digest) = (tenant.clone(), repository.to_owned(), digest.to_string());
        let (from, quota) = (from.map(str::to_owned), self.config.quotas.of(&repository));
        let who = who.clone();
        self.store
            .write(move |tx| {
                let target = known(tx, &tenant, &repository)?;
                let settings = tx.get::<RegistrySettings>(&keys::registry_settings(&tenant));
                let setting = settings.as_ref().and_then(|settings| settings.account.get(MOUNTS.0));
                if setting.is_none_or(|is| is != MOUNTS.1) {
                    return Ok(false);
                }
                let sources = match &from {
                    Some(from) => tx.get::<Repository>(&keys::repository(&tenant, from)).into_iter().collect(),
                    // A look into each repository: there are far fewer of them than of blobs.
                    None if who.account == tenant.account => tx.scan::<Repository>(&Prefix::tenant(&tenant)),
                    None => Vec::new(),
                };
                let has = |source: &Arc<Repository>| {
                    let link = tx.get::<BlobLink>(&keys::blob_link(&tenant, &source.name, &digest))?;
                    (there == Some(link.size) && may_mount(tx, &who, source, &target)).then_some(link.size)
                };
                let Some(size) = sources.iter().find_map(has) else { return Ok(false) };
                admit(tx, quota, &tenant, &repository, &digest, size)?;
                link(tx, &tenant, &repository, &digest, size);
                Ok(true)
            })
            .await
    }

    /// Takes a blob out of a repository. The file goes with a later collection.
    ///
    /// # Errors
    /// When the repository or blob is unknown, or an image of the repository needs it.
    pub async fn delete_blob(&self, tenant: &Tenant, repository: &str, digest: &Digest) -> Result<(), RegistryError> {
        let (tenant, repository, digest) = (tenant.clone(), repository.to_owned(), digest.to_string());
        self.store
            .write(move |tx| {
                known(tx, &tenant, &repository)?;
                let images = tx.scan::<Image>(&Prefix::parent(&tenant, &repository));
                if let Some(image) = images.iter().find(|image| image.blobs.contains(&digest)) {
                    return Err(RegistryError::BlobInUse { digest, image: image.digest.clone() });
                }
                if tx.delete::<BlobLink>(&keys::blob_link(&tenant, &repository, &digest)) {
                    Ok(())
                } else {
                    Err(RegistryError::BlobUnknown(digest))
                }
            })
            .await
    }

    /// Adds a small blob whose bytes are at hand.
    ///
    /// # Errors
    /// When the repository is unknown or the bytes cannot be kept.
    pub async fn put_blob(&self, tenant: &Tenant, repository: &str, bytes: Vec<u8>) -> Result<Digest, RegistryError> {
        let digest = Digest::of(&bytes);
        let size = bytes.len() as u64;
        let pin = self.blobs.pin(&digest);
        let (files, named) = (self.blobs.clone(), digest.clone());
        blocking(move || files.write(&named, &bytes)).await.map_err(RegistryError::io("write a blob"))?;
        self.link_blob(tenant, repository, &digest, size).await?;
        drop(pin);
        Ok(digest)
    }

    /// Records that a repository has a blob whose file is in place. The caller holds a pin.
    pub(crate) async fn link_blob(
        &self,
        tenant: &Tenant,
        repository: &str,
        digest: &Digest,
        size: u64,
    ) -> Result<(), RegistryError> {
        let (tenant, repository, digest) = (tenant.clone(), repository.to_owned(), digest.to_string());
        let quota = self.config.quotas.of(&repository);
        self.store
            .write(move |tx| {
                known(tx, &tenant, &repository)?;
                admit(tx, quota, &tenant, &repository, &digest, size)?;
                link(tx, &tenant, &repository, &digest, size);
                Ok(())
            })
            .await
    }
}

/// As on AWS: who mounts must be let at the blob where it is, both repositories must be encrypted alike, and what a pull
/// through cache brought stays where it is.
fn may_mount(tx: &Tx<'_>, who: &Principal, source: &Repository, target: &Repository) -> bool {
    let reads = access::admit(tx, who, &source.tenant, &source.name, "ecr:GetDownloadUrlForLayer");
    let is_alike = source.encryption_type == target.encryption_type && source.kms_key == target.kms_key;
    let upstream = Prefix::parent(&source.tenant, &source.name);
    reads.is_ok() && is_alike && tx.page::<UpstreamTag>(&upstream, None, 1).is_empty()
}

/// Puts the record; the time starts anew, so that a blob which is pushed again is not collected as an old one.
pub(crate) fn link(tx: &mut Tx<'_>, tenant: &Tenant, repository: &str, digest: &str, size: u64) {
    let linked_at = tx.now();
    tx.put(BlobLink {
        tenant: tenant.clone(),
        repository: repository.to_owned(),
        digest: digest.to_owned(),
        size,
        linked_at,
    });
}
