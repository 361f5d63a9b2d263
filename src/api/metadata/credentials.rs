//! The credentials of a task's role.

use cove_base::Timestamp;
use cove_model::task::Task;
use serde_json::json;

use super::Reply;
use crate::aws::credentials;

/// The agent hands out credentials for six hours; ours stay valid as long as the task lives, and clients renew in time.
const VALID_MILLIS: i64 = 6 * 60 * 60 * 1000;

/// Only the task that owns the id gets an answer.
pub(super) fn answer(task: &Task, id: &str, node_secret: &[u8], now: Timestamp) -> Reply {
    let Some(role) = task.task_role.as_ref().filter(|role| role.credentials_id == id) else {
        return Reply {
            status: 400,
            body: json!({
                "code": "InvalidIdInRequest",
                "message": "CredentialsV2Request: Credentials not found",
                "HTTPErrorCode": 400,
            }),
        };
    };
    Reply::good(json!({
        "RoleArn": role.role_arn,
        "AccessKeyId": role.access_key_id,
        "SecretAccessKey": credentials::secret_of(node_secret, &role.access_key_id),
        "Token": credentials::session_token_of(node_secret, &role.access_key_id, &role.role_arn),
        "Expiration": now.plus_millis(VALID_MILLIS).rfc3339(),
    }))
}
