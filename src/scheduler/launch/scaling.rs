//! Places a launch, with what its capacity providers may grow by.
//!
//! Holds: an instance is made only when more of the launch's tasks find a place with it; so whatever waits how often does
//! not grow a group for what would not fit anyway.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::capacity_provider::{CapacityProvider, Switch};
use cove_model::container_instance::ContainerInstance;
use cove_store::{Read, Tx, keys};

use crate::fleet::growth;
use crate::host::HostFacts;
use crate::place::{self, BadRequest, Placed, Reason, Refusal, Request, Snapshot};

/// What placement said of each task.
pub(super) type Answer = Result<Answers, BadRequest>;
/// The same, when the request made sense.
pub(super) type Answers = Vec<Result<Placed, Vec<Refusal>>>;

/// Places the tasks, and writes the instances that were made for them.
pub(super) fn place(tx: &mut Tx<'_>, host: &HostFacts, request: &Request, providers: &[String]) -> Answer {
    let first = place::place(&Snapshot::read(tx, host, &request.tenant, &request.cluster), request);
    let (waiting, taken) = lacking(&first, providers);
    if waiting.is_empty() {
        return first;
    }
    let fresh = growth(tx, host, request, &waiting, taken);
    if fresh.is_empty() {
        return first;
    }
    let mut snapshot = Snapshot::read(tx, host, &request.tenant, &request.cluster);
    snapshot.instances.extend(fresh.iter().cloned().map(Arc::new));
    let second = place::place(&snapshot, request);
    if number_placed(&second) <= number_placed(&first) {
        return first;
    }
    fresh.into_iter().for_each(|instance: ContainerInstance| tx.put(instance));
    second
}

/// Providers among these whose groups grow for tasks: those wait for it.
pub(super) fn growing(source: &Tx<'_>, tenant: &Tenant, providers: &[String]) -> BTreeSet<String> {
    let grows = |name: &&String| {
        let found = source.get::<CapacityProvider>(&keys::capacity_provider(tenant, name));
        found.is_some_and(|it| it.is_active() && it.managed.is_none() && it.managed_scaling.status == Switch::Enabled)
    };
    let names: BTreeSet<&String> = providers.iter().collect();
    names.into_iter().filter(grows).cloned().collect()
}

/// The tasks that one more instance might help, by provider, and the instances that the others go to.
fn lacking(answer: &Answer, providers: &[String]) -> (BTreeMap<String, usize>, HashSet<String>) {
    let mut waiting: BTreeMap<String, usize> = BTreeMap::new();
    let mut taken = HashSet::new();
    for (number, provider) in providers.iter().enumerate() {
        match answer {
            Ok(answers) => match answers.get(number) {
                Some(Ok(placed)) => taken.extend(placed.placement.container_instance.clone()),
                Some(Err(refusals)) if refusals.iter().any(is_lack) => {
                    *waiting.entry(provider.clone()).or_default() += 1;
                }
                Some(Err(_)) | None => {}
            },
            Err(BadRequest::NoContainerInstances) => *waiting.entry(provider.clone()).or_default() += 1,
            Err(
                BadRequest::NoSubnets
                | BadRequest::UnknownSubnet(_)
                | BadRequest::UnknownSecurityGroup(_)
                | BadRequest::SeveralVpcs,
            ) => {}
        }
    }
    (waiting, taken)
}

fn number_placed(answer: &Answer) -> usize {
    answer.as_ref().map_or(0, |answers| answers.iter().filter(|it| it.is_ok()).count())
}

/// Whether waiting for the group would be of no use: a port of the host is the node's, however many instances there are.
pub(super) fn is_in_vain(refusals: &[Refusal]) -> bool {
    refusals.iter().any(|refusal| refusal.reason == Reason::Ports)
}

/// Whether one more instance would help. Host ports are the node's: more instances have no more of them.
const fn is_lack(refusal: &Refusal) -> bool {
    match refusal.reason {
        Reason::NoCapacity
        | Reason::MemberOf
        | Reason::Attribute
        | Reason::DistinctInstance
        | Reason::Cpu
        | Reason::Memory
        | Reason::Gpu
        | Reason::Eni => true,
        Reason::Missing
        | Reason::Inactive
        | Reason::Agent
        | Reason::Ports
        | Reason::TaskLimit
        | Reason::ProvisioningLimit => false,
    }
}
