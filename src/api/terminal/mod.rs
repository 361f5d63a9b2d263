//! Terminal sessions in containers: the far end of ExecuteCommand, as the AWS CLI's session-manager-plugin speaks to it.
//!
//! ```text
//! ExecuteCommand ──▶ Sessions (id, token) ◀── GET /v1/data-channel/ID, upgrade to a web socket, token
//!                                                     │
//!             plugin ◀── messages, acknowledged ──▶ Channel ◀── bytes ──▶ pseudo terminal ◀──▶ command
//! ```
//!
//! Holds: a token opens one session, once and soon; sessions and what is buffered for each are bounded; when the client
//! goes away the command is killed. Why sessions are no records: the command dies with the connection, and the connection
//! with the server.
//! Absent: taking a session up again on another connection.

mod channel;
mod message;
mod record;
mod serve;
mod sessions;

pub(crate) use record::SessionLog;
pub(crate) use serve::{PREFIX, answer};
pub(crate) use sessions::{Sessions, Wanted};
