//! Manifests in repositories, and the tags that point at them.
//!
//! Holds: the bytes of a manifest are the blob of its digest, exactly as pushed; manifest, tags, memberships and referrer
//! of one push are one transaction; deleting a tag keeps the manifest, deleting a manifest takes its tags.

use std::sync::Arc;

use bytes::Bytes;
use cove_base::Timestamp;
use cove_model::access_policy::Principal;
use cove_model::arn::Tenant;
use cove_model::event::ecr;
use cove_model::image::{ImageSelector, is_tag};
use cove_model::registry::{BlobLink, Image, ImageTag, Referrer, Repository};
use cove_model::registry_rules::{MadeFor, Replication};
use cove_store::{Prefix, Read, Tx, keys};

use crate::blobs::read_small;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::expectation::Expectation;
use crate::links::link;
use crate::manifest::{MANIFEST_MAX_BYTES, Manifest};
use crate::quota::admit;
use crate::referrers::put_referrer;
use crate::registry::{Registry, blocking};
use crate::replicate::Copies;
use crate::repositories::known;
use crate::storage::refuse_archived;
use crate::templates::made;

/// A pull is recorded at most this often per image: ECR's own record is as coarse, and pulls stay free of writes.
const PULL_RECORD_MILLIS: i64 = 60 * 60 * 1000;

/// A manifest to be pushed.
#[derive(Debug, Clone)]
pub struct ManifestPut {
    pub bytes: Bytes,
    /// The Content-Type, if one was sent.
    pub media_type: Option<String>,
    /// The digest that the client gave; its algorithm is kept.
    pub digest: Option<Digest>,
    pub tags: Vec<String>,
}

/// What a push did.
#[derive(Debug, Clone)]
pub struct Pushed {
    pub image: Image,
    /// Whether manifest and tags were there before, as they are now.
    pub unchanged: bool,
}

/// A manifest as it was pushed.
#[derive(Debug, Clone)]
pub struct StoredManifest {
    pub image: Arc<Image>,
    pub bytes: Bytes,
}

/// What deleting a manifest looks at. OCI clients take indexes apart in any order; ECR refuses that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnlinkChecks {
    None,
    Indexes,
}

impl Registry {
    /// Pushes a manifest.
    ///
    /// # Errors
    /// When it is no manifest, names blobs that the repository lacks, or would move an immutable tag.
    pub async fn put_manifest(
        &self,
        tenant: &Tenant,
        repository: &str,
        put: ManifestPut,
    ) -> Result<Pushed, RegistryError> {
        self.put_manifest_if(tenant, repository, put, Expectation::Nothing).await
    }

