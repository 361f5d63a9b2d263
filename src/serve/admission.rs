//! `[[admission]]`: which images may run.

use std::path::PathBuf;

use cove_registry::{AdmissionRule, Refused, Signer};
use cove_scan::Severity;
use serde::Deserialize;

use super::config::ConfigError;

/// A rule, as it was read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdmissionWish {
    images: Patterns,
    #[serde(default)]
    signed_by: Vec<PathBuf>,
    refuse_severity: Option<String>,
    #[serde(default)]
    refuse_unscanned: bool,
}

/// One name or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Patterns {
    One(String),
    All(Vec<String>),
}

/// Reads the keys and certificates. A rule without a condition would do nothing.
pub(super) fn rules(wishes: &[AdmissionWish]) -> Result<Vec<AdmissionRule>, ConfigError> {
    wishes.iter().map(rule).collect()
}

fn rule(wish: &AdmissionWish) -> Result<AdmissionRule, ConfigError> {
    let images = match &wish.images {
        Patterns::One(pattern) => vec![pattern.clone()],
        Patterns::All(patterns) => patterns.clone(),
    };
    let bad = |why: String| ConfigError::Value { key: "admission", value: images.join(", "), why };
    if images.is_empty() || images.iter().any(String::is_empty) {
        return Err(bad("needs images".to_owned()));
    }
    if wish.signed_by.is_empty() && wish.refuse_severity.is_none() && !wish.refuse_unscanned {
        return Err(bad("needs signed_by, refuse_severity or refuse_unscanned".to_owned()));
    }
    let severity = wish.refuse_severity.as_deref().map(|word| {
        let found = Severity::ALL.into_iter().find(|severity| severity.name() == word);
        found.ok_or_else(|| bad(format!("`{word}` is no severity, such as HIGH or CRITICAL")))
    });
    let signer = |path: &PathBuf| {
        let pem = std::fs::read(path).map_err(|error| bad(format!("{}: {error}", path.display())))?;
        Signer::parse(&pem).map_err(|error| bad(format!("{}: {error}", path.display())))
    };
    let (severity, signed_by) = (severity.transpose()?, wish.signed_by.iter().map(signer).collect::<Result<_, _>>()?);
    Ok(AdmissionRule { refused: Refused { severity, unscanned: wish.refuse_unscanned }, signed_by, images })
}
