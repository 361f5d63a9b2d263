//! An image, ready to run: every blob local, the right platform chosen.
//!
//! In: a reference and the caller's tenant. Out: a [`LocalImage`], whose blobs stay while it lives.
//!
//! Our own registry is read directly, never through a socket. What comes from elsewhere is kept as a
//! [`PulledImage`](cove_model::registry::PulledImage) of the caller's tenant: reused by the next task, collected when
//! it was not used for long, visible in no repository.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use cove_model::access_policy::Principal;
use cove_model::arn::Tenant;
use cove_model::image::{DOCKER_HUB, ImagePlace, ImageReference, ImageSelector, hub_path};
use cove_model::registry::{BlobLink, Image, PulledImage};
use cove_store::{Prefix, Read, StoreError, keys};

use crate::arrival::{Arrival, ArrivingLayer, Coming};
use crate::blobs::{Pin, read_small};
use crate::digest::Digest;
use crate::image_config::ImageConfig;
use crate::manifest::{Descriptor, Kind, Manifest};
use crate::pull::{Credentials, PullError, RemoteManifest, Source};
use crate::registry::{Registry, blocking};

/// Our architecture as image indexes name it.
#[cfg(target_arch = "x86_64")]
pub(crate) const ARCH: &str = "amd64";
#[cfg(target_arch = "aarch64")]
pub(crate) const ARCH: &str = "arm64";

/// Configs are a few kilobytes; this leaves room for odd ones and keeps them harmless.
pub(crate) const CONFIG_MAX_BYTES: u64 = 8 * 1024 * 1024;
/// Signatures of an image are small.
const ARTIFACT_MAX_BYTES: u64 = 1 << 20;
/// How exactly the last use of a pulled image is kept: finer would make every start a write.
const USE_RECORD_MILLIS: i64 = 60 * 60 * 1000;

/// An image whose blobs are all here. They are kept from collection until this is dropped.
#[derive(Debug)]
pub struct LocalImage {
    /// What the tag pointed at: the index where there is one. ECS's `imageDigest`.
    pub digest: String,
    /// The manifest of this platform.
    pub manifest_digest: String,
    pub config: ImageConfig,
    /// Bottom first.
    pub layers: Vec<LayerBlob>,
    pub(crate) _pins: Vec<Pin>,
}

/// A layer as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerBlob {
    pub digest: String,
    /// Digest of the uncompressed tar, from the image's config.
    pub diff_id: String,
    pub media_type: String,
    pub path: PathBuf,
    /// Of the blob, in bytes.
    pub size: u64,
}

/// Where an image comes from.
pub(crate) enum Place<'a> {
    /// Our own registry.
    Own {
        tenant: &'a Tenant,
        repository: &'a str,
    },
    Remote {
        caller: &'a Tenant,
        source: &'a Source,
    },
}

impl Place<'_> {
    /// As the rules of admission know it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Own { repository, .. } => (*repository).to_owned(),
            Self::Remote { source, .. } => format!("{}/{}", source.host, source.repository),
        }
    }
}

/// Told while an image is made local.
#[derive(Debug, Clone)]
pub enum PullProgress {
    /// The manifest is known; this many bytes are still to be fetched.
    Started { layers: usize, bytes: u64 },
    /// What the layers are, bottom first; those on their way can be read from now on.
    Layers(Vec<ArrivingLayer>),
    /// A blob advanced.
    Bytes { digest: String, done: u64, total: u64 },
    /// Everything is local.
    Complete,
}

/// Where progress is told. Called often: it must not block.
pub type Progress = Arc<dyn Fn(PullProgress) + Send + Sync>;

/// The pull of one blob, watched by everyone who waits for it.
#[derive(Debug, Clone)]
pub(crate) struct Download {
    pub(crate) done: tokio::sync::watch::Receiver<Option<Result<(), PullError>>>,
    arrival: Arc<Arrival>,
}
/// What is downloaded: for whom, which blob of which size, and from which repository of which host. Who asks another
/// registry for the same blob does not wait for this one, and does not fail with it.
type DownloadKey = (Tenant, Digest, u64, String, String);
/// Downloads under way.
pub(crate) type Downloads = Arc<Mutex<HashMap<DownloadKey, Download>>>;

impl Registry {
    /// Makes sure that every blob of the image is local; pulls when it comes from elsewhere. `caller` is the tenant of
    /// the task. Calls for the same image at the same time share its downloads.
    ///
    /// # Errors
    /// Why it cannot be had, in Docker's words.
    pub async fn resolve(
        &self,
        caller: &Tenant,
        reference: &ImageReference,
        credentials: Option<Credentials>,
        progress: Option<Progress>,
    ) -> Result<LocalImage, PullError> {
        self.resolve_as(&Principal::root(&caller.account), caller, reference, credentials, progress).await
    }

