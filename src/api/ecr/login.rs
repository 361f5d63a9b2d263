//! GetAuthorizationToken: what `docker login` takes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::access::caller;
use super::error::EcrError;
use crate::aws::context::Context;
use crate::oci::token as login_token;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenIn {
    /// Deprecated by AWS; one answer per registry.
    #[serde(default)]
    registry_ids: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenOut {
    authorization_data: Vec<Authorization>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    authorization_token: String,
    expires_at: f64,
    proxy_endpoint: String,
}

pub(super) fn token(cx: &Context, input: TokenIn) -> Result<TokenOut, EcrError> {
    let expires = cx.clock.now().plus_millis(login_token::LOGIN_MILLIS);
    let who = caller(cx);
    let password = login_token::login(&cx.settings.keys.node_secret, &cx.tenant, who.arn.as_deref(), expires);
    let one = |_registry: &String| Authorization {
        authorization_token: STANDARD.encode(format!("AWS:{password}")),
        expires_at: expires.epoch_seconds(),
        proxy_endpoint: cx.settings.registry_url(),
    };
    // Whom the token is for says what it opens in which registry; where to is the same for all of this node.
    let own = std::slice::from_ref(&cx.tenant.account);
    let registries = if input.registry_ids.is_empty() { own } else { &input.registry_ids };
    Ok(TokenOut { authorization_data: registries.iter().map(one).collect() })
}
