//! Agents of other hosts: the web sockets that unmodified ECS agents poll for work (ACS) and report measurements to (TCS).
//!
//! ```text
//! DiscoverPollEndpoint ─▶ GET /ws, upgrade ─▶ Channel ◀── live tasks of the instance, as the store has them
//!                                                │  ▲
//!                     payloads, manifest, ───────┘  └── acknowledgements            Submit…StateChange ─▶ ecs/report
//!                     heartbeats, credentials
//! ```
//!
//! In: signed upgrades of agents, changes of the store. Out: messages as amazon-ecs-agent's models have them, and what
//! they acknowledge as records.
//!
//! Holds: a channel takes no hint what changed: it compares the instance's live tasks with what its agent acknowledged.
//! So whatever was not acknowledged is said again, also by the next server; an agent knows a task by its ARN and starts it
//! once. One connection for each instance, the newest. An instance is connected only while a connection of this server's
//! life is there.
//! Absent: network interfaces (awsvpc), ExecuteCommand, packages to update agents to.

mod channel;
mod connections;
mod docker;
mod payload;
mod serve;
mod telemetry;

pub(crate) use connections::Connections;
pub(crate) use serve::answer;

/// Where agents get their work.
pub(crate) const WORK: &str = "/ws";
/// Where they report measurements.
pub(crate) const TELEMETRY: &str = "/telemetry/ws";
