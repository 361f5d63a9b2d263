//! A store without a disk, a host and a clock: where tests launch tasks and see what becomes of them.

use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::container_instance::ContainerInstance;
use cove_model::task::{Task, TaskStatus};
use cove_model::task_template::TaskTemplate;
use cove_store::{Memory, Prefix, Read, StoreError, Tx};

use crate::host::HostFacts;
use crate::launch::{Launched, Shares, launch};
use crate::place::Target;
use crate::simulation::setting;

pub(crate) const NOW: Timestamp = Timestamp(1_000_000);

/// Knows the simulation's task definitions and network; each test adds to it.
pub(crate) struct World {
    pub(crate) memory: Memory,
    pub(crate) host: HostFacts,
    pub(crate) now: Timestamp,
}

impl World {
    pub(crate) fn on(host: HostFacts) -> Self {
        let mut world = Self { memory: Memory::default(), host, now: NOW };
        world.write(|tx, _| {
            setting::FAMILIES.iter().for_each(|family| tx.put(setting::definition(family)));
            setting::network(tx);
        });
        world
    }

    pub(crate) fn write<T>(&mut self, work: impl FnOnce(&mut Tx<'_>, &HostFacts) -> T) -> T {
        let host = &self.host;
        self.memory.write(self.now, |tx| Ok::<_, StoreError>(work(tx, host))).unwrap()
    }

    pub(crate) fn run(&mut self, template: &TaskTemplate, count: usize) -> Launched {
        self.write(|tx, host| launch(tx, host, template, Target::Count(count), &Shares::default(), 7).unwrap())
    }

    pub(crate) fn tasks(&self) -> Vec<Arc<Task>> {
        self.memory.view().scan::<Task>(&Prefix::all())
    }

    /// Those that are registered.
    pub(crate) fn instances(&self) -> Vec<Arc<ContainerInstance>> {
        let all = self.memory.view().scan::<ContainerInstance>(&Prefix::all());
        all.into_iter().filter(|one| one.is_registered()).collect()
    }

    /// The task has come so far, now.
    pub(crate) fn reach(&mut self, task: &Task, status: TaskStatus) {
        let mut task = task.clone();
        (task.observed.status, task.version) = (status, task.version + 1);
        if status == TaskStatus::Stopped {
            task.observed.stopped_at = Some(self.now);
        }
        if status == TaskStatus::Running {
            task.observed.started_at = Some(self.now);
        }
        self.write(|tx, _| tx.put(task));
    }
}
