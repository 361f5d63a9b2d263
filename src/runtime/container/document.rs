//! The OCI document of a container: what Docker would have written, less what our executor does itself.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::device;
use super::start::{Namespace, Plan, StartError};
use crate::cgroup::Layout;
use crate::rootfs::User;
use crate::spec::{BindMount, ContainerSpec, Rlimit, TmpfsMount};

/// Where an init of ours is seen inside.
pub(super) const INIT_PATH: &str = "/dev/init";

const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The whole document. `args` and `env` are final.
pub(super) fn document(plan: &Plan<'_>, user: &User, args: &[String], env: &[String]) -> Result<Value, StartError> {
    let spec = plan.spec;
    let process = json!({
        "terminal": spec.terminal,
        "user": { "uid": user.uid, "gid": user.gid, "additionalGids": user.groups },
        "args": args,
        "env": env,
        "cwd": cwd(spec),
        "rlimits": spec.rlimits.iter().map(rlimit).collect::<Result<Vec<_>, _>>()?,
        "oomScoreAdj": spec.resources.oom_score_adj,
    });
    let mut whole = json!({
        "ociVersion": "1.2.0",
        "root": { "path": plan.rootfs(), "readonly": spec.read_only_root },
        "process": process,
        "mounts": mounts(plan),
        "linux": linux(plan)?,
    });
    if let Some(hostname) = spec.hostname.as_ref().filter(|name| !name.is_empty()) {
        whole["hostname"] = json!(hostname);
    }
    Ok(whole)
}

pub(super) fn cwd(spec: &ContainerSpec) -> &str {
    if spec.cwd.is_empty() { "/" } else { &spec.cwd }
}

fn linux(plan: &Plan<'_>) -> Result<Value, StartError> {
    let spec = plan.spec;
    let devices = if spec.privileged { device::all() } else { Vec::new() };
    let wanted = device::wanted(&spec.devices).map_err(|(path, source)| StartError::Device { path, source })?;
    let nodes: Vec<_> = devices.iter().chain(&wanted).collect();
    let mut rules = vec![json!({ "allow": spec.privileged, "access": "rwm" })];
    rules.extend(nodes.iter().map(|node| node.rule()));
    let mut linux = json!({
        "namespaces": namespaces(plan),
        "cgroupsPath": plan.group().path(),
        "resources": resources(plan, &rules),
        "devices": nodes.iter().map(|node| node.document()).collect::<Vec<_>>(),
        "sysctl": spec.sysctls,
    });
    if !spec.privileged {
        linux["maskedPaths"] = json!(MASKED);
        linux["readonlyPaths"] = json!(READ_ONLY);
    }
    Ok(linux)
}

fn namespaces(plan: &Plan<'_>) -> Vec<Value> {
    let mut list = vec![json!({ "type": "mount" }), json!({ "type": "uts" })];
    if matches!(plan.task_group.layout(), Layout::V2(_)) {
        list.push(json!({ "type": "cgroup" }));
    }
    for (kind, namespace) in [("network", &plan.network), ("pid", &plan.pid), ("ipc", &plan.ipc)] {
        match namespace {
            Namespace::Host => {}
            Namespace::Private => list.push(json!({ "type": kind })),
            Namespace::Path(path) => list.push(json!({ "type": kind, "path": path })),
        }
    }
    list
}

/// Swap is limited with every memory limit: left alone, a container could use all of the host's.
fn resources(plan: &Plan<'_>, devices: &[Value]) -> Value {
    let wishes = &plan.spec.resources;
    let mut memory = Map::new();
    let mut put = |key: &str, value: Option<u64>| value.map(|value| memory.insert(key.to_owned(), json!(value)));
    put("limit", wishes.memory_bytes);
    put("reservation", wishes.memory_reservation_bytes);
    if plan.task_group.limits_swap() {
        put("swap", wishes.memory_swap_bytes.or(wishes.memory_bytes));
        put("swappiness", wishes.swappiness.filter(|_| matches!(plan.task_group.layout(), Layout::V1(_))));
    }
    let mut all = json!({ "devices": devices, "memory": memory });
    if let Some(shares) = wishes.cpu_shares {
        all["cpu"] = json!({ "shares": shares.max(2) });
    }
    if let Some(pids) = wishes.pids.filter(|pids| *pids > 0) {
        all["pids"] = json!({ "limit": pids });
    }
    all
}

