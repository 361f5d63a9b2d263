//! Fires rules with a schedule.
//!
//! Woken by a timer or a changed rule, it takes no hint, looks which times have come, and writes their deliveries in one
//! transaction with the time that was dealt with.
//!
//! Holds: a time fires once, also across a crash. A time that was missed because the server was not there fires when it is
//! not older than [`GRACE_MILLIS`]; EventBridge too promises a minute, and never makes up for what was missed.

use std::sync::Arc;
use std::time::Duration;

use cove_base::ids::uuid;
use cove_base::{Clock, Timestamp};
use cove_model::event::Event;
use cove_model::rule::Rule;
use cove_store::{Prefix, Read, Record, Store, StoreError, Tx};

use crate::route::delivery;
use crate::schedule::Schedule;

/// How late a time may fire.
const GRACE_MILLIS: i64 = 60_000;
/// The longest sleep: a host that was suspended, or whose clock was set, is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// The pause after a write that failed.
const RETRY: Duration = Duration::from_secs(1);

/// Runs until the store is closed.
pub async fn tick_for_ever(store: Store, clock: Clock) {
    let mut rules = store.watch::<Rule>();
    loop {
        rules.mark_unchanged();
        let now = clock.now();
        let all = store.read(|view| view.scan::<Rule>(&Prefix::all()));
        let due: Vec<(Arc<Rule>, Timestamp)> = all
            .iter()
            .filter_map(|rule| Some((Arc::clone(rule), next(rule, now)?)))
            .filter(|(_, at)| *at <= now)
            .collect();
        let mut sleep = SLEEP_MAX;
        if due.is_empty() {
            if let Some(next) = all.iter().filter_map(|rule| next(rule, now)).min() {
                let millis = u64::try_from(next.millis() - now.millis()).unwrap_or(0);
                sleep = sleep.min(Duration::from_millis(millis));
            }
        } else {
            match store.write(move |tx| fire(tx, &due)).await {
                Ok(()) => continue,
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::warn!(error = cove_base::error::chain(&error), "schedules wait until the store can write");
                    sleep = RETRY;
                }
            }
        }
        tokio::select! {
            result = rules.changed() => if result.is_err() { return },
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// The next time of the rule that is to fire, now or later.
fn next(rule: &Rule, now: Timestamp) -> Option<Timestamp> {
    let schedule = Schedule::parse(rule.schedule.as_deref()?).ok().filter(|_| rule.is_enabled)?;
    let dealt_with = rule.fired_at.unwrap_or(rule.counts_from).max(rule.counts_from);
    schedule.next(rule.counts_from, dealt_with.max(now.plus_millis(-GRACE_MILLIS)))
}

fn fire(tx: &mut Tx<'_>, due: &[(Arc<Rule>, Timestamp)]) -> Result<(), StoreError> {
    for (seen, at) in due {
        let Some(rule) = tx.get::<Rule>(&seen.key()).filter(|rule| **rule == **seen) else { continue };
        let event = scheduled(&rule, *at).document();
        let now = tx.now();
        for target in &rule.targets {
            tx.put_delivery(delivery(&rule, target, &event, now));
        }
        tx.put(Rule { fired_at: Some(*at), ..(*rule).clone() });
    }
    Ok(())
}

/// The event of a schedule: it is for the rule's targets alone, and is not put on the bus.
fn scheduled(rule: &Rule, at: Timestamp) -> Event {
    Event {
        tenant: rule.tenant.clone(),
        number: 0,
        id: uuid(),
        bus: rule.bus.clone(),
        source: "aws.events".to_owned(),
        detail_type: "Scheduled Event".to_owned(),
        at,
        resources: vec![rule.arn()],
        detail: "{}".to_owned(),
        is_routed: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::tests::rule;

    #[test]
    fn a_missed_time_fires_within_a_minute_and_not_later() {
        let mut rule = rule("r", None, Some("rate(5 minutes)"));
        let minute = |minute: i64, second: i64| Timestamp(minute * 60_000 + second * 1000);
        assert_eq!(next(&rule, minute(0, 0)), Some(minute(5, 0)));
        assert_eq!(next(&rule, minute(5, 59)), Some(minute(5, 0)), "the server was away for a moment");
        assert_eq!(next(&rule, minute(7, 0)), Some(minute(10, 0)), "it was away for too long");
        rule.fired_at = Some(minute(5, 0));
        assert_eq!(next(&rule, minute(5, 1)), Some(minute(10, 0)), "never twice");
        rule.is_enabled = false;
        assert_eq!(next(&rule, minute(9, 0)), None);
        rule.is_enabled = true;
        rule.counts_from = minute(9, 30);
        assert_eq!(next(&rule, minute(9, 40)), Some(minute(14, 30)), "a rule counts from when it was enabled");
    }
}
