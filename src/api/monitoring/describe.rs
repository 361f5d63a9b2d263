//! Alarms as they are listed and shown.

use std::sync::Arc;

use cove_model::alarm::{Alarm, Metric};
use cove_store::{Prefix, Read};

use super::error::MonitoringError;
use super::metric::{dimensions, show_dimensions};
use super::wire::{AlarmsForMetricOut, DescribeAlarmsForMetricIn, DescribeAlarmsIn, DescribeAlarmsOut, MetricAlarm};
use crate::Context;
use crate::aws::listing::{self, Order};

const PAGE: usize = 50;
/// Statistics that stand under `Statistic`; others under `ExtendedStatistic`.
const PLAIN: [&str; 5] = ["SampleCount", "Average", "Sum", "Minimum", "Maximum"];

/// DescribeAlarms.
pub(super) fn alarms(cx: &Context, input: DescribeAlarmsIn) -> Result<DescribeAlarmsOut, MonitoringError> {
    if input.children_of_alarm_name.is_some() || input.parents_of_alarm_name.is_some() {
        return Err(MonitoringError::not_there("Asking for children or parents, which only composite alarms have,"));
    }
    if !input.alarm_names.is_empty() && input.alarm_name_prefix.is_some() {
        return Err(MonitoringError::InvalidCombination(
            "AlarmNamePrefix and AlarmNames are mutually exclusive.".to_owned(),
        ));
    }
    let wants_metric_alarms =
        input.alarm_types.is_empty() || input.alarm_types.iter().any(|kind| kind == "MetricAlarm");
    let has_action = |alarm: &Alarm, prefix: &str| {
        let lists = [&alarm.ok_actions, &alarm.alarm_actions, &alarm.insufficient_data_actions];
        lists.iter().any(|actions| actions.iter().any(|action| action.starts_with(prefix)))
    };
    let fits = |alarm: &Alarm| {
        wants_metric_alarms
            && (input.alarm_names.is_empty() || input.alarm_names.contains(&alarm.name))
            && input.alarm_name_prefix.as_ref().is_none_or(|prefix| alarm.name.starts_with(prefix))
            && input.state_value.as_ref().is_none_or(|value| alarm.state.value.as_str() == value)
            && input.action_prefix.as_ref().is_none_or(|prefix| has_action(alarm, prefix))
    };
    let all = all(cx).into_iter().filter(|alarm| fits(alarm)).collect();
    let limit = input.max_records.unwrap_or(PAGE).max(1);
    let (page, next_token) =
        listing::page(all, input.next_token.as_deref(), limit, Order::Up, |alarm: &Arc<Alarm>| alarm.name.clone())?;
    let metric_alarms = page.iter().map(|alarm| show(alarm)).collect();
    Ok(DescribeAlarmsOut { composite_alarms: Vec::new(), metric_alarms, next_token })
}

/// DescribeAlarmsForMetric.
pub(super) fn for_metric(
    cx: &Context,
    input: DescribeAlarmsForMetricIn,
) -> Result<AlarmsForMetricOut, MonitoringError> {
    let metric = Metric {
        namespace: input.namespace.clone(),
        name: input.metric_name.clone(),
        dimensions: dimensions(&input.dimensions)?,
    };
    let statistic = input.statistic.as_ref().or(input.extended_statistic.as_ref());
    let fits = |alarm: &Alarm| {
        let watches = &alarm.watches;
        watches.metric == metric
            && statistic.is_none_or(|wanted| *wanted == watches.statistic)
            && input.period.is_none_or(|wanted| wanted == watches.period_secs)
            && (input.unit.is_none() || input.unit == watches.unit)
    };
    Ok(AlarmsForMetricOut {
        metric_alarms: all(cx).iter().filter(|alarm| fits(alarm)).map(|alarm| show(alarm)).collect(),
    })
}

fn all(cx: &Context) -> Vec<Arc<Alarm>> {
    cx.store.read(|view| view.scan::<Alarm>(&Prefix::tenant(&cx.tenant)))
}

fn show(alarm: &Alarm) -> MetricAlarm {
    let watches = &alarm.watches;
    let (plain, extended) = if PLAIN.contains(&watches.statistic.as_str()) {
        (Some(watches.statistic.clone()), None)
    } else {
        (None, Some(watches.statistic.clone()))
    };
    MetricAlarm {
        alarm_name: alarm.name.clone(),
        alarm_arn: alarm.arn(),
        alarm_description: alarm.description.clone(),
        alarm_configuration_updated_timestamp: alarm.configured_at.epoch_seconds(),
        actions_enabled: alarm.actions_enabled,
        ok_actions: alarm.ok_actions.clone(),
        alarm_actions: alarm.alarm_actions.clone(),
        insufficient_data_actions: alarm.insufficient_data_actions.clone(),
        state_value: alarm.state.value.as_str(),
        state_reason: alarm.state.reason.clone(),
        state_reason_data: alarm.state.reason_data.clone(),
        state_updated_timestamp: alarm.state.at.epoch_seconds(),
        state_transitioned_timestamp: alarm.transitioned_at.epoch_seconds(),
        metric_name: watches.metric.name.clone(),
        namespace: watches.metric.namespace.clone(),
        statistic: plain,
        extended_statistic: extended,
        dimensions: show_dimensions(&watches.metric.dimensions),
        period: watches.period_secs,
        unit: watches.unit.clone(),
        evaluation_periods: watches.evaluation_periods,
        datapoints_to_alarm: watches.datapoints_to_alarm,
        threshold: watches.threshold,
        comparison_operator: watches.comparison,
        treat_missing_data: watches.missing_data,
    }
}
