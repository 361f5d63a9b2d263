//! What a task asks about itself on 169.254.170.2: metadata, statistics, credentials of its role, faults in its network,
//! its protection from scaling in.
//!
//! In: the network that a request came from, the peer's address, a path. Out: JSON as the ECS agent writes it.
//!
//! Holds: who asks is known by its address inside its network, which the router's rules keep honest; nobody reads
//! metadata or credentials of another task, whatever id the path names. Tasks in host mode have no address of their own:
//! [`host_mode`] says how they ask.

mod container;
mod credentials;
mod dns;
mod fault;
pub mod host_mode;
mod protection;
mod stats;
mod task;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::task::{Container, Task, TaskNetwork};
use cove_store::{Prefix, Read, Store};
use serde_json::Value;

use crate::cove::ExecPort;

pub(crate) use fault::BODY_MAX_BYTES as FAULT_BODY_MAX_BYTES;
pub(crate) use protection::{Ask, Asked, BODY_MAX_BYTES as PROTECTION_BODY_MAX_BYTES};

pub use dns::{DnsServer, serve as serve_dns};
pub use stats::Sample;

/// The router that a request came through.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Router {
    Bridge,
    /// A VPC by its id.
    Vpc(String),
}

/// What the endpoint needs.
pub struct Metadata {
    pub store: Store,
    /// From which role credentials are derived.
    pub node_secret: Vec<u8>,
    pub stats: Option<Arc<dyn ExecPort>>,
    pub(crate) throttle: fault::Throttle,
}

/// An answer: status and JSON body.
#[derive(Debug, PartialEq)]
pub struct Reply {
    pub status: u16,
    pub body: Value,
}

impl Reply {
    pub(crate) const fn good(body: Value) -> Self {
        Self { status: 200, body }
    }

    fn not_found(what: &str) -> Self {
        Self { status: 404, body: Value::from(what) }
    }
}

impl Metadata {
    /// Whether the path is one of the agent's; the rest of this address is the AWS API.
    #[must_use]
    pub fn serves(path: &str) -> bool {
        let versions = ["/v2/metadata", "/v2/stats", "/v2/credentials", "/v3/", "/v4/", "/api/"];
        versions.iter().any(|prefix| path.starts_with(prefix))
    }

    /// Answers a GET. `now` dates credentials.
    #[must_use]
    pub fn answer(&self, router: &Router, peer: IpAddr, path: &str, now: Timestamp) -> Reply {
        let IpAddr::V4(peer) = peer.to_canonical() else { return unknown_caller() };
        let Some(task) = self.caller(router, peer) else { return unknown_caller() };
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        self.of_task(&task, &parts, now)
    }

    /// Answers a task about itself.
    fn of_task(&self, task: &Task, parts: &[&str], now: Timestamp) -> Reply {
        match *parts {
            ["v2", "credentials", id] => credentials::answer(task, id, &self.node_secret, now),
            ["v2", "metadata"] => Reply::good(self.task_document(task, task::Version::V2)),
            ["v2", "metadata", id] => self.with_container(task, id, |container| {
                Reply::good(container::document(&self.store, task, container, container::Version::V3))
            }),
            ["v2", "stats"] => self.all_stats(task),
            ["v2", "stats", id] => self.with_container(task, id, |container| self.stats_of(task, container)),
            ["v3" | "v4", id, ref rest @ ..] => {
                let v4 = parts[0] == "v4";
                self.with_container(task, id, |container| self.versioned(task, container, v4, rest))
            }
            _ => Reply::not_found("404 page not found"),
        }
    }

    fn versioned(&self, task: &Task, container: &Container, v4: bool, rest: &[&str]) -> Reply {
        let (task_version, container_version) =
            if v4 { (task::Version::V4, container::Version::V4) } else { (task::Version::V3, container::Version::V3) };
        match rest {
            [] => Reply::good(container::document(&self.store, task, container, container_version)),
            ["task"] => Reply::good(self.task_document(task, task_version)),
            ["taskWithTags"] => {
                let mut body = self.task_document(task, task_version);
                let tags = task.tags.iter().map(|tag| (tag.key.clone(), Value::from(tag.value.clone())));
                body["TaskTags"] = Value::Object(tags.collect());
                Reply::good(body)
            }
            ["stats"] => self.stats_of(task, container),
            ["task", "stats"] => self.all_stats(task),
            _ => Reply::not_found("404 page not found"),
        }
    }

    /// The live task with that address in that network.
    fn caller(&self, router: &Router, peer: Ipv4Addr) -> Option<Arc<Task>> {
        let tasks = self.store.read(|view| view.live::<Task>(&Prefix::all()));
        tasks.into_iter().find(|task| match (&task.network, router) {
            (TaskNetwork::Bridge { address }, Router::Bridge) => *address == peer,
            (TaskNetwork::Awsvpc(eni), Router::Vpc(vpc)) => eni.vpc_id == *vpc && eni.address == peer,
            (TaskNetwork::Bridge { .. }, Router::Vpc(_))
            | (TaskNetwork::Awsvpc(_), Router::Bridge)
            | (TaskNetwork::None | TaskNetwork::Host, _) => false,
        })
    }

    fn with_container(&self, task: &Task, id: &str, answer: impl FnOnce(&Container) -> Reply) -> Reply {
        match container_of(task, id) {
            Some(container) => answer(container),
            None => Reply { status: 404, body: Value::from(format!("unable to get container ID for request: {id}")) },
        }
    }

    fn task_document(&self, task: &Task, version: task::Version) -> Value {
        task::document(&self.store, task, version)
    }

    fn stats_of(&self, task: &Task, container: &Container) -> Reply {
        Reply::good(stats::document(self.stats.as_deref(), task, container))
    }

    /// One container without numbers does not fail the others.
    fn all_stats(&self, task: &Task) -> Reply {
        let all = task
            .containers
            .iter()
            .map(|container| (container.runtime_id(&task.id), stats::document(self.stats.as_deref(), task, container)));
        Reply::good(Value::Object(all.collect()))
    }
}

/// The container that an id in a path means.
fn container_of<'a>(task: &'a Task, id: &str) -> Option<&'a Container> {
    task.containers.iter().find(|container| container.id == id || container.runtime_id(&task.id) == id)
}

fn unknown_caller() -> Reply {
    Reply { status: 400, body: Value::from("unable to get task of this address") }
}

#[cfg(test)]
mod tests;
