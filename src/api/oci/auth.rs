//! Who calls, and so which tenant's repositories are meant.
//!
//! In: an `Authorization` header. User `AWS` with a token of GetAuthorizationToken, as after `docker login`; the root key's
//! id with its secret; the token as Bearer. With `--dev` anything, also nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cove_model::arn::Tenant;
use hyper::Method;
use hyper::header::AUTHORIZATION;

use super::error::OciError;
use super::query::Query;
use super::route::Route;
use super::token;
use crate::aws::credentials::{DEFAULT_ACCOUNT, same};
use crate::http::{RawContext, Request};

/// The caller's tenant.
pub(super) fn tenant(cx: &RawContext, request: &Request, route: &Route, query: &Query) -> Result<Tenant, OciError> {
    let settings = cx.settings();
    let now = cx.clock().now();
    if let (Route::Blob { name, digest }, Some(grant), &Method::GET) = (route, query.get("grant"), request.method())
        && let Some(tenant) = token::tenant_of_grant(&settings.keys.node_secret, grant, name, digest, now)
    {
        return Ok(tenant);
    }
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (user, password) = header.and_then(credentials).unwrap_or_default();
    if let Some(tenant) = token::tenant_of(&settings.keys.node_secret, &password, now) {
        return Ok(tenant);
    }
    let root = &settings.keys.root;
    let is_root = same(user.as_bytes(), root.access_key_id.as_bytes())
        && same(password.as_bytes(), root.secret_access_key.as_bytes());
    if is_root {
        return Ok(Tenant::new(DEFAULT_ACCOUNT, &settings.region));
    }
    let in_task = matches!(cx.listener, crate::http::server::ListenerKind::Task { .. });
    if settings.dev_for(cx.peer.ip()) || (settings.dev && in_task) {
        // A key id of twelve digits is the account, as for the AWS APIs.
        let is_account = user.len() == 12 && user.bytes().all(|byte| byte.is_ascii_digit());
        let account = if is_account { user } else { DEFAULT_ACCOUNT.to_owned() };
        return Ok(Tenant::new(account, &settings.region));
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
