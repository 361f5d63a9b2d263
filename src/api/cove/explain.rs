//! `POST explain`: why a service or task is not where it should be.
//!
//! In: `cluster` and `what`, the name of a service or the id of a task, both also as ARNs. Out: `lines`.

use cove_model::arn::Tenant;
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
        None => problem(404, "NotFound", &format!("there is no service and no task `{}`", wish.what)),
    }
}

fn lines(cx: &RawContext, view: &View, tenant: &Tenant, wish: &Wish) -> Option<Vec<String>> {
    // An ARN says the cluster itself.
    let mut parts = wish.what.rsplit('/');
    let name = parts.next()?;
    let of_arn = parts.next().filter(|_| parts.next().is_some());
    let cluster = of_arn.or(wish.cluster.as_deref()).unwrap_or(DEFAULT_CLUSTER);
    if let Some(service) = view.get::<Service>(&keys::service(tenant, cluster, name)) {
        let settings = cx.settings();
        return Some(explain::service(view, &settings.host, &settings.timing, &service, cx.clock().now()));
    }
    let tasks = view.scan::<Task>(&Prefix::parent(tenant, cluster));
    let mut found = tasks.iter().filter(|task| task.id.starts_with(name));
    let task = found.next().filter(|_| found.next().is_none())?;
    Some(explain::task(view, &cx.settings().host, task))
}
