//! What RunTask and StartTask ask for, in one form, with the checks that need neither store nor definition.

use cove_model::arn::Tenant;
use cove_model::cluster::CapacityProviderStrategyItem;
use cove_model::tag::Tag;
use cove_model::task::LaunchType;
use cove_model::task_override::{NetworkConfiguration, TaskOverride};
use cove_scheduler::place::{Constraint, Expression, Strategy, Target};
use sha2::{Digest, Sha256};

use crate::ecs::error::EcsError;
use crate::ecs::reference::{self, DefinitionRef};
use crate::ecs::wire::{
    PlacementConstraint, PlacementConstraintType, PlacementStrategy, PlacementStrategyType, PropagateTags, RunTaskIn,
    StartTaskIn,
};
use crate::ecs::{cluster, definition, tag};

/// ECS's limits of one request.
const TASKS_MAX: i32 = 10;
const INSTANCES_MAX: usize = 10;
const STRATEGIES_MAX: usize = 5;
const STARTED_BY_MAX: usize = 128;
const GROUP_MAX: usize = 255;
const TOKEN_MAX: usize = 64;
const EXPRESSION_MAX: usize = 2000;

/// The request.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) cluster: String,
    pub(super) definition: DefinitionRef,
    pub(super) target: Target,
    pub(super) placing: Placing,
    pub(super) platform_version: Option<String>,
    pub(super) constraints: Vec<Constraint>,
    pub(super) strategies: Vec<Strategy>,
    pub(super) network: Option<NetworkConfiguration>,
    pub(super) overrides: TaskOverride,
    pub(super) group: Option<String>,
    pub(super) started_by: Option<String>,
    pub(super) tags: Vec<Tag>,
    pub(super) propagates_tags: bool,
    pub(super) managed_tags: bool,
    pub(super) enable_execute_command: bool,
    pub(super) has_volume_configurations: bool,
    pub(super) has_reference_id: bool,
    pub(super) token: Option<Token>,
}

/// What the client said about where its tasks run.
#[derive(Debug)]
pub(super) enum Placing {
    /// Nothing: the cluster's default decides.
    Default,
    LaunchType(LaunchType),
    Strategy(Vec<CapacityProviderStrategyItem>),
}

/// A client token and what it came with.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) token: String,
    pub(super) request_digest: String,
}

impl Order {
    /// Reads RunTask.
    pub(super) fn of_run(tenant: &Tenant, input: RunTaskIn) -> Result<Self, EcsError> {
        let token = input.client_token.clone().map(|token| Token::new(token, &input)).transpose()?;
        let count = input.count.unwrap_or(1);
        if !(1..=TASKS_MAX).contains(&count) {
            return Err(EcsError::parameter(format!("count must be between 1 and {TASKS_MAX}.")));
        }
        let placing = match (input.launch_type, input.capacity_provider_strategy) {
            (Some(_), strategy) if !strategy.is_empty() => {
                return Err(EcsError::parameter(
                    "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
                ));
            }
            (Some(kind), _) => Placing::LaunchType(kind),
            (None, strategy) if strategy.is_empty() => Placing::Default,
            (None, strategy) => {
                cluster::check_strategy_items(&strategy)?;
                Placing::Strategy(strategy)
            }
        };
        let order = Self {
            cluster: reference::cluster(tenant, input.cluster.as_deref())?,
            definition: reference::definition(tenant, &input.task_definition)?,
            target: Target::Count(usize::try_from(count).unwrap_or(1)),
            placing,
            platform_version: input.platform_version,
            constraints: constraints(&input.placement_constraints)?,
            strategies: strategies(&input.placement_strategy)?,
            network: input.network_configuration,
            overrides: input.overrides,
            group: input.group,
            started_by: input.started_by,
            tags: input.tags,
            propagates_tags: propagates(input.propagate_tags)?,
            managed_tags: input.enable_ecs_managed_tags,
            enable_execute_command: input.enable_execute_command,
            has_volume_configurations: !input.volume_configurations.is_empty(),
            has_reference_id: input.reference_id.is_some(),
            token,
        };
        order.checked()
    }

