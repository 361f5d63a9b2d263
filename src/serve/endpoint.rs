//! HTTP endpoints that rules may send events to.

use std::collections::BTreeMap;

use cove_events::{Endpoint, Endpoints};
use serde::Deserialize;

use super::config::ConfigError;

/// An `[[event_endpoint]]`, as it was read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointWish {
    name: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

pub(super) fn endpoints(wishes: &[EndpointWish]) -> Result<Endpoints, ConfigError> {
    let bad =
        |wish: &EndpointWish, why: String| ConfigError::Value { key: "event_endpoint", value: wish.name.clone(), why };
    let mut all = Vec::with_capacity(wishes.len());
    for (place, wish) in wishes.iter().enumerate() {
        if wishes[..place].iter().any(|other| other.name == wish.name) {
            return Err(bad(wish, "another one has this name".to_owned()));
        }
        let endpoint = Endpoint::new(&wish.name, &wish.url, &wish.headers);
        all.push(endpoint.map_err(|error| bad(wish, error.to_string()))?);
    }
    Ok(Endpoints::new(all))
}
