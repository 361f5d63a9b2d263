//! `POST logs`: what a container wrote whose log only the node has: of the driver `json-file`, or of none.
//!
//! In: `task` (its id), `container`, and `nextToken` to go on from. Out: `events` as GetLogEvents shows them, and
//! `nextForwardToken`, which stays the same at the end.

use cove_logs::{Event, Position, Query, Start};
use cove_model::arn::Tenant;
use cove_model::task::Task;
use cove_store::{Prefix, Read};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{good, problem, wish};
use crate::{RawContext, Request, Response};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wish {
    task: String,
    container: String,
    next_token: Option<String>,
}

/// `POST logs`.
pub(super) async fn answer(cx: &RawContext, request: Request) -> Response {
    let Some(identity) = &cx.identity else { return cx.not_found() };
    let wish: Wish = match wish(request).await {
        Ok(wish) => wish,
        Err(response) => return response,
    };
    let directory = match directory(cx, &identity.tenant, &wish) {
        Ok(directory) => directory,
        Err(why) => return problem(404, "NotFound", &why),
    };
    let start = match wish.next_token.as_deref().map(position) {
        None => Start::Head,
        Some(Some(position)) => Start::At(position),
        Some(None) => return problem(400, "InvalidParameter", "`nextToken` is none of ours"),
    };
    let path = cx.store().data_dir().logs().join(directory);
    let page = tokio::task::spawn_blocking(move || cove_logs::read(&path, &Query { start, ..Query::all() })).await;
    match page {
        Ok(Ok(page)) => {
            let Position { segment, offset } = page.forward;
            let events: Vec<Value> = page.events.iter().map(show).collect();
            good(&json!({"events": events, "nextForwardToken": format!("{segment}-{offset}")}))
        }
        Ok(Err(error)) => problem(400, "Log", &cove_base::error::chain(&error)),
        Err(error) => problem(500, "Log", &error.to_string()),
    }
}

/// Where the container's log lies, or why not here.
fn directory(cx: &RawContext, tenant: &Tenant, wish: &Wish) -> Result<String, String> {
    let Wish { task: id, container: name, next_token: _ } = wish;
    let tasks = cx.store().read(|view| view.scan::<Task>(&Prefix::tenant(tenant)));
    let task = tasks.iter().find(|task| task.id == *id).ok_or_else(|| format!("there is no task {id}"))?;
    let container = task.containers.iter().find(|container| container.name == *name);
    let container = container.ok_or_else(|| format!("there is no container `{name}` in task {id}"))?;
    match &container.log {
        Some(log) if log.is_local() => Ok(log.directory.clone()),
        Some(log) => Err(format!("container `{name}` logs to CloudWatch Logs, to the group {}", log.group)),
        None if task.placement.elsewhere => {
            Err(format!("task {id} runs on another host, whose Docker has the log of container `{name}`"))
        }
        None => Err(format!("no log of container `{name}` was kept when task {id} was placed")),
    }
}

fn position(token: &str) -> Option<Position> {
    let (segment, offset) = token.split_once('-')?;
    Some(Position { segment: segment.parse().ok()?, offset: offset.parse().ok()? })
}

fn show(event: &Event) -> Value {
    json!({"timestamp": event.time_ms, "ingestionTime": event.ingested_ms,
        "message": String::from_utf8_lossy(&event.message)})
}
