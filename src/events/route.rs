//! Passes events on to rules.
//!
//! Woken by the store, it reads the events behind the last one that it dealt with, and writes what follows from them in one
//! transaction with how far it came. Events that no rule wants cost a look and, for many of them, one note how far it came:
//! the store keeps what lies behind that. After a crash the look is repeated with the same end
//! ([`cove_model::rule::Target::since`]).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cove_base::{Clock, Timestamp};
use cove_model::arn::Tenant;
use cove_model::event::Event;
use cove_model::rule::{Delivery, Routed, Rule, Target};
use cove_store::{Prefix, Read, Store, StoreError, Tx, keys};
use serde_json::Value;

use crate::input::{self, RuleNames};
use crate::pattern::Pattern;

/// Deliveries that wait at once; more than that are dead at once, or refused where somebody can be told.
pub const BACKLOG_MAX: usize = 10_000;
/// Of these, for one target: one that does not answer leaves room for all others.
const TARGET_BACKLOG_MAX: usize = 1000;
/// Events that share one transaction.
const EVENTS_MAX: usize = 256;
/// Looks at so many events are noted together.
const UNNOTED_MAX: usize = 512;
/// The pause after a write that failed: the disk may be full for a while.
const RETRY: Duration = Duration::from_secs(1);

/// Runs until the store is closed.
pub async fn route_for_ever(store: Store, clock: Clock) {
    let mut events = store.watch::<Event>();
    let mut last = store.read(|view| view.get::<Routed>(&keys::routed())).map_or(0, |routed| routed.number);
    let mut unnoted = 0;
    loop {
        events.mark_unchanged();
        let (found, rules, waiting) = store.read(|view| {
            let found = view.page::<Event>(&Prefix::all(), Some(&keys::event(last)), EVENTS_MAX);
            let rules = if found.is_empty() { Vec::new() } else { view.scan::<Rule>(&Prefix::all()) };
            (found, rules, view.live::<Delivery>(&Prefix::all()))
        });
        let Some(newest) = found.last().map(|event| event.number) else {
            if events.changed().await.is_err() {
                return;
            }
            continue;
        };
        let now = clock.now();
        let unrouted = found.iter().filter(|event| !event.is_routed);
        let mut all: Vec<Delivery> = unrouted.flat_map(|event| deliveries(&rules, event, now)).collect();
        bury_for_full_targets(all.iter_mut(), &waiting, now);
        bury_excess(&mut all, waiting.len(), now);
        if !all.is_empty() || unnoted + found.len() >= UNNOTED_MAX {
            if let Err(error) = store.write(move |tx| put(tx, all, newest)).await {
                if matches!(error, StoreError::Closed) {
                    return;
                }
                tracing::warn!(error = cove_base::error::chain(&error), "events wait until the store can write");
                tokio::time::sleep(RETRY).await;
                continue;
            }
            unnoted = 0;
        } else {
            unnoted += found.len();
        }
        last = newest;
    }
}

fn put(tx: &mut Tx<'_>, all: Vec<Delivery>, newest: u64) -> Result<(), StoreError> {
    for delivery in all {
        tx.put_delivery(delivery);
    }
    tx.put(Routed { number: newest });
    Ok(())
}

/// What does not fit into the backlog is not tried.
fn bury_excess(all: &mut [Delivery], waiting: usize, now: Timestamp) {
    let room = BACKLOG_MAX.saturating_sub(waiting);
    for delivery in all.iter_mut().filter(|delivery| delivery.dead_at.is_none()).skip(room) {
        bury(delivery, format!("{BACKLOG_MAX} deliveries wait already"), now);
    }
}

/// What a target has no room for is not tried, and nobody else's deliveries suffer from it.
pub fn bury_for_full_targets<'a>(
    all: impl Iterator<Item = &'a mut Delivery>,
    waiting: &[Arc<Delivery>],
    now: Timestamp,
) {
    let mut of_target: HashMap<(Tenant, String), usize> = HashMap::new();
    for delivery in waiting {
        *of_target.entry((delivery.tenant.clone(), delivery.target.arn.clone())).or_default() += 1;
    }
    for delivery in all {
        let there = of_target.entry((delivery.tenant.clone(), delivery.target.arn.clone())).or_default();
        if *there < TARGET_BACKLOG_MAX {
            *there += 1;
        } else {
            bury(delivery, format!("{TARGET_BACKLOG_MAX} deliveries wait for this target already"), now);
        }
    }
}

fn bury(delivery: &mut Delivery, why: String, now: Timestamp) {
    delivery.dead_at = Some(now);
    delivery.last_error = Some(why);
}

