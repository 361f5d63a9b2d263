//! Rules.

use std::sync::Arc;

use cove_events::pattern::Pattern;
use cove_events::schedule::Schedule;
use cove_model::event::DEFAULT_BUS;
use cove_model::rule::Rule;
use cove_store::{Prefix, Read, Tx, keys};

use super::bus::{self, PAGE};
use super::error::EventsError;
use super::tag;
use super::wire::{self, DescribeRuleOut, ListRulesIn, ListRulesOut, Nothing, PutRuleIn, RuleArnOut, RuleIn};
use crate::Context;
use crate::aws::listing::{self, Order};

/// AWS's quota of a bus.
const RULES_MAX: usize = 300;

/// PutRule. A rule that is there keeps its targets and tags; everything else is as the request says.
pub(super) async fn put(cx: &Context, input: PutRuleIn) -> Result<RuleArnOut, EventsError> {
    if input.event_pattern.is_none() && input.schedule_expression.is_none() {
        return Err(EventsError::validation("Parameter(s) EventPattern or ScheduleExpression must be specified."));
    }
    input.event_pattern.as_deref().map(Pattern::parse).transpose()?;
    input.schedule_expression.as_deref().map(Schedule::parse).transpose()?;
    let is_enabled = match input.state.as_deref() {
        None | Some("ENABLED") => true,
        Some("DISABLED") => false,
        Some(other) => {
            return Err(EventsError::validation(format!("State {other} is not carried out by this version of Cove.")));
        }
    };
    let tags = tag::laid_over(Vec::new(), input.tags.clone())?;
    let tenant = cx.tenant.clone();
    let write = move |tx: &mut Tx<'_>| {
        let bus = bus::existing(tx, &tenant, input.event_bus_name.as_deref())?;
        if bus != DEFAULT_BUS && input.schedule_expression.is_some() {
            return Err(EventsError::validation("ScheduleExpression is supported only on the default event bus."));
        }
        let known = tx.get::<Rule>(&keys::rule(&tenant, &bus, &input.name));
        if known.is_none() && tx.count::<Rule>(&Prefix::parent(&tenant, &bus)) >= RULES_MAX {
            return Err(EventsError::LimitExceeded(
                "The requested resource exceeds the maximum number allowed.".to_owned(),
            ));
        }
        let known = known.as_deref();
        let mut rule = Rule {
            tenant,
            bus,
            name: input.name,
            description: input.description,
            pattern: input.event_pattern,
            schedule: input.schedule_expression,
            is_enabled,
            role_arn: input.role_arn,
            targets: known.map_or_else(Vec::new, |rule| rule.targets.clone()),
            tags: known.map_or(tags, |rule| rule.tags.clone()),
            counts_from: known.map_or(tx.now(), |rule| rule.counts_from),
            fired_at: known.and_then(|rule| rule.fired_at),
        };
        if known.is_some_and(|known| begins_anew(known, &rule)) {
            begin(tx, &mut rule);
        }
        let rule_arn = rule.arn();
        tx.put(rule);
        Ok(RuleArnOut { rule_arn })
    };
    cx.store.write(write).await
}

/// Whether nothing that happened before the change is for the rule.
fn begins_anew(before: &Rule, after: &Rule) -> bool {
    before.pattern != after.pattern || before.schedule != after.schedule || (after.is_enabled && !before.is_enabled)
}

fn begin(tx: &Tx<'_>, rule: &mut Rule) {
    rule.counts_from = tx.now();
    rule.fired_at = None;
    for target in &mut rule.targets {
        target.since = tx.events_before();
    }
}

/// DescribeRule.
pub(super) fn describe(cx: &Context, input: RuleIn) -> Result<DescribeRuleOut, EventsError> {
    let rule = cx.store.read(|view| found(view, cx, input.event_bus_name.as_deref(), &input.name))?;
    Ok(DescribeRuleOut { rule: show(&rule), created_by: cx.tenant.account.clone() })
}

