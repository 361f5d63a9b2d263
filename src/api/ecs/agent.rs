//! What the ECS agent of another host calls, but for its reports ([`super::report`]).
//!
//! An agent registers its host: the instance is described, tagged, drained and deregistered like any other. It learns here
//! where it gets its work ([`super::acs`]); until it is connected there, nothing is placed on it (reason AGENT).

use std::sync::Arc;

use cove_base::ids::random_hex;
use cove_model::arn::Tenant;
use cove_model::container_instance::{Agent, Capacity, ContainerInstance, ContainerInstanceStatus, Origin, Resources};
use cove_model::task_definition::Attribute;
use cove_store::{Prefix, Read, keys};
use serde::Deserialize;

use super::error::EcsError;
use super::instance::show;
use super::wire::{
    ContainerInstanceOut, DiscoverPollEndpointIn, DiscoverPollEndpointOut, Nothing, RegisterContainerInstanceIn,
    ResourceIn, SubmitAttachmentStateChangesIn, UpdateContainerAgentIn,
};
use super::{acs, attribute, cluster, reference, tag};
use crate::Context;

/// An agent has about 100 capabilities; a record stays small.
const ATTRIBUTES_MAX: usize = 200;
/// ECS's quota of reserved ports of an instance.
const PORTS_MAX: usize = 100;
/// A host has no more.
const DEVICES_MAX: usize = 64;
/// A commit, a version and their like.
const VERSION_MAX: usize = 128;
/// Of an id, a zone or a type in the identity document.
const IDENTITY_MAX: usize = 64;
/// ECS's quota of a cluster.
const INSTANCES_MAX: usize = 5000;

/// What AWS's instance identity document says that matters here. Its signature is AWS's, which nobody else can make, so
/// it is not looked at: the request itself is signed.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct IdentityDocument {
    instance_id: Option<String>,
    availability_zone: Option<String>,
    instance_type: Option<String>,
}

/// RegisterContainerInstance: a new instance, or the one that the agent was registered as before.
pub(super) async fn register(
    cx: &Context,
    input: RegisterContainerInstanceIn,
) -> Result<ContainerInstanceOut, EcsError> {
    tag::check(&input.tags)?;
    let tenant = cx.tenant.clone();
    let name = reference::cluster(&tenant, input.cluster.as_deref())?;
    let before = input.container_instance_arn.as_deref().filter(|arn| !arn.is_empty());
    let before = before.map(|arn| reference::container_instance(&tenant, &name, arn)).transpose()?;
    let fresh = instance(&tenant, &name, input)?;
    let container_instance = cx
        .store
        .write(move |tx| {
            cluster::active(tx, &tenant, &name)?;
            let mut made = ContainerInstance { registered_at: tx.now(), ..fresh };
            if let Some(id) = before {
                let known = registered(tx, &tenant, &name, &id)?;
                made = again(made, &known)?;
            } else if tx.count::<ContainerInstance>(&Prefix::parent(&tenant, &name)) >= INSTANCES_MAX {
                let text = format!("A cluster cannot have more than {INSTANCES_MAX} container instances.");
                return Err(EcsError::client(text));
            }
            tx.put(made.clone());
            Ok::<_, EcsError>(show(tx, &made, &[]))
        })
        .await?;
    Ok(ContainerInstanceOut { container_instance })
}

