//! Which images may run: the operator's policy, looked at whenever an image is made ready for a task.
//!
//! In: the rules of the config, an image's name and digests. Out: nothing, or why not.
//!
//! ```text
//! rule whose pattern is of the name ─▶ signatures beside the image ─▶ one of them by one of the rule's keys ─▶ admitted
//! ```
//!
//! Holds: what cannot be looked at is not admitted; an image to which no rule applies is. A rule speaks of the image's
//! name, so that a copy under another name is another image.
//! Absent: certificates and transparency logs (keyless signatures), notation's signatures.

mod key;
mod signature;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use cove_model::wildcard;

use crate::pull::PullError;
use crate::registry::Registry;
use crate::resolve::Place;

pub use key::{BadKey, PublicKey};

/// Images remembered as admitted; forgotten together when there are more.
const ADMITTED_MAX: usize = 4096;

/// A rule of the policy.
#[derive(Debug, Clone)]
pub struct AdmissionRule {
    /// Of a repository of the own registry (`prod/*`) or of an image of another (`docker.io/library/*`).
    pub images: String,
    /// One of them must have signed.
    pub signed_by: Vec<PublicKey>,
}

/// What was admitted since the server started, so that the signatures of an image are read once: name and digest.
#[derive(Debug, Default)]
pub(crate) struct Admitted(Mutex<HashSet<(String, String)>>);

impl Admitted {
    fn has(&self, name: &str, digest: &str) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(&(name.to_owned(), digest.to_owned()))
    }

    fn add(&self, name: &str, digest: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= ADMITTED_MAX {
            known.clear();
        }
        known.insert((name.to_owned(), digest.to_owned()));
    }
}

impl Registry {
    /// Whether an image may run; every rule that is about it must admit it. A signature counts for the digest that the
    /// tag meant, or for the manifest of this platform.
    pub(crate) async fn check_may_run(
        &self,
        place: &Place<'_>,
        digest: &str,
        manifest_digest: &str,
    ) -> Result<(), PullError> {
        let name = place.name();
        let rules: Vec<&AdmissionRule> =
            self.config.admission.iter().filter(|rule| wildcard::matches(&rule.images, &name)).collect();
        if rules.is_empty() || self.admitted.has(&name, digest) {
            return Ok(());
        }
        let refused = |why: String| PullError::NotAdmitted { reference: format!("{name}@{digest}"), why };
        let mut signatures = self.signatures(place, digest).await.map_err(|error| refused(error.to_string()))?;
        if manifest_digest != digest {
            let more = self.signatures(place, manifest_digest).await;
            signatures.extend(more.map_err(|error| refused(error.to_string()))?);
        }
        for rule in rules {
            let is_good = |key: &PublicKey| signatures.iter().any(|signature| signature.is_by(key));
            if !rule.signed_by.iter().any(is_good) {
                let why = if signatures.is_empty() { "it has no signature" } else { "no signature is by a key" };
                return Err(refused(format!("{why} that the rule for `{}` names", rule.images)));
            }
        }
        self.admitted.add(&name, digest);
        Ok(())
    }
}
