//! What a handler knows about the call it serves.

use std::sync::Arc;

use cove_base::Clock;
use cove_metrics::Metrics;
use cove_model::arn::Tenant;
use cove_registry::Registry;
use cove_store::Store;

use crate::http::settings::Settings;
use crate::terminal::Sessions;

/// One authenticated call. Handlers take it by reference; its parts are cheap to clone into a store closure.
pub struct Context {
    pub store: Store,
    pub clock: Clock,
    /// Account and region that the caller may see. Its defaults (cluster, network, roles) exist.
    pub tenant: Tenant,
    pub caller: Caller,
    pub registry: Arc<Registry>,
    pub metrics: Metrics,
    pub settings: Arc<Settings>,
    /// Also in the `x-amzn-RequestId` of the answer.
    pub request_id: String,
    pub origin: Origin,
    pub(crate) terminals: Arc<Sessions>,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub arn: String,
    /// STS's `UserId`.
    pub user_id: String,
    pub access_key_id: String,
    pub kind: CallerKind,
}

/// How the caller proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerKind {
    /// Signed with the root key.
    Root,
    /// Signed with the credentials of a task role.
    Role,
    /// Not checked, because the server runs with `--dev`.
    Dev,
}

/// Where the call came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Public,
    /// From inside a task, through the endpoint of its network: nothing that reaches the host may be started.
    Task,
}
