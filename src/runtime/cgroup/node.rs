//! The groups of one node: `/cove-NODE/{shim,task}`.

use cove_base::paths::NodeName;

use super::{CgroupError, Group, Layout, Usage};

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

    /// The group of all shims.
    #[must_use]
    pub fn shims(&self) -> Group {
        self.top.child("shim")
    }

    fn tasks(&self) -> Group {
        self.top.child("task")
    }

    /// The group of a task; see [`Group::container`] for those inside.
    #[must_use]
    pub fn task(&self, task_id: &str) -> Group {
        self.tasks().child(task_id)
    }

    /// As it goes into the shim's `TaskSpec::cgroup`.
    #[must_use]
    pub fn task_path(&self, task_id: &str) -> String {
        self.task(task_id).path().to_owned()
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
        self.tasks().children()
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
    fn a_path_that_climbs_is_refused() {
        let layout = Layout::detect().unwrap();
        assert!(matches!(Group::new(layout, "/cove-x/../y"), Err(CgroupError::BadPath(_))));
    }
}
