//! `~/.docker/config.json`: credentials that `docker login` left, or the program that has them. Pure.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Credentials, IDENTITY};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DockerConfig {
    #[serde(default)]
    auths: HashMap<String, Auth>,
    #[serde(default)]
    creds_store: String,
    #[serde(default)]
    cred_helpers: HashMap<String, String>,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(default)]
    auth: String,
    /// What a login without password left.
    #[serde(default, rename = "identitytoken")]
    identity_token: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

/// Where the credentials of a host are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Configured {
    Here(Credentials),
    /// `docker-credential-NAME` knows.
    Helper(String),
}

/// What the file has for a registry host. A helper of the host counts before the store of all, and both before what
/// stands in the file, as in Docker. A file that cannot be read has nothing.
pub(super) fn configured(file: &[u8], host: &str) -> Option<Configured> {
    let config: DockerConfig = serde_json::from_slice(file).ok()?;
    let of_host = config.cred_helpers.iter().find(|(name, _)| host_of(name) == host).map(|(_, helper)| helper);
    let helper = of_host.or(Some(&config.creds_store)).filter(|name| is_program(name));
    if let Some(helper) = helper {
        return Some(Configured::Helper(helper.clone()));
    }
    let (_, auth) = config.auths.iter().find(|(name, _)| host_of(name) == host)?;
    if !auth.identity_token.is_empty() {
        let (username, password) = (IDENTITY.to_owned(), auth.identity_token.clone());
        return Some(Configured::Here(Credentials { username, password }));
    }
    if auth.auth.is_empty() {
        return (!auth.username.is_empty()).then(|| {
            Configured::Here(Credentials { username: auth.username.clone(), password: auth.password.clone() })
        });
    }
    let plain = String::from_utf8(STANDARD.decode(auth.auth.trim()).ok()?).ok()?;
    let (username, password) = plain.split_once(':')?;
    let password = password.trim_end_matches('\0').to_owned();
    Some(Configured::Here(Credentials { username: username.to_owned(), password }))
}

/// The end of a program's name: no path leads out of the search path.
fn is_program(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// `https://index.docker.io/v1/` stands for Docker Hub; others are hosts with or without scheme and path.
fn host_of(name: &str) -> &str {
    let bare = name.strip_prefix("https://").or_else(|| name.strip_prefix("http://")).unwrap_or(name);
    match bare.split('/').next().unwrap_or(bare) {
        "index.docker.io" | "registry-1.docker.io" => cove_model::image::DOCKER_HUB,
        host => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(file: &[u8], host: &str) -> Option<(String, String)> {
        match configured(file, host)? {
            Configured::Here(found) => Some((found.username, found.password)),
            Configured::Helper(name) => panic!("helper {name}"),
        }
    }

    #[test]
    fn docker_hub_and_plain_hosts_are_found() {
        let file = br#"{"auths":{"https://index.docker.io/v1/":{"auth":"dXNlcjpwYTpzcw=="},
            "quay.io":{"username":"q","password":"p"},"empty.io":{},"cloud.io":{"auth":"MDow","identitytoken":"t"}}}"#;
        assert_eq!(here(file, "docker.io"), Some(("user".into(), "pa:ss".into())));
        assert_eq!(here(file, "quay.io"), Some(("q".into(), "p".into())));
        assert_eq!(here(file, "empty.io"), None);
        assert_eq!(here(file, "cloud.io"), Some((IDENTITY.into(), "t".into())));
        assert_eq!(here(b"no json", "quay.io"), None);
    }

    #[test]
    fn a_helper_of_the_host_counts_first_and_none_has_a_path() {
        let file = br#"{"auths":{"quay.io":{"username":"q","password":"p"}},
            "credHelpers":{"quay.io":"mine","bad.io":"../x"},"credsStore":"all"}"#;
        assert_eq!(configured(file, "quay.io"), Some(Configured::Helper("mine".into())));
        assert_eq!(configured(file, "docker.io"), Some(Configured::Helper("all".into())));
        assert_eq!(configured(file, "bad.io"), None);
        let without = br#"{"auths":{"quay.io":{"username":"q","password":"p"}},"credsStore":""}"#;
        assert_eq!(here(without, "quay.io"), Some(("q".into(), "p".into())));
    }
}
