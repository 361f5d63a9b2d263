//! DescribeAlarmHistory: what befell alarms, also those that are gone.

use cove_model::alarm::{AlarmHistory, HistoryKind};
use cove_store::{Prefix, Read};

use super::error::MonitoringError;
use super::metric::millis;
use super::wire::{DescribeAlarmHistoryIn, DescribeAlarmHistoryOut, HistoryItem, ScanBy};
use crate::Context;
use crate::aws::listing::{self, Order};

const PAGE: usize = 100;

/// DescribeAlarmHistory.
pub(super) fn describe(
    cx: &Context,
    input: DescribeAlarmHistoryIn,
) -> Result<DescribeAlarmHistoryOut, MonitoringError> {
    if input.alarm_contributor_id.is_some() {
        return Err(MonitoringError::not_there("AlarmContributorId"));
    }
    let wants_metric_alarms =
        input.alarm_types.is_empty() || input.alarm_types.iter().any(|kind| kind == "MetricAlarm");
    let kind = match input.history_item_type.as_deref() {
        None => None,
        Some("ConfigurationUpdate") => Some(HistoryKind::ConfigurationUpdate),
        Some("StateUpdate") => Some(HistoryKind::StateUpdate),
        Some("Action") => Some(HistoryKind::Action),
        Some(other) => return Err(MonitoringError::not_there(&format!("HistoryItemType {other}"))),
    };
    let fits = |item: &AlarmHistory| {
        wants_metric_alarms
            && input.alarm_name.as_ref().is_none_or(|name| *name == item.alarm)
            && kind.is_none_or(|kind| kind == item.kind)
            && input.start_date.is_none_or(|start| item.at.millis() >= millis(start))
            && input.end_date.is_none_or(|end| item.at.millis() <= millis(end))
    };
    let all = cx.store.read(|view| view.scan::<AlarmHistory>(&Prefix::tenant(&cx.tenant)));
    let all: Vec<_> = all.into_iter().filter(|item| fits(item)).collect();
    let order = if input.scan_by == Some(ScanBy::TimestampAscending) { Order::Up } else { Order::Down };
    let limit = input.max_records.unwrap_or(PAGE).max(1);
    let (page, next_token) = listing::page(all, input.next_token.as_deref(), limit, order, |item| item.number)?;
    let show = |item: &AlarmHistory| HistoryItem {
        alarm_name: item.alarm.clone(),
        alarm_type: "MetricAlarm",
        timestamp: item.at.epoch_seconds(),
        history_item_type: item.kind,
        history_summary: item.summary.clone(),
        history_data: item.data.clone(),
    };
    Ok(DescribeAlarmHistoryOut { alarm_history_items: page.iter().map(|item| show(item)).collect(), next_token })
}
