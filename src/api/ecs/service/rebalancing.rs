//! Which services may have their tasks rebalanced between Availability Zones, as ECS has it.

use cove_model::service::{DeploymentController, SchedulingStrategy, Service};
use cove_model::task_template::PlacementStrategyType;

use crate::ecs::error::EcsError;
use crate::ecs::wire::Switch;

/// What a placement strategy and a constraint call the zone.
const ZONE: &str = "attribute:ecs.availability-zone";

/// What CreateService was asked; without a word ECS turns it on where it can be.
pub(super) fn wanted(given: Option<Switch>, service: &Service) -> Result<bool, EcsError> {
    match (given, hindrance(service)) {
        (Some(Switch::Disabled), _) | (None, Some(_)) => Ok(false),
        (Some(Switch::Enabled), Some(hindrance)) => Err(refused(hindrance)),
        (Some(Switch::Enabled) | None, None) => Ok(true),
    }
}

/// Whether the service as it is now may go on with it.
pub(super) fn check(service: &Service) -> Result<(), EcsError> {
    match hindrance(service).filter(|_| service.rebalances_zones) {
        Some(hindrance) => Err(refused(hindrance)),
        None => Ok(()),
    }
}

fn refused(hindrance: &str) -> EcsError {
    EcsError::parameter(format!("availabilityZoneRebalancing does not support {hindrance}."))
}

fn hindrance(service: &Service) -> Option<&'static str> {
    let is_spread = service
        .strategies
        .first()
        .is_none_or(|first| first.kind == Some(PlacementStrategyType::Spread) && first.field.as_deref() == Some(ZONE));
    let names_zone = |expression: &Option<String>| expression.as_ref().is_some_and(|it| it.contains(ZONE));
    [
        (service.scheduling == SchedulingStrategy::Daemon, "the DAEMON scheduling strategy"),
        (service.controller != DeploymentController::Ecs, "a deployment controller other than ECS"),
        (service.configuration.maximum_percent.unwrap_or(200) <= 100, "a maximumPercent of 100 or less"),
        (!is_spread, "a first placement strategy other than spread over attribute:ecs.availability-zone"),
        (
            service.constraints.iter().any(|it| names_zone(&it.expression)),
            "attribute:ecs.availability-zone as a placement constraint",
        ),
    ]
    .into_iter()
    .find_map(|(is_so, what)| is_so.then_some(what))
}
