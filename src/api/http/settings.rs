//! What handlers need to know about how this server was started.

use std::net::IpAddr;
use std::sync::Arc;

use cove_events::Endpoints;
use cove_scheduler::HostFacts;
use cove_scheduler::deploy::Timing;

use crate::aws::credentials::Keys;

/// Chosen at start, never changed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node's name.
    pub node: String,
    /// Any credentials are accepted.
    pub dev: bool,
    /// Peers beyond loopback for which `dev` counts; loopback and task networks always do.
    pub dev_allow: Vec<Network>,
    /// The region of unsigned requests with `dev`, and of `cove env`.
    pub region: String,
    /// `HOST:PORT` under which clients reach the registry: the first part of `repositoryUri`.
    pub registry_host: String,
    /// Whether they speak TLS there.
    pub registry_tls: bool,
    /// Names beside addresses of this host and `localhost` that a `Host` header may carry.
    pub host_names: Vec<String>,
    /// How patient the service scheduler is.
    pub timing: Timing,
    pub keys: Keys,
    /// What RunTask places tasks by.
    pub host: Arc<HostFacts>,
    /// Where rules may send events.
    pub event_endpoints: Endpoints,
}

impl Settings {
    /// Where clients reach the registry.
    #[must_use]
    pub fn registry_url(&self) -> String {
        let scheme = if self.registry_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.registry_host)
    }
}

/// An address range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    pub address: IpAddr,
    pub prefix_bits: u8,
}

impl Network {
    /// `ADDR` or `ADDR/BITS`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = bits.map_or(Some(longest), |bits| bits.parse().ok())?;
        (prefix_bits <= longest).then_some(Self { address, prefix_bits })
    }

    /// Whether the address lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.prefix_bits);
                u32::from(own).checked_shr(shift) == u32::from(other).checked_shr(shift)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.prefix_bits);
                u128::from(own).checked_shr(shift) == u128::from(other).checked_shr(shift)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl Settings {
    /// Whether credentials of this peer are not checked.
    #[must_use]
    pub fn dev_for(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.dev && (peer.is_loopback() || self.dev_allow.iter().any(|network| network.contains(peer)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let network = Network::parse("192.168.4.0/22").unwrap();
        assert!(network.contains("192.168.7.255".parse().unwrap()));
        assert!(!network.contains("192.168.8.0".parse().unwrap()));
        assert!(Network::parse("0.0.0.0/0").unwrap().contains("8.8.8.8".parse().unwrap()));
        assert!(Network::parse("10.0.0.1").unwrap().contains("::ffff:10.0.0.1".parse().unwrap()));
        assert_eq!(Network::parse("10.0.0.0/33"), None);
    }
}
