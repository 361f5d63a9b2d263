//! The API: listeners, AWS protocols, and one folder per service.
//!
//! ```text
//! bytes → http (limits, Host and Origin) → aws (signature → tenant, model → validated input) → <service>/<noun>.rs → store
//!                                       ↘ oci (/v2/) · metadata (in tasks) · cove (/_cove/v1/)
//! ```
//!
//! Holds: a handler runs only for an authenticated caller of an existing tenant, with input that the service model
//! accepts. Bad input is never a 5xx. A panic in a handler is one 500 and a log line.
//!
//! # A service
//! 1. A folder `<service>/` with `mod.rs`, `wire.rs`, `error.rs`, one file per noun, and `model.json.gz` (`scripts/models`).
//! 2. `mod.rs` holds the table and the service; its line is in [`SERVICES`]:
//! ```ignore
//! pub(crate) const OPS: &[Op] = &[
//!     Op::done("CreateCluster", "a_cluster_survives_a_restart", |cx, input| json(cx, input, cluster::create)),
//!     Op::partial("UpdateCluster", "…", "service connect", |cx, input| json(cx, input, cluster::update)),
//!     Op::done("DescribeClusters", "…", |cx, input| read(cx, input, cluster::describe)),
//! ];
//! pub static SERVICE: Service = Service::json("ecs", "AmazonEC2ContainerServiceV20141113", include_bytes!("model.json.gz"), OPS);
//! ```
//! 3. The error enum implements [`ApiError`] (code, status, message; it is a `std::error::Error` too). A 5xx is logged with its
//!    chain and the client sees the message.
//!
//! # An operation
//! `async fn create(cx: &Context, input: CreateClusterIn) -> Result<CreateClusterOut, EcsError>` with [`json`], or the same
//! without `async` and [`read`] when it only reads the store (cheaper: no boxed state). Both work for JSON and
//! query/XML services alike. `input` is any `Deserialize` struct with the model's member names; nulls are gone, types,
//! required members, lengths, ranges, patterns and enums have been checked, unknown members are to be ignored (no
//! `deny_unknown_fields`). The reply is any `Serialize` struct: absent means `skip_serializing_if`, **never null**;
//! timestamps are `Timestamp::epoch_seconds` numbers; blobs base64 text. With debug assertions and `--dev` replies are
//! checked against the model and a breach is answered 500.
//! A member of this name that the table lacks is answered `UnsupportedOperationException`, so leave out what is not there.
//!
//! # Raw handlers
//! `oci::handle(cx: RawContext, request: Request) -> Response` and the like get streams; see [`http`].

pub mod autoscaling;
pub mod aws;
pub mod cove;
pub mod ec2;
pub mod ecr;
pub mod ecs;
pub mod events;
pub mod http;
pub mod iam;
pub mod logs;
pub mod metadata;
pub mod monitoring;
pub mod oci;
pub mod secretsmanager;
pub mod sts;
mod terminal;

pub use aws::context::{Caller, CallerKind, Context, Origin};
pub use aws::coverage::{Coverage, State, ops};
pub use aws::credentials::Keys;
pub use aws::fault::{ApiError, Fault};
pub use aws::service::{Input, Op, Service, Status, json, read};
pub use http::server::{Deps, ListenerKind, Server, ServerConfig};
pub use http::settings::Settings;
pub use http::{Body, RawContext, Request, Response};

/// Every AWS service that this version knows, in the order of `cove ops`.
pub static SERVICES: &[&Service] = &[
    &ecs::SERVICE,
    &ecr::SERVICE,
    &logs::SERVICE,
    &sts::SERVICE,
    &iam::SERVICE,
    &monitoring::SERVICE,
    &events::SERVICE,
    &secretsmanager::SERVICE,
    &ec2::SERVICE,
    &autoscaling::SERVICE,
];
