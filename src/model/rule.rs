//! EventBridge: buses, rules with their targets, and what is on its way to a target.
//!
//! ```text
//! event ──matches──▶ Delivery ──▶ delivered (record deleted)
//! schedule ─────────▶   │  ▲ tried again later
//!                       └──┴─▶ dead: too often or too long, or never possible
//! ```
//!
//! Holds: an event is for a target only when it happened after the target was there ([`Target::since`]), so that routing it
//! again after a crash gives the same deliveries, and none for rules that came later.

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arn::Tenant;
use crate::event::DEFAULT_BUS;
use crate::tag::Tag;

/// A bus beside the default one, which has no record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventBus {
    pub tenant: Tenant,
    pub name: String,
    pub description: Option<String>,
    pub tags: Vec<Tag>,
    pub created_at: Timestamp,
}

/// The ARN of a bus.
#[must_use]
pub fn bus_arn(tenant: &Tenant, name: &str) -> String {
    tenant.arn("events", format_args!("event-bus/{name}"))
}

/// A rule. Its key is tenant, bus and name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    pub tenant: Tenant,
    pub bus: String,
    pub name: String,
    pub description: Option<String>,
    /// Checked JSON text.
    pub pattern: Option<String>,
    /// Checked: `rate(…)` or `cron(…)`.
    pub schedule: Option<String>,
    pub is_enabled: bool,
    pub role_arn: Option<String>,
    pub targets: Vec<Target>,
    pub tags: Vec<Tag>,
    /// From when its schedule counts: made, enabled or given another schedule.
    pub counts_from: Timestamp,
    /// The last time of its schedule that was dealt with.
    pub fired_at: Option<Timestamp>,
}

impl Rule {
    /// The rule's ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        rule_arn(&self.tenant, &self.bus, &self.name)
    }
}

/// The ARN of a rule.
#[must_use]
pub fn rule_arn(tenant: &Tenant, bus: &str, name: &str) -> String {
    if bus == DEFAULT_BUS {
        tenant.arn("events", format_args!("rule/{name}"))
    } else {
        tenant.arn("events", format_args!("rule/{bus}/{name}"))
    }
}

/// A target of a rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    pub id: String,
    pub arn: String,
    /// EventBridge shape `Target`, checked and kept as the client gave it.
    pub document: Value,
    /// Events with numbers above this one are for it.
    pub since: u64,
    /// Whether a task put it there: then it may start nothing that reaches the host.
    pub from_task: bool,
}

/// Something on its way to a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    pub tenant: Tenant,
    /// Its place among all of the node.
    pub number: u64,
    pub bus: String,
    pub rule: String,
    /// As it was when the event matched: changing the rule changes nothing that is on its way.
    pub target: Target,
    /// What the target gets: JSON, or text that a template made.
    pub input: String,
    pub created_at: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    pub next_at: Timestamp,
    pub last_error: Option<String>,
    /// Set when it is tried no more.
    pub dead_at: Option<Timestamp>,
}

/// How far events were passed on to rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routed {
    /// The number of the last event.
    pub number: u64,
}
