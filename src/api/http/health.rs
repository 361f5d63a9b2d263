//! `GET /_cove/health`, `/_localstack/health` and `/_cove/metrics`: read without a signature, never from a web page.

use cove_store::StoreHealth;
use hyper::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use super::server::Shared;
use super::{Body, Response};

/// 200 while requests can be carried out, 503 with the reason while the store is read-only.
pub(super) fn cove(shared: &Shared) -> Response {
    match shared.store.health() {
        StoreHealth::Writable => document(200, &json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")})),
        StoreHealth::ReadOnly { reason } => document(503, &json!({"status": "read-only", "reason": reason})),
    }
}

/// What tools made for LocalStack poll.
pub(super) fn localstack() -> Response {
    let services: Map<String, Value> =
        crate::SERVICES.iter().map(|service| (service.signing_name.to_owned(), Value::from("running"))).collect();
    document(200, &json!({"services": services, "edition": "cove", "version": env!("CARGO_PKG_VERSION")}))
}

pub(super) fn metrics(shared: &Shared) -> Response {
    let text = shared.metrics.text(&shared.store.health()) + &shared.registry.scrub_metrics();
    let response = hyper::Response::builder().header(CONTENT_TYPE, "text/plain; version=0.0.4");
    response.body(Body::full(text)).expect("a constant header makes a response")
}

fn document(status: u16, body: &Value) -> Response {
    let response = hyper::Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    response.body(Body::full(body.to_string())).expect("a status and a constant header make a response")
}
