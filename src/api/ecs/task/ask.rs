//! What a request asks its tasks to be, in one form for RunTask, StartTask and services.

use cove_model::cluster::CapacityProviderStrategyItem;
use cove_model::tag::Tag;
use cove_model::task::LaunchType;
use cove_model::task_override::{NetworkConfiguration, TaskOverride};
use cove_model::task_template::{PlacementConstraint, PlacementConstraintType, PlacementStrategy};
use cove_scheduler::launch::{LaunchError, constraint, strategy};

use crate::ecs::error::EcsError;
use crate::ecs::reference::DefinitionRef;
use crate::ecs::{cluster, definition, tag};

/// ECS's limits of one request.
const STRATEGIES_MAX: usize = 5;
const STARTED_BY_MAX: usize = 128;
const GROUP_MAX: usize = 255;
const EXPRESSION_MAX: usize = 2000;

/// Everything that equal tasks have in common, as the client said it.
#[derive(Debug)]
pub(in crate::ecs) struct Ask {
    pub(in crate::ecs) cluster: String,
    pub(in crate::ecs) definition: DefinitionRef,
    pub(in crate::ecs) placing: PlacingWish,
    pub(in crate::ecs) platform_version: Option<String>,
    pub(in crate::ecs) constraints: Vec<PlacementConstraint>,
    pub(in crate::ecs) strategies: Vec<PlacementStrategy>,
    pub(in crate::ecs) network: Option<NetworkConfiguration>,
    pub(in crate::ecs) overrides: TaskOverride,
    pub(in crate::ecs) group: Option<String>,
    pub(in crate::ecs) started_by: Option<String>,
    pub(in crate::ecs) tags: Vec<Tag>,
    pub(in crate::ecs) propagates_definition_tags: bool,
    pub(in crate::ecs) managed_tags: bool,
    pub(in crate::ecs) enable_execute_command: bool,
    pub(in crate::ecs) has_volume_configurations: bool,
    pub(in crate::ecs) has_reference_id: bool,
}

/// What the client said about where its tasks run.
#[derive(Debug)]
pub(in crate::ecs) enum PlacingWish {
    /// Nothing: the cluster's default decides.
    Default,
    LaunchType(LaunchType),
    Strategy(Vec<CapacityProviderStrategyItem>),
}

impl PlacingWish {
    /// Reads the two members of which one at most may be given.
    pub(in crate::ecs) fn read(
        launch_type: Option<LaunchType>,
        strategy: Vec<CapacityProviderStrategyItem>,
    ) -> Result<Self, EcsError> {
        match (launch_type, strategy) {
            (Some(_), strategy) if !strategy.is_empty() => Err(EcsError::parameter(
                "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
            )),
            (Some(kind), _) => Ok(Self::LaunchType(kind)),
            (None, strategy) if strategy.is_empty() => Ok(Self::Default),
            (None, strategy) => {
                cluster::check_strategy_items(&strategy)?;
                Ok(Self::Strategy(strategy))
            }
        }
    }
}

impl Ask {
    /// Whether a service asks, to which ECS gives some errors another code.
    pub(in crate::ecs) fn is_of_a_service(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.starts_with("service:"))
    }

    /// What needs neither store nor definition.
    pub(in crate::ecs) fn check(&self) -> Result<(), EcsError> {
        tag::check(&self.tags)?;
        if self.started_by.as_ref().is_some_and(|text| text.chars().count() > STARTED_BY_MAX) {
            return Err(EcsError::parameter(format!("startedBy longer than {STARTED_BY_MAX}.")));
        }
        // With the dots that names of rules have, whose tasks are started by `events-rule/NAME`.
        let is_right = |c: char| c.is_ascii_alphanumeric() || "-_/.".contains(c);
        if self.started_by.as_ref().is_some_and(|text| !text.chars().all(is_right)) {
            return Err(EcsError::parameter("startedBy contains invalid characters."));
        }
        if self.group.as_ref().is_some_and(|text| text.is_empty() || text.chars().count() > GROUP_MAX) {
            return Err(EcsError::parameter(format!("group must have between 1 and {GROUP_MAX} characters.")));
        }
        check_rules(&self.constraints, &self.strategies)
    }
}

/// Where tasks may run: of a request to run them, or of a service that task sets run them for.
pub(in crate::ecs) fn check_rules(
    constraints: &[PlacementConstraint],
    strategies: &[PlacementStrategy],
) -> Result<(), EcsError> {
    if constraints.len() > definition::CONSTRAINTS_MAX {
        return Err(EcsError::parameter("Too many placement constraints."));
    }
    constraints.iter().try_for_each(check_constraint)?;
    if strategies.len() > STRATEGIES_MAX {
        return Err(EcsError::parameter("Too many placement strategies."));
    }
    strategies.iter().try_for_each(check_strategy)
}

/// Of a request or of a task definition.
pub(super) fn check_constraint(given: &PlacementConstraint) -> Result<(), EcsError> {
    match given.kind {
        Some(PlacementConstraintType::DistinctInstance) if given.expression.is_some() => {
            return Err(EcsError::parameter("Placement constraint of type 'distinctInstance' takes no expression."));
        }
        Some(PlacementConstraintType::DistinctInstance) => {}
        Some(PlacementConstraintType::MemberOf) => {
            if given.expression.as_ref().is_some_and(|text| text.len() > EXPRESSION_MAX) {
                return Err(EcsError::parameter(format!(
                    "Invalid expression: longer than {EXPRESSION_MAX} characters"
                )));
            }
        }
        None => return Err(EcsError::parameter("Placement constraint type should not be null.")),
    }
    constraint(given).map(|_| ()).map_err(refused)
}

fn check_strategy(given: &PlacementStrategy) -> Result<(), EcsError> {
    if given.kind.is_none() {
        return Err(EcsError::parameter("Placement strategy type should not be null."));
    }
    strategy(given).map(|_| ()).map_err(refused)
}

/// A template that cannot be started, in the client's words.
pub(in crate::ecs) fn refused(error: LaunchError) -> EcsError {
    EcsError::parameter(error.to_string())
}
