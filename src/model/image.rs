//! Image references, by Docker's name rules and by Cove's own.

use serde::{Deserialize, Serialize};

use crate::arn::Tenant;

/// Docker's registry for names without a host.
pub const DOCKER_HUB: &str = "docker.io";

/// What an image name means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageReference {
    pub place: ImagePlace,
    /// Without host, as in `library/busybox` or `team/app`.
    pub repository: String,
    pub selector: ImageSelector,
}

/// Where the name points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImagePlace {
    /// Our own registry, in the tenant of an `….dkr.ecr.…` host or of the caller.
    Own(Tenant),
    /// No host was given: our own registry in the caller's tenant if the repository exists there, else Docker Hub.
    OwnOrHub(Tenant),
    /// Another registry, `host[:port]`.
    Remote(String),
}

/// Tag or digest. Both given: the digest decides, as Docker has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageSelector {
    Tag(String),
    /// `algorithm:hex`.
    Digest(String),
}

impl ImageSelector {
    /// The text that stands in a `/v2/…/manifests/REF` path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tag(text) | Self::Digest(text) => text,
        }
    }
}

/// A name that is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid reference format: `{0}`")]
pub struct BadReference(pub String);

impl ImageReference {
    /// Reads an image name as it stands in a task definition. `own_hosts` are the `host:port` names of our registry,
    /// `caller` is the tenant of the task.
    ///
    /// # Errors
    /// When the name breaks the distribution spec's grammar.
    pub fn parse(text: &str, own_hosts: &[String], caller: &Tenant) -> Result<Self, BadReference> {
        let bad = || BadReference(text.to_owned());
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        let (host, path) = split_host(name);
        if !is_repository(path)
            || host.is_some_and(|host| !is_host(host))
            || tag.is_some_and(|tag| !is_tag(tag))
            || digest.is_some_and(|digest| !is_digest(digest))
        {
            return Err(bad());
        }
        let selector = match (digest, tag) {
            (Some(digest), _) => ImageSelector::Digest(digest.to_owned()),
            (None, Some(tag)) => ImageSelector::Tag(tag.to_owned()),
            (None, None) => ImageSelector::Tag("latest".to_owned()),
        };
        let (place, repository) = match host {
            None => (ImagePlace::OwnOrHub(caller.clone()), path.to_owned()),
            Some(host) if own_hosts.iter().any(|own| own == host) => (ImagePlace::Own(caller.clone()), path.to_owned()),
            Some(host) => match ecr_tenant(host) {
                Some(tenant) => (ImagePlace::Own(tenant), path.to_owned()),
                None if is_hub(host) => (ImagePlace::Remote(DOCKER_HUB.to_owned()), hub_path(path)),
                None => (ImagePlace::Remote(host.to_owned()), path.to_owned()),
            },
        };
        Ok(Self { place, repository, selector })
    }
}

/// Docker Hub keeps its official images under `library/`.
#[must_use]
pub fn hub_path(path: &str) -> String {
    if path.contains('/') { path.to_owned() } else { format!("library/{path}") }
}

fn is_hub(host: &str) -> bool {
    matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io")
}

/// A first part with a dot, a colon or the name `localhost` is a host.
fn split_host(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), rest),
        _ => (None, name),
    }
}

/// The distribution spec's grammar of registries: a name or an address, and a port.
fn is_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        Some(_) | None => (host, None),
    };
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let letters = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_part = |part: &str| !part.is_empty() && letters(part) && !part.starts_with('-') && !part.ends_with('-');
    let is_name =
        name.split('.').all(is_part) || inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    is_name && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// The tenant of `ACCOUNT.dkr.ecr.REGION.amazonaws.com`.
#[must_use]
pub fn ecr_tenant(host: &str) -> Option<Tenant> {
    let mut parts = host.splitn(5, '.');
    let account = parts.next().filter(|part| part.len() == 12 && part.bytes().all(|byte| byte.is_ascii_digit()))?;
    (parts.next() == Some("dkr") && parts.next() == Some("ecr")).then_some(())?;
    let region = parts.next()?;
    (parts.next() == Some("amazonaws.com")).then(|| Tenant::new(account, region))
}

/// The distribution spec's grammar of repository names: lowercase parts, at most 255 characters.
#[must_use]
pub fn is_repository(text: &str) -> bool {
    !text.is_empty() && text.len() <= 255 && text.split('/').all(is_path_component)
}

fn is_path_component(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let (Some(first), Some(last)) = (text.bytes().next(), text.bytes().last()) else { return false };
    if !word(first) || !word(last) {
        return false;
    }
    // Between two words stands one of: `.`, `_`, `__`, any run of `-`.
    text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|gap| matches!(gap, "" | "." | "_" | "__") || gap.bytes().all(|byte| byte == b'-'))
}

/// The distribution spec's grammar of tags.
#[must_use]
pub fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

/// A digest of an algorithm that we can check: sha256 or sha512, lowercase hex of the right length.
#[must_use]
pub fn is_digest(text: &str) -> bool {
    let length = match text.split_once(':') {
        Some(("sha256", _)) => 64,
        Some(("sha512", _)) => 128,
        _ => return false,
    };
    let hex = &text[7..];
    hex.len() == length && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<(String, String, String)> {
        let caller = Tenant::new("000000000000", "us-east-1");
        let reference = ImageReference::parse(text, &["127.0.0.1:4566".to_owned()], &caller).ok()?;
        let place = match reference.place {
            ImagePlace::Own(tenant) => format!("own {} {}", tenant.account, tenant.region),
            ImagePlace::OwnOrHub(_) => "own or hub".to_owned(),
            ImagePlace::Remote(host) => host,
        };
        Some((place, reference.repository, reference.selector.as_str().to_owned()))
    }

    #[test]
    fn names_mean_what_docker_and_ecr_users_expect() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let pinned = format!("quay.io/a/b:1@{digest}");
        let cases = [
            ("busybox", ("own or hub", "busybox", "latest")),
            ("team/app:2", ("own or hub", "team/app", "2")),
            ("docker.io/nginx", ("docker.io", "library/nginx", "latest")),
            ("127.0.0.1:4566/app:1", ("own 000000000000 us-east-1", "app", "1")),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/app", ("own 123456789012 eu-west-1", "app", "latest")),
            ("localhost:5000/x", ("localhost:5000", "x", "latest")),
            (pinned.as_str(), ("quay.io", "a/b", digest.as_str())),
        ];
        for (text, (place, repository, selector)) in cases {
            assert_eq!(parse(text), Some((place.into(), repository.into(), selector.into())), "{text}");
        }
    }

    #[test]
    fn names_outside_the_grammar_are_refused() {
        for text in ["", "Upper", "a//b", "a:", "-a", "a_-b", "a@sha256:12", "a:tag with space", "quay.io/"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_registry_is_a_name_or_an_address_with_a_port() {
        for good in ["a.b/c", "localhost/c", "127.0.0.1:5000/c", "[::1]:5000/c", "A-b.example:443/c"] {
            assert!(parse(good).is_some(), "{good}");
        }
        for bad in ["../2", "a..b/c", ".a/c", "-a.b/c", "a.b:99999/c", "a.b:/c", "[::1/c", "a@b.c/d", "a.b?x/c"] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
