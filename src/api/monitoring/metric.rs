//! Data that clients put, and which metrics there are.

use cove_base::Timestamp;
use cove_metrics::Points;
use cove_model::alarm::{Dimensions, Metric};

use super::error::MonitoringError;
use super::wire::{self, Datum, Dimension, ListMetricsIn, ListMetricsOut, Nothing, PutMetricDataIn};
use crate::Context;
use crate::aws::listing::{self, Order};

/// CloudWatch's limit of one request.
const DATA_MAX: usize = 1000;
/// Values of one datum.
const VALUES_MAX: usize = 150;
const DIMENSIONS_MAX: usize = 30;
/// CloudWatch takes two weeks; what is older than this is not kept here, so it is refused.
const OLDEST_MILLIS: i64 = 24 * 3_600_000;
const NEWEST_MILLIS: i64 = 2 * 3_600_000;
/// 2^360, CloudWatch's largest value.
const VALUE_MAX: f64 = 2.348_542_582_773_833_2e108;
/// ListMetrics' page.
const PAGE: usize = 500;
/// `PT3H`.
const RECENTLY_SECS: i64 = 3 * 3600;

/// PutMetricData. All or nothing, as far as the request itself goes.
pub(super) fn put(cx: &Context, input: PutMetricDataIn) -> Result<Nothing, MonitoringError> {
    if !input.entity_metric_data.is_empty() {
        return Err(MonitoringError::not_there("EntityMetricData"));
    }
    if input.namespace.starts_with("AWS/") {
        return Err(MonitoringError::value("The value AWS/ for parameter Namespace is invalid."));
    }
    if input.metric_data.is_empty() {
        return Err(MonitoringError::Missing("MetricData"));
    }
    if input.metric_data.len() > DATA_MAX {
        return Err(MonitoringError::value(format!(
            "The collection MetricData must not have a size greater than {DATA_MAX}."
        )));
    }
    let now = cx.clock.now();
    let checked = |(place, datum): (usize, &Datum)| Checked::read(&input.namespace, datum, place + 1, now);
    let all: Vec<Checked> = input.metric_data.iter().enumerate().map(checked).collect::<Result<_, _>>()?;
    for one in &all {
        let (metrics, moment) = (&cx.metrics, (one.at, one.resolution_secs));
        metrics.put(&cx.tenant, &one.metric, &one.unit, moment, &one.points).map_err(|_| {
            MonitoringError::LimitExceeded("This server keeps no more metrics than it has now.".to_owned())
        })?;
    }
    Ok(Nothing {})
}

struct Checked {
    metric: Metric,
    unit: String,
    at: Timestamp,
    resolution_secs: i64,
    points: Points,
}

impl Checked {
    fn read(namespace: &str, datum: &Datum, number: usize, now: Timestamp) -> Result<Self, MonitoringError> {
        let name = |member: &str| format!("MetricData.member.{number}.{member}");
        let dimensions = dimensions(&datum.dimensions)?;
        let at = datum.timestamp.map_or(now, |seconds| Timestamp(millis(seconds)));
        let age = now.millis() - at.millis();
        if !(-NEWEST_MILLIS..=OLDEST_MILLIS).contains(&age) {
            return Err(MonitoringError::value(format!(
                "The parameter {} must specify a time within the last day, or at most two hours in the future.",
                name("Timestamp")
            )));
        }
        let resolution_secs = datum.storage_resolution.unwrap_or(60);
        if ![1, 60].contains(&resolution_secs) {
            return Err(MonitoringError::value(format!(
                "The parameter {} must be 1 or 60.",
                name("StorageResolution")
            )));
        }
        Ok(Self {
            metric: Metric { namespace: namespace.to_owned(), name: datum.metric_name.clone(), dimensions },
            unit: datum.unit.clone().unwrap_or_else(|| "None".to_owned()),
            at,
            resolution_secs,
            points: points(datum, &name)?,
        })
    }
}

