//! Login tokens: the password that GetAuthorizationToken hands out, and links to single blobs.
//!
//! Holds: a token names its tenant and its end and is keyed with the node's secret, so nothing is stored and a restart
//! changes nothing. Checked in constant time.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cove_base::Timestamp;
use cove_model::arn::Tenant;

use crate::aws::credentials::{keyed, same};

/// ECR's tokens live twelve hours.
pub(crate) const LOGIN_MILLIS: i64 = 12 * 60 * 60 * 1000;
/// Links to layers live one hour.
pub(crate) const LINK_MILLIS: i64 = 60 * 60 * 1000;

/// The password of user `AWS` for a tenant.
pub(crate) fn login(node_secret: &[u8], tenant: &Tenant, expires: Timestamp) -> String {
    sealed(node_secret, &["registry login"], tenant, expires)
}

/// A whole `Authorization` header with such a login, for a program that pulls on our behalf.
#[must_use]
pub fn pull_authorization(node_secret: &[u8], tenant: &Tenant, expires: Timestamp) -> String {
    let login = format!("AWS:{}", login(node_secret, tenant, expires));
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(login))
}

/// The tenant of a login token that is ours and has not ended.
pub(crate) fn tenant_of(node_secret: &[u8], token: &str, now: Timestamp) -> Option<Tenant> {
    opened(node_secret, &["registry login"], token, now)
}

/// A grant with which one blob may be read without login: the value of `grant` in a link's query. No login by itself.
pub(crate) fn grant(node_secret: &[u8], tenant: &Tenant, repository: &str, digest: &str, expires: Timestamp) -> String {
    sealed(node_secret, &["blob link", repository, digest], tenant, expires)
}

/// The tenant of a grant for this blob.
pub(crate) fn tenant_of_grant(
    node_secret: &[u8],
    grant: &str,
    repository: &str,
    digest: &str,
    now: Timestamp,
) -> Option<Tenant> {
    opened(node_secret, &["blob link", repository, digest], grant, now)
}

fn sealed(node_secret: &[u8], purpose: &[&str], tenant: &Tenant, expires: Timestamp) -> String {
    let plain = format!("{}|{}|{}", tenant.account, tenant.region, expires.millis());
    let payload = URL_SAFE_NO_PAD.encode(plain);
    let seal = URL_SAFE_NO_PAD.encode(keyed(node_secret, &[purpose, &[payload.as_str()]].concat()));
    format!("{payload}.{seal}")
}

fn opened(node_secret: &[u8], purpose: &[&str], token: &str, now: Timestamp) -> Option<Tenant> {
    let (payload, seal) = token.split_once('.')?;
    let seal = URL_SAFE_NO_PAD.decode(seal).ok()?;
    if !same(&seal, &keyed(node_secret, &[purpose, &[payload]].concat())) {
        return None;
    }
    let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let mut parts = plain.splitn(3, '|');
    let tenant = Tenant::new(parts.next()?, parts.next()?);
    let expires: i64 = parts.next()?.parse().ok()?;
    (now.millis() < expires).then_some(tenant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_tenant_until_it_ends_and_only_on_its_node() {
        let tenant = Tenant::new("123456789012", "eu-west-1");
        let token = login(b"node", &tenant, Timestamp(1000));
        assert_eq!(tenant_of(b"node", &token, Timestamp(999)), Some(tenant));
        assert_eq!(tenant_of(b"node", &token, Timestamp(1000)), None);
        assert_eq!(tenant_of(b"other", &token, Timestamp(0)), None);
        assert_eq!(tenant_of(b"node", &token.replacen('M', "N", 1), Timestamp(0)), None);
        assert_eq!(tenant_of(b"node", "garbage", Timestamp(0)), None);
    }

    #[test]
    fn a_grant_opens_one_blob_and_is_no_login() {
        let tenant = Tenant::new("123456789012", "eu-west-1");
        let granted = grant(b"node", &tenant, "app", "sha256:aa", Timestamp(1000));
        let opens = |repository, digest| tenant_of_grant(b"node", &granted, repository, digest, Timestamp(1));
        assert_eq!(opens("app", "sha256:aa"), Some(tenant));
        assert_eq!(opens("other", "sha256:aa"), None);
        assert_eq!(tenant_of(b"node", &granted, Timestamp(1)), None);
    }
}
