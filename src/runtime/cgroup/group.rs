//! One control group, in every hierarchy at once.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{CgroupError, Layout};
use crate::spec::TaskLimits;

/// How long killed processes get to disappear before we give up.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// The period that a CPU quota counts over, in microseconds: the kernel's own default.
const CPU_PERIOD_MICROS: u64 = 100_000;

/// The kernel's smallest CPU quota, in microseconds.
const CPU_QUOTA_MIN_MICROS: u64 = 1000;

/// Where processes go that stand in the way at the root: the name that Docker's own image uses.
const LEFT_FOR: &str = "init";

/// Processes that are moved may start others meanwhile.
const LEAVE_ROUNDS: usize = 8;

/// A control group by its absolute path. It need not exist.
#[derive(Debug, Clone)]
pub struct Group {
    layout: Layout,
    path: String,
}

/// What a group uses, for metrics and metadata.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time since the group was made, in microseconds.
    pub cpu_micros: u64,
    pub memory_bytes: u64,
    /// Page cache that the kernel can take back, part of `memory_bytes`.
    pub inactive_file_bytes: u64,
    pub memory_limit_bytes: Option<u64>,
    pub pids: u64,
    /// Processes killed for want of memory.
    pub oom_kills: u64,
}

impl Group {
    /// Names a group.
    ///
    /// # Errors
    /// When the path is not absolute or climbs.
    pub fn new(layout: Layout, path: &str) -> Result<Self, CgroupError> {
        let plain = path.len() > 1 && path.starts_with('/') && !path.split('/').any(|part| part == ".." || part == ".");
        if plain { Ok(Self { layout, path: path.to_owned() }) } else { Err(CgroupError::BadPath(path.to_owned())) }
    }

    /// The group `name` inside this one.
    #[must_use]
    pub(super) fn child(&self, name: &str) -> Self {
        Self { layout: self.layout.clone(), path: format!("{}/{name}", self.path) }
    }

    /// The group of a container inside this task. The prefix keeps a container called `tasks` or `cpu.max` apart from
    /// the kernel's own files.
    #[must_use]
    pub fn container(&self, name: &str) -> Self {
        self.child(&format!("c.{name}"))
    }

    /// The absolute path below each hierarchy.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The host's layout.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether the kernel can limit swap for this group.
    #[must_use]
    pub fn limits_swap(&self) -> bool {
        let file = match self.layout {
            Layout::V1(_) => "memory.memsw.limit_in_bytes",
            Layout::V2(_) => "memory.swap.max",
        };
        self.layout.controller("memory", &self.path).is_some_and(|directory| directory.join(file).exists())
    }

    /// Makes the group and what is above it, with every controller that limits need. Repeatable.
    ///
    /// # Errors
    /// When a directory cannot be made.
    pub fn create(&self) -> Result<(), CgroupError> {
        match &self.layout {
            Layout::V1(all) => {
                for hierarchy in all {
                    let make_one = if hierarchy.has("cpuset") { make_cpuset } else { make };
                    walk(&hierarchy.mount, &self.path, make_one)?;
                }
                Ok(())
            }
            Layout::V2(root) => walk(root, &self.path, |directory| {
                if let Some(parent) = directory.parent() {
                    delegate_controllers(parent);
                }
                make(directory)
            }),
        }
    }

    /// Sets the limits of a task; what is `None` stays as the kernel made it.
    ///
    /// # Errors
    /// When the kernel refuses a value.
    pub fn limit(&self, limits: &TaskLimits) -> Result<(), CgroupError> {
        let quota =
            limits.cpu_quota_percent.map(|percent| (percent * CPU_PERIOD_MICROS / 100).max(CPU_QUOTA_MIN_MICROS));
        let wishes: Vec<(&str, &str, Option<String>)> = match self.layout {
            Layout::V1(_) => vec![
                ("cpu", "cpu.cfs_period_us", quota.map(|_| CPU_PERIOD_MICROS.to_string())),
                ("cpu", "cpu.cfs_quota_us", quota.map(|micros| micros.to_string())),
                ("cpu", "cpu.shares", limits.cpu_shares.map(|shares| shares.max(2).to_string())),
                ("memory", "memory.limit_in_bytes", limits.memory_bytes.map(|bytes| bytes.to_string())),
                ("pids", "pids.max", limits.pids.map(pids_text)),
            ],
            Layout::V2(_) => vec![
                ("cpu", "cpu.max", quota.map(|micros| format!("{micros} {CPU_PERIOD_MICROS}"))),
                ("cpu", "cpu.weight", limits.cpu_shares.map(|shares| weight(shares).to_string())),
                ("memory", "memory.max", limits.memory_bytes.map(|bytes| bytes.to_string())),
                ("pids", "pids.max", limits.pids.map(pids_text)),
            ],
        };
        for (controller, file, value) in wishes {
            if let (Some(value), Some(directory)) = (value, self.layout.controller(controller, &self.path)) {
                let file = directory.join(file);
                // On v1 memory is never more than memory and swap together, so that goes first where memory is raised.
                write(&file, &value).or_else(|error| match controller {
                    "memory" => {
                        self.limit_swap(limits.memory_bytes);
                        write(&file, &value)
                    }
                    _ => Err(error),
                })?;
            }
        }
        self.limit_swap(limits.memory_bytes);
        Ok(())
    }

