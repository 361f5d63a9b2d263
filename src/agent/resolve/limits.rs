//! Sizes: of the task, of a container, of its processes.

use cove_model::task::{LaunchType, Task};
use cove_model::task_definition::{ContainerDefinition, LinuxParameters, Ulimit, UlimitName};
use cove_model::task_override::ContainerOverride;
use cove_runtime::spec::{ContainerResources, Rlimit, TaskLimits};

use super::ResolveError;

const MIB: u64 = 1 << 20;
/// ECS's unit of CPU: 1024 are one core.
const CPU_PER_CORE: u64 = 1024;
/// The kernel takes no fewer shares than 2, and ECS says so too.
const CPU_SHARES_MIN: u64 = 2;
/// Docker's size of /dev/shm.
const SHM_DEFAULT_BYTES: u64 = 64 * MIB;
/// Processes and threads of one task: a fork bomb must not take the host's pid space (32768 on small hosts).
const TASK_PIDS_MAX: i64 = 16_384;
/// Fargate's default of open files, soft and hard.
const NOFILE_FARGATE: (u64, u64) = (65_535, 65_535);
/// The default of open files that the ECS-optimised AMI gives its daemon.
const NOFILE_EC2: (u64, u64) = (32_768, 65_536);
/// Docker's default capabilities.
const CAPABILITIES_DEFAULT: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];
/// Capabilities beyond Docker's default that a definition may add.
const CAPABILITIES_OTHER: &[&str] = &[
    "CAP_AUDIT_CONTROL",
    "CAP_AUDIT_READ",
    "CAP_BLOCK_SUSPEND",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
    "CAP_DAC_READ_SEARCH",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_LEASE",
    "CAP_LINUX_IMMUTABLE",
    "CAP_MAC_ADMIN",
    "CAP_MAC_OVERRIDE",
    "CAP_NET_ADMIN",
    "CAP_NET_BROADCAST",
    "CAP_PERFMON",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_MODULE",
    "CAP_SYS_NICE",
    "CAP_SYS_PACCT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
];

/// Limits of the whole task. A task-level CPU size is a quota, as the ECS agent sets it, but never more than the host has.
pub(crate) fn task_limits(task: &Task, cores: u32) -> TaskLimits {
    let cpu = task.cpu.as_deref().and_then(|text| text.parse::<u64>().ok()).filter(|cpu| *cpu > 0);
    let memory_mib = task.memory.as_deref().and_then(|text| text.parse::<u64>().ok()).filter(|mib| *mib > 0);
    TaskLimits {
        cpu_quota_percent: cpu.map(|cpu| (cpu * 100).div_ceil(CPU_PER_CORE).clamp(1, u64::from(cores.max(1)) * 100)),
        cpu_shares: Some(cpu.unwrap_or_else(|| positive(task.placement.cpu)).max(CPU_SHARES_MIN)),
        memory_bytes: memory_mib.map(|mib| mib.saturating_mul(MIB)),
        pids: Some(TASK_PIDS_MAX),
    }
}

/// Limits of one container. Without `maxSwap` a container with a memory limit gets no swap.
pub(super) fn resources(
    definition: &ContainerDefinition,
    given: Option<&ContainerOverride>,
    linux: &LinuxParameters,
) -> ContainerResources {
    let pick = |given: Option<i32>, defined: Option<i32>| {
        given.or(defined).and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0)
    };
    let memory = pick(given.and_then(|g| g.memory), definition.memory).map(|mib| mib * MIB);
    let reservation =
        pick(given.and_then(|g| g.memory_reservation), definition.memory_reservation).map(|mib| mib * MIB);
    let swap = linux.max_swap.and_then(|mib| u64::try_from(mib).ok()).unwrap_or(0) * MIB;
    ContainerResources {
        cpu_shares: Some(pick(given.and_then(|g| g.cpu), definition.cpu).unwrap_or(0).max(CPU_SHARES_MIN)),
        memory_bytes: memory,
        memory_reservation_bytes: reservation,
        memory_swap_bytes: memory.map(|bytes| bytes + swap),
        swappiness: linux.max_swap.and(linux.swappiness).and_then(|value| u64::try_from(value).ok()),
        pids: None,
        oom_score_adj: 0,
    }
}

/// Size of /dev/shm.
pub(super) fn shm_bytes(linux: &LinuxParameters) -> u64 {
    linux
        .shared_memory_size
        .and_then(|mib| u64::try_from(mib).ok())
        .filter(|mib| *mib > 0)
        .map_or(SHM_DEFAULT_BYTES, |mib| mib * MIB)
}

/// The definition's ulimits and the default of open files, never above what we may give.
pub(super) fn rlimits(definition: &ContainerDefinition, launch_type: LaunchType, nofile_hard: u64) -> Vec<Rlimit> {
    let mut limits: Vec<Rlimit> = definition.ulimits.iter().filter_map(rlimit).collect();
    if !limits.iter().any(|limit| limit.name == "nofile") {
        let (soft, hard) = match launch_type {
            LaunchType::Fargate => NOFILE_FARGATE,
            LaunchType::Ec2 | LaunchType::External | LaunchType::ManagedInstances => NOFILE_EC2,
        };
        limits.push(Rlimit { name: "nofile".to_owned(), soft, hard });
    }
    for limit in &mut limits {
        if limit.name == "nofile" {
            limit.hard = limit.hard.min(nofile_hard);
        }
        limit.soft = limit.soft.min(limit.hard);
    }
    limits
}

