//! What the tasks of a service shall be: from the members of a request, or from the revision that there is.

use cove_base::Timestamp;
use cove_base::ids::random_u64;
use cove_model::cluster::CapacityProviderStrategyItem;
use cove_model::service::{
    DeploymentConfiguration, ExpressRevision, HookTarget, LifecycleHook, SchedulingStrategy, Service, ServiceRevision,
};
use cove_model::task::LaunchType;
use cove_model::task_override::{AssignPublicIp, NetworkConfiguration, TaskOverride};
use cove_model::task_template::{PlacementConstraint, PlacementStrategy, Placing, TaskTemplate};
use cove_scheduler::deploy::digits;

use crate::ecs::error::EcsError;
use crate::ecs::reference::DefinitionRef;
use crate::ecs::task::{Ask, PlacingWish};
use crate::ecs::wire::ServiceMembersToCome;

/// What a revision is made from, as the client gave it.
#[derive(Debug, Clone)]
pub(super) struct Workload {
    pub(super) launch_type: Option<LaunchType>,
    pub(super) capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
    pub(super) platform_version: Option<String>,
    pub(super) network_configuration: Option<NetworkConfiguration>,
    /// Of an Express service.
    pub(super) express: Option<ExpressRevision>,
}

impl Workload {
    /// The revision that is this, of a template that it was resolved to.
    pub(super) fn revision(self, service: &Service, template: TaskTemplate, now: Timestamp) -> ServiceRevision {
        ServiceRevision {
            network_configuration: self.network(),
            launch_type: self.launch_type,
            capacity_provider_strategy: self.capacity_provider_strategy,
            platform_version: self.platform_version,
            express: self.express,
            ..ServiceRevision::new(service, &digits(random_u64()), template, now)
        }
    }

    /// As clients are shown it.
    pub(super) fn network(&self) -> Option<NetworkConfiguration> {
        self.network_configuration.clone().map(with_defaults)
    }

    pub(super) fn of(revision: &ServiceRevision) -> Self {
        Self {
            launch_type: revision.launch_type,
            capacity_provider_strategy: revision.capacity_provider_strategy.clone(),
            platform_version: revision.platform_version.clone(),
            network_configuration: revision.network_configuration.clone(),
            express: revision.express.clone(),
        }
    }
}

/// ECS says what it took for granted.
fn with_defaults(mut network: NetworkConfiguration) -> NetworkConfiguration {
    if let Some(awsvpc) = &mut network.awsvpc_configuration {
        awsvpc.assign_public_ip.get_or_insert(AssignPublicIp::Disabled);
    }
    network
}

/// The service's own rules, beside the workload.
pub(super) struct Rules<'a> {
    pub(super) cluster: &'a str,
    pub(super) name: &'a str,
    pub(super) constraints: &'a [PlacementConstraint],
    pub(super) strategies: &'a [PlacementStrategy],
    pub(super) enable_execute_command: bool,
}

/// In the form that RunTask has, too.
pub(super) fn ask(workload: &Workload, definition: DefinitionRef, rules: &Rules<'_>) -> Result<Ask, EcsError> {
    let ask = Ask {
        cluster: rules.cluster.to_owned(),
        definition,
        placing: PlacingWish::read(workload.launch_type, workload.capacity_provider_strategy.clone())?,
        platform_version: workload.platform_version.clone(),
        constraints: rules.constraints.to_vec(),
        strategies: rules.strategies.to_vec(),
        network: workload.network_configuration.clone(),
        overrides: TaskOverride::default(),
        group: Some(format!("service:{}", rules.name)),
        started_by: None,
        tags: Vec::new(),
        // The service may change its mind, so that tags are looked up when a task starts.
        propagates_definition_tags: false,
        managed_tags: false,
        enable_execute_command: rules.enable_execute_command,
        has_volume_configurations: false,
        has_reference_id: false,
    };
    ask.check()?;
    Ok(ask)
}

/// Names every member that this version does not carry out.
pub(super) fn check_members(
    members: &ServiceMembersToCome,
    configuration: Option<&DeploymentConfiguration>,
) -> Result<(), EcsError> {
    let connects = members.service_connect_configuration.as_ref().is_some_and(|connect| connect.enabled);
    let is_lambda = |hook: &LifecycleHook| hook.target_type != Some(HookTarget::Pause);
    let has_lambda = configuration.is_some_and(|it| it.hooks().iter().any(is_lambda));
    let given = [
        ("loadBalancers", !members.load_balancers.is_empty()),
        ("serviceRegistries", !members.service_registries.is_empty()),
        ("serviceConnectConfiguration", connects),
        ("volumeConfigurations", !members.volume_configurations.is_empty()),
        ("vpcLatticeConfigurations", !members.vpc_lattice_configurations.is_empty()),
        ("role", members.role.is_some()),
        ("deploymentConfiguration.lifecycleHooks of AWS_LAMBDA", has_lambda),
    ];
    let names: Vec<&str> = given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(EcsError::UnsupportedFeature(format!(
        "This version of Cove does not carry out: {}. `cove ops --fields` lists what it does.",
        names.join(", ")
    )))
}

/// Daemons run on container instances, each of which is chosen for itself: no strategy divides them.
pub(super) fn check_strategy(
    scheduling: SchedulingStrategy,
    strategy: &[CapacityProviderStrategyItem],
) -> Result<(), EcsError> {
    if scheduling == SchedulingStrategy::Daemon && !strategy.is_empty() {
        return Err(EcsError::parameter(
            "Specifying a capacity provider strategy is not supported when you create a service using the DAEMON scheduling strategy.",
        ));
    }
    Ok(())
}

/// The same of what became of the request: the cluster's strategy is in force where it names none.
pub(super) fn check_placing(scheduling: SchedulingStrategy, placing: &Placing) -> Result<(), EcsError> {
    check_strategy(scheduling, &placing.strategy)?;
    if scheduling == SchedulingStrategy::Daemon && placing.launch_type == LaunchType::Fargate {
        return Err(EcsError::parameter(
            "The daemon scheduling strategy is not supported for the Fargate launch type.",
        ));
    }
    Ok(())
}