    /// Memory and swap together may be no more than memory. Kernels without swap accounting lack the file.
    fn limit_swap(&self, memory_bytes: Option<u64>) {
        let Some(bytes) = memory_bytes else { return };
        let (file, value) = match self.layout {
            Layout::V1(_) => ("memory.memsw.limit_in_bytes", bytes.to_string()),
            Layout::V2(_) => ("memory.swap.max", "0".to_owned()),
        };
        if let Some(directory) = self.layout.controller("memory", &self.path)
            && let Err(error) = fs::write(directory.join(file), value)
        {
            tracing::debug!(%error, path = self.path, "no swap limit");
        }
    }

    /// Moves a process into the group, in every hierarchy.
    ///
    /// # Errors
    /// When the process or the group is gone.
    pub fn add(&self, pid: i32) -> Result<(), CgroupError> {
        for directory in self.layout.directories(&self.path) {
            write(&directory.join("cgroup.procs"), &pid.to_string())?;
        }
        Ok(())
    }

    /// The `cgroup.procs` files that a process must be written to.
    #[must_use]
    pub fn procs_files(&self) -> Vec<PathBuf> {
        let files = self.layout.directories(&self.path).into_iter().map(|directory| directory.join("cgroup.procs"));
        files.filter(|file| file.exists()).collect()
    }

