//! Amazon EventBridge: buses, rules, targets, and events that clients put.
//!
//! In: requests of the EventBridge API. Out: records, by which [`cove_events`] passes events on; and [`carry`], which carries
//! out for it what targets ask of this API.
//!
//! Holds: an event that PutEvents acknowledged is in the store with all its deliveries. A rule is checked when it is made:
//! what cannot be reached or is not carried out is refused then.
//! Absent: archives, replays, pipes, API destinations of clients (the operator names endpoints), cross-account policies.

#![allow(clippy::needless_pass_by_value, reason = "handlers own their input: the adapters hand it over")]

mod bus;
mod carry;
mod error;
mod put;
mod rule;
mod tag;
mod target;
mod wire;

pub(crate) use carry::Carrier;

use crate::{Op, Service, json, read};

/// EventBridge.
pub static SERVICE: Service = Service::json("events", "AWSEvents", include_bytes!("model.json.gz"), OPS);

/// The test of rules and their targets.
const RULE_TEST: &str = "a_rule_lives_and_dies_across_restarts";
/// The test of what rules do.
const DELIVERY_TEST: &str = "events_reach_the_targets_of_their_rules_also_across_restarts";
/// What targets lack.
const TARGETS: &str = "targets other than log groups, RunTask and the operator's endpoints";
/// What buses lack.
const BUSES: &str = "policies, dead-letter queues, encryption and logs of buses";

pub(crate) const OPS: &[Op] = &[
    Op::partial("PutEvents", DELIVERY_TEST, "global endpoints", |cx, input| json(cx, input, put::events)),
    Op::done("TestEventPattern", RULE_TEST, |cx, input| read(cx, input, put::test_pattern)),
    Op::partial("PutRule", RULE_TEST, "management events of CloudTrail", |cx, input| json(cx, input, rule::put)),
    Op::done("DescribeRule", RULE_TEST, |cx, input| read(cx, input, rule::describe)),
    Op::done("ListRules", RULE_TEST, |cx, input| read(cx, input, rule::list)),
    Op::done("EnableRule", RULE_TEST, |cx, input| json(cx, input, rule::enable)),
    Op::done("DisableRule", RULE_TEST, |cx, input| json(cx, input, rule::disable)),
    Op::done("DeleteRule", RULE_TEST, |cx, input| json(cx, input, rule::delete)),
    Op::partial("PutTargets", DELIVERY_TEST, TARGETS, |cx, input| json(cx, input, target::put)),
    Op::done("RemoveTargets", RULE_TEST, |cx, input| json(cx, input, target::remove)),
    Op::done("ListTargetsByRule", RULE_TEST, |cx, input| read(cx, input, target::list)),
    Op::done("ListRuleNamesByTarget", RULE_TEST, |cx, input| read(cx, input, target::rules)),
    Op::partial("CreateEventBus", RULE_TEST, BUSES, |cx, input| json(cx, input, bus::create)),
    Op::done("DeleteEventBus", RULE_TEST, |cx, input| json(cx, input, bus::delete)),
    Op::done("DescribeEventBus", RULE_TEST, |cx, input| read(cx, input, bus::describe)),
    Op::done("ListEventBuses", RULE_TEST, |cx, input| read(cx, input, bus::list)),
    Op::done("TagResource", RULE_TEST, |cx, input| json(cx, input, tag::tag)),
    Op::done("UntagResource", RULE_TEST, |cx, input| json(cx, input, tag::untag)),
    Op::done("ListTagsForResource", RULE_TEST, |cx, input| read(cx, input, tag::list)),
];
