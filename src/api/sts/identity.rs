//! GetCallerIdentity.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};

use crate::{ApiError, Context};

#[derive(Deserialize)]
pub(super) struct GetCallerIdentityIn {}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetCallerIdentityOut {
    user_id: String,
    account: String,
    arn: String,
}

impl ApiError for Infallible {
    fn code(&self) -> &str {
        match *self {}
    }

    fn status(&self) -> u16 {
        match *self {}
    }
}

/// What the signature proved.
#[allow(clippy::needless_pass_by_value, reason = "the form of every handler")]
pub(super) fn get(cx: &Context, _input: GetCallerIdentityIn) -> Result<GetCallerIdentityOut, Infallible> {
    let caller = &cx.caller;
    Ok(GetCallerIdentityOut {
        user_id: caller.user_id.clone(),
        account: cx.tenant.account.clone(),
        arn: caller.arn.clone(),
    })
}
