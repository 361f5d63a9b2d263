//! What can go wrong in the network, one variant per thing that was tried.

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// Why the network could not be had.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("kernel refused to {attempt}")]
    Kernel {
        attempt: String,
        #[source]
        source: io::Error,
    },
    #[error("the kernel lacks {feature}: load its module with `modprobe {module}`")]
    Missing {
        feature: &'static str,
        module: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("cannot {attempt} `{}`", path.display())]
    File {
        attempt: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot {attempt}")]
    System {
        attempt: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("host port {port}/{protocol} is already taken by another task of this node", protocol = if *udp { "udp" } else { "tcp" })]
    PortTaken { port: u16, udp: bool },
    #[error("`{name}` cannot name a task or a network: 1 to 64 letters, digits, hyphens and underscores")]
    BadName { name: String },
    #[error("address {address} is not usable for a task in {range}")]
    BadAddress { address: Ipv4Addr, range: String },
    #[error("range {range} cannot be a network of tasks: /8 to /28")]
    BadRange { range: String },
    #[error("network `{network}` exists with range {have}, not {want}")]
    RangeChanged { network: String, have: String, want: String },
    #[error("address {address} belongs to task `{owner}` already")]
    AddressTaken { address: Ipv4Addr, owner: String },
    #[error("task `{task}` is attached with other addresses or ports already")]
    AttachedDifferently { task: String },
    #[error("another call is at work on task `{task}`")]
    Busy { task: String },
    #[error("network `{network}` is not up")]
    NotUp { network: String },
    #[error("the sockets of network `{network}` are open already")]
    ListenersOpen { network: String },
    #[error(
        "no free pair of addresses is left in the transit range {range}; is it routed elsewhere? choose another one in the configuration"
    )]
    TransitRangeFull { range: String },
    #[error("another server runs as node `{node}` in this network namespace; give this one another --node name")]
    NodeInUse { node: String },
    /// Teardown goes on after a failure; this is all of them.
    #[error("{} steps of the teardown failed, the first: {}", .0.len(), .0.first().map(|first| cove_base::error::chain(first)).unwrap_or_default())]
    Teardown(Vec<NetworkError>),
}