    /// Pushes a manifest if what its tags, or without any its digest, name so far is as expected.
    ///
    /// # Errors
    /// As [`Registry::put_manifest`], and when it is not as expected.
    pub async fn put_manifest_if(
        &self,
        tenant: &Tenant,
        repository: &str,
        put: ManifestPut,
        expected: Expectation,
    ) -> Result<Pushed, RegistryError> {
        if put.bytes.len() > MANIFEST_MAX_BYTES {
            return Err(RegistryError::ManifestTooLarge { limit: MANIFEST_MAX_BYTES });
        }
        if let Some(bad) = put.tags.iter().find(|tag| !is_tag(tag)) {
            return Err(RegistryError::TagInvalid(bad.clone()));
        }
        self.repository(tenant, repository)?;
        let manifest =
            Manifest::parse(&put.bytes, put.media_type.as_deref()).map_err(RegistryError::ManifestInvalid)?;
        let digest = match put.digest {
            None => Digest::of(&put.bytes),
            Some(promised) => {
                let got = Digest::with(promised.algorithm(), &put.bytes);
                if got != promised {
                    return Err(RegistryError::DigestMismatch { promised: promised.to_string(), got: got.to_string() });
                }
                got
            }
        };
        self.are_whole(tenant, repository, &manifest)?;
        let pin = self.blobs.pin(&digest);
        let (files, named, bytes) = (self.blobs.clone(), digest.clone(), put.bytes.clone());
        blocking(move || files.write(&named, &bytes)).await.map_err(RegistryError::io("write a manifest"))?;
        let push = Push {
            tenant: tenant.clone(),
            repository: repository.to_owned(),
            digest: digest.to_string(),
            size: put.bytes.len() as u64,
            manifest,
            tags: put.tags,
            expected,
            quota: self.config.quotas.of(repository),
        };
        let (manifest, tags, quota) = (push.manifest.clone(), push.tags.clone(), push.quota);
        let record = move |tx: &mut Tx<'_>| {
            let pushed = push.record(tx)?;
            Copies { image: pushed.image.clone(), manifest, tags, quota }.record(tx);
            Ok::<_, RegistryError>(pushed)
        };
        let pushed = self.store.write(record).await?;
        drop(pin);
        Ok(pushed)
    }

    /// A membership whose file was set aside as damaged, or is shorter than it was, is none for a new push: its client
    /// sends the blob again.
    fn are_whole(&self, tenant: &Tenant, repository: &str, manifest: &Manifest) -> Result<(), RegistryError> {
        let lost = |text: &String| {
            let link = self.store.read(|view| view.get::<BlobLink>(&keys::blob_link(tenant, repository, text)));
            let there = Digest::parse(text).and_then(|digest| self.blobs.size(&digest));
            there.is_none() || link.is_some_and(|link| there != Some(link.size))
        };
        let lost: Vec<String> = manifest.blobs().into_iter().filter(lost).collect();
        if lost.is_empty() { Ok(()) } else { Err(RegistryError::ManifestBlobUnknown(lost)) }
    }

    /// The record of a manifest by tag or digest.
    ///
    /// # Errors
    /// When repository or manifest is unknown.
    pub fn image(
        &self,
        tenant: &Tenant,
        repository: &str,
        selector: &ImageSelector,
    ) -> Result<Arc<Image>, RegistryError> {
        self.store.read(|view| find(view, tenant, repository, selector))
    }

    /// A manifest with its bytes, for who pulls it.
    ///
    /// # Errors
    /// When repository or manifest is unknown, it is archived, or its file cannot be read.
    pub async fn manifest(
        &self,
        tenant: &Tenant,
        repository: &str,
        selector: &ImageSelector,
    ) -> Result<StoredManifest, RegistryError> {
        let image = self.image(tenant, repository, selector)?;
        refuse_archived(&image)?;
        let bytes = self.manifest_bytes(&image.digest).await?;
        Ok(StoredManifest { image, bytes })
    }

    /// The bytes of a manifest whose record is at hand.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub async fn manifest_bytes(&self, digest: &str) -> Result<Bytes, RegistryError> {
        let named = Digest::parse(digest).ok_or_else(|| RegistryError::DigestInvalid(digest.to_owned()))?;
        let path = self.blobs.path(&named);
        let read = blocking(move || read_small(&path, MANIFEST_MAX_BYTES as u64)).await;
        Ok(Bytes::from(read.map_err(RegistryError::io(format!("read manifest `{digest}`")))?))
    }

    /// Notes that an image was pulled, without making the puller wait; not when the puller is excepted.
    pub fn note_pull(&self, image: &Arc<Image>, who: &Principal) {
        let now = self.clock.now();
        if who.arn.as_deref().is_some_and(|arn| self.settings(&image.tenant).leaves_no_pull_time(arn)) {
            return;
        }
        if image.last_pulled_at.is_some_and(|last| now < last.plus_millis(PULL_RECORD_MILLIS)) {
            return;
        }
        let (store, image) = (self.store.clone(), Arc::clone(image));
        tokio::spawn(async move {
            let key = keys::image(&image.tenant, &image.repository, &image.digest);
            let noted = store.write(move |tx| {
                if let Some(found) = tx.get::<Image>(&key) {
                    tx.put(Image { last_pulled_at: Some(now), ..(*found).clone() });
                }
                Ok::<_, RegistryError>(())
            });
            if let Err(error) = noted.await {
                tracing::warn!(%error, "could not note a pull");
            }
        });
    }

    /// Removes a tag; the manifest stays.
    ///
    /// # Errors
    /// When repository or tag is unknown.
    pub async fn delete_tag(&self, tenant: &Tenant, repository: &str, tag: &str) -> Result<ImageTag, RegistryError> {
        let (tenant, repository, tag) = (tenant.clone(), repository.to_owned(), tag.to_owned());
        self.store
            .write(move |tx| {
                known(tx, &tenant, &repository)?;
                let key = keys::image_tag(&tenant, &repository, &tag);
                let Some(found) = tx.get::<ImageTag>(&key) else {
                    return Err(RegistryError::ManifestUnknown { repository, reference: tag });
                };
                let image = find(tx, &tenant, &repository, &ImageSelector::Tag(tag))?;
                tx.delete::<ImageTag>(&key);
                tx.emit(ecr::deleted(&image, Some(&found.tag), tx.now()));
                Ok((*found).clone())
            })
            .await
    }

    /// Removes a manifest with its tags; the tags that went.
    ///
    /// # Errors
    /// When repository or manifest is unknown, or, if that is looked at, an index of the repository names it.
    pub async fn delete_manifest(
        &self,
        tenant: &Tenant,
        repository: &str,
        digest: &str,
        checks: UnlinkChecks,
    ) -> Result<Vec<String>, RegistryError> {
        let (tenant, repository, digest) = (tenant.clone(), repository.to_owned(), digest.to_owned());
        self.store.write(move |tx| remove_image(tx, &tenant, &repository, &digest, checks)).await
    }

    /// Removes a tag as ECR does: the image goes with its last tag. Answers the digest that it pointed at.
    ///
    /// # Errors
    /// When repository or tag is unknown, or the image would go and an index names it.
    pub async fn untag(&self, tenant: &Tenant, repository: &str, tag: &str) -> Result<String, RegistryError> {
        let (tenant, repository, tag) = (tenant.clone(), repository.to_owned(), tag.to_owned());
        self.store
            .write(move |tx| {
                let selector = ImageSelector::Tag(tag.clone());
                let image = find(tx, &tenant, &repository, &selector)?;
                let digest = image.digest.clone();
                let tags = tx.scan::<ImageTag>(&Prefix::parent(&tenant, &repository));
                if tags.iter().any(|other| other.digest == digest && other.tag != tag) {
                    tx.delete::<ImageTag>(&keys::image_tag(&tenant, &repository, &tag));
                    tx.emit(ecr::deleted(&image, Some(&tag), tx.now()));
                } else {
                    remove_image(tx, &tenant, &repository, &digest, UnlinkChecks::Indexes)?;
                }
                Ok(digest)
            })
            .await
    }
}

