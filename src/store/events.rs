//! How many events are kept, and for how long.
//!
//! Holds: each command that emits events deletes more old ones than it adds, until no more than [`KEPT_MAX`] are there. What
//! no rule has looked at yet stays, up to [`UNROUTED_MAX`]: one command may stop ten thousand tasks.

use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::event::Event;
use cove_model::rule::Delivery;

use crate::key::Key;
use crate::record::Record;

/// A few MiB of memory: two kilobytes each.
const KEPT_MAX: usize = if cfg!(test) { 40 } else { 3000 };
/// When nobody passes events on, as long as the disk is full, they go all the same.
const UNROUTED_MAX: usize = 4 * KEPT_MAX;
/// Who looks back further keeps a log of its own.
const AGE_MAX_MILLIS: i64 = 7 * 86_400_000;
/// How many old ones a command looks at, and may delete, for each that it adds.
const TRIM_FACTOR: u64 = 4;
/// Large events, of up to a quarter of a megabyte each.
const LARGE_MAX: usize = 64;
/// Dead deliveries: enough to see what is wrong.
const DEAD_MAX: usize = 200;
/// Bits of an event's number that count within its command; the revision stands above them.
const WITHIN_COMMAND_BITS: u32 = 20;

/// Numbers grow with revisions, so that they need no counter of their own.
pub(crate) const fn number(revision: u64, within_command: u64) -> u64 {
    (revision << WITHIN_COMMAND_BITS) + within_command
}

/// How many of the oldest events a command looks at that emitted so many.
pub(crate) fn trimmed_at_once(emitted: u64) -> usize {
    usize::try_from(emitted.saturating_mul(TRIM_FACTOR)).unwrap_or(usize::MAX)
}

/// Which of the oldest events must go, of `there` altogether. `routed`: the number of the last that was passed on.
pub(crate) fn expired(oldest: &[Arc<Event>], there: usize, routed: u64, now: Timestamp) -> Vec<Key> {
    let (too_many, far_too_many) = (there.saturating_sub(KEPT_MAX), there.saturating_sub(UNROUTED_MAX));
    let is_old = |event: &Event| event.at.plus_millis(AGE_MAX_MILLIS) < now;
    let goes = |place: usize, event: &Event| {
        place < far_too_many || event.number <= routed && place < too_many || is_old(event)
    };
    let going = oldest.iter().enumerate().take_while(|(place, event)| goes(*place, event));
    going.map(|(_, event)| event.key()).collect()
}

/// Which of the large events must go; the oldest come first.
pub(crate) fn too_large(large: &[Arc<Event>]) -> Vec<Key> {
    large.iter().take(large.len().saturating_sub(LARGE_MAX)).map(|event| event.key()).collect()
}

/// Which of the dead deliveries must go; the oldest come first.
pub(crate) fn buried(dead: &[Arc<Delivery>]) -> Vec<Key> {
    dead.iter().take(dead.len().saturating_sub(DEAD_MAX)).map(|delivery| delivery.key()).collect()
}

#[cfg(test)]
mod tests {
    use cove_base::paths::DataDir;
    use cove_model::event::NewEvent;
    use cove_model::rule::Routed;

    use super::*;
    use crate::tests::{open, tenant};
    use crate::{Prefix, Read, StoreError};

    fn event(source: &str, at: i64) -> NewEvent {
        NewEvent {
            tenant: tenant(),
            id: None,
            bus: "default".into(),
            source: source.into(),
            detail_type: "t".into(),
            at: Timestamp(at),
            resources: Vec::new(),
            detail: "{}".into(),
            is_routed: false,
        }
    }

    #[tokio::test]
    async fn the_newest_events_are_kept_in_order_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&DataDir::new(dir.path())).unwrap();
        for first in (0..3 * KEPT_MAX).step_by(10) {
            let emit = move |tx: &mut crate::Tx<'_>| {
                for number in first..first + 10 {
                    tx.emit(event(&number.to_string(), 7));
                }
                Ok::<_, StoreError>(())
            };
            store.write(emit).await.unwrap();
        }
        let kept = store.read(|view| view.scan::<Event>(&Prefix::all()));
        let sources: Vec<usize> = kept.iter().map(|event| event.source.parse().unwrap()).collect();
        assert_eq!(sources, (0..3 * KEPT_MAX).collect::<Vec<_>>(), "nobody has looked at them");
        let newest = kept.last().unwrap().number;
        let look = move |tx: &mut crate::Tx<'_>| {
            tx.put(Routed { number: newest });
            (0..KEPT_MAX).for_each(|number| drop(tx.emit(event(&(3 * KEPT_MAX + number).to_string(), 7))));
            Ok::<_, StoreError>(())
        };
        store.write(look).await.unwrap();
        let kept = store.read(|view| view.scan::<Event>(&Prefix::all()));
        let sources: Vec<usize> = kept.iter().map(|event| event.source.parse().unwrap()).collect();
        assert_eq!(sources, (3 * KEPT_MAX..4 * KEPT_MAX).collect::<Vec<_>>());
        store.close().await;
    }

    #[test]
    fn what_nobody_passes_on_goes_when_there_is_far_too_much() {
        let all: Vec<Arc<Event>> = (1..=2 + UNROUTED_MAX as u64)
            .map(|number| Arc::new(event("s", 7).numbered(String::new(), number)))
            .collect();
        let going = |routed| expired(&all, all.len(), routed, Timestamp(7)).len();
        assert_eq!((going(0), going(5), going(u64::MAX)), (2, 5, all.len() - KEPT_MAX));
    }

    #[tokio::test]
    async fn few_large_events_are_kept_and_they_push_no_small_ones_out() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&DataDir::new(dir.path())).unwrap();
        let detail = format!("{{\"a\":\"{}\"}}", "x".repeat(9000));
        for number in 0..LARGE_MAX + 3 {
            let large = NewEvent { detail: detail.clone(), ..event(&number.to_string(), 7) };
            let emit = move |tx: &mut crate::Tx<'_>| {
                tx.emit(large);
                Ok::<_, StoreError>(())
            };
            store.write(emit).await.unwrap();
        }
        let kept = store.read(|view| view.live::<Event>(&Prefix::all()));
        assert_eq!(kept.len(), LARGE_MAX);
        assert_eq!(kept.last().map(|event| event.source.clone()), Some((LARGE_MAX + 2).to_string()));
        store.close().await;
    }

    #[test]
    fn old_events_go_even_when_they_are_few() {
        let kept = |number: u64, at: i64| Arc::new(event("s", at).numbered(String::new(), number));
        let going = expired(&[kept(1, 0), kept(2, 10)], 2, 0, Timestamp(AGE_MAX_MILLIS + 5));
        assert_eq!(going, [crate::keys::event(1)]);
        assert_eq!(expired(&[kept(1, 0)], 1, 0, Timestamp(AGE_MAX_MILLIS)), []);
    }
}
