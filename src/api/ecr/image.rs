//! ListImages, DescribeImages, BatchGetImage, BatchDeleteImage.

use cove_model::arn::Tenant;
use cove_model::image::ImageSelector;
use cove_model::registry::Image;
use cove_registry::manifest::MANIFEST_MAX_BYTES;
use cove_registry::{Digest, PullError, RegistryError, TaggedImage, UnlinkChecks};
use serde::{Deserialize, Serialize};

use super::access::caller;
use super::error::{EcrError, of};
use super::page::page;
use super::request::{ImagesIn, RepositoryIn};
use super::wire::{ImageDetail, ImageFailure, ImageId, ImageWire};
use crate::aws::context::Context;

/// Of one response, which is in memory several times: two of the largest, or a hundred of the usual ones many times.
const MANIFESTS_BYTES_MAX: usize = 2 * MANIFEST_MAX_BYTES;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Filter {
    tag_status: Option<String>,
    image_status: Option<String>,
}

impl Filter {
    /// One that only looks at the status.
    pub(super) const fn of_status(image_status: Option<String>) -> Self {
        Self { tag_status: None, image_status }
    }

    fn takes(&self, one: &TaggedImage) -> bool {
        self.takes_status(&one.image) && self.takes_tags(!one.tags.is_empty())
    }

    pub(super) fn takes_tags(&self, tagged: bool) -> bool {
        match self.tag_status.as_deref() {
            Some("TAGGED") => tagged,
            Some("UNTAGGED") => !tagged,
            Some(_) | None => true,
        }
    }

