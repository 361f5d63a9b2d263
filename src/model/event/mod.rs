//! Events: what happened, in EventBridge's form.
//!
//! In: records that changed ([`ecs`]), or what a client put. Out: an [`Event`], which the store numbers and keeps.
//!
//! Holds: an event never changes once it is kept. Its detail is JSON text: a parsed one takes five times the memory, and
//! thousands are kept.

pub mod cloudwatch;
pub mod ecr;
pub mod ecs;
pub mod image_scan;
pub mod inspector;

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::arn::Tenant;

/// The bus that every account has, and on which AWS's own services put their events.
pub const DEFAULT_BUS: &str = "default";

/// An event that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub tenant: Tenant,
    /// Its place among all events of the node: grows with every one, in the order in which they became durable.
    pub number: u64,
    /// A UUID.
    pub id: String,
    pub bus: String,
    pub source: String,
    pub detail_type: String,
    pub at: Timestamp,
    pub resources: Vec<String>,
    /// A JSON object as text.
    pub detail: String,
    /// Whether whoever kept it has passed it on to rules in the same transaction.
    #[serde(default)]
    pub is_routed: bool,
}

/// Details of events of ECS are smaller than this; clients may put up to 256 KiB.
const LARGE_BYTES: usize = 8 << 10;

impl Event {
    /// Whether it takes so much memory that only few are kept.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.detail.len() > LARGE_BYTES
    }

    /// The document that targets get and that patterns are matched against.
    #[must_use]
    pub fn document(&self) -> Value {
        json!({
            "version": "0",
            "id": self.id,
            "detail-type": self.detail_type,
            "source": self.source,
            "account": self.tenant.account,
            "time": whole_seconds(self.at),
            "region": self.tenant.region,
            "resources": self.resources,
            "detail": serde_json::from_str::<Value>(&self.detail).unwrap_or_default(),
        })
    }
}

/// An event that is to be kept: without number, which the store gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    pub tenant: Tenant,
    /// `None`: a new one.
    pub id: Option<String>,
    pub bus: String,
    pub source: String,
    pub detail_type: String,
    pub at: Timestamp,
    pub resources: Vec<String>,
    /// A JSON object as text.
    pub detail: String,
    /// Whether it is passed on to rules in the same transaction; else the router does that.
    pub is_routed: bool,
}

impl NewEvent {
    /// The event with an id and a number.
    #[must_use]
    pub fn numbered(self, id: String, number: u64) -> Event {
        let Self { tenant, id: _, bus, source, detail_type, at, resources, detail, is_routed } = self;
        Event { tenant, number, id, bus, source, detail_type, at, resources, detail, is_routed }
    }
}

/// EventBridge's `time`: RFC 3339 without fractions.
fn whole_seconds(at: Timestamp) -> String {
    let mut text = at.rfc3339();
    text.replace_range(text.len() - 5.., "Z");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_shown_as_eventbridge_shows_it() {
        let event = Event {
            tenant: Tenant::new("123456789012", "eu-west-1"),
            number: 7,
            id: "0".into(),
            bus: DEFAULT_BUS.into(),
            source: "my.app".into(),
            detail_type: "Order Placed".into(),
            at: Timestamp(1_795_382_240_123),
            resources: vec!["a".into()],
            detail: r#"{"b":1}"#.into(),
            is_routed: false,
        };
        let expected = json!({
            "version": "0", "id": "0", "detail-type": "Order Placed", "source": "my.app", "account": "123456789012",
            "time": "2026-11-22T21:17:20Z", "region": "eu-west-1", "resources": ["a"], "detail": {"b": 1},
        });
        assert_eq!(event.document(), expected);
    }
}
