//! Carries deliveries out.
//!
//! Woken by the store or a timer, it reads all that wait, starts those that are due, and writes what became of each.
//!
//! Holds: what a crash cuts off is done again: at least once. A delivery ends: delivered, or dead after the tries and the
//! time of the target's RetryPolicy, or at once when trying again could not help.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cove_base::{Clock, Timestamp};
use cove_model::alarm::Metric;
use cove_model::arn::Tenant;
use cove_model::rule::Delivery;
use cove_store::{Prefix, Read, Record, Store, StoreError, Tx};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::endpoint::Endpoints;
use crate::target::{self, Reach};

/// Deliveries under way at once: each may wait for another host.
const PARALLEL_MAX: usize = 16;
/// Of these, to one target: one that does not answer must not hold up all others.
const TARGET_PARALLEL_MAX: usize = 4;
/// AWS's defaults of a RetryPolicy.
const ATTEMPTS_MAX: i64 = 185;
const AGE_SECS_MAX: i64 = 86_400;
/// The first pause, and the longest.
const BACK_OFF_MILLIS: i64 = 1000;
const BACK_OFF_MILLIS_MAX: i64 = 300_000;
/// The longest sleep.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// The pause after a write that failed.
const RETRY: Duration = Duration::from_secs(1);
/// Of an error, which may quote another host.
const ERROR_CHARS_MAX: usize = 500;

/// Why a delivery was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It may be another time.
    Again(String),
    Never(String),
}

/// A delivery at work.
pub type Carried<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// The API, as far as targets are operations of it.
pub trait Port: Send + Sync + 'static {
    /// RunTask with this input, on behalf of the rule.
    fn run_task<'a>(&'a self, delivery: &'a Delivery, input: Value) -> Carried<'a>;
    /// An event in a stream of a log group that is there; the stream is made.
    fn put_log<'a>(&'a self, delivery: &'a Delivery, group: &'a str, stream: &'a str) -> Carried<'a>;
    /// Counts something in CloudWatch.
    fn count(&self, delivery: &Delivery, metric: Metric);
}

/// Runs until the store is closed.
pub async fn deliver_for_ever(store: Store, clock: Clock, port: Arc<dyn Port>, endpoints: Endpoints) {
    let mut changed = store.watch::<Delivery>();
    let mut under_way: HashMap<u64, Arc<Delivery>> = HashMap::new();
    let mut working: JoinSet<u64> = JoinSet::new();
    loop {
        changed.mark_unchanged();
        let now = clock.now();
        let waiting = store.read(|view| view.live::<Delivery>(&Prefix::all()));
        let idle = waiting.iter().filter(|delivery| !under_way.contains_key(&delivery.number));
        let (due, later): (Vec<_>, Vec<_>) = idle.cloned().partition(|delivery| delivery.next_at <= now);
        for delivery in next(due, under_way.values()) {
            under_way.insert(delivery.number, Arc::clone(&delivery));
            let parts = (store.clone(), clock.clone(), Arc::clone(&port), endpoints.clone());
            working.spawn(one(parts, delivery));
        }
        let soonest = later.iter().map(|delivery| delivery.next_at.millis() - now.millis()).min();
        let sleep = soonest.and_then(|millis| u64::try_from(millis).ok()).map_or(SLEEP_MAX, Duration::from_millis);
        tokio::select! {
            result = changed.changed() => if result.is_err() { return },
            Some(done) = working.join_next() => match done {
                Ok(number) => drop(under_way.remove(&number)),
                // `one` catches panics of targets; what is left is that the runtime ends.
                Err(_) => return,
            },
            () = tokio::time::sleep(sleep.min(SLEEP_MAX)) => {}
        }
    }
}

/// Which of the due ones start: each target's first, then each one's second; the oldest first among equals.
fn next<'a>(due: Vec<Arc<Delivery>>, under_way: impl Iterator<Item = &'a Arc<Delivery>>) -> Vec<Arc<Delivery>> {
    let mut busy = 0;
    let mut of_target: HashMap<(Tenant, String), usize> = HashMap::new();
    let target = |delivery: &Delivery| (delivery.tenant.clone(), delivery.target.arn.clone());
    for delivery in under_way {
        busy += 1;
        *of_target.entry(target(delivery)).or_default() += 1;
    }
    let mut in_turn: Vec<(usize, Arc<Delivery>)> = Vec::new();
    for delivery in due {
        let ahead = of_target.entry(target(&delivery)).or_default();
        if *ahead < TARGET_PARALLEL_MAX {
            in_turn.push((*ahead, delivery));
            *ahead += 1;
        }
    }
    // The sort keeps the order among equals: by number.
    in_turn.sort_by_key(|(ahead, _)| *ahead);
    in_turn.into_iter().take(PARALLEL_MAX.saturating_sub(busy)).map(|(_, delivery)| delivery).collect()
}

