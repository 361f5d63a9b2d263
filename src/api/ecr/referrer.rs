//! ListImageReferrers.

use std::collections::BTreeMap;

use cove_model::image::ImageSelector;
use cove_registry::manifest::Descriptor;
use cove_registry::{Digest, RegistryError};
use serde::{Deserialize, Serialize};

use super::error::{EcrError, of};
use super::image::{Filter, status_of};
use super::page::{decode, encode, page};
use super::request::{PageIn, RepositoryIn};
use crate::aws::context::Context;

/// AWS's default for `maxResults`, and its limit.
const PAGE: usize = 50;
/// Of one page, in the manifests' own bytes.
const ANNOTATIONS_BYTES_MAX: usize = 4 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListIn {
    #[serde(flatten)]
    of: RepositoryIn,
    subject_id: Subject,
    #[serde(default)]
    filter: ReferrerFilter,
    #[serde(flatten)]
    page: PageIn,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subject {
    image_digest: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct ReferrerFilter {
    #[serde(default)]
    artifact_types: Vec<String>,
    artifact_status: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListOut {
    referrers: Vec<ReferrerWire>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReferrerWire {
    digest: String,
    media_type: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<BTreeMap<String, String>>,
    artifact_status: &'static str,
}

pub(super) async fn list(cx: &Context, input: ListIn) -> Result<ListOut, EcrError> {
    let name = &input.of.repository_name;
    let tenant = input.of.reach(cx, "ListImageReferrers")?;
    let of = of(&tenant, name);
    let subject = input.subject_id.image_digest;
    let digest = Digest::parse(&subject).ok_or_else(|| of(RegistryError::DigestInvalid(subject)))?;
    let fits_type = |one: &Descriptor| {
        let types = &input.filter.artifact_types;
        types.is_empty() || one.artifact_type.as_ref().is_some_and(|kind| types.contains(kind))
    };
    let fits_status = Filter::of_status(input.filter.artifact_status);
    let wanted = input.page.max_results.unwrap_or(PAGE);
    let mut last = input.page.next_token.as_deref().map(decode).transpose()?;
    let first = PageIn { next_token: None, max_results: Some(wanted) };
    let (mut found, mut bytes): (Vec<ReferrerWire>, usize) = (Vec::new(), 0);
    loop {
        let part = cx.registry.referrers(&tenant, name, &digest, None, last.as_deref()).await.map_err(&of)?;
        let next = part.manifests.last().filter(|_| part.more).map(|one| one.digest.clone());
        for one in part.manifests.into_iter().filter(fits_type) {
            let selector = ImageSelector::Digest(one.digest.clone());
            // One that went just now is not listed.
            let Ok(image) = cx.registry.image(&tenant, name, &selector) else { continue };
            if fits_status.takes_status(&image) {
                let annotations = one.annotations.iter().flatten();
                bytes += annotations.map(|(name, value)| name.len() + value.len()).sum::<usize>();
                found.push(shown(one, status_of(&image)));
            }
        }
        match next {
            // A page may be shorter than was asked for.
            Some(next) if bytes > ANNOTATIONS_BYTES_MAX => {
                let next_token = Some(encode(&next)).filter(|_| found.len() <= wanted);
                let (referrers, more) = page(found, |one| one.digest.clone(), &first)?;
                return Ok(ListOut { referrers, next_token: next_token.or(more) });
            }
            Some(next) if found.len() <= wanted => last = Some(next),
            Some(_) | None => break,
        }
    }
    let (referrers, next_token) = page(found, |one| one.digest.clone(), &first)?;
    Ok(ListOut { referrers, next_token })
}

fn shown(one: Descriptor, artifact_status: &'static str) -> ReferrerWire {
    ReferrerWire {
        digest: one.digest,
        media_type: one.media_type,
        size: one.size,
        artifact_type: one.artifact_type,
        annotations: one.annotations,
        artifact_status,
    }
}
