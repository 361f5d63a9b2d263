//! The control groups of container instances: real limits around the tasks that share one.
//!
//! In: instances and tasks as the store has them. Out: a group for each instance that is registered, none for others.
//!
//! Holds: a group is removed only when its instance is gone and no live task is on it. The host's own instance has no
//! group: its limits are the machine's.

use std::collections::HashSet;
use std::sync::Arc;

use cove_model::container_instance::{ContainerInstance, Origin};
use cove_model::task::Task;
use cove_runtime::cgroup::CgroupError;
use cove_runtime::spec::TaskLimits;
use cove_store::{Prefix, Read};
use tokio::sync::watch;

use crate::deps::{Deps, blocking};

const MIB: u64 = 1 << 20;
/// ECS's unit of CPU: 1024 are one vCPU.
const CPU_PER_VCPU: u64 = 1024;

/// Keeps the groups in line until it is told to stop.
pub(crate) async fn run(deps: Arc<Deps>, mut stopped: watch::Receiver<bool>) {
    let mut instances = deps.store.watch::<ContainerInstance>();
    let mut tasks = deps.store.watch::<Task>();
    loop {
        tasks.mark_unchanged();
        let of_now = Arc::clone(&deps);
        let waits = blocking(move || reconcile(&of_now)).await.unwrap_or_else(|error| {
            tracing::error!(%error, "the groups of instances were left as they are");
            false
        });
        tokio::select! {
            result = instances.changed() => if result.is_err() { return },
            // Only while an instance that is gone still has tasks.
            result = tasks.changed(), if waits => if result.is_err() { return },
            _ = stopped.changed() => return,
        }
    }
}

/// Makes and removes groups; whether one that should go is still needed.
fn reconcile(deps: &Deps) -> bool {
    let (instances, tasks) =
        deps.store.read(|view| (view.scan::<ContainerInstance>(&Prefix::all()), view.live::<Task>(&Prefix::all())));
    let mut wanted: HashSet<&str> = HashSet::new();
    for instance in instances.iter().filter(|one| one.is_registered() && has_group(one)) {
        wanted.insert(&instance.ec2_instance_id);
        if let Err(error) = ensure(deps, instance) {
            let (error, instance) = (cove_base::error::chain(&error), &instance.ec2_instance_id);
            tracing::warn!(error, instance, "the limits of an instance could not be set");
        }
    }
    let used: HashSet<String> =
        tasks.iter().filter_map(|task| Some(deps.instance_of(task)?.ec2_instance_id.clone())).collect();
    let mut waits = false;
    for name in deps.cgroups.instances().into_iter().filter(|name| !wanted.contains(name.as_str())) {
        if used.contains(&name) {
            waits = true;
        } else if let Err(error) = deps.cgroups.remove_instance(&name) {
            tracing::debug!(error = cove_base::error::chain(&error), instance = name, "a group is still in use");
            waits = true;
        }
    }
    waits
}

/// Makes sure that the task's instance has its group, because the task may come before the loop does. The group's name,
/// if the task is to be below one.
pub(crate) fn hold(deps: &Deps, task: &Task) -> Result<Option<String>, CgroupError> {
    let Some(instance) = deps.instance_of(task).filter(|instance| has_group(instance)) else { return Ok(None) };
    // Once it is there the loop sees to its limits; a start of a task writes none.
    if !deps.cgroups.has_instance(&instance.ec2_instance_id) {
        ensure(deps, &instance)?;
    }
    Ok(Some(instance.ec2_instance_id.clone()))
}

fn ensure(deps: &Deps, instance: &ContainerInstance) -> Result<(), CgroupError> {
    deps.cgroups.ensure_instance(&instance.ec2_instance_id, &limits(instance, deps.host.cores))
}

/// The host itself needs none, and what another host's agent registered is not here.
const fn has_group(instance: &ContainerInstance) -> bool {
    if instance.agent.is_some() {
        return false;
    }
    match instance.origin {
        Origin::Host => false,
        Origin::Declared | Origin::Added => true,
    }
}

/// What it registered, and never more cores than the host has.
fn limits(instance: &ContainerInstance, cores: u32) -> TaskLimits {
    let cpu = u64::try_from(instance.registered.cpu).unwrap_or(0);
    let memory = u64::try_from(instance.registered.memory_mib).unwrap_or(0);
    TaskLimits {
        cpu_quota_percent: Some((cpu * 100).div_ceil(CPU_PER_VCPU).clamp(1, u64::from(cores.max(1)) * 100)),
        cpu_shares: Some(cpu),
        memory_bytes: Some(memory * MIB),
        pids: None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use cove_base::Timestamp;
    use cove_model::arn::Tenant;
    use cove_model::container_instance::{Capacity, ContainerInstanceStatus, Resources};

    use super::*;

    /// An instance of one and a half vCPU.
    pub(crate) fn instance() -> ContainerInstance {
        let registered = Resources { cpu: 1536, memory_mib: 7865, ..Resources::default() };
        ContainerInstance {
            tenant: Tenant::new("000000000000", "us-east-1"),
            cluster: "default".into(),
            id: "0".into(),
            ec2_instance_id: "i-0".into(),
            status: ContainerInstanceStatus::Active,
            registered,
            attributes: vec![],
            availability_zone: "us-east-1a".into(),
            registered_at: Timestamp(0),
            version: 1,
            tags: vec![],
            task_interfaces_max: None,
            origin: Origin::Declared,
            capacity: Capacity::OnDemand,
            asg_max: None,
            agent: None,
            asg: None,
            managed_by: None,
            storage_gib: None,
            replaces: None,
            room_for: Vec::new(),
            is_terminated: false,
            declared_attributes: Vec::new(),
            leaves_at: None,
            leaves_when_empty: false,
            leaves_since: None,
            gone_at: None,
        }
    }

    #[test]
    fn an_instance_has_its_memory_and_its_vcpus_but_no_more_than_the_host() {
        let instance = instance();
        let got = limits(&instance, 8);
        assert_eq!((got.cpu_quota_percent, got.cpu_shares), (Some(150), Some(1536)));
        assert_eq!(got.memory_bytes, Some(7865 << 20));
        assert_eq!(limits(&instance, 1).cpu_quota_percent, Some(100));
    }
}
