//! What this machine is and has, read once at start.

use std::fs;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use cove_agent::HostLimits;
use cove_runtime::cgroup::Layout;
use cove_scheduler::HostFacts;
use cove_scheduler::fleet::Fleet;

use super::config::Config;

/// The kernel's own default of `ip_local_port_range`.
const EPHEMERAL_DEFAULT: RangeInclusive<u16> = 32768..=60999;
/// ECS's unit: 1024 are one core.
const CPU_PER_CORE: i64 = 1024;
/// Ports that the ECS agent reserves on every instance.
const RESERVED_TCP: [u16; 5] = [22, 2375, 2376, 51678, 51679];
/// Suffixes of the zones that every region here has.
const ZONES: [&str; 3] = ["a", "b", "c"];
/// Descriptors of the server: twice its connections and what they open. Kernels allow a thousand times more by default.
const DESCRIPTORS_MAX: u64 = 65_536;
/// Shown as `ecs.instance-type`: this is no machine that AWS rents out.
const INSTANCE_TYPE: &str = "cove.host";

/// What decisions need. `own_ports` are those that the server itself listens on.
pub(crate) fn facts(config: &Config, own_ports: &[u16]) -> HostFacts {
    let mut reserved: Vec<u16> = RESERVED_TCP.into_iter().chain(own_ports.iter().copied()).collect();
    reserved.sort_unstable();
    reserved.dedup();
    HostFacts {
        node: config.node.to_string(),
        cpu: i64::from(cores()) * CPU_PER_CORE,
        memory_mib: memory_mib(),
        zones: zones(),
        instance_type: INSTANCE_TYPE.to_owned(),
        ephemeral_ports: ephemeral_ports(),
        reserved_ports_tcp: reserved,
        reserved_ports_udp: Vec::new(),
        attributes: Vec::new(),
        enforces_device_permissions: Layout::detect().is_ok_and(|layout| layout.enforces_device_permissions()),
        tasks_max: config.tasks_max,
        memory_overcommit: config.memory_overcommit,
        fleet: Fleet {
            machines: config.machines.clone(),
            scale_in_millis: i64::try_from(config.scale_in.as_millis()).unwrap_or(i64::MAX),
            provisioning_millis: i64::try_from(config.provisioning.as_millis()).unwrap_or(i64::MAX),
            spot_warning_millis: i64::try_from(config.spot_warning.as_millis()).unwrap_or(i64::MAX),
        },
    }
}

/// Suffixes of zones.
pub(crate) fn zones() -> Vec<String> {
    ZONES.map(str::to_owned).to_vec()
}

/// What containers may get.
pub(crate) fn limits() -> HostLimits {
    HostLimits {
        cores: cores(),
        nofile_hard: nofile_hard(),
        hostname: read("/proc/sys/kernel/hostname").trim().to_owned(),
    }
}

/// The addresses of the host's interfaces.
pub(crate) fn addresses() -> Vec<IpAddr> {
    let interfaces = match nix::ifaddrs::getifaddrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            tracing::warn!(%error, "the addresses of this host cannot be listed: the certificate lacks them");
            return Vec::new();
        }
    };
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?;
        let four = address.as_sockaddr_in().map(|four| IpAddr::V4(four.ip()));
        four.or_else(|| address.as_sockaddr_in6().map(|six| IpAddr::V6(six.ip())))
    };
    interfaces.filter_map(address).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Cores that we may run on.
pub(crate) fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX))
}

fn memory_mib() -> i64 {
    let text = read("/proc/meminfo");
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib: i64 = total.and_then(|rest| rest.trim().trim_end_matches(" kB").trim().parse().ok()).unwrap_or(0);
    kib / 1024
}

fn ephemeral_ports() -> RangeInclusive<u16> {
    let text = read("/proc/sys/net/ipv4/ip_local_port_range");
    let mut numbers = text.split_whitespace().map_while(|word| word.parse::<u16>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(first), Some(last)) if first <= last => first..=last,
        _ => EPHEMERAL_DEFAULT,
    }
}

/// Takes as many descriptors as we may have: a connection, a pull and a shim's socket cost one each, and the usual soft
/// limit of 1024 is made for programs that call select.
pub(crate) fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard.min(DESCRIPTORS_MAX), hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
}

/// The hard limit of open files, as /proc shows it.
fn nofile_hard() -> u64 {
    let text = read("/proc/self/limits");
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
    match line.and_then(|rest| rest.split_whitespace().nth(1)) {
        Some("unlimited") | None => u64::MAX,
        Some(number) => number.parse().unwrap_or(u64::MAX),
    }
}

/// Whether we may do what a server does: the owner of our own /proc entry is the effective user.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}