    /// Whether any hierarchy has it.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.layout.directories(&self.path).iter().any(|directory| directory.is_dir())
    }

    /// Names of the groups right below, over all hierarchies.
    #[must_use]
    pub fn children(&self) -> Vec<String> {
        let mut names = std::collections::BTreeSet::new();
        for directory in self.layout.directories(&self.path) {
            names.extend(subdirectories(&directory));
        }
        names.into_iter().collect()
    }

    /// Processes in the group and below.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        let mut found = Vec::new();
        // Every process is in every hierarchy; the pids one, or else the first, is enough, but a process that was moved
        // into only some of them counts too.
        for directory in self.layout.directories(&self.path) {
            collect_processes(&directory, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// SIGKILL to everything in the group and below; does not wait.
    pub fn kill(&self) {
        if let Layout::V2(root) = &self.layout {
            // Kernel 5.14 and later. It reaches forks that are under way.
            if fs::write(root.join(self.path.trim_start_matches('/')).join("cgroup.kill"), "1").is_ok() {
                return;
            }
        }
        // Two passes at most catch a fork between reading and killing; `kill_and_wait` repeats until nobody is left.
        for pid in self.processes() {
            // SAFETY: a signal to a process that is listed in our own group.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    }

    /// SIGKILL to everything until nobody is left.
    ///
    /// # Errors
    /// When a process survives the deadline (uninterruptible sleep).
    pub fn kill_and_wait(&self) -> Result<(), CgroupError> {
        let begun = Instant::now();
        let mut pause = Duration::from_micros(200);
        while self.has_living_processes() {
            self.kill();
            if begun.elapsed() > KILL_DEADLINE {
                let waited_millis = u64::try_from(KILL_DEADLINE.as_millis()).unwrap_or(u64::MAX);
                return Err(CgroupError::StillBusy { path: self.path.clone(), waited_millis });
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        Ok(())
    }

    /// A dead process that waits for its parent is still listed in v1 but does not keep us.
    fn has_living_processes(&self) -> bool {
        self.processes().into_iter().any(|pid| !is_zombie(pid))
    }

    /// Removes the group and what is below, bottom-up, in every hierarchy. A group that is not there is fine.
    ///
    /// # Errors
    /// When a process is inside.
    pub fn remove(&self) -> Result<(), CgroupError> {
        for directory in self.layout.directories(&self.path) {
            remove_tree(&directory)?;
        }
        Ok(())
    }

    /// How often the kernel killed here for want of memory. Gone with the group: read before removing.
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        let file = match self.layout {
            Layout::V1(_) => "memory.oom_control",
            Layout::V2(_) => "memory.events",
        };
        self.keyed("memory", file, "oom_kill").unwrap_or(0)
    }

    /// What the group uses now. Numbers that the kernel does not tell are zero.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let oom_kills = self.oom_kills();
        let pids = self.number("pids", "pids.current").unwrap_or(0);
        match self.layout {
            Layout::V1(_) => Usage {
                cpu_micros: self.number("cpuacct", "cpuacct.usage").unwrap_or(0) / 1000,
                memory_bytes: self.number("memory", "memory.usage_in_bytes").unwrap_or(0),
                inactive_file_bytes: self.keyed("memory", "memory.stat", "total_inactive_file").unwrap_or(0),
                // "No limit" is a page-aligned number near 2^63.
                memory_limit_bytes: self.number("memory", "memory.limit_in_bytes").filter(|bytes| *bytes < 1 << 62),
                pids,
                oom_kills,
            },
            Layout::V2(_) => Usage {
                cpu_micros: self.keyed("cpu", "cpu.stat", "usage_usec").unwrap_or(0),
                memory_bytes: self.number("memory", "memory.current").unwrap_or(0),
                inactive_file_bytes: self.keyed("memory", "memory.stat", "inactive_file").unwrap_or(0),
                memory_limit_bytes: self.number("memory", "memory.max"),
                pids,
                oom_kills,
            },
        }
    }

    fn number(&self, controller: &str, file: &str) -> Option<u64> {
        let directory = self.layout.controller(controller, &self.path)?;
        fs::read_to_string(directory.join(file)).ok()?.trim().parse().ok()
    }

    fn keyed(&self, controller: &str, file: &str, key: &str) -> Option<u64> {
        let directory = self.layout.controller(controller, &self.path)?;
        let text = fs::read_to_string(directory.join(file)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
        line.trim().parse().ok()
    }
}

fn pids_text(pids: i64) -> String {
    if pids > 0 { pids.to_string() } else { "max".to_owned() }
}

/// The kernel's own linear map of shares (2 to 262144) to weight (1 to 10000), as Docker uses it for a whole task.
fn weight(shares: u64) -> u64 {
    let shares = shares.clamp(2, 262_144);
    1 + (shares - 2) * 9999 / 262_142
}

/// Applies `step` to each directory from the first below `mount` down to the group.
fn walk(mount: &Path, path: &str, step: impl Fn(&Path) -> Result<(), CgroupError>) -> Result<(), CgroupError> {
    let mut directory = mount.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        directory.push(part);
        step(&directory)?;
    }
    Ok(())
}

fn make(directory: &Path) -> Result<(), CgroupError> {
    match fs::create_dir(directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(CgroupError::Create { path: directory.to_owned(), source }),
    }
}

/// A new v1 cpuset has no CPUs and no memory nodes, and takes no process until it has.
fn make_cpuset(directory: &Path) -> Result<(), CgroupError> {
    make(directory)?;
    let Some(parent) = directory.parent() else { return Ok(()) };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let own = directory.join(file);
        if fs::read_to_string(&own).is_ok_and(|text| text.trim().is_empty()) {
            let above = parent.join(file);
            let value = fs::read_to_string(&above).map_err(|source| CgroupError::Read { path: above, source })?;
            write(&own, value.trim())?;
        }
    }
    Ok(())
}

/// One write per controller, because a kernel without one of them would refuse them all. Memory and io first: they are
/// refused while the group has processes of its own, which then leave; cpu, cpuset and pids would be taken, and make it the
/// root of threads, below which the others never work.
fn delegate_controllers(directory: &Path) {
    let file = directory.join("cgroup.subtree_control");
    let present = fs::read_to_string(&file).unwrap_or_default();
    for controller in ["memory", "io", "cpuset", "cpu", "pids"] {
        if !present.split_whitespace().any(|one| one == controller)
            && let Err(error) = switch_on(directory, &file, controller)
        {
            tracing::debug!(%error, controller, path = %file.display(), "controller not switched on");
        }
    }
}

/// What a container or LXC sees as the root is to the kernel a group like any other: with processes in it, nothing can be
/// limited below.
fn switch_on(directory: &Path, file: &Path, controller: &str) -> io::Result<()> {
    let wish = format!("+{controller}");
    match fs::write(file, &wish) {
        Err(error) if error.kind() == ErrorKind::ResourceBusy => {
            leave(directory)?;
            fs::write(file, &wish)
        }
        done => done,
    }
}

/// Moves every process of this very group one down, ourselves among them, as container images that run containers do.
fn leave(directory: &Path) -> io::Result<()> {
    let below = directory.join(LEFT_FOR);
    fs::create_dir_all(&below)?;
    for _ in 0..LEAVE_ROUNDS {
        let processes = fs::read_to_string(directory.join("cgroup.procs"))?;
        // Those of other pid namespaces are shown as 0, and cannot be moved from here.
        let all: Vec<&str> = processes.split_whitespace().filter(|pid| *pid != "0").collect();
        if all.is_empty() {
            break;
        }
        for pid in all {
            // One may have ended meanwhile.
            let _ = fs::write(below.join("cgroup.procs"), pid);
        }
    }
    tracing::info!(group = %below.display(), "processes were moved out of the root of the control groups, so that tasks can be limited");
    Ok(())
}

fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    fs::write(path, value).map_err(|source| CgroupError::Write {
        path: path.to_owned(),
        value: value.to_owned(),
        source,
    })
}

fn subdirectories(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let directories = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn collect_processes(directory: &Path, into: &mut Vec<i32>) {
    if let Ok(text) = fs::read_to_string(directory.join("cgroup.procs")) {
        into.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
    }
    for name in subdirectories(directory) {
        collect_processes(&directory.join(name), into);
    }
}

fn is_zombie(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// rmdir is all that a cgroup takes: its files are not ours to unlink.
fn remove_tree(directory: &Path) -> Result<(), CgroupError> {
    for name in subdirectories(directory) {
        remove_tree(&directory.join(name))?;
    }
    empty_cache(directory);
    remove_directory(directory)
}

/// A cache above this size is worth more than what the group costs, to the task that comes next; memory pressure takes
/// both.
const CACHE_MAX_BYTES: u64 = 16 << 20;

/// Above this much unwritten data the group is left to memory pressure: giving it back would wait for the disk.
const UNWRITTEN_MAX_BYTES: u64 = 1 << 20;

/// Gives back the page cache that is charged to a memory group in which nothing runs any more. A removed group lives on in
/// the kernel, with some 25 KiB, for as long as one such page is cached: a file of a volume, a block of a directory.
fn empty_cache(directory: &Path) {
    let (v1, v2) = (directory.join("memory.force_empty"), directory.join("memory.reclaim"));
    let is_v1 = v1.exists();
    if !is_v1 && !v2.exists() {
        return;
    }
    let stat = fs::read_to_string(directory.join("memory.stat")).unwrap_or_default();
    let bytes = |key: &str| {
        let line = stat.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        line.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    let (cached, unwritten) = if is_v1 {
        (bytes("cache"), bytes("dirty") + bytes("writeback"))
    } else {
        (bytes("file"), bytes("file_dirty") + bytes("file_writeback"))
    };
    if cached == 0 || cached > CACHE_MAX_BYTES || unwritten > UNWRITTEN_MAX_BYTES {
        return;
    }
    // What cannot be given back keeps nobody from removing the group.
    let done = if is_v1 { fs::write(&v1, "0") } else { fs::write(&v2, cached.to_string()) };
    if let Err(error) = done {
        tracing::debug!(%error, path = %directory.display(), "page cache of a group stays");
    }
}

/// The kernel lets go of a dead process a moment after it was reaped: EBUSY right then is worth a few more tries.
fn remove_directory(directory: &Path) -> Result<(), CgroupError> {
    const TRIES: u32 = 20;
    let mut pause = Duration::from_micros(100);
    for attempt in 0..TRIES {
        match fs::remove_dir(directory) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && attempt + 1 < TRIES => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(10));
            }
            Err(source) => return Err(CgroupError::Remove { path: directory.to_owned(), source }),
        }
    }
    Err(CgroupError::Remove { path: directory.to_owned(), source: io::Error::from_raw_os_error(libc::EBUSY) })
}
