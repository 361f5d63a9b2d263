//! The tasks of a cluster by the instance that they are or were on.
//!
//! Why: who looks at every instance must not look at every task for each of them.

use std::collections::HashMap;
use std::sync::Arc;

use cove_model::task::Task;
use cove_store::{Prefix, Read};

/// All tasks that are still known, those that have stopped among them.
pub(super) struct OnInstances(HashMap<String, Vec<Arc<Task>>>);

impl OnInstances {
    /// One pass over the cluster's tasks.
    pub(super) fn read(source: &impl Read, inside: &Prefix) -> Self {
        let mut all: HashMap<String, Vec<Arc<Task>>> = HashMap::new();
        for task in source.scan::<Task>(inside) {
            let Some(id) = &task.placement.container_instance else { continue };
            match all.get_mut(id) {
                Some(here) => here.push(task),
                None => drop(all.insert(id.clone(), vec![task])),
            }
        }
        Self(all)
    }

    /// Those of one instance.
    pub(super) fn on(&self, instance: &str) -> &[Arc<Task>] {
        self.0.get(instance).map_or(&[], Vec::as_slice)
    }
}
