//! RunTask and StartTask: from the request to tasks in the store, in one transaction.
//!
//! Holds: a task is in the store with its place, its ports and its address, or waits for the group of its capacity provider
//! to grow; what was refused is among the failures and nothing of it is left. A client token stands for one request.

use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::task::{ClientToken, Task, task_arn};
use cove_model::task_template::TaskTemplate;
use cove_scheduler::HostFacts;
use cove_scheduler::launch::{self, Shares};
use cove_scheduler::place::{Reason, Refusal};
use cove_store::{Read, Tx, keys};

use super::ask::refused;
use super::order::{Order, Token};
use super::show::{Tags, show};
use super::{reach, template};
use crate::Context;
use crate::ecs::error::EcsError;
use crate::ecs::wire::{Failure, RunTaskIn, StartTaskIn, TasksOut};

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
    let seed = cove_base::ids::random_u64();
    cx.store
        .write(move |tx| {
            if let Some(known) = answered_before(tx, &tenant, &order)? {
                return Ok(known);
            }
            let template = template::resolve(tx, &tenant, &host, &order.ask, reach)?;
            start_all(tx, &host, order, &template, seed)
        })
        .await
}

/// The tasks that the request's client token already stands for.
fn answered_before(tx: &Tx<'_>, tenant: &Tenant, order: &Order) -> Result<Option<TasksOut>, EcsError> {
    let Some(Token { token, request_digest }) = &order.token else { return Ok(None) };
    let cluster = &order.ask.cluster;
    let Some(known) = tx.get::<ClientToken>(&keys::client_token(tenant, cluster, token)) else {
        return Ok(None);
    };
    if known.request_digest != *request_digest {
        let arns = known.task_ids.iter().map(|id| task_arn(tenant, cluster, id));
        return Err(EcsError::Conflict(arns.collect()));
    }
    let mut out = TasksOut { tasks: Vec::new(), failures: Vec::new() };
    for id in &known.task_ids {
        match tx.get::<Task>(&keys::task(tenant, cluster, id)) {
            Some(task) => out.tasks.push(show(&task, Tags::Shown)),
            // Forgotten, which a stopped task is sooner than the token.
            None => out.failures.push(Failure::missing(task_arn(tenant, cluster, id))),
        }
    }
    Ok(Some(out))
}

fn start_all(
    tx: &mut Tx<'_>,
    host: &HostFacts,
    order: Order,
    template: &TaskTemplate,
    seed: u64,
) -> Result<TasksOut, EcsError> {
    let launched = launch::launch(tx, host, template, order.target, &Shares::default(), seed).map_err(refused)?;
    // As on AWS an exception, and no failure among others: nothing of the request is started.
    if let Some(refusal) = launched.refusals.iter().find(|it| it.reason == Reason::ProvisioningLimit) {
        return Err(EcsError::client(refusal.reason.as_str()));
    }
    // A token that stands for nothing would keep the client from trying again.
    if let (Some(token), false) = (order.token, launched.tasks.is_empty()) {
        tx.put(ClientToken {
            tenant: template.tenant.clone(),
            cluster: template.cluster.clone(),
            token: token.token,
            request_digest: token.request_digest,
            task_ids: launched.tasks.iter().map(|task| task.id.clone()).collect(),
            at: tx.now(),
        });
    }
    Ok(TasksOut {
        tasks: launched.tasks.iter().map(|task| show(task, Tags::Shown)).collect(),
        failures: launched.refusals.into_iter().map(failure).collect(),
    })
}

fn failure(refusal: Refusal) -> Failure {
    Failure { arn: refusal.arn, reason: refusal.reason.as_str().to_owned(), detail: refusal.detail }
}
