//! RunTask and StartTask: from the request to tasks in the store, in one transaction.
//!
//! Holds: a task is in the store only with its place, its ports and its address; what was refused is among the failures
//! and nothing of it is left. A client token stands for one request.

use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::cluster::Cluster;
use cove_model::tag::Tag;
use cove_model::task::{ClientToken, LaunchType, Task};
use cove_model::task_definition::{ContainerDefinition, NetworkMode, TaskDefinition, TaskDefinitionStatus};
use cove_scheduler::HostFacts;
use cove_scheduler::place::{self, BadRequest, PortRequest, Refusal, Request, Snapshot, Target};
use cove_store::{Read, Tx, keys};

use super::launch::{Common, launch};
use super::network::{self, InterfaceWish};
use super::order::{Order, Token, member_of};
use super::provider::{self, Choice};
use super::show::{Tags, show};
use super::size::{self, Size, SizedBy};
use super::{reach, role};
use crate::Context;
use crate::ecs::error::EcsError;
use crate::ecs::unsupported::{self, Wish};
use crate::ecs::wire::{Failure, RunTaskIn, StartTaskIn, TasksOut};
use crate::ecs::{cluster, definition, tag};

/// RunTask.
pub(in crate::ecs) async fn run(cx: &Context, input: RunTaskIn) -> Result<TasksOut, EcsError> {
    let order = Order::of_run(&cx.tenant, input)?;
    carry_out(cx, order).await
}

/// StartTask: on the instances that are named.
pub(in crate::ecs) async fn start(cx: &Context, input: StartTaskIn) -> Result<TasksOut, EcsError> {
    let order = Order::of_start(&cx.tenant, input)?;
    carry_out(cx, order).await
}

async fn carry_out(cx: &Context, order: Order) -> Result<TasksOut, EcsError> {
    let (tenant, host, reach) = (cx.tenant.clone(), Arc::clone(&cx.settings.host), reach::of(cx));
    let seed = u64::from_le_bytes(*cove_base::ids::random_bytes(8).first_chunk().expect("eight bytes were asked for"));
    cx.store
        .write(move |tx| {
            if let Some(known) = answered_before(tx, &tenant, &order)? {
                return Ok(known);
            }
            let plan = plan(tx, &tenant, &host, &order, reach)?;
            place_all(tx, &tenant, &host, &order, &plan, seed)
        })
        .await
}

/// The tasks that the request's client token already stands for.
fn answered_before(tx: &Tx<'_>, tenant: &Tenant, order: &Order) -> Result<Option<TasksOut>, EcsError> {
    let Some(Token { token, request_digest }) = &order.token else { return Ok(None) };
    let Some(known) = tx.get::<ClientToken>(&keys::client_token(tenant, &order.cluster, token)) else {
        return Ok(None);
    };
    if known.request_digest != *request_digest {
        let arn = |id: &String| tenant.arn("ecs", format_args!("task/{}/{id}", order.cluster));
        return Err(EcsError::Conflict(known.task_ids.iter().map(arn).collect()));
    }
    let find = |id: &String| tx.get::<Task>(&keys::task(tenant, &order.cluster, id));
    let tasks = known.task_ids.iter().filter_map(find).map(|task| show(&task, Tags::Shown)).collect();
    Ok(Some(TasksOut { tasks, failures: Vec::new() }))
}

/// A request that may be placed: everything that it names exists and everything that it asks for is carried out.
struct Plan {
    definition: Arc<TaskDefinition>,
    choice: Choice,
    mode: NetworkMode,
    size: Size,
    interface: Option<InterfaceWish>,
    constraints: Vec<place::Constraint>,
    task_role: Option<String>,
    execution_role: Option<String>,
}

