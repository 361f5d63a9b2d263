//! Replication: what is pushed here goes to other regions and accounts of this Cove.
//!
//! Holds: copies are records in the transaction of the push, so a push that was acknowledged is replicated or says why
//! not, also after a crash at any moment; blobs are one file by digest however many registries have them. A copy is not
//! copied on.
//! Why in the transaction: there is no network between the two, so nothing is gained by doing it later.

use std::collections::BTreeSet;
use std::sync::Arc;

use cove_model::access_policy::Principal;
use cove_model::arn::Tenant;
use cove_model::image::ImageSelector;
use cove_model::registry::{BlobLink, Image, Referrer, Repository};
use cove_model::registry_rules::{MadeFor, Replication, ReplicationConfiguration, ReplicationRule};
use cove_store::{Prefix, Read, Tx, keys};

use crate::access::admit;
use crate::error::RegistryError;
use crate::expectation::Expectation;
use crate::images::{Push, find};
use crate::links::link;
use crate::manifest::Manifest;
use crate::registry::Registry;

impl Registry {
    /// What a registry replicates, and where to.
    #[must_use]
    pub fn replication_rules(&self, tenant: &Tenant) -> Vec<ReplicationRule> {
        self.store.read(|view| rules(view, tenant))
    }

    /// What became of the copies of an image.
    ///
    /// # Errors
    /// When repository or image is unknown.
    pub fn replications(
        &self,
        tenant: &Tenant,
        repository: &str,
        selector: &ImageSelector,
    ) -> Result<(Arc<Image>, Vec<Arc<Replication>>), RegistryError> {
        self.store.read(|view| {
            let image = find(view, tenant, repository, selector)?;
            let parent = keys::replication_parent(repository, &image.digest);
            Ok((image, view.scan::<Replication>(&Prefix::parent(tenant, &parent))))
        })
    }
}

/// What was pushed, for its copies.
pub(crate) struct Copies {
    pub(crate) image: Image,
    pub(crate) manifest: Manifest,
    pub(crate) tags: Vec<String>,
    /// Of the repository's name, in whatever registry.
    pub(crate) quota: Option<u64>,
}

impl Copies {
    /// Writes the copies, and what became of each.
    pub(crate) fn record(self, tx: &mut Tx<'_>) {
        let image = &self.image;
        for destination in destinations(&rules(tx, &image.tenant), &image.tenant, &image.repository) {
            let failure = match self.copy_to(tx, &destination) {
                Ok(()) => None,
                Err(failure) => Some(failure.to_owned()),
            };
            tx.put(Replication {
                tenant: image.tenant.clone(),
                repository: image.repository.clone(),
                digest: image.digest.clone(),
                destination,
                failure,
            });
        }
    }

    /// AWS's `failureCode` where it does not work.
    fn copy_to(&self, tx: &mut Tx<'_>, to: &Tenant) -> Result<(), &'static str> {
        let image = &self.image;
        if !may_replicate(tx, &image.tenant, to, &image.repository) {
            return Err("AccessDenied");
        }
        let push = Push {
            tenant: to.clone(),
            repository: image.repository.clone(),
            digest: image.digest.clone(),
            size: image.manifest_size,
            manifest: self.manifest.clone(),
            tags: self.tags.clone(),
            expected: Expectation::Nothing,
            quota: self.quota,
        };
        match push.record_made(tx, &sizes(tx, image), MadeFor::Replication) {
            Ok(_) => {}
            Err(RegistryError::TagImmutable { .. }) => return Err("ImageTagAlreadyExists"),
            Err(_) => return Err("ImageReplicationFailed"),
        }
        // An index is nothing without its images; those of before the rule are not there yet.
        for digest in &image.manifests {
            if let Some(inner) = tx.get::<Image>(&keys::image(&image.tenant, &image.repository, digest)) {
                copy_record(tx, &inner, to);
            }
        }
        Ok(())
    }
}

/// Whether the destination lets the source write there. Other accounts do so by their registry policy, which allows
/// `ecr:ReplicateImage` and, for a repository that is not there, `ecr:CreateRepository`.
fn may_replicate(read: &impl Read, source: &Tenant, to: &Tenant, repository: &str) -> bool {
    let who = Principal::root(&source.account);
    let is_there = read.get::<Repository>(&keys::repository(to, repository)).is_some();
    let actions = ["ecr:ReplicateImage", "ecr:CreateRepository"];
    actions.iter().take(if is_there { 1 } else { 2 }).all(|action| admit(read, &who, to, repository, action).is_ok())
}

/// The registries that a repository's images go to.
fn destinations(rules: &[ReplicationRule], source: &Tenant, repository: &str) -> BTreeSet<Tenant> {
    let fits = |rule: &&ReplicationRule| {
        rule.prefixes.is_empty() || rule.prefixes.iter().any(|prefix| repository.starts_with(prefix.as_str()))
    };
    rules.iter().filter(fits).flat_map(|rule| &rule.destinations).filter(|to| *to != source).cloned().collect()
}

fn rules(read: &impl Read, tenant: &Tenant) -> Vec<ReplicationRule> {
    let key = keys::replication_configuration(tenant);
    read.get::<ReplicationConfiguration>(&key).map(|found| found.rules.clone()).unwrap_or_default()
}

fn sizes(read: &impl Read, image: &Image) -> Vec<(String, u64)> {
    let size = |digest: &String| {
        let link = read.get::<BlobLink>(&keys::blob_link(&image.tenant, &image.repository, digest))?;
        Some((digest.clone(), link.size))
    };
    image.blobs.iter().filter_map(size).collect()
}

/// An image of an index, without tags.
fn copy_record(tx: &mut Tx<'_>, image: &Image, to: &Tenant) {
    for (digest, size) in sizes(tx, image) {
        link(tx, to, &image.repository, &digest, size);
    }
    if let Some(subject) = &image.subject
        && let Some(found) =
            tx.get::<Referrer>(&keys::referrer(&image.tenant, &image.repository, subject, &image.digest))
    {
        tx.put(Referrer { tenant: to.clone(), ..(*found).clone() });
    }
    if tx.get::<Image>(&keys::image(to, &image.repository, &image.digest)).is_none() {
        tx.put(Image { tenant: to.clone(), pushed_at: tx.now(), last_pulled_at: None, ..image.clone() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_goes_where_its_rules_say_once_and_never_to_itself() {
        let tenant = |region: &str| Tenant::new("0", region);
        let rule = |regions: &[&str], prefixes: &[&str]| ReplicationRule {
            destinations: regions.iter().map(|region| tenant(region)).collect(),
            prefixes: prefixes.iter().map(ToString::to_string).collect(),
        };
        let rules = [rule(&["b", "c"], &["prod"]), rule(&["c", "d", "a"], &[])];
        let to = |repository: &str| -> Vec<String> {
            destinations(&rules, &tenant("a"), repository).into_iter().map(|to| to.region).collect()
        };
        assert_eq!(to("prod/app"), ["b", "c", "d"]);
        assert_eq!(to("test"), ["c", "d"]);
    }
}
