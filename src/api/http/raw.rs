//! What a handler of plain HTTP knows about its request.

use std::net::SocketAddr;
use std::sync::Arc;

use cove_base::Clock;
use cove_model::arn::Tenant;
use cove_registry::Registry;
use cove_store::{Store, StoreError};
use hyper::header::CONTENT_TYPE;
use serde_json::json;

use super::server::{ListenerKind, Shared};
use super::settings::Settings;
use super::{Body, Response};
use crate::aws::Identity;
use crate::cove::ExecPort;

/// For `oci::handle`, `metadata::handle` and `cove::handle`.
#[derive(Clone)]
pub struct RawContext {
    pub(crate) shared: Arc<Shared>,
    /// Also in the `x-amzn-RequestId` of the answer.
    pub request_id: String,
    /// The other end of the connection: inside a task network the task's own address.
    pub peer: SocketAddr,
    pub listener: ListenerKind,
    /// Who signed; always there for `/_cove/v1/`, never for the others.
    pub identity: Option<Identity>,
}

impl RawContext {
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.shared.registry
    }

    #[must_use]
    pub fn settings(&self) -> &Arc<Settings> {
        &self.shared.settings
    }

    /// Turns true when the server begins to stop.
    #[must_use]
    pub fn stopping(&self) -> tokio::sync::watch::Receiver<bool> {
        self.shared.stopping.clone()
    }

    /// Absent only where no agent runs, as in tests.
    #[must_use]
    pub fn exec(&self) -> Option<&Arc<dyn ExecPort>> {
        self.shared.exec.as_ref()
    }

    /// Makes sure that the tenant has its defaults. Cheap when it has been seen before.
    ///
    /// # Errors
    /// When the store cannot write.
    pub async fn ensure_tenant(&self, tenant: &Tenant) -> Result<(), StoreError> {
        self.shared.ensure_tenant(tenant).await
    }

    /// 404 with a JSON body.
    #[must_use]
    pub fn not_found(&self) -> Response {
        problem(404, "NotFound", "there is nothing at this path")
    }
}

/// An error for plain HTTP clients.
pub(crate) fn problem(status: u16, code: &str, message: &str) -> Response {
    let body = json!({ "code": code, "message": message }).to_string();
    let response = hyper::Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    response.body(Body::full(body)).expect("a status and a constant header make a response")
}