type Parts = (Store, Clock, Arc<dyn Port>, Endpoints);

/// One try, and its record. The delivery's number.
async fn one((store, clock, port, endpoints): Parts, delivery: Arc<Delivery>) -> u64 {
    let (number, key) = (delivery.number, delivery.key());
    let (of, by) = (Arc::clone(&delivery), Arc::clone(&port));
    let tried = tokio::spawn(async move { carry_out(&*by, &endpoints, &of).await }).await;
    let result = tried.unwrap_or_else(|error| Err(Failure::Again(error.to_string())));
    let outcome = outcome(&delivery, result, clock.now());
    count(&*port, &delivery, outcome.as_ref());
    loop {
        let (key, outcome) = (key.clone(), outcome.clone());
        let record = move |tx: &mut Tx<'_>| {
            match outcome {
                None => drop(tx.delete::<Delivery>(&key)),
                Some(delivery) => tx.put_delivery(delivery),
            }
            Ok::<_, StoreError>(())
        };
        match store.write(record).await {
            Ok(()) | Err(StoreError::Closed) => return number,
            // Until it is written the delivery is not tried again.
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

async fn carry_out(port: &dyn Port, endpoints: &Endpoints, delivery: &Delivery) -> Result<(), Failure> {
    let (target, tenant) = (&delivery.target, &delivery.tenant);
    match target::reach(tenant, &target.arn).map_err(|error| Failure::Never(error.to_string()))? {
        Reach::LogGroup(group) => port.put_log(delivery, &group, &stream(&delivery.rule)).await,
        Reach::Endpoint(name) => endpoints.send(&name, &target.document["HttpParameters"], &delivery.input).await,
        Reach::Cluster(cluster) => {
            let overrides = overrides(delivery)?;
            // ECS's own word for tasks that rules start.
            let started_by = format!("events-rule/{}", delivery.rule);
            let started_by: String = started_by.chars().take(128).collect();
            let token = format!("events-{}", delivery.number);
            let input = target::run_task(&cluster, &target.document, overrides, &started_by, &token);
            port.run_task(delivery, input).await
        }
    }
}

/// A stream of a rule's name, without what a stream's name may not have.
fn stream(rule: &str) -> String {
    rule.replace([':', '*'], "_")
}

/// What the target's own input changes about the task; the event itself changes nothing.
fn overrides(delivery: &Delivery) -> Result<Option<Value>, Failure> {
    let document = &delivery.target.document;
    if document.get("Input").is_none() && document.get("InputTransformer").is_none() {
        return Ok(None);
    }
    match serde_json::from_str::<Value>(&delivery.input) {
        Ok(overrides) if overrides.is_object() => Ok(Some(overrides)),
        _ => Err(Failure::Never("the input of an ECS target must be a JSON object of overrides".to_owned())),
    }
}

/// The delivery as it is after a try; `None`: done.
fn outcome(delivery: &Delivery, result: Result<(), Failure>, now: Timestamp) -> Option<Delivery> {
    let (error, may_help) = match result {
        Ok(()) => return None,
        Err(Failure::Again(error)) => (error, true),
        Err(Failure::Never(error)) => (error, false),
    };
    let policy = &delivery.target.document["RetryPolicy"];
    let attempts_max = policy["MaximumRetryAttempts"].as_i64().unwrap_or(ATTEMPTS_MAX);
    let age_max = policy["MaximumEventAgeInSeconds"].as_i64().unwrap_or(AGE_SECS_MAX) * 1000;
    let mut next = delivery.clone();
    next.attempts += 1;
    next.last_error = Some(error.chars().take(ERROR_CHARS_MAX).collect());
    let doubled = BACK_OFF_MILLIS << delivery.attempts.min(20);
    next.next_at = now.plus_millis(doubled.min(BACK_OFF_MILLIS_MAX));
    let too_late = next.next_at.millis() - delivery.created_at.millis() > age_max;
    if !may_help || i64::from(delivery.attempts) >= attempts_max || too_late {
        next.dead_at = Some(now);
    }
    Some(next)
}

/// `AWS/Events`: what was tried, and what was given up.
fn count(port: &dyn Port, delivery: &Delivery, outcome: Option<&Delivery>) {
    let name = match outcome {
        None => "Invocations",
        Some(next) if next.dead_at.is_some() => "FailedInvocations",
        Some(_) => "RetryInvocationAttempts",
    };
    let dimensions = [("RuleName".to_owned(), delivery.rule.clone())].into();
    port.count(delivery, Metric { namespace: "AWS/Events".to_owned(), name: name.to_owned(), dimensions });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::route::{delivery, tests::rule};

    fn waiting(policy: Value) -> Delivery {
        let mut rule = rule("r", None, None);
        rule.targets[0].document["RetryPolicy"] = policy;
        delivery(&rule, &rule.targets[0], &json!({}), Timestamp(0))
    }

    fn again() -> Result<(), Failure> {
        Err(Failure::Again("busy".into()))
    }

    #[test]
    fn a_target_that_does_not_answer_leaves_room_for_others() {
        let to = |number: u64, arn: &str| {
            let mut one = Delivery { number, ..waiting(json!({})) };
            one.target.arn = arn.into();
            Arc::new(one)
        };
        let numbers = |due: Vec<Arc<Delivery>>, under_way: &[Arc<Delivery>]| -> Vec<u64> {
            next(due, under_way.iter()).iter().map(|delivery| delivery.number).collect()
        };
        let mut due: Vec<_> = (1..100).map(|number| to(number, "silent")).collect();
        due.extend([to(100, "good"), to(101, "good")]);
        assert_eq!(numbers(due.clone(), &[]), [1, 100, 2, 101, 3, 4]);
        let under_way: Vec<_> = (200..204).map(|number| to(number, "silent")).collect();
        assert_eq!(numbers(due, &under_way), [100, 101]);
        let many: Vec<_> = (1..50).map(|number| to(number, &number.to_string())).collect();
        assert_eq!(numbers(many, &under_way), (1..13).collect::<Vec<_>>());
    }

    #[test]
    fn a_delivery_ends_delivered_or_dead_and_waits_longer_each_time() {
        let first = waiting(json!({}));
        assert_eq!(outcome(&first, Ok(()), Timestamp(5)), None);
        let once = outcome(&first, again(), Timestamp(0)).unwrap();
        let twice = outcome(&once, again(), Timestamp(1000)).unwrap();
        assert_eq!((once.next_at, twice.next_at), (Timestamp(1000), Timestamp(3000)));
        assert_eq!((twice.attempts, twice.dead_at, twice.last_error.as_deref()), (2, None, Some("busy")));
        let never = outcome(&first, Err(Failure::Never("no group".into())), Timestamp(7)).unwrap();
        assert_eq!(never.dead_at, Some(Timestamp(7)));
    }

    #[test]
    fn a_retry_policy_bounds_tries_and_age() {
        let none = outcome(&waiting(json!({"MaximumRetryAttempts": 0})), again(), Timestamp(1)).unwrap();
        assert!(none.dead_at.is_some());
        let one = outcome(&waiting(json!({"MaximumRetryAttempts": 1})), again(), Timestamp(1)).unwrap();
        assert!(one.dead_at.is_none() && outcome(&one, again(), Timestamp(2)).unwrap().dead_at.is_some());
        let old = outcome(&waiting(json!({"MaximumEventAgeInSeconds": 60})), again(), Timestamp(59_500)).unwrap();
        assert!(old.dead_at.is_some());
    }

    #[test]
    fn a_task_is_overridden_by_a_targets_own_input_only() {
        let mut one = waiting(json!({}));
        assert_eq!(overrides(&one), Ok(None));
        one.target.document = json!({"Input": "{\"containerOverrides\": []}"});
        one.input = "{\"containerOverrides\": []}".into();
        assert_eq!(overrides(&one), Ok(Some(json!({"containerOverrides": []}))));
        one.input = "text".into();
        assert!(matches!(overrides(&one), Err(Failure::Never(_))));
    }
}
