//! PutEvents and TestEventPattern.

use std::sync::Arc;

use cove_base::Timestamp;
use cove_base::ids::uuid;
use cove_events::pattern::Pattern;
use cove_events::{BACKLOG_MAX, bury_for_full_targets};
use cove_model::arn::Tenant;
use cove_model::event::NewEvent;
use cove_model::rule::{Delivery, Rule};
use cove_store::{Prefix, Read, Tx};
use serde_json::Value;

use super::bus;
use super::error::EventsError;
use super::wire::{Entry, EntryOut, PutEventsIn, PutEventsOut, TestEventPatternIn, TestEventPatternOut};
use crate::Context;

/// AWS's limit of one request.
const REQUEST_BYTES_MAX: usize = 256 << 10;

/// PutEvents. An entry that is acknowledged is in the store, with everything that follows from it.
pub(super) async fn events(cx: &Context, input: PutEventsIn) -> Result<PutEventsOut, EventsError> {
    if input.endpoint_id.is_some() {
        return Err(EventsError::validation("EndpointId is not carried out by this version of Cove."));
    }
    if input.entries.iter().map(size).sum::<usize>() > REQUEST_BYTES_MAX {
        return Err(EventsError::validation(format!(
            "Total size of the entries in the request is over the limit of {REQUEST_BYTES_MAX} bytes."
        )));
    }
    let now = cx.clock.now();
    let (rules, waiting) =
        cx.store.read(|view| (view.scan::<Rule>(&Prefix::tenant(&cx.tenant)), view.live::<Delivery>(&Prefix::all())));
    let mut good = Vec::new();
    let mut entries = Vec::with_capacity(input.entries.len());
    for entry in input.entries {
        let checked = cx.store.read(|view| checked(view, &cx.tenant, entry, now));
        entries.push(match checked {
            Ok(event) => {
                let event_id = event.id.clone();
                good.push(with_deliveries(&rules, event, now));
                EntryOut { event_id, ..EntryOut::default() }
            }
            Err((code, message)) => {
                EntryOut { error_code: Some(code), error_message: Some(message), ..EntryOut::default() }
            }
        });
    }
    bury_for_full_targets(good.iter_mut().flat_map(|(_, deliveries)| deliveries), &waiting, now);
    let new = good.iter().flat_map(|(_, deliveries)| deliveries).filter(|delivery| delivery.dead_at.is_none());
    if waiting.len() + new.count() > BACKLOG_MAX {
        let busy = || EntryOut {
            error_code: Some("ThrottlingException"),
            error_message: Some(format!("{BACKLOG_MAX} deliveries wait already")),
            ..EntryOut::default()
        };
        let entries: Vec<EntryOut> = entries.iter().map(|_| busy()).collect();
        return Ok(PutEventsOut { failed_entry_count: entries.len(), entries });
    }
    cx.store.write(move |tx| keep(tx, good)).await?;
    let failed_entry_count = entries.iter().filter(|entry| entry.event_id.is_none()).count();
    Ok(PutEventsOut { failed_entry_count, entries })
}

fn keep(tx: &mut Tx<'_>, good: Vec<(NewEvent, Vec<Delivery>)>) -> Result<(), EventsError> {
    for (event, deliveries) in good {
        tx.emit(event);
        for delivery in deliveries {
            tx.put_delivery(delivery);
        }
    }
    Ok(())
}

fn with_deliveries(rules: &[Arc<Rule>], event: NewEvent, now: Timestamp) -> (NewEvent, Vec<Delivery>) {
    // Every rule that is there now was there before it.
    let numbered = event.clone().numbered(event.id.clone().unwrap_or_default(), u64::MAX);
    let deliveries = cove_events::deliveries(rules, &numbered, now);
    (event, deliveries)
}

/// As AWS counts: what an entry has as UTF-8, and 14 bytes for a time.
fn size(entry: &Entry) -> usize {
    let texts = [&entry.source, &entry.detail_type, &entry.detail];
    let resources: usize = entry.resources.iter().map(String::len).sum();
    let time = if entry.time.is_some() { 14 } else { 0 };
    texts.iter().filter_map(|text| text.as_ref().map(String::len)).sum::<usize>() + resources + time
}

/// The event of an entry, or the code and message of what is wrong with it.
fn checked(
    state: &impl Read,
    tenant: &Tenant,
    entry: Entry,
    now: Timestamp,
) -> Result<NewEvent, (&'static str, String)> {
    let required = |given: Option<String>, name: &str| {
        let missing =
            || ("InvalidArgument", format!("Parameter {name} is not valid. Reason: {name} is a required argument."));
        given.filter(|text| !text.is_empty()).ok_or_else(missing)
    };
    let source = required(entry.source, "Source")?;
    let detail_type = required(entry.detail_type, "DetailType")?;
    let detail = required(entry.detail, "Detail")?;
    if source.starts_with("aws.") {
        return Err(("NotAuthorizedForSourceException", "Not authorized for the source.".to_owned()));
    }
    if !serde_json::from_str::<Value>(&detail).is_ok_and(|value| value.is_object()) {
        return Err(("MalformedDetail", "Detail is malformed.".to_owned()));
    }
    let bus = bus::existing(state, tenant, entry.event_bus_name.as_deref());
    let bus = bus.map_err(|error| ("InvalidArgument", error.to_string()))?;
    #[allow(clippy::cast_possible_truncation, reason = "the time of an event, in milliseconds")]
    let at = entry.time.map_or(now, |seconds| Timestamp((seconds * 1000.0).round() as i64));
    Ok(NewEvent {
        tenant: tenant.clone(),
        id: Some(uuid()),
        bus,
        source,
        detail_type,
        at,
        resources: entry.resources,
        detail,
        is_routed: true,
    })
}

/// TestEventPattern.
pub(super) fn test_pattern(_: &Context, input: TestEventPatternIn) -> Result<TestEventPatternOut, EventsError> {
    const MEMBERS: [&str; 7] = ["id", "account", "source", "time", "region", "resources", "detail-type"];
    let pattern = Pattern::parse(&input.event_pattern)?;
    let event: Value = serde_json::from_str(&input.event)
        .map_err(|_| EventsError::validation("Parameter Event is not valid. Reason: it is not JSON."))?;
    if let Some(missing) = MEMBERS.iter().find(|name| event.get(**name).is_none()) {
        return Err(EventsError::validation(format!("Parameter Event is not valid. Reason: {missing} is missing.")));
    }
    Ok(TestEventPatternOut { result: pattern.matches(&event) })
}