    /// The same for a task whose execution role pulls.
    ///
    /// # Errors
    /// Why it cannot be had, in Docker's words.
    pub async fn resolve_as(
        &self,
        who: &Principal,
        caller: &Tenant,
        reference: &ImageReference,
        credentials: Option<Credentials>,
        progress: Option<Progress>,
    ) -> Result<LocalImage, PullError> {
        let told = progress.unwrap_or_else(|| Arc::new(|_| {}));
        let repository = reference.repository.as_str();
        let own = |tenant| Place::Own { tenant, repository };
        let source = match &reference.place {
            ImagePlace::Own(tenant) => {
                return self.admitted_one(&own(tenant), self.local(who, tenant, reference, &told)).await;
            }
            ImagePlace::OwnOrHub(tenant) if self.repository(tenant, repository).is_ok() => {
                return self.admitted_one(&own(tenant), self.local(who, tenant, reference, &told)).await;
            }
            ImagePlace::OwnOrHub(_) => hub_source(repository, credentials),
            ImagePlace::Remote(host) => Source { host: host.clone(), repository: repository.to_owned(), credentials },
        };
        let place = Place::Remote { caller, source: &source };
        let pulled = self.pull(caller, &source, reference.selector.as_str(), &told);
        let pulled = self.admitted_one(&place, pulled).await?;
        told(PullProgress::Complete);
        Ok(pulled)
    }

    /// The image, if it may run.
    async fn admitted_one(
        &self,
        place: &Place<'_>,
        image: impl Future<Output = Result<LocalImage, PullError>>,
    ) -> Result<LocalImage, PullError> {
        let image = image.await?;
        self.check_may_run(place, &image.digest, &image.manifest_digest).await?;
        Ok(image)
    }

    /// A manifest of another registry that is no image, its blobs made local. Nothing keeps it: the next collection may
    /// take it.
    pub(crate) async fn remote_artifact(
        &self,
        caller: &Tenant,
        source: &Source,
        reference: &str,
    ) -> Result<Manifest, PullError> {
        let top = self.puller.manifest(source, reference).await?;
        let manifest = parse(&top.bytes, top.media_type.as_deref(), reference)?;
        let size = manifest.descriptors().fold(0u64, |sum, descriptor| sum.saturating_add(descriptor.size));
        if size > ARTIFACT_MAX_BYTES {
            return Err(PullError::Invalid { reference: reference.to_owned(), cause: "it is too large".to_owned() });
        }
        let told: Progress = Arc::new(|_| {});
        self.fetch_blobs(caller, source, &manifest, &mut Vec::new(), &told).await?;
        Ok(manifest)
    }

