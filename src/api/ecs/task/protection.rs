//! GetTaskProtection and UpdateTaskProtection: tasks that scaling in and deployments leave alone for a time.

use cove_base::Timestamp;
use cove_model::arn::Tenant;
use cove_model::task::Task;
use cove_store::{Prefix, Read, Store, Tx, keys};

use crate::Context;
use crate::ecs::error::EcsError;
use crate::ecs::wire::{Failure, GetTaskProtectionIn, ProtectedTask, ProtectionOut, UpdateTaskProtectionIn};
use crate::ecs::{cluster, reference};

/// ECS's limits, and how long a task is protected when nobody says.
const UPDATE_MAX: usize = 10;
const GET_MAX: usize = 100;
const MINUTES: std::ops::RangeInclusive<i32> = 1..=2880;
const MINUTES_DEFAULT: i32 = 120;
const MINUTE_MILLIS: i64 = 60_000;

/// GetTaskProtection: of the named tasks, or of all tasks of services in the cluster that are protected.
pub(in crate::ecs) fn get(cx: &Context, input: GetTaskProtectionIn) -> Result<ProtectionOut, EcsError> {
    look(&cx.store, &cx.tenant, &input, cx.clock.now())
}

/// The same of one task, for itself.
pub(crate) fn own(store: &Store, task: &Task, now: Timestamp) -> Result<ProtectionOut, EcsError> {
    let input = GetTaskProtectionIn { cluster: task.cluster.clone(), tasks: vec![task.arn()] };
    look(store, &task.tenant, &input, now)
}

fn look(
    store: &Store,
    tenant: &Tenant,
    input: &GetTaskProtectionIn,
    now: Timestamp,
) -> Result<ProtectionOut, EcsError> {
    let cluster = reference::cluster(tenant, Some(&input.cluster))?;
    let ids = ids(tenant, &cluster, &input.tasks, GET_MAX)?;
    store.read(|view| {
        cluster::active(view, tenant, &cluster)?;
        let mut out = ProtectionOut { protected_tasks: Vec::new(), failures: Vec::new() };
        if ids.is_empty() {
            let tasks = view.live::<Task>(&Prefix::parent(tenant, &cluster));
            let kept = tasks.iter().filter(|task| task.service().is_some());
            out.protected_tasks.extend(kept.map(|task| show(task, now)).filter(|task| task.protection_enabled));
            out.protected_tasks.truncate(GET_MAX);
        }
        for id in &ids {
            match find(view, tenant, &cluster, id) {
                Ok(task) => out.protected_tasks.push(show(&task, now)),
                Err(failure) => out.failures.push(failure),
            }
        }
        Ok(out)
    })
}

/// UpdateTaskProtection. Only tasks that a service keeps can be protected.
pub(in crate::ecs) async fn update(cx: &Context, input: UpdateTaskProtectionIn) -> Result<ProtectionOut, EcsError> {
    change(&cx.store, cx.tenant.clone(), input).await
}

/// The same for one task, by itself.
pub(crate) async fn protect_own(
    store: &Store,
    task: &Task,
    protection_enabled: bool,
    expires_in_minutes: Option<i32>,
) -> Result<ProtectionOut, EcsError> {
    let (cluster, tasks) = (task.cluster.clone(), vec![task.arn()]);
    let input = UpdateTaskProtectionIn { cluster, tasks, protection_enabled, expires_in_minutes };
    change(store, task.tenant.clone(), input).await
}

async fn change(store: &Store, tenant: Tenant, input: UpdateTaskProtectionIn) -> Result<ProtectionOut, EcsError> {
    let cluster = reference::cluster(&tenant, Some(&input.cluster))?;
    if input.tasks.is_empty() {
        return Err(EcsError::parameter("Tasks cannot be empty."));
    }
    let ids = ids(&tenant, &cluster, &input.tasks, UPDATE_MAX)?;
    let minutes = input.expires_in_minutes.unwrap_or(MINUTES_DEFAULT);
    if !MINUTES.contains(&minutes) {
        return Err(EcsError::parameter("expiresInMinutes must be between 1 and 2880."));
    }
    store
        .write(move |tx| {
            cluster::active(tx, &tenant, &cluster)?;
            let until = tx.now().plus_millis(i64::from(minutes) * MINUTE_MILLIS);
            let until = input.protection_enabled.then_some(until);
            Ok::<_, EcsError>(protect(tx, &tenant, &cluster, &ids, until))
        })
        .await
}

fn protect(tx: &mut Tx<'_>, tenant: &Tenant, cluster: &str, ids: &[String], until: Option<Timestamp>) -> ProtectionOut {
    let mut out = ProtectionOut { protected_tasks: Vec::new(), failures: Vec::new() };
    for id in ids {
        match find(tx, tenant, cluster, id) {
            Ok(found) => {
                let mut task = (*found).clone();
                task.protected_until = until;
                task.version += 1;
                out.protected_tasks.push(show(&task, tx.now()));
                tx.put(task);
            }
            Err(failure) => out.failures.push(failure),
        }
    }
    out
}

fn ids(tenant: &Tenant, cluster: &str, given: &[String], most: usize) -> Result<Vec<String>, EcsError> {
    if given.len() > most {
        return Err(EcsError::parameter(format!("Tasks cannot have more than {most} elements.")));
    }
    given.iter().map(|text| reference::task(tenant, cluster, text)).collect()
}

/// In AWS's failure reasons: MISSING, and TASK_NOT_VALID for a task that no service keeps or that ends.
fn find(store: &impl Read, tenant: &Tenant, cluster: &str, id: &str) -> Result<std::sync::Arc<Task>, Failure> {
    let arn = || tenant.arn("ecs", format_args!("task/{cluster}/{id}"));
    let task = store.get::<Task>(&keys::task(tenant, cluster, id)).ok_or_else(|| Failure::missing(arn()))?;
    if task.service().is_none() || !task.is_live() || task.is_stopping() {
        return Err(Failure { arn: Some(arn()), reason: "TASK_NOT_VALID".to_owned(), detail: None });
    }
    Ok(task)
}

fn show(task: &Task, now: Timestamp) -> ProtectedTask {
    let until = task.protected_until.filter(|until| *until > now);
    ProtectedTask { task_arn: task.arn(), protection_enabled: until.is_some(), expiration_date: until }
}
