//! A task as ACS hands it over: definition, overrides and place put together, with the credentials of its roles.
//!
//! In: the task's record and its definition. Out: the ACS model's `Task`. No store but to look whether a name without a
//! host is a repository of ours.

use std::collections::BTreeMap;

use cove_base::Timestamp;
use cove_model::arn::Tenant;
use cove_model::image::{ImagePlace, ImageReference};
use cove_model::registry::Repository;
use cove_model::task::{Container, LaunchType, Task, TaskRole};
use cove_model::task_definition::{ContainerDefinition, NetworkMode, PortMapping, Secret, TaskDefinition, Volume};
use cove_store::{Read, View, keys};
use serde_json::{Value, json};

use super::channel::Wish;
use super::docker;
use crate::aws::credentials;
use crate::http::settings::Settings;

/// ECS's unit of CPU: 1024 are one vCPU.
const CPU_PER_VCPU: f64 = 1024.0;
/// ACS's credentials are good for six hours, and renewed every hour.
const VALID_MILLIS: i64 = 6 * 60 * 60 * 1000;

/// What a payload is made with.
pub(super) struct Around<'a> {
    pub(super) store: &'a View,
    pub(super) settings: &'a Settings,
    pub(super) now: Timestamp,
}

/// The kind of a role, as ACS names it.
#[derive(Debug, Clone, Copy)]
pub(super) enum RoleKind {
    Task,
    Execution,
}

impl RoleKind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Task => "TaskApplication",
            Self::Execution => "TaskExecution",
        }
    }
}

impl Around<'_> {
    /// ACS shape `Task`.
    pub(super) fn task(&self, task: &Task, definition: &TaskDefinition, wish: Wish) -> Value {
        let document = &definition.document;
        let number = |text: Option<&String>| text.and_then(|text| text.parse::<f64>().ok());
        let [role, execution] = [RoleKind::Task, RoleKind::Execution].map(|kind| self.role(task, kind));
        let pairs = document.container_definitions.iter().zip(&task.containers);
        let containers: Vec<Value> = pairs.map(|(it, container)| self.container(task, it, container)).collect();
        present(json!({
            "arn": task.arn(),
            "taskClusterArn": task.cluster_arn(),
            "desiredStatus": wish.as_str(),
            "family": task.family,
            "version": task.revision.to_string(),
            "taskDefinitionAccountId": task.tenant.account,
            "group": task.group,
            "serviceName": task.service(),
            "launchType": match task.placement.launch_type {
                LaunchType::External => "EXTERNAL",
                LaunchType::Ec2 | LaunchType::Fargate | LaunchType::ManagedInstances => "EC2",
            },
            "networkMode": task.network.mode(),
            "pidMode": document.pid_mode,
            "ipcMode": document.ipc_mode,
            // A share of vCPUs here, whole MiB there.
            "cpu": number(task.cpu.as_ref()).map(|units| units / CPU_PER_VCPU),
            "memory": task.memory.as_ref().and_then(|text| text.parse::<i64>().ok()),
            "roleCredentials": role.map(|role| self.credentials(&role)),
            "executionRoleCredentials": execution.map(|role| self.credentials(&role)),
            "volumes": document.volumes.iter().map(volume).collect::<Vec<_>>(),
            "containers": containers,
        }))
    }

    /// The task's role of that kind.
    pub(super) fn role(&self, task: &Task, kind: RoleKind) -> Option<TaskRole> {
        match kind {
            RoleKind::Task => task.task_role.clone(),
            RoleKind::Execution => credentials::execution_role(&self.settings.keys.node_secret, task),
        }
    }

    /// ACS shape `IAMRoleCredentials`.
    pub(super) fn credentials(&self, role: &TaskRole) -> Value {
        let secret = &self.settings.keys.node_secret;
        json!({
            "credentialsId": role.credentials_id,
            "roleArn": role.role_arn,
            "accessKeyId": role.access_key_id,
            "secretAccessKey": credentials::secret_of(secret, &role.access_key_id),
            "sessionToken": credentials::session_token_of(secret, &role.access_key_id, &role.role_arn),
            "expiration": self.now.plus_millis(VALID_MILLIS).rfc3339(),
        })
    }

    /// ACS shape `Container`.
    fn container(&self, task: &Task, it: &ContainerDefinition, container: &Container) -> Value {
        let given = task.overrides.of_container(it.name.as_deref());
        let command = given.map(|given| &given.command).filter(|command| !command.is_empty()).unwrap_or(&it.command);
        let mut environment: BTreeMap<&str, &str> = BTreeMap::new();
        for pair in it.environment.iter().chain(given.into_iter().flat_map(|given| &given.environment)) {
            if let Some(name) = &pair.name {
                environment.insert(name, pair.value.as_deref().unwrap_or_default());
            }
        }
        let endpoint = self.settings.registry_url();
        let number = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<i64>().ok());
        let (image, login) = self.image(task, it, container);
        let secret = |secret: &Secret| {
            let from = secret.value_from.as_deref().unwrap_or_default();
            let provider = if from.starts_with("arn:aws:secretsmanager:") { "asm" } else { "ssm" };
            json!({"name": secret.name, "valueFrom": from, "region": task.tenant.region, "provider": provider,
                "type": "ENVIRONMENT_VARIABLE", "target": "CONTAINER"})
        };
        let logs = it.log_configuration.is_some() && task.execution_role_arn.is_some();
        present(json!({
            "name": container.name,
            "containerArn": task.container_arn(container),
            "image": image,
            "registryAuthentication": login,
            "cpu": number(&container.cpu),
            "memory": number(&container.memory),
            "essential": container.essential,
            "command": (!command.is_empty()).then_some(command),
            "entryPoint": (!it.entry_point.is_empty()).then_some(&it.entry_point),
            "environment": environment,
            "links": (!it.links.is_empty()).then_some(&it.links),
            "portMappings": it.port_mappings.iter().map(|port| mapping(task, port)).collect::<Vec<_>>(),
            "mountPoints": (!it.mount_points.is_empty()).then_some(&it.mount_points),
            "volumesFrom": (!it.volumes_from.is_empty()).then_some(&it.volumes_from),
            "secrets": (!it.secrets.is_empty()).then(|| it.secrets.iter().map(secret).collect::<Vec<_>>()),
            "dependsOn": (!it.depends_on.is_empty()).then_some(&it.depends_on),
            "restartPolicy": it.restart_policy,
            "startTimeout": it.start_timeout,
            "stopTimeout": it.stop_timeout,
            "healthCheckType": container.seen.health.map(|_| "docker"),
            "logsAuthStrategy": logs.then_some("ExecutionRole"),
            "dockerConfig": {
                "config": docker::config(it).to_string(),
                "hostConfig": docker::host_config(task, it, container, &endpoint).to_string(),
            },
        }))
    }

    /// The name by which the other host pulls, and how it logs in. What is in our registry is named with its host.
    fn image(&self, task: &Task, it: &ContainerDefinition, container: &Container) -> (String, Option<Value>) {
        let host = &self.settings.registry_host;
        let read = ImageReference::parse(&container.image, std::slice::from_ref(host), &task.tenant).ok();
        let own = read.as_ref().filter(|reference| match &reference.place {
            ImagePlace::Own(tenant) => *tenant == task.tenant,
            ImagePlace::OwnOrHub(tenant) => self.has_repository(tenant, &reference.repository),
            ImagePlace::Remote(_) => false,
        });
        let name = own.map_or_else(
            || container.image.clone(),
            |reference| {
                let selector = reference.selector.as_str();
                let mark = if selector.contains(':') { '@' } else { ':' };
                format!("{host}/{}{mark}{selector}", reference.repository)
            },
        );
        let login = match (own, &it.repository_credentials) {
            (_, Some(given)) => Some(json!({"type": "asm", "asmAuthData":
                {"credentialsParameter": given.credentials_parameter, "region": task.tenant.region}})),
            // Agents log in over TLS alone.
            (Some(_), None) if self.settings.registry_tls => Some(json!({"type": "ecr", "ecrAuthData": {
                "registryId": task.tenant.account,
                "region": task.tenant.region,
                "endpointOverride": self.settings.registry_url(),
                "useExecutionRole": task.execution_role_arn.is_some(),
            }})),
            (_, None) => None,
        };
        (pinned(name, container.pinned_digest.as_deref()), login)
    }

    fn has_repository(&self, tenant: &Tenant, name: &str) -> bool {
        self.store.get::<Repository>(&keys::repository(tenant, name)).is_some()
    }
}