fn plan(tx: &Tx<'_>, tenant: &Tenant, host: &HostFacts, order: &Order, reach: reach::Reach) -> Result<Plan, EcsError> {
    let cluster = cluster::active(tx, tenant, &order.cluster)?;
    let definition = runnable(tx, tenant, order)?;
    let document = &definition.document;
    size::check_overrides(document, &order.overrides)?;
    unsupported::check(document, &wish(order, host))?;
    reach::check(document, reach)?;
    let choice = choose(&cluster, order)?;
    provider::check(&definition, choice.launch_type, order.platform_version.as_deref())?;
    check_fargate_request(order, choice.launch_type)?;
    let mode = document.network_mode.unwrap_or(NetworkMode::Bridge);
    let interface = network::resolve(tx, tenant, mode, choice.launch_type, order.network.as_ref())?;
    let sized_by = if choice.launch_type == LaunchType::Fargate { SizedBy::Fargate } else { SizedBy::Instance };
    let size = size::size(document, &order.overrides, sized_by)?;
    let mut constraints = order.constraints.clone();
    for constraint in &document.placement_constraints {
        constraints.push(member_of(constraint.expression.as_deref())?);
    }
    if constraints.len() > definition::CONSTRAINTS_MAX {
        return Err(EcsError::parameter("Too many placement constraints."));
    }
    let role_of = |given: &Option<String>, defined: &Option<String>| {
        given.as_ref().or(defined.as_ref()).map(|text| role::assumable(tx, tenant, text)).transpose()
    };
    let task_role = role_of(&order.overrides.task_role_arn, &document.task_role_arn)?;
    let execution_role = role_of(&order.overrides.execution_role_arn, &document.execution_role_arn)?;
    Ok(Plan { choice, mode, size, interface, constraints, task_role, execution_role, definition })
}

fn runnable(tx: &Tx<'_>, tenant: &Tenant, order: &Order) -> Result<Arc<TaskDefinition>, EcsError> {
    let found = definition::find(tx, tenant, &order.definition);
    let definition = found.ok_or_else(|| EcsError::client("TaskDefinition not found."))?;
    match definition.status {
        TaskDefinitionStatus::Active => Ok(definition),
        TaskDefinitionStatus::Inactive | TaskDefinitionStatus::DeleteInProgress => {
            Err(EcsError::parameter("TaskDefinition is inactive"))
        }
    }
}

fn wish<'a>(order: &'a Order, host: &HostFacts) -> Wish<'a> {
    Wish {
        overrides: &order.overrides,
        enable_execute_command: order.enable_execute_command,
        has_volume_configurations: order.has_volume_configurations,
        has_reference_id: order.has_reference_id,
        enforces_device_permissions: host.enforces_device_permissions,
    }
}

fn choose(cluster: &Cluster, order: &Order) -> Result<Choice, EcsError> {
    let count = match &order.target {
        Target::Count(count) => *count,
        Target::Instances(ids) => ids.len(),
    };
    provider::choose(cluster, &order.placing, count)
}

/// Placement rules are about container instances; Fargate has none.
fn check_fargate_request(order: &Order, launch_type: LaunchType) -> Result<(), EcsError> {
    if launch_type != LaunchType::Fargate {
        return Ok(());
    }
    if !order.strategies.is_empty() {
        return Err(EcsError::parameter("Placement strategies are not supported with FARGATE launch type."));
    }
    if !order.constraints.is_empty() {
        return Err(EcsError::parameter("Placement constraints are not supported with FARGATE launch type."));
    }
    Ok(())
}