fn points(datum: &Datum, name: &impl Fn(&str) -> String) -> Result<Points, MonitoringError> {
    let in_range = |value: f64| value.is_finite() && value.abs() <= VALUE_MAX;
    let bad = |member: &str| MonitoringError::value(format!("The parameter {} is out of range.", name(member)));
    match (datum.value, datum.statistic_values, datum.values.is_empty()) {
        (Some(value), None, true) => in_range(value).then(|| Points::of_value(value, 1.0)).ok_or_else(|| bad("Value")),
        (None, Some(set), true) => {
            let whole = [set.sample_count, set.sum, set.minimum, set.maximum].into_iter().all(in_range);
            if !whole || set.sample_count <= 0.0 || set.minimum > set.maximum {
                return Err(bad("StatisticValues"));
            }
            Ok(Points::of_set(set.sample_count, set.sum, set.minimum, set.maximum))
        }
        (None, None, false) => {
            let counts_fit = datum.counts.is_empty() || datum.counts.len() == datum.values.len();
            if datum.values.len() > VALUES_MAX || !counts_fit {
                return Err(MonitoringError::value(format!(
                    "The parameters {} and {} must be of the same size, at most {VALUES_MAX}.",
                    name("Values"),
                    name("Counts")
                )));
            }
            let counts = datum.counts.iter().copied().chain(std::iter::repeat(1.0));
            let mut pairs = datum.values.iter().copied().zip(counts);
            if !pairs
                .clone()
                .take(datum.values.len())
                .all(|(value, count)| in_range(value) && in_range(count) && count > 0.0)
            {
                return Err(bad("Values"));
            }
            let first =
                pairs.next().map(|(value, count)| Points::of_value(value, count)).ok_or_else(|| bad("Values"))?;
            Ok(pairs.fold(first, |mut all, (value, count)| {
                all.merge(&Points::of_value(value, count));
                all
            }))
        }
        (None, None, true) => Err(MonitoringError::InvalidCombination(format!(
            "At least one of the parameters {}, {} or {} must be specified.",
            name("Value"),
            name("Values"),
            name("StatisticValues")
        ))),
        _ => Err(MonitoringError::InvalidCombination(format!(
            "The parameters {}, {} and {} are mutually exclusive and you have specified more than one.",
            name("Value"),
            name("Values"),
            name("StatisticValues")
        ))),
    }
}

/// Dimensions by name.
pub(super) fn dimensions(given: &[Dimension]) -> Result<Dimensions, MonitoringError> {
    if given.len() > DIMENSIONS_MAX {
        return Err(MonitoringError::value(format!(
            "The collection Dimensions must not have a size greater than {DIMENSIONS_MAX}."
        )));
    }
    let all: Dimensions = given.iter().map(|one| (one.name.clone(), one.value.clone())).collect();
    if all.len() < given.len() {
        return Err(MonitoringError::value("No two dimensions may have the same name."));
    }
    Ok(all)
}

/// ListMetrics.
pub(super) fn list(cx: &Context, input: ListMetricsIn) -> Result<ListMetricsOut, MonitoringError> {
    if input.include_linked_accounts == Some(true) || input.owning_account.is_some() {
        return Err(MonitoringError::not_there("Listing the metrics of linked accounts"));
    }
    let since = match input.recently_active.as_deref() {
        None => i64::MIN,
        Some("PT3H") => cx.clock.now().millis() / 1000 - RECENTLY_SECS,
        Some(other) => return Err(MonitoringError::value(format!("Invalid RecentlyActive: {other}"))),
    };
    let fits = |metric: &Metric, latest: i64| {
        latest >= since
            && input.namespace.as_ref().is_none_or(|namespace| *namespace == metric.namespace)
            && input.metric_name.as_ref().is_none_or(|name| *name == metric.name)
            && input.dimensions.iter().all(|filter| match (metric.dimensions.get(&filter.name), &filter.value) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(value), Some(wanted)) => value == wanted,
            })
    };
    let all = cx.metrics.list(&cx.tenant).into_iter();
    let all = all.filter(|(metric, latest)| fits(metric, *latest)).map(|(metric, _)| metric).collect();
    let (page, next_token) = listing::page(all, input.next_token.as_deref(), PAGE, Order::Up, Clone::clone)?;
    Ok(ListMetricsOut { metrics: page.iter().map(show).collect(), next_token })
}

fn show(metric: &Metric) -> wire::Metric {
    wire::Metric {
        namespace: metric.namespace.clone(),
        metric_name: metric.name.clone(),
        dimensions: show_dimensions(&metric.dimensions),
    }
}

pub(super) fn show_dimensions(dimensions: &Dimensions) -> Vec<Dimension> {
    dimensions.iter().map(|(name, value)| Dimension { name: name.clone(), value: value.clone() }).collect()
}

/// Milliseconds of a moment in seconds.
pub(super) fn millis(seconds: f64) -> i64 {
    #[allow(clippy::cast_possible_truncation, reason = "a number of this size saturates, and is refused then")]
    let millis = (seconds * 1000.0).round() as i64;
    millis
}
