//! The members of one container definition, network and volumes aside: defaults filled in, ranges checked.

use std::collections::HashSet;

use cove_model::task_definition::{
    ContainerDefinition, HealthCheck, LinuxParameters, LogConfiguration, LogDriver, ResourceRequirement, ResourceType,
    Secret, TransportProtocol,
};

use crate::ecs::error::EcsError;

/// Docker's smallest memory limit.
const MEMORY_MIN_MIB: i32 = 6;
/// ECS's quota of environment files per container.
const ENVIRONMENT_FILES_MAX: usize = 10;
/// The largest instances have 16.
const GPUS_MAX: u32 = 16;
const IGNORED_EXIT_CODES_MAX: usize = 50;
/// A registry host, a repository of 255 characters, a tag and a digest fit well.
const IMAGE_MAX: usize = 1024;

/// Every option of the `awslogs` driver that ECS lets through: fewer than Docker's, which has `awslogs-endpoint` and `tag`.
const AWSLOGS_OPTIONS: [&str; 8] = [
    "awslogs-create-group",
    "awslogs-region",
    "awslogs-group",
    "awslogs-stream-prefix",
    "awslogs-datetime-format",
    "awslogs-multiline-pattern",
    "mode",
    "max-buffer-size",
];

/// The names that `capabilities.add` and `.drop` take.
const CAPABILITIES: [&str; 38] = [
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "SYSLOG",
    "WAKE_ALARM",
];

/// The words that `tmpfs.mountOptions` takes; those with a value are written `name=value`.
const TMPFS_OPTIONS: [&str; 38] = [
    "defaults",
    "ro",
    "rw",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "sync",
    "async",
    "dirsync",
    "remount",
    "mand",
    "nomand",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "bind",
    "rbind",
    "unbindable",
    "runbindable",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "mode",
    "uid",
    "gid",
    "nr_inodes",
    "nr_blocks",
];

/// Fills in AWS's defaults.
pub(super) fn normalise(definition: &mut ContainerDefinition) {
    definition.cpu.get_or_insert(0);
    definition.essential.get_or_insert(true);
    for mapping in &mut definition.port_mappings {
        mapping.protocol.get_or_insert(TransportProtocol::Tcp);
    }
    if let Some(check) = &mut definition.health_check {
        check.interval.get_or_insert(30);
        check.timeout.get_or_insert(5);
        check.retries.get_or_insert(3);
    }
}

/// Checks everything that does not need a look at the rest of the task definition.
pub(super) fn check(
    definition: &ContainerDefinition,
    task_has_memory: bool,
    has_execution_role: bool,
) -> Result<(), EcsError> {
    let container = Subject(definition.name.as_deref().unwrap_or_default());
    check_image(definition.image.as_deref())?;
    check_size(&container, definition, task_has_memory)?;
    check_times(&container, definition)?;
    check_environment(&container, definition)?;
    check_lists(&container, definition)?;
    if let Some(parameters) = &definition.linux_parameters {
        check_linux_parameters(&container, parameters)?;
    }
    if let Some(health) = &definition.health_check {
        check_health(&container, health)?;
    }
    if let Some(log) = &definition.log_configuration {
        check_log(log)?;
    }
    check_secrets(definition, has_execution_role)
}

/// The container that a text speaks of.
struct Subject<'a>(&'a str);

impl Subject<'_> {
    fn invalid(&self, setting: &str) -> EcsError {
        EcsError::client(format!("Invalid '{setting}' setting for container '{}'.", self.0))
    }

    fn explain(&self, why: impl std::fmt::Display) -> EcsError {
        EcsError::client(format!("Invalid setting for container '{}'. {why}", self.0))
    }

    fn in_range(&self, setting: &str, value: Option<i32>, least: i32, most: i32) -> Result<(), EcsError> {
        match value {
            Some(value) if !(least..=most).contains(&value) => {
                Err(self.explain(format_args!("'{setting}' must be between {least} and {most}.")))
            }
            _ => Ok(()),
        }
    }
}

