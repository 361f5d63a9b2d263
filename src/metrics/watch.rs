//! Evaluates every alarm, over and over.
//!
//! Woken by a timer, it takes no hint what changed, reads all alarms and their data, and writes the states that changed.
//! What follows from that (event, history) is derived by the store.

use std::sync::Arc;
use std::time::Duration;

use cove_base::{Clock, Timestamp};
use cove_model::alarm::{Alarm, AlarmState, Watch};
use cove_store::{Prefix, Read, Record, Store, StoreError, Tx};

use crate::alarm::{Period, evaluate, range};
use crate::series::{Data, Metrics};
use crate::statistic::Statistic;

/// CloudWatch evaluates alarms with periods below a minute this often.
const TICK_SECS: i64 = 10;
/// Others are evaluated once a minute, when the measurements of the last one are there.
const MINUTE_SECS: i64 = 60;
/// Where in a minute that is.
const MINUTE_TICK: i64 = 1;

/// Runs until the store is closed.
pub async fn watch_for_ever(store: Store, metrics: Metrics, clock: Clock) {
    let known_from_secs = seconds(clock.now());
    loop {
        let wait = TICK_SECS * 1000 - clock.now().millis().rem_euclid(TICK_SECS * 1000);
        tokio::time::sleep(Duration::from_millis(u64::try_from(wait).unwrap_or(0))).await;
        let now = clock.now();
        let alarms = store.read(|view| view.scan::<Alarm>(&Prefix::all()));
        let changed: Vec<(Arc<Alarm>, AlarmState)> = alarms
            .into_iter()
            .filter(|alarm| is_due(&alarm.watches, now))
            .filter_map(|alarm| Some((Arc::clone(&alarm), next(&metrics, &alarm, known_from_secs, now)?)))
            .collect();
        if changed.is_empty() {
            continue;
        }
        match store.write(move |tx| record(tx, changed)).await {
            Ok(()) => {}
            Err(StoreError::Closed) => return,
            Err(error) => {
                let error = cove_base::error::chain(&error);
                tracing::warn!(error, "states of alarms could not be written; the next round tries again");
            }
        }
    }
}

fn is_due(watch: &Watch, now: Timestamp) -> bool {
    let is_short = i64::from(watch.period_secs) < MINUTE_SECS;
    is_short || seconds(now).rem_euclid(MINUTE_SECS) / TICK_SECS == MINUTE_TICK
}

/// The alarm's new state, if it is another one.
fn next(metrics: &Metrics, alarm: &Alarm, known_from_secs: i64, now: Timestamp) -> Option<AlarmState> {
    let periods = periods(metrics, alarm, seconds(now))?;
    let state = evaluate(&alarm.watches, alarm.state.value, &periods, known_from_secs, now)?;
    (state.value != alarm.state.value).then_some(state)
}

fn periods(metrics: &Metrics, alarm: &Alarm, now_secs: i64) -> Option<Vec<Period>> {
    let watch = &alarm.watches;
    let statistic = Statistic::parse(&watch.statistic)?;
    let period = i64::from(watch.period_secs);
    let begins = range(watch, now_secs);
    let from_secs = *begins.first()?;
    let data = metrics.data(Data {
        tenant: &alarm.tenant,
        metric: &watch.metric,
        unit: watch.unit.as_deref(),
        period_secs: 1,
        from_secs,
        to_secs: begins.last()? + period,
    });
    let value = |begins: i64| {
        let mut of_period =
            data.iter().filter(|(at, ..)| (begins..begins + period).contains(at)).map(|(.., points)| points);
        let mut all = of_period.next()?.clone();
        of_period.for_each(|points| all.merge(points));
        statistic.of(&all)
    };
    Some(begins.into_iter().map(|begins| (begins, value(begins))).collect())
}

/// An alarm that somebody changed meanwhile is left to the next round.
fn record(tx: &mut Tx<'_>, changed: Vec<(Arc<Alarm>, AlarmState)>) -> Result<(), StoreError> {
    for (seen, state) in changed {
        let Some(alarm) = tx.get::<Alarm>(&seen.key()).filter(|alarm| alarm.version == seen.version) else { continue };
        let transitioned_at = state.at;
        tx.put(Alarm { state, transitioned_at, version: alarm.version + 1, ..(*alarm).clone() });
    }
    Ok(())
}

fn seconds(at: Timestamp) -> i64 {
    at.millis().div_euclid(1000)
}
