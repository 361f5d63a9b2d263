//! Ids that derive from what they name: the same after the data was thrown away.

use cove_model::arn::Tenant;
use sha2::{Digest, Sha256};

/// As in `us-east-1a`.
pub(crate) fn zone_name(tenant: &Tenant, suffix: &str) -> String {
    format!("{}{suffix}", tenant.region)
}

/// As in `vpc-0123456789abcdef0`: 17 hex digits, the first a zero as AWS has it.
pub(crate) fn aws_id(kind: &str, tenant: &Tenant, what: &str) -> String {
    format!("{kind}-0{}", digits(kind, tenant, what, 16))
}

/// Hex digits that are always the same for the same thing of the same tenant.
pub(crate) fn digits(kind: &str, tenant: &Tenant, what: &str, count: usize) -> String {
    let mut text = hex::encode(hash(&[kind, &tenant.account, &tenant.region, what]));
    text.truncate(count);
    text
}

pub(crate) fn hash(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().into()
}