fn check_image(image: Option<&str>) -> Result<(), EcsError> {
    let image = image.unwrap_or_default();
    if image.is_empty() {
        return Err(EcsError::client("Container.image should not be null or empty."));
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:./#@+".contains(&byte);
    if image.len() > IMAGE_MAX || !image.bytes().all(legal) {
        return Err(EcsError::client("Container.image contains invalid characters."));
    }
    Ok(())
}

fn check_size(container: &Subject<'_>, it: &ContainerDefinition, task_has_memory: bool) -> Result<(), EcsError> {
    if it.cpu.is_some_and(|cpu| cpu < 0) {
        return Err(container.invalid("cpu"));
    }
    if it.memory.is_some_and(|mib| mib < MEMORY_MIN_MIB) {
        return Err(container.invalid("memory"));
    }
    if it.memory_reservation.is_some_and(|mib| mib < MEMORY_MIN_MIB) {
        return Err(container.invalid("memoryReservation"));
    }
    match (it.memory, it.memory_reservation) {
        (None, None) if !task_has_memory => {
            Err(container.explain("At least one of 'memory' or 'memoryReservation' must be specified."))
        }
        (Some(hard), Some(soft)) if soft > hard => {
            Err(container.explain("'memory' must be greater than or equal to 'memoryReservation'."))
        }
        _ => Ok(()),
    }
}

fn check_times(container: &Subject<'_>, it: &ContainerDefinition) -> Result<(), EcsError> {
    for (which, seconds) in [("start", it.start_timeout), ("stop", it.stop_timeout)] {
        if seconds.is_some_and(|seconds| seconds < 2) {
            return Err(EcsError::client(format!(
                "Granular {which} timeout on container '{}' must be at least 2 seconds.",
                container.0
            )));
        }
    }
    let Some(policy) = &it.restart_policy else { return Ok(()) };
    container.in_range("restartPolicy.restartAttemptPeriod", policy.restart_attempt_period, 60, 1800)?;
    if policy.ignored_exit_codes.len() > IGNORED_EXIT_CODES_MAX {
        return Err(container.explain("'restartPolicy.ignoredExitCodes' holds at most 50 exit codes."));
    }
    Ok(())
}

fn check_environment(container: &Subject<'_>, it: &ContainerDefinition) -> Result<(), EcsError> {
    if it
        .environment
        .iter()
        .any(|pair| pair.name.as_deref().is_none_or(|name| name.is_empty() || name.contains(['=', '\0'])))
    {
        return Err(container.explain("Environment variable names should not be null or empty."));
    }
    if it.environment_files.len() > ENVIRONMENT_FILES_MAX {
        return Err(container.explain("At most 10 environment files can be specified."));
    }
    let is_env = |value: Option<&str>| value.is_some_and(|arn| arn.starts_with("arn:") && arn.ends_with(".env"));
    if it.environment_files.iter().any(|file| !is_env(file.value.as_deref())) {
        return Err(container.explain("Environment files must be ARNs of S3 objects that end in '.env'."));
    }
    Ok(())
}

fn check_lists(container: &Subject<'_>, it: &ContainerDefinition) -> Result<(), EcsError> {
    for limit in &it.ulimits {
        // -1 stands for "unlimited".
        let (soft, hard) = (limit.soft_limit.unwrap_or_default(), limit.hard_limit.unwrap_or_default());
        if soft < -1 || hard < -1 || (hard != -1 && (soft > hard || soft == -1)) {
            return Err(container.explain("The soft limit of a ulimit must be less than or equal to its hard limit."));
        }
    }
    for control in &it.system_controls {
        if control.namespace.as_deref().is_none_or(|name| name.trim().is_empty()) || control.value.is_none() {
            return Err(container.invalid("systemControls"));
        }
    }
    for option in &it.docker_security_options {
        let known = ["no-new-privileges", "apparmor:", "label:", "credentialspec:"];
        if !known.iter().any(|prefix| option.starts_with(prefix)) {
            return Err(container.invalid("dockerSecurityOptions"));
        }
    }
    if it.credential_specs.len() > 1 {
        return Err(container.explain("At most 1 credential spec can be specified."));
    }
    for requirement in &it.resource_requirements {
        if !is_requirement(requirement) {
            return Err(container.invalid("resourceRequirements"));
        }
    }
    Ok(())
}

/// Whether a requirement says what it must: how many GPUs, or which accelerator.
pub(crate) fn is_requirement(it: &ResourceRequirement) -> bool {
    let value = it.value.as_deref().unwrap_or_default();
    match it.kind {
        Some(ResourceType::Gpu) => value.parse::<u32>().is_ok_and(|count| (1..=GPUS_MAX).contains(&count)),
        Some(ResourceType::InferenceAccelerator) => !value.trim().is_empty(),
        None => false,
    }
}

fn check_linux_parameters(container: &Subject<'_>, it: &LinuxParameters) -> Result<(), EcsError> {
    if let Some(capabilities) = &it.capabilities {
        let known = |name: &String| CAPABILITIES.contains(&name.as_str());
        if !capabilities.add.iter().chain(&capabilities.drop).all(known) {
            return Err(container.invalid("capabilities"));
        }
    }
    for device in &it.devices {
        if device.host_path.as_deref().is_none_or(|path| !path.starts_with('/'))
            || device.container_path.as_deref().is_some_and(|path| !path.starts_with('/'))
        {
            return Err(container.invalid("devices"));
        }
    }
    for tmpfs in &it.tmpfs {
        let known = |option: &String| {
            let name = option.split_once('=').map_or(option.as_str(), |(name, _)| name);
            TMPFS_OPTIONS.contains(&name) || name == "mpol"
        };
        if tmpfs.container_path.as_deref().is_none_or(|path| !path.starts_with('/'))
            || tmpfs.size.is_none_or(|mib| mib < 1)
            || !tmpfs.mount_options.iter().all(known)
        {
            return Err(container.invalid("tmpfs"));
        }
    }
    if it.shared_memory_size.is_some_and(|mib| mib < 1) {
        return Err(container.invalid("sharedMemorySize"));
    }
    if it.max_swap.is_some_and(|mib| mib < 0) {
        return Err(container.invalid("maxSwap"));
    }
    container.in_range("swappiness", it.swappiness, 0, 100)
}

fn check_health(container: &Subject<'_>, it: &HealthCheck) -> Result<(), EcsError> {
    let words: Vec<&str> = it.command.iter().map(String::as_str).collect();
    let good = match words.as_slice() {
        ["NONE"] => true,
        ["CMD-SHELL", script, ..] => !script.is_empty(),
        ["CMD", program, ..] => !program.is_empty(),
        _ => false,
    };
    if !good {
        return Err(container.explain("The health check command must begin with CMD or CMD-SHELL and name a command."));
    }
    container.in_range("healthCheck.interval", it.interval, 5, 300)?;
    container.in_range("healthCheck.timeout", it.timeout, 2, 60)?;
    container.in_range("healthCheck.retries", it.retries, 1, 10)?;
    container.in_range("healthCheck.startPeriod", it.start_period, 0, 300)
}

fn check_log(log: &LogConfiguration) -> Result<(), EcsError> {
    let Some(driver) = log.log_driver else {
        return Err(EcsError::client("Log driver should not be null."));
    };
    if driver != LogDriver::Awslogs {
        return Ok(());
    }
    let missing: Vec<&str> = ["awslogs-region", "awslogs-group"]
        .into_iter()
        .filter(|option| log.options.get(*option).is_none_or(String::is_empty))
        .collect();
    if !missing.is_empty() {
        return Err(EcsError::client(format!("Log driver awslogs requires options: {}", missing.join(", "))));
    }
    let unknown: Vec<&str> =
        log.options.keys().map(String::as_str).filter(|option| !AWSLOGS_OPTIONS.contains(option)).collect();
    if !unknown.is_empty() {
        return Err(EcsError::client(format!("Log driver awslogs disallows options: {}", unknown.join(", "))));
    }
    if log.options.get("awslogs-create-group").is_some_and(|given| !given.eq_ignore_ascii_case("true")) {
        return Err(EcsError::client(
            "Log driver awslogs option 'awslogs-create-group' should only be set to 'true', else omit option.",
        ));
    }
    if log.options.get("mode").is_some_and(|mode| mode != "blocking" && mode != "non-blocking") {
        return Err(EcsError::client("Log option 'mode' must be 'blocking' or 'non-blocking'."));
    }
    Ok(())
}

fn check_secrets(it: &ContainerDefinition, has_execution_role: bool) -> Result<(), EcsError> {
    let of_log = it.log_configuration.iter().flat_map(|log| &log.secret_options);
    let secrets: Vec<&Secret> = it.secrets.iter().chain(of_log).collect();
    if secrets.iter().any(|secret| blank(secret.name.as_deref()) || blank(secret.value_from.as_deref())) {
        return Err(EcsError::client("Secret name and valueFrom should not be null or empty."));
    }
    if !secrets.is_empty() && !has_execution_role {
        return Err(EcsError::client(
            "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.",
        ));
    }
    let mut names: HashSet<&str> = it.environment.iter().filter_map(|one| one.name.as_deref()).collect();
    match it.secrets.iter().filter_map(|secret| secret.name.as_deref()).find(|name| !names.insert(name)) {
        None => Ok(()),
        Some(name) => Err(EcsError::client(format!(
            "The secret name must be unique and not shared with any new or existing environment variables set on the container, such as '{name}'."
        ))),
    }
}

fn blank(text: Option<&str>) -> bool {
    text.is_none_or(|text| text.trim().is_empty())
}
