//! The endpoint by which a task looks at its own protection from scaling in and changes it, as ECS's agent has it.
//!
//! ```text
//! GET, PUT $ECS_AGENT_URI/task-protection/v1/state
//! ```
//!
//! In: who asks, the path and the body of a PUT. Out: `protection`, `failure` or `error`, in the agent's words.
//!
//! Holds: the agent calls GetTaskProtection and UpdateTaskProtection with the credentials of the task's role, so a task
//! without one is refused; that role may call both, since what roles may do is not limited by this version. The code is
//! that of the two operations: a change is durable before it is answered.

use std::net::IpAddr;

use cove_base::Timestamp;
use cove_model::task::Task;
use serde_json::{Map, Value, json};

use super::{Metadata, Reply, Router, container_of};
use crate::{ApiError, ecs};

/// Two members.
pub(crate) const BODY_MAX_BYTES: usize = 4 << 10;
const PATH_END: &str = "/task-protection/v1/state";

/// What is asked of the endpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask<'a> {
    Look,
    /// With the body of the request.
    Change(&'a [u8]),
}

/// A request as its answer shows it, and when it came.
pub(crate) struct Asked<'a> {
    pub(crate) ask: Ask<'a>,
    pub(crate) request_id: &'a str,
    pub(crate) now: Timestamp,
}

impl Metadata {
    /// Whether the path is this endpoint's, of a task in whatever network.
    pub(crate) fn is_protection(path: &str) -> bool {
        path.trim_end_matches('/').ends_with(PATH_END)
    }

    /// Answers a task that its address names.
    pub(crate) async fn protection(&self, router: &Router, peer: IpAddr, path: &str, asked: Asked<'_>) -> Reply {
        let task = match peer.to_canonical() {
            IpAddr::V4(peer) => self.caller(router, peer),
            IpAddr::V6(_) => None,
        };
        self.protection_of(task.as_deref(), path, asked).await
    }

    /// Answers a task in host mode.
    pub(crate) async fn protection_host_mode(&self, peer: IpAddr, path: &str, asked: Asked<'_>) -> Reply {
        let Some((task, rest)) = self.host_mode_caller(peer, path) else {
            return Reply::not_found("404 page not found");
        };
        self.protection_of(Some(&task), rest, asked).await
    }

    async fn protection_of(&self, task: Option<&Task>, path: &str, asked: Asked<'_>) -> Reply {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let ["api", id, "task-protection", "v1", "state"] = parts[..] else {
            return Reply::not_found("404 page not found");
        };
        let wish = match asked.ask {
            Ask::Look => None,
            Ask::Change(body) => match Wish::read(body) {
                Some(wish) => Some(wish),
                None => return refused(400, None, INVALID, "UpdateTaskProtection: failed to decode request"),
            },
        };
        let Some(task) = task.filter(|task| container_of(task, id).is_some()) else {
            return refused(404, None, "ResourceNotFoundException", "Failed to find a task for the request");
        };
        let changes = match wish {
            None => None,
            Some(Wish { enabled: Some(enabled), minutes }) => Some((enabled, minutes)),
            Some(Wish { enabled: None, .. }) => {
                let why = "Invalid request: does not contain 'ProtectionEnabled' field";
                return refused(400, Some(task), INVALID, why);
            }
        };
        if task.task_role.is_none() {
            let why = "Invalid Request: no task IAM role credentials available for task";
            return refused(403, Some(task), "AccessDeniedException", why);
        }
        let done = match changes {
            None => ecs::own_protection(&self.store, task, asked.now),
            Some((enabled, minutes)) => ecs::protect_own(&self.store, task, enabled, minutes).await,
        };
        match done {
            Ok(out) => match (out.failures.into_iter().next(), out.protected_tasks.into_iter().next()) {
                (Some(it), _) => {
                    Reply::good(json!({"failure": {"Arn": it.arn, "Detail": it.detail, "Reason": it.reason}}))
                }
                (None, Some(it)) => Reply::good(json!({"protection": {
                    "ExpirationDate": it.expiration_date.map(Timestamp::rfc3339),
                    "ProtectionEnabled": it.protection_enabled,
                    "TaskArn": it.task_arn,
                }})),
                (None, None) => refused(500, Some(task), "ServerException", "Unexpected error occurred"),
            },
            Err(error) => {
                if error.status() >= 500 {
                    let error = cove_base::error::chain(&error);
                    tracing::error!(
                        request_id = asked.request_id,
                        task = task.id,
                        error,
                        "a task could not protect itself"
                    );
                }
                let mut reply = refused(error.status(), Some(task), error.code(), &error.message());
                reply.body["requestID"] = Value::from(asked.request_id);
                reply
            }
        }
    }
}

const INVALID: &str = "InvalidParameterException";

fn refused(status: u16, task: Option<&Task>, code: &str, message: &str) -> Reply {
    let mut error = json!({"Code": code, "Message": message});
    if let Some(task) = task {
        error["Arn"] = Value::from(task.arn());
    }
    Reply { status, body: json!({"error": error}) }
}

/// The body of a PUT.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    enabled: Option<bool>,
    minutes: Option<i32>,
}

impl Wish {
    /// As the agent reads it: letter case is of no account, null is as good as absent, other members are refused.
    /// Minutes beyond what the operation takes become one that it refuses, too.
    fn read(body: &[u8]) -> Option<Self> {
        let given: Option<Map<String, Value>> = serde_json::from_slice(body).ok()?;
        let mut wish = Self { enabled: None, minutes: None };
        for (name, value) in given.unwrap_or_default() {
            if name.eq_ignore_ascii_case("ProtectionEnabled") {
                wish.enabled = if value.is_null() { None } else { Some(value.as_bool()?) };
            } else if name.eq_ignore_ascii_case("ExpiresInMinutes") {
                let minutes = |value: i64| i32::try_from(value).unwrap_or(i32::MAX);
                wish.minutes = if value.is_null() { None } else { Some(minutes(value.as_i64()?)) };
            } else {
                return None;
            }
        }
        Some(wish)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_read_as_the_agent_reads_it() {
        let read = |body: &str| Wish::read(body.as_bytes());
        let wish = |enabled, minutes| Some(Wish { enabled, minutes });
        assert_eq!(read(r#"{"ProtectionEnabled":true,"ExpiresInMinutes":60}"#), wish(Some(true), Some(60)));
        assert_eq!(read(r#"{"protectionenabled":false,"ExpiresInMinutes":null}"#), wish(Some(false), None));
        assert_eq!(read("{}"), wish(None, None));
        assert_eq!(read("null"), wish(None, None));
        assert_eq!(read(r#"{"ExpiresInMinutes":4294967297}"#), wish(None, Some(i32::MAX)));
        for bad in ["", "[]", "{", r#"{"ProtectionEnabled":"true"}"#, r#"{"ExpiresInMinutes":1.5}"#, r#"{"Task":"x"}"#]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
