//! Uploads: monolithic, chunked, streamed, mounted.

use bytes::Bytes;
use cove_registry::{Algorithm, ContentRange, RegistryError};
use hyper::StatusCode;
use hyper::header::CONTENT_RANGE;

use super::blobs::parse;
use super::error::OciError;
use super::{Call, empty};
use crate::http::{Body, Request, Response};

/// POST: with `mount` a membership, with `digest` a whole blob, else a session.
pub(super) async fn start(call: &Call<'_>, name: &str, request: Request) -> Result<Response, OciError> {
    if let Some(mount) = call.query.get("mount") {
        let digest = parse(mount)?;
        if call.registry.mount(call.who, call.tenant, name, &digest, call.query.get("from")).await? {
            return Ok(created(name, digest.as_str()));
        }
        return open(call, name, digest.algorithm()).await;
    }
    if let Some(digest) = call.query.get("digest") {
        let digest = parse(digest)?;
        let mut body = request.into_body();
        call.registry.upload_whole(call.tenant, name, &mut body, &digest).await?;
        return Ok(created(name, digest.as_str()));
    }
    let algorithm = match call.query.get("digest-algorithm") {
        None => Algorithm::Sha256,
        Some(text) => Algorithm::parse(text).ok_or_else(|| RegistryError::DigestInvalid(text.to_owned()))?,
    };
    open(call, name, algorithm).await
}

async fn open(call: &Call<'_>, name: &str, algorithm: Algorithm) -> Result<Response, OciError> {
    let id = call.registry.start_upload(call.tenant, name, algorithm).await?;
    Ok(progress(StatusCode::ACCEPTED, name, &id, 0))
}

/// GET on the session: how far it is.
pub(super) async fn status(call: &Call<'_>, name: &str, id: &str) -> Result<Response, OciError> {
    let offset = call.registry.upload_offset(call.tenant, name, id).await?;
    Ok(progress(StatusCode::NO_CONTENT, name, id, offset))
}

/// PATCH: a chunk with its range, or a stream without.
pub(super) async fn append(call: &Call<'_>, name: &str, id: &str, request: Request) -> Result<Response, OciError> {
    let range = content_range(&request)?;
    let mut body: Body = request.into_body();
    match call.registry.append(call.tenant, name, id, range, &mut body).await {
        Ok(offset) => Ok(progress(StatusCode::ACCEPTED, name, id, offset)),
        Err(cause) => Err(in_session(name, id, cause)),
    }
}

/// PUT: the last chunk, if any, and the digest of it all.
pub(super) async fn finish(call: &Call<'_>, name: &str, id: &str, request: Request) -> Result<Response, OciError> {
    let digest = parse(call.query.get("digest").ok_or(OciError::DigestMissing)?)?;
    let range = content_range(&request)?;
    let mut body: Body = request.into_body();
    match call.registry.finish(call.tenant, name, id, range, &mut body, &digest).await {
        Ok(_) => Ok(created(name, digest.as_str())),
        Err(cause) => Err(in_session(name, id, cause)),
    }
}

/// DELETE: the client gives up.
pub(super) async fn cancel(call: &Call<'_>, name: &str, id: &str) -> Result<Response, OciError> {
    call.registry.cancel_upload(call.tenant, name, id).await?;
    Ok(empty(StatusCode::NO_CONTENT, &[]))
}

/// `0-LAST`; Docker's registries say `0-0` of nothing too.
pub(super) fn range(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

fn in_session(name: &str, id: &str, cause: RegistryError) -> OciError {
    match cause {
        RegistryError::UploadOutOfOrder { offset, .. } => {
            OciError::Upload { location: location(name, id), offset, cause }
        }
        cause => OciError::Registry(cause),
    }
}

fn content_range(request: &Request) -> Result<Option<ContentRange>, OciError> {
    let Some(value) = request.headers().get(CONTENT_RANGE) else { return Ok(None) };
    let text = value.to_str().unwrap_or("");
    ContentRange::parse(text).map(Some).ok_or_else(|| OciError::RangeInvalid(text.to_owned()))
}

fn location(name: &str, id: &str) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

fn progress(status: StatusCode, name: &str, id: &str, offset: u64) -> Response {
    let (location, range) = (location(name, id), range(offset));
    let headers = [("location", location.as_str()), ("range", range.as_str()), ("docker-upload-uuid", id)];
    empty(status, &headers)
}

fn created(name: &str, digest: &str) -> Response {
    let location = format!("/v2/{name}/blobs/{digest}");
    empty(StatusCode::CREATED, &[("location", location.as_str()), ("docker-content-digest", digest)])
}

/// The registry takes any body of bytes.
const _: fn() = || {
    fn takes<B: hyper::body::Body<Data = Bytes> + Unpin>() {}
    takes::<Body>();
};
