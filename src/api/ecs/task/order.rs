//! What RunTask and StartTask ask for, in one form, with the checks that need neither store nor definition.

use cove_model::arn::Tenant;
use cove_model::task::LaunchType;
use cove_scheduler::place::Target;
use sha2::{Digest, Sha256};

use super::ask::{Ask, PlacingWish};
use crate::ecs::error::EcsError;
use crate::ecs::reference;
use crate::ecs::wire::{PropagateTags, RunTaskIn, StartTaskIn};

/// ECS's limits of one request.
const TASKS_MAX: i32 = 10;
const INSTANCES_MAX: usize = 10;
const TOKEN_MAX: usize = 64;

/// The request.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) ask: Ask,
    pub(super) target: Target,
    pub(super) token: Option<Token>,
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
        let ask = Ask {
            cluster: reference::cluster(tenant, input.cluster.as_deref())?,
            definition: reference::definition(tenant, &input.task_definition)?,
            placing: PlacingWish::read(input.launch_type, input.capacity_provider_strategy)?,
            platform_version: input.platform_version,
            constraints: input.placement_constraints,
            strategies: input.placement_strategy,
            network: input.network_configuration,
            overrides: input.overrides,
            group: input.group,
            started_by: input.started_by,
            tags: input.tags,
            propagates_definition_tags: propagates(input.propagate_tags)?,
            managed_tags: input.enable_ecs_managed_tags,
            enable_execute_command: input.enable_execute_command,
            has_volume_configurations: !input.volume_configurations.is_empty(),
            has_reference_id: input.reference_id.is_some(),
        };
        ask.check()?;
        check_group(ask.group.as_deref())?;
        Ok(Self { ask, target: Target::Count(usize::try_from(count).unwrap_or(1)), token })
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
        let ask = Ask {
            cluster,
            definition: reference::definition(tenant, &input.task_definition)?,
            placing: PlacingWish::LaunchType(LaunchType::Ec2),
            platform_version: None,
            constraints: Vec::new(),
            strategies: Vec::new(),
            network: input.network_configuration,
            overrides: input.overrides,
            group: input.group,
            started_by: input.started_by,
            tags: input.tags,
            propagates_definition_tags: propagates(input.propagate_tags)?,
            managed_tags: input.enable_ecs_managed_tags,
            enable_execute_command: input.enable_execute_command,
            has_volume_configurations: !input.volume_configurations.is_empty(),
            has_reference_id: input.reference_id.is_some(),
        };
        ask.check()?;
        check_group(ask.group.as_deref())?;
        Ok(Self { ask, target: Target::Instances(ids), token: None })
    }
}

/// Tasks of services and daemons are theirs to start.
fn check_group(group: Option<&str>) -> Result<(), EcsError> {
    let is_ours = |group: &str| ["service:", "daemon:"].iter().any(|prefix| group.starts_with(prefix));
    if group.is_some_and(is_ours) {
        return Err(EcsError::parameter("Invalid namespace for group."));
    }
    Ok(())
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
