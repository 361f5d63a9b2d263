//! EventBridge behind its API: which event is for which target, when schedules are due, and getting it there.
//!
//! ```text
//! events (store) ──▶ route ──┐                              ┌──▶ log group, RunTask   (Targets: the API carries them out)
//! schedules ───────▶ tick ───┴▶ deliveries (store) ▶ deliver ┴──▶ HTTP endpoints that the operator named
//! ```
//!
//! Holds: an event or a due schedule and the deliveries that follow from it are never half there: one transaction writes
//! deliveries and how far was looked. Each delivery is carried out at least once, or is dead and says why.
//! Why a crate: patterns, schedules and inputs are pure and the API checks requests by them; the loops run beside it.

mod deliver;
mod endpoint;
pub mod input;
pub mod pattern;
mod route;
pub mod schedule;
pub mod target;
mod tick;

pub use deliver::{Carried, Failure, Port, deliver_for_ever};
pub use endpoint::{BadEndpoint, Endpoint, Endpoints};
pub use route::{BACKLOG_MAX, bury_for_full_targets, deliveries, route_for_ever};
pub use tick::tick_for_ever;
