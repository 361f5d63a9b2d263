//! Fetches an image of another registry and records it.

use std::sync::{Arc, Mutex, PoisonError};

use cove_model::arn::Tenant;
use cove_model::image::ImageSelector;
use cove_model::registry_rules::{MadeFor, PullThroughRule};
use tokio::sync::watch;

use super::source::Origin;
use super::{Found, LookupKey, TAG_KEEP_MILLIS, Via, asked, finished};
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::expectation::Expectation;
use crate::images::Push;
use crate::manifest::{MEDIA_TYPES, Manifest};
use crate::pull::{PullError, RemoteManifest, Source};
use crate::registry::{Registry, blocking};
use crate::resolve::{Progress, all_here, parts};

type Told<T> = watch::Sender<Option<Result<T, PullError>>>;

/// An image whose manifest is known, and what it needs.
struct Arrival {
    push: Push,
    manifest: RemoteManifest,
    blobs: Vec<(Digest, u64)>,
}

impl Registry {
    /// The whole of a lookup: tells of the manifest, then of the image. In the lookups until all of it is done.
    pub(super) async fn fetch_image(
        &self,
        key: LookupKey,
        selector: &ImageSelector,
        rule: &PullThroughRule,
        told: Told<Arc<Found>>,
    ) {
        let via = Via::of(rule, &key.1);
        let arrived = self.ask(&key, selector, rule).await;
        let mut by_digest = None;
        match arrived {
            Err(error) => drop(told.send(Some(Err(via.told(error))))),
            Ok((arrival, source)) => {
                let (kept_in, kept) = watch::channel(None);
                let found = Arc::new(Found {
                    image: Arc::new(arrival.push.image(self.clock.now())),
                    bytes: arrival.manifest.bytes.clone(),
                    blobs: arrival.blobs.clone(),
                    source: source.clone(),
                    begun: Mutex::default(),
                    via: via.clone(),
                    kept,
                });
                by_digest = self.also_by_digest(&key, &found);
                let is_quick = self.lacking(&key.0, source.as_ref(), &arrival.blobs).is_empty();
                // Nobody may wait any more, of either.
                if !is_quick {
                    let _ = told.send(Some(Ok(Arc::clone(&found))));
                }
                let done = self.keep_image(arrival, &found, selector).await.map_err(|error| via.told(error));
                if let Err(error) = &done {
                    tracing::warn!(repository = key.1, %error, "an image of another registry could not be kept");
                }
                let _ = kept_in.send(Some(done));
                let _ = told.send(Some(Ok(found)));
            }
        }
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        lookups.remove(&key);
        if let Some(key) = by_digest {
            lookups.remove(&key);
        }
    }

    /// Clients ask for the digest next: the answer is known.
    fn also_by_digest(&self, key: &LookupKey, found: &Arc<Found>) -> Option<LookupKey> {
        let key = (key.0.clone(), key.1.clone(), found.image.digest.clone());
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        if lookups.contains_key(&key) {
            return None;
        }
        let (_, lookup) = watch::channel(Some(Ok(Arc::clone(found))));
        lookups.insert(key.clone(), lookup);
        Some(key)
    }

