//! GetMetricData: several metrics, one statistic each.

use cove_metrics::Data;
use cove_model::alarm::Metric;

use super::error::MonitoringError;
use super::metric::dimensions;
use super::statistics::{parse, range};
use super::wire::{DataResult, GetMetricDataIn, GetMetricDataOut, MetricStat, Query, ScanBy};
use crate::Context;

/// CloudWatch's limits.
const QUERIES_MAX: usize = 500;
const DATAPOINTS_MAX: usize = 100_800;

/// GetMetricData. A token is how many data points the pages before had.
pub(super) fn get(cx: &Context, input: GetMetricDataIn) -> Result<GetMetricDataOut, MonitoringError> {
    if input.metric_data_queries.len() > QUERIES_MAX {
        return Err(MonitoringError::validation(format!(
            "The collection MetricDataQueries must not have a size greater than {QUERIES_MAX}."
        )));
    }
    let mut ids: Vec<&str> = input.metric_data_queries.iter().map(|query| query.id.as_str()).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(MonitoringError::validation("The values for parameter id in MetricDataQueries are not unique."));
    }
    let skipped = input.next_token.as_deref().map_or(Ok(0), str::parse::<usize>);
    let skipped = skipped.map_err(|_| MonitoringError::InvalidToken)?;
    let limit = match input.max_datapoints.map(usize::try_from) {
        None => DATAPOINTS_MAX,
        Some(Ok(limit)) if limit > 0 => limit.min(DATAPOINTS_MAX),
        Some(_) => return Err(MonitoringError::validation("MaxDatapoints must be at least 1.")),
    };
    let (mut behind, mut shown, mut more) = (skipped, 0, false);
    let mut results = Vec::new();
    for query in &input.metric_data_queries {
        let (metric, stat) = checked(query)?;
        if query.return_data == Some(false) {
            continue;
        }
        let mut points = points(cx, &input, &metric, stat)?;
        if input.scan_by != Some(ScanBy::TimestampAscending) {
            points.reverse();
        }
        let before = behind.min(points.len());
        behind -= before;
        points.drain(..before);
        let cut = points.len() > limit - shown;
        points.truncate(limit - shown);
        shown += points.len();
        more |= cut;
        let (timestamps, values) = points.into_iter().unzip();
        let label = query.label.clone().unwrap_or_else(|| metric.name.clone());
        let status_code = if cut { "PartialData" } else { "Complete" };
        results.push(DataResult { id: query.id.clone(), label, timestamps, values, status_code });
    }
    let next_token = more.then(|| (skipped + shown).to_string());
    Ok(GetMetricDataOut { metric_data_results: results, next_token, messages: Vec::new() })
}

fn checked(query: &Query) -> Result<(Metric, &MetricStat), MonitoringError> {
    let first = query.id.chars().next();
    if !first.is_some_and(|first| first.is_ascii_lowercase()) {
        return Err(MonitoringError::validation(format!(
            "The value {} for parameter Id must begin with a lower case letter.",
            query.id
        )));
    }
    if query.account_id.is_some() {
        return Err(MonitoringError::not_there("AccountId"));
    }
    match (&query.metric_stat, &query.expression) {
        (Some(stat), None) => {
            let metric = Metric {
                namespace: stat.metric.namespace.clone(),
                name: stat.metric.metric_name.clone(),
                dimensions: dimensions(&stat.metric.dimensions)?,
            };
            Ok((metric, stat))
        }
        (None, Some(_)) => Err(MonitoringError::not_there("Metric math (Expression)")),
        (None, None) | (Some(_), Some(_)) => Err(MonitoringError::validation(format!(
            "Exactly one of the parameters MetricStat and Expression is required for the query {}.",
            query.id
        ))),
    }
}

fn points(
    cx: &Context,
    input: &GetMetricDataIn,
    metric: &Metric,
    stat: &MetricStat,
) -> Result<Vec<(i64, f64)>, MonitoringError> {
    let statistic = parse(&stat.stat)?;
    let (from_secs, to_secs) = range(input.start_time, input.end_time, stat.period)?;
    let unit = stat.unit.as_deref();
    let wish = Data { tenant: &cx.tenant, metric, unit, period_secs: stat.period, from_secs, to_secs };
    let data = cx.metrics.data(wish);
    Ok(data.into_iter().filter_map(|(second, _, points)| Some((second, statistic.of(&points)?))).collect())
}
