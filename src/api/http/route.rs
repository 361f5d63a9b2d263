//! Sends each request to its handler and puts on the answer what every answer has.
//!
//! Holds: every answer carries `x-amzn-RequestId`; a handler's panic is a 500 and a log line, and counted; an answer to
//! HEAD has no body, also over HTTP/2, where hyper would send one.

use std::any::Any;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Instant;

use cove_base::ids::uuid;
use hyper::Method;
use hyper::body::{Body as _, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderName, HeaderValue};

use super::metrics::Label;
use super::raw::problem;
use super::server::{ListenerKind, Shared};
use super::{Body, RawContext, Request, Response, health};
use crate::aws;
use crate::ecs::acs;
use crate::metadata::{Ask, Asked, FAULT_BODY_MAX_BYTES, Metadata, PROTECTION_BODY_MAX_BYTES, Router, host_mode};
use crate::terminal;

const OCI: Label = ("oci", "request");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// Answers one request.
pub(super) async fn answer(
    shared: Arc<Shared>,
    kind: Arc<ListenerKind>,
    peer: SocketAddr,
    request: hyper::Request<Incoming>,
) -> Response {
    let began = Instant::now();
    let listener = (*kind).clone();
    let cx = RawContext { shared, request_id: uuid(), peer, listener, identity: None };
    let (shared, id) = (Arc::clone(&cx.shared), cx.request_id.clone());
    let is_head = request.method() == Method::HEAD;
    let (mut response, label) = match whole(Box::pin(routed(cx, request.map(Body::from)))).await {
        Ok(answered) => answered,
        Err(panic) => {
            shared.metrics.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!(request_id = %id, "a handler panicked: {}", panic_text(&*panic));
            (problem(500, "InternalFailure", "the server failed at this request; its log says more"), ("cove", "panic"))
        }
    };
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    if is_head {
        response = without_body(response);
    }
    let (status, took) = (response.status().as_u16(), began.elapsed());
    shared.metrics.count(label, status, took);
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    tracing::debug!(request_id = %id, %peer, service = label.0, operation = label.1, status, micros, "answered");
    response
}

/// The head alone, which says how long the body would be.
fn without_body(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        parts.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    Response::from_parts(parts, Body::empty())
}

/// What is large stands in a box of its own: this future is moved for every request.
async fn routed(cx: RawContext, request: Request) -> (Response, Label) {
    if let Err(foreign) = cx.shared.guard.check(request.headers(), request.uri().authority()) {
        return (problem(403, "Forbidden", foreign.message()), ("cove", "foreign"));
    }
    let path = request.uri().path();
    let is_task = matches!(cx.listener, ListenerKind::Task { .. });
    if (is_task || path.starts_with(host_mode::PREFIX)) && Metadata::is_protection(path) {
        return (Box::pin(protection(cx, request)).await, ("metadata", "protection"));
    }
    if let ListenerKind::Task { network } = &cx.listener {
        if Metadata::injects_faults(path) {
            let network = network.clone();
            return (Box::pin(fault(cx, network, request)).await, ("metadata", "fault"));
        }
        if Metadata::serves(path) {
            let reply = cx.shared.metadata.answer(network, cx.peer.ip(), path, cx.shared.clock.now());
            return (document(reply.status, &reply.body), ("metadata", "answer"));
        }
        return aws::handle(cx, request).await;
    }
    if path.starts_with(host_mode::PREFIX) {
        let authorization = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let (peer, now) = (cx.peer.ip(), cx.shared.clock.now());
        let reply = cx.shared.metadata.answer_host_mode(peer, path, authorization, now);
        return (document(reply.status, &reply.body), ("metadata", "host mode"));
    }
    match path {
        "/" => aws::handle(cx, request).await,
        acs::WORK | acs::TELEMETRY => (Box::pin(acs::answer(cx, request)).await, ("ecs", "agent")),
        path if path.starts_with(terminal::PREFIX) => (terminal::answer(cx, request), ("ssm", "data channel")),
        "/_cove/health" => (health::cove(&cx.shared), ("cove", "health")),
        "/_localstack/health" => (health::localstack(), ("cove", "health")),
        "/_cove/metrics" => (health::metrics(&cx.shared), ("cove", "metrics")),
        path if path == "/v2" || path.starts_with("/v2/") => (Box::pin(crate::oci::handle(cx, request)).await, OCI),
        path if path.starts_with("/_cove/v1/") => (Box::pin(private(cx, request)).await, ("cove", "private")),
        _ => aws::handle(cx, request).await,
    }
}

/// A task that injects a fault into its own network.
async fn fault(cx: RawContext, network: Router, request: Request) -> Response {
    if request.method() != Method::POST {
        return document(405, &serde_json::Value::Null);
    }
    let path = request.uri().path().to_owned();
    let body = match super::collect(request.into_body(), FAULT_BODY_MAX_BYTES).await {
        Ok(body) => body,
        Err(error) => return document(400, &serde_json::json!({"Error": error.to_string()})),
    };
    let reply = cx.shared.metadata.inject(&network, cx.peer.ip(), &path, &body, cx.shared.clock.now()).await;
    document(reply.status, &reply.body)
}

/// A task that looks at its own protection from scaling in, or changes it.
async fn protection(cx: RawContext, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let body = match *request.method() {
        Method::GET => None,
        Method::PUT => match super::collect(request.into_body(), PROTECTION_BODY_MAX_BYTES).await {
            Ok(body) => Some(body),
            Err(error) => {
                let error = serde_json::json!({"Code": "InvalidParameterException", "Message": error.to_string()});
                return document(400, &serde_json::json!({"error": error}));
            }
        },
        _ => return document(405, &serde_json::Value::Null),
    };
    let ask = body.as_ref().map_or(Ask::Look, |body| Ask::Change(body));
    let asked = Asked { ask, request_id: &cx.request_id, now: cx.shared.clock.now() };
    let (metadata, peer) = (&cx.shared.metadata, cx.peer.ip());
    let reply = match &cx.listener {
        ListenerKind::Task { network } => metadata.protection(network, peer, &path, asked).await,
        ListenerKind::Public { .. } => metadata.protection_host_mode(peer, &path, asked).await,
    };
    document(reply.status, &reply.body)
}

/// Cove's own endpoints: signed like AWS's, with the service `cove`.
async fn private(mut cx: RawContext, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = match super::collect(body, crate::cove::BODY_MAX_BYTES).await {
        Ok(body) => body,
        Err(error) => return problem(413, "TooLarge", &error.to_string()),
    };
    match aws::authenticate(&cx, &parts, &body, Some("cove")) {
        Ok(identity) => {
            if let Err(error) = cx.ensure_tenant(&identity.tenant).await {
                return problem(503, "StoreUnavailable", &cove_base::error::chain(&error));
            }
            cx.identity = Some(identity);
        }
        Err(refused) => return problem(403, refused.json_code(), &refused.to_string()),
    }
    crate::cove::handle(cx, Request::from_parts(parts, Body::full(body))).await
}

fn document(status: u16, body: &serde_json::Value) -> Response {
    let response = hyper::Response::builder().status(status).header(hyper::header::CONTENT_TYPE, "application/json");
    response.body(Body::full(body.to_string())).expect("a status and a constant header make a response")
}

/// Runs a future to its end or to its panic.
async fn whole<T>(future: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    std::future::poll_fn(move |cx| {
        let future: Pin<&mut _> = future.as_mut();
        // After a panic the future is never polled again, so nobody sees what it left half done.
        match std::panic::catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}
