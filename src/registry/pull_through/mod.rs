//! Images that a rule says to fetch from another registry when they are not here, and that stay then.
//!
//! ```text
//! miss, or a tag that was not asked for in a day ──▶ lookup: the other registry's manifest ──▶ answered
//!                                                       └──▶ its blobs, then one transaction: repository, links, image, tag
//! ```
//!
//! Holds: an image is recorded with all of its blobs or not at all; who asks for the same at the same time shares one
//! lookup and one download; while the other registry cannot be had, what is kept is served.
//! Why the manifest is answered first: clients ask for blobs one by one, and each is theirs as soon as it is here.

mod keep;
mod source;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cove_base::Timestamp;
use cove_model::arn::Tenant;
use cove_model::image::ImageSelector;
use cove_model::registry::Image;
use cove_model::registry_rules::{PullThroughRule, UpstreamTag, exactness};
use cove_store::{Prefix, Read, StoreError, keys};
use tokio::sync::watch;

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::images::StoredManifest;
use crate::links::BlobFile;
use crate::pull::{PullError, Source};
use crate::registry::Registry;
use crate::resolve::Download;
use crate::storage::refuse_archived;

/// How long a tag stands before the other registry is asked again, as on ECR.
const TAG_KEEP_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// The same after it could not be asked: a registry that is down must not slow every pull.
const TAG_RETRY_MILLIS: i64 = 5 * 60 * 1000;

/// Images fetched at once, each with its manifest in memory; those who ask for more are told to wait.
const LOOKUPS_MAX: usize = 128;

/// Tenant, repository, tag or digest.
type LookupKey = (Tenant, String, String);
/// A lookup, watched by everyone who asks for the same.
type Lookup = watch::Receiver<Option<Result<Arc<Found>, PullError>>>;
/// Lookups under way and images that are being fetched.
pub(crate) type Lookups = Arc<Mutex<HashMap<LookupKey, Lookup>>>;

/// An image that the other registry has.
#[derive(Debug)]
pub(crate) struct Found {
    image: Arc<Image>,
    bytes: Bytes,
    blobs: Vec<(Digest, u64)>,
    /// `None`: another region of this registry, whose blobs are here.
    source: Option<Source>,
    /// The downloads that were begun for it, also those that have ended.
    begun: Mutex<HashMap<Digest, Download>>,
    via: Via,
    /// When the image is recorded, or why it could not be.
    kept: watch::Receiver<Option<Result<(), PullError>>>,
}

/// The rule that an image comes by, as whoever does not get it reads it.
#[derive(Debug, Clone)]
struct Via {
    prefix: String,
    /// Registry and repository.
    upstream: String,
}

impl Via {
    fn of(rule: &PullThroughRule, repository: &str) -> Self {
        let name = rule.upstream_name(repository).unwrap_or_else(|| repository.to_owned());
        Self { prefix: rule.prefix.clone(), upstream: format!("{}/{name}", rule.upstream_url) }
    }

    fn told(&self, cause: PullError) -> PullError {
        let Self { prefix, upstream } = self.clone();
        PullError::Through { prefix, upstream, cause: Box::new(cause) }
    }
}

/// Where an image is.
enum Place {
    Here(Arc<Image>),
    There(Arc<Found>),
}

impl Registry {
    /// A manifest with its bytes; one that is not here is fetched if a rule says so.
    ///
    /// # Errors
    /// When nobody has it, or the other registry cannot be had.
    pub async fn manifest_through(
        &self,
        tenant: &Tenant,
        repository: &str,
        selector: &ImageSelector,
    ) -> Result<StoredManifest, RegistryError> {
        match self.look(tenant, repository, selector).await? {
            Place::Here(image) => {
                refuse_archived(&image)?;
                let bytes = self.manifest_bytes(&image.digest).await?;
                Ok(StoredManifest { image, bytes })
            }
            Place::There(found) => Ok(StoredManifest { image: Arc::clone(&found.image), bytes: found.bytes.clone() }),
        }
    }

