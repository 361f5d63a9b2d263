//! Keys: `account\0region\0parent\0id`, so that a tenant, or what lies below one parent, is a range.
//!
//! Holds: two different tuples never make the same key, whatever bytes a client puts into a name.

use std::borrow::Borrow;
use std::fmt;

use cove_model::arn::Tenant;

const SEPARATOR: char = '\0';

/// The key of one record within its tree.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// The key of `id` below `parent`; records without a parent have `""`.
    #[must_use]
    pub fn new(tenant: &Tenant, parent: &str, id: &str) -> Self {
        let mut text = Prefix::parent(tenant, parent).0;
        push_escaped(&mut text, id);
        Self(text)
    }

    pub(crate) fn from_stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Account, region, parent and id again.
    #[must_use]
    pub fn parts(&self) -> [String; 4] {
        let mut parts = self.0.splitn(4, SEPARATOR).map(unescaped);
        std::array::from_fn(|_| parts.next().unwrap_or_default())
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Key({})", self.0.escape_debug())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.parts().join("/"))
    }
}

/// A range of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// Every record of the kind, of all tenants.
    #[must_use]
    pub const fn all() -> Self {
        Self(String::new())
    }

    /// Every record of one tenant.
    #[must_use]
    pub fn tenant(tenant: &Tenant) -> Self {
        let mut text = String::with_capacity(64);
        push_escaped(&mut text, &tenant.account);
        text.push(SEPARATOR);
        push_escaped(&mut text, &tenant.region);
        text.push(SEPARATOR);
        Self(text)
    }

    /// What lies below one parent.
    #[must_use]
    pub fn parent(tenant: &Tenant, parent: &str) -> Self {
        let Self(mut text) = Self::tenant(tenant);
        push_escaped(&mut text, parent);
        text.push(SEPARATOR);
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Keeps the separator out of names without changing their order: `\0` becomes `\1\1`, `\1` becomes `\1\2`.
fn push_escaped(text: &mut String, part: &str) {
    if !part.contains(['\0', '\u{1}']) {
        text.push_str(part);
        return;
    }
    for c in part.chars() {
        match c {
            '\0' => text.push_str("\u{1}\u{1}"),
            '\u{1}' => text.push_str("\u{1}\u{2}"),
            other => text.push(other),
        }
    }
}

fn unescaped(part: &str) -> String {
    part.replace("\u{1}\u{1}", "\0").replace("\u{1}\u{2}", "\u{1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_separator_does_not_reach_into_another_parent() {
        let tenant = Tenant::new("000000000000", "us-east-1");
        let sly = Key::new(&tenant, "a", "b\0c");
        assert_ne!(sly, Key::new(&tenant, "a\0b", "c"));
        assert!(!sly.as_str().starts_with(Prefix::parent(&tenant, "a\0b").as_str()));
        assert_eq!(sly.parts(), ["000000000000", "us-east-1", "a", "b\0c"]);
    }

    #[test]
    fn a_prefix_of_one_parent_leaves_out_longer_names() {
        let tenant = Tenant::new("000000000000", "us-east-1");
        let prefix = Prefix::parent(&tenant, "web");
        assert!(Key::new(&tenant, "web", "1").as_str().starts_with(prefix.as_str()));
        assert!(!Key::new(&tenant, "website", "1").as_str().starts_with(prefix.as_str()));
    }
}
