//! Brings the registered instances in line with what is declared, when the server starts and for a new tenant.
//!
//! | known | declared | then |
//! |---|---|---|
//! | no | yes | it registers |
//! | ACTIVE, DRAINING | yes | size and attributes as declared now; status stays, and what clients made of custom attributes |
//! | ACTIVE, DRAINING | no | INACTIVE, its tasks stop |
//! | INACTIVE by hand | yes | stays away |
//! | INACTIVE because its declaration went | yes | it registers again |
//! | added at run time | | not ours |

use std::collections::BTreeMap;
use std::sync::Arc;

use cove_model::account::TenantRecord;
use cove_model::arn::Tenant;
use cove_model::cluster::{Cluster, ClusterStatus};
use cove_model::container_instance::{Agent, ContainerInstance, Origin};
use cove_model::task_definition::Attribute;
use cove_store::{Prefix, Read, Tx, keys};

use super::record::{Place, is_reserved};
use super::verb::{End, end};
use crate::host::HostFacts;
use crate::tenant::new_cluster;

/// What is to be done about one instance.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    /// New, or with another size.
    Put(Arc<ContainerInstance>),
    /// It is declared no more.
    Retire(Arc<ContainerInstance>),
}

/// The fleets of all tenants; called once when the server starts. Writes nothing when nothing changed.
pub fn reconcile(tx: &mut Tx<'_>, host: &HostFacts) {
    hear_from_nobody(tx);
    for record in tx.scan::<TenantRecord>(&Prefix::all()) {
        reconcile_tenant(tx, &record.tenant, host);
    }
}

/// Agents of other hosts that were connected must come again.
fn hear_from_nobody(tx: &mut Tx<'_>) {
    for instance in tx.scan::<ContainerInstance>(&Prefix::all()) {
        let Some(agent) = instance.agent.as_ref().filter(|agent| agent.connected) else { continue };
        let agent = Some(Agent { connected: false, ..agent.clone() });
        tx.put(ContainerInstance { agent, version: instance.version + 1, ..(*instance).clone() });
    }
}

/// The fleet of one tenant.
pub fn reconcile_tenant(tx: &mut Tx<'_>, tenant: &Tenant, host: &HostFacts) {
    let known = tx.scan::<ContainerInstance>(&Prefix::tenant(tenant));
    let declared = Place::of(tx, tenant, host, tx.now()).declared();
    let mut groups: BTreeMap<String, Option<u32>> = BTreeMap::new();
    for one in &declared {
        let Some(asg) = &one.asg else { continue };
        let most = groups.entry(asg.clone()).or_default();
        *most = one.asg_max.max(*most);
    }
    for change in plan(&known, declared) {
        match change {
            Change::Put(instance) => {
                ensure_cluster(tx, tenant, &instance.cluster);
                tx.put(Arc::unwrap_or_clone(instance));
            }
            Change::Retire(instance) => {
                // It may be declared again, so it is as if it had been added and removed.
                let retired = ContainerInstance { origin: Origin::Added, ..end(tx, &instance, End::Deregistered) };
                tx.put(retired);
            }
        }
    }
    limit_groups(tx, tenant, &groups);
}

/// What is declared of a group holds for those of it that are not declared, or are gone, as well.
fn limit_groups(tx: &mut Tx<'_>, tenant: &Tenant, groups: &BTreeMap<String, Option<u32>>) {
    for one in tx.scan::<ContainerInstance>(&Prefix::tenant(tenant)) {
        let Some(most) = one.asg.as_ref().and_then(|asg| groups.get(asg)) else { continue };
        if one.asg_max != *most {
            tx.put(ContainerInstance { asg_max: *most, version: one.version + 1, ..(*one).clone() });
        }
    }
}

/// Compares what is known with what is declared.
pub(super) fn plan(known: &[Arc<ContainerInstance>], declared: Vec<ContainerInstance>) -> Vec<Change> {
    let same = |one: &ContainerInstance, other: &ContainerInstance| one.id == other.id && one.cluster == other.cluster;
    let is_ours = |one: &ContainerInstance| match one.origin {
        Origin::Host | Origin::Declared => true,
        Origin::Added => false,
    };
    let put = |instance| Change::Put(Arc::new(instance));
    let mut changes = Vec::new();
    for one in known.iter().filter(|one| is_ours(one) && !declared.iter().any(|wanted| same(wanted, one))) {
        if one.is_registered() {
            changes.push(Change::Retire(Arc::clone(one)));
        } else {
            changes.push(put(ContainerInstance { origin: Origin::Added, ..(**one).clone() }));
        }
    }
    for fresh in declared {
        match known.iter().find(|one| same(one, &fresh)) {
            None => changes.push(put(fresh)),
            Some(one) if one.is_registered() => changes.extend(refreshed(one, fresh).map(put)),
            Some(one) if is_ours(one) => {}
            Some(one) => changes.push(put(ContainerInstance { version: one.version + 1, ..fresh })),
        }
    }
    changes
}

/// The instance as it is declared now, if that is another.
fn refreshed(known: &ContainerInstance, fresh: ContainerInstance) -> Option<ContainerInstance> {
    let attributes = merged(known, &fresh);
    let mut changed = known.clone();
    changed.registered = fresh.registered;
    changed.attributes = attributes;
    changed.declared_attributes = fresh.declared_attributes;
    changed.task_interfaces_max = fresh.task_interfaces_max;
    changed.capacity = fresh.capacity;
    changed.asg = fresh.asg;
    changed.asg_max = fresh.asg_max;
    changed.origin = fresh.origin;
    if changed == *known {
        return None;
    }
    changed.version += 1;
    Some(changed)
}

/// Built-in attributes are as now. Of the others what clients made of them stays, until the declaration changes.
fn merged(known: &ContainerInstance, fresh: &ContainerInstance) -> Vec<Attribute> {
    let find = |all: &[Attribute], name: &Option<String>| all.iter().find(|one| one.name == *name).cloned();
    let is_as_before = |one: &Attribute| find(&known.declared_attributes, &one.name).as_ref() == Some(one);
    let mut all = Vec::with_capacity(fresh.attributes.len());
    for one in &fresh.attributes {
        let is_custom = find(&fresh.declared_attributes, &one.name).is_some();
        if is_custom && is_as_before(one) {
            all.extend(find(&known.attributes, &one.name));
        } else {
            all.push(one.clone());
        }
    }
    let is_builtin = |one: &Attribute| one.name.as_deref().is_some_and(is_reserved);
    let is_added =
        |one: &&Attribute| !is_builtin(one) && find(&fresh.attributes, &one.name).is_none() && !is_as_before(one);
    all.extend(known.attributes.iter().filter(is_added).cloned());
    all
}

/// A declaration may name a cluster that nobody made.
fn ensure_cluster(tx: &mut Tx<'_>, tenant: &Tenant, name: &str) {
    let known = tx.get::<Cluster>(&keys::cluster(tenant, name));
    if known.is_none_or(|cluster| cluster.status == ClusterStatus::Inactive) {
        tx.put(new_cluster(tenant, name, tx.now()));
    }
}
