//! The groups of one node: `/cove-NODE/{shim,task,scan}`.
//!
//! Holds: a task is found by its id wherever it lies: on an instance, or right below `task` (Fargate, the host's own
//! instance, and whatever an older version started).

use cove_base::paths::NodeName;

use super::{CgroupError, Group, Layout, Usage};
use crate::spec::TaskLimits;

/// Begins the name of an instance's group, as it begins EC2's ids. Ids of tasks are hex digits.
const INSTANCE_PREFIX: &str = "i-";

/// Everything of one node. Cheap to clone; holds no descriptors.
#[derive(Debug, Clone)]
pub struct NodeCgroups {
    top: Group,
}

impl NodeCgroups {
    /// Finds the host's layout. Nothing is created.
    ///
    /// # Errors
    /// When the host has no control groups.
    pub fn open(node: &NodeName) -> Result<Self, CgroupError> {
        Ok(Self { top: Group::new(Layout::detect()?, &format!("/cove-{node}"))? })
    }

    /// Makes the groups of the node. Repeatable.
    ///
    /// # Errors
    /// When a directory cannot be made, mostly for want of root.
    pub fn prepare(&self) -> Result<(), CgroupError> {
        self.shims().create()?;
        self.tasks().create()
    }

    /// Says that processes will soon be moved between groups. The first move after a while waits for an RCU grace period,
    /// 10 to 20 ms; asked for early, that passes beside other work. Nothing changes: this process is "moved" to where it is.
    pub fn expect_moves(&self) {
        let Some(own) = self.top.layout().own() else { return };
        // Refused where the group may hold no processes; the waiting is done all the same.
        let _ = std::fs::write(own.join("cgroup.procs"), "0");
    }

    /// The group of all shims.
    #[must_use]
    pub fn shims(&self) -> Group {
        self.top.child("shim")
    }

    /// The group of one run of a scanner.
    #[must_use]
    pub fn scan(&self, id: &str) -> Group {
        self.scans().child(id)
    }

    /// Kills what is left of scanners, and removes their groups. Repeatable.
    ///
    /// # Errors
    /// When a process does not die.
    pub fn remove_scans(&self) -> Result<(), CgroupError> {
        self.scans().kill_and_wait()?;
        self.scans().remove()
    }

    fn scans(&self) -> Group {
        self.top.child("scan")
    }

    fn tasks(&self) -> Group {
        self.top.child("task")
    }

    /// The group of a task that is there; see [`Group::container`] for those inside. One that is nowhere is right below
    /// `task`.
    #[must_use]
    pub fn task(&self, task_id: &str) -> Group {
        let flat = self.tasks().child(task_id);
        if flat.exists() {
            return flat;
        }
        let mut on_instances =
            self.instances().into_iter().map(|instance| self.tasks().child(&instance).child(task_id));
        on_instances.find(Group::exists).unwrap_or(flat)
    }

    /// Where a task is to be put, as it goes into the shim's `TaskSpec::cgroup`. `instance`: its EC2 id.
    #[must_use]
    pub fn task_path(&self, instance: Option<&str>, task_id: &str) -> String {
        let parent = instance.map_or_else(|| self.tasks(), |instance| self.tasks().child(instance));
        parent.child(task_id).path().to_owned()
    }

    /// Makes the group of an instance and sets its limits. Repeatable.
    ///
    /// # Errors
    /// When the name is no EC2 instance id, or the kernel refuses.
    pub fn ensure_instance(&self, instance: &str, limits: &TaskLimits) -> Result<(), CgroupError> {
        if !instance.starts_with(INSTANCE_PREFIX) || instance.contains('/') {
            return Err(CgroupError::BadPath(instance.to_owned()));
        }
        let group = self.tasks().child(instance);
        group.create()?;
        group.limit(limits)
    }

    /// Whether the instance has a group.
    #[must_use]
    pub fn has_instance(&self, instance: &str) -> bool {
        self.tasks().child(instance).exists()
    }

    /// Removes the group of an instance that has no task any more.
    ///
    /// # Errors
    /// When a task is in it.
    pub fn remove_instance(&self, instance: &str) -> Result<(), CgroupError> {
        self.tasks().child(instance).remove()
    }

    /// EC2 ids of the instances that have a group.
    #[must_use]
    pub fn instances(&self) -> Vec<String> {
        self.tasks().children().into_iter().filter(|name| name.starts_with(INSTANCE_PREFIX)).collect()
    }

    /// Kills what is left of a task and removes its groups. Repeatable; a task that is not there is fine.
    ///
    /// # Errors
    /// When a process does not die.
    pub fn remove_task(&self, task_id: &str) -> Result<(), CgroupError> {
        let group = self.task(task_id);
        if !group.exists() {
            return Ok(());
        }
        group.kill_and_wait()?;
        group.remove()
    }

