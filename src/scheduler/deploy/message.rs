//! The words of the service scheduler, as ECS has them.

use cove_model::service::Service;

/// Why a task stops that is one too many, or of an older deployment.
pub(super) fn scaled(deployment: &str) -> String {
    format!("Scaling activity initiated by (deployment {deployment})")
}

/// Why a task stops whose health checks fail.
pub(crate) const UNHEALTHY: &str = "Task failed container health checks";

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
