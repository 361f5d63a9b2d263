//! Blobs: read whole or in part, looked for, taken out of a repository.

use cove_registry::{BlobFile, Digest, RegistryError};
use hyper::StatusCode;
use hyper::header::RANGE;

use super::error::OciError;
use super::file::FileBody;
use super::{Call, empty, with_body};
use crate::http::{Body, Request, Response};

/// GET: 200, 206 for one range, 416 for a range beyond the end.
pub(super) async fn get(call: &Call<'_>, name: &str, digest: &str, request: &Request) -> Result<Response, OciError> {
    let blob = find(call, name, digest)?;
    let range = request.headers().get(RANGE).and_then(|value| value.to_str().ok());
    let wanted = match range.map(|text| parse_range(text, blob.size)) {
        None | Some(Wanted::Whole) => None,
        Some(Wanted::Part(start, end)) => Some((start, end)),
        Some(Wanted::Beyond) => return Err(OciError::RangeUnsatisfiable { size: blob.size }),
    };
    let (start, length) = wanted.map_or((0, blob.size), |(start, end)| (start, end - start + 1));
    let unreadable = RegistryError::BlobUnknown(digest.to_owned());
    let body = FileBody::open(&blob.path, start, length).await.map_err(|error| {
        tracing::error!(%digest, %error, "a blob that is recorded cannot be opened");
        unreadable
    })?;
    let length = length.to_string();
    let mut headers = headers(&blob, &length);
    let content_range;
    let status = match wanted {
        Some((start, end)) => {
            content_range = format!("bytes {start}-{end}/{}", blob.size);
            headers.push(("content-range", &content_range));
            StatusCode::PARTIAL_CONTENT
        }
        None => StatusCode::OK,
    };
    Ok(with_body(status, &headers, Body::stream(body)))
}

/// HEAD: whether it is there, and its size.
pub(super) fn head(call: &Call<'_>, name: &str, digest: &str) -> Result<Response, OciError> {
    let blob = find(call, name, digest)?;
    let length = blob.size.to_string();
    Ok(empty(StatusCode::OK, &headers(&blob, &length)))
}

/// DELETE: takes it out of the repository.
pub(super) async fn delete(call: &Call<'_>, name: &str, digest: &str) -> Result<Response, OciError> {
    let digest = parse(digest)?;
    call.registry.delete_blob(call.tenant, name, &digest).await?;
    Ok(empty(StatusCode::ACCEPTED, &[("content-length", "0")]))
}

fn find(call: &Call<'_>, name: &str, digest: &str) -> Result<BlobFile, OciError> {
    Ok(call.registry.blob(call.tenant, name, &parse(digest)?)?)
}

/// A digest, or 400.
pub(super) fn parse(text: &str) -> Result<Digest, OciError> {
    Digest::parse(text).ok_or_else(|| RegistryError::DigestInvalid(text.to_owned()).into())
}

fn headers<'a>(blob: &'a BlobFile, length: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("content-type", "application/octet-stream"),
        ("content-length", length),
        ("accept-ranges", "bytes"),
        ("cache-control", "max-age=31536000"),
        ("docker-content-digest", blob.digest.as_str()),
    ]
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// No range that we serve: the whole blob is a correct answer then.
    Whole,
    /// First and last byte.
    Part(u64, u64),
    Beyond,
}

fn parse_range(text: &str, size: u64) -> Wanted {
    let Some((start, end)) = text.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Wanted::Whole;
    };
    match (start.trim().parse::<u64>(), end.trim().parse::<u64>(), end.trim()) {
        (Ok(start), Ok(end), _) if start > end => Wanted::Whole,
        (Ok(start), ..) if start >= size && (end.trim().is_empty() || end.trim().parse::<u64>().is_ok()) => {
            Wanted::Beyond
        }
        (Ok(start), Ok(end), _) => Wanted::Part(start, end.min(size - 1)),
        (Ok(start), Err(_), "") => Wanted::Part(start, size - 1),
        (Err(_), Ok(last), _) if start.trim().is_empty() => match (last, size) {
            (0, _) | (_, 0) => Wanted::Beyond,
            (last, size) => Wanted::Part(size.saturating_sub(last), size - 1),
        },
        _ => Wanted::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_has_them() {
        for (text, wanted) in [
            ("bytes=0-0", Wanted::Part(0, 0)),
            ("bytes=2-", Wanted::Part(2, 9)),
            ("bytes=2-99", Wanted::Part(2, 9)),
            ("bytes=-3", Wanted::Part(7, 9)),
            ("bytes=-30", Wanted::Part(0, 9)),
            ("bytes=10-", Wanted::Beyond),
            ("bytes=-0", Wanted::Beyond),
            ("bytes=5-2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
        ] {
            assert_eq!(parse_range(text, 10), wanted, "{text}");
        }
        assert_eq!(parse_range("bytes=0-", 0), Wanted::Beyond);
    }
}
