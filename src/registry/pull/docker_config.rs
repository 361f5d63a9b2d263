//! `~/.docker/config.json`: credentials that `docker login` left. Pure.
//!
//! Credential helpers (`credsStore`, `credHelpers`) are programs on the host and are not run yet.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::Credentials;

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: HashMap<String, Auth>,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

/// The credentials for a registry host, if the file has some. A file that cannot be read has none.
pub(super) fn credentials(file: &[u8], host: &str) -> Option<Credentials> {
    let config: DockerConfig = serde_json::from_slice(file).ok()?;
    let (_, auth) = config.auths.iter().find(|(name, _)| host_of(name) == host)?;
    if auth.auth.is_empty() {
        return (!auth.username.is_empty())
            .then(|| Credentials { username: auth.username.clone(), password: auth.password.clone() });
    }
    let plain = String::from_utf8(STANDARD.decode(auth.auth.trim()).ok()?).ok()?;
    let (username, password) = plain.split_once(':')?;
    Some(Credentials { username: username.to_owned(), password: password.trim_end_matches('\0').to_owned() })
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

    #[test]
    fn docker_hub_and_plain_hosts_are_found() {
        let file = br#"{"auths":{"https://index.docker.io/v1/":{"auth":"dXNlcjpwYTpzcw=="},
            "quay.io":{"username":"q","password":"p"},"empty.io":{}}}"#;
        let hub = credentials(file, "docker.io").expect("credentials");
        assert_eq!((hub.username.as_str(), hub.password.as_str()), ("user", "pa:ss"));
        assert_eq!(credentials(file, "quay.io").expect("credentials").username, "q");
        assert_eq!(credentials(file, "empty.io"), None);
        assert_eq!(credentials(b"no json", "quay.io"), None);
    }
}
