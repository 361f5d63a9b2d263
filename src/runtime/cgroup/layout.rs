//! Which hierarchies this host has.

use std::fs;
use std::path::{Path, PathBuf};

use super::CgroupError;

/// Where control groups are, found once and shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// One directory per v1 hierarchy. Hybrid hosts are v1 for us: their v2 tree has no controllers.
    V1(Vec<Hierarchy>),
    /// The one v2 tree.
    V2(PathBuf),
}

/// The controllers that limit or count what a container uses. Others cost time at each start and are left alone.
const LIMITING: [&str; 5] = ["cpu", "cpuacct", "memory", "pids", "devices"];
/// systemd kills what it finds in a unit's group, so shims must not stay there.
const SYSTEMD: &str = "name=systemd";

/// A mounted v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// `memory`, `cpu`, `cpuacct`, … or `name=systemd`.
    pub controllers: Vec<String>,
    pub mount: PathBuf,
}

impl Layout {
    /// Reads the present state of this host.
    ///
    /// # Errors
    /// When nothing is mounted or `/proc` is not there.
    pub fn detect() -> Result<Self, CgroupError> {
        let text = fs::read_to_string("/proc/self/mountinfo").map_err(CgroupError::Layout)?;
        Self::parse(&text, |root| {
            fs::read_to_string(root.join("cgroup.controllers")).is_ok_and(|list| !list.trim().is_empty())
        })
    }

    /// `has_controllers` says whether a v2 tree controls anything.
    fn parse(mountinfo: &str, has_controllers: impl Fn(&Path) -> bool) -> Result<Self, CgroupError> {
        let mut v1: Vec<Hierarchy> = Vec::new();
        let mut v2 = None;
        for line in mountinfo.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let Some(mount) = left.split(' ').nth(4).map(PathBuf::from) else { continue };
            let mut right = right.split(' ');
            match (right.next(), right.nth(1)) {
                (Some("cgroup2"), _) if v2.is_none() => v2 = Some(mount),
                (Some("cgroup"), Some(options)) => {
                    let controllers = controllers(options);
                    let hierarchy = Hierarchy { controllers, mount };
                    let of_use = hierarchy.is_limiting() || hierarchy.has(SYSTEMD);
                    if of_use && v1.iter().all(|known| known.controllers != hierarchy.controllers) {
                        v1.push(hierarchy);
                    }
                }
                _ => {}
            }
        }
        match v2 {
            Some(root) if v1.iter().all(|known| !known.has("memory")) && has_controllers(&root) => Ok(Self::V2(root)),
            _ if !v1.is_empty() => Ok(Self::V1(v1)),
            Some(root) => Ok(Self::V2(root)),
            None => Err(CgroupError::NoHierarchy),
        }
    }

    /// Whether a container can be kept to the permissions of its devices: v1 has a controller for it, v2 asks a program.
    #[must_use]
    pub fn enforces_device_permissions(&self) -> bool {
        match self {
            Self::V1(all) => all.iter().any(|one| one.has("devices")),
            Self::V2(_) => super::device::can_be_enforced(),
        }
    }

    /// Where the groups are mounted that a container needs of its own.
    #[must_use]
    pub fn limiting(&self) -> Vec<PathBuf> {
        match self {
            Self::V1(all) => all.iter().filter(|one| one.is_limiting()).map(|one| one.mount.clone()).collect(),
            Self::V2(root) => vec![root.clone()],
        }
    }

    /// The directories that a group with this absolute path has.
    #[must_use]
    pub fn directories(&self, path: &str) -> Vec<PathBuf> {
        let below = path.trim_start_matches('/');
        match self {
            Self::V1(all) => all.iter().map(|one| one.mount.join(below)).collect(),
            Self::V2(root) => vec![root.join(below)],
        }
    }

    /// The directory of the group that this process is in, in one of the hierarchies.
    pub(super) fn own(&self) -> Option<PathBuf> {
        self.own_of(&fs::read_to_string("/proc/self/cgroup").ok()?)
    }

    fn own_of(&self, memberships: &str) -> Option<PathBuf> {
        let mut lines = memberships.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
        let (mount, path) = match self {
            Self::V1(all) => {
                let first = all.first()?;
                let is_first = |names: &str| names.split(',').eq(first.controllers.iter().map(String::as_str));
                (&first.mount, lines.find(|(names, _)| is_first(names))?.1)
            }
            Self::V2(root) => (root, lines.find(|(names, _)| names.is_empty())?.1),
        };
        Some(mount.join(path.trim_start_matches('/')))
    }

    /// The directory of a group in the hierarchy that has this controller.
    #[must_use]
    pub fn controller(&self, controller: &str, path: &str) -> Option<PathBuf> {
        let below = path.trim_start_matches('/');
        match self {
            Self::V1(all) => all.iter().find(|one| one.has(controller)).map(|one| one.mount.join(below)),
            Self::V2(root) => Some(root.join(below)),
        }
    }
}

impl Hierarchy {
    fn is_limiting(&self) -> bool {
        LIMITING.iter().any(|one| self.has(one))
    }

    pub(crate) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|one| one == controller)
    }
}

/// The super options of a v1 mount are its controllers among a few flags.
fn controllers(options: &str) -> Vec<String> {
    const FLAGS: [&str; 8] =
        ["rw", "ro", "xattr", "noprefix", "clone_children", "nosuid", "cpuset_v2_mode", "favordynmods"];
    let is_controller = |one: &&str| !FLAGS.contains(one) && !one.starts_with("release_agent=");
    options.split(',').filter(is_controller).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 23 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 30 0:31 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer
32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    #[test]
    fn a_hybrid_host_counts_as_v1_with_the_hierarchies_of_use() {
        let layout = Layout::parse(HYBRID, |_| false).unwrap();
        assert_eq!(layout.directories("/cove-a/tasks").len(), 3);
        assert_eq!(layout.limiting(), ["/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/memory"].map(PathBuf::from));
        let cpuacct = layout.controller("cpuacct", "/cove-a");
        assert_eq!(cpuacct, Some(PathBuf::from("/sys/fs/cgroup/cpu,cpuacct/cove-a")));
    }

    #[test]
    fn this_process_is_found_in_either_layout() {
        let memberships = "3:cpu,cpuacct:/a/b\n2:memory:/c\n0::/d\n";
        let hybrid = Layout::parse(HYBRID, |_| false).unwrap();
        assert_eq!(hybrid.own_of(memberships), Some("/sys/fs/cgroup/cpu,cpuacct/a/b".into()));
        assert_eq!(Layout::V2("/g".into()).own_of(memberships), Some("/g/d".into()));
        assert!(hybrid.own_of("0::/d").is_none());
    }

    #[test]
    fn a_host_with_one_tree_is_v2() {
        let layout = Layout::parse("34 30 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw", |_| true).unwrap();
        assert_eq!(layout, Layout::V2("/sys/fs/cgroup".into()));
    }

    #[test]
    fn a_host_without_cgroups_is_refused() {
        assert!(matches!(Layout::parse("1 0 0:1 / / rw - ext4 /dev/vda rw", |_| true), Err(CgroupError::NoHierarchy)));
    }
}
