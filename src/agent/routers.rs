//! Sockets of routers: each network that comes up gets its in-task endpoint and its name server.

use cove_runtime::network::{NetworkId, Networks};

use crate::deps::Deps;

/// Opens the sockets of a network that is up and hands them on; a network whose sockets are open is left alone.
pub(crate) fn open(deps: &Deps, network: &NetworkId) {
    match deps.networks.listeners(network) {
        // The receiver is gone only while the server stops.
        Ok(listeners) => drop(deps.routers.send((network.clone(), listeners))),
        Err(error) => tracing::debug!(?network, error = cove_base::error::chain(&error), "no new router sockets"),
    }
}

/// Opens those of every network that an earlier server left up.
pub(crate) fn open_all(deps: &Deps) {
    for network in Networks::networks(&deps.networks) {
        open(deps, &network);
    }
}
