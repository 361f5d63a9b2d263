//! Targets of rules.

use std::sync::Arc;

use cove_events::{input as target_input, target};
use cove_model::rule::{Rule, Target};
use cove_store::{Prefix, Read};
use serde_json::Value;

use super::bus::{self, PAGE};
use super::error::EventsError;
use super::rule::{change, found};
use super::wire::{
    ListTargetsIn, ListTargetsOut, PutTargetsIn, RemoveTargetsIn, RulesByTargetIn, RulesByTargetOut, TargetsOut,
};
use crate::aws::listing::{self, Order};
use crate::{Context, Origin};

/// AWS's quota of a rule.
const TARGETS_MAX: usize = 5;

const NONE_FAILED: TargetsOut = TargetsOut { failed_entry_count: 0, failed_entries: Vec::new() };

/// PutTargets: adds targets, or replaces those of the same ids. All or none.
pub(super) async fn put(cx: &Context, input: PutTargetsIn) -> Result<TargetsOut, EventsError> {
    let mut new = Vec::with_capacity(input.targets.len());
    for document in input.targets {
        let text = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
        target::check(&cx.tenant, &document, |name| cx.settings.event_endpoints.has(name))?;
        target_input::check(&document)?;
        let from_task = cx.origin == Origin::Task;
        let (id, arn) = (text("Id"), text("Arn"));
        if new.iter().any(|known: &Target| known.id == id) {
            return Err(EventsError::validation(format!("Targets must have distinct ids: {id} is given twice.")));
        }
        new.push(Target { id, arn, document, since: 0, from_task });
    }
    change(cx, input.event_bus_name, input.rule, move |tx, rule| {
        for target in new {
            let since = tx.events_before();
            match rule.targets.iter_mut().find(|known| known.id == target.id) {
                // It goes on where the old one was.
                Some(known) => *known = Target { since: known.since, ..target },
                None => rule.targets.push(Target { since, ..target }),
            }
        }
        if rule.targets.len() > TARGETS_MAX {
            return Err(EventsError::LimitExceeded(format!("A rule has at most {TARGETS_MAX} targets.")));
        }
        Ok(())
    })
    .await?;
    Ok(NONE_FAILED)
}

/// RemoveTargets. What is on its way arrives nevertheless.
pub(super) async fn remove(cx: &Context, input: RemoveTargetsIn) -> Result<TargetsOut, EventsError> {
    change(cx, input.event_bus_name, input.rule, move |_, rule| {
        rule.targets.retain(|target| !input.ids.contains(&target.id));
        Ok(())
    })
    .await?;
    Ok(NONE_FAILED)
}

/// ListTargetsByRule.
pub(super) fn list(cx: &Context, input: ListTargetsIn) -> Result<ListTargetsOut, EventsError> {
    let rule = cx.store.read(|view| found(view, cx, input.event_bus_name.as_deref(), &input.rule))?;
    let all: Vec<Value> = rule.targets.iter().map(|target| target.document.clone()).collect();
    let id = |document: &Value| document["Id"].as_str().unwrap_or_default().to_owned();
    let (targets, next_token) =
        listing::page(all, input.next_token.as_deref(), input.limit.unwrap_or(PAGE).max(1), Order::Up, id)?;
    Ok(ListTargetsOut { targets, next_token })
}

/// ListRuleNamesByTarget.
pub(super) fn rules(cx: &Context, input: RulesByTargetIn) -> Result<RulesByTargetOut, EventsError> {
    let all = cx.store.read(|view| {
        let bus = bus::existing(view, &cx.tenant, input.event_bus_name.as_deref())?;
        Ok::<_, EventsError>(view.scan::<Rule>(&Prefix::parent(&cx.tenant, &bus)))
    })?;
    let has = |rule: &Arc<Rule>| rule.targets.iter().any(|target| target.arn == input.target_arn);
    let all: Vec<String> = all.into_iter().filter(has).map(|rule| rule.name.clone()).collect();
    let limit = input.limit.unwrap_or(PAGE).max(1);
    let (rule_names, next_token) = listing::page(all, input.next_token.as_deref(), limit, Order::Up, Clone::clone)?;
    Ok(RulesByTargetOut { rule_names, next_token })
}
