//! Blobs: read whole or in part, looked for, taken out of a repository. Their digest is their entity tag too.

use cove_registry::{BlobFile, Digest, RegistryError};
use hyper::StatusCode;
use hyper::header::{HeaderName, IF_NONE_MATCH, IF_RANGE, RANGE};

use super::error::OciError;
use super::file::FileBody;
use super::{Call, empty, with_body};
use crate::http::{Body, Request, Response};

/// GET: 200, 206 for one range, 416 for a range beyond the end, 304 for who has it.
pub(super) async fn get(call: &Call<'_>, name: &str, digest: &str, request: &Request) -> Result<Response, OciError> {
    let blob = call.registry.blob_through(call.tenant, name, &parse(digest)?).await?;
    let tag = entity_tag(digest);
    if header(request, &IF_NONE_MATCH).is_some_and(|known| names(known, &tag)) {
        let headers = [("etag", tag.as_str()), ("docker-content-digest", digest)];
        return Ok(empty(StatusCode::NOT_MODIFIED, &headers));
    }
    // A part of something else than the client has would be no help to it.
    let range = header(request, &RANGE).filter(|_| header(request, &IF_RANGE).is_none_or(|known| known.trim() == tag));
    let wanted = match range.map(|text| parse_range(text, blob.size)) {
        None | Some(Wanted::Whole) => None,
        Some(Wanted::Part(start, end)) => Some((start, end)),
        Some(Wanted::Beyond) => return Err(OciError::RangeUnsatisfiable { size: blob.size }),
    };
    let (start, length) = wanted.map_or((0, blob.size), |(start, end)| (start, end - start + 1));
    let unreadable = RegistryError::BlobUnknown(digest.to_owned());
    let body = FileBody::open(&blob.path, start, length, call.to_kernel).await.map_err(|error| {
        tracing::error!(%digest, %error, "a blob that is recorded cannot be opened");
        unreadable
    })?;
    let length = length.to_string();
    let mut headers = headers(&blob, &length, &tag);
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

/// HEAD: whether it is there, and its size. Pushing clients ask this in order to send nothing twice.
pub(super) async fn head(call: &Call<'_>, name: &str, digest: &str) -> Result<Response, OciError> {
    let digest_asked = parse(digest)?;
    let blob = match call.registry.blob_wanted(call.tenant, name, &digest_asked).await {
        Err(RegistryError::BlobUnknown(_)) => call.registry.blob_through(call.tenant, name, &digest_asked).await?,
        found => found?,
    };
    let length = blob.size.to_string();
    Ok(empty(StatusCode::OK, &headers(&blob, &length, &entity_tag(digest))))
}

/// DELETE: takes it out of the repository.
pub(super) async fn delete(call: &Call<'_>, name: &str, digest: &str) -> Result<Response, OciError> {
    let digest = parse(digest)?;
    call.registry.delete_blob(call.tenant, name, &digest).await?;
    Ok(empty(StatusCode::ACCEPTED, &[("content-length", "0")]))
}

/// A digest, or 400.
pub(super) fn parse(text: &str) -> Result<Digest, OciError> {
    Digest::parse(text).ok_or_else(|| RegistryError::DigestInvalid(text.to_owned()).into())
}

fn header<'a>(request: &'a Request, name: &HeaderName) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

pub(super) fn entity_tag(digest: &str) -> String {
    format!("\"{digest}\"")
}

/// Whether a list of entity tags has this one.
fn names(list: &str, tag: &str) -> bool {
    list.trim() == "*" || list.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
}

fn headers<'a>(blob: &'a BlobFile, length: &'a str, tag: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("content-type", "application/octet-stream"),
        ("content-length", length),
        ("accept-ranges", "bytes"),
        ("cache-control", "max-age=31536000"),
        ("etag", tag),
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
    match (position(start.trim()), position(end.trim())) {
        (Position::At(start), Position::At(end)) if start > end => Wanted::Beyond,
        (Position::At(start), Position::At(_) | Position::Open) if start >= size => Wanted::Beyond,
        (Position::At(start), Position::At(end)) => Wanted::Part(start, end.min(size - 1)),
        (Position::At(start), Position::Open) => Wanted::Part(start, size - 1),
        (Position::Open, Position::At(last)) => match (last, size) {
            (0, _) | (_, 0) => Wanted::Beyond,
            (last, size) => Wanted::Part(size.saturating_sub(last), size - 1),
        },
        (Position::Open, Position::Open) | (Position::None, _) | (_, Position::None) => Wanted::Whole,
    }
}

/// One side of a range.
enum Position {
    At(u64),
    Open,
    None,
}

/// A number that is too large for us is still one, and beyond every blob.
fn position(text: &str) -> Position {
    match text {
        "" => Position::Open,
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => Position::At(text.parse().unwrap_or(u64::MAX)),
        _ => Position::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_tag_is_found_in_a_list() {
        for (list, found) in [("*", true), ("\"b\", W/\"a\"", true), ("\"ab\"", false), ("a", false), ("", false)] {
            assert_eq!(names(list, "\"a\""), found, "{list}");
        }
    }

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
            ("bytes=99999999999999999999-", Wanted::Beyond),
            ("bytes=2-99999999999999999999", Wanted::Part(2, 9)),
            ("bytes=-", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=5-2", Wanted::Beyond),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
        ] {
            assert_eq!(parse_range(text, 10), wanted, "{text}");
        }
        assert_eq!(parse_range("bytes=0-", 0), Wanted::Beyond);
    }
}
