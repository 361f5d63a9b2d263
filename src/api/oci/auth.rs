//! Who calls, and which tenant's repositories are meant.
//!
//! In: an `Authorization` header. User `AWS` with a token of GetAuthorizationToken, as after `docker login`; the root key's
//! id with its secret; the token as Bearer. With `--dev` anything, also nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cove_model::access_policy::Principal;
use cove_model::arn::Tenant;
use cove_model::image::ecr_tenant;
use hyper::Method;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::http::uri::Authority;

use super::error::OciError;
use super::query::Query;
use super::route::Route;
use super::token;
use crate::aws::credentials::{DEFAULT_ACCOUNT, same};
use crate::http::{RawContext, Request};

/// Whose repositories are meant, and who calls.
pub(super) struct Access {
    pub(super) tenant: Tenant,
    pub(super) who: Principal,
    /// Whether a link opened this very blob: then nothing else is asked.
    pub(super) is_granted: bool,
}

/// The caller, and the tenant that it means: its own one, or that of the host `ACCOUNT.dkr.ecr.REGION.amazonaws.com`.
pub(super) fn access(cx: &RawContext, request: &Request, route: &Route, query: &Query) -> Result<Access, OciError> {
    let settings = cx.settings();
    let now = cx.clock().now();
    if let (Route::Blob { name, digest }, Some(grant), &Method::GET) = (route, query.get("grant"), request.method())
        && let Some(tenant) = token::tenant_of_grant(&settings.keys.node_secret, grant, name, digest, now)
    {
        let who = Principal::root(&tenant.account);
        return Ok(Access { tenant, who, is_granted: true });
    }
    if let Some((tenant, repository)) = reader(cx, request) {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let is_there = route.action(request.method()).is_none_or(|(name, _)| name == repository);
        if !is_read || !is_there || *route == Route::Catalog {
            return Err(OciError::OneRepository);
        }
        let who = Principal::root(&tenant.account);
        return Ok(Access { tenant, who, is_granted: false });
    }
    let (own, who) = caller(cx, request)?;
    let host = request.headers().get(HOST).and_then(|value| value.to_str().ok());
    let host = host.or(request.uri().authority().map(Authority::as_str)).unwrap_or_default();
    let named = ecr_tenant(host.split(':').next().unwrap_or_default());
    Ok(Access { tenant: named.unwrap_or(own), who, is_granted: false })
}

/// Whose repository a scanner may read.
fn reader(cx: &RawContext, request: &Request) -> Option<(Tenant, String)> {
    let (_, password) = given(request)?;
    token::reader_of(&cx.settings().keys.node_secret, &password, cx.clock().now())
}

/// User and password that came with a request.
fn given(request: &Request) -> Option<(String, String)> {
    request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(credentials)
}

/// The caller's tenant, and the user, role or root that it is.
fn caller(cx: &RawContext, request: &Request) -> Result<(Tenant, Principal), OciError> {
    let settings = cx.settings();
    let root_of = |tenant: Tenant| {
        let who = Principal::root(&tenant.account);
        (tenant, who)
    };
    let (user, password) = given(request).unwrap_or_default();
    if let Some(holder) = token::holder_of(&settings.keys.node_secret, &password, cx.clock().now()) {
        return Ok(holder);
    }
    let root = &settings.keys.root;
    let is_root = same(user.as_bytes(), root.access_key_id.as_bytes())
        && same(password.as_bytes(), root.secret_access_key.as_bytes());
    if is_root {
        return Ok(root_of(Tenant::new(DEFAULT_ACCOUNT, &settings.region)));
    }
    let in_task = matches!(cx.listener, crate::http::server::ListenerKind::Task { .. });
    if settings.dev_for(cx.peer.ip()) || (settings.dev && in_task) {
        // A key id of twelve digits is the account, as for the AWS APIs.
        let is_account = user.len() == 12 && user.bytes().all(|byte| byte.is_ascii_digit());
        let account = if is_account { user } else { DEFAULT_ACCOUNT.to_owned() };
        return Ok(root_of(Tenant::new(account, &settings.region)));
    }
    Err(OciError::Unauthorized)
}

/// User and password of a Basic header; a Bearer token stands as the password.
fn credentials(header: &str) -> Option<(String, String)> {
    let (scheme, rest) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some((String::new(), rest.trim().to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let plain = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (user, password) = plain.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_and_bearer_headers_are_read_and_others_are_not() {
        assert_eq!(credentials("Basic QVdTOnRv"), Some(("AWS".into(), "to".into())));
        assert_eq!(credentials("bearer x"), Some((String::new(), "x".into())));
        assert_eq!(credentials("Basic !!"), None);
        assert_eq!(credentials("Negotiate x"), None);
    }
}