/// The instance as the request describes it.
fn instance(tenant: &Tenant, cluster: &str, input: RegisterContainerInstanceIn) -> Result<ContainerInstance, EcsError> {
    let document = match input.instance_identity_document.as_deref().filter(|text| !text.is_empty()) {
        None => IdentityDocument::default(),
        Some(text) => serde_json::from_str(text)
            .map_err(|_| EcsError::client("The instance identity document could not be read."))?,
    };
    let parts = [&document.instance_id, &document.availability_zone, &document.instance_type];
    let is_odd = |text: &String| {
        text.is_empty()
            || text.len() > IDENTITY_MAX
            || !text.bytes().all(|it| it.is_ascii_alphanumeric() || b"-.".contains(&it))
    };
    if parts.into_iter().flatten().any(is_odd) {
        return Err(EcsError::client("The instance identity document could not be read."));
    }
    let zone = document.availability_zone.unwrap_or_else(|| format!("{}a", tenant.region));
    let described =
        [("ecs.availability-zone", Some(zone.as_str())), ("ecs.instance-type", document.instance_type.as_deref())];
    let mut attributes = attributes(input.attributes)?;
    for (name, value) in described.into_iter().filter(|(_, value)| value.is_some()) {
        attributes.retain(|known| known.name.as_deref() != Some(name));
        let (name, value) = (Some(name.to_owned()), value.map(str::to_owned));
        attributes.push(Attribute { name, value, ..Attribute::default() });
    }
    let mut registered = resources(&input.total_resources)?;
    if input.platform_devices.len() > DEVICES_MAX {
        return Err(EcsError::parameter(format!("An instance cannot have more than {DEVICES_MAX} platform devices.")));
    }
    if input.platform_devices.iter().any(|device| device.id.len() > VERSION_MAX) {
        return Err(EcsError::parameter("Invalid platform device id."));
    }
    registered.gpus = input.platform_devices.into_iter().map(|device| device.id).collect();
    Ok(ContainerInstance {
        tenant: tenant.clone(),
        cluster: cluster.to_owned(),
        id: random_hex(16),
        ec2_instance_id: document.instance_id.unwrap_or_else(|| format!("i-0{}", random_hex(8))),
        status: ContainerInstanceStatus::Active,
        registered,
        attributes,
        availability_zone: zone,
        registered_at: cove_base::Timestamp(0),
        version: 1,
        tags: input.tags,
        task_interfaces_max: None,
        origin: Origin::Added,
        capacity: Capacity::OnDemand,
        asg: None,
        managed_by: None,
        storage_gib: None,
        replaces: None,
        room_for: Vec::new(),
        is_terminated: false,
        declared_attributes: Vec::new(),
        asg_max: None,
        leaves_at: None,
        leaves_when_empty: false,
        leaves_since: None,
        gone_at: None,
        agent: Some(agent(input.version_info.unwrap_or_default())?),
    })
}

fn agent(given: super::wire::VersionInfoIn) -> Result<Agent, EcsError> {
    let texts = [&given.agent_version, &given.agent_hash, &given.docker_version];
    if texts.into_iter().flatten().any(|text| text.len() > VERSION_MAX) {
        return Err(EcsError::parameter("Invalid versionInfo."));
    }
    let (version, hash, docker_version) = (given.agent_version, given.agent_hash, given.docker_version);
    Ok(Agent { version, hash, docker_version, connected: false, health: None })
}

fn attributes(given: Vec<Attribute>) -> Result<Vec<Attribute>, EcsError> {
    if given.len() > ATTRIBUTES_MAX {
        return Err(EcsError::parameter(format!("Attributes cannot have more than {ATTRIBUTES_MAX} elements.")));
    }
    let mut all: Vec<Attribute> = Vec::with_capacity(given.len());
    for one in given {
        attribute::check_text(&one)?;
        all.retain(|known| known.name != one.name);
        all.push(Attribute { name: one.name, value: one.value, ..Attribute::default() });
    }
    attribute::check_custom(&all)?;
    Ok(all)
}

fn resources(given: &[ResourceIn]) -> Result<Resources, EcsError> {
    let named = |name: &str| given.iter().find(|it| it.name.as_deref() == Some(name));
    let number = |name: &str| {
        let value = named(name).and_then(|it| it.integer_value).filter(|value| *value > 0);
        value.ok_or_else(|| EcsError::parameter(format!("Total resources should contain {name}.")))
    };
    let ports = |name: &str| {
        let texts = named(name).map(|it| it.string_set_value.as_slice()).unwrap_or_default();
        let read = |text: &String| text.parse::<u16>().ok();
        let ports: Option<Vec<u16>> = texts.iter().map(read).collect();
        ports.filter(|ports| ports.len() <= PORTS_MAX).ok_or_else(|| EcsError::parameter(format!("Invalid {name}.")))
    };
    Ok(Resources {
        cpu: number("CPU")?,
        memory_mib: number("MEMORY")?,
        ports_tcp: ports("PORTS")?,
        ports_udp: ports("PORTS_UDP")?,
        gpus: Vec::new(),
    })
}

