//! Docker volumes of scope shared: listed, and removed when nobody has them.

use serde_json::json;

use super::{ExecPort, good, problem, read};
use crate::{RawContext, Request, Response};

/// `GET volumes`.
pub(super) async fn list(cx: &RawContext, port: &dyn ExecPort) -> Response {
    let Some(identity) = &cx.identity else { return cx.not_found() };
    match port.shared_volumes(identity.tenant.clone()).await {
        Ok(volumes) => good(&json!({"volumes": volumes})),
        Err(why) => problem(500, "Volumes", &why),
    }
}

/// `POST volumes/remove`.
pub(super) async fn remove(cx: &RawContext, port: &dyn ExecPort, request: Request) -> Response {
    let Some(identity) = &cx.identity else { return cx.not_found() };
    let body = match read(request).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let Some(name) = body["name"].as_str() else {
        return problem(400, "InvalidParameter", "`name` must be the name of a volume");
    };
    match port.remove_shared_volume(identity.tenant.clone(), name.to_owned()).await {
        Ok(()) => good(&json!({})),
        Err(why) => problem(400, "Volumes", &why),
    }
}
