//! DescribeRegistry.

use serde::{Deserialize, Serialize};

use super::error::EcrError;
use super::replication::{self, ConfigurationWire};
use crate::aws::context::Context;

#[derive(Deserialize)]
pub(super) struct NothingIn {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeOut {
    registry_id: String,
    replication_configuration: ConfigurationWire,
}

pub(super) fn describe(cx: &Context, _: NothingIn) -> Result<DescribeOut, EcrError> {
    Ok(DescribeOut {
        registry_id: cx.tenant.account.clone(),
        replication_configuration: replication::configuration(cx),
    })
}