/// A negative limit is none, as `ulimit` has it.
fn rlimit(given: &Ulimit) -> Option<Rlimit> {
    let bound = |value: Option<i32>| value.map(|value| u64::try_from(value).unwrap_or(u64::MAX));
    let soft = bound(given.soft_limit)?;
    Some(Rlimit { name: ulimit_name(given.name?).to_owned(), soft, hard: bound(given.hard_limit).unwrap_or(soft) })
}

const fn ulimit_name(name: UlimitName) -> &'static str {
    match name {
        UlimitName::Core => "core",
        UlimitName::Cpu => "cpu",
        UlimitName::Data => "data",
        UlimitName::Fsize => "fsize",
        UlimitName::Locks => "locks",
        UlimitName::Memlock => "memlock",
        UlimitName::Msgqueue => "msgqueue",
        UlimitName::Nice => "nice",
        UlimitName::Nofile => "nofile",
        UlimitName::Nproc => "nproc",
        UlimitName::Rss => "rss",
        UlimitName::Rtprio => "rtprio",
        UlimitName::Rttime => "rttime",
        UlimitName::Sigpending => "sigpending",
        UlimitName::Stack => "stack",
    }
}

/// Docker's default, with what is added and without what is dropped; `ALL` is everything.
pub(super) fn capabilities(linux: &LinuxParameters, privileged: bool) -> Result<Vec<String>, ResolveError> {
    let all = || CAPABILITIES_DEFAULT.iter().chain(CAPABILITIES_OTHER).copied();
    if privileged {
        return Ok(all().map(str::to_owned).collect());
    }
    let given = linux.capabilities.clone().unwrap_or_default();
    let (added, dropped) = (named(&given.add)?, named(&given.drop)?);
    let (add_all, drop_all) = (added.contains(&ALL.to_owned()), dropped.contains(&ALL.to_owned()));
    let has = |name: &str| {
        let is_default = CAPABILITIES_DEFAULT.contains(&name) && !drop_all;
        let is_dropped = dropped.iter().any(|known| known == name);
        let is_added = added.iter().any(|known| known == name);
        is_added || (is_default || add_all) && !is_dropped
    };
    Ok(all().filter(|name| has(name)).map(str::to_owned).collect())
}

const ALL: &str = "ALL";

/// `SYS_PTRACE` and `CAP_SYS_PTRACE` are the same; an unknown name is an error, as in Docker.
fn named(names: &[String]) -> Result<Vec<String>, ResolveError> {
    names
        .iter()
        .map(|name| {
            let upper = name.to_ascii_uppercase();
            if upper == ALL {
                return Ok(upper);
            }
            let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
            let known = CAPABILITIES_DEFAULT.contains(&full.as_str()) || CAPABILITIES_OTHER.contains(&full.as_str());
            if known { Ok(full) } else { Err(ResolveError::Capability(name.clone())) }
        })
        .collect()
}

fn positive(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use cove_model::task_definition::KernelCapabilities;

    use super::*;

    #[test]
    fn capabilities_are_dockers_with_what_is_added_and_without_what_is_dropped() {
        let linux = |add: &[&str], drop: &[&str]| LinuxParameters {
            capabilities: Some(KernelCapabilities {
                add: add.iter().map(|&name| name.to_owned()).collect(),
                drop: drop.iter().map(|&name| name.to_owned()).collect(),
            }),
            ..Default::default()
        };
        assert_eq!(capabilities(&linux(&[], &[]), false).unwrap().len(), 14);
        assert_eq!(capabilities(&linux(&["SYS_PTRACE"], &["ALL"]), false).unwrap(), ["CAP_SYS_PTRACE"]);
        assert_eq!(capabilities(&linux(&[], &["MKNOD"]), false).unwrap().len(), 13);
        assert_eq!(capabilities(&linux(&["ALL"], &[]), false).unwrap().len(), 41);
        assert!(capabilities(&linux(&["NOPE"], &[]), false).is_err());
    }

    #[test]
    fn memory_without_max_swap_means_no_swap() {
        let definition = ContainerDefinition { memory: Some(128), cpu: Some(0), ..Default::default() };
        let got = resources(&definition, None, &LinuxParameters::default());
        assert_eq!((got.memory_bytes, got.memory_swap_bytes), (Some(128 * MIB), Some(128 * MIB)));
        assert_eq!(got.cpu_shares, Some(2));
        let swap = LinuxParameters { max_swap: Some(64), swappiness: Some(10), ..Default::default() };
        let got = resources(&definition, None, &swap);
        assert_eq!((got.memory_swap_bytes, got.swappiness), (Some(192 * MIB), Some(10)));
    }

    #[test]
    fn open_files_never_exceed_what_the_host_allows() {
        let limits = rlimits(&ContainerDefinition::default(), LaunchType::Fargate, 4096);
        assert_eq!(limits, [Rlimit { name: "nofile".into(), soft: 4096, hard: 4096 }]);
    }
}