    /// An image of our own registry.
    async fn local(
        &self,
        who: &Principal,
        tenant: &Tenant,
        reference: &ImageReference,
        told: &Progress,
    ) -> Result<LocalImage, PullError> {
        let name = own_name(tenant, reference);
        // Without a policy nobody pulls from another account, as on AWS; regions of one account may.
        for action in ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"] {
            let admitted = self.admit(who, tenant, &reference.repository, action);
            admitted.map_err(|_| PullError::Denied { repository: reference.repository.clone() })?;
        }
        let find = |selector: &ImageSelector| {
            self.image(tenant, &reference.repository, selector)
                .map_err(|_| PullError::NotFound { reference: name.clone() })
        };
        self.whole_through(tenant, &reference.repository, &reference.selector).await?;
        let top = find(&reference.selector)?;
        if top.is_archived {
            return Err(PullError::NotFound { reference: name.clone() });
        }
        let read = |image: Arc<Image>| async move {
            let bytes = self.manifest_bytes(&image.digest).await.map_err(|error| PullError::keep(&error))?;
            parse(&bytes, Some(&image.media_type), &image.digest)
        };
        let pins = vec![self.pin(&top.digest)];
        let mut manifest = read(Arc::clone(&top)).await?;
        let mut chosen = Arc::clone(&top);
        if matches!(manifest.kind, Kind::Index { .. }) {
            let descriptor = choose(&manifest)?;
            let selector = ImageSelector::Digest(descriptor.digest.clone());
            self.whole_through(tenant, &reference.repository, &selector).await?;
            chosen = find(&selector)?;
            manifest = read(Arc::clone(&chosen)).await?;
        }
        self.note_pull(&top, who);
        let image = self.assemble(&top.digest, &chosen.digest, &manifest, pins).await?;
        told(PullProgress::Complete);
        Ok(image)
    }

    /// An image of another registry. When that cannot be reached, what was pulled before stands in.
    async fn pull(
        &self,
        caller: &Tenant,
        source: &Source,
        reference: &str,
        told: &Progress,
    ) -> Result<LocalImage, PullError> {
        let name = format!("{}/{}", source.host, source.repository);
        let key = keys::pulled_image(caller, &name, reference);
        // A digest never means anything else: what is here is what would come, whatever it was pulled as.
        let pinned = Digest::parse(reference).is_some();
        let is_it = |one: &Arc<PulledImage>| one.digest == reference || one.manifest_digest == reference;
        let before = self.store.read(|view| {
            let of_name = || view.scan::<PulledImage>(&Prefix::parent(caller, &name)).into_iter().find(is_it);
            view.get::<PulledImage>(&key).or_else(|| of_name().filter(|_| pinned))
        });
        if let Some(before) = before.as_ref().filter(|_| pinned)
            && let Ok(image) = self.cached(before).await
        {
            return Ok(image);
        }
        match self.pull_now(caller, source, &name, reference, told).await {
            Err(error) if error.is_unreachable() => match &before {
                Some(before) => {
                    let image = self.cached(before).await.map_err(|_| error.clone())?;
                    tracing::warn!(image = %name, %error, "uses the image of an earlier pull");
                    Ok(image)
                }
                None => Err(error),
            },
            done => done,
        }
    }

    async fn pull_now(
        &self,
        caller: &Tenant,
        source: &Source,
        name: &str,
        reference: &str,
        told: &Progress,
    ) -> Result<LocalImage, PullError> {
        let top = self.puller.manifest(source, reference).await?;
        let mut pins = vec![self.blobs.pin(&top.digest)];
        let mut blobs = vec![top.digest.to_string()];
        let mut manifest = parse(&top.bytes, top.media_type.as_deref(), reference)?;
        self.keep_manifest(&top).await?;
        let mut chosen = top.digest.clone();
        if matches!(manifest.kind, Kind::Index { .. }) {
            let descriptor = choose(&manifest)?;
            let inner = self.puller.manifest(source, &descriptor.digest).await?;
            manifest = parse(&inner.bytes, inner.media_type.as_deref(), &descriptor.digest)?;
            pins.push(self.blobs.pin(&inner.digest));
            blobs.push(inner.digest.to_string());
            self.keep_manifest(&inner).await?;
            chosen = inner.digest;
        }
        self.fetch_blobs(caller, source, &manifest, &mut pins, told).await?;
        blobs.extend(manifest.blobs());
        let now = self.clock.now();
        let record = PulledImage {
            tenant: caller.clone(),
            name: name.to_owned(),
            reference: reference.to_owned(),
            digest: top.digest.to_string(),
            manifest_digest: chosen.to_string(),
            blobs,
            pulled_at: now,
            used_at: now,
        };
        let kept = self.store.write(move |tx| {
            tx.put(record);
            Ok::<_, StoreError>(())
        });
        kept.await.map_err(|error| PullError::keep(&error))?;
        self.assemble(top.digest.as_str(), chosen.as_str(), &manifest, pins).await
    }

    /// Downloads what the tenant does not have, all blobs at once; the puller bounds how many really run.
    pub(crate) async fn fetch_blobs(
        &self,
        caller: &Tenant,
        source: &Source,
        manifest: &Manifest,
        pins: &mut Vec<Pin>,
        told: &Progress,
    ) -> Result<(), PullError> {
        let mut wanted = parts(manifest.descriptors());
        pins.extend(wanted.iter().map(|(digest, _)| self.blobs.pin(digest)));
        let had = self.blobs_of(caller);
        wanted.retain(|(digest, size)| !had.contains(digest.as_str()) || self.blobs.size(digest) != Some(*size));
        let bytes = wanted.iter().fold(0u64, |sum, (_, size)| sum.saturating_add(*size));
        told(PullProgress::Started { layers: wanted.len(), bytes });
        let begun = self.begin_all(caller, source, wanted, told);
        if let Kind::Image { config, layers } = &manifest.kind {
            let is_config = |(digest, _): &&(Digest, Download)| digest.as_str() == config.digest;
            all_here(begun.iter().filter(is_config).cloned()).await?;
            // One that cannot be read is refused when the image is put together.
            let bytes = self.config_bytes(config, &config.digest).await;
            let known = bytes.ok().and_then(|bytes| serde_json::from_slice::<ImageConfig>(&bytes).ok());
            let diff_ids = known.map(|config| config.rootfs.diff_ids).unwrap_or_default();
            if diff_ids.len() == layers.len() {
                let arrival = |of: &str| begun.iter().find(|(digest, _)| digest.as_str() == of).map(|(_, it)| it);
                let arriving = |(layer, diff_id): (&Descriptor, String)| ArrivingLayer {
                    diff_id,
                    media_type: layer.media_type.clone(),
                    size: layer.size,
                    arrival: arrival(&layer.digest).map(|it| Arc::clone(&it.arrival)),
                };
                told(PullProgress::Layers(layers.iter().zip(diff_ids).map(arriving).collect()));
            }
        }
        all_here(begun).await
    }

    /// Begins to download blobs, all at once, joining those that are on their way.
    pub(crate) fn begin_all(
        &self,
        caller: &Tenant,
        source: &Source,
        wanted: Vec<(Digest, u64)>,
        told: &Progress,
    ) -> Vec<(Digest, Download)> {
        let begin = |(digest, size): (Digest, u64)| {
            let download = self.download(caller, source, digest.clone(), size, told);
            (digest, download)
        };
        wanted.into_iter().map(begin).collect()
    }

    /// Joins the download of a blob or starts it. It runs on its own: a task that is stopped while it pulls does not
    /// break the pull of another.
    fn download(&self, caller: &Tenant, source: &Source, digest: Digest, size: u64, told: &Progress) -> Download {
        let key = (caller.clone(), digest.clone(), size, source.host.clone(), source.repository.clone());
        let mut downloads = self.downloads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = downloads.get(&key) {
            return running.clone();
        }
        let (finished, done) = tokio::sync::watch::channel(None);
        let coming = Coming(Arc::default());
        let download = Download { done, arrival: Arc::clone(&coming.0) };
        downloads.insert(key.clone(), download.clone());
        let (registry, source, told) = (self.clone(), source.clone(), Arc::clone(told));
        tokio::spawn(async move {
            let _pin = registry.blobs.pin(&digest);
            let advance = |done| told(PullProgress::Bytes { digest: digest.to_string(), done, total: size });
            registry.make_room().await;
            let done = registry.puller.blob(&source, &digest, size, &registry.blobs, &coming.0, advance).await;
            coming.0.end(done.is_ok());
            registry.downloads.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            // Nobody may wait any more.
            let _ = finished.send(Some(done));
        });
        download
    }

    /// Digests that the tenant has a right to: through its repositories or earlier pulls. Others' blobs are fetched
    /// again, so that a manifest which merely names a digest opens nothing.
    pub(crate) fn blobs_of(&self, tenant: &Tenant) -> HashSet<String> {
        self.store.read(|view| {
            let inside = Prefix::tenant(tenant);
            let mut had: HashSet<String> =
                view.scan::<BlobLink>(&inside).iter().map(|link| link.digest.clone()).collect();
            had.extend(view.scan::<PulledImage>(&inside).iter().flat_map(|pulled| pulled.blobs.clone()));
            had
        })
    }

    /// An image from an earlier pull.
    async fn cached(&self, before: &PulledImage) -> Result<LocalImage, PullError> {
        let pins = before.blobs.iter().map(|digest| self.pin(digest)).collect();
        let bytes = self.manifest_bytes(&before.manifest_digest).await.map_err(|error| PullError::keep(&error))?;
        let manifest = parse(&bytes, None, &before.manifest_digest)?;
        let image = self.assemble(&before.digest, &before.manifest_digest, &manifest, pins).await?;
        let now = self.clock.now();
        if now > before.used_at.plus_millis(USE_RECORD_MILLIS) {
            let record = PulledImage { used_at: now, ..before.clone() };
            let kept = self.store.write(move |tx| {
                tx.put(record);
                Ok::<_, StoreError>(())
            });
            kept.await.map_err(|error| PullError::keep(&error))?;
        }
        Ok(image)
    }

    async fn keep_manifest(&self, manifest: &RemoteManifest) -> Result<(), PullError> {
        let (files, digest, bytes) = (self.blobs.clone(), manifest.digest.clone(), manifest.bytes.clone());
        blocking(move || files.write(&digest, &bytes)).await.map(|_| ()).map_err(|error| PullError::keep(&error))
    }

    async fn config_bytes(&self, config: &Descriptor, of: &str) -> Result<Vec<u8>, PullError> {
        let invalid = |cause: &str| PullError::Invalid { reference: of.to_owned(), cause: cause.to_owned() };
        if config.size > CONFIG_MAX_BYTES {
            return Err(invalid("its config is too large"));
        }
        let path = self.path_of(&config.digest).ok_or_else(|| invalid("its config has no digest"))?;
        let read = blocking(move || read_small(&path, CONFIG_MAX_BYTES)).await;
        read.map_err(|error| match error.kind() {
            // Larger than its descriptor says.
            io::ErrorKind::FileTooLarge => invalid("its config is too large"),
            _ => PullError::keep(&error),
        })
    }

    /// Reads the config and lines the layers up with their diff ids.
    async fn assemble(
        &self,
        digest: &str,
        manifest_digest: &str,
        manifest: &Manifest,
        mut pins: Vec<Pin>,
    ) -> Result<LocalImage, PullError> {
        let invalid = |cause: &str| PullError::Invalid { reference: digest.to_owned(), cause: cause.to_owned() };
        let Kind::Image { config, layers } = &manifest.kind else { return Err(invalid("an index within an index")) };
        pins.extend(manifest.descriptors().map(|descriptor| self.pin(&descriptor.digest)));
        let bytes = self.config_bytes(config, digest).await?;
        let config: ImageConfig =
            serde_json::from_slice(&bytes).map_err(|error| invalid(&format!("its config cannot be read: {error}")))?;
        if config.rootfs.diff_ids.len() != layers.len() {
            return Err(invalid("its config and manifest disagree on the number of layers"));
        }
        let mut found = Vec::with_capacity(layers.len());
        for (layer, diff_id) in layers.iter().zip(&config.rootfs.diff_ids) {
            let path = self.path_of(&layer.digest).ok_or_else(|| invalid("a layer has no digest"))?;
            let meta = std::fs::metadata(&path);
            let size = meta.map_err(|_| invalid(&format!("layer {} is not there", layer.digest)))?.len();
            if Digest::parse(diff_id).is_none() {
                return Err(invalid("a diff id is no digest"));
            }
            found.push(LayerBlob {
                digest: layer.digest.clone(),
                diff_id: diff_id.clone(),
                media_type: layer.media_type.clone(),
                path,
                size,
            });
        }
        Ok(LocalImage {
            digest: digest.to_owned(),
            manifest_digest: manifest_digest.to_owned(),
            config,
            layers: found,
            _pins: pins,
        })
    }

    fn pin(&self, digest: &str) -> Pin {
        self.blobs.pin(&Digest::parse(digest).unwrap_or_else(|| Digest::of(digest.as_bytes())))
    }

    pub(crate) fn path_of(&self, digest: &str) -> Option<PathBuf> {
        Digest::parse(digest).map(|digest| self.blobs.path(&digest))
    }
}

