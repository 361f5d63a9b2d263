//! An image of another registry as one of a repository here.
//!
//! Holds: what an index names is here before the index is; every blob is held until it belongs to the repository.

use cove_model::arn::Tenant;
use cove_model::image::{ImagePlace, ImageReference};

use crate::blobs::Pin;
use crate::digest::Digest;
use crate::images::ManifestPut;
use crate::manifest::{Kind, MANIFEST_MAX_BYTES, Manifest};
use crate::pull::{PullError, RemoteManifest, Source};
use crate::registry::Registry;
use crate::resolve::{ARCH, Place, Progress, hub_source, parse};

/// Manifests of one image: platforms, and what attests them.
const MANIFESTS_MAX: usize = 256;
/// And what they may take in memory together.
const MANIFESTS_BYTES_MAX: usize = 4 * MANIFEST_MAX_BYTES;

/// What is wanted of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Platforms {
    /// The manifest for our own processor.
    Own,
    /// The manifest for this one, as Go names it.
    One(String),
    /// All that it names.
    All,
}

impl Registry {
    /// Pulls an image, as a task of the tenant would, and gives it a tag in a repository that is there. Answers its
    /// digest.
    ///
    /// # Errors
    /// Why it cannot be had or not be kept.
    pub async fn copy_in(
        &self,
        tenant: &Tenant,
        from: &str,
        (repository, tag): (&str, &str),
        platforms: &Platforms,
        told: &Progress,
    ) -> Result<String, String> {
        let reference = self.reference(from, tenant).map_err(|error| cove_base::error::chain(&error))?;
        let source = self.elsewhere(&reference).ok_or_else(|| {
            format!("`{from}` is of this registry: copy it without --remote, or name the other registry")
        })?;
        let copied = self.copy_from(tenant, &source, reference.selector.as_str(), platforms, told);
        let (manifests, _pins) = copied.await.map_err(|error| cove_base::error::chain(&error))?;
        let last = manifests.len() - 1;
        for (at, (fetched, manifest)) in manifests.into_iter().enumerate() {
            let failed = |error: crate::RegistryError| cove_base::error::chain(&error);
            for text in manifest.blobs() {
                let Some(digest) = Digest::parse(&text) else { continue };
                let size = self.blobs.size(&digest).ok_or_else(|| format!("blob {text} is not there"))?;
                self.link_blob(tenant, repository, &digest, size).await.map_err(failed)?;
            }
            let tags = if at == last { vec![tag.to_owned()] } else { Vec::new() };
            let (media_type, digest) = (Some(manifest.media_type), Some(fetched.digest));
            let put = ManifestPut { bytes: fetched.bytes, media_type, digest, tags };
            let pushed = self.put_manifest(tenant, repository, put).await.map_err(failed)?;
            if at == last {
                return Ok(pushed.image.digest);
            }
        }
        Err("there is no manifest".to_owned())
    }

    /// Where an image is that is none of ours.
    fn elsewhere(&self, reference: &ImageReference) -> Option<Source> {
        let repository = reference.repository.as_str();
        match &reference.place {
            ImagePlace::Own(_) => None,
            ImagePlace::OwnOrHub(tenant) if self.repository(tenant, repository).is_ok() => None,
            ImagePlace::OwnOrHub(_) => Some(hub_source(repository, None)),
            ImagePlace::Remote(host) => {
                Some(Source { host: host.clone(), repository: repository.to_owned(), credentials: None })
            }
        }
    }

    /// Its manifests, each after what it names, and their blobs, which the pins keep.
    async fn copy_from(
        &self,
        tenant: &Tenant,
        source: &Source,
        reference: &str,
        platforms: &Platforms,
        told: &Progress,
    ) -> Result<(Vec<(RemoteManifest, Manifest)>, Vec<Pin>), PullError> {
        let mut top = self.fetched(source, reference).await?;
        let named = top.0.digest.to_string();
        if let Kind::Index { .. } = &top.1.kind
            && let Some(arch) = match platforms {
                Platforms::Own => Some(ARCH),
                Platforms::One(arch) => Some(arch.as_str()),
                Platforms::All => None,
            }
        {
            let chosen = top.1.for_platform(arch).map(|chosen| chosen.digest.clone());
            let cause = || format!("it has no manifest for linux/{arch}");
            let chosen =
                chosen.ok_or_else(|| PullError::Invalid { reference: reference.to_owned(), cause: cause() })?;
            top = self.fetched(source, &chosen).await?;
        }
        let place = Place::Remote { caller: tenant, source };
        self.check_may_run(&place, &named, top.0.digest.as_str()).await?;
        let (mut waiting, mut found, mut bytes) = (vec![top], Vec::new(), 0);
        while let Some(next) = waiting.pop() {
            if let Kind::Index { manifests } = &next.1.kind {
                for inner in manifests {
                    // Asked before the next one is: all of them are in memory.
                    if found.len() + waiting.len() + 2 > MANIFESTS_MAX || bytes > MANIFESTS_BYTES_MAX {
                        let cause = format!("it has more than {MANIFESTS_MAX} manifests, or too large ones");
                        return Err(PullError::Invalid { reference: reference.to_owned(), cause });
                    }
                    let inner = self.fetched(source, &inner.digest).await?;
                    bytes += inner.0.bytes.len();
                    waiting.push(inner);
                }
            }
            found.push(next);
        }
        // What was found first names what was found later.
        found.reverse();
        let mut pins = Vec::new();
        for (_, manifest) in found.iter().filter(|(_, manifest)| matches!(manifest.kind, Kind::Image { .. })) {
            self.fetch_blobs(tenant, source, manifest, &mut pins, told).await?;
        }
        Ok((found, pins))
    }

    async fn fetched(&self, source: &Source, reference: &str) -> Result<(RemoteManifest, Manifest), PullError> {
        let fetched = self.puller.manifest(source, reference).await?;
        let manifest = parse(&fetched.bytes, fetched.media_type.as_deref(), reference)?;
        Ok((fetched, manifest))
    }
}
