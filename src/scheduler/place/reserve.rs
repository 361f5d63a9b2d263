//! Room on managed instances that is kept for their daemons: a daemon comes after the instance was made, and the tasks
//! that it was made for must not have taken its place.

use cove_model::arn::Tenant;
use cove_model::capacity_provider::{CapacityProvider, Pool};
use cove_model::container_instance::ContainerInstance;
use cove_model::daemon::{Daemon, DaemonRevision};
use cove_store::{Prefix, Read, keys};

/// What a daemon needs on each instance of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserve {
    pub pool: Pool,
    pub daemon: String,
    /// What the daemon is to run.
    pub revision: String,
    pub cpu: i64,
    pub memory_mib: i64,
}

impl Reserve {
    /// What the daemons of a cluster need.
    pub(crate) fn all(source: &impl Read, tenant: &Tenant, cluster: &str) -> Vec<Self> {
        let mut all = Vec::new();
        for daemon in source.scan::<Daemon>(&Prefix::parent(tenant, cluster)).iter().filter(|it| it.is_active()) {
            let key = keys::daemon_part(tenant, cluster, &daemon.name, &daemon.revision);
            let Some(revision) = source.get::<DaemonRevision>(&key) else { continue };
            let size = &revision.template.size;
            for name in &revision.capacity_providers {
                let found = source.get::<CapacityProvider>(&keys::capacity_provider(tenant, name));
                if let Some(provider) = found.filter(|it| it.is_active() && it.managed.is_some()) {
                    all.push(Self {
                        pool: provider.pool(),
                        daemon: daemon.name.clone(),
                        revision: revision.id.clone(),
                        cpu: size.cpu,
                        memory_mib: size.memory_mib,
                    });
                }
            }
        }
        all
    }

    /// Whether it is still to be kept on the instance for another than `group`. `is_there`: whether the daemon has a task on
    /// the instance.
    pub(super) fn is_open(&self, instance: &ContainerInstance, group: &str, is_there: bool) -> bool {
        !is_there && self.pool.has(instance) && group.strip_prefix("daemon:") != Some(&*self.daemon)
    }
}
