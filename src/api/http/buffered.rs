//! The memory that bodies may take while they are read and answered, over all requests.
//!
//! Holds: a request that would go beyond it waits a little, then is told to come again; one that is being answered gives
//! its share back when its answer is there. No peer has more than half of it, so that one that is slow, or means ill,
//! keeps nobody else waiting; clients on the host itself are all one peer, and may have it all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Beside streamed bodies, which are not kept: a dozen of the largest requests at once.
pub(crate) const BUFFERED_BYTES_MAX: usize = 64 << 20;
const PEER_BYTES_MAX: usize = BUFFERED_BYTES_MAX / 2;
/// SDKs try again by themselves after this; longer would only keep connections.
const WAIT: Duration = Duration::from_secs(10);

/// Shares of it.
#[derive(Clone)]
pub(crate) struct Buffered {
    all: Arc<Semaphore>,
    peers: Arc<Mutex<HashMap<IpAddr, Weak<Semaphore>>>>,
}

/// One share; given back when dropped.
pub(crate) struct Share {
    _of_peer: Option<OwnedSemaphorePermit>,
    _of_all: OwnedSemaphorePermit,
}

impl Default for Buffered {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(BUFFERED_BYTES_MAX)), peers: Arc::default() }
    }
}

impl Buffered {
    /// A share of so many bytes; `None` when none came free in time.
    pub(crate) async fn share(&self, peer: IpAddr, bytes: usize) -> Option<Share> {
        tokio::time::timeout(WAIT, self.wait(peer.to_canonical(), bytes)).await.ok()?
    }

    /// The peer's own first: who waits for that stands in nobody's way.
    async fn wait(&self, peer: IpAddr, bytes: usize) -> Option<Share> {
        let permits = |bytes: usize| u32::try_from(bytes).ok();
        let of_peer = if peer.is_loopback() {
            None
        } else {
            Some(self.of(peer).acquire_many_owned(permits(bytes.min(PEER_BYTES_MAX))?).await.ok()?)
        };
        let all = Arc::clone(&self.all).acquire_many_owned(permits(bytes.min(BUFFERED_BYTES_MAX))?);
        Some(Share { _of_peer: of_peer, _of_all: all.await.ok()? })
    }

    fn of(&self, peer: IpAddr) -> Arc<Semaphore> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = peers.get(&peer).and_then(Weak::upgrade) {
            return known;
        }
        // Those that are gone; who is there is bounded by the connections.
        peers.retain(|_, shares| shares.strong_count() > 0);
        let fresh = Arc::new(Semaphore::new(PEER_BYTES_MAX));
        peers.insert(peer, Arc::downgrade(&fresh));
        fresh
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_room_in_time_is_told_and_later_ones_find_it() {
        let buffered = Buffered::default();
        let held = buffered.share(HERE, BUFFERED_BYTES_MAX).await;
        assert!(held.is_some() && buffered.share(HERE, 1).await.is_none());
        drop(held);
        assert!(buffered.share(HERE, 1).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_all_it_can_leaves_the_others_their_part() {
        let (buffered, greedy) = (Buffered::default(), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
        let mut held = Vec::new();
        for _ in 0..8 {
            held.push(buffered.share(greedy, 4 << 20).await.expect("its half"));
        }
        let more = tokio::spawn({
            let buffered = buffered.clone();
            async move { buffered.share(greedy, 1).await.is_some() }
        });
        for peer in [HERE, IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2))] {
            assert!(buffered.share(peer, PEER_BYTES_MAX).await.is_some(), "{peer}");
        }
        assert!(!more.await.unwrap());
        drop(held);
        assert!(buffered.share(greedy, 1).await.is_some());
        buffered.of(HERE);
        assert_eq!(buffered.peers.lock().unwrap().len(), 1, "those that are gone are forgotten");
    }
}