/// What follows from an event, by the rules of its bus. Numbers are given when they are kept.
pub fn deliveries(rules: &[Arc<Rule>], event: &Event, now: Timestamp) -> Vec<Delivery> {
    let mut document = None;
    let mut out = Vec::new();
    for rule in rules.iter().filter(|rule| rule.is_enabled && rule.tenant == event.tenant && rule.bus == event.bus) {
        let mut targets = rule.targets.iter().filter(|target| target.since < event.number).peekable();
        if targets.peek().is_none() {
            continue;
        }
        let pattern = rule.pattern.as_deref().and_then(|text| Pattern::parse(text).ok());
        let document = document.get_or_insert_with(|| event.document());
        if pattern.is_some_and(|pattern| pattern.matches(document)) {
            out.extend(targets.map(|target| delivery(rule, target, document, now)));
        }
    }
    out
}

/// An event on its way to one target.
pub(crate) fn delivery(rule: &Rule, target: &Target, event: &Value, now: Timestamp) -> Delivery {
    let arn = rule.arn();
    Delivery {
        tenant: rule.tenant.clone(),
        number: 0,
        bus: rule.bus.clone(),
        rule: rule.name.clone(),
        target: target.clone(),
        input: input::of(&target.document, event, RuleNames { arn: &arn, name: &rule.name }),
        created_at: now,
        attempts: 0,
        next_at: now,
        last_error: None,
        dead_at: None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use cove_model::arn::Tenant;
    use serde_json::json;

    use super::*;

    pub(crate) fn tenant() -> Tenant {
        Tenant::new("000000000000", "us-east-1")
    }

    pub(crate) fn rule(name: &str, pattern: Option<&str>, schedule: Option<&str>) -> Rule {
        let arn = tenant().arn("logs", "log-group:g");
        Rule {
            tenant: tenant(),
            bus: "default".into(),
            name: name.into(),
            description: None,
            pattern: pattern.map(str::to_owned),
            schedule: schedule.map(str::to_owned),
            is_enabled: true,
            role_arn: None,
            targets: vec![Target {
                id: "t".into(),
                document: json!({"Id": "t", "Arn": arn, "InputPath": "$.detail"}),
                arn,
                since: 10,
                from_task: false,
            }],
            tags: Vec::new(),
            counts_from: Timestamp(0),
            fired_at: None,
        }
    }

    fn event(number: u64, source: &str) -> Event {
        Event {
            tenant: tenant(),
            number,
            id: "id".into(),
            bus: "default".into(),
            source: source.into(),
            detail_type: "T".into(),
            at: Timestamp(0),
            resources: Vec::new(),
            detail: r#"{"a":1}"#.into(),
            is_routed: false,
        }
    }

    #[test]
    fn a_rule_gets_what_it_matches_and_what_came_after_its_target() {
        let matching = rule("r", Some(r#"{"source":["s"]}"#), None);
        let disabled = Rule { is_enabled: false, name: "off".into(), ..matching.clone() };
        let foreign = Rule { tenant: Tenant::new("1", "x"), ..matching.clone() };
        let other_bus = Rule { bus: "b".into(), ..matching.clone() };
        let rules = [matching, disabled, foreign, other_bus].map(Arc::new);
        let inputs = |event: &Event| -> Vec<(String, String)> {
            let found = deliveries(&rules, event, Timestamp(5));
            found.into_iter().map(|delivery| (delivery.rule, delivery.input)).collect()
        };
        assert_eq!(inputs(&event(11, "s")), [("r".to_owned(), r#"{"a":1}"#.to_owned())]);
        assert_eq!(inputs(&event(11, "t")), []);
        assert_eq!(inputs(&event(10, "s")), [], "the target came later");
    }

    #[test]
    fn what_is_too_much_is_dead_and_says_so() {
        let rule = rule("r", None, None);
        let one = delivery(&rule, &rule.targets[0], &json!({}), Timestamp(0));
        let mut all = vec![one.clone(), one];
        bury_excess(&mut all, BACKLOG_MAX - 1, Timestamp(9));
        assert_eq!((all[0].dead_at, all[1].dead_at), (None, Some(Timestamp(9))));
    }

    #[test]
    fn a_full_target_buries_its_own_deliveries_only() {
        let (full, mut free) = (rule("r", None, None), rule("q", None, None));
        free.targets[0].arn = tenant().arn("logs", "log-group:h");
        let to = |rule: &Rule| delivery(rule, &rule.targets[0], &json!({}), Timestamp(0));
        let waiting = std::iter::repeat_n(Arc::new(to(&full)), TARGET_BACKLOG_MAX - 1).collect::<Vec<_>>();
        let mut all = [to(&full), to(&full), to(&free)];
        bury_for_full_targets(all.iter_mut(), &waiting, Timestamp(9));
        let dead: Vec<_> = all.iter().map(|delivery| delivery.dead_at).collect();
        assert_eq!(dead, [None, Some(Timestamp(9)), None]);
    }
}