    /// Ids of all tasks that have a group.
    #[must_use]
    pub fn inventory(&self) -> Vec<String> {
        let (instances, mut tasks): (Vec<_>, Vec<_>) =
            self.tasks().children().into_iter().partition(|name| name.starts_with(INSTANCE_PREFIX));
        tasks.extend(instances.iter().flat_map(|instance| self.tasks().child(instance).children()));
        tasks
    }

    /// What a task uses, or one of its containers.
    #[must_use]
    pub fn usage(&self, task_id: &str, container: Option<&str>) -> Usage {
        let task = self.task(task_id);
        container.map_or_else(|| task.usage(), |name| task.container(name).usage())
    }

    /// Kills every task and shim of the node and removes its groups.
    ///
    /// # Errors
    /// When a process does not die.
    pub fn remove_all(&self) -> Result<(), CgroupError> {
        if !self.top.exists() {
            return Ok(());
        }
        self.top.kill_and_wait()?;
        self.top.remove()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::TaskLimits;

    struct Cleaned(NodeCgroups);

    impl Drop for Cleaned {
        fn drop(&mut self) {
            let _ = self.0.remove_all();
        }
    }

    fn node() -> Cleaned {
        let name = format!("t{}", cove_base::ids::random_hex(4));
        Cleaned(NodeCgroups::open(&NodeName::parse(&name).unwrap()).unwrap())
    }

    #[test]
    fn a_task_with_processes_is_limited_listed_killed_and_removed() {
        let node = node();
        node.0.prepare().unwrap();
        node.0.prepare().unwrap();
        let task = node.0.task("one");
        task.create().unwrap();
        let limits = TaskLimits {
            cpu_quota_percent: Some(25),
            cpu_shares: Some(256),
            memory_bytes: Some(64 << 20),
            pids: Some(50),
        };
        task.limit(&limits).unwrap();
        let inner = task.container("tasks");
        inner.create().unwrap();
        let mut sleeper = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        inner.add(i32::try_from(sleeper.id()).unwrap()).unwrap();

        assert_eq!(node.0.inventory(), ["one"]);
        let usage = node.0.usage("one", None);
        assert_eq!((usage.pids, usage.memory_limit_bytes), (1, Some(64 << 20)));

        let waiter = std::thread::spawn(move || sleeper.wait().unwrap());
        node.0.remove_task("one").unwrap();
        waiter.join().unwrap();
        node.0.remove_task("one").unwrap();
        assert!(node.0.inventory().is_empty());
        node.0.remove_all().unwrap();
        assert!(!node.0.top.exists());
    }

    #[test]
    fn a_task_on_an_instance_is_held_by_both_limits_found_and_removed() {
        let node = node();
        let limits = |percent, mib: u64| TaskLimits {
            cpu_quota_percent: Some(percent),
            cpu_shares: Some(512),
            memory_bytes: Some(mib << 20),
            pids: None,
        };
        for mib in [64, 128, 64, 64] {
            node.0.ensure_instance("i-01", &limits(50, mib)).unwrap();
        }
        let task = Group::new(Layout::detect().unwrap(), &node.0.task_path(Some("i-01"), "one")).unwrap();
        task.create().unwrap();
        task.limit(&limits(50, 512)).unwrap();
        node.0.task("old").create().unwrap();
        assert_eq!(node.0.instances(), ["i-01"]);
        let mut found = node.0.inventory();
        found.sort();
        assert_eq!(found, ["old", "one"]);
        assert_eq!(node.0.task("one").path(), task.path());
        let instance = node.0.tasks().child("i-01");
        assert_eq!(instance.usage().memory_limit_bytes, Some(64 << 20));

        // More than the instance has, less than the task may: the kernel kills at the smaller of the two.
        let eater = "import os\nx = bytearray(256 << 20)\n";
        let inner = task.container("main");
        inner.create().unwrap();
        let join = inner.procs_files();
        let mut command = std::process::Command::new("python3");
        command.args(["-c", &format!("import sys\nsys.stdin.readline()\n{eater}")]).stdin(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        for file in &join {
            std::fs::write(file, child.id().to_string()).unwrap();
        }
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"go\n").unwrap();
        let ended = child.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(libc::SIGKILL), "{ended}");

        node.0.remove_task("one").unwrap();
        assert_eq!(node.0.inventory(), ["old"]);
        node.0.remove_instance("i-01").unwrap();
        assert!(node.0.instances().is_empty());
        assert!(matches!(node.0.ensure_instance("one", &limits(1, 1)), Err(CgroupError::BadPath(_))));
    }

    #[test]
    fn a_path_that_climbs_is_refused() {
        let layout = Layout::detect().unwrap();
        assert!(matches!(Group::new(layout, "/cove-x/../y"), Err(CgroupError::BadPath(_))));
    }
}
