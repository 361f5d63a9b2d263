//! The parts of a container definition that ACS hands over in Docker's own words: `Config` and `HostConfig` as JSON.
//!
//! In: the definition and the task's container. Out: two documents. No clock, no store.

use cove_model::task::{Container, Task};
use cove_model::task_definition::{
    ContainerDefinition, Device, DeviceCgroupPermission, HealthCheck, HostEntry, LinuxParameters, LogConfiguration,
    LogDriver, NetworkMode, Tmpfs, Ulimit,
};
use serde_json::{Map, Value, json};

const MIB: i64 = 1 << 20;
const SECOND_NANOS: i64 = 1_000_000_000;

/// Docker's `Config`: what is the container's own.
pub(super) fn config(it: &ContainerDefinition) -> Value {
    present(json!({
        "Hostname": it.hostname,
        "User": it.user,
        "WorkingDir": it.working_directory,
        "Labels": (!it.docker_labels.is_empty()).then_some(&it.docker_labels),
        "Tty": it.pseudo_terminal,
        "OpenStdin": it.interactive,
        "NetworkDisabled": it.disable_networking,
        "Healthcheck": it.health_check.as_ref().filter(|check| !check.command.is_empty()).map(health_check),
    }))
}

/// Docker's `HostConfig`: what the host gives it. `endpoint`: where logs go.
pub(super) fn host_config(task: &Task, it: &ContainerDefinition, container: &Container, endpoint: &str) -> Value {
    let linux = it.linux_parameters.clone().unwrap_or_default();
    let capabilities = linux.capabilities.clone().unwrap_or_default();
    let mode = match task.network.mode() {
        NetworkMode::Bridge => "bridge",
        NetworkMode::Host => "host",
        NetworkMode::None | NetworkMode::Awsvpc => "none",
    };
    let reservation = container.memory_reservation.as_deref().and_then(|text| text.parse::<i64>().ok());
    let (swap, swappiness) = swap(&linux, container);
    let controls = it.system_controls.iter().filter_map(|it| Some((it.namespace.clone()?, json!(it.value))));
    present(json!({
        "NetworkMode": mode,
        "CapAdd": list(&capabilities.add),
        "CapDrop": list(&capabilities.drop),
        "Devices": some(linux.devices.iter().filter_map(device).collect()),
        "Init": linux.init_process_enabled,
        "ShmSize": linux.shared_memory_size.map(|mib| i64::from(mib) * MIB),
        "Tmpfs": object(linux.tmpfs.iter().filter_map(tmpfs).collect()),
        "MemoryReservation": reservation.map(|mib| mib * MIB),
        "MemorySwap": swap,
        "MemorySwappiness": swappiness,
        "Privileged": it.privileged,
        "ReadonlyRootfs": it.readonly_root_filesystem,
        "Dns": list(&it.dns_servers),
        "DnsSearch": list(&it.dns_search_domains),
        "ExtraHosts": some(it.extra_hosts.iter().filter_map(host).collect()),
        "SecurityOpt": list(&it.docker_security_options),
        "Ulimits": some(it.ulimits.iter().filter_map(ulimit).collect()),
        "Sysctls": object(controls.collect()),
        "LogConfig": it.log_configuration.as_ref().map(|log| log_config(log, container, endpoint)),
    }))
}

/// Without the members that nobody gave.
fn present(mut document: Value) -> Value {
    if let Value::Object(members) = &mut document {
        members.retain(|_, value| !value.is_null());
    }
    document
}

fn list(texts: &[String]) -> Value {
    some(texts.iter().map(|text| json!(text)).collect())
}

fn some(values: Vec<Value>) -> Value {
    if values.is_empty() { Value::Null } else { Value::Array(values) }
}

fn object(members: Map<String, Value>) -> Value {
    if members.is_empty() { Value::Null } else { Value::Object(members) }
}

fn health_check(it: &HealthCheck) -> Value {
    let nanos = |seconds: Option<i32>| seconds.map(|it| i64::from(it) * SECOND_NANOS);
    present(json!({
        "Test": it.command,
        "Interval": nanos(it.interval),
        "Timeout": nanos(it.timeout),
        "StartPeriod": nanos(it.start_period),
        "Retries": it.retries,
    }))
}

