//! Which members of task definitions and of RunTask this version carries out, and which it refuses to run.
//!
//! One table, read by RunTask and StartTask (they name *every* member that stands in the way at once) and by
//! `cove ops --fields`. RegisterTaskDefinition takes all of them.
//!
//! Holds: a member that is not carried out is never silently ignored: it is in the table with the test that finds it.

use cove_model::task_definition::{
    CPUArchitecture, ContainerDefinition, DeviceCgroupPermission, DockerVolumeConfiguration, LogConfiguration,
    LogDriver, NetworkMode, OSFamily, ResourceRequirement, ResourceType, Scope, TaskDefinitionDocument, Volume,
};
use cove_model::task_override::TaskOverride;
use serde::Serialize;

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

/// Each says what was found: the values that are not carried out, or [`used`] where no value is.
enum Obstacle {
    Task(fn(&TaskDefinitionDocument) -> Option<String>),
    Container(fn(&ContainerDefinition) -> Option<String>),
    /// Only where the host keeps no container to its device permissions.
    ContainerWithoutDeviceRules(fn(&ContainerDefinition) -> Option<String>),
    Request(fn(&Wish<'_>) -> Option<String>),
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

const fn task(
    name: &'static str,
    missing: &'static str,
    finds: fn(&TaskDefinitionDocument) -> Option<String>,
) -> Field {
    Field { name, support: Support::Refused(Obstacle::Task(finds)), missing }
}

const fn container(
    name: &'static str,
    missing: &'static str,
    finds: fn(&ContainerDefinition) -> Option<String>,
) -> Field {
    Field { name, support: Support::Refused(Obstacle::Container(finds)), missing }
}

const fn without_device_rules(
    name: &'static str,
    missing: &'static str,
    finds: fn(&ContainerDefinition) -> Option<String>,
) -> Field {
    Field { name, support: Support::Refused(Obstacle::ContainerWithoutDeviceRules(finds)), missing }
}

const fn request(name: &'static str, missing: &'static str, finds: fn(&Wish<'_>) -> Option<String>) -> Field {
    Field { name, support: Support::Refused(Obstacle::Request(finds)), missing }
}

/// Where a member is refused whatever it says.
fn used(is_used: bool) -> Option<String> {
    is_used.then(String::new)
}

/// Values that are refused, if there are any.
fn refused<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> Option<String> {
    let all: Vec<String> = values.into_iter().map(|value| value.as_ref().to_owned()).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// As clients write it.
fn word(value: impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
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
    container("containerDefinitions[].environmentFiles", ANY, |it| used(!it.environment_files.is_empty())),
    done("containerDefinitions[].mountPoints"),
    done("containerDefinitions[].volumesFrom"),
    done("containerDefinitions[].linuxParameters"),
    without_device_rules(
        "containerDefinitions[].linuxParameters.devices[].permissions",
        "other than read, write and mknod together, where the kernel takes no device rules (cgroup v2 inside a container)",
        has_partial_device,
    ),
    container("containerDefinitions[].secrets", "other than of Secrets Manager", |it| {
        let named = it.secrets.iter().map(|secret| secret.value_from.as_deref().unwrap_or_default());
        refused(named.filter(|text| !is_managed_secret(text)))
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
        refused(it.docker_security_options.iter().filter(|option| !is_no_new_privileges(option)))
    }),
    done("containerDefinitions[].interactive"),
    done("containerDefinitions[].pseudoTerminal"),
    done("containerDefinitions[].dockerLabels"),
    done("containerDefinitions[].ulimits"),
    container("containerDefinitions[].logConfiguration.logDriver", "drivers other than awslogs and json-file", |it| {
        let driver = it.log_configuration.as_ref().and_then(|log| log.log_driver);
        refused(driver.filter(|it| !matches!(it, LogDriver::Awslogs | LogDriver::JsonFile)).map(word))
    }),
    container(
        "containerDefinitions[].logConfiguration.options",
        "of json-file all but max-size, max-file, mode and max-buffer-size",
        |it| refused(it.log_configuration.iter().flat_map(log_options_to_come)),
    ),
    container("containerDefinitions[].logConfiguration.secretOptions", ANY, |it| {
        used(it.log_configuration.as_ref().is_some_and(|log| !log.secret_options.is_empty()))
    }),
    done("containerDefinitions[].healthCheck"),
    done("containerDefinitions[].systemControls"),
    container(
        "containerDefinitions[].resourceRequirements",
        "other than GPU; GPUs are counted, there is no device",
        |it| refused(it.resource_requirements.iter().filter_map(not_gpu)),
    ),
    container("containerDefinitions[].firelensConfiguration", ANY, |it| used(it.firelens_configuration.is_some())),
    container("containerDefinitions[].credentialSpecs", ANY, |it| used(!it.credential_specs.is_empty())),
    done("family"),
    done("taskRoleArn"),
    done("executionRoleArn"),
    done("networkMode"),
    done("volumes[].host"),
    task(
        "volumes[].dockerVolumeConfiguration",
        "drivers other than local, and driverOpts other than a tmpfs of scope task",
        |it| {
            let is_foreign =
                |volume: &&Volume| volume.docker_volume_configuration.as_ref().is_some_and(is_foreign_volume);
            refused(it.volumes.iter().filter(is_foreign).map(|volume| volume.name.as_deref().unwrap_or_default()))
        },
    ),
    task("volumes[].efsVolumeConfiguration", ANY, |it| {
        used(it.volumes.iter().any(|volume| volume.efs_volume_configuration.is_some()))
    }),
    task("volumes[].s3filesVolumeConfiguration", ANY, |it| {
        used(it.volumes.iter().any(|volume| volume.s3files_volume_configuration.is_some()))
    }),
    task("volumes[].fsxWindowsFileServerVolumeConfiguration", ANY, |it| {
        used(it.volumes.iter().any(|volume| volume.fsx_windows_file_server_volume_configuration.is_some()))
    }),
    task("volumes[].configuredAtLaunch", "true", |it| {
        used(it.volumes.iter().any(|volume| volume.configured_at_launch == Some(true)))
    }),
    done("placementConstraints"),
    done("requiresCompatibilities"),
    task("runtimePlatform.operatingSystemFamily", "Windows", |it| {
        let family = it.runtime_platform.as_ref().and_then(|platform| platform.operating_system_family);
        refused(family.filter(|family| *family != OSFamily::Linux).map(word))
    }),
    task("runtimePlatform.cpuArchitecture", "other than the host's", |it| {
        let wanted = it.runtime_platform.as_ref().and_then(|platform| platform.cpu_architecture);
        refused(wanted.filter(|wanted| Some(*wanted) != host_architecture()).map(word))
    }),
    done("cpu"),
    done("memory"),
    done("pidMode"),
    done("ipcMode"),
    task("proxyConfiguration", ANY, |it| used(it.proxy_configuration.is_some())),
    task("inferenceAccelerators", ANY, |it| used(!it.inference_accelerators.is_empty())),
    partly("ephemeralStorage", "a disk that is full: a task that writes more is stopped"),
    task("enableFaultInjection", "true in network mode host, which is the host's own network", |it| {
        used(it.enable_fault_injection == Some(true) && it.network_mode == Some(NetworkMode::Host))
    }),
    done("enableExecuteCommand"),
    request("volumeConfigurations", ANY, |it| used(it.has_volume_configurations)),
    request("referenceId", ANY, |it| used(it.has_reference_id)),
    request("overrides.inferenceAcceleratorOverrides", ANY, |it| {
        used(!it.overrides.inference_accelerator_overrides.is_empty())
    }),
    request("overrides.containerOverrides[].environmentFiles", ANY, |it| {
        used(it.overrides.container_overrides.iter().any(|given| !given.environment_files.is_empty()))
    }),
    request("overrides.containerOverrides[].resourceRequirements", "other than GPU", |it| {
        let given = it.overrides.container_overrides.iter().flat_map(|given| &given.resource_requirements);
        refused(given.filter_map(not_gpu))
    }),
];

/// A privileged container has every device whatever it says, as in Docker. No permission named is all of them.
fn has_partial_device(container: &ContainerDefinition) -> Option<String> {
    let all = [DeviceCgroupPermission::Read, DeviceCgroupPermission::Write, DeviceCgroupPermission::Mknod];
    let devices = container.linux_parameters.iter().flat_map(|linux| &linux.devices);
    let mut permissions = devices.map(|device| &device.permissions).filter(|some| !some.is_empty());
    used(container.privileged != Some(true) && permissions.any(|some| all.iter().any(|one| !some.contains(one))))
}

fn not_gpu(requirement: &ResourceRequirement) -> Option<String> {
    (requirement.kind != Some(ResourceType::Gpu)).then(|| word(requirement.kind))
}

fn is_no_new_privileges(option: &str) -> bool {
    matches!(option, "no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true")
}

/// Registration has looked at those of awslogs.
fn log_options_to_come(log: &LogConfiguration) -> impl Iterator<Item = &String> {
    let here = ["max-size", "max-file", "mode", "max-buffer-size"];
    let is_json = log.log_driver == Some(LogDriver::JsonFile);
    log.options.keys().filter(move |option| is_json && !here.contains(&option.as_str()))
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
            Obstacle::Task(finds) => names.extend(finds(document).map(|found| with_value(field.name, &found))),
            Obstacle::Request(finds) => names.extend(finds(wish).map(|found| with_value(field.name, &found))),
            Obstacle::ContainerWithoutDeviceRules(_) if wish.enforces_device_permissions => {}
            Obstacle::Container(finds) | Obstacle::ContainerWithoutDeviceRules(finds) => {
                let named = |it: &ContainerDefinition| of_container(field.name, it.name.as_deref().unwrap_or_default());
                let found = document.container_definitions.iter().filter_map(|it| Some((it, finds(it)?)));
                names.extend(found.map(|(it, found)| with_value(&named(it), &found)));
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

/// `x (y)`: what of the member stands in the way, where that is one value of several.
fn with_value(field: &str, found: &str) -> String {
    if found.is_empty() { field.to_owned() } else { format!("{field} ({found})") }
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
                {"name": "db", "image": "y", "secrets": [{"name": "A", "valueFrom": "b"}],
                    "logConfiguration": {"logDriver": "fluentd"}},
            ],
            "runtimePlatform": {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"},
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
            "containerDefinitions[web].secrets (b)",
            "containerDefinitions[db].secrets (b)",
            "containerDefinitions[db].logConfiguration.logDriver (fluentd)",
            "runtimePlatform.operatingSystemFamily (WINDOWS_SERVER_2022_CORE)",
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