    /// Reads StartTask.
    pub(super) fn of_start(tenant: &Tenant, input: StartTaskIn) -> Result<Self, EcsError> {
        let cluster = reference::cluster(tenant, input.cluster.as_deref())?;
        if input.container_instances.is_empty() {
            return Err(EcsError::parameter("Container instances cannot be empty."));
        }
        if input.container_instances.len() > INSTANCES_MAX {
            return Err(EcsError::parameter(format!(
                "Container instances cannot have more than {INSTANCES_MAX} elements."
            )));
        }
        let id = |text: &String| reference::container_instance(tenant, &cluster, text);
        let ids = input.container_instances.iter().map(id).collect::<Result<Vec<_>, _>>()?;
        let order = Self {
            cluster,
            definition: reference::definition(tenant, &input.task_definition)?,
            target: Target::Instances(ids),
            placing: Placing::LaunchType(LaunchType::Ec2),
            platform_version: None,
            constraints: Vec::new(),
            strategies: Vec::new(),
            network: input.network_configuration,
            overrides: input.overrides,
            group: input.group,
            started_by: input.started_by,
            tags: input.tags,
            propagates_tags: propagates(input.propagate_tags)?,
            managed_tags: input.enable_ecs_managed_tags,
            enable_execute_command: input.enable_execute_command,
            has_volume_configurations: !input.volume_configurations.is_empty(),
            has_reference_id: input.reference_id.is_some(),
            token: None,
        };
        order.checked()
    }

    fn checked(self) -> Result<Self, EcsError> {
        tag::check(&self.tags)?;
        if self.started_by.as_ref().is_some_and(|text| text.chars().count() > STARTED_BY_MAX) {
            return Err(EcsError::parameter(format!("startedBy longer than {STARTED_BY_MAX}.")));
        }
        if self.group.as_ref().is_some_and(|text| text.is_empty() || text.chars().count() > GROUP_MAX) {
            return Err(EcsError::parameter(format!("group must have between 1 and {GROUP_MAX} characters.")));
        }
        Ok(self)
    }
}

impl Token {
    fn new(token: String, input: &RunTaskIn) -> Result<Self, EcsError> {
        if token.is_empty() || token.len() > TOKEN_MAX || !token.bytes().all(|byte| (33..=126).contains(&byte)) {
            return Err(EcsError::parameter("clientToken must have between 1 and 64 printable ASCII characters."));
        }
        let json = serde_json::to_vec(input).expect("a request read from JSON can be written as JSON");
        Ok(Self { token, request_digest: hex::encode(Sha256::digest(json)) })
    }
}

fn propagates(given: Option<PropagateTags>) -> Result<bool, EcsError> {
    match given {
        None | Some(PropagateTags::None) => Ok(false),
        Some(PropagateTags::TaskDefinition) => Ok(true),
        Some(PropagateTags::Service) => {
            Err(EcsError::parameter("propagateTags SERVICE is only valid for tasks that a service starts."))
        }
    }
}

fn constraints(given: &[PlacementConstraint]) -> Result<Vec<Constraint>, EcsError> {
    if given.len() > definition::CONSTRAINTS_MAX {
        return Err(EcsError::parameter("Too many placement constraints."));
    }
    let read = |constraint: &PlacementConstraint| match constraint.kind {
        Some(PlacementConstraintType::DistinctInstance) if constraint.expression.is_none() => {
            Ok(Constraint::DistinctInstance)
        }
        Some(PlacementConstraintType::DistinctInstance) => {
            Err(EcsError::parameter("Placement constraint of type 'distinctInstance' takes no expression."))
        }
        Some(PlacementConstraintType::MemberOf) => member_of(constraint.expression.as_deref()),
        None => Err(EcsError::parameter("Placement constraint type should not be null.")),
    };
    given.iter().map(read).collect()
}

/// A `memberOf` constraint of a request or of a task definition.
pub(super) fn member_of(expression: Option<&str>) -> Result<Constraint, EcsError> {
    let text = expression.filter(|text| text.len() <= EXPRESSION_MAX).unwrap_or_default();
    let parsed = Expression::parse(text);
    parsed.map(Constraint::MemberOf).map_err(|error| EcsError::parameter(format!("Invalid expression: {error}")))
}

fn strategies(given: &[PlacementStrategy]) -> Result<Vec<Strategy>, EcsError> {
    if given.len() > STRATEGIES_MAX {
        return Err(EcsError::parameter("Too many placement strategies."));
    }
    let read = |strategy: &PlacementStrategy| {
        let kind = match strategy.kind {
            Some(PlacementStrategyType::Random) => "random",
            Some(PlacementStrategyType::Spread) => "spread",
            Some(PlacementStrategyType::Binpack) => "binpack",
            None => return Err(EcsError::parameter("Placement strategy type should not be null.")),
        };
        let field = strategy.field.as_deref();
        Strategy::parse(kind, field).ok_or_else(|| {
            EcsError::parameter(format!("Invalid field '{}' for placement strategy '{kind}'.", field.unwrap_or("null")))
        })
    };
    given.iter().map(read).collect()
}
