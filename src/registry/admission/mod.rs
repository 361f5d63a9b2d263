//! Which images may run: the operator's policy, looked at whenever an image is made ready for a task.
//!
//! In: the rules of the config, an image's name and digests. Out: nothing, or why not.
//!
//! ```text
//! rule whose pattern is of the name ─┬▶ what its scan found ([`scan`]) ──────────────────────────┬▶ admitted
//!                                    └▶ signatures beside the image ─▶ one by one of the signers ┘
//! ```
//!
//! Holds: what cannot be looked at is not admitted; an image to which no rule applies is. A rule speaks of the image's
//! name, so that a copy under another name is another image.
//! Absent: cosign's certificates and transparency logs (keyless signatures); of Notation's see [`notation`].

mod cose;
mod jws;
mod key;
mod notation;
mod scan;
mod signature;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cove_base::Timestamp;
use cove_model::scan::ImageScan;
use cove_model::wildcard;
use cove_store::{Read, keys};

use crate::pull::PullError;
use crate::registry::Registry;
use crate::resolve::Place;

pub use key::{BadKey, Signer};
pub use scan::Refused;

/// Images remembered as admitted; forgotten together when there are more.
const ADMITTED_MAX: usize = 4096;
/// Certificates end, and so do signatures: those are looked at again after an hour.
const CERTIFIED_MILLIS: i64 = 60 * 60 * 1000;

/// A rule of the policy.
#[derive(Debug, Clone)]
pub struct AdmissionRule {
    /// Of repositories of the own registry (`prod/*`) or of images of another (`docker.io/library/*`).
    pub images: Vec<String>,
    pub refused: Refused,
    /// One of them must have signed, if any is named.
    pub signed_by: Vec<Signer>,
}

impl AdmissionRule {
    fn is_about(&self, name: &str) -> bool {
        self.images.iter().any(|pattern| wildcard::matches(pattern, name))
    }

    /// As people know it.
    fn name(&self) -> String {
        self.images.join(", ")
    }
}

/// Until when the signatures of an image need not be read again: name and digest.
#[derive(Debug, Default)]
pub(crate) struct Admitted(Mutex<HashMap<(String, String), Timestamp>>);

impl Admitted {
    fn has(&self, name: &str, digest: &str, now: Timestamp) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(name.to_owned(), digest.to_owned())).is_some_and(|until| now < *until)
    }

    fn add(&self, name: &str, digest: &str, until: Timestamp) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= ADMITTED_MAX {
            known.clear();
        }
        known.insert((name.to_owned(), digest.to_owned()), until);
    }
}

impl Registry {
    /// Whether an image may run; every rule that is about it must admit it. A signature counts for the digest that the
    /// tag meant, or for the manifest of this platform; a scan is of that manifest.
    pub(crate) async fn check_may_run(
        &self,
        place: &Place<'_>,
        digest: &str,
        manifest_digest: &str,
    ) -> Result<(), PullError> {
        let (name, now) = (place.name(), self.clock.now());
        let mut rules: Vec<&AdmissionRule> = self.config.admission.iter().filter(|rule| rule.is_about(&name)).collect();
        if rules.is_empty() {
            return Ok(());
        }
        let refused = |why: String| PullError::NotAdmitted { reference: format!("{name}@{digest}"), why };
        let scan = self.scan_at(place, manifest_digest);
        if let Some(why) = rules.iter().find_map(|rule| scan::refused(rule.refused, scan.as_deref())) {
            return Err(refused(why));
        }
        rules.retain(|rule| !rule.signed_by.is_empty());
        if rules.is_empty() || self.admitted.has(&name, digest, now) {
            return Ok(());
        }
        let is_certified = rules.iter().flat_map(|rule| &rule.signed_by).any(Signer::is_authority);
        let mut signatures = Vec::new();
        for about in [digest, manifest_digest].iter().take(if digest == manifest_digest { 1 } else { 2 }) {
            let found = self.signatures(place, about, is_certified).await;
            signatures.extend(found.map_err(|error| refused(error.to_string()))?);
        }
        for rule in rules {
            let tried = signatures.iter().flat_map(|one| rule.signed_by.iter().map(|signer| one.by(signer, now)));
            let mut why = String::new();
            let is_signed = tried.into_iter().any(|by| match by {
                Ok(()) => true,
                Err(None) => false,
                Err(Some(said)) => {
                    why = format!(": {said}");
                    false
                }
            });
            if !is_signed {
                let what = if signatures.is_empty() { "it has no signature" } else { "no signature is by a key" };
                return Err(refused(format!("{what} that the rule for `{}` names{why}", rule.name())));
            }
        }
        let until = if is_certified { now.plus_millis(CERTIFIED_MILLIS) } else { Timestamp(i64::MAX) };
        self.admitted.add(&name, digest, until);
        Ok(())
    }

    /// What is known of an image; nothing of those of other registries.
    fn scan_at(&self, place: &Place<'_>, digest: &str) -> Option<Arc<ImageScan>> {
        match place {
            Place::Own { tenant, repository } => {
                let key = keys::image_scan(tenant, repository, digest);
                self.store.read(|view| view.get::<ImageScan>(&key))
            }
            Place::Remote { .. } => None,
        }
    }
}