fn place_all(
    tx: &mut Tx<'_>,
    tenant: &Tenant,
    host: &HostFacts,
    order: &Order,
    plan: &Plan,
    seed: u64,
) -> Result<TasksOut, EcsError> {
    let group = order.group.clone().unwrap_or_else(|| format!("family:{}", plan.definition.family));
    let request = request(tenant, order, plan, group.clone(), seed);
    let snapshot = Snapshot::read(tx, host, tenant, &order.cluster);
    let mut placed = place::place(&snapshot, &request).map_err(bad_request)?;
    let room = host.tasks_max.saturating_sub(snapshot.tasks.len());
    drop(snapshot);
    let mut out = TasksOut { tasks: Vec::new(), failures: Vec::new() };
    for _ in placed.drain(room.min(placed.len())..) {
        out.failures.push(at_the_limit(host.tasks_max));
    }
    let common = Common {
        cluster: &order.cluster,
        definition: &plan.definition,
        overrides: &order.overrides,
        size: &plan.size,
        group,
        started_by: order.started_by.clone(),
        tags: tags(order, &plan.definition)?,
        enable_execute_command: order.enable_execute_command,
        platform_version: order.platform_version.clone().filter(|version| version != "LATEST"),
        task_role: plan.task_role.clone(),
        execution_role: plan.execution_role.clone(),
    };
    let mut task_ids = Vec::new();
    for (index, placed) in placed.into_iter().enumerate() {
        match placed {
            Ok(placed) => {
                let task = launch(tx, &common, plan.choice.providers.get(index).cloned(), placed);
                out.tasks.push(show(&task, Tags::Shown));
                task_ids.push(task.id);
            }
            Err(refusals) => out.failures.extend(refusals.into_iter().map(failure)),
        }
    }
    // A token that stands for nothing would keep the client from trying again.
    if let (Some(token), false) = (&order.token, task_ids.is_empty()) {
        tx.put(ClientToken {
            tenant: tenant.clone(),
            cluster: order.cluster.clone(),
            token: token.token.clone(),
            request_digest: token.request_digest.clone(),
            task_ids,
            at: tx.now(),
        });
    }
    Ok(out)
}

fn request(tenant: &Tenant, order: &Order, plan: &Plan, group: String, seed: u64) -> Request {
    let document = &plan.definition.document;
    let interface = plan.interface.as_ref();
    Request {
        tenant: tenant.clone(),
        cluster: order.cluster.clone(),
        target: order.target.clone(),
        launch_type: plan.choice.launch_type,
        network_mode: plan.mode,
        cpu: plan.size.cpu,
        memory_mib: plan.size.memory_mib,
        ports: document.container_definitions.iter().map(ports).collect(),
        group,
        constraints: plan.constraints.clone(),
        strategies: order.strategies.clone(),
        required_attributes: plan.definition.requires_attributes.clone(),
        subnets: interface.map(|it| it.subnets.iter().map(|subnet| subnet.id.clone()).collect()).unwrap_or_default(),
        security_groups: interface.map(|it| it.security_groups.clone()).unwrap_or_default(),
        assign_public_ip: interface.is_some_and(|it| it.assign_public_ip),
        seed,
    }
}

/// What the container publishes; registration has checked the numbers.
fn ports(document: &ContainerDefinition) -> Vec<PortRequest> {
    let port = |value: Option<i32>| value.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
    let read = |mapping: &cove_model::task_definition::PortMapping| {
        Some(PortRequest {
            container_port: port(mapping.container_port)?,
            host_port: port(mapping.host_port),
            protocol: mapping.protocol.unwrap_or(cove_model::task_definition::TransportProtocol::Tcp),
        })
    };
    document.port_mappings.iter().filter_map(read).collect()
}

fn tags(order: &Order, definition: &TaskDefinition) -> Result<Vec<Tag>, EcsError> {
    let inherited = if order.propagates_tags { definition.tags.clone() } else { Vec::new() };
    let mut tags = tag::merged(inherited, order.tags.clone())?;
    if order.managed_tags {
        tags.push(Tag { key: "aws:ecs:clusterName".to_owned(), value: order.cluster.clone() });
    }
    Ok(tags)
}

fn failure(refusal: Refusal) -> Failure {
    Failure { arn: refusal.arn, reason: refusal.reason.as_str().to_owned(), detail: refusal.detail }
}

/// In Fargate's words for its own quota.
fn at_the_limit(tasks_max: usize) -> Failure {
    let reason = "You've reached the limit on the number of tasks you can run concurrently".to_owned();
    Failure { arn: None, reason, detail: Some(format!("this node runs at most {tasks_max} tasks (tasks_max)")) }
}

fn bad_request(error: BadRequest) -> EcsError {
    EcsError::parameter(error.to_string())
}