/// Removes a manifest, its tags and its referrer record; the tags that went.
pub(crate) fn remove_image(
    tx: &mut Tx<'_>,
    tenant: &Tenant,
    repository: &str,
    digest: &str,
    checks: UnlinkChecks,
) -> Result<Vec<String>, RegistryError> {
    let selector = ImageSelector::Digest(digest.to_owned());
    let image = find(tx, tenant, repository, &selector)?;
    let inside = Prefix::parent(tenant, repository);
    if checks == UnlinkChecks::Indexes {
        let images = tx.scan::<Image>(&inside);
        if let Some(index) = images.iter().find(|other| other.manifests.iter().any(|inner| inner == digest)) {
            return Err(RegistryError::ManifestInUse { digest: digest.to_owned(), index: index.digest.clone() });
        }
    }
    let tags = tx.scan::<ImageTag>(&inside);
    let tags: Vec<String> = tags.iter().filter(|tag| tag.digest == digest).map(|tag| tag.tag.clone()).collect();
    for tag in &tags {
        tx.delete::<ImageTag>(&keys::image_tag(tenant, repository, tag));
    }
    if let Some(subject) = &image.subject {
        tx.delete::<Referrer>(&keys::referrer(tenant, repository, subject, digest));
    }
    forget_replications(tx, tenant, repository, digest);
    tx.delete::<Image>(&keys::image(tenant, repository, digest));
    let now = tx.now();
    for tag in &tags {
        tx.emit(ecr::deleted(&image, Some(tag), now));
    }
    if tags.is_empty() {
        tx.emit(ecr::deleted(&image, None, now));
    }
    Ok(tags)
}

