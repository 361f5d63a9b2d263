//! ECS account settings, per principal and as the account's default.

use serde::{Deserialize, Serialize};

use crate::arn::Tenant;

/// One setting that somebody changed; settings without a record have AWS's default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSetting {
    pub tenant: Tenant,
    /// `None` is the account's default (PutAccountSettingDefault).
    pub principal_arn: Option<String>,
    pub name: String,
    pub value: String,
}

/// Marks that a tenant has its default cluster, VPC, roles and container instance. Written in the same transaction that
/// makes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantRecord {
    pub tenant: Tenant,
    /// How many of the usual roles were made. What a later version adds to them is made once; what the user deletes
    /// stays away.
    #[serde(default = "roles_before_they_were_counted")]
    pub roles: usize,
}

const fn roles_before_they_were_counted() -> usize {
    3
}

#[cfg(test)]
mod tests {
    use super::TenantRecord;

    #[test]
    fn a_tenant_of_a_version_that_did_not_count_has_its_three_roles() {
        let old = r#"{"tenant":{"account":"000000000000","region":"us-east-1"}}"#;
        assert_eq!(serde_json::from_str::<TenantRecord>(old).unwrap().roles, 3);
    }
}
