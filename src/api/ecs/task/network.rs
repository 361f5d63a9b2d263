//! `networkConfiguration`: what a request says about the interface of an awsvpc task.

use cove_model::arn::Tenant;
use cove_model::network::{SecurityGroup, Subnet};
use cove_model::task::LaunchType;
use cove_model::task_definition::NetworkMode;
use cove_model::task_override::{AssignPublicIp, AwsVpcConfiguration, NetworkConfiguration};
use cove_model::task_template::InterfaceWish;
use cove_store::{Prefix, Read, keys};

use crate::ecs::error::EcsError;

/// ECS's quotas of an awsvpc configuration.
const SUBNETS_MAX: usize = 16;
const SECURITY_GROUPS_MAX: usize = 5;

/// Checks the configuration against the network mode and finds what it names; `None` outside awsvpc.
pub(crate) fn resolve(
    store: &impl Read,
    tenant: &Tenant,
    mode: NetworkMode,
    launch_type: LaunchType,
    given: Option<&NetworkConfiguration>,
) -> Result<Option<InterfaceWish>, EcsError> {
    let given = given.and_then(|given| given.awsvpc_configuration.as_ref());
    match (mode, given) {
        (NetworkMode::Awsvpc, Some(given)) => interface(store, tenant, launch_type, given).map(Some),
        (NetworkMode::Awsvpc, None) => {
            Err(EcsError::parameter("Network Configuration must be provided when networkMode 'awsvpc' is specified."))
        }
        (NetworkMode::Bridge | NetworkMode::Host | NetworkMode::None, None) => Ok(None),
        (NetworkMode::Bridge | NetworkMode::Host | NetworkMode::None, Some(_)) => Err(EcsError::parameter(
            "Network Configuration is not valid for the given networkMode of this task definition.",
        )),
    }
}

fn interface(
    store: &impl Read,
    tenant: &Tenant,
    launch_type: LaunchType,
    given: &AwsVpcConfiguration,
) -> Result<InterfaceWish, EcsError> {
    if given.subnets.is_empty() {
        return Err(EcsError::parameter("subnets can not be empty."));
    }
    if given.subnets.len() > SUBNETS_MAX {
        return Err(EcsError::parameter("subnets can have at most 16 items."));
    }
    if given.security_groups.len() > SECURITY_GROUPS_MAX {
        return Err(EcsError::parameter("securityGroups can have at most 5 items."));
    }
    let assign_public_ip = given.assign_public_ip == Some(AssignPublicIp::Enabled);
    if assign_public_ip && launch_type != LaunchType::Fargate {
        return Err(EcsError::parameter("Assign public IP is not supported for this launch type."));
    }
    let subnets = given.subnets.iter().map(|id| subnet(store, tenant, id)).collect::<Result<Vec<_>, _>>()?;
    let vpc_id = subnets[0].vpc_id.clone();
    if subnets.iter().any(|subnet| subnet.vpc_id != vpc_id) {
        return Err(EcsError::parameter("The specified subnets do not all belong to the same VPC."));
    }
    let security_groups = security_groups(store, tenant, &vpc_id, &given.security_groups)?;
    let subnets = subnets.into_iter().map(|subnet| subnet.id).collect();
    Ok(InterfaceWish { subnets, security_groups, assign_public_ip })
}

fn subnet(store: &impl Read, tenant: &Tenant, id: &str) -> Result<Subnet, EcsError> {
    let found = store.get::<Subnet>(&keys::subnet(tenant, id));
    found.map(|subnet| (*subnet).clone()).ok_or_else(|| {
        EcsError::parameter(format!(
            "Error retrieving subnet information for [{id}]: The subnet ID '{id}' does not exist (ErrorCode: InvalidSubnetID.NotFound)"
        ))
    })
}

/// The named groups, which must be of the VPC; without names, its default group.
fn security_groups(
    store: &impl Read,
    tenant: &Tenant,
    vpc_id: &str,
    named: &[String],
) -> Result<Vec<String>, EcsError> {
    if named.is_empty() {
        let all = store.scan::<SecurityGroup>(&Prefix::tenant(tenant));
        let default = all.iter().find(|group| group.vpc_id == vpc_id && group.name == "default");
        return Ok(default.iter().map(|group| group.id.clone()).collect());
    }
    for id in named {
        let group = store.get::<SecurityGroup>(&keys::security_group(tenant, id)).ok_or_else(|| {
            EcsError::parameter(format!(
                "Error retrieving security group information for [{id}]: The security group '{id}' does not exist (ErrorCode: InvalidGroup.NotFound)"
            ))
        })?;
        if group.vpc_id != vpc_id {
            return Err(EcsError::parameter(format!(
                "Security group {id} does not appear to belong to the same VPC as the input subnets."
            )));
        }
    }
    Ok(named.to_vec())
}
