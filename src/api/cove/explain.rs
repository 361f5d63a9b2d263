//! `POST explain`: why a service, a daemon or a task is not where it should be.
//!
//! In: `cluster` and `what`, the name of a service or a daemon or the id of a task, all also as ARNs. Out: `lines`,
//! those of both where a service and a daemon have the same name.

use cove_model::arn::Tenant;
use cove_model::daemon::Daemon;
use cove_model::service::Service;
use cove_model::task::Task;
use cove_scheduler::explain;
use cove_scheduler::tenant::DEFAULT_CLUSTER;
use cove_store::{Prefix, Read, View, keys};
use serde::Deserialize;
use serde_json::json;

use super::{good, problem, wish};
use crate::{RawContext, Request, Response};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    cluster: Option<String>,
    what: String,
}

/// `POST explain`.
pub(super) async fn answer(cx: &RawContext, request: Request) -> Response {
    let Some(identity) = &cx.identity else { return cx.not_found() };
    let wish: Wish = match wish(request).await {
        Ok(wish) => wish,
        Err(response) => return response,
    };
    match cx.store().read(|view| lines(cx, view, &identity.tenant, &wish)) {
        Some(lines) => good(&json!({"lines": lines})),
        None => problem(404, "NotFound", &format!("there is no service, daemon or task `{}`", wish.what)),
    }
}

fn lines(cx: &RawContext, view: &View, tenant: &Tenant, wish: &Wish) -> Option<Vec<String>> {
    // An ARN says itself of which cluster, and which sort of thing it is.
    let mut parts = wish.what.rsplit('/');
    let (name, of_arn, kind) = (parts.next()?, parts.next(), parts.next());
    let kind = kind.and_then(|before| before.rsplit(':').next());
    let cluster = of_arn.filter(|_| kind.is_some()).or(wish.cluster.as_deref()).unwrap_or(DEFAULT_CLUSTER);
    let (settings, now) = (cx.settings(), cx.clock().now());
    let mut lines = Vec::new();
    if kind.is_none_or(|kind| kind == "service")
        && let Some(service) = view.get::<Service>(&keys::service(tenant, cluster, name))
    {
        lines.extend(explain::service(view, &settings.host, &settings.timing, &service, now));
    }
    if kind.is_none_or(|kind| kind == "daemon")
        && let Some(daemon) = view.get::<Daemon>(&keys::daemon(tenant, cluster, name))
    {
        lines.extend(explain::daemon(view, &settings.timing, &daemon, now));
    }
    if !lines.is_empty() {
        return Some(lines);
    }
    let tasks = view.scan::<Task>(&Prefix::parent(tenant, cluster));
    let mut found = tasks.iter().filter(|task| task.id.starts_with(name));
    let task = found.next().filter(|_| found.next().is_none())?;
    Some(explain::task(view, &settings.host, task))
}