/// maxSwap is beside the memory, Docker's limit is both together; 0 is no swap.
fn swap(linux: &LinuxParameters, container: &Container) -> (Option<i64>, Option<i32>) {
    let memory = container.memory.as_deref().and_then(|text| text.parse::<i64>().ok());
    let Some((memory, most)) = memory.zip(linux.max_swap) else { return (None, None) };
    (Some((memory + i64::from(most)) * MIB), linux.swappiness)
}

fn device(it: &Device) -> Option<Value> {
    let host = it.host_path.as_ref()?;
    let letter = |permission: &DeviceCgroupPermission| match permission {
        DeviceCgroupPermission::Read => 'r',
        DeviceCgroupPermission::Write => 'w',
        DeviceCgroupPermission::Mknod => 'm',
    };
    let given: String = it.permissions.iter().map(letter).collect();
    Some(json!({
        "PathOnHost": host,
        "PathInContainer": it.container_path.as_ref().unwrap_or(host),
        "CgroupPermissions": if given.is_empty() { "rwm" } else { &given },
    }))
}

fn tmpfs(it: &Tmpfs) -> Option<(String, Value)> {
    let mut options = it.mount_options.clone();
    options.extend(it.size.map(|mib| format!("size={mib}m")));
    Some((it.container_path.clone()?, json!(options.join(","))))
}

fn host(it: &HostEntry) -> Option<Value> {
    Some(json!(format!("{}:{}", it.hostname.as_ref()?, it.ip_address.as_ref()?)))
}

fn ulimit(it: &Ulimit) -> Option<Value> {
    Some(json!({"Name": it.name?, "Soft": it.soft_limit?, "Hard": it.hard_limit?}))
}

/// awslogs goes to this server, into the stream that the task shows.
fn log_config(log: &LogConfiguration, container: &Container, endpoint: &str) -> Value {
    let mut options = log.options.clone();
    if log.log_driver == Some(LogDriver::Awslogs) {
        options.remove("awslogs-stream-prefix");
        if let Some(log) = &container.log {
            options.insert("awslogs-stream".to_owned(), log.stream.clone());
        }
        options.entry("awslogs-endpoint".to_owned()).or_insert_with(|| endpoint.to_owned());
    }
    json!({"Type": log.log_driver, "Config": options})
}

#[cfg(test)]
mod tests {
    use cove_model::fixture;

    use super::*;

    #[test]
    fn a_definition_is_told_in_dockers_words() {
        let document = json!({
            "name": "main", "user": "1000", "dnsServers": ["10.0.0.2"], "readonlyRootFilesystem": true,
            "extraHosts": [{"hostname": "db", "ipAddress": "10.0.0.3"}],
            "ulimits": [{"name": "nofile", "softLimit": 10, "hardLimit": 20}],
            "healthCheck": {"command": ["CMD", "true"], "interval": 5},
            "linuxParameters": {"initProcessEnabled": true, "maxSwap": 64, "swappiness": 10, "sharedMemorySize": 8,
                "capabilities": {"add": ["NET_ADMIN"]}, "devices": [{"hostPath": "/dev/fuse", "permissions": ["read"]}],
                "tmpfs": [{"containerPath": "/t", "size": 16, "mountOptions": ["noexec"]}]},
            "logConfiguration": {"logDriver": "awslogs",
                "options": {"awslogs-group": "g", "awslogs-stream-prefix": "p"}},
        });
        let definition: ContainerDefinition = serde_json::from_value(document).unwrap();
        let mut container = Container { memory: Some("128".into()), ..fixture::container("main") };
        container.log = Some(cove_model::task::ContainerLog {
            group: "g".into(),
            stream: "p/main/t".into(),
            directory: String::new(),
        });
        let check = json!({"Test": ["CMD", "true"], "Interval": 5_000_000_000_i64});
        assert_eq!(config(&definition), json!({"User": "1000", "Healthcheck": check}));
        let expected = json!({
            "NetworkMode": "none", "CapAdd": ["NET_ADMIN"], "Init": true, "ShmSize": 8 << 20,
            "Devices": [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "r"}],
            "Tmpfs": {"/t": "noexec,size=16m"}, "MemorySwap": 192 << 20, "MemorySwappiness": 10,
            "ReadonlyRootfs": true, "Dns": ["10.0.0.2"], "ExtraHosts": ["db:10.0.0.3"],
            "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}],
            "LogConfig": {"Type": "awslogs", "Config":
                {"awslogs-group": "g", "awslogs-stream": "p/main/t", "awslogs-endpoint": "http://cove"}},
        });
        assert_eq!(host_config(&fixture::task("t"), &definition, &container, "http://cove"), expected);
    }
}
