//! The event of an alarm that changes its state, as AWS documents it.

use cove_base::Timestamp;
use serde_json::{Value, json};

use super::{DEFAULT_BUS, NewEvent};
use crate::alarm::{Alarm, AlarmState};

/// An alarm is in another state than before.
#[must_use]
pub fn alarm_state_change(before: &Alarm, alarm: &Alarm, at: Timestamp) -> NewEvent {
    let detail = json!({
        "alarmName": alarm.name,
        "configuration": configuration(alarm),
        "previousState": state(&before.state),
        "state": state(&alarm.state),
    });
    NewEvent {
        tenant: alarm.tenant.clone(),
        id: None,
        bus: DEFAULT_BUS.to_owned(),
        source: "aws.cloudwatch".to_owned(),
        detail_type: "CloudWatch Alarm State Change".to_owned(),
        at,
        resources: vec![alarm.arn()],
        detail: detail.to_string(),
        is_routed: false,
    }
}

fn configuration(alarm: &Alarm) -> Value {
    let watches = &alarm.watches;
    let metric = json!({
        "dimensions": watches.metric.dimensions,
        "name": watches.metric.name,
        "namespace": watches.metric.namespace,
    });
    let mut whole = json!({
        "metrics": [{
            "id": "m1",
            "metricStat": {"metric": metric, "period": watches.period_secs, "stat": watches.statistic},
            "returnData": true,
        }],
    });
    if let Some(text) = &alarm.description {
        whole["description"] = json!(text);
    }
    whole
}

fn state(state: &AlarmState) -> Value {
    let mut shown = json!({
        "reason": state.reason,
        "timestamp": with_offset(state.at),
        "value": state.value.as_str(),
    });
    if let Some(data) = &state.reason_data {
        shown["reasonData"] = json!(data);
    }
    shown
}

/// CloudWatch's own form of a time, as in `2019-10-02T17:04:40.989+0000`.
#[must_use]
pub fn with_offset(at: Timestamp) -> String {
    at.rfc3339().replace('Z', "+0000")
}
