//! Settings as the environment has them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::given::Given;
use super::{ConfigError, bad};

/// Where tests let the server or its shims die; refused by a release.
pub(super) const CRASH_POINT: &str = "COVE_CRASH_POINT";

/// Variables with our prefix that belong to the command line, to tests or to what we print, not to the server.
const OTHER_VARIABLES: &[&str] =
    &["COVE_CONFIG", "COVE_REGISTRY", "COVE_SUBNETS", "COVE_SECURITY_GROUP", "COVE_BIN", "COVE_SHARED_DATA"];

/// Lists are separated by commas.
pub(super) fn from_environment(variables: &BTreeMap<String, String>) -> Result<Given, ConfigError> {
    let mut given = Given::default();
    for (name, value) in variables {
        let Some(key) = name.strip_prefix("COVE_") else { continue };
        if OTHER_VARIABLES.contains(&name.as_str()) || name == CRASH_POINT || key.starts_with("TEST_") {
            continue;
        }
        let list =
            || Some(value.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect());
        match key {
            "LISTEN" => given.listen = list(),
            "TLS_LISTEN" => given.tls_listen = list(),
            "DATA_DIR" => given.data_dir = Some(value.into()),
            "RUN_DIR" => given.run_dir = Some(value.into()),
            "NODE" => given.node = Some(value.clone()),
            "DEV" => given.dev = Some(parsed("COVE_DEV", value)?),
            "DEV_ALLOW" => given.dev_allow = list(),
            "EPHEMERAL" => given.ephemeral = Some(parsed("COVE_EPHEMERAL", value)?),
            "REGION" => given.region = Some(value.clone()),
            "NAMES" => given.names = list(),
            "REGISTRY_HOST" => given.registry_host = Some(value.clone()),
            "REGISTRY_MIRRORS" => given.registry_mirrors = list(),
            "REGISTRY_INSECURE" => given.registry_insecure = list(),
            "REGISTRY_EXTRA_CA" => {
                given.registry_extra_ca =
                    list().map(|paths: Vec<String>| paths.into_iter().map(PathBuf::from).collect());
            }
            "TRANSIT_RANGE" => given.transit_range = Some(value.clone()),
            "LOG_STREAM_MAX_MIB" => given.log_stream_max_mib = Some(parsed("COVE_LOG_STREAM_MAX_MIB", value)?),
            "LOG_NODE_MAX_MIB" => given.log_node_max_mib = Some(parsed("COVE_LOG_NODE_MAX_MIB", value)?),
            "MEMORY_OVERCOMMIT" => given.memory_overcommit = Some(parsed("COVE_MEMORY_OVERCOMMIT", value)?),
            "TASK_STORAGE_GIB" => given.task_storage_gib = Some(parsed("COVE_TASK_STORAGE_GIB", value)?),
            "SHARED_VOLUME_GIB" => given.shared_volume_gib = Some(parsed("COVE_SHARED_VOLUME_GIB", value)?),
            "IMAGE_STORE_MAX_MIB" => given.image_store_max_mib = Some(parsed("COVE_IMAGE_STORE_MAX_MIB", value)?),
            "LAYER_STORE_MAX_MIB" => given.layer_store_max_mib = Some(parsed("COVE_LAYER_STORE_MAX_MIB", value)?),
            "TASKS_MAX" => given.tasks_max = Some(parsed("COVE_TASKS_MAX", value)?),
            "INJECT_ENDPOINT" => given.inject_endpoint = Some(parsed("COVE_INJECT_ENDPOINT", value)?),
            "STOPPED_TASK_SECS" => given.stopped_task_secs = Some(parsed("COVE_STOPPED_TASK_SECS", value)?),
            "HOUSEKEEPING_SECS" => given.housekeeping_secs = Some(parsed("COVE_HOUSEKEEPING_SECS", value)?),
            "COLLECT_SECS" => given.collect_secs = Some(parsed("COVE_COLLECT_SECS", value)?),
            "COLLECT_GRACE_SECS" => given.collect_grace_secs = Some(parsed("COVE_COLLECT_GRACE_SECS", value)?),
            "UPLOAD_EXPIRY_SECS" => given.upload_expiry_secs = Some(parsed("COVE_UPLOAD_EXPIRY_SECS", value)?),
            "REPOSITORY_QUOTAS" => given.repository_quotas = list(),
            "SCRUB_DAYS" => given.scrub_days = Some(parsed("COVE_SCRUB_DAYS", value)?),
            "SCRUB_MIB_PER_SEC" => given.scrub_mib_per_sec = Some(parsed("COVE_SCRUB_MIB_PER_SEC", value)?),
            "LIFECYCLE_SECS" => given.lifecycle_secs = Some(parsed("COVE_LIFECYCLE_SECS", value)?),
            "TASK_SETTLE_MILLIS" => given.task_settle_millis = Some(parsed("COVE_TASK_SETTLE_MILLIS", value)?),
            "SPOT_WARNING_SECS" => given.spot_warning_secs = Some(parsed("COVE_SPOT_WARNING_SECS", value)?),
            "PROVISIONING_SECS" => given.provisioning_secs = Some(parsed("COVE_PROVISIONING_SECS", value)?),
            "SCALE_IN_SECS" => given.scale_in_secs = Some(parsed("COVE_SCALE_IN_SECS", value)?),
            "LOG" => given.log = Some(value.clone()),
            _ => return Err(ConfigError::UnknownVariable { name: name.clone() }),
        }
    }
    Ok(given)
}

fn parsed<T: std::str::FromStr>(key: &'static str, value: &str) -> Result<T, ConfigError>
where
    T::Err: std::fmt::Display,
{
    value.parse().map_err(|error: T::Err| bad(key, value, error))
}
