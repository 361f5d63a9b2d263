//! Where the sessions of ExecuteCommand are logged: a cluster's `executeCommandConfiguration`.
//!
//! Holds: a member that is not carried out is refused, not kept: S3 buckets and keys of KMS are services that are not here.

use cove_model::arn::Tenant;
use cove_model::cluster::Cluster;
use cove_model::task_definition::{LogDriver, TaskDefinition};
use serde::Deserialize;
use serde_json::Value;

use super::error::EcsError;
use crate::terminal::SessionLog;

/// ECS shape `ClusterConfiguration`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Configuration {
    execute_command_configuration: ExecuteCommand,
    managed_storage_configuration: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ExecuteCommand {
    kms_key_id: Option<String>,
    logging: Logging,
    log_configuration: Option<LogConfiguration>,
}

/// ECS's `ExecuteCommandLogging`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Logging {
    None,
    /// Where the container's own log goes.
    #[default]
    Default,
    Override,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LogConfiguration {
    cloud_watch_log_group_name: Option<String>,
    cloud_watch_encryption_enabled: bool,
    s3_bucket_name: Option<String>,
    s3_key_prefix: Option<String>,
    s3_encryption_enabled: bool,
}

impl LogConfiguration {
    /// Members that are not carried out and not at their default.
    fn missing(&self) -> impl Iterator<Item = &'static str> {
        let used = [
            ("cloudWatchEncryptionEnabled", self.cloud_watch_encryption_enabled),
            ("s3BucketName", self.s3_bucket_name.is_some()),
            ("s3KeyPrefix", self.s3_key_prefix.is_some()),
            ("s3EncryptionEnabled", self.s3_encryption_enabled),
        ];
        used.into_iter().filter(|(_, is_used)| *is_used).map(|(name, _)| name)
    }
}

fn read(configuration: &Value) -> Result<Configuration, EcsError> {
    serde_json::from_value(configuration.clone())
        .map_err(|error| EcsError::parameter(format!("Invalid cluster configuration: {error}")))
}

/// Whether a cluster may have the configuration.
pub(super) fn check(configuration: Option<&Value>) -> Result<(), EcsError> {
    let Some(configuration) = configuration else { return Ok(()) };
    let Configuration { execute_command_configuration: exec, managed_storage_configuration } = read(configuration)?;
    let mut missing: Vec<&str> = exec.log_configuration.iter().flat_map(LogConfiguration::missing).collect();
    missing.extend(exec.kms_key_id.as_ref().map(|_| "kmsKeyId"));
    missing.extend(managed_storage_configuration.as_ref().map(|_| "managedStorageConfiguration"));
    if !missing.is_empty() {
        return Err(EcsError::parameter(format!("This version does not carry out: {}", missing.join(", "))));
    }
    match (exec.logging, &exec.log_configuration) {
        (Logging::None | Logging::Default, Some(_)) => {
            Err(EcsError::parameter("You must set logging to 'OVERRIDE' when you supply a log configuration."))
        }
        (Logging::Override, given) if given.as_ref().is_none_or(|it| it.cloud_watch_log_group_name.is_none()) => {
            Err(EcsError::parameter("You must supply a log configuration when you set logging to 'OVERRIDE'."))
        }
        (Logging::None | Logging::Default, None) | (Logging::Override, _) => Ok(()),
    }
}

/// Where a session in the container is logged, if it is.
pub(super) fn of(
    cluster: &Cluster,
    definition: &TaskDefinition,
    container: &str,
) -> Result<Option<SessionLog>, EcsError> {
    let exec = cluster.configuration.as_ref().map(read).transpose()?.unwrap_or_default().execute_command_configuration;
    match exec.logging {
        Logging::None => Ok(None),
        Logging::Default => Ok(of_container(&cluster.tenant, definition, container)),
        Logging::Override => {
            let group = exec.log_configuration.and_then(|it| it.cloud_watch_log_group_name);
            Ok(group.map(|group| SessionLog { tenant: cluster.tenant.clone(), group }))
        }
    }
}

fn of_container(tenant: &Tenant, definition: &TaskDefinition, container: &str) -> Option<SessionLog> {
    let mut documents = definition.document.container_definitions.iter();
    let log = documents.find(|it| it.name.as_deref() == Some(container))?.log_configuration.as_ref()?;
    if log.log_driver != Some(LogDriver::Awslogs) {
        return None;
    }
    let region = log.options.get("awslogs-region").unwrap_or(&tenant.region);
    let group = log.options.get("awslogs-group")?.clone();
    Some(SessionLog { tenant: Tenant::new(tenant.account.clone(), region), group })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_carried_out_or_makes_no_sense_is_refused() {
        let refusal =
            |exec: Value| check(Some(&json!({"executeCommandConfiguration": exec}))).map_err(|it| it.to_string());
        assert_eq!(refusal(json!({"logging": "NONE"})), Ok(()));
        assert_eq!(refusal(json!({})), Ok(()));
        let group = json!({"cloudWatchLogGroupName": "g"});
        assert_eq!(refusal(json!({"logging": "OVERRIDE", "logConfiguration": group})), Ok(()));
        for logging in ["NONE", "DEFAULT"] {
            let why = refusal(json!({"logging": logging, "logConfiguration": group})).unwrap_err();
            assert!(why.contains("You must set logging to 'OVERRIDE'"), "{why}");
        }
        for given in [json!({"logging": "OVERRIDE"}), json!({"logging": "OVERRIDE", "logConfiguration": {}})] {
            assert!(refusal(given).unwrap_err().contains("You must supply a log configuration"));
        }
        let all = json!({"logging": "OVERRIDE", "kmsKeyId": "k", "logConfiguration":
            {"s3BucketName": "b", "s3KeyPrefix": "p", "s3EncryptionEnabled": true, "cloudWatchEncryptionEnabled": true}});
        let why = refusal(all).unwrap_err();
        assert!(why.ends_with("cloudWatchEncryptionEnabled, s3BucketName, s3KeyPrefix, s3EncryptionEnabled, kmsKeyId"));
        assert!(check(Some(&json!({"managedStorageConfiguration": {}}))).is_err());
    }
}
