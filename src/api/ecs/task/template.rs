//! From what a request asks to a template that tasks can be started from: everything that it names exists, and everything
//! that it asks for is carried out.

use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::tag::Tag;
use cove_model::task::LaunchType;
use cove_model::task_definition::{NetworkMode, TaskDefinition, TaskDefinitionStatus};
use cove_model::task_template::{PlacementConstraint, PlacementConstraintType, Placing, TaskTemplate};
use cove_scheduler::HostFacts;
use cove_store::Tx;

use super::ask::{Ask, check_constraint};
use super::reach::Reach;
use super::size::{self, SizedBy};
use super::{network, provider, reach, role};
use crate::ecs::error::EcsError;
use crate::ecs::unsupported::{self, Wish};
use crate::ecs::{cluster, definition, tag};

/// Resolves it.
pub(in crate::ecs) fn resolve(
    tx: &Tx<'_>,
    tenant: &Tenant,
    host: &HostFacts,
    ask: &Ask,
    reach: Reach,
) -> Result<TaskTemplate, EcsError> {
    let cluster = cluster::active(tx, tenant, &ask.cluster)?;
    let definition = runnable(tx, tenant, ask)?;
    let document = &definition.document;
    size::check_overrides(document, &ask.overrides)?;
    unsupported::check(document, &wish(ask, host))?;
    reach::check(document, reach)?;
    let (launch_type, strategy) = provider::choose(tx, &cluster, &ask.placing)?;
    provider::check(&definition, launch_type, ask.platform_version.as_deref())?;
    check_rules_of(ask, launch_type)?;
    let network_mode = document.network_mode.unwrap_or(NetworkMode::Bridge);
    let sized_by = if launch_type == LaunchType::Fargate { SizedBy::Fargate } else { SizedBy::Instance };
    let role_of = |given: &Option<String>, defined: &Option<String>| {
        given.as_ref().or(defined.as_ref()).map(|text| role::assumable(tx, tenant, text)).transpose()
    };
    Ok(TaskTemplate {
        tenant: tenant.clone(),
        cluster: ask.cluster.clone(),
        family: definition.family.clone(),
        revision: definition.revision,
        interface: network::resolve(tx, tenant, network_mode, launch_type, ask.network.as_ref())?,
        placing: Placing {
            launch_type,
            strategy,
            platform_version: ask.platform_version.clone().filter(|version| version != "LATEST"),
        },
        network_mode,
        size: size::size(document, &ask.overrides, sized_by)?,
        constraints: constraints(ask, &definition)?,
        strategies: ask.strategies.clone(),
        overrides: ask.overrides.clone(),
        group: ask.group.clone().unwrap_or_else(|| format!("family:{}", definition.family)),
        started_by: ask.started_by.clone(),
        keeper: None,
        tags: tags(ask, &definition)?,
        enable_execute_command: ask.enable_execute_command,
        pinned: Vec::new(),
        task_role: role_of(&ask.overrides.task_role_arn, &document.task_role_arn)?,
        execution_role: role_of(&ask.overrides.execution_role_arn, &document.execution_role_arn)?,
    })
}

fn runnable(tx: &Tx<'_>, tenant: &Tenant, ask: &Ask) -> Result<Arc<TaskDefinition>, EcsError> {
    let found = definition::find(tx, tenant, &ask.definition);
    let definition = found.ok_or_else(|| EcsError::client("TaskDefinition not found."))?;
    match definition.status {
        TaskDefinitionStatus::Active => Ok(definition),
        TaskDefinitionStatus::Inactive | TaskDefinitionStatus::DeleteInProgress => {
            let text = "TaskDefinition is inactive";
            Err(if ask.is_of_a_service() { EcsError::client(text) } else { EcsError::parameter(text) })
        }
    }
}

fn wish<'a>(ask: &'a Ask, host: &HostFacts) -> Wish<'a> {
    Wish {
        overrides: &ask.overrides,
        has_volume_configurations: ask.has_volume_configurations,
        has_reference_id: ask.has_reference_id,
        enforces_device_permissions: host.enforces_device_permissions,
    }
}

/// Placement rules are about container instances, of which Fargate has none; on managed instances ECS has its own
/// strategies.
fn check_rules_of(ask: &Ask, launch_type: LaunchType) -> Result<(), EcsError> {
    let name = match launch_type {
        LaunchType::Fargate => "FARGATE",
        LaunchType::ManagedInstances => "MANAGED_INSTANCES",
        LaunchType::Ec2 | LaunchType::External => return Ok(()),
    };
    if !ask.strategies.is_empty() {
        return Err(EcsError::parameter(format!("Placement strategies are not supported with {name} launch type.")));
    }
    if !ask.constraints.is_empty() && launch_type == LaunchType::Fargate {
        return Err(EcsError::parameter("Placement constraints are not supported with FARGATE launch type."));
    }
    Ok(())
}

/// Those of the request, and those of the definition.
fn constraints(ask: &Ask, definition: &TaskDefinition) -> Result<Vec<PlacementConstraint>, EcsError> {
    let mut constraints = ask.constraints.clone();
    for given in &definition.document.placement_constraints {
        let kind = Some(PlacementConstraintType::MemberOf);
        let constraint = PlacementConstraint { kind, expression: given.expression.clone() };
        check_constraint(&constraint)?;
        constraints.push(constraint);
    }
    if constraints.len() > definition::CONSTRAINTS_MAX {
        return Err(EcsError::parameter("Too many placement constraints."));
    }
    Ok(constraints)
}

fn tags(ask: &Ask, definition: &TaskDefinition) -> Result<Vec<Tag>, EcsError> {
    let inherited = if ask.propagates_definition_tags { definition.tags.clone() } else { Vec::new() };
    let mut tags = tag::merged(inherited, ask.tags.clone())?;
    if ask.managed_tags {
        tags.push(Tag { key: "aws:ecs:clusterName".to_owned(), value: ask.cluster.clone() });
    }
    Ok(tags)
}
