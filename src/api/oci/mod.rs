//! `/v2/`: the distribution spec, for docker, podman, skopeo, crane, containerd and every other client of registries.
//!
//! In: any request below `/v2/`. Out: blobs as streams, manifests byte for byte, errors in OCI's JSON.
//!
//! Holds: who calls comes from the login and nowhere else; another account's repositories are met under that account's
//! host alone, and only as their policies let in; bodies are streamed, never collected, but for
//! manifests, which have a limit; no path reaches the file system that is not a checked digest or a recorded upload.
//!
//! As on ECR, a push to a repository that does not exist is refused, CreateRepository comes first, unless a creation
//! template says otherwise.

mod auth;
mod blobs;
mod error;
mod file;
mod lists;
mod manifests;
mod query;
mod route;
#[cfg(test)]
mod tests;
pub(crate) mod token;

pub use token::pull_authorization;
mod uploads;

use cove_model::access_policy::Principal;
use cove_model::arn::Tenant;
use cove_registry::Registry;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, StatusCode, Version};

use self::error::OciError;
use self::query::Query;
use self::route::Route;
use crate::ListenerKind;
use crate::http::{Body, RawContext, Request, Response};

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// What a handler works with.
struct Call<'a> {
    registry: &'a Registry,
    /// Whose repositories are meant.
    tenant: &'a Tenant,
    who: &'a Principal,
    query: Query,
    /// Whether nobody looks at the bytes of an answer: no TLS, no frames of HTTP/2.
    to_kernel: bool,
}

impl Call<'_> {
    /// Whether the caller is of the account whose repositories are meant.
    fn is_inside(&self) -> bool {
        self.who.account == self.tenant.account
    }
}

/// Answers a request below `/v2/`.
pub async fn handle(cx: RawContext, request: Request) -> Response {
    let mut response = match answer(&cx, request).await {
        Ok(response) => response,
        Err(error) => error.response(&cx),
    };
    response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    response
}

async fn answer(cx: &RawContext, request: Request) -> Result<Response, OciError> {
    let query = Query::parse(request.uri().query());
    let route = Route::parse(request.uri().path())?;
    let access = auth::access(cx, &request, &route, &query)?;
    let is_plain = matches!(cx.listener, ListenerKind::Public { tls: None });
    let to_kernel = is_plain && request.version() < Version::HTTP_2;
    let call = Call { registry: cx.registry(), tenant: &access.tenant, who: &access.who, query, to_kernel };
    if !access.is_granted {
        admit(&call, &route, request.method())?;
    }
    if let (&Method::POST, Route::Uploads { name }) | (&Method::PUT, Route::Manifest { name, .. }) =
        (request.method(), &route)
    {
        call.registry.make_for_push(call.tenant, name).await?;
    }
    match (request.method().clone(), route) {
        (Method::GET | Method::HEAD, Route::Base) => Ok(base()),
        (Method::GET, Route::Catalog) => lists::repositories(&call),
        (Method::GET, Route::Tags { name }) => lists::tags(&call, &name),
        (Method::GET, Route::Referrers { name, digest }) => lists::referrers(&call, &name, &digest).await,
        (Method::GET, Route::Manifest { name, reference }) => manifests::get(&call, &name, &reference).await,
        (Method::HEAD, Route::Manifest { name, reference }) => manifests::head(&call, &name, &reference).await,
        (Method::PUT, Route::Manifest { name, reference }) => manifests::put(&call, &name, &reference, request).await,
        (Method::DELETE, Route::Manifest { name, reference }) => manifests::delete(&call, &name, &reference).await,
        (Method::GET, Route::Blob { name, digest }) => blobs::get(&call, &name, &digest, &request).await,
        (Method::HEAD, Route::Blob { name, digest }) => blobs::head(&call, &name, &digest).await,
        (Method::DELETE, Route::Blob { name, digest }) => blobs::delete(&call, &name, &digest).await,
        (Method::POST, Route::Uploads { name }) => uploads::start(&call, &name, request).await,
        (Method::GET, Route::Upload { name, id }) => uploads::status(&call, &name, &id).await,
        (Method::PATCH, Route::Upload { name, id }) => uploads::append(&call, &name, &id, request).await,
        (Method::PUT, Route::Upload { name, id }) => uploads::finish(&call, &name, &id, request).await,
        (Method::DELETE, Route::Upload { name, id }) => uploads::cancel(&call, &name, &id).await,
        (_, route) => Err(OciError::MethodNotAllowed { allowed: route.methods() }),
    }
}

/// Asks the policies of the repository that a request is about.
fn admit(call: &Call<'_>, route: &Route, method: &Method) -> Result<(), OciError> {
    match route.action(method) {
        Some((name, action)) => Ok(call.registry.admit(call.who, call.tenant, name, action)?),
        // Which repositories there are is nobody else's business.
        None if *route == Route::Catalog && !call.is_inside() => Err(OciError::NotFound),
        None => Ok(()),
    }
}

/// 200 tells a client that it is logged in to a registry that speaks this API.
fn base() -> Response {
    json(StatusCode::OK, "application/json", b"{}".to_vec())
}

/// A response with a JSON body.
fn json(status: StatusCode, media_type: &str, body: Vec<u8>) -> Response {
    with_body(status, &[("content-type", media_type)], Body::full(body))
}

/// A response without body.
fn empty(status: StatusCode, headers: &[(&'static str, &str)]) -> Response {
    with_body(status, headers, Body::empty())
}

/// Header values are digests, checked names and numbers; one that is none is left out rather than answered 500.
fn with_body(status: StatusCode, headers: &[(&'static str, &str)], body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().append(HeaderName::from_static(name), value);
        }
    }
    response
}
