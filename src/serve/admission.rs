//! `[[admission]]`: which images may run.

use std::path::PathBuf;

use cove_registry::{AdmissionRule, PublicKey};
use serde::Deserialize;

use super::config::ConfigError;

/// A rule, as it was read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdmissionWish {
    images: String,
    signed_by: Vec<PathBuf>,
}

/// Reads the keys. A rule without one would admit nothing.
pub(super) fn rules(wishes: &[AdmissionWish]) -> Result<Vec<AdmissionRule>, ConfigError> {
    wishes.iter().map(rule).collect()
}

fn rule(wish: &AdmissionWish) -> Result<AdmissionRule, ConfigError> {
    let bad = |why: String| ConfigError::Value { key: "admission", value: wish.images.clone(), why };
    if wish.images.is_empty() || wish.signed_by.is_empty() {
        return Err(bad("needs images and signed_by".to_owned()));
    }
    let key = |path: &PathBuf| {
        let pem = std::fs::read(path).map_err(|error| bad(format!("{}: {error}", path.display())))?;
        PublicKey::parse(&pem).map_err(|error| bad(format!("{}: {error}", path.display())))
    };
    Ok(AdmissionRule {
        images: wish.images.clone(),
        signed_by: wish.signed_by.iter().map(key).collect::<Result<_, _>>()?,
    })
}
