//! Connections of each peer: no task may take those of the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Of one task: SDKs keep a few, a task of ten containers some dozen.
pub(crate) const PEER_CONNECTIONS_MAX: usize = 64;

/// Open connections by address.
#[derive(Clone, Default)]
pub(crate) struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection that counts; no more when dropped.
pub(crate) struct Counted {
    peers: Peers,
    address: IpAddr,
}

impl Peers {
    /// `None` when the peer has all that it may have.
    pub(crate) fn admit(&self, address: IpAddr) -> Option<Counted> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= PEER_CONNECTIONS_MAX {
            return None;
        }
        *count += 1;
        Some(Counted { peers: self.clone(), address })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.peers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_with_all_its_connections_waits_and_others_do_not() {
        let (peers, greedy, other) = (Peers::default(), "10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let mut open: Vec<_> = (0..PEER_CONNECTIONS_MAX).map(|_| peers.admit(greedy).unwrap()).collect();
        assert!(peers.admit(greedy).is_none() && peers.admit(other).is_some());
        open.pop();
        assert!(peers.admit(greedy).is_some());
        drop(open);
        assert!(peers.0.lock().unwrap().is_empty());
    }
}