    /// The other registry's manifest.
    async fn ask(
        &self,
        (tenant, repository, reference): &LookupKey,
        selector: &ImageSelector,
        rule: &PullThroughRule,
    ) -> Result<(Arrival, Option<Source>), PullError> {
        let name = rule.upstream_name(repository).unwrap_or_else(|| repository.clone());
        let (manifest, source) = match self.origin(rule, &name)? {
            Origin::Remote(source) => (self.puller.manifest(&source, reference).await?, Some(source)),
            Origin::Own(from, name) => {
                let unknown = || PullError::ManifestUnknown { reference: format!("{name}:{reference}") };
                let stored = self.manifest(&from, &name, selector).await.map_err(|_| unknown())?;
                let digest = Digest::parse(&stored.image.digest).ok_or_else(unknown)?;
                let media_type = Some(stored.image.media_type.clone());
                (RemoteManifest { digest, media_type, bytes: stored.bytes }, None)
            }
        };
        let known = manifest.media_type.as_deref().filter(|text| MEDIA_TYPES.contains(text));
        let parsed = Manifest::parse(&manifest.bytes, known)
            .map_err(|fault| PullError::Invalid { reference: reference.clone(), cause: fault.to_string() })?;
        let wanted = parsed.blobs();
        // They are sorted.
        let blobs = parts(parsed.descriptors().filter(|one| wanted.binary_search(&one.digest).is_ok()));
        let push = Push {
            tenant: tenant.clone(),
            repository: repository.clone(),
            digest: manifest.digest.to_string(),
            size: manifest.bytes.len() as u64,
            manifest: parsed,
            tags: match selector {
                ImageSelector::Tag(tag) => vec![tag.clone()],
                ImageSelector::Digest(_) => Vec::new(),
            },
            expected: Expectation::Nothing,
            quota: self.config.quotas.of(repository),
        };
        Ok((Arrival { push, manifest, blobs }, source))
    }

    /// Brings the blobs, and records the image with its tag.
    async fn keep_image(&self, arrival: Arrival, found: &Found, selector: &ImageSelector) -> Result<(), PullError> {
        let Arrival { push, manifest, blobs } = arrival;
        let mut pins = vec![self.blobs.pin(&manifest.digest)];
        pins.extend(blobs.iter().map(|(digest, _)| self.blobs.pin(digest)));
        let tenant = push.tenant.clone();
        if let Some(source) = &found.source {
            let quiet: Progress = Arc::new(|_| {});
            let begun = self.begin_all(&tenant, source, self.lacking(&tenant, Some(source), &blobs), &quiet);
            found.begun.lock().unwrap_or_else(PoisonError::into_inner).extend(begun.iter().cloned());
            all_here(begun).await?;
        }
        let files = self.blobs.clone();
        let written = blocking(move || files.write(&manifest.digest, &manifest.bytes)).await;
        written.map_err(|error| PullError::keep(&error))?;
        let next = match selector {
            ImageSelector::Tag(tag) => {
                Some(asked(&tenant, &push.repository, tag, self.clock.now().plus_millis(TAG_KEEP_MILLIS)))
            }
            ImageSelector::Digest(_) => None,
        };
        let blobs: Vec<(String, u64)> = blobs.into_iter().map(|(digest, size)| (digest.to_string(), size)).collect();
        let recorded = self.store.write(move |tx| {
            if let Some(next) = next {
                tx.put(next);
            }
            match push.record_made(tx, &blobs, MadeFor::PullThroughCache) {
                // The tag stays with what it was first fetched as, as its repository wants.
                Ok(_) | Err(RegistryError::TagImmutable { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        });
        recorded.await.map_err(|error| PullError::keep(&error))?;
        drop(pins);
        Ok(())
    }

    /// Blobs that must be fetched: those that the tenant has no right to or that are not here. Those of another region
    /// are here, and the rule gives the right.
    fn lacking(&self, tenant: &Tenant, source: Option<&Source>, blobs: &[(Digest, u64)]) -> Vec<(Digest, u64)> {
        if source.is_none() {
            return Vec::new();
        }
        let had = self.blobs_of(tenant);
        let lacks =
            |(digest, size): &&(Digest, u64)| !had.contains(digest.as_str()) || self.blobs.size(digest) != Some(*size);
        blobs.iter().filter(lacks).cloned().collect()
    }

    /// A blob of an image that is being fetched. That a file is here says nothing: it may be another tenant's.
    pub(super) async fn fetch_blob(
        &self,
        tenant: &Tenant,
        found: &Found,
        digest: &Digest,
        size: u64,
    ) -> Result<(), PullError> {
        let Some(source) = &found.source else { return Ok(()) };
        let begun = found.begun.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned();
        if let Some(mut download) = begun {
            return finished(&mut download.done).await;
        }
        let lacking = self.lacking(tenant, Some(source), &[(digest.clone(), size)]);
        let quiet: Progress = Arc::new(|_| {});
        all_here(self.begin_all(tenant, source, lacking, &quiet)).await
    }
}
