//! What happened: events of the caller's tenant, from those that are kept, or as they come.
//!
//! In: `after` (a number of an earlier answer; absent: the newest ones), `limit`, `wait_millis`. Out: `events`, oldest
//! first, and `next`, from which a client goes on.
//!
//! Holds: with `next` as its `after` a client misses no event, as long as it asks before the event is too old to be kept.
//! A number of another store (the server began anew, or from a backup) means the oldest event.

use std::time::Duration;

use cove_model::arn::Tenant;
use cove_model::event::Event;
use cove_model::rule::Delivery;
use cove_store::{Prefix, Read, View, keys};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{good, wish};
use crate::{RawContext, Request, Response};

/// Events of one answer.
const LIMIT_MAX: usize = 1000;
/// How long an answer may be kept back: shorter than what proxies take for a dead connection.
const WAIT_MAX: Duration = Duration::from_secs(20);

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wish {
    after: Option<u64>,
    limit: Option<usize>,
    wait_millis: u64,
}

/// `POST events`.
pub(super) async fn answer(cx: &RawContext, request: Request) -> Response {
    let Some(identity) = &cx.identity else { return cx.not_found() };
    let wish: Wish = match wish(request).await {
        Ok(wish) => wish,
        Err(response) => return response,
    };
    let limit = wish.limit.unwrap_or(LIMIT_MAX).min(LIMIT_MAX);
    let mut changes = cx.store().watch::<Event>();
    let mut stopping = cx.stopping();
    let give_up = tokio::time::sleep(Duration::from_millis(wish.wait_millis).min(WAIT_MAX));
    tokio::pin!(give_up);
    loop {
        changes.mark_unchanged();
        let page = cx.store().read(|view| page(view, &identity.tenant, wish.after, limit));
        if !page.events.is_empty() || wish.wait_millis == 0 {
            return good(&page.shown());
        }
        tokio::select! {
            result = changes.changed() => if result.is_err() { return good(&page.shown()) },
            () = &mut give_up => return good(&page.shown()),
            _ = stopping.wait_for(|stopping| *stopping) => return good(&page.shown()),
        }
    }
}

/// `GET events/dead`: deliveries that were given up, and why.
pub(super) fn dead(cx: &RawContext) -> Response {
    let Some(identity) = &cx.identity else { return cx.not_found() };
    let all = cx.store().read(|view| view.scan::<Delivery>(&Prefix::all()));
    let dead = all.iter().filter(|one| one.tenant == identity.tenant && one.dead_at.is_some());
    let show = |one: &std::sync::Arc<Delivery>| {
        json!({
            "rule": one.rule,
            "bus": one.bus,
            "target": one.target.arn,
            "targetId": one.target.id,
            "createdAt": one.created_at.rfc3339(),
            "deadAt": one.dead_at.map(cove_base::Timestamp::rfc3339),
            "attempts": one.attempts,
            "error": one.last_error,
            "input": one.input,
        })
    };
    let waiting = all.iter().filter(|one| one.tenant == identity.tenant && one.dead_at.is_none()).count();
    good(&json!({"dead": dead.map(show).collect::<Vec<_>>(), "waiting": waiting}))
}

struct Page {
    events: Vec<Value>,
    next: u64,
}

impl Page {
    fn shown(self) -> Value {
        json!({"events": self.events, "next": self.next})
    }
}

fn page(view: &View, tenant: &Tenant, after: Option<u64>, limit: usize) -> Page {
    let after = after.map(|number| if number < view.next_event_number() { number } else { 0 });
    let from = after.map(keys::event);
    let all = view.page::<Event>(&Prefix::all(), from.as_ref(), usize::MAX);
    let last = all.last().map_or(after.unwrap_or(0), |event| event.number);
    let mut mine: Vec<_> = all.into_iter().filter(|event| event.tenant == *tenant).collect();
    match after {
        None => drop(mine.drain(..mine.len().saturating_sub(limit))),
        Some(_) => mine.truncate(limit),
    }
    // A page that is cut goes on behind its own end, a whole one behind everything that was looked at.
    let next = if mine.len() == limit { mine.last().map_or(last, |event| event.number) } else { last };
    Page { events: mine.iter().map(|event| event.document()).collect(), next }
}