/// The name with the digest that its tag stood for when the deployment began.
fn pinned(name: String, digest: Option<&str>) -> String {
    let Some(digest) = digest.filter(|_| !name.contains('@')) else { return name };
    let path = name.rfind('/').map_or(0, |slash| slash + 1);
    let end = name[path..].rfind(':').map_or(name.len(), |colon| path + colon);
    format!("{}@{digest}", &name[..end])
}

/// ACS shape `PortMapping`. Without a host port the host chooses one, but in host mode.
fn mapping(task: &Task, it: &PortMapping) -> Value {
    let host_port = match task.network.mode() {
        NetworkMode::Host => it.container_port,
        NetworkMode::Bridge | NetworkMode::None | NetworkMode::Awsvpc => it.host_port,
    };
    present(json!({
        "containerPort": it.container_port,
        "hostPort": host_port.or(it.container_port.map(|_| 0)),
        "containerPortRange": it.container_port_range,
        "protocol": it.protocol.map_or_else(|| json!("tcp"), |protocol| json!(protocol)),
    }))
}

/// ACS shape `Volume`: the host's, or Docker's.
fn volume(it: &Volume) -> Value {
    match &it.docker_volume_configuration {
        Some(docker) => json!({"name": it.name, "type": "docker", "dockerVolumeConfiguration": docker}),
        None => {
            let path = it.host.as_ref().and_then(|host| host.source_path.clone());
            json!({"name": it.name, "type": "host", "host": {"sourcePath": path.unwrap_or_default()}})
        }
    }
}

/// Without the members that nobody gave.
fn present(mut document: Value) -> Value {
    if let Value::Object(members) = &mut document {
        members.retain(|_, value| !value.is_null());
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_image_is_named_by_its_digest() {
        let pin = |name: &str| pinned(name.to_owned(), Some("sha256:1"));
        assert_eq!(pin("127.0.0.1:4566/app:1"), "127.0.0.1:4566/app@sha256:1");
        assert_eq!(pin("127.0.0.1:4566/app"), "127.0.0.1:4566/app@sha256:1");
        assert_eq!(pin("app@sha256:2"), "app@sha256:2");
        assert_eq!(pinned("app:1".to_owned(), None), "app:1");
    }
}
