//! A service and its table of operations, and the adapters between typed handlers and the wire.
//!
//! Holds: an adapter's input was accepted by the model; its output is JSON text, whatever the protocol.

use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::context::Context;
use super::fault::{ApiError, Fault};
use super::model::Model;
use super::model::validate::Policy;

/// One row of a service's table.
pub struct Op {
    pub name: &'static str,
    pub status: Status,
    /// The behaviour test that changes state through it and sees it again after a restart.
    pub test: &'static str,
    pub run: RunFn,
}

/// How much of an operation is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Done,
    /// What it waits for.
    Partial(&'static str),
}

impl Op {
    /// An operation that does all that AWS's does.
    pub const fn done(name: &'static str, test: &'static str, run: RunFn) -> Self {
        Self { name, status: Status::Done, test, run }
    }

    /// An operation that lacks something, and says what.
    pub const fn partial(name: &'static str, test: &'static str, waits_for: &'static str, run: RunFn) -> Self {
        Self { name, status: Status::Partial(waits_for), test, run }
    }
}

/// Validated input.
pub struct Input(pub(crate) Value);

/// A reply as JSON text, or the error.
pub type Answer = Result<Vec<u8>, Fault>;
/// A handler at work.
pub type Running<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;
/// What a table's row calls.
pub type RunFn = for<'a> fn(&'a Context, Input) -> Running<'a>;

/// How requests and replies are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// JSON 1.1, with the operation in `X-Amz-Target`.
    Json,
    /// Form fields in, XML out, with the operation in `Action`.
    Query,
    /// Smithy's RPC v2: CBOR, with service and operation in the path.
    Cbor,
}

/// An AWS service.
pub struct Service {
    /// The service in a signature's scope.
    pub signing_name: &'static str,
    /// The part of `X-Amz-Target` before the dot, and the service in the path of RPC v2; empty for query services.
    pub target_prefix: &'static str,
    pub ops: &'static [Op],
    /// The one that its clients prefer first.
    pub(crate) protocols: &'static [Protocol],
    pub(crate) policy: Policy,
    packed: &'static [u8],
    model: OnceLock<Model>,
}

impl Service {
    /// A service that speaks JSON 1.1.
    #[must_use]
    pub const fn json(
        signing_name: &'static str,
        target_prefix: &'static str,
        model: &'static [u8],
        ops: &'static [Op],
    ) -> Self {
        Self {
            signing_name,
            target_prefix,
            ops,
            protocols: &[Protocol::Json],
            policy: Policy::of(signing_name),
            packed: model,
            model: OnceLock::new(),
        }
    }

    /// A service that takes form fields and answers XML.
    #[must_use]
    pub const fn query(signing_name: &'static str, model: &'static [u8], ops: &'static [Op]) -> Self {
        Self {
            signing_name,
            target_prefix: "",
            ops,
            protocols: &[Protocol::Query],
            policy: Policy::Query,
            packed: model,
            model: OnceLock::new(),
        }
    }

    /// A service that began with form fields and XML and now takes CBOR and JSON 1.0 as well. Its errors keep their old
    /// codes.
    #[must_use]
    pub const fn query_compatible(
        signing_name: &'static str,
        target_prefix: &'static str,
        model: &'static [u8],
        ops: &'static [Op],
    ) -> Self {
        Self {
            signing_name,
            target_prefix,
            ops,
            protocols: &[Protocol::Cbor, Protocol::Json, Protocol::Query],
            policy: Policy::Query,
            packed: model,
            model: OnceLock::new(),
        }
    }

    /// Whether its clients may speak that.
    pub(crate) fn speaks(&self, protocol: Protocol) -> bool {
        self.protocols.contains(&protocol)
    }

    /// The model, unpacked at the first use: a server that never sees a service does not pay for it.
    pub(crate) fn model(&self) -> &Model {
        self.model.get_or_init(|| Model::unpack(self.packed, self.ops))
    }
}

/// Wires an `async fn(&Context, In) -> Result<Out, Error>`.
pub fn json<'a, I, O, E, F, Fut>(cx: &'a Context, input: Input, handler: F) -> Running<'a>
where
    I: DeserializeOwned + Send,
    O: Serialize,
    E: ApiError + 'static,
    F: FnOnce(&'a Context, I) -> Fut + Send + 'a,
    Fut: Future<Output = Result<O, E>> + Send + 'a,
{
    Box::pin(async move {
        let input = typed(input)?;
        let result = handler(cx, input).await;
        written(result)
    })
}

/// Wires a `fn(&Context, In) -> Result<Out, Error>` that only reads.
pub fn read<'a, I, O, E, F>(cx: &'a Context, input: Input, handler: F) -> Running<'a>
where
    I: DeserializeOwned,
    O: Serialize,
    E: ApiError + 'static,
    F: FnOnce(&'a Context, I) -> Result<O, E> + Send + 'a,
{
    Box::pin(async move { written(handler(cx, typed(input)?)) })
}

/// The model has checked the types, so a failure means that the handler's struct is narrower than the model.
fn typed<I: DeserializeOwned>(input: Input) -> Result<I, Fault> {
    serde_json::from_value(input.0).map_err(|error| Fault::client("SerializationException", error.to_string()))
}

fn written<O: Serialize, E: ApiError + 'static>(result: Result<O, E>) -> Answer {
    let output = result.map_err(|error| Fault::of(&error))?;
    serde_json::to_vec(&output).map_err(|error| {
        tracing::error!("cannot write a reply: {error}");
        Fault::internal()
    })
}
