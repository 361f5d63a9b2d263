//! `requiresAttributes` and `compatibilities`: what a task definition needs of a container instance, and what could run
//! it. Both are shown to clients; placement compares the first with the instance's attributes.

use cove_model::task_definition::{
    Attribute, Compatibility, ContainerDefinition, FirelensConfigurationType, LogDriver, NetworkMode, Secret,
    TaskDefinitionDocument,
};

use super::check::TaskSize;
use super::fargate;

/// Where an attribute comes from when it is about the container agent.
const AGENT: &str = "com.amazonaws.ecs.capability.";
const CAPABILITY: &str = "ecs.capability.";

/// The attributes of instances that the definition needs, each once, in the order of the members that need them.
pub(super) fn required(document: &TaskDefinitionDocument) -> Vec<Attribute> {
    let mut names = Names(Vec::new());
    let has_execution_role = document.execution_role_arn.is_some();
    for definition in &document.container_definitions {
        of_container(&mut names, definition, has_execution_role);
    }
    of_task(&mut names, document);
    names.0.into_iter().map(|name| Attribute { name: Some(name), ..Attribute::default() }).collect()
}

struct Names(Vec<String>);

impl Names {
    fn agent(&mut self, name: &str) {
        self.add(format!("{AGENT}{name}"));
    }

    fn capability(&mut self, name: &str) {
        self.add(format!("{CAPABILITY}{name}"));
    }

    /// A version of Docker's remote API that has the feature.
    fn docker(&mut self, version: &str) {
        self.add(format!("{AGENT}docker-remote-api.{version}"));
    }

    fn add(&mut self, name: String) {
        if !self.0.contains(&name) {
            self.0.push(name);
        }
    }
}

fn of_container(names: &mut Names, it: &ContainerDefinition, has_execution_role: bool) {
    of_log(names, it, has_execution_role);
    if it.image.as_deref().is_some_and(fargate::is_ecr) {
        names.agent("ecr-auth");
        names.docker("1.19");
        if has_execution_role {
            names.capability("execution-role-ecr-pull");
        }
    }
    if it.memory_reservation.is_some() {
        names.docker("1.21");
    }
    if it.privileged == Some(true) {
        names.agent("privileged-container");
        names.docker("1.18");
    }
    if it.health_check.as_ref().is_some_and(|check| check.command != ["NONE"]) {
        names.capability("container-health-check");
        names.docker("1.29");
    }
    if !it.depends_on.is_empty() || it.start_timeout.is_some() {
        names.capability("container-ordering");
    }
    if it.restart_policy.as_ref().is_some_and(|policy| policy.enabled != Some(false)) {
        names.capability("container-restart-policy");
    }
    if !it.environment_files.is_empty() {
        names.capability("env-files.s3");
    }
    if it.repository_credentials.is_some() {
        names.capability("private-registry-authentication.secretsmanager");
    }
    if it.port_mappings.iter().any(|mapping| mapping.container_port_range.is_some()) {
        names.capability("container-port-range");
    }
    if let Some(kind) = it.firelens_configuration.as_ref().and_then(|it| it.kind) {
        names.capability(match kind {
            FirelensConfigurationType::Fluentd => "firelens.fluentd",
            FirelensConfigurationType::Fluentbit => "firelens.fluentbit",
        });
    }
    of_secrets(names, &it.secrets, "environment-variables");
    if it.linux_parameters.as_ref().is_some_and(|it| !it.devices.is_empty() || !it.tmpfs.is_empty()) {
        names.docker("1.22");
    }
}

fn of_log(names: &mut Names, it: &ContainerDefinition, has_execution_role: bool) {
    let Some(log) = &it.log_configuration else { return };
    let Some(driver) = log.log_driver else { return };
    let (driver, docker) = match driver {
        LogDriver::JsonFile => ("json-file", "1.18"),
        LogDriver::Syslog => ("syslog", "1.18"),
        LogDriver::Journald => ("journald", "1.19"),
        LogDriver::Gelf => ("gelf", "1.20"),
        LogDriver::Fluentd => ("fluentd", "1.20"),
        LogDriver::Awslogs => ("awslogs", "1.19"),
        LogDriver::Splunk => ("splunk", "1.22"),
        LogDriver::Awsfirelens => ("awsfirelens", "1.19"),
    };
    names.agent(&format!("logging-driver.{driver}"));
    if driver == "awslogs" && has_execution_role {
        names.capability("execution-role-awslogs");
    }
    names.docker(docker);
    of_secrets(names, &log.secret_options, "bootstrap.log-driver");
}

fn of_secrets(names: &mut Names, secrets: &[Secret], purpose: &str) {
    for secret in secrets {
        let from_manager = secret.value_from.as_deref().is_some_and(|arn| arn.contains(":secretsmanager:"));
        let place = if from_manager { "asm" } else { "ssm" };
        names.capability(&format!("secrets.{place}.{purpose}"));
    }
}

fn of_task(names: &mut Names, document: &TaskDefinitionDocument) {
    let mode = document.network_mode;
    if document.task_role_arn.is_some() {
        names.agent(if mode == Some(NetworkMode::Host) { "task-iam-role-network-host" } else { "task-iam-role" });
        names.docker("1.17");
    }
    if mode == Some(NetworkMode::Awsvpc) {
        names.docker("1.18");
        names.capability("task-eni");
    }
    if document.pid_mode.is_some() || document.ipc_mode.is_some() {
        names.capability("pid-ipc-namespace-sharing");
        names.docker("1.17");
    }
    if document.proxy_configuration.is_some() {
        names.capability("aws-appmesh");
    }
    if !document.inference_accelerators.is_empty() {
        names.capability("task-eia");
    }
    if document.enable_fault_injection == Some(true) {
        names.capability("fault-injection");
    }
    for volume in &document.volumes {
        if let Some(efs) = &volume.efs_volume_configuration {
            names.capability("efs");
            if efs.authorization_config.is_some() || efs.transit_encryption.is_some() {
                names.capability("efsAuth");
            }
            names.docker("1.25");
        }
        if let Some(docker) = &volume.docker_volume_configuration {
            names.capability(&format!("docker-plugin.{}", docker.driver.as_deref().unwrap_or("local")));
            names.docker("1.25");
        }
        if volume.fsx_windows_file_server_volume_configuration.is_some() {
            names.capability("fsxWindowsFileServer");
        }
    }
}

/// What could run the definition, whether it asked for it or not.
pub(super) fn compatibilities(document: &TaskDefinitionDocument, size: &TaskSize) -> Vec<Compatibility> {
    match document.network_mode {
        None | Some(NetworkMode::Bridge) => return vec![Compatibility::External, Compatibility::Ec2],
        Some(NetworkMode::Host | NetworkMode::None) => {
            return vec![Compatibility::External, Compatibility::Ec2, Compatibility::ManagedInstances];
        }
        Some(NetworkMode::Awsvpc) => {}
    }
    let mut all = vec![Compatibility::Ec2, Compatibility::ManagedInstances];
    if fargate::could_run(document, size) {
        all.push(Compatibility::Fargate);
    }
    all
}
