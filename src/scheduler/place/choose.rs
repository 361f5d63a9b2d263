//! Which instances a task fits on, and which of them is best.

use std::cmp::Reverse;
use std::collections::HashMap;

use cove_model::container_instance::ContainerInstance;
use cove_model::task_definition::{Attribute, NetworkMode};

use super::address::Choice;
use super::ledger::Ledger;
use super::port::static_ports;
use super::seed::Seed;
use super::{Constraint, Occupancy, Reason, Refusal, Request, Strategy};

/// Those that the task fits on, and one refusal for each of the others.
pub(super) fn fitting<'a>(
    instances: &[&'a ContainerInstance],
    request: &Request,
    network: &Choice<'_>,
    ledger: &Ledger,
) -> (Vec<&'a ContainerInstance>, Vec<Refusal>) {
    let mut fitting = Vec::new();
    let mut refusals = Vec::new();
    for instance in instances {
        match fits(instance, request, network, ledger) {
            Ok(()) => fitting.push(*instance),
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
    ledger: &Ledger,
) -> Result<(), Refusal> {
    let refuse = |reason, detail| Err(Refusal { arn: Some(instance.arn()), reason, detail });
    if !instance.is_connected() {
        return refuse(Reason::Agent, None);
    }
    if let Some(missing) = request.required_attributes.iter().find(|attribute| !has(instance, attribute)) {
        return refuse(Reason::Attribute, missing.name.clone());
    }
    if !network.reaches(&instance.availability_zone) {
        return refuse(Reason::Attribute, Some(format!("no subnet in {}", instance.availability_zone)));
    }
    let account = ledger.account(instance);
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
    if let Err(detail) = static_ports(request, ledger) {
        return refuse(Reason::Ports, Some(detail));
    }
    if request.network_mode == NetworkMode::Awsvpc && !ledger.has_interface(instance) {
        return refuse(Reason::Eni, None);
    }
    Ok(())
}

/// Whether the instance is what the request asks for, whoever is on it: attributes and `memberOf`.
#[must_use]
pub fn is_suitable(instance: &ContainerInstance, request: &Request) -> bool {
    let member = |constraint: &Constraint| match constraint {
        Constraint::DistinctInstance => true,
        Constraint::MemberOf(expression) => expression.matches(instance, &Occupancy::default()),
    };
    request.required_attributes.iter().all(|attribute| has(instance, attribute))
        && request.constraints.iter().all(member)
}

fn has(instance: &ContainerInstance, wanted: &Attribute) -> bool {
    let same = |own: &&Attribute| own.name == wanted.name && (wanted.value.is_none() || own.value == wanted.value);
    instance.attributes.iter().any(|own| same(&own))
}

/// The instance that the strategies like best, in their order; the seed decides between equals.
pub(super) fn best<'a>(
    fitting: &[&'a ContainerInstance],
    request: &Request,
    ledger: &Ledger,
    seed: &mut Seed,
) -> Option<&'a ContainerInstance> {
    let mut left: Vec<&ContainerInstance> = fitting.to_vec();
    for strategy in &request.strategies {
        match strategy {
            Strategy::Random => break,
            Strategy::Spread(field) => {
                let mut counts: HashMap<Option<&str>, usize> = HashMap::new();
                for instance in fitting {
                    *counts.entry(value_of(instance, field)).or_default() +=
                        ledger.account(instance).of_group(&request.group);
                }
                // Instances without the attribute come last.
                keep_least(&mut left, |instance| {
                    let value = value_of(instance, field);
                    (value.is_none(), counts.get(&value).copied().unwrap_or(0))
                });
            }
            Strategy::BinpackCpu => keep_least(&mut left, |instance| ledger.account(instance).cpu),
            Strategy::BinpackMemory => keep_least(&mut left, |instance| ledger.account(instance).memory_mib),
        }
    }
    if request.strategies.is_empty() {
        keep_least(&mut left, |instance| Reverse(ledger.account(instance).memory_mib));
    }
    let chosen = seed.below(u32::try_from(left.len()).unwrap_or(u32::MAX)) as usize;
    left.get(chosen).copied()
}

fn keep_least<K: Ord>(instances: &mut Vec<&ContainerInstance>, measure: impl Fn(&ContainerInstance) -> K) {
    let Some(least) = instances.iter().map(|instance| measure(instance)).min() else { return };
    instances.retain(|instance| measure(instance) == least);
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