/// Forgets what became of the copies of an image; they stay.
pub(crate) fn forget_replications(tx: &mut Tx<'_>, tenant: &Tenant, repository: &str, digest: &str) {
    for copy in tx.scan::<Replication>(&Prefix::parent(tenant, &keys::replication_parent(repository, digest))) {
        tx.delete::<Replication>(&keys::replication(tenant, repository, digest, &copy.destination));
    }
}

/// A manifest on its way into the store.
pub(crate) struct Push {
    pub(crate) tenant: Tenant,
    pub(crate) repository: String,
    pub(crate) digest: String,
    pub(crate) size: u64,
    pub(crate) manifest: Manifest,
    pub(crate) tags: Vec<String>,
    pub(crate) expected: Expectation,
    /// What the repository may hold, in bytes.
    pub(crate) quota: Option<u64>,
}

impl Push {
    /// The same for content that comes without a client: its blobs are linked first, in a repository that is made when
    /// it is not there. The files are in place and pinned.
    pub(crate) fn record_made(
        self,
        tx: &mut Tx<'_>,
        blobs: &[(String, u64)],
        purpose: MadeFor,
    ) -> Result<Pushed, RegistryError> {
        made(tx, &self.tenant, &self.repository, purpose);
        for (digest, size) in blobs {
            admit(tx, self.quota, &self.tenant, &self.repository, digest, *size)?;
            link(tx, &self.tenant, &self.repository, digest, *size);
        }
        self.record(tx)
    }

    /// The record of it, but for what the repository knows.
    pub(crate) fn image(&self, now: Timestamp) -> Image {
        Image {
            tenant: self.tenant.clone(),
            repository: self.repository.clone(),
            digest: self.digest.clone(),
            media_type: self.manifest.media_type.clone(),
            manifest_size: self.size,
            image_size: self.manifest.content_size(),
            artifact_type: self.manifest.artifact_type.clone(),
            config_media_type: self.manifest.config_media_type().map(str::to_owned),
            blobs: self.manifest.blobs(),
            manifests: self.manifest.manifests(),
            subject: self.manifest.subject.as_ref().map(|subject| subject.digest.clone()),
            pushed_at: now,
            last_pulled_at: None,
            is_archived: false,
            archived_at: None,
            activated_at: None,
        }
    }

