//! Whether a fleet promises more than the machine under it has.

use std::collections::HashMap;
use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::container_instance::{ContainerInstance, Origin};

use crate::host::HostFacts;

/// What the largest fleet of one tenant has beyond the host, in words; `None` when it fits.
#[must_use]
pub fn beyond(host: &HostFacts, instances: &[Arc<ContainerInstance>]) -> Option<String> {
    let mut sums: HashMap<&Tenant, (i64, i64)> = HashMap::new();
    for one in instances.iter().filter(|one| one.is_registered() && !one.is_elsewhere() && one.origin != Origin::Host) {
        let sum = sums.entry(&one.tenant).or_default();
        sum.0 += one.registered.cpu;
        sum.1 += one.registered.memory_mib;
    }
    let (cpu, memory_mib) = (sums.values().map(|sum| sum.0).max()?, sums.values().map(|sum| sum.1).max()?);
    (cpu > host.cpu || memory_mib > host.memory_mib).then(|| {
        format!(
            "the fleet promises {} vCPU and {memory_mib} MiB, this host has {} vCPU and {} MiB: each instance keeps its limits, but not all can be full at once",
            cpu / 1024,
            host.cpu / 1024,
            host.memory_mib
        )
    })
}
