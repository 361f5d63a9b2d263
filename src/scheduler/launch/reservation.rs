//! CapacityProviderReservation: how much of its group a capacity provider needs, in percent.
//!
//! ```text
//! instances that have tasks, and those that waiting tasks need ÷ ACTIVE instances × 100
//! while tasks wait: those that have none count as well                                    they were no place for them
//! none there: 100 when none is needed, else 200                                           as AWS says for want of a divisor
//! ```

use cove_model::arn::Tenant;
use cove_model::capacity_provider::{CapacityProvider, Switch};
use cove_model::cluster::{Cluster, ClusterStatus};
use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus};
use cove_model::task_definition::TaskDefinition;
use cove_store::{Prefix, Read, View, keys};

use super::waiting::Crowd;
use crate::fleet::{is_used, tasks_on_an_empty};

/// Tenant, cluster, provider and percent, for every cluster that a provider with managed scaling is associated with.
#[must_use]
pub fn reservations(view: &View) -> Vec<(Tenant, String, String, f64)> {
    let crowds = Crowd::all(view);
    let mut all = Vec::new();
    for cluster in view.scan::<Cluster>(&Prefix::all()).iter().filter(|it| it.status == ClusterStatus::Active) {
        for name in &cluster.capacity_providers {
            let found = view.get::<CapacityProvider>(&keys::capacity_provider(&cluster.tenant, name));
            let scales = |it: &CapacityProvider| it.managed.is_none() && it.managed_scaling.status == Switch::Enabled;
            let Some(provider) = found.filter(|it| it.is_active() && scales(it)) else { continue };
            let percent = percent(view, cluster, &provider, &crowds);
            all.push((cluster.tenant.clone(), cluster.name.clone(), name.clone(), percent));
        }
    }
    all
}

fn percent(view: &View, cluster: &Cluster, provider: &CapacityProvider, crowds: &[Crowd]) -> f64 {
    let pool = provider.pool();
    let members = view.scan::<ContainerInstance>(&Prefix::parent(&cluster.tenant, &cluster.name));
    let members: Vec<_> = members.iter().filter(|one| pool.has(one)).collect();
    let active: Vec<_> = members.iter().filter(|one| one.status == ContainerInstanceStatus::Active).collect();
    let used = active.iter().filter(|one| is_used(view, one)).count();
    let mut lacking = 0;
    for crowd in crowds.iter().filter(|it| it.provider == provider.name) {
        let Some(template) = crowd.template().filter(|it| it.tenant == cluster.tenant && it.cluster == cluster.name)
        else {
            continue;
        };
        let key = keys::definition(&template.tenant, &template.family, template.revision);
        let Some(definition) = view.get::<TaskDefinition>(&key) else { continue };
        let Ok(request) = crowd.request(view, template, &definition) else { continue };
        // A task that no instance of the group holds needs one of its own.
        let each = members.iter().map(|model| tasks_on_an_empty(model, &request)).max().unwrap_or(0).max(1);
        lacking += crowd.tasks.len().div_ceil(each);
    }
    let taken = if lacking > 0 { active.len() } else { used };
    ratio(taken + lacking, active.len())
}

fn ratio(needed: usize, there: usize) -> f64 {
    let float = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    match (needed, there) {
        (0, 0) => 100.0,
        (_, 0) => 200.0,
        (needed, there) => float(needed) / float(there) * 100.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_is_what_is_needed_of_what_is_there() {
        let cases = [(0, 0, 100.0), (3, 0, 200.0), (0, 4, 0.0), (2, 4, 50.0), (4, 4, 100.0), (6, 4, 150.0)];
        for (needed, there, percent) in cases {
            assert!((ratio(needed, there) - percent).abs() < f64::EPSILON, "{needed} of {there}");
        }
    }
}
