//! What a client needs to know to use this server.

use cove_model::network::{SecurityGroup, Subnet};
use cove_store::{Prefix, Read};
use serde_json::json;

use super::{ExecPort, good, problem};
use crate::{RawContext, Response};

/// The caller's tenant gets its defaults here, if it has none yet.
pub(super) async fn answer(cx: &RawContext, port: &dyn ExecPort) -> Response {
    let Some(identity) = &cx.identity else { return cx.not_found() };
    let tenant = &identity.tenant;
    if let Err(error) = cx.ensure_tenant(tenant).await {
        return problem(500, "Store", &cove_base::error::chain(&error));
    }
    let (subnets, groups) = cx.store().read(|view| {
        let prefix = Prefix::tenant(tenant);
        (view.scan::<Subnet>(&prefix), view.scan::<SecurityGroup>(&prefix))
    });
    let subnets: Vec<&str> =
        subnets.iter().filter(|subnet| subnet.is_default).map(|subnet| subnet.id.as_str()).collect();
    let group = groups.iter().find(|group| group.name == "default").map(|group| group.id.as_str());
    let settings = cx.settings();
    good(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "node": settings.node,
        "dev": settings.dev,
        "dataDir": port.data_dir(),
        "account": tenant.account,
        "region": tenant.region,
        "subnets": subnets,
        "securityGroup": group,
        "registry": settings.registry_host,
    }))
}
