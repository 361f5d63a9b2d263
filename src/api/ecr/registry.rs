//! DescribeRegistry.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::EcrError;
use crate::aws::context::Context;

#[derive(Deserialize)]
pub(super) struct NothingIn {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeOut {
    registry_id: String,
    replication_configuration: Value,
}

pub(super) fn describe(cx: &Context, _: NothingIn) -> Result<DescribeOut, EcrError> {
    Ok(DescribeOut { registry_id: cx.tenant.account.clone(), replication_configuration: replication(cx) })
}

/// Where images are copied to: nowhere, as long as nothing copies them.
fn replication(_: &Context) -> Value {
    json!({ "rules": [] })
}
