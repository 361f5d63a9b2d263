//! The fleet: container instances listed, added, and what happens to machines made to happen.
//!
//! Holds: each request is one transaction over all instances that it names; what cannot be done to one is done to none.

use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::cluster::{Cluster, ClusterStatus};
use cove_model::container_instance::{ContainerInstance, Origin};
use cove_model::task::Task;
use cove_model::task_definition::NetworkMode;
use cove_scheduler::HostFacts;
use cove_scheduler::fleet::{self, Machine, MachineWish, Refused, Selection, Verb};
use cove_scheduler::place::remaining;
use cove_store::{Prefix, Read, StoreError, Tx, View, keys};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{good, problem, read};
use crate::{RawContext, Request, Response};

/// What a request can fail with.
#[derive(Debug, thiserror::Error)]
enum FleetError {
    #[error("{0}")]
    Bad(String),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the store cannot write")]
    Store(#[from] StoreError),
}

/// `GET fleet`.
pub(super) fn list(cx: &RawContext) -> Response {
    let Some(identity) = &cx.identity else { return cx.not_found() };
    let prefix = Prefix::tenant(&identity.tenant);
    let shown = |view: &View| shown(view, view.scan::<ContainerInstance>(&prefix).iter().map(Arc::as_ref));
    good(&cx.store().read(shown))
}

/// `POST fleet/…`.
pub(super) async fn answer(cx: &RawContext, request: Request) -> Response {
    let Some(identity) = &cx.identity else { return cx.not_found() };
    let (tenant, host) = (identity.tenant.clone(), Arc::clone(&cx.settings().host));
    let verb = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let body = match read(request).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let done = match verb.as_str() {
        "add" => add(cx, tenant, host, body).await,
        verb => match parsed::<Selection>(body) {
            Ok(selection) => match named(verb, &selection, &host) {
                Some(verb) => change(cx, tenant, selection, verb).await,
                None => return cx.not_found(),
            },
            Err(error) => Err(error),
        },
    };
    match done {
        Ok(shown) => good(&shown),
        Err(FleetError::Bad(why)) => problem(400, "InvalidParameter", &why),
        Err(FleetError::Refused(why)) => problem(409, "Refused", &why.to_string()),
        Err(FleetError::Store(error)) => problem(500, "Store", &cove_base::error::chain(&error)),
    }
}

fn parsed<T: DeserializeOwned>(body: Value) -> Result<T, FleetError> {
    serde_json::from_value(body).map_err(|error| FleetError::Bad(error.to_string()))
}

fn named(verb: &str, selection: &Selection, host: &HostFacts) -> Option<Verb> {
    match verb {
        "drain" => Some(Verb::Drain),
        "activate" => Some(Verb::Activate),
        "remove" => Some(Verb::Terminate { force: selection.force }),
        "interrupt" => Some(Verb::Interrupt { warning_millis: host.fleet.spot_warning_millis }),
        "fail" => Some(Verb::Fail),
        "recover" => Some(Verb::Recover),
        _ => None,
    }
}

async fn add(cx: &RawContext, tenant: Tenant, host: Arc<HostFacts>, body: Value) -> Result<Value, FleetError> {
    let wish: MachineWish = parsed(body)?;
    let machines = Machine::all_of(&wish, &host.zones).map_err(|error| FleetError::Bad(error.to_string()))?;
    if machines.iter().any(|machine| machine.size.is_none()) {
        return Err(FleetError::Bad("the host is no machine to add: `recover` it, or declare it".to_owned()));
    }
    let register = move |tx: &mut Tx<'_>| {
        let mut added = Vec::with_capacity(machines.len());
        for machine in &machines {
            let cluster = tx.get::<Cluster>(&keys::cluster(&tenant, &machine.cluster));
            if cluster.is_none_or(|cluster| cluster.status != ClusterStatus::Active) {
                return Err(FleetError::Bad(format!("there is no cluster `{}`", machine.cluster)));
            }
            added.push(fleet::add(tx, &tenant, &host, machine));
        }
        Ok(shown(tx, added.iter()))
    };
    cx.store().write(register).await
}