/// A rule that is there.
pub(super) fn found(state: &impl Read, cx: &Context, bus: Option<&str>, name: &str) -> Result<Arc<Rule>, EventsError> {
    let bus = bus::existing(state, &cx.tenant, bus)?;
    state.get::<Rule>(&keys::rule(&cx.tenant, &bus, name)).ok_or_else(|| EventsError::no_rule(name, &bus))
}

/// ListRules.
pub(super) fn list(cx: &Context, input: ListRulesIn) -> Result<ListRulesOut, EventsError> {
    let all = cx.store.read(|view| {
        let bus = bus::existing(view, &cx.tenant, input.event_bus_name.as_deref())?;
        Ok::<_, EventsError>(view.scan::<Rule>(&Prefix::parent(&cx.tenant, &bus)))
    })?;
    let fits = |rule: &Arc<Rule>| input.name_prefix.as_ref().is_none_or(|prefix| rule.name.starts_with(prefix));
    let all = all.into_iter().filter(fits).collect();
    let limit = input.limit.unwrap_or(PAGE).max(1);
    let (page, next_token) =
        listing::page(all, input.next_token.as_deref(), limit, Order::Up, |rule: &Arc<Rule>| rule.name.clone())?;
    Ok(ListRulesOut { rules: page.iter().map(|rule| show(rule)).collect(), next_token })
}

fn show(rule: &Rule) -> wire::Rule {
    wire::Rule {
        name: rule.name.clone(),
        arn: rule.arn(),
        event_pattern: rule.pattern.clone(),
        schedule_expression: rule.schedule.clone(),
        state: if rule.is_enabled { "ENABLED" } else { "DISABLED" },
        description: rule.description.clone(),
        role_arn: rule.role_arn.clone(),
        event_bus_name: rule.bus.clone(),
    }
}

/// EnableRule. What happened while it was disabled is not for it.
pub(super) async fn enable(cx: &Context, input: RuleIn) -> Result<Nothing, EventsError> {
    change(cx, input.event_bus_name, input.name, |tx, rule| {
        if !rule.is_enabled {
            rule.is_enabled = true;
            begin(tx, rule);
        }
        Ok(())
    })
    .await
}

/// DisableRule.
pub(super) async fn disable(cx: &Context, input: RuleIn) -> Result<Nothing, EventsError> {
    change(cx, input.event_bus_name, input.name, |_, rule| {
        rule.is_enabled = false;
        Ok(())
    })
    .await
}

/// Changes a rule that is there.
pub(super) async fn change(
    cx: &Context,
    bus: Option<String>,
    name: String,
    f: impl FnOnce(&Tx<'_>, &mut Rule) -> Result<(), EventsError> + Send + 'static,
) -> Result<Nothing, EventsError> {
    let tenant = cx.tenant.clone();
    let write = move |tx: &mut Tx<'_>| {
        let bus = bus::existing(tx, &tenant, bus.as_deref())?;
        let known = tx.get::<Rule>(&keys::rule(&tenant, &bus, &name));
        let mut rule = (*known.ok_or_else(|| EventsError::no_rule(&name, &bus))?).clone();
        f(tx, &mut rule)?;
        tx.put(rule);
        Ok(Nothing {})
    };
    cx.store.write(write).await
}

/// DeleteRule. One that is not there is no error.
pub(super) async fn delete(cx: &Context, input: RuleIn) -> Result<Nothing, EventsError> {
    let tenant = cx.tenant.clone();
    let write = move |tx: &mut Tx<'_>| {
        let bus = bus::existing(tx, &tenant, input.event_bus_name.as_deref())?;
        let key = keys::rule(&tenant, &bus, &input.name);
        if tx.get::<Rule>(&key).is_some_and(|rule| !rule.targets.is_empty()) {
            return Err(EventsError::validation("Rule can't be deleted since it has targets."));
        }
        tx.delete::<Rule>(&key);
        Ok(Nothing {})
    };
    cx.store.write(write).await
}
