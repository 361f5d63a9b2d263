//! The memory that bodies may take while they are read and answered, over all requests.
//!
//! Holds: a request that would go beyond it waits a little, then is told to come again; one that is being answered gives
//! its share back when its answer is there.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Beside streamed bodies, which are not kept: a dozen of the largest requests at once.
pub(crate) const BUFFERED_BYTES_MAX: usize = 64 << 20;
/// SDKs try again by themselves after this; longer would only keep connections.
const WAIT: Duration = Duration::from_secs(10);

/// Shares of it.
#[derive(Clone)]
pub(crate) struct Buffered(Arc<Semaphore>);

impl Default for Buffered {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BUFFERED_BYTES_MAX)))
    }
}

impl Buffered {
    /// A share of so many bytes; `None` when none came free in time.
    pub(crate) async fn share(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.min(BUFFERED_BYTES_MAX)).ok()?;
        tokio::time::timeout(WAIT, Arc::clone(&self.0).acquire_many_owned(bytes)).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_room_in_time_is_told_and_later_ones_find_it() {
        let buffered = Buffered::default();
        let held = buffered.share(BUFFERED_BYTES_MAX).await;
        assert!(held.is_some() && buffered.share(1).await.is_none());
        drop(held);
        assert!(buffered.share(1).await.is_some());
    }
}