async fn change(cx: &RawContext, tenant: Tenant, selection: Selection, verb: Verb) -> Result<Value, FleetError> {
    if !selection.tasks.is_empty() {
        return interrupt(cx, tenant, selection, verb).await;
    }
    let apply = move |tx: &mut Tx<'_>| {
        let prefix = Prefix::tenant(&tenant);
        let known = tx.scan::<ContainerInstance>(&prefix);
        let fits = |one: &ContainerInstance| fleet::is_meant(tx, one, verb);
        let selected = fleet::select(&known, &selection, fits).map_err(FleetError::Bad)?;
        let mut changed = Vec::with_capacity(selected.len());
        for instance in &selected {
            match fleet::apply(tx, instance, verb) {
                Ok(one) => changed.push(one),
                // Of a zone as many as its groups have places for.
                Err(Refused::Full(..)) if selection.zone.is_some() && !changed.is_empty() => {}
                Err(refused) => return Err(refused.into()),
            }
        }
        Ok::<_, FleetError>(shown(tx, changed.iter()))
    };
    cx.store().write(apply).await
}

/// Tasks on Fargate Spot, which has no instances to name.
async fn interrupt(cx: &RawContext, tenant: Tenant, selection: Selection, verb: Verb) -> Result<Value, FleetError> {
    let has_instances = !selection.instances.is_empty() || selection.zone.is_some();
    if has_instances || !matches!(verb, Verb::Interrupt { .. }) {
        return Err(FleetError::Bad("tasks can only be interrupted, and without instances".to_owned()));
    }
    let apply = move |tx: &mut Tx<'_>| {
        let known = tx.live::<Task>(&Prefix::tenant(&tenant));
        let mut arns = Vec::new();
        for task in fleet::select_tasks(&known, &selection.tasks).map_err(FleetError::Bad)? {
            arns.push(fleet::interrupt_task(tx, &task)?.arn());
        }
        Ok::<_, FleetError>(json!({"instances": [], "tasks": arns}))
    };
    cx.store().write(apply).await
}

fn shown<'a>(source: &impl Read, instances: impl Iterator<Item = &'a ContainerInstance>) -> Value {
    let show = |one: &ContainerInstance| {
        let tasks = source.listed::<Task>(&keys::tasks_on(&one.tenant, &one.cluster, &one.id));
        let free = remaining(one, tasks.iter().map(|task| &**task));
        let interfaces = tasks.iter().filter(|task| task.network.mode() == NetworkMode::Awsvpc).count();
        json!({
            "id": one.id,
            "arn": one.arn(),
            "ec2InstanceId": one.ec2_instance_id,
            "type": one.attribute("ecs.instance-type"),
            "zone": one.availability_zone,
            "cluster": one.cluster,
            "status": one.status.as_str(),
            "capacity": one.capacity,
            "asg": one.asg,
            "managedBy": one.managed_by,
            "terminated": one.is_terminated,
            "origin": origin(one.origin),
            "cpu": {"free": free.cpu, "total": one.registered.cpu},
            "memoryMib": {"free": free.memory_mib, "total": one.registered.memory_mib},
            "gpus": one.registered.gpus.len(),
            "taskInterfaces": {"used": interfaces, "limit": one.task_interfaces_max},
            "tasks": tasks.len(),
            "leavesAt": one.leaves_at.map(cove_base::Timestamp::rfc3339),
            "goneAt": one.gone_at.map(cove_base::Timestamp::rfc3339),
        })
    };
    json!({"instances": instances.map(show).collect::<Vec<_>>()})
}

const fn origin(of: Origin) -> &'static str {
    match of {
        Origin::Host => "host",
        Origin::Declared => "declared",
        Origin::Added => "added",
    }
}