fn mounts(plan: &Plan<'_>) -> Vec<Value> {
    let spec = plan.spec;
    let sys = if spec.privileged { "rw" } else { "ro" };
    let mut list = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", sys]),
    ];
    list.extend(cgroup_mounts(plan, sys));
    let size = format!("size={}", if spec.shm_bytes == 0 { DEFAULT_SHM_BYTES } else { spec.shm_bytes });
    match &plan.ipc {
        Namespace::Host => list.push(mount("/dev/shm", "bind", "/dev/shm", &["rbind", "rw"])),
        Namespace::Path(_) if plan.shared_shm.is_some() => {
            let source = plan.shared_shm.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
            list.push(mount("/dev/shm", "bind", &source, &["bind", "rw"]));
        }
        Namespace::Path(_) | Namespace::Private => {
            list.push(mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &size]));
        }
    }
    list.extend(of_task(spec));
    if let (true, Some(binary)) = (spec.init, &plan.init_binary) {
        list.push(mount(INIT_PATH, "bind", &binary.display().to_string(), &["bind", "ro", "rprivate"]));
    }
    list
}

/// What the task's definition and its images ask for. As with Docker what lies above comes first: it would hide what is
/// mounted below it.
fn of_task(spec: &ContainerSpec) -> Vec<Value> {
    let depth = |destination: &str| Path::new(destination).components().count();
    let tmpfs = spec.tmpfs.iter().map(|one| (depth(&one.destination), tmpfs(one)));
    let mut all: Vec<_> = tmpfs.chain(spec.mounts.iter().map(|one| (depth(&one.destination), bind(one)))).collect();
    all.sort_by_key(|(depth, _)| *depth);
    all.into_iter().map(|(_, mount)| mount).collect()
}

/// Docker's default.
const DEFAULT_SHM_BYTES: u64 = 64 << 20;

/// The container's own groups, so that runtimes inside find their limits.
fn cgroup_mounts(plan: &Plan<'_>, access: &str) -> Vec<Value> {
    match plan.task_group.layout() {
        Layout::V2(_) => vec![mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", access])],
        Layout::V1(all) => {
            let options = ["nosuid", "noexec", "nodev", "mode=755", "size=64k"];
            let mut list = vec![mount("/sys/fs/cgroup", "tmpfs", "tmpfs", &options)];
            for hierarchy in
                all.iter().filter(|one| ["memory", "cpu", "cpuacct", "pids"].iter().any(|name| one.has(name)))
            {
                let name = hierarchy.controllers.join(",");
                let source = hierarchy.mount.join(plan.group().path().trim_start_matches('/'));
                let options = ["bind", "nosuid", "noexec", "nodev", "rprivate", access];
                list.push(mount(&format!("/sys/fs/cgroup/{name}"), "bind", &source.display().to_string(), &options));
            }
            list
        }
    }
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({ "destination": destination, "type": kind, "source": source, "options": options })
}

fn bind(one: &BindMount) -> Value {
    let access = if one.read_only { "ro" } else { "rw" };
    let propagation = one.propagation.as_deref().unwrap_or("rprivate");
    mount(&one.destination, "bind", &one.source.display().to_string(), &["rbind", access, propagation])
}

fn tmpfs(one: &TmpfsMount) -> Value {
    let size = format!("size={}", one.size_bytes);
    let mut options = vec!["nosuid", "nodev", "noexec", &size];
    options.extend(one.options.iter().map(String::as_str));
    mount(&one.destination, "tmpfs", "tmpfs", &options)
}

/// A limit above what this host lets us set would fail the whole start: it is lowered to that.
fn rlimit(one: &Rlimit) -> Result<Value, StartError> {
    use nix::sys::resource::{Resource, getrlimit};
    let (name, resource) = match one.name.as_str() {
        "core" => ("CORE", Resource::RLIMIT_CORE),
        "cpu" => ("CPU", Resource::RLIMIT_CPU),
        "data" => ("DATA", Resource::RLIMIT_DATA),
        "fsize" => ("FSIZE", Resource::RLIMIT_FSIZE),
        "locks" => ("LOCKS", Resource::RLIMIT_LOCKS),
        "memlock" => ("MEMLOCK", Resource::RLIMIT_MEMLOCK),
        "msgqueue" => ("MSGQUEUE", Resource::RLIMIT_MSGQUEUE),
        "nice" => ("NICE", Resource::RLIMIT_NICE),
        "nofile" => ("NOFILE", Resource::RLIMIT_NOFILE),
        "nproc" => ("NPROC", Resource::RLIMIT_NPROC),
        "rss" => ("RSS", Resource::RLIMIT_RSS),
        "rtprio" => ("RTPRIO", Resource::RLIMIT_RTPRIO),
        "rttime" => ("RTTIME", Resource::RLIMIT_RTTIME),
        "sigpending" => ("SIGPENDING", Resource::RLIMIT_SIGPENDING),
        "stack" => ("STACK", Resource::RLIMIT_STACK),
        _ => return Err(StartError::Rlimit(one.name.clone())),
    };
    let most = getrlimit(resource).map_or(u64::MAX, |(_, hard)| hard);
    let hard = one.hard.min(most);
    Ok(json!({ "type": format!("RLIMIT_{name}"), "soft": one.soft.min(hard), "hard": hard }))
}
