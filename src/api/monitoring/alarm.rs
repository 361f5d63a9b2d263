//! Alarms: made, changed, deleted, and set by hand.

use cove_metrics::Statistic;
use cove_model::alarm::{Alarm, AlarmState, Comparison, Metric, MissingData, StateValue, Watch};
use cove_model::tag::Tag;
use cove_store::{Prefix, Read, Tx, keys};
use serde_json::Value;

use super::error::MonitoringError;
use super::metric::dimensions;
use super::tag;
use super::wire::{AlarmNamesIn, Nothing, PutMetricAlarmIn, SetAlarmStateIn};
use crate::Context;

/// Actions of one state.
const ACTIONS_MAX: usize = 5;
/// An alarm may look back for a day: longer ago than that there are no data.
const LOOK_BACK_SECS_MAX: u64 = 86_400;
/// AWS's quota of a region.
const ALARMS_MAX: usize = 5000;

/// PutMetricAlarm. An alarm that is changed keeps its state and its tags.
pub(super) async fn put(cx: &Context, input: PutMetricAlarmIn) -> Result<Nothing, MonitoringError> {
    let watches = watch(&input)?;
    for actions in [&input.ok_actions, &input.alarm_actions, &input.insufficient_data_actions] {
        if actions.len() > ACTIONS_MAX {
            return Err(MonitoringError::value(format!("An alarm has at most {ACTIONS_MAX} actions for a state.")));
        }
        if let Some(action) = actions.iter().find(|action| !action.starts_with("arn:aws:")) {
            return Err(MonitoringError::value(format!("Invalid arn syntax: {action}")));
        }
    }
    let tags = tag::checked(Vec::new(), input.tags.clone())?;
    let tenant = cx.tenant.clone();
    let write = move |tx: &mut Tx<'_>| {
        let known = tx.get::<Alarm>(&keys::alarm(&tenant, &input.alarm_name));
        if known.is_none() && tx.count::<Alarm>(&Prefix::tenant(&tenant)) >= ALARMS_MAX {
            return Err(MonitoringError::LimitExceeded("The maximum number of alarms has been reached.".to_owned()));
        }
        let now = tx.now();
        // Two configurations in the same millisecond are still two.
        let configured_at = known.as_ref().map_or(now, |alarm| now.max(alarm.configured_at.plus_millis(1)));
        let unchecked = || AlarmState {
            value: StateValue::InsufficientData,
            reason: "Unchecked: Initial alarm creation".to_owned(),
            reason_data: None,
            at: now,
        };
        tx.put(Alarm {
            tenant,
            name: input.alarm_name,
            description: input.alarm_description,
            watches,
            actions_enabled: input.actions_enabled.unwrap_or(true),
            ok_actions: input.ok_actions,
            alarm_actions: input.alarm_actions,
            insufficient_data_actions: input.insufficient_data_actions,
            configured_at,
            state: known.as_ref().map_or_else(unchecked, |alarm| alarm.state.clone()),
            transitioned_at: known.as_ref().map_or(now, |alarm| alarm.transitioned_at),
            tags: known.as_ref().map_or(tags, |alarm| alarm.tags.clone()),
            version: known.as_ref().map_or(1, |alarm| alarm.version + 1),
        });
        Ok(Nothing {})
    };
    cx.store.write(write).await
}

fn watch(input: &PutMetricAlarmIn) -> Result<Watch, MonitoringError> {
    if !input.metrics.is_empty() || input.threshold_metric_id.is_some() {
        return Err(MonitoringError::not_there("An alarm on Metrics (metric math)"));
    }
    if input.evaluation_criteria.is_some() || input.evaluation_interval.is_some() {
        return Err(MonitoringError::not_there("An alarm with EvaluationCriteria"));
    }
    if input.evaluate_low_sample_count_percentile.is_some() {
        return Err(MonitoringError::not_there("EvaluateLowSampleCountPercentile"));
    }
    let statistic = match (&input.statistic, &input.extended_statistic) {
        (Some(name), None) | (None, Some(name)) => name.clone(),
        (None, None) => return Err(MonitoringError::Missing("Statistic")),
        (Some(_), Some(_)) => {
            return Err(MonitoringError::InvalidCombination(
                "The parameters Statistic and ExtendedStatistic are mutually exclusive.".to_owned(),
            ));
        }
    };
    if Statistic::parse(&statistic).is_none() {
        return Err(MonitoringError::value(format!(
            "The value {statistic} for parameter ExtendedStatistic is not supported."
        )));
    }
    let required = |given: &Option<String>, name: &'static str| given.clone().ok_or(MonitoringError::Missing(name));
    let watch = Watch {
        metric: Metric {
            namespace: required(&input.namespace, "Namespace")?,
            name: required(&input.metric_name, "MetricName")?,
            dimensions: dimensions(&input.dimensions)?,
        },
        statistic,
        unit: input.unit.clone(),
        period_secs: input.period.ok_or(MonitoringError::Missing("Period"))?,
        evaluation_periods: input.evaluation_periods.ok_or(MonitoringError::Missing("EvaluationPeriods"))?,
        datapoints_to_alarm: input.datapoints_to_alarm,
        threshold: input.threshold.ok_or(MonitoringError::Missing("Threshold"))?,
        comparison: comparison(&required(&input.comparison_operator, "ComparisonOperator")?)?,
        missing_data: input.treat_missing_data.as_deref().map(missing_data).transpose()?,
    };
    check_times(&watch)?;
    Ok(watch)
}

