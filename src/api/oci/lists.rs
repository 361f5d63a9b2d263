//! Lists: tags, referrers, and the repositories of the caller.

use cove_registry::manifest::OCI_INDEX;
use cove_registry::{ReferrersPage, RegistryError, TAGS_PAGE};
use hyper::StatusCode;
use serde_json::json;

use super::blobs::parse;
use super::error::OciError;
use super::{Call, with_body};
use crate::http::{Body, Response};

/// Tags in byte order; `n` and `last` page through them.
pub(super) fn tags(call: &Call<'_>, name: &str) -> Result<Response, OciError> {
    let count = count(call)?;
    let page = call.registry.tags(call.tenant, name, call.query.get("last"), count.unwrap_or(TAGS_PAGE))?;
    let next = page
        .items
        .last()
        .filter(|_| page.more)
        .map(|last| format!("</v2/{name}/tags/list?n={}&last={last}>; rel=\"next\"", page.items.len()));
    Ok(listed(json!({ "name": name, "tags": page.items }).to_string(), "application/json", next.as_deref()))
}

/// The caller's repositories. Docker's addition to the spec.
pub(super) fn repositories(call: &Call<'_>) -> Result<Response, OciError> {
    let count = count(call)?.unwrap_or(TAGS_PAGE);
    let all = call.registry.repositories(call.tenant);
    let last = call.query.get("last").unwrap_or("");
    let mut names = all.iter().map(|repository| repository.name.as_str()).filter(|name| *name > last);
    let page: Vec<&str> = names.by_ref().take(count).collect();
    let more = count > 0 && names.next().is_some();
    let next =
        page.last().filter(|_| more).map(|last| format!("</v2/_catalog?n={}&last={last}>; rel=\"next\"", page.len()));
    Ok(listed(json!({ "repositories": page }).to_string(), "application/json", next.as_deref()))
}

/// Who refers to a digest: an index, empty for digests and repositories that nobody knows, since a 404 would say that
/// this registry has no such list.
pub(super) async fn referrers(call: &Call<'_>, name: &str, digest: &str) -> Result<Response, OciError> {
    let digest = parse(digest)?;
    let kind = call.query.get("artifactType").filter(|kind| !kind.is_empty());
    let last = call.query.get("last");
    let page = match call.registry.referrers(call.tenant, name, &digest, kind, last).await {
        Err(RegistryError::RepositoryUnknown { .. }) => ReferrersPage::default(),
        found => found?,
    };
    let next = page.manifests.last().filter(|_| page.more).map(|last| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(kind.map(|kind| ("artifactType", kind))).append_pair("last", &last.digest);
        format!("</v2/{name}/referrers/{digest}?{}>; rel=\"next\"", query.finish())
    });
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": page.manifests });
    let mut headers = vec![("content-type", OCI_INDEX)];
    headers.extend(next.as_deref().map(|next| ("link", next)));
    headers.extend(kind.map(|_| ("oci-filters-applied", "artifactType")));
    Ok(with_body(StatusCode::OK, &headers, Body::full(index.to_string())))
}

fn count(call: &Call<'_>) -> Result<Option<usize>, OciError> {
    let parse = |text: &str| text.parse().map_err(|_| OciError::NumberInvalid(text.to_owned()));
    call.query.get("n").map(parse).transpose()
}

fn listed(body: String, media_type: &str, next: Option<&str>) -> Response {
    let mut headers = vec![("content-type", media_type)];
    headers.extend(next.map(|next| ("link", next)));
    with_body(StatusCode::OK, &headers, Body::full(body))
}