/// The instance that registers once more: its id, status, tags and custom attributes stay.
fn again(fresh: ContainerInstance, known: &ContainerInstance) -> Result<ContainerInstance, EcsError> {
    let Some(before) = &known.agent else {
        return Err(EcsError::client("The container instance belongs to this node: no other agent can register it."));
    };
    let agent = fresh.agent.map(|agent| Agent { connected: before.connected, ..agent });
    let mut attributes = fresh.attributes;
    let added = known.attributes.iter().filter(|own| !attributes.iter().any(|one| one.name == own.name)).cloned();
    let added: Vec<Attribute> = added.filter(attribute::is_custom).collect();
    attributes.extend(added);
    Ok(ContainerInstance {
        id: known.id.clone(),
        status: known.status,
        tags: known.tags.clone(),
        version: known.version + 1,
        attributes,
        agent,
        ..fresh
    })
}

fn registered(store: &impl Read, tenant: &Tenant, cluster: &str, id: &str) -> Result<Arc<ContainerInstance>, EcsError> {
    let found = store.get::<ContainerInstance>(&keys::container_instance(tenant, cluster, id));
    found
        .filter(|it| it.is_registered())
        .ok_or_else(|| EcsError::client("The referenced container instance was not found."))
}

/// DiscoverPollEndpoint: where agents get their work from. Both are this server's own address, as the registry's is.
pub(super) fn discover(cx: &Context, input: DiscoverPollEndpointIn) -> Result<DiscoverPollEndpointOut, EcsError> {
    let name = reference::cluster(&cx.tenant, input.cluster.as_deref())?;
    if let Some(text) = &input.container_instance {
        let id = reference::container_instance(&cx.tenant, &name, text)?;
        cx.store.read(|view| registered(view, &cx.tenant, &name, &id))?;
    }
    let base = cx.settings.registry_url();
    let to = |path: &str| format!("{base}{}", path.trim_end_matches("ws"));
    Ok(DiscoverPollEndpointOut { endpoint: to(acs::WORK), telemetry_endpoint: to(acs::TELEMETRY) })
}

/// UpdateContainerAgent: the node's own agent is as new as it gets, and there are no packages of others.
pub(super) fn update(cx: &Context, input: UpdateContainerAgentIn) -> Result<Nothing, EcsError> {
    let name = reference::cluster(&cx.tenant, input.cluster.as_deref())?;
    let id = reference::container_instance(&cx.tenant, &name, &input.container_instance)?;
    let instance = cx.store.read(|view| {
        cluster::active(view, &cx.tenant, &name)?;
        registered(view, &cx.tenant, &name, &id)
    })?;
    match &instance.agent {
        Some(Agent { version: None, .. }) => Err(EcsError::MissingVersion),
        Some(Agent { connected: false, .. }) => {
            Err(EcsError::parameter("The ECS Agent on the container instance is disconnected."))
        }
        None | Some(Agent { .. }) => Err(EcsError::NoUpdateAvailable),
    }
}

/// SubmitAttachmentStateChanges.
pub(super) fn submit_attachments(cx: &Context, input: SubmitAttachmentStateChangesIn) -> Result<Nothing, EcsError> {
    let name = reference::cluster(&cx.tenant, input.cluster.as_deref())?;
    cx.store.read(|view| cluster::active(view, &cx.tenant, &name))?;
    if input.attachments.is_empty() {
        return Err(EcsError::parameter("Attachments cannot be empty."));
    }
    Err(EcsError::client("No attachment of this cluster belongs to an agent of another host."))
}
