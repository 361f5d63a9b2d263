//! Manifests by tag or digest.

use cove_model::image::{ImageSelector, is_tag};
use cove_model::registry::Image;
use cove_registry::manifest::MANIFEST_MAX_BYTES;
use cove_registry::{Digest, Expectation, ManifestPut, RegistryError, UnlinkChecks};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderName, IF_MATCH, IF_NONE_MATCH};

use super::blobs::entity_tag;
use super::error::OciError;
use super::{Call, empty, with_body};
use crate::http::{Body, BodyError, Request, Response, collect};

/// GET: the bytes as they were pushed.
pub(super) async fn get(call: &Call<'_>, name: &str, reference: &str) -> Result<Response, OciError> {
    let stored = call.registry.manifest_through(call.tenant, name, &selector(name, reference)?).await?;
    call.registry.note_pull(&stored.image, call.who);
    let (length, tag) = (stored.image.manifest_size.to_string(), entity_tag(&stored.image.digest));
    Ok(with_body(StatusCode::OK, &headers(&stored.image, &length, &tag), Body::full(stored.bytes)))
}

/// HEAD: the same without the bytes.
pub(super) async fn head(call: &Call<'_>, name: &str, reference: &str) -> Result<Response, OciError> {
    let image = call.registry.manifest_through(call.tenant, name, &selector(name, reference)?).await?.image;
    let (length, tag) = (image.manifest_size.to_string(), entity_tag(&image.digest));
    Ok(empty(StatusCode::OK, &headers(&image, &length, &tag)))
}

/// PUT by tag, or by digest with any number of `tag` parameters; with `If-Match` or `If-None-Match` only when what is
/// there is as expected.
pub(super) async fn put(call: &Call<'_>, name: &str, reference: &str, request: Request) -> Result<Response, OciError> {
    let mut tags: Vec<String> = call.query.all("tag").map(str::to_owned).collect();
    let asked = tags.clone();
    let digest = match selector(name, reference) {
        Ok(ImageSelector::Digest(text)) => Digest::parse(&text),
        Ok(ImageSelector::Tag(tag)) => {
            tags.push(tag);
            None
        }
        Err(_) if reference.contains(':') => return Err(RegistryError::DigestInvalid(reference.to_owned()).into()),
        Err(_) => return Err(RegistryError::TagInvalid(reference.to_owned()).into()),
    };
    let header = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let media_type = header(CONTENT_TYPE).map(str::to_owned);
    let expected = match (header(IF_MATCH), header(IF_NONE_MATCH)) {
        (Some(list), _) => Expectation::Is(Expectation::list(list)),
        (None, Some(list)) => Expectation::IsNot(Expectation::list(list)),
        (None, None) => Expectation::Nothing,
    };
    let bytes = collect(request.into_body(), MANIFEST_MAX_BYTES).await.map_err(|error| match error {
        BodyError::TooLarge { limit_bytes } => RegistryError::ManifestTooLarge { limit: limit_bytes }.into(),
        BodyError::Connection(_) | BodyError::Source(_) | BodyError::TooSlow => OciError::BodyBroken,
    })?;
    let put = ManifestPut { bytes, media_type, digest, tags };
    let image = call.registry.put_manifest_if(call.tenant, name, put, expected).await?.image;
    let location = format!("/v2/{name}/manifests/{}", image.digest);
    let mut headers = vec![("location", location.as_str()), ("docker-content-digest", image.digest.as_str())];
    headers.extend(image.subject.as_deref().map(|subject| ("oci-subject", subject)));
    headers.extend(asked.iter().map(|tag| ("oci-tag", tag.as_str())));
    Ok(empty(StatusCode::CREATED, &headers))
}

/// DELETE: a tag alone, or a manifest with its tags.
pub(super) async fn delete(call: &Call<'_>, name: &str, reference: &str) -> Result<Response, OciError> {
    match selector(name, reference)? {
        ImageSelector::Tag(tag) => {
            call.registry.delete_tag(call.tenant, name, &tag).await?;
        }
        ImageSelector::Digest(digest) => {
            call.registry.delete_manifest(call.tenant, name, &digest, UnlinkChecks::None).await?;
        }
    }
    Ok(empty(StatusCode::ACCEPTED, &[("content-length", "0")]))
}

fn selector(name: &str, reference: &str) -> Result<ImageSelector, OciError> {
    if let Some(digest) = Digest::parse(reference) {
        return Ok(ImageSelector::Digest(digest.to_string()));
    }
    if is_tag(reference) {
        return Ok(ImageSelector::Tag(reference.to_owned()));
    }
    let (repository, reference) = (name.to_owned(), reference.to_owned());
    Err(RegistryError::ManifestUnknown { repository, reference }.into())
}

fn headers<'a>(image: &'a Image, length: &'a str, tag: &'a str) -> [(&'static str, &'a str); 4] {
    [
        ("etag", tag),
        ("content-type", image.media_type.as_str()),
        ("content-length", length),
        ("docker-content-digest", image.digest.as_str()),
    ]
}
