//! Login tokens: the password that GetAuthorizationToken hands out, what scanners read an image with, and links to single
//! blobs.
//!
//! Holds: a token names its tenant and its end and is keyed with the node's secret, so nothing is stored and a restart
//! changes nothing. Checked in constant time.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cove_base::Timestamp;
use cove_model::access_policy::Principal;
use cove_model::arn::Tenant;

use crate::aws::credentials::{keyed, same};

/// ECR's tokens live twelve hours.
pub(crate) const LOGIN_MILLIS: i64 = 12 * 60 * 60 * 1000;
/// Links to layers live one hour.
pub(crate) const LINK_MILLIS: i64 = 60 * 60 * 1000;

/// What a login is sealed for that reads one repository.
const READER: &str = "registry reader";

/// The password of user `AWS` for a tenant, and for the user or role that asked for it.
pub(crate) fn login(node_secret: &[u8], tenant: &Tenant, principal_arn: Option<&str>, expires: Timestamp) -> String {
    sealed(node_secret, &["registry login"], tenant, principal_arn, expires)
}

/// A whole `Authorization` header that lets a program read one repository on our behalf, and do nothing else.
#[must_use]
pub fn pull_authorization(node_secret: &[u8], tenant: &Tenant, repository: &str, expires: Timestamp) -> String {
    let login = format!("AWS:{}", sealed(node_secret, &[READER], tenant, Some(repository), expires));
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(login))
}

/// The tenant and the repository that such a login opens.
pub(crate) fn reader_of(node_secret: &[u8], token: &str, now: Timestamp) -> Option<(Tenant, String)> {
    let (tenant, who) = opened(node_secret, &[READER], token, now)?;
    Some((tenant, who.arn?))
}

/// The tenant of a login token that is ours and has not ended, and who got it.
pub(crate) fn holder_of(node_secret: &[u8], token: &str, now: Timestamp) -> Option<(Tenant, Principal)> {
    opened(node_secret, &["registry login"], token, now)
}

/// A grant with which one blob may be read without login: the value of `grant` in a link's query. No login by itself.
pub(crate) fn grant(node_secret: &[u8], tenant: &Tenant, repository: &str, digest: &str, expires: Timestamp) -> String {
    sealed(node_secret, &["blob link", repository, digest], tenant, None, expires)
}

/// The tenant of a grant for this blob.
pub(crate) fn tenant_of_grant(
    node_secret: &[u8],
    grant: &str,
    repository: &str,
    digest: &str,
    now: Timestamp,
) -> Option<Tenant> {
    opened(node_secret, &["blob link", repository, digest], grant, now).map(|(tenant, _)| tenant)
}

/// `whose`: a principal's ARN, or what else the purpose has it for.
fn sealed(node_secret: &[u8], purpose: &[&str], tenant: &Tenant, whose: Option<&str>, expires: Timestamp) -> String {
    let mut plain = format!("{}|{}|{}", tenant.account, tenant.region, expires.millis());
    if let Some(text) = whose {
        plain.push('|');
        plain.push_str(text);
    }
    let payload = URL_SAFE_NO_PAD.encode(plain);
    let seal = URL_SAFE_NO_PAD.encode(keyed(node_secret, &[purpose, &[payload.as_str()]].concat()));
    format!("{payload}.{seal}")
}

fn opened(node_secret: &[u8], purpose: &[&str], token: &str, now: Timestamp) -> Option<(Tenant, Principal)> {
    let (payload, seal) = token.split_once('.')?;
    let seal = URL_SAFE_NO_PAD.decode(seal).ok()?;
    if !same(&seal, &keyed(node_secret, &[purpose, &[payload]].concat())) {
        return None;
    }
    let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let mut parts = plain.splitn(4, '|');
    let tenant = Tenant::new(parts.next()?, parts.next()?);
    let expires: i64 = parts.next()?.parse().ok()?;
    let who = Principal { account: tenant.account.clone(), arn: parts.next().map(str::to_owned) };
    (now.millis() < expires).then_some((tenant, who))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_tenant_until_it_ends_and_only_on_its_node() {
        let tenant = Tenant::new("123456789012", "eu-west-1");
        let role = "arn:aws:iam::123456789012:role/app";
        let token = login(b"node", &tenant, Some(role), Timestamp(1000));
        let tenant_of = |secret: &[u8], token: &str, now| holder_of(secret, token, now).map(|(tenant, _)| tenant);
        let who = holder_of(b"node", &token, Timestamp(999)).and_then(|(_, who)| who.arn);
        assert_eq!(who.as_deref(), Some(role));
        assert_eq!(tenant_of(b"node", &token, Timestamp(999)), Some(tenant));
        assert_eq!(tenant_of(b"node", &token, Timestamp(1000)), None);
        assert_eq!(tenant_of(b"other", &token, Timestamp(0)), None);
        assert_eq!(tenant_of(b"node", &token.replacen('M', "N", 1), Timestamp(0)), None);
        assert_eq!(tenant_of(b"node", "garbage", Timestamp(0)), None);
    }

    #[test]
    fn a_readers_login_names_its_repository_and_is_no_other_login() {
        let tenant = Tenant::new("123456789012", "eu-west-1");
        let header = pull_authorization(b"node", &tenant, "team/app", Timestamp(1000));
        let plain = base64::engine::general_purpose::STANDARD.decode(&header["Basic ".len()..]).unwrap();
        let token = String::from_utf8(plain).unwrap()["AWS:".len()..].to_owned();
        assert_eq!(reader_of(b"node", &token, Timestamp(999)), Some((tenant.clone(), "team/app".to_owned())));
        assert_eq!(reader_of(b"node", &token, Timestamp(1000)), None);
        assert_eq!(holder_of(b"node", &token, Timestamp(0)), None);
        assert_eq!(reader_of(b"node", &login(b"node", &tenant, Some("x"), Timestamp(1000)), Timestamp(0)), None);
    }

    #[test]
    fn a_grant_opens_one_blob_and_is_no_login() {
        let tenant = Tenant::new("123456789012", "eu-west-1");
        let granted = grant(b"node", &tenant, "app", "sha256:aa", Timestamp(1000));
        let opens = |repository, digest| tenant_of_grant(b"node", &granted, repository, digest, Timestamp(1));
        assert_eq!(opens("app", "sha256:aa"), Some(tenant));
        assert_eq!(opens("other", "sha256:aa"), None);
        assert_eq!(holder_of(b"node", &granted, Timestamp(1)), None);
    }
}
