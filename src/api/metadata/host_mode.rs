//! The endpoint of a task in host mode: on the public listener, below a path that only the task knows.
//!
//! ```text
//! http://127.0.0.1:PORT/_cove/task/TASK/SECRET/v4/CONTAINER/task      metadata: whoever knows the path
//!                                             /api/CONTAINER/task-protection/v1/state   likewise
//!                                             /v2/credentials/ID      credentials: and sends the token
//! ```
//!
//! Holds: nothing is answered to a peer beyond loopback, nor without the task's own secret, which is compared in constant
//! time and of which no other task's follows; every refusal but that of the token looks the same. Credentials need the
//! token besides, so a metadata URL that ends in a log gives none away. Web pages are kept out by the guard of every
//! listener, and would not know the path.
//! Why not 169.254.170.2: in the host's own network all such tasks have one address, so nothing but a secret can tell
//! them apart (on AWS it is the credentials' id); and an address on the host is one more thing that two servers would
//! fight over. SDKs take AWS_CONTAINER_CREDENTIALS_FULL_URI on loopback and send AWS_CONTAINER_AUTHORIZATION_TOKEN.
//! Why derived: the variables of a running container must be good after `kill -9`, without a write.

use std::net::IpAddr;
use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::task::{Task, TaskNetwork};
use cove_store::{Prefix, Read};
use serde_json::json;

use super::{Metadata, Reply};
use crate::aws::credentials::{keyed, same};

/// What all these paths begin with.
pub(crate) const PREFIX: &str = "/_cove/task/";

/// Where the endpoint of a task is, below the address of a listener.
#[must_use]
pub fn path(node_secret: &[u8], task_id: &str) -> String {
    format!("{PREFIX}{task_id}/{}", secret(node_secret, task_id))
}

/// What a request for credentials carries as its `Authorization`.
#[must_use]
pub fn token(node_secret: &[u8], task_id: &str) -> String {
    hex::encode(keyed(node_secret, &["host mode token", task_id]))
}

fn secret(node_secret: &[u8], task_id: &str) -> String {
    hex::encode(keyed(node_secret, &["host mode path", task_id]))
}

impl Metadata {
    /// Answers a GET below [`PREFIX`]. `now` dates credentials.
    pub(crate) fn answer_host_mode(
        &self,
        peer: IpAddr,
        path: &str,
        authorization: Option<&[u8]>,
        now: Timestamp,
    ) -> Reply {
        let Some((task, rest)) = self.host_mode_caller(peer, path) else {
            return Reply::not_found("404 page not found");
        };
        let authorized = || {
            let token = token(&self.node_secret, &task.id);
            authorization.is_some_and(|given| same(given, token.as_bytes()))
        };
        let parts: Vec<&str> = rest.trim_matches('/').split('/').collect();
        if parts.starts_with(&["v2", "credentials"]) && !authorized() {
            return Reply {
                status: 401,
                body: json!({"code": "NoAuthorization", "message": "send $AWS_CONTAINER_AUTHORIZATION_TOKEN as Authorization"}),
            };
        }
        self.of_task(&task, &parts, now)
    }

    /// The task that a path below [`PREFIX`] names with its secret, and the rest of the path.
    pub(super) fn host_mode_caller<'a>(&self, peer: IpAddr, path: &'a str) -> Option<(Arc<Task>, &'a str)> {
        let (id, rest) = path.strip_prefix(PREFIX)?.split_once('/')?;
        let (given, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let known = same(given.as_bytes(), secret(&self.node_secret, id).as_bytes());
        let task = self.host_mode_task(id).filter(|_| known && peer.to_canonical().is_loopback())?;
        Some((task, rest))
    }

    fn host_mode_task(&self, id: &str) -> Option<Arc<Task>> {
        let tasks = self.store.read(|view| view.live::<Task>(&Prefix::all()));
        tasks.into_iter().find(|task| task.id == id && task.network == TaskNetwork::Host && !task.placement.elsewhere)
    }
}