    /// A blob of a repository; one of an image that is being fetched is waited for.
    ///
    /// # Errors
    /// When the repository does not have it.
    pub async fn blob_through(
        &self,
        tenant: &Tenant,
        repository: &str,
        digest: &Digest,
    ) -> Result<BlobFile, RegistryError> {
        // One that was damaged is recorded and not there.
        let here = || match self.blob(tenant, repository, digest) {
            Ok(found) if self.blobs.size(digest) != Some(found.size) => {
                Err(RegistryError::BlobUnknown(digest.to_string()))
            }
            found => found,
        };
        let unknown = match here() {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        let Some((found, size)) = self.fetching(tenant, repository, digest) else {
            // It may have been linked since.
            return here().map_err(|_| unknown);
        };
        let fetched = self.fetch_blob(tenant, &found, digest, size).await;
        fetched.map_err(|error| RegistryError::Upstream(found.via.told(error)))?;
        Ok(BlobFile { digest: digest.clone(), path: self.blobs.path(digest), size })
    }

    /// Makes sure that an image is here with all of its blobs if a rule says where to fetch it. Without a rule it is not
    /// told whether there is such an image.
    pub(crate) async fn whole_through(
        &self,
        tenant: &Tenant,
        repository: &str,
        selector: &ImageSelector,
    ) -> Result<(), PullError> {
        let mut kept = match self.look(tenant, repository, selector).await {
            Ok(Place::There(found)) => found.kept.clone(),
            Err(RegistryError::Upstream(error)) => return Err(error),
            Ok(Place::Here(_)) | Err(_) => return Ok(()),
        };
        finished(&mut kept).await
    }

    async fn look(&self, tenant: &Tenant, repository: &str, selector: &ImageSelector) -> Result<Place, RegistryError> {
        let now = self.clock.now();
        let here = self.image(tenant, repository, selector);
        let key = keys::image_tag(tenant, repository, selector.as_str());
        let (rule, asked) = self.store.read(|view| (rule_of(view, tenant, repository), view.get::<UpstreamTag>(&key)));
        let Some(rule) = rule else { return here.map(Place::Here) };
        let here = match (here, selector) {
            (Ok(image), ImageSelector::Digest(_)) => return Ok(Place::Here(image)),
            // A tag that was never asked for over there is our own.
            (Ok(image), ImageSelector::Tag(_)) if asked.is_none_or(|asked| now < asked.next_at) => {
                return Ok(Place::Here(image));
            }
            (here, _) => here,
        };
        match (self.lookup(tenant, repository, selector, &rule).await, here) {
            (Ok(found), _) => Ok(Place::There(found)),
            (Err(error), Ok(image)) => {
                tracing::warn!(repository, %error, "serves what is kept of another registry's image");
                self.ask_later(tenant, repository, selector.as_str(), now).await;
                Ok(Place::Here(image))
            }
            (Err(error), Err(_)) => Err(RegistryError::Upstream(error)),
        }
    }

    /// Joins the lookup of an image or starts it. It runs on its own: a client that breaks off does not break it for
    /// others, nor the fetching that follows it.
    async fn lookup(
        &self,
        tenant: &Tenant,
        repository: &str,
        selector: &ImageSelector,
        rule: &Arc<PullThroughRule>,
    ) -> Result<Arc<Found>, PullError> {
        let key = (tenant.clone(), repository.to_owned(), selector.as_str().to_owned());
        let mut lookup = {
            let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
            // One whose task was lost without a word, as in a panic, is begun again.
            let lives = |one: &&Lookup| one.borrow().is_some() || one.has_changed().is_ok();
            match lookups.get(&key).filter(lives) {
                Some(running) => running.clone(),
                None if lookups.len() >= LOOKUPS_MAX => {
                    let many = PullError::RateLimited { host: rule.upstream_url.clone() };
                    return Err(Via::of(rule, repository).told(many));
                }
                None => {
                    let (done, lookup) = watch::channel(None);
                    lookups.insert(key.clone(), lookup.clone());
                    let (registry, rule, selector) = (self.clone(), Arc::clone(rule), selector.clone());
                    tokio::spawn(async move { registry.fetch_image(key, &selector, &rule, done).await });
                    lookup
                }
            }
        };
        finished(&mut lookup).await
    }

    /// The image that is being fetched and needs a blob, and the blob's size.
    fn fetching(&self, tenant: &Tenant, repository: &str, digest: &Digest) -> Option<(Arc<Found>, u64)> {
        let lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        let of_repository = lookups.iter().filter(|(key, _)| key.0 == *tenant && key.1 == repository);
        of_repository.into_iter().find_map(|(_, lookup)| {
            let found = lookup.borrow().as_ref()?.as_ref().ok().cloned()?;
            let size = found.blobs.iter().find(|(known, _)| known == digest)?.1;
            Some((found, size))
        })
    }

    /// Puts the next question off.
    async fn ask_later(&self, tenant: &Tenant, repository: &str, tag: &str, now: Timestamp) {
        let next = asked(tenant, repository, tag, now.plus_millis(TAG_RETRY_MILLIS));
        let noted = self.store.write(move |tx| {
            tx.put(next);
            Ok::<_, StoreError>(())
        });
        if let Err(error) = noted.await {
            tracing::warn!(error = cove_base::error::chain(&error), "could not note when a tag is asked for again");
        }
    }
}

/// What a watched work ended with.
async fn finished<T: Clone>(work: &mut watch::Receiver<Option<Result<T, PullError>>>) -> Result<T, PullError> {
    match work.wait_for(Option::is_some).await.map(|done| done.clone()) {
        Ok(Some(done)) => done,
        Ok(None) | Err(_) => Err(PullError::Keep { cause: "the download was given up".to_owned() }),
    }
}

fn asked(tenant: &Tenant, repository: &str, tag: &str, next_at: Timestamp) -> UpstreamTag {
    UpstreamTag { tenant: tenant.clone(), repository: repository.to_owned(), tag: tag.to_owned(), next_at }
}

/// The rule that counts for a repository.
fn rule_of(read: &impl Read, tenant: &Tenant, repository: &str) -> Option<Arc<PullThroughRule>> {
    let all = read.scan::<PullThroughRule>(&Prefix::tenant(tenant));
    let fits = |rule: &Arc<PullThroughRule>| rule.upstream_name(repository).is_some();
    all.into_iter().filter(fits).max_by_key(|rule| exactness(&rule.prefix))
}
