//! CloudWatch alarms on one metric.
//!
//! ```text
//! INSUFFICIENT_DATA ◀──▶ OK ◀──▶ ALARM      evaluated, or set by a client until the next evaluation
//! ```
//!
//! Holds: the state has two writers that never disagree for long: SetAlarmState and the evaluation, which has the last word.

use std::collections::BTreeMap;

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::arn::Tenant;
use crate::tag::Tag;

/// What a metric is about: names and values.
pub type Dimensions = BTreeMap<String, String>;

/// A metric of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Metric {
    pub namespace: String,
    pub name: String,
    pub dimensions: Dimensions,
}

/// An alarm. Its key is tenant and name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    pub tenant: Tenant,
    pub name: String,
    pub description: Option<String>,
    pub watches: Watch,
    pub actions_enabled: bool,
    /// ARNs, by the state that they are for.
    pub ok_actions: Vec<String>,
    pub alarm_actions: Vec<String>,
    pub insufficient_data_actions: Vec<String>,
    pub configured_at: Timestamp,
    pub state: AlarmState,
    /// When the state's value last changed.
    pub transitioned_at: Timestamp,
    pub tags: Vec<Tag>,
    /// Raised with each configuration and each change of state.
    pub version: u64,
}

impl Alarm {
    /// The alarm's ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        self.tenant.arn("cloudwatch", format_args!("alarm:{}", self.name))
    }

    /// The actions for a state.
    #[must_use]
    pub fn actions(&self, state: StateValue) -> &[String] {
        match state {
            StateValue::Ok => &self.ok_actions,
            StateValue::Alarm => &self.alarm_actions,
            StateValue::InsufficientData => &self.insufficient_data_actions,
        }
    }
}

/// What the alarm looks at, and when it is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    pub metric: Metric,
    /// As in `Average` or `p99`.
    pub statistic: String,
    pub unit: Option<String>,
    pub period_secs: u32,
    /// N of "M out of N".
    pub evaluation_periods: u32,
    /// M of "M out of N", when it was given: else all of them.
    pub datapoints_to_alarm: Option<u32>,
    pub threshold: f64,
    pub comparison: Comparison,
    /// As it was given; absent is [`MissingData::Missing`].
    pub missing_data: Option<MissingData>,
}

/// How long after the end of a period it is evaluated at the latest: once a minute with what the minute measured, those that
/// are shorter than a minute every ten seconds.
const EVALUATED_AFTER_SECS: i64 = 20;
const SHORT_EVALUATED_AFTER_SECS: i64 = 10;

impl Watch {
    /// How long after something began the alarm has noticed it at the latest, in milliseconds. Periods lie on the clock, so
    /// that the first that is wholly of what began may begin up to one later.
    #[must_use]
    pub fn notices_within_millis(&self) -> i64 {
        let after = if self.period_secs < 60 { SHORT_EVALUATED_AFTER_SECS } else { EVALUATED_AFTER_SECS };
        (i64::from(self.period_secs) * (i64::from(self.evaluation_periods) + 1) + after) * 1000
    }
}

/// How a value breaches the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    GreaterThanOrEqualToThreshold,
    GreaterThanThreshold,
    LessThanThreshold,
    LessThanOrEqualToThreshold,
}

impl Comparison {
    /// Whether the value breaches.
    #[must_use]
    pub fn breaches(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::GreaterThanOrEqualToThreshold => value >= threshold,
            Self::GreaterThanThreshold => value > threshold,
            Self::LessThanThreshold => value < threshold,
            Self::LessThanOrEqualToThreshold => value <= threshold,
        }
    }

    /// As in "was not *greater than* the threshold".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::GreaterThanOrEqualToThreshold => "greater than or equal to",
            Self::GreaterThanThreshold => "greater than",
            Self::LessThanThreshold => "less than",
            Self::LessThanOrEqualToThreshold => "less than or equal to",
        }
    }
}

/// What a period without data counts as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MissingData {
    Breaching,
    NotBreaching,
    Ignore,
    #[default]
    Missing,
}

/// The state and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmState {
    pub value: StateValue,
    pub reason: String,
    /// JSON text.
    pub reason_data: Option<String>,
    pub at: Timestamp,
}

/// CloudWatch's state value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StateValue {
    Ok,
    Alarm,
    InsufficientData,
}

impl StateValue {
    /// The name that clients see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }
}

/// Something that befell an alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmHistory {
    pub tenant: Tenant,
    pub alarm: String,
    /// Its place among all items of the alarm, also of a deleted namesake.
    pub number: u64,
    pub at: Timestamp,
    pub kind: HistoryKind,
    pub summary: String,
    /// JSON text.
    pub data: String,
}

/// CloudWatch's type of a history item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HistoryKind {
    ConfigurationUpdate,
    StateUpdate,
    Action,
}
