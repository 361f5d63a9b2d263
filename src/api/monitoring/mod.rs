//! Amazon CloudWatch: metrics and alarms.
//!
//! In: requests in CBOR, JSON or form fields, whatever the client's age. Out: data points in memory
//! ([`cove_metrics::Metrics`]) and alarms as records, which `cove_metrics` evaluates.
//!
//! Absent: metric math, composite alarms, anomaly detection, dashboards, metric streams. Actions of alarms are kept, and the
//! alarm's history says that they were not carried out; a rule on the alarm's event does what an action would.

#![allow(clippy::needless_pass_by_value, reason = "handlers own their input: the adapters hand it over")]

mod alarm;
mod data;
mod describe;
mod error;
mod history;
mod metric;
mod statistics;
mod tag;
mod wire;

use crate::{Op, Service, json, read};

/// CloudWatch.
pub static SERVICE: Service =
    Service::query_compatible("monitoring", "GraniteServiceVersion20100801", include_bytes!("model.json.gz"), OPS);

/// What data lack.
const KEPT: &str = "data of more than a day; entities";
/// What alarms lack.
const ALARMS: &str = "metric math, anomaly detection, PromQL, actions other than events";
/// The test of every operation on alarms.
const ALARM_TEST: &str = "an_alarm_lives_and_dies_across_restarts";
/// The test of every operation on metrics.
const METRIC_TEST: &str = "metrics_are_put_listed_and_read_in_every_protocol";

pub(crate) const OPS: &[Op] = &[
    Op::partial("PutMetricData", METRIC_TEST, KEPT, |cx, input| read(cx, input, metric::put)),
    Op::partial("ListMetrics", METRIC_TEST, "linked accounts", |cx, input| read(cx, input, metric::list)),
    Op::partial("GetMetricStatistics", METRIC_TEST, KEPT, |cx, input| read(cx, input, statistics::get)),
    Op::partial("GetMetricData", METRIC_TEST, "metric math; data of more than a day", |cx, input| {
        read(cx, input, data::get)
    }),
    Op::partial("PutMetricAlarm", ALARM_TEST, ALARMS, |cx, input| json(cx, input, alarm::put)),
    Op::partial("DescribeAlarms", ALARM_TEST, "composite alarms", |cx, input| read(cx, input, describe::alarms)),
    Op::done("DescribeAlarmsForMetric", ALARM_TEST, |cx, input| read(cx, input, describe::for_metric)),
    Op::done("DescribeAlarmHistory", ALARM_TEST, |cx, input| read(cx, input, history::describe)),
    Op::done("DeleteAlarms", ALARM_TEST, |cx, input| json(cx, input, alarm::delete)),
    Op::done("SetAlarmState", ALARM_TEST, |cx, input| json(cx, input, alarm::set_state)),
    Op::done("EnableAlarmActions", ALARM_TEST, |cx, input| json(cx, input, alarm::enable_actions)),
    Op::done("DisableAlarmActions", ALARM_TEST, |cx, input| json(cx, input, alarm::disable_actions)),
    Op::partial("TagResource", ALARM_TEST, "what is no alarm", |cx, input| json(cx, input, tag::tag)),
    Op::partial("UntagResource", ALARM_TEST, "what is no alarm", |cx, input| json(cx, input, tag::untag)),
    Op::partial("ListTagsForResource", ALARM_TEST, "what is no alarm", |cx, input| read(cx, input, tag::list)),
];
