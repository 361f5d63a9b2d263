//! Which instances a task fits on, and which of them is best.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;
use std::sync::Arc;

use cove_model::container_instance::{ContainerInstance, EXTERNAL};
use cove_model::task::LaunchType;
use cove_model::task_definition::{Attribute, NetworkMode};

use super::address::Choice;
use super::ledger::{Account, Ledger};
use super::port::static_ports;
use super::seed::Seed;
use super::{Constraint, Occupancy, Reason, Refusal, Request, Strategy};

/// Why a task in awsvpc mode goes to no other host.
const NO_INTERFACES: &str = "hosts with an agent of their own have no interface in a VPC of this node";

/// An instance and its account.
pub(super) type Open<'a, 'b> = (&'a ContainerInstance, &'b Account);

/// Those that the task fits on as things are, and one refusal for each of the others. All are what the request asks for.
pub(super) fn fitting<'a, 'b>(
    instances: &[&'a ContainerInstance],
    request: &Request,
    ledger: &'b Ledger<'_>,
) -> (Vec<Open<'a, 'b>>, Vec<Refusal>) {
    let mut fitting = Vec::with_capacity(instances.len());
    let mut refusals = Vec::new();
    let of_node = static_ports(request, ledger, None).err();
    for instance in instances {
        let account = ledger.account(instance);
        let its_own = ports_elsewhere(instance, request, ledger);
        match has_room(instance, account, request, its_own.as_ref().unwrap_or(&of_node).as_ref()) {
            Ok(()) => fitting.push((*instance, account)),
            Err(refusal) => refusals.push(refusal),
        }
    }
    (fitting, refusals)
}

/// Looks at what the instance is, then at what it has left. The first lack is the reason.
pub(super) fn fits(
    instance: &ContainerInstance,
    request: &Request,
    network: &Choice<'_>,
    ledger: &Ledger<'_>,
) -> Result<(), Refusal> {
    is_right(instance, request, network)?;
    let ports = ports_elsewhere(instance, request, ledger).unwrap_or_else(|| static_ports(request, ledger, None).err());
    has_room(instance, ledger.account(instance), request, ports.as_ref())
}

/// Why ports cannot be had of another host; `None` where they are the node's.
fn ports_elsewhere(instance: &ContainerInstance, request: &Request, ledger: &Ledger<'_>) -> Option<Option<String>> {
    instance.is_elsewhere().then(|| static_ports(request, ledger, Some(instance)).err())
}

/// Whether the instance is what the request asks for, as far as its tasks do not matter.
pub(super) fn is_right(instance: &ContainerInstance, request: &Request, network: &Choice<'_>) -> Result<(), Refusal> {
    let refuse = |reason, detail| Err(Refusal { arn: Some(instance.arn()), reason, detail });
    if !instance.is_connected() {
        return refuse(Reason::Agent, None);
    }
    let is_external = request.launch_type == LaunchType::External;
    if instance.is_external() != is_external {
        return refuse(Reason::Attribute, Some(EXTERNAL.to_owned()));
    }
    if instance.is_elsewhere() && request.network_mode == NetworkMode::Awsvpc {
        return refuse(Reason::Eni, Some(NO_INTERFACES.to_owned()));
    }
    if let Some(missing) = request.required_attributes.iter().find(|attribute| !instance.has(attribute)) {
        return refuse(Reason::Attribute, missing.name.clone());
    }
    if !network.reaches(&instance.availability_zone) {
        return refuse(Reason::Attribute, Some(format!("no subnet in {}", instance.availability_zone)));
    }
    Ok(())
}

/// Whether it has room as things are. `ports`: why the ports cannot be had.
fn has_room(
    instance: &ContainerInstance,
    account: &Account,
    request: &Request,
    ports: Option<&String>,
) -> Result<(), Refusal> {
    let refuse = |reason, detail| Err(Refusal { arn: Some(instance.arn()), reason, detail });
    for constraint in &request.constraints {
        match constraint {
            Constraint::DistinctInstance if account.of_group(&request.group) > 0 => {
                return refuse(Reason::DistinctInstance, None);
            }
            Constraint::MemberOf(expression) if !expression.matches(instance, &account.occupancy) => {
                return refuse(Reason::MemberOf, None);
            }
            Constraint::DistinctInstance | Constraint::MemberOf(_) => {}
        }
    }
    if request.cpu > account.cpu {
        return refuse(Reason::Cpu, None);
    }
    if request.memory_mib > account.memory_mib {
        return refuse(Reason::Memory, None);
    }
    if request.gpus.iter().sum::<usize>() > account.gpus.len() {
        return refuse(Reason::Gpu, None);
    }
    if let Some(detail) = ports {
        return refuse(Reason::Ports, Some(detail.clone()));
    }
    if request.network_mode == NetworkMode::Awsvpc && !account.has_interface(instance) {
        return refuse(Reason::Eni, None);
    }
    Ok(())
}

/// Whether the instance is what is asked for, whoever is on it: attributes and `memberOf`.
#[must_use]
pub fn is_suitable(instance: &ContainerInstance, required: &[Attribute], constraints: &[Constraint]) -> bool {
    let member = |constraint: &Constraint| match constraint {
        Constraint::DistinctInstance => true,
        Constraint::MemberOf(expression) => expression.matches(instance, &Occupancy::default()),
    };
    required.iter().all(|attribute| instance.has(attribute)) && constraints.iter().all(member)
}

/// The place in the list of the instance that the strategies like best, in their order; the seed decides between equals.
/// Tasks are spread by all that the group has, also on instances where nothing more fits.
pub(super) fn best(
    fitting: &[Open<'_, '_>],
    request: &Request,
    instances: &[Arc<ContainerInstance>],
    ledger: &Ledger<'_>,
    seed: &mut Seed,
) -> Option<usize> {
    let mut left: Vec<usize> = (0..fitting.len()).collect();
    for strategy in &request.strategies {
        match strategy {
            Strategy::Random => break,
            Strategy::Spread(field) => {
                let values: Vec<Option<&str>> = fitting.iter().map(|(instance, _)| value_of(instance, field)).collect();
                let mut counts: HashMap<Option<&str>, usize> = HashMap::with_capacity(instances.len());
                for instance in instances {
                    let here = ledger.account(instance).of_group(&request.group);
                    *counts.entry(value_of(instance, field)).or_default() += here;
                }
                // Instances without the attribute come last.
                keep_least(&mut left, |at| (values[at].is_none(), counts.get(&values[at]).copied().unwrap_or(0)));
            }
            Strategy::BinpackCpu => keep_least(&mut left, |at| fitting[at].1.cpu),
            Strategy::BinpackMemory => keep_least(&mut left, |at| fitting[at].1.memory_mib),
        }
    }
    if request.strategies.is_empty() {
        keep_least(&mut left, |at| Reverse(fitting[at].1.memory_mib));
    }
    let chosen = seed.below(u32::try_from(left.len()).unwrap_or(u32::MAX)) as usize;
    left.get(chosen).copied()
}

/// Keeps those of the smallest measure.
fn keep_least<K: Ord>(places: &mut Vec<usize>, measure: impl Fn(usize) -> K) {
    let mut least = None;
    let mut kept = Vec::with_capacity(places.len());
    for at in places.drain(..) {
        let here = measure(at);
        match least.as_ref().map(|least| here.cmp(least)) {
            Some(Ordering::Greater) => continue,
            Some(Ordering::Equal) => {}
            Some(Ordering::Less) | None => {
                kept.clear();
                least = Some(here);
            }
        }
        kept.push(at);
    }
    *places = kept;
}

/// Whether `spread` knows the field.
pub(super) fn is_spread_field(field: &str) -> bool {
    matches!(field, "instanceId" | "host") || field.strip_prefix("attribute:").is_some_and(|name| !name.is_empty())
}

fn value_of<'a>(instance: &'a ContainerInstance, field: &str) -> Option<&'a str> {
    match field.strip_prefix("attribute:") {
        None => Some(&instance.id),
        Some(name) => {
            let own = instance.attributes.iter().find(|attribute| attribute.name.as_deref() == Some(name))?;
            Some(own.value.as_deref().unwrap_or(""))
        }
    }
}
