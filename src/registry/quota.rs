//! Quotas: how much one repository may hold, and how many uploads may be open.
//!
//! Counted are the blobs of a repository, each once, and its manifests. A blob that it has already costs nothing more.
//!
//! Holds: no membership or manifest is recorded beyond the quota, whoever pushes at the same time (asked inside the
//! transaction); an upload is cut where it would go beyond, so that nobody fills the disk with what is refused at its end.
//! Why counted anew each time: only repositories with a quota pay for it, and a sum that is kept may be wrong.

use std::collections::BTreeMap;

use cove_model::arn::Tenant;
use cove_model::registry::{BlobLink, Image, Upload};
use cove_store::{Prefix, Read, keys};

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::registry::Registry;

const MIB: u64 = 1 << 20;

/// What repositories may hold at most, in bytes.
#[derive(Debug, Clone, Default)]
pub struct Quotas {
    /// By repository name, in every account.
    pub named: BTreeMap<String, u64>,
    /// Of all others; `None` is no quota.
    pub others: Option<u64>,
}

impl Quotas {
    /// Of one repository.
    #[must_use]
    pub fn of(&self, repository: &str) -> Option<u64> {
        self.named.get(repository).copied().or(self.others)
    }
}

/// Refuses what does not fit into a repository any more.
pub(crate) fn admit(
    read: &impl Read,
    quota: Option<u64>,
    tenant: &Tenant,
    repository: &str,
    digest: &str,
    size: u64,
) -> Result<(), RegistryError> {
    let Some(max) = quota else { return Ok(()) };
    let known = read.get::<BlobLink>(&keys::blob_link(tenant, repository, digest)).is_some()
        || read.get::<Image>(&keys::image(tenant, repository, digest)).is_some();
    if known || used(read, tenant, repository).saturating_add(size) <= max {
        return Ok(());
    }
    Err(full(repository, max))
}

/// Refuses an upload beyond the caps. Those that are past their time do not count: the next collection takes them.
pub(crate) fn admit_upload(
    read: &impl Read,
    registry: &Registry,
    tenant: &Tenant,
    repository: &str,
) -> Result<(), RegistryError> {
    let config = &registry.config;
    let expired = registry.clock.now().plus_millis(-config.upload_expiry_millis);
    let open = |inside: &Prefix| read.scan::<Upload>(inside).iter().filter(|one| one.started_at > expired).count();
    if open(&Prefix::parent(tenant, repository)) >= config.repository_uploads_max {
        return Err(RegistryError::TooManyUploads { max: config.repository_uploads_max });
    }
    if open(&Prefix::all()) >= config.uploads_max {
        return Err(RegistryError::TooManyUploads { max: config.uploads_max });
    }
    Ok(())
}

impl Registry {
    /// How long an upload may become; nothing fits when it is 0.
    pub(crate) fn upload_cap(
        &self,
        tenant: &Tenant,
        repository: &str,
        digest: Option<&Digest>,
    ) -> Result<Cap, RegistryError> {
        let none = Cap { left: u64::MAX, max: u64::MAX };
        let Some(max) = self.config.quotas.of(repository) else { return Ok(none) };
        self.store.read(|view| {
            let key = digest.map(|digest| keys::blob_link(tenant, repository, digest.as_str()));
            if key.is_some_and(|key| view.get::<BlobLink>(&key).is_some()) {
                return Ok(none);
            }
            let left = max.saturating_sub(used(view, tenant, repository));
            if left == 0 { Err(full(repository, max)) } else { Ok(Cap { left, max }) }
        })
    }
}

/// What an upload may still hold of its repository's quota.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cap {
    pub(crate) left: u64,
    pub(crate) max: u64,
}

fn used(read: &impl Read, tenant: &Tenant, repository: &str) -> u64 {
    let inside = Prefix::parent(tenant, repository);
    let blobs = read.scan::<BlobLink>(&inside).iter().fold(0u64, |sum, link| sum.saturating_add(link.size));
    read.scan::<Image>(&inside).iter().fold(blobs, |sum, image| sum.saturating_add(image.manifest_size))
}

pub(crate) fn full(repository: &str, max: u64) -> RegistryError {
    RegistryError::RepositoryFull { repository: repository.to_owned(), max_mib: max / MIB }
}
