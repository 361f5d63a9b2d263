//! The image configuration: what an image says about running it. Docker's superset of the OCI document, read leniently
//! because every builder writes it a little differently.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// The config blob of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub created: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub architecture: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: RunConfig,
    #[serde(default, deserialize_with = "null_is_default")]
    pub rootfs: RootFs,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub history: Vec<serde_json::Value>,
}

/// How to run it, unless the task definition says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RunConfig {
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub user: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub exposed_ports: BTreeMap<String, serde_json::Value>,
    /// `NAME=value`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    /// `None` and empty mean the same to runtimes; both are kept as found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub volumes: BTreeMap<String, serde_json::Value>,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub working_dir: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// What runs commands in shell form.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub shell: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
}

/// Docker's HEALTHCHECK. Durations are nanoseconds, 0 means the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    #[serde(deserialize_with = "null_is_default")]
    pub test: Vec<String>,
    pub interval: i64,
    pub timeout: i64,
    pub start_period: i64,
    pub retries: i64,
}

/// The layers' uncompressed digests, bottom first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub diff_ids: Vec<String>,
}

fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_docker_config_with_nulls_and_a_health_check_is_read() {
        let text = r#"{"architecture":"amd64","os":"linux","config":{"Env":["A=b"],"Cmd":null,"Volumes":null,
            "Entrypoint":["/x"],"Healthcheck":{"Test":["CMD","true"],"Interval":5000000000},"OnBuild":null},
            "rootfs":{"type":"layers","diff_ids":["sha256:00"]},"history":null,"container":"ignored"}"#;
        let config: ImageConfig = serde_json::from_str(text).expect("a config");
        assert_eq!(config.config.entrypoint, Some(vec!["/x".to_owned()]));
        assert_eq!(config.config.cmd, None);
        assert_eq!(config.config.healthcheck.expect("a check").interval, 5_000_000_000);
        assert_eq!(config.rootfs.diff_ids, ["sha256:00"]);
    }
}
