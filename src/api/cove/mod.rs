//! Our own endpoints under `/_cove/v1/`, for the command line.
//!
//! | | |
//! |---|---|
//! | `GET info` | version, node, account, region, default subnets and security group, registry host |
//! | `POST exec` | upgrade to `cove-exec`: a command in a running container (see [`exec`]) |
//! | `POST down` | stop every task, remove everything of the node from the kernel, end the server |
//! | `GET down` | what that would wait for, as a sentence |
//! | `POST images/builtin` | the image that the binary carries, in a repository of the caller |
//! | `POST images/copy` | an image of another registry into a repository of the caller (see [`copy`]) |
//! | `GET backup` | every record and the keys as one archive |
//! | `GET backup/images` | the same with the registry's blobs |
//! | `GET doctor` | what the server finds wrong with this host |
//! | `POST logs` | what a container wrote whose log only the node has (see [`logs`]) |
//! | `GET volumes` | Docker volumes of scope shared: `name`, `bytes`, `tasks` |
//! | `POST volumes/remove` | removes the one called `name`, unless a live task has it |
//! | `POST events` | what happened, or what happens next (see [`events`]) |
//! | `POST explain` | why a service, daemon or task is not where it should be (see [`explain`]) |
//! | `GET events/dead` | deliveries to targets of rules that were given up |
//! | `GET scrub` | when every blob was read again last, and what is damaged or gone |
//! | `POST scrub` | the same, and begins a pass unless one runs |
//! | `GET fleet` | the container instances of the caller's tenant, of every cluster |
//! | `POST fleet/add` | registers one more: the keys of `[[instance]]` in the config file |
//! | `POST scan/import` | upgrade to `cove-import`: advisories for the built-in scanner (see [`import`]) |
//! | `POST scan/sbom` | an image's inventory (see [`scan`]) |
//! | `POST fleet/VERB` | drain, activate, remove, interrupt, fail, recover: `instances` or a `zone` (see [`fleet`]) |
//!
//! Holds: only the node's owner gets here: the root key, or anybody with `--dev`; never a task, whatever it signs with.

mod backup;
mod copy;
mod events;
mod exec;
mod explain;
mod fleet;
mod import;
mod info;
mod logs;
mod port;
mod scan;
mod scrub;
mod volume;

use cove_store::Images;
use hyper::Method;
use hyper::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use port::{ExecPort, ExecRequest, ExecSession, Finding, Level, PortFuture, TerminalSession};

use crate::http::{BodyError, collect};
use crate::{Body, CallerKind, ListenerKind, RawContext, Request, Response};

/// Bodies here are small documents.
pub(crate) const BODY_MAX_BYTES: usize = 256 << 10;

/// Answers one request below `/_cove/v1/`; the caller has been authenticated ([`RawContext::identity`]).
pub async fn handle(cx: RawContext, request: Request) -> Response {
    if !is_owner(&cx) {
        return problem(403, "AccessDenied", "only the owner of this node may do that");
    }
    let Some(port) = cx.exec().cloned() else {
        return problem(503, "NoAgent", "no agent runs in this server");
    };
    let path = request.uri().path().trim_start_matches("/_cove/v1/").to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET, "info") => info::answer(&cx, port.as_ref()).await,
        (&Method::POST, "exec") => exec::answer(&cx, port, request).await,
        (&Method::GET, "backup") => backup::answer(&cx, Images::Without),
        (&Method::GET, "backup/images") => backup::answer(&cx, Images::With),
        (&Method::GET, "down") => good(&json!({"waitsFor": port.stopping()})),
        (&Method::POST, "down") => match port.down().await {
            Ok(tasks) => good(&json!({"tasks": tasks})),
            Err(why) => problem(500, "Leftovers", &why),
        },
        (&Method::GET, "doctor") => {
            let list = |found: Finding| json!({"level": found.level.as_str(), "text": found.text});
            good(&json!({"findings": port.findings().await.into_iter().map(list).collect::<Vec<_>>()}))
        }
        (&Method::POST, "events") => events::answer(&cx, request).await,
        (&Method::POST, "logs") => logs::answer(&cx, request).await,
        (&Method::POST, "explain") => explain::answer(&cx, request).await,
        (&Method::GET, "events/dead") => events::dead(&cx),
        (&Method::GET, "volumes") => volume::list(&cx, port.as_ref()).await,
        (&Method::POST, "volumes/remove") => volume::remove(&cx, port.as_ref(), request).await,
        (&Method::GET, "scrub") => scrub::show(&cx).await,
        (&Method::POST, "scrub") => scrub::begin(&cx).await,
        (&Method::POST, "scan/import") => import::answer(&cx, request).await,
        (&Method::POST, "scan/sbom") => scan::sbom(&cx, request).await,
        (&Method::GET, "fleet") => fleet::list(&cx),
        (&Method::POST, path) if path.starts_with("fleet/") => fleet::answer(&cx, request).await,
        (&Method::POST, "images/builtin") => builtin(&cx, port.as_ref(), request).await,
        (&Method::POST, "images/copy") => copy::answer(&cx, request).await,
        _ => cx.not_found(),
    }
}

fn is_owner(cx: &RawContext) -> bool {
    let from_outside = matches!(cx.listener, ListenerKind::Public { .. });
    let by_owner = cx.identity.as_ref().is_some_and(|identity| match identity.caller.kind {
        CallerKind::Root | CallerKind::Dev => true,
        CallerKind::Role => false,
    });
    from_outside && by_owner
}

async fn builtin(cx: &RawContext, port: &dyn ExecPort, request: Request) -> Response {
    let body = match read(request).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let Some(name) = body["name"].as_str() else {
        return problem(400, "InvalidParameter", "`name` must be the name of a repository");
    };
    let Some(identity) = &cx.identity else { return cx.not_found() };
    match port.builtin_image(identity.tenant.clone(), name.to_owned()).await {
        Ok(image) => good(&json!({"image": image})),
        Err(why) => problem(400, "BuiltinImage", &why),
    }
}

/// What a request asks for: the JSON document that came with it, as this endpoint knows it.
pub(crate) async fn wish<T: DeserializeOwned>(request: Request) -> Result<T, Response> {
    let document = read(request).await?;
    serde_json::from_value(document).map_err(|error| problem(400, "InvalidParameter", &error.to_string()))
}

/// The JSON document that came with a request.
pub(crate) async fn read(request: Request) -> Result<Value, Response> {
    let bytes = collect(request.into_body(), BODY_MAX_BYTES).await.map_err(|error| match error {
        BodyError::TooLarge { .. } => problem(413, "TooLarge", &error.to_string()),
        BodyError::Connection(_) | BodyError::Source(_) | BodyError::TooSlow => {
            problem(400, "Incomplete", &error.to_string())
        }
    })?;
    serde_json::from_slice(&bytes).map_err(|_| problem(400, "InvalidBody", "the body is not a JSON document"))
}

pub(crate) fn good(body: &Value) -> Response {
    respond(200, body)
}

pub(crate) fn problem(status: u16, code: &str, message: &str) -> Response {
    respond(status, &json!({"code": code, "message": message}))
}

pub(crate) fn respond(status: u16, body: &Value) -> Response {
    let response = hyper::Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    response.body(Body::full(body.to_string())).expect("a status and a constant header make a response")
}
