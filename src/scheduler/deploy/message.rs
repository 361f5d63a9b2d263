//! The words of the service scheduler, as ECS has them.

use std::collections::BTreeMap;

use cove_model::service::Service;

/// Why a task stops that is one too many, or of an older deployment.
pub(super) fn scaled(deployment: &str) -> String {
    format!("Scaling activity initiated by (deployment {deployment})")
}

/// Why a task stops whose health checks fail.
pub(crate) const UNHEALTHY: &str = "Task failed container health checks";

/// How the reason of a task begins that waited for capacity for too long.
pub(crate) const NOT_STARTED: &str = "TaskFailedToStart: ";

pub(super) fn steady(service: &Service) -> String {
    format!("(service {}) has reached a steady state.", service.name)
}

pub(super) fn completed(service: &Service, deployment: &str) -> String {
    format!("(service {}) (deployment {deployment}) deployment completed.", service.name)
}

pub(super) fn failed(service: &Service, deployment: &str, why: &str) -> String {
    format!("(service {}) (deployment {deployment}) deployment failed: {why}.", service.name)
}

pub(super) fn rolling_back(service: &Service, deployment: &str) -> String {
    format!("(service {}) rolling back to deployment {deployment}.", service.name)
}

pub(super) fn impaired(service: &Service) -> String {
    format!(
        "(service {}) is unable to consistently start tasks successfully. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.",
        service.name
    )
}

pub(super) fn blocked(service: &Service) -> String {
    format!(
        "(service {}) was unable to stop or start tasks during a deployment because of the service deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again.",
        service.name
    )
}

/// Zones have unequal numbers of tasks, and that is going to change.
pub(super) fn unbalanced(service: &Service, zones: &BTreeMap<&str, u32>) -> String {
    format!("(service {}) is not AZ balanced with {}. AZ Rebalancing in progress.", service.name, counted(zones))
}

pub(super) fn balanced(service: &Service, zones: &BTreeMap<&str, u32>) -> String {
    format!("(service {}) is AZ balanced with {}.", service.name, counted(zones))
}

/// As in `2 tasks in us-east-1a, 1 tasks in us-east-1b, and 1 tasks in us-east-1c`.
fn counted(zones: &BTreeMap<&str, u32>) -> String {
    let mut each: Vec<String> = zones.iter().map(|(zone, number)| format!("{number} tasks in {zone}")).collect();
    match each.pop() {
        None => String::new(),
        Some(last) if each.is_empty() => last,
        Some(last) if each.len() == 1 => format!("{} and {last}", each[0]),
        Some(last) => format!("{}, and {last}", each.join(", ")),
    }
}

/// Tasks that were started to rebalance zones.
pub(crate) fn started_in(service: &str, zone: &str, ids: &[String]) -> String {
    format!("(service {service}) has started {} tasks in {zone} to AZ Rebalance: {}.", ids.len(), tasks(ids))
}

/// Tasks that were asked to stop to rebalance zones.
pub(crate) fn stopped_in(service: &str, zone: &str, ids: &[String]) -> String {
    format!(
        "(service {service}) has stopped {} running tasks in {zone} due to AZ rebalancing: {}.",
        ids.len(),
        tasks(ids)
    )
}

/// No room where it would help. `is_on_instances`: not on Fargate.
pub(crate) fn unplaced_in(service: &str, zone: &str, is_on_instances: bool) -> String {
    let text = format!("(service {service}) is unable to place a task in {zone}");
    if is_on_instances {
        format!("{text} because no container instance met all of its requirements.")
    } else {
        format!("{text}.")
    }
}

/// Tasks that were started.
pub(crate) fn started(service: &str, ids: &[String]) -> String {
    format!("(service {service}) has started {} tasks: {}.", ids.len(), tasks(ids))
}

/// Tasks that were asked to stop.
pub(crate) fn stopped(service: &str, ids: &[String]) -> String {
    format!("(service {service}) has stopped {} running tasks: {}.", ids.len(), tasks(ids))
}

/// No room. `closest` is an instance and what it lacks.
pub(crate) fn unplaced(service: &str, closest: Option<(&str, &str)>) -> String {
    let text = format!(
        "(service {service}) was unable to place a task because no container instance met all of its requirements."
    );
    match closest {
        None => format!("{text} Reason: No Container Instances were found in your cluster."),
        Some((instance, lack)) => {
            format!("{text} The closest matching (container-instance {instance}) {lack}.")
        }
    }
}

/// The template cannot be started at all.
pub(crate) fn misconfigured(service: &str, why: &str) -> String {
    format!("(service {service}) was unable to place a task. Reason: {why}.")
}

fn tasks(ids: &[String]) -> String {
    let named: Vec<String> = ids.iter().map(|id| format!("(task {id})")).collect();
    named.join(" ")
}
