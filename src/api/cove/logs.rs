//! `POST logs`: what a container of the driver `json-file` wrote.
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
    let Some(directory) = directory(cx, &identity.tenant, &wish) else {
        let text =
            format!("there is no container `{}` with the log driver json-file in task {}", wish.container, wish.task);
        return problem(404, "NotFound", &text);
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

fn directory(cx: &RawContext, tenant: &Tenant, wish: &Wish) -> Option<String> {
    let tasks = cx.store().read(|view| view.scan::<Task>(&Prefix::all()));
    let task = tasks.iter().find(|task| task.tenant == *tenant && task.id == wish.task)?;
    let container = task.containers.iter().find(|container| container.name == wish.container)?;
    container.log.as_ref().filter(|log| log.is_local()).map(|log| log.directory.clone())
}

fn position(token: &str) -> Option<Position> {
    let (segment, offset) = token.split_once('-')?;
    Some(Position { segment: segment.parse().ok()?, offset: offset.parse().ok()? })
}

fn show(event: &Event) -> Value {
    json!({"timestamp": event.time_ms, "ingestionTime": event.ingested_ms,
        "message": String::from_utf8_lossy(&event.message)})
}
