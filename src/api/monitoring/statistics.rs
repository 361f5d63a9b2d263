//! GetMetricStatistics: one metric, several statistics.

use std::collections::BTreeMap;

use cove_metrics::{Data, Statistic};
use cove_model::alarm::Metric;

use super::error::MonitoringError;
use super::metric::{dimensions, millis};
use super::wire::{Datapoint, GetMetricStatisticsIn, GetMetricStatisticsOut};
use crate::Context;

/// CloudWatch's limit of one answer.
const DATAPOINTS_MAX: i64 = 1440;

/// GetMetricStatistics.
pub(super) fn get(cx: &Context, input: GetMetricStatisticsIn) -> Result<GetMetricStatisticsOut, MonitoringError> {
    let names = || input.statistics.iter().chain(&input.extended_statistics);
    if names().next().is_none() {
        return Err(MonitoringError::Missing("Statistics"));
    }
    let range = range(input.start_time, input.end_time, input.period)?;
    let count = (range.1 - range.0) / input.period;
    if count > DATAPOINTS_MAX {
        return Err(MonitoringError::InvalidCombination(format!(
            "You have requested up to {count} datapoints, which exceeds the limit of {DATAPOINTS_MAX}. You may reduce the \
             datapoints requested by increasing Period, or decreasing the time range."
        )));
    }
    let statistics: Vec<(&String, Statistic)> =
        names().map(|name| parse(name).map(|statistic| (name, statistic))).collect::<Result<_, _>>()?;
    let metric = Metric {
        namespace: input.namespace.clone(),
        name: input.metric_name.clone(),
        dimensions: dimensions(&input.dimensions)?,
    };
    let data = cx.metrics.data(Data {
        tenant: &cx.tenant,
        metric: &metric,
        unit: input.unit.as_deref(),
        period_secs: input.period,
        from_secs: range.0,
        to_secs: range.1,
    });
    let point = |(timestamp, unit, points): (i64, String, cove_metrics::Points)| {
        let known = statistics.iter().filter_map(|(name, statistic)| Some(((*name).clone(), statistic.of(&points)?)));
        let (extended, plain): (BTreeMap<_, _>, BTreeMap<_, _>) =
            known.partition(|(name, _)| input.extended_statistics.contains(name));
        Datapoint { timestamp, unit, statistics: plain, extended_statistics: extended }
    };
    Ok(GetMetricStatisticsOut { label: input.metric_name.clone(), datapoints: data.into_iter().map(point).collect() })
}

pub(super) fn parse(name: &str) -> Result<Statistic, MonitoringError> {
    Statistic::parse(name).ok_or_else(|| {
        MonitoringError::value(format!(
            "The value {name} for parameter Stat is not supported: SampleCount, Average, Sum, Minimum, Maximum and \
             percentiles are."
        ))
    })
}

/// The first second that counts, which begins a period, and the first that does not.
pub(super) fn range(start: f64, end: f64, period: i64) -> Result<(i64, i64), MonitoringError> {
    if start >= end {
        return Err(MonitoringError::InvalidCombination(
            "The parameter StartTime must be less than the parameter EndTime.".to_owned(),
        ));
    }
    if period < 1 || (![1, 5, 10, 20, 30].contains(&period) && period % 60 != 0) {
        return Err(MonitoringError::value(
            "The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60, and greater than 0.",
        ));
    }
    let (start, end) = (millis(start).div_euclid(1000), millis(end + 0.999).div_euclid(1000));
    Ok((start - start.rem_euclid(period), end))
}