/// Each digest once, with its size.
pub(crate) fn parts<'a>(descriptors: impl Iterator<Item = &'a Descriptor>) -> Vec<(Digest, u64)> {
    let mut seen = HashSet::new();
    let first = descriptors.filter(|descriptor| seen.insert(descriptor.digest.as_str()));
    first.filter_map(|descriptor| Some((Digest::parse(&descriptor.digest)?, descriptor.size))).collect()
}

/// Waits until all of them are here.
pub(crate) async fn all_here(begun: impl IntoIterator<Item = (Digest, Download)>) -> Result<(), PullError> {
    for (_, mut download) in begun {
        match download.done.wait_for(Option::is_some).await.map(|done| done.clone()) {
            Ok(Some(done)) => done?,
            Ok(None) | Err(_) => return Err(PullError::Keep { cause: "the download was given up".to_owned() }),
        }
    }
    Ok(())
}

/// Where names without a host are.
pub(crate) fn hub_source(repository: &str, credentials: Option<Credentials>) -> Source {
    Source { host: DOCKER_HUB.to_owned(), repository: hub_path(repository), credentials }
}

pub(crate) fn parse(bytes: &[u8], media_type: Option<&str>, reference: &str) -> Result<Manifest, PullError> {
    let invalid = |cause: String| PullError::Invalid { reference: reference.to_owned(), cause };
    // Some registries send `application/json`: then the document itself must say what it is.
    let known = media_type.filter(|text| crate::manifest::MEDIA_TYPES.contains(text));
    Manifest::parse(bytes, known).map_err(|fault| invalid(fault.to_string()))
}

fn choose(index: &Manifest) -> Result<&Descriptor, PullError> {
    index.for_platform(ARCH).ok_or(PullError::NoPlatform { arch: ARCH })
}

/// The name that ECS would show.
fn own_name(tenant: &Tenant, reference: &ImageReference) -> String {
    let Tenant { account, region } = tenant;
    let (mark, text) = match &reference.selector {
        ImageSelector::Tag(tag) => (':', tag),
        ImageSelector::Digest(digest) => ('@', digest),
    };
    format!("{account}.dkr.ecr.{region}.amazonaws.com/{}{mark}{text}", reference.repository)
}