    /// As on AWS, who names no status means active images.
    pub(super) fn takes_status(&self, image: &Image) -> bool {
        match self.image_status.as_deref() {
            Some("ANY") => true,
            wanted => status_of(image) == wanted.unwrap_or("ACTIVE"),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListOut {
    image_ids: Vec<ImageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(super) fn list(cx: &Context, input: ImagesIn) -> Result<ListOut, EcrError> {
    let (_, images) = images(cx, &input, "ListImages")?;
    let ids = images.into_iter().filter(|one| input.filter.takes(one)).flat_map(ids_of).collect();
    let key = |id: &ImageId| format!("{}:{}", shown(&id.image_digest), shown(&id.image_tag));
    let (image_ids, next_token) = page(ids, key, &input.page)?;
    Ok(ListOut { image_ids, next_token })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeOut {
    image_details: Vec<ImageDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(super) fn describe(cx: &Context, input: ImagesIn) -> Result<DescribeOut, EcrError> {
    let (tenant, images) = images(cx, &input, "DescribeImages")?;
    if !input.image_ids.is_empty() {
        let mut image_details: Vec<ImageDetail> = Vec::new();
        for id in &input.image_ids {
            let found = images.iter().find(|one| is_named(one, id)).ok_or_else(|| EcrError::ImageNotFound {
                repository: input.of.repository_name.clone(),
                account: tenant.account.clone(),
                digest: id.image_digest.clone(),
                tag: id.image_tag.clone(),
            })?;
            if !image_details.iter().any(|detail| detail.image_digest == found.image.digest) {
                image_details.push(detail(cx, found));
            }
        }
        return Ok(DescribeOut { image_details, next_token: None });
    }
    let fitting = images.into_iter().filter(|one| input.filter.takes(one)).collect();
    let key = |one: &TaggedImage| one.image.digest.clone();
    let (found, next_token) = page(fitting, key, &input.page)?;
    Ok(DescribeOut { image_details: found.iter().map(|one| detail(cx, one)).collect(), next_token })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BatchIn {
    #[serde(flatten)]
    of: RepositoryIn,
    image_ids: Vec<ImageId>,
    #[serde(default)]
    accepted_media_types: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct GetOut {
    images: Vec<ImageWire>,
    failures: Vec<ImageFailure>,
}

pub(super) async fn get(cx: &Context, input: BatchIn) -> Result<GetOut, EcrError> {
    let name = &input.of.repository_name;
    let tenant = input.of.reach(cx, "BatchGetImage")?;
    let who = caller(cx);
    let (mut out, mut bytes) = (GetOut { images: Vec::new(), failures: Vec::new() }, 0);
    for id in input.image_ids {
        let selector = match selector(&id) {
            Ok(selector) => selector,
            Err(failure) => {
                out.failures.push(failure);
                continue;
            }
        };
        match cx.registry.manifest_through(&tenant, name, &selector).await {
            Ok(stored) if id.image_digest.as_ref().is_some_and(|digest| *digest != stored.image.digest) => {
                out.failures.push(tag_differs(id));
            }
            Ok(stored) => {
                bytes += stored.bytes.len();
                if bytes > MANIFESTS_BYTES_MAX {
                    return Err(EcrError::LimitExceeded(format!(
                        "The manifests of one response may have {MANIFESTS_BYTES_MAX} bytes together: ask for fewer images"
                    )));
                }
                let accepted = &input.accepted_media_types;
                if !accepted.is_empty() && !accepted.contains(&stored.image.media_type) {
                    out.failures.push(not_found(id));
                    continue;
                }
                cx.registry.note_pull(&stored.image, &who);
                out.images.push(ImageWire {
                    registry_id: tenant.account.clone(),
                    repository_name: name.clone(),
                    image_id: ImageId { image_digest: Some(stored.image.digest.clone()), image_tag: id.image_tag },
                    image_manifest: String::from_utf8_lossy(&stored.bytes).into_owned(),
                    image_manifest_media_type: stored.image.media_type.clone(),
                });
            }
            Err(RegistryError::ManifestUnknown { .. }) => out.failures.push(not_found(id)),
            Err(RegistryError::Upstream(error)) => out.failures.push(upstream(id, &error)),
            Err(RegistryError::ImageArchived { .. }) => out.failures.push(archived(id)),
            Err(error) => return Err(of(&tenant, name)(error)),
        }
    }
    Ok(out)
}

/// Why the registry that an image comes from did not give it.
fn upstream(id: ImageId, error: &PullError) -> ImageFailure {
    let failure_code = match error.root() {
        PullError::NotFound { .. } | PullError::ManifestUnknown { .. } => "ImageNotFound",
        PullError::NotAdmitted { .. } | PullError::Denied { .. } | PullError::Credentials { .. } => {
            "UpstreamAccessDenied"
        }
        PullError::RateLimited { .. } => "UpstreamTooManyRequests",
        PullError::NoPlatform { .. }
        | PullError::Unreachable { .. }
        | PullError::Status { .. }
        | PullError::Invalid { .. }
        | PullError::DigestMismatch { .. }
        | PullError::DiskFull
        | PullError::StoreFull { .. }
        | PullError::Keep { .. }
        | PullError::Through { .. } => "UpstreamUnavailable",
    };
    ImageFailure { image_id: id, failure_code, failure_reason: error.to_string() }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeleteOut {
    image_ids: Vec<ImageId>,
    failures: Vec<ImageFailure>,
}

pub(super) async fn delete(cx: &Context, input: BatchIn) -> Result<DeleteOut, EcrError> {
    let name = &input.of.repository_name;
    let tenant = input.of.reach(cx, "BatchDeleteImage")?;
    cx.registry.repository(&tenant, name).map_err(of(&tenant, name))?;
    let mut out = DeleteOut { image_ids: Vec::new(), failures: Vec::new() };
    for id in input.image_ids {
        match delete_one(cx, &tenant, name, &id).await {
            Ok(Ok(gone)) => out.image_ids.extend(gone),
            Ok(Err(failure)) => out.failures.push(failure),
            Err(RegistryError::ManifestUnknown { .. }) => out.failures.push(not_found(id)),
            Err(RegistryError::ManifestInUse { index, .. }) => out.failures.push(ImageFailure {
                image_id: id,
                failure_code: "ImageReferencedByManifestList",
                failure_reason: format!("Requested image referenced by manifest list: [{index}]"),
            }),
            Err(error) => return Err(of(&tenant, name)(error)),
        }
    }
    Ok(out)
}

async fn delete_one(
    cx: &Context,
    tenant: &Tenant,
    name: &str,
    id: &ImageId,
) -> Result<Result<Vec<ImageId>, ImageFailure>, RegistryError> {
    let selector = match selector(id) {
        Ok(selector) => selector,
        Err(failure) => return Ok(Err(failure)),
    };
    let with = |digest: &str, tag: Option<String>| ImageId { image_digest: Some(digest.to_owned()), image_tag: tag };
    match selector {
        ImageSelector::Tag(tag) => {
            let pointed = cx.registry.image(tenant, name, &ImageSelector::Tag(tag.clone()))?;
            if id.image_digest.as_ref().is_some_and(|digest| *digest != pointed.digest) {
                return Ok(Err(tag_differs(id.clone())));
            }
            let digest = cx.registry.untag(tenant, name, &tag).await?;
            Ok(Ok(vec![with(&digest, Some(tag))]))
        }
        ImageSelector::Digest(digest) => {
            let tags = cx.registry.delete_manifest(tenant, name, &digest, UnlinkChecks::Indexes).await?;
            let gone: Vec<ImageId> = tags.into_iter().map(|tag| with(&digest, Some(tag))).collect();
            Ok(Ok(if gone.is_empty() { vec![with(&digest, None)] } else { gone }))
        }
    }
}

fn images(cx: &Context, input: &ImagesIn, operation: &str) -> Result<(Tenant, Vec<TaggedImage>), EcrError> {
    let (tenant, name) = (input.of.reach(cx, operation)?, &input.of.repository_name);
    let images = cx.registry.images(&tenant, name).map_err(of(&tenant, name))?;
    Ok((tenant, images))
}

/// The image that an id of a request means, where it must mean one.
pub(super) fn selected(id: &ImageId) -> Result<ImageSelector, EcrError> {
    selector(id).map_err(|failure| EcrError::InvalidParameter(failure.failure_reason))
}

/// The wire's word for where an image is kept.
pub(super) const fn status_of(image: &Image) -> &'static str {
    if image.is_archived { "ARCHIVED" } else { "ACTIVE" }
}

/// One id per tag; one without tag where there is none.
fn ids_of(one: TaggedImage) -> Vec<ImageId> {
    let id = |tag| ImageId { image_digest: Some(one.image.digest.clone()), image_tag: tag };
    if one.tags.is_empty() { vec![id(None)] } else { one.tags.iter().cloned().map(Some).map(id).collect() }
}

/// The tag decides where there is one; a digest beside it must agree.
pub(super) fn selector(id: &ImageId) -> Result<ImageSelector, ImageFailure> {
    let failure = |code, reason: &str| ImageFailure {
        image_id: id.clone(),
        failure_code: code,
        failure_reason: reason.to_owned(),
    };
    match (&id.image_tag, &id.image_digest) {
        (None, None) => {
            Err(failure("MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null"))
        }
        (_, Some(digest)) if Digest::parse(digest).is_none() => Err(failure(
            "InvalidImageDigest",
            "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'",
        )),
        (Some(tag), _) => Ok(ImageSelector::Tag(tag.clone())),
        (None, Some(digest)) => Ok(ImageSelector::Digest(digest.clone())),
    }
}

fn not_found(id: ImageId) -> ImageFailure {
    ImageFailure { image_id: id, failure_code: "ImageNotFound", failure_reason: "Requested image not found".to_owned() }
}

fn archived(id: ImageId) -> ImageFailure {
    ImageFailure {
        image_id: id,
        failure_code: "ImageInaccessible",
        failure_reason: "Requested image is archived".to_owned(),
    }
}

fn tag_differs(id: ImageId) -> ImageFailure {
    ImageFailure {
        image_id: id,
        failure_code: "ImageTagDoesNotMatchDigest",
        failure_reason: "The provided image tag does not match the provided image digest".to_owned(),
    }
}

pub(super) fn is_named(one: &TaggedImage, id: &ImageId) -> bool {
    let by_digest = id.image_digest.as_ref().is_none_or(|digest| *digest == one.image.digest);
    let by_tag = id.image_tag.as_ref().is_none_or(|tag| one.tags.contains(tag));
    by_digest && by_tag && (id.image_digest.is_some() || id.image_tag.is_some())
}

fn shown(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or("")
}

fn detail(cx: &Context, one: &TaggedImage) -> ImageDetail {
    let image = &one.image;
    ImageDetail {
        registry_id: image.tenant.account.clone(),
        repository_name: image.repository.clone(),
        image_digest: image.digest.clone(),
        image_tags: one.tags.clone(),
        image_size_in_bytes: image.image_size,
        image_pushed_at: image.pushed_at.epoch_seconds(),
        image_manifest_media_type: image.media_type.clone(),
        artifact_media_type: image.artifact_type.clone().or_else(|| image.config_media_type.clone()),
        last_recorded_pull_time: image.last_pulled_at.map(cove_base::Timestamp::epoch_seconds),
        subject_manifest_digest: image.subject.clone(),
        image_status: status_of(image),
        scan: super::scan::image::summary_of(cx, image),
        last_archived_at: image.archived_at.map(cove_base::Timestamp::epoch_seconds),
        last_activated_at: image.activated_at.map(cove_base::Timestamp::epoch_seconds),
    }
}