fn check_times(watch: &Watch) -> Result<(), MonitoringError> {
    let period = watch.period_secs;
    if ![10, 20, 30].contains(&period) && (period == 0 || !period.is_multiple_of(60)) {
        return Err(MonitoringError::validation("Metric alarm Period must be 10, 20, 30 or a multiple of 60."));
    }
    if u64::from(watch.evaluation_periods) * u64::from(period) > LOOK_BACK_SECS_MAX {
        return Err(MonitoringError::validation(
            "Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be <= 86400).",
        ));
    }
    if watch.datapoints_to_alarm.is_some_and(|needed| needed > watch.evaluation_periods) {
        return Err(MonitoringError::validation("DatapointsToAlarm must not exceed EvaluationPeriods."));
    }
    Ok(())
}

fn comparison(name: &str) -> Result<Comparison, MonitoringError> {
    serde_json::from_value(Value::from(name))
        .map_err(|_| MonitoringError::not_there(&format!("The ComparisonOperator {name}")))
}

fn missing_data(name: &str) -> Result<MissingData, MonitoringError> {
    serde_json::from_value(Value::from(name)).map_err(|_| {
        MonitoringError::validation(format!(
            "The value {name} is unsupported for parameter TreatMissingData. Supported values are [breaching, \
             notBreaching, ignore, missing]."
        ))
    })
}

/// DeleteAlarms. Names of no alarm are passed over, as AWS does.
pub(super) async fn delete(cx: &Context, input: AlarmNamesIn) -> Result<Nothing, MonitoringError> {
    let tenant = cx.tenant.clone();
    let write = move |tx: &mut Tx<'_>| {
        for name in &input.alarm_names {
            tx.delete::<Alarm>(&keys::alarm(&tenant, name));
        }
        Ok(Nothing {})
    };
    cx.store.write(write).await
}

/// SetAlarmState. It holds until the alarm is evaluated the next time.
pub(super) async fn set_state(cx: &Context, input: SetAlarmStateIn) -> Result<Nothing, MonitoringError> {
    if input.state_reason_data.as_deref().is_some_and(|data| serde_json::from_str::<Value>(data).is_err()) {
        return Err(MonitoringError::InvalidFormat("StateReasonData is not JSON.".to_owned()));
    }
    change(cx, &input.alarm_name.clone(), move |alarm, now| {
        if alarm.state.value != input.state_value {
            alarm.transitioned_at = now;
        }
        alarm.state = AlarmState {
            value: input.state_value,
            reason: input.state_reason,
            reason_data: input.state_reason_data,
            at: now,
        };
        Ok(())
    })
    .await
}

/// Changes one alarm, which must be there.
pub(super) async fn change(
    cx: &Context,
    name: &str,
    f: impl FnOnce(&mut Alarm, cove_base::Timestamp) -> Result<(), MonitoringError> + Send + 'static,
) -> Result<Nothing, MonitoringError> {
    let (key, name) = (keys::alarm(&cx.tenant, name), name.to_owned());
    let write = move |tx: &mut Tx<'_>| {
        let known = tx.get::<Alarm>(&key).ok_or(MonitoringError::NoAlarm(name))?;
        let mut alarm = (*known).clone();
        f(&mut alarm, tx.now())?;
        alarm.version += 1;
        tx.put(alarm);
        Ok(Nothing {})
    };
    cx.store.write(write).await
}

/// EnableAlarmActions.
pub(super) async fn enable_actions(cx: &Context, input: AlarmNamesIn) -> Result<Nothing, MonitoringError> {
    switch_actions(cx, input.alarm_names, true).await
}

/// DisableAlarmActions.
pub(super) async fn disable_actions(cx: &Context, input: AlarmNamesIn) -> Result<Nothing, MonitoringError> {
    switch_actions(cx, input.alarm_names, false).await
}

/// Alarms that are not there are passed over.
async fn switch_actions(cx: &Context, names: Vec<String>, to: bool) -> Result<Nothing, MonitoringError> {
    let tenant = cx.tenant.clone();
    let write = move |tx: &mut Tx<'_>| {
        for name in &names {
            let Some(alarm) = tx.get::<Alarm>(&keys::alarm(&tenant, name)) else { continue };
            if alarm.actions_enabled != to {
                let configured_at = tx.now().max(alarm.configured_at.plus_millis(1));
                let version = alarm.version + 1;
                tx.put(Alarm { actions_enabled: to, configured_at, version, ..(*alarm).clone() });
            }
        }
        Ok(Nothing {})
    };
    cx.store.write(write).await
}

/// Tags of an alarm as they are stored.
pub(super) fn stored(tags: Vec<super::wire::Tag>) -> Vec<Tag> {
    tags.into_iter().map(|tag| Tag { key: tag.key, value: tag.value }).collect()
}
