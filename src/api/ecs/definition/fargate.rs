//! What Fargate rules out in a task definition that asks for it.

use cove_model::fargate::is_fargate_size;
use cove_model::task_definition::{
    Compatibility, ContainerDefinition, LogDriver, NetworkMode, PidMode, TaskDefinitionDocument,
};

use super::check::TaskSize;
use super::size;
use crate::ecs::error::EcsError;

const TIMEOUT_MAX_SECS: i32 = 120;

/// Checks a document that requires FARGATE.
pub(super) fn check(document: &TaskDefinitionDocument, size: &TaskSize) -> Result<(), EcsError> {
    if document.network_mode != Some(NetworkMode::Awsvpc) {
        return Err(EcsError::client("Fargate only supports network mode ‘awsvpc’."));
    }
    size::check_fargate_size(size.cpu, size.memory_mib)?;
    check_execution_role(document)?;
    match first_obstacle(document) {
        Some(text) => Err(EcsError::client(text)),
        None => Ok(()),
    }
}

/// Whether Fargate could run it, had it been asked to: decides `compatibilities`.
pub(super) fn could_run(document: &TaskDefinitionDocument, size: &TaskSize) -> bool {
    document.network_mode == Some(NetworkMode::Awsvpc)
        && matches!((size.cpu, size.memory_mib), (Some(cpu), Some(memory)) if is_fargate_size(cpu, memory))
        && (document.requires_compatibilities.contains(&Compatibility::Fargate)
            || check_execution_role(document).is_ok())
        && first_obstacle(document).is_none()
}

/// Fargate pulls and logs with the execution role; there is no instance role to fall back to.
fn check_execution_role(document: &TaskDefinitionDocument) -> Result<(), EcsError> {
    if document.execution_role_arn.is_some() {
        return Ok(());
    }
    let needs = |what: &str| {
        Err(EcsError::client(format!("Fargate requires task definition to have execution role ARN to support {what}.")))
    };
    for definition in &document.container_definitions {
        if definition.log_configuration.as_ref().is_some_and(|log| log.log_driver == Some(LogDriver::Awslogs)) {
            return needs("log driver awslogs");
        }
        if definition.image.as_deref().is_some_and(is_ecr) {
            return needs("ECR images");
        }
    }
    Ok(())
}

/// Whether the image's name points at ECR.
pub(super) fn is_ecr(image: &str) -> bool {
    image.split_once('/').is_some_and(|(host, _)| cove_model::image::ecr_tenant(host).is_some())
}

fn first_obstacle(document: &TaskDefinitionDocument) -> Option<String> {
    let unsupported = |member: &str| Some(format!("Fargate compatible task definitions do not support {member}"));
    if document.ipc_mode.is_some() {
        return Some("Tasks using the Fargate launch type do not support ipcMode.".to_owned());
    }
    if document.pid_mode == Some(PidMode::Host) {
        return Some("Tasks using the Fargate launch type do not support pidMode 'host'.".to_owned());
    }
    if !document.placement_constraints.is_empty() {
        return Some("Fargate does not support task placement constraints.".to_owned());
    }
    if !document.inference_accelerators.is_empty() {
        return unsupported("inferenceAccelerators");
    }
    for volume in &document.volumes {
        if volume.host.as_ref().is_some_and(|host| host.source_path.is_some()) {
            return unsupported("sourcePath");
        }
        if volume.docker_volume_configuration.is_some() {
            return unsupported("dockerVolumeConfiguration");
        }
        if volume.fsx_windows_file_server_volume_configuration.is_some() {
            return unsupported("fsxWindowsFileServerVolumeConfiguration");
        }
    }
    document.container_definitions.iter().find_map(container_obstacle)
}

fn container_obstacle(it: &ContainerDefinition) -> Option<String> {
    let linux = it.linux_parameters.as_ref();
    let members = [
        ("privileged", it.privileged == Some(true)),
        ("dockerSecurityOptions", !it.docker_security_options.is_empty()),
        ("resourceRequirements", !it.resource_requirements.is_empty()),
        ("devices", linux.is_some_and(|it| !it.devices.is_empty())),
        ("sharedMemorySize", linux.is_some_and(|it| it.shared_memory_size.is_some())),
        ("maxSwap", linux.is_some_and(|it| it.max_swap.is_some())),
        ("swappiness", linux.is_some_and(|it| it.swappiness.is_some())),
    ];
    if let Some((member, _)) = members.into_iter().find(|(_, given)| *given) {
        return Some(format!("Fargate compatible task definitions do not support {member}"));
    }
    let added = linux.and_then(|it| it.capabilities.as_ref()).map(|it| it.add.as_slice()).unwrap_or_default();
    if let Some(name) = added.iter().find(|name| *name != "SYS_PTRACE") {
        return Some(format!("Tasks using the Fargate launch type do not support adding the capability {name}."));
    }
    for (which, seconds) in [("start", it.start_timeout), ("stop", it.stop_timeout)] {
        if seconds.is_some_and(|seconds| seconds > TIMEOUT_MAX_SECS) {
            return Some(format!(
                "Tasks using the Fargate launch type must have a container {which} timeout of less than 120 seconds."
            ));
        }
    }
    log_obstacle(it)
}

fn log_obstacle(it: &ContainerDefinition) -> Option<String> {
    let log = it.log_configuration.as_ref()?;
    let driver = match log.log_driver? {
        LogDriver::Awslogs => {
            return log
                .options
                .get("awslogs-stream-prefix")
                .is_none_or(String::is_empty)
                .then(|| "Log driver awslogs requires options: awslogs-stream-prefix".to_owned());
        }
        LogDriver::Splunk | LogDriver::Awsfirelens => return None,
        LogDriver::JsonFile => "json-file",
        LogDriver::Syslog => "syslog",
        LogDriver::Journald => "journald",
        LogDriver::Gelf => "gelf",
        LogDriver::Fluentd => "fluentd",
    };
    Some(format!("{driver} is not a valid log driver. Must be one of [awslogs,splunk,awsfirelens]"))
}
