//! Which tasks of a launch a capacity provider may grow for.

use std::collections::{BTreeMap, HashSet};

use cove_store::Tx;

use crate::fleet::scale_out;
use crate::host::HostFacts;
use crate::place::{BadRequest, Placed, Reason, Refusal, Request};

/// What placement said of each task.
type Answer = Result<Vec<Result<Placed, Vec<Refusal>>>, BadRequest>;

/// Lets the groups of providers grow for tasks that found no room; how many instances there are more.
pub(super) fn grow(
    tx: &mut Tx<'_>,
    host: &HostFacts,
    request: &Request,
    providers: &[String],
    answer: &Answer,
) -> usize {
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
    if waiting.is_empty() { 0 } else { scale_out(tx, host, request, &waiting, taken) }
}

/// Whether one more instance would help. Host ports are the node's: more instances have no more of them.
const fn is_lack(refusal: &Refusal) -> bool {
    match refusal.reason {
        Reason::NoCapacity | Reason::DistinctInstance | Reason::Cpu | Reason::Memory | Reason::Gpu | Reason::Eni => {
            true
        }
        Reason::Missing
        | Reason::Inactive
        | Reason::Agent
        | Reason::Attribute
        | Reason::MemberOf
        | Reason::Ports
        | Reason::TaskLimit => false,
    }
}
