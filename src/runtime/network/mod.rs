//! Networks of tasks: a router namespace per VPC and one for bridge mode, made with our own netlink.
//!
//! In: [`NetworkConfig`], [`Attachment`]s. Out: pinned network namespaces, sockets inside the routers.
//!
//! Holds: everything in the kernel carries the node's name or hash, and nothing else is ever touched. Each call is
//! idempotent; a `kill -9` between any two steps leaves only what the next [`Networks::open`] adopts or removes.
//! All calls block for milliseconds at most and may come from any thread.
#![doc = include_str!("DESIGN.md")]

mod doctor;
mod error;
mod fault;
mod host;
mod host_table;
mod inventory;
mod lease;
mod names;
mod namespace;
mod netlink;
mod networks;
mod outcome;
mod router;
mod router_table;
mod state;
mod system;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use cove_base::paths::{NodeName, RunDir};
use cove_model::network::Cidr;
use serde::{Deserialize, Serialize};

pub use doctor::doctor;
pub use error::NetworkError;
pub use networks::{Networks, loopback_only};

/// What a node's networks are made from.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    pub node: NodeName,
    pub run_dir: RunDir,
    /// Pairs of addresses between host and routers come from here; see [`DEFAULT_TRANSIT_RANGE`].
    pub transit_range: Cidr,
}

/// 198.19.0.0/16: Tailscale, Docker, Kubernetes and proxies own the other usual ranges.
pub const DEFAULT_TRANSIT_RANGE: Cidr = Cidr { address: Ipv4Addr::new(198, 19, 0, 0), prefix: 16 };
/// The range of bridge mode, as Docker's default; in a namespace of its own, so it collides with nothing.
pub const BRIDGE_RANGE: Cidr = Cidr { address: Ipv4Addr::new(172, 17, 0, 0), prefix: 16 };

/// Where metadata, credentials and the API are served inside a router, on port 80.
pub const METADATA_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);
/// Where names are answered inside a router, on port 53.
pub const DNS_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);

/// One network: a VPC by its id, or the node's bridge-mode network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NetworkId {
    Vpc(String),
    Bridge,
}

/// A published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMap {
    pub udp: bool,
    pub host_port: u16,
    pub container_port: u16,
}

/// A task's place in a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub task_id: String,
    pub network: NetworkId,
    /// The range of the whole network (the VPC's, not the subnet's). Its address at offset 1 is the gateway.
    pub cidr: Cidr,
    pub address: Ipv4Addr,
    pub mac: [u8; 6],
    /// Members of a common group reach each other. In bridge mode all tasks do.
    pub security_groups: Vec<String>,
    pub ports: Vec<PortMap>,
}

/// The sockets inside a router, nonblocking and close-on-exec. When the router is removed (its last task left), they
/// are shut down: `accept` fails with `InvalidInput` from then on, and the UDP socket is readable for ever with its read
/// side closed (a receive says only `WouldBlock`). The sockets should be dropped then, as they keep the dead namespace. A
/// later task needs a fresh set. An empty datagram of a task is no such sign.
#[derive(Debug)]
pub struct RouterListeners {
    /// 169.254.170.2:80
    pub http: TcpListener,
    /// 169.254.169.253:53
    pub dns: UdpSocket,
    /// 169.254.169.253:53
    pub dns_tcp: TcpListener,
}

/// How grave a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Good,
    Warning,
    Failure,
}

/// What [`doctor`] saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    pub text: String,
}
