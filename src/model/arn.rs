//! Tenants and Amazon Resource Names.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Account × region: the wall between one caller's things and another's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tenant {
    /// Twelve digits.
    pub account: String,
    /// As in `us-east-1`.
    pub region: String,
}

impl Tenant {
    /// Joins the two.
    #[must_use]
    pub fn new(account: impl Into<String>, region: impl Into<String>) -> Self {
        Self { account: account.into(), region: region.into() }
    }

    /// `arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE`.
    #[must_use]
    pub fn arn(&self, service: &str, resource: impl fmt::Display) -> String {
        format!("arn:aws:{service}:{}:{}:{resource}", self.region, self.account)
    }

    /// An ARN of a service without regions, such as IAM.
    #[must_use]
    pub fn global_arn(&self, service: &str, resource: impl fmt::Display) -> String {
        format!("arn:aws:{service}::{}:{resource}", self.account)
    }
}

/// An ARN taken apart: `arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arn<'a> {
    pub service: &'a str,
    pub region: &'a str,
    pub account: &'a str,
    /// Everything after the fifth colon, such as `task/default/0123`.
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// `None` when the text is no ARN of the `aws` partition.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        if parts.next() != Some("arn") || parts.next() != Some("aws") {
            return None;
        }
        Some(Self { service: parts.next()?, region: parts.next()?, account: parts.next()?, resource: parts.next()? })
    }

    /// Whether it names something of this tenant.
    #[must_use]
    pub fn belongs_to(&self, tenant: &Tenant) -> bool {
        self.account == tenant.account && self.region == tenant.region
    }

    /// The resource's path below `kind/`, when it is of that kind: `default/0123` for `task`.
    #[must_use]
    pub fn path_of(&self, kind: &str) -> Option<&'a str> {
        self.resource.strip_prefix(kind)?.strip_prefix('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_taken_apart_and_put_together() {
        let tenant = Tenant::new("123456789012", "eu-west-1");
        let text = tenant.arn("ecs", "task/default/0af1");
        assert_eq!(text, "arn:aws:ecs:eu-west-1:123456789012:task/default/0af1");
        let arn = Arn::parse(&text).expect("an ARN");
        assert!(arn.belongs_to(&tenant));
        assert_eq!(arn.path_of("task"), Some("default/0af1"));
        assert_eq!(arn.path_of("cluster"), None);
        assert_eq!(Arn::parse("default"), None);
    }
}
