//! Who is connected: one connection for each instance, the newest.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The connections of this server, by the instance's ARN.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    newest: Mutex<HashMap<String, Seat>>,
    next: AtomicU64,
}

/// A connection's place.
#[derive(Debug, Clone)]
pub(super) struct Seat {
    number: u64,
    /// Told when a newer connection takes the place.
    pub(super) replaced: Arc<Notify>,
}

impl Connections {
    /// Takes the instance's place from whoever has it.
    pub(super) fn enter(&self, arn: &str) -> Seat {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let seat = Seat { number, replaced: Arc::new(Notify::new()) };
        if let Some(before) = self.newest().insert(arn.to_owned(), seat.clone()) {
            before.replaced.notify_one();
        }
        seat
    }

    /// Gives the place up, unless a newer connection has it.
    pub(super) fn leave(&self, arn: &str, seat: &Seat) {
        let mut newest = self.newest();
        if newest.get(arn).is_some_and(|it| it.number == seat.number) {
            newest.remove(arn);
        }
    }

    /// Whether anybody is connected for the instance.
    pub(super) fn has(&self, arn: &str) -> bool {
        self.newest().contains_key(arn)
    }

    fn newest(&self) -> MutexGuard<'_, HashMap<String, Seat>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_connection_has_the_place_and_an_older_one_cannot_give_it_up() {
        let connections = Connections::default();
        let old = connections.enter("a");
        let new = connections.enter("a");
        old.replaced.notified().await;
        connections.leave("a", &old);
        assert!(connections.has("a") && !connections.has("b"));
        connections.leave("a", &new);
        assert!(!connections.has("a"));
    }
}
