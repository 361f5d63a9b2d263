//! Which members of task definitions and of RunTask this version carries out, and which it refuses to run.
//!
//! One table, read by RunTask and StartTask (they name *every* member that stands in the way at once) and by
//! `cove ops --fields`. RegisterTaskDefinition takes all of them.
//!
//! Holds: a member that is not carried out is never silently ignored: it is in the table with the test that finds it.

use cove_model::task_definition::{
    CPUArchitecture, ContainerDefinition, DeviceCgroupPermission, DockerVolumeConfiguration, LogConfiguration,
    LogDriver, NetworkMode, OSFamily, ResourceRequirement, ResourceType, Scope, TaskDefinitionDocument,
};
use cove_model::task_override::TaskOverride;

use super::error::EcsError;

/// A row of the table.
pub struct Field {
    /// As in `containerDefinitions[].dependsOn`.
    pub name: &'static str,
    support: Support,
    /// What part is not carried out, where a part is.
    pub missing: &'static str,
}

impl Field {
    /// What becomes of the member, in a word or three.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        match self.support {
            Support::Full => "carried out",
            Support::Refused(_) => "refused",
        }
    }
}

enum Support {
    Full,
    /// Finds where the member is used in a way that is not carried out.
    Refused(Obstacle),
}

enum Obstacle {
    Task(fn(&TaskDefinitionDocument) -> bool),
    Container(fn(&ContainerDefinition) -> bool),
    /// Only where the host keeps no container to its device permissions.
    ContainerWithoutDeviceRules(fn(&ContainerDefinition) -> bool),
    Request(fn(&Wish<'_>) -> bool),
}

/// The members of RunTask and StartTask that the table looks at.
pub(crate) struct Wish<'a> {
    pub(crate) overrides: &'a TaskOverride,
    pub(crate) has_volume_configurations: bool,
    pub(crate) has_reference_id: bool,
    /// Of the host: see [`cove_scheduler::HostFacts::enforces_device_permissions`].
    pub(crate) enforces_device_permissions: bool,
}

const fn done(name: &'static str) -> Field {
    Field { name, support: Support::Full, missing: "" }
}

/// Carried out, but for a part that no task is refused for.
const fn partly(name: &'static str, missing: &'static str) -> Field {
    Field { name, support: Support::Full, missing }
}

const fn task(name: &'static str, missing: &'static str, finds: fn(&TaskDefinitionDocument) -> bool) -> Field {
    Field { name, support: Support::Refused(Obstacle::Task(finds)), missing }
}

const fn container(name: &'static str, missing: &'static str, finds: fn(&ContainerDefinition) -> bool) -> Field {
    Field { name, support: Support::Refused(Obstacle::Container(finds)), missing }
}

const fn without_device_rules(
    name: &'static str,
    missing: &'static str,
    finds: fn(&ContainerDefinition) -> bool,
) -> Field {
    Field { name, support: Support::Refused(Obstacle::ContainerWithoutDeviceRules(finds)), missing }
}

const fn request(name: &'static str, missing: &'static str, finds: fn(&Wish<'_>) -> bool) -> Field {
    Field { name, support: Support::Refused(Obstacle::Request(finds)), missing }
}

/// What stands for "no use of it".
const ANY: &str = "any use";

/// The table: every member of a task definition, then those of RunTask that matter.
pub const FIELDS: &[Field] = &[
    done("containerDefinitions[].name"),
    done("containerDefinitions[].image"),
    done("containerDefinitions[].repositoryCredentials"),
    done("containerDefinitions[].cpu"),
    done("containerDefinitions[].memory"),
    done("containerDefinitions[].memoryReservation"),
    partly("containerDefinitions[].links", "the environment variables of Docker's links"),
    done("containerDefinitions[].portMappings"),
    partly("containerDefinitions[].portMappings[].containerPortRange", "more than 1000 ports of the host for a task"),
    done("containerDefinitions[].essential"),
    done("containerDefinitions[].restartPolicy"),
    done("containerDefinitions[].entryPoint"),
    done("containerDefinitions[].command"),
    done("containerDefinitions[].environment"),
    container("containerDefinitions[].environmentFiles", ANY, |it| !it.environment_files.is_empty()),
    done("containerDefinitions[].mountPoints"),
    done("containerDefinitions[].volumesFrom"),
    done("containerDefinitions[].linuxParameters"),
    without_device_rules(
        "containerDefinitions[].linuxParameters.devices[].permissions",
        "other than read, write and mknod together, where the kernel takes no device rules (cgroup v2 inside a container)",
        has_partial_device,
    ),
    container("containerDefinitions[].secrets", "other than of Secrets Manager", |it| {
        it.secrets.iter().any(|secret| !secret.value_from.as_deref().is_some_and(is_managed_secret))
    }),
    done("containerDefinitions[].dependsOn"),
    done("containerDefinitions[].startTimeout"),
    done("containerDefinitions[].stopTimeout"),
    done("containerDefinitions[].versionConsistency"),
    done("containerDefinitions[].hostname"),
    done("containerDefinitions[].user"),
    done("containerDefinitions[].workingDirectory"),
    done("containerDefinitions[].disableNetworking"),
    done("containerDefinitions[].privileged"),
    done("containerDefinitions[].readonlyRootFilesystem"),
    done("containerDefinitions[].dnsServers"),
    done("containerDefinitions[].dnsSearchDomains"),
    done("containerDefinitions[].extraHosts"),
    container("containerDefinitions[].dockerSecurityOptions", "all but no-new-privileges", |it| {
        it.docker_security_options.iter().any(|option| !is_no_new_privileges(option))
    }),
    done("containerDefinitions[].interactive"),
    done("containerDefinitions[].pseudoTerminal"),
    done("containerDefinitions[].dockerLabels"),
    done("containerDefinitions[].ulimits"),
    container("containerDefinitions[].logConfiguration.logDriver", "drivers other than awslogs and json-file", |it| {
        let driver = it.log_configuration.as_ref().and_then(|log| log.log_driver);
        driver.is_some_and(|driver| !matches!(driver, LogDriver::Awslogs | LogDriver::JsonFile))
    }),
    container(
        "containerDefinitions[].logConfiguration.options",
        "of json-file all but max-size, max-file, mode and max-buffer-size",
        |it| it.log_configuration.as_ref().is_some_and(has_log_option_to_come),
    ),
    container("containerDefinitions[].logConfiguration.secretOptions", ANY, |it| {
        it.log_configuration.as_ref().is_some_and(|log| !log.secret_options.is_empty())
    }),
    done("containerDefinitions[].healthCheck"),
    done("containerDefinitions[].systemControls"),
    container(
        "containerDefinitions[].resourceRequirements",
        "other than GPU; GPUs are counted, there is no device",
        |it| it.resource_requirements.iter().any(is_no_gpu),
    ),
    container("containerDefinitions[].firelensConfiguration", ANY, |it| it.firelens_configuration.is_some()),
    container("containerDefinitions[].credentialSpecs", ANY, |it| !it.credential_specs.is_empty()),
    done("family"),
    done("taskRoleArn"),
    done("executionRoleArn"),
    done("networkMode"),
    done("volumes[].host"),
    task(
        "volumes[].dockerVolumeConfiguration",
        "drivers other than local, and driverOpts other than a tmpfs of scope task",
        |it| it.volumes.iter().filter_map(|volume| volume.docker_volume_configuration.as_ref()).any(is_foreign_volume),
    ),
    task("volumes[].efsVolumeConfiguration", ANY, |it| {
        it.volumes.iter().any(|volume| volume.efs_volume_configuration.is_some())
    }),
    task("volumes[].s3filesVolumeConfiguration", ANY, |it| {
        it.volumes.iter().any(|volume| volume.s3files_volume_configuration.is_some())
    }),
    task("volumes[].fsxWindowsFileServerVolumeConfiguration", ANY, |it| {
        it.volumes.iter().any(|volume| volume.fsx_windows_file_server_volume_configuration.is_some())
    }),
    task("volumes[].configuredAtLaunch", "true", |it| {
        it.volumes.iter().any(|volume| volume.configured_at_launch == Some(true))
    }),
    done("placementConstraints"),
    done("requiresCompatibilities"),
    task("runtimePlatform.operatingSystemFamily", "Windows", |it| {
        let family = it.runtime_platform.as_ref().and_then(|platform| platform.operating_system_family);
        family.is_some_and(|family| family != OSFamily::Linux)
    }),
    task("runtimePlatform.cpuArchitecture", "other than the host's", |it| {
        let wanted = it.runtime_platform.as_ref().and_then(|platform| platform.cpu_architecture);
        wanted.is_some_and(|wanted| Some(wanted) != host_architecture())
    }),
    done("cpu"),
    done("memory"),
    done("pidMode"),
    done("ipcMode"),
    task("proxyConfiguration", ANY, |it| it.proxy_configuration.is_some()),
    task("inferenceAccelerators", ANY, |it| !it.inference_accelerators.is_empty()),
    partly("ephemeralStorage", "a disk that is full: a task that writes more is stopped"),
    task("enableFaultInjection", "true in network mode host, which is the host's own network", |it| {
        it.enable_fault_injection == Some(true) && it.network_mode == Some(NetworkMode::Host)
    }),
    done("enableExecuteCommand"),
    request("volumeConfigurations", ANY, |it| it.has_volume_configurations),
    request("referenceId", ANY, |it| it.has_reference_id),
    request("overrides.inferenceAcceleratorOverrides", ANY, |it| {
        !it.overrides.inference_accelerator_overrides.is_empty()
    }),
    request("overrides.containerOverrides[].environmentFiles", ANY, |it| {
        it.overrides.container_overrides.iter().any(|given| !given.environment_files.is_empty())
    }),
    request("overrides.containerOverrides[].resourceRequirements", "other than GPU", |it| {
        it.overrides.container_overrides.iter().flat_map(|given| &given.resource_requirements).any(is_no_gpu)
    }),
];

/// A privileged container has every device whatever it says, as in Docker. No permission named is all of them.
fn has_partial_device(container: &ContainerDefinition) -> bool {
    let all = [DeviceCgroupPermission::Read, DeviceCgroupPermission::Write, DeviceCgroupPermission::Mknod];
    let devices = container.linux_parameters.iter().flat_map(|linux| &linux.devices);
    let mut permissions = devices.map(|device| &device.permissions).filter(|some| !some.is_empty());
    container.privileged != Some(true) && permissions.any(|some| all.iter().any(|one| !some.contains(one)))
}

fn is_no_gpu(requirement: &ResourceRequirement) -> bool {
    requirement.kind != Some(ResourceType::Gpu)
}

fn is_no_new_privileges(option: &str) -> bool {
    matches!(option, "no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true")
}

/// Registration has looked at those of awslogs.
fn has_log_option_to_come(log: &LogConfiguration) -> bool {
    let here = ["max-size", "max-file", "mode", "max-buffer-size"];
    log.log_driver == Some(LogDriver::JsonFile) && log.options.keys().any(|option| !here.contains(&option.as_str()))
}

/// A local volume is a directory; with options it may be a tmpfs, which lives as long as the task.
fn is_foreign_volume(volume: &DockerVolumeConfiguration) -> bool {
    let options = &volume.driver_opts;
    let is_tmpfs = options.get("type").is_some_and(|kind| kind == "tmpfs")
        && options.keys().all(|key| matches!(key.as_str(), "type" | "device" | "o"))
        && volume.scope != Some(Scope::Shared);
    volume.driver.as_deref().is_some_and(|driver| driver != "local") || !options.is_empty() && !is_tmpfs
}

fn host_architecture() -> Option<CPUArchitecture> {
    match std::env::consts::ARCH {
        "x86_64" => Some(CPUArchitecture::X8664),
        "aarch64" => Some(CPUArchitecture::Arm64),
        _ => None,
    }
}

/// Refuses to run what this version does not carry out, naming every member that stands in the way.
pub(crate) fn check(document: &TaskDefinitionDocument, wish: &Wish<'_>) -> Result<(), EcsError> {
    let mut names = Vec::new();
    for field in FIELDS {
        let Support::Refused(obstacle) = &field.support else { continue };
        match obstacle {
            Obstacle::Task(finds) if finds(document) => names.push(field.name.to_owned()),
            Obstacle::Request(finds) if finds(wish) => names.push(field.name.to_owned()),
            Obstacle::Task(_) | Obstacle::Request(_) => {}
            Obstacle::ContainerWithoutDeviceRules(_) if wish.enforces_device_permissions => {}
            Obstacle::Container(finds) | Obstacle::ContainerWithoutDeviceRules(finds) => {
                let found = document.container_definitions.iter().filter(|it| finds(it));
                names.extend(found.map(|it| of_container(field.name, it.name.as_deref().unwrap_or_default())));
            }
        }
    }
    if names.is_empty() {
        return Ok(());
    }
    Err(EcsError::UnsupportedFeature(format!(
        "This version of Cove does not carry out: {}. `cove ops --fields` lists what it does.",
        names.join(", ")
    )))
}

/// Parameters of Systems Manager are named without a service, or with another one.
fn is_managed_secret(value_from: &str) -> bool {
    value_from.starts_with("arn:") && value_from.split(':').nth(2) == Some("secretsmanager")
}

/// `containerDefinitions[].x` of container `web` is `containerDefinitions[web].x`.
fn of_container(field: &str, container: &str) -> String {
    field.replacen("[]", &format!("[{container}]"), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_that_stands_in_the_way_is_named_at_once() {
        let document: TaskDefinitionDocument = serde_json::from_value(serde_json::json!({
            "family": "app",
            "proxyConfiguration": {"containerName": "web"},
            "containerDefinitions": [
                {"name": "web", "image": "x", "secrets": [{"name": "A", "valueFrom": "b"}], "credentialSpecs": ["c"]},
                {"name": "db", "image": "y", "secrets": [{"name": "A", "valueFrom": "b"}]},
            ],
        }))
        .expect("a document");
        let wish = Wish {
            overrides: &TaskOverride::default(),
            has_volume_configurations: true,
            has_reference_id: false,
            enforces_device_permissions: true,
        };
        let text = check(&document, &wish).expect_err("refused").to_string();
        for name in [
            "containerDefinitions[web].secrets",
            "containerDefinitions[db].secrets",
            "containerDefinitions[web].credentialSpecs",
            "proxyConfiguration",
            "volumeConfigurations",
        ] {
            assert!(text.contains(name), "{name} in {text}");
        }
    }

    #[test]
    fn partial_device_permissions_are_refused_where_the_host_does_not_enforce_them() {
        let refused = |permissions: serde_json::Value, privileged: bool, enforces_device_permissions: bool| {
            let document: TaskDefinitionDocument = serde_json::from_value(serde_json::json!({
                "family": "app",
                "containerDefinitions": [{"name": "web", "image": "x", "privileged": privileged,
                    "linuxParameters": {"devices": [{"hostPath": "/dev/x", "permissions": permissions}]}}],
            }))
            .expect("a document");
            let wish = Wish {
                overrides: &TaskOverride::default(),
                has_volume_configurations: false,
                has_reference_id: false,
                enforces_device_permissions,
            };
            check(&document, &wish).err().map(|error| error.to_string())
        };
        use serde_json::json;
        let text = refused(json!(["read"]), false, false).expect("refused");
        assert!(text.contains("containerDefinitions[web].linuxParameters.devices[].permissions"), "{text}");
        assert_eq!(refused(json!(["read"]), false, true), None);
        assert_eq!(refused(json!(["read"]), true, false), None);
        assert_eq!(refused(json!(["mknod", "read", "write"]), false, false), None);
        assert_eq!(refused(json!([]), false, false), None);
    }

    #[test]
    fn the_table_names_every_member_of_a_container_definition_once() {
        let mut names: Vec<_> = FIELDS.iter().map(|field| field.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FIELDS.len());
    }
}