    fn record(self, tx: &mut Tx<'_>) -> Result<Pushed, RegistryError> {
        let repository = known(tx, &self.tenant, &self.repository)?;
        self.check_expected(tx)?;
        admit(tx, self.quota, &self.tenant, &self.repository, &self.digest, self.size)?;
        let mut blobs = self.manifest.blobs();
        let lacks =
            |digest: &&String| tx.get::<BlobLink>(&keys::blob_link(&self.tenant, &self.repository, digest)).is_none();
        let missing: Vec<String> = blobs.iter().filter(lacks).cloned().collect();
        if !missing.is_empty() {
            return Err(RegistryError::ManifestBlobUnknown(missing));
        }
        // Foreign layers need not be here; one that was pushed all the same is kept for this image.
        blobs.extend(self.manifest.foreign_layers().into_iter().filter(|digest| !lacks(&digest)));
        let moved = self.put_tags(tx, &repository)?;
        let before = tx.get::<Image>(&keys::image(&self.tenant, &self.repository, &self.digest));
        // Who pushes an archived image again wants to pull it.
        let returns = before.as_ref().is_some_and(|known| known.is_archived);
        let unchanged = before.is_some() && moved.is_empty() && !returns;
        let image = Image {
            blobs,
            pushed_at: before.as_ref().map_or(tx.now(), |known| known.pushed_at),
            last_pulled_at: before.as_ref().and_then(|known| known.last_pulled_at),
            is_archived: false,
            archived_at: before.as_ref().and_then(|known| known.archived_at),
            activated_at: if returns { Some(tx.now()) } else { before.as_ref().and_then(|known| known.activated_at) },
            ..self.image(tx.now())
        };
        if returns || before.is_none_or(|known| known.blobs != image.blobs) {
            put_referrer(tx, &image, &self.manifest);
            tx.put(image.clone());
        }
        if !unchanged {
            tell_push(tx, &image, &moved);
        }
        Ok(Pushed { image, unchanged })
    }

    fn check_expected(&self, tx: &Tx<'_>) -> Result<(), RegistryError> {
        if self.tags.is_empty() {
            let there = tx.get::<Image>(&keys::image(&self.tenant, &self.repository, &self.digest)).is_some();
            return self.expected.check(&self.digest, there.then_some(self.digest.as_str()));
        }
        self.tags.iter().try_for_each(|tag| {
            let found = tx.get::<ImageTag>(&keys::image_tag(&self.tenant, &self.repository, tag));
            self.expected.check(tag, found.as_ref().map(|found| found.digest.as_str()))
        })
    }

    /// Points the tags at the manifest; those that moved.
    fn put_tags(&self, tx: &mut Tx<'_>, repository: &Repository) -> Result<Vec<String>, RegistryError> {
        let mut moved = Vec::new();
        for tag in &self.tags {
            let current = tx.get::<ImageTag>(&keys::image_tag(&self.tenant, &self.repository, tag));
            match current {
                Some(current) if current.digest == self.digest => continue,
                Some(current) if repository.is_fixed(tag) => {
                    let (repository, tag) = (self.repository.clone(), tag.clone());
                    return Err(RegistryError::TagImmutable { repository, tag, digest: current.digest.clone() });
                }
                Some(_) | None => {}
            }
            moved.push(tag.clone());
            tx.put(ImageTag {
                tenant: self.tenant.clone(),
                repository: self.repository.clone(),
                tag: tag.clone(),
                digest: self.digest.clone(),
            });
        }
        Ok(moved)
    }
}

fn tell_push(tx: &mut Tx<'_>, image: &Image, tags: &[String]) {
    let now = tx.now();
    if tags.is_empty() {
        tx.emit(ecr::pushed(image, None, now));
    }
    for tag in tags {
        tx.emit(ecr::pushed(image, Some(tag), now));
    }
}

/// An image by tag or digest.
pub(crate) fn find(
    read: &impl Read,
    tenant: &Tenant,
    repository: &str,
    selector: &ImageSelector,
) -> Result<Arc<Image>, RegistryError> {
    known(read, tenant, repository)?;
    let unknown = || RegistryError::ManifestUnknown {
        repository: repository.to_owned(),
        reference: selector.as_str().to_owned(),
    };
    let digest = match selector {
        ImageSelector::Digest(digest) => digest.clone(),
        ImageSelector::Tag(tag) => {
            let key = keys::image_tag(tenant, repository, tag);
            read.get::<ImageTag>(&key).ok_or_else(unknown)?.digest.clone()
        }
    };
    read.get::<Image>(&keys::image(tenant, repository, &digest)).ok_or_else(unknown)
}
