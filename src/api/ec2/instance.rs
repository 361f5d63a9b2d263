//! Instances: the machines of the fleet, which are ECS's container instances.
//!
//! Deliberately absent: addresses, images, volumes and security groups, for the machines of the box have none.

use std::sync::Arc;

use cove_model::capacity_provider::{CapacityProvider, Switch};
use cove_model::container_instance::{Capacity, ContainerInstance};
use cove_model::managed_instances::ManagedInstances;
use cove_model::network::Subnet;
use cove_model::tag::Tag;
use cove_model::task::Task;
use cove_scheduler::fleet::{self, Verb};
use cove_store::{Prefix, Read, Tx, keys};
use serde_json::{Value, json};

use super::error::Ec2Error;
use super::filter::{Item, Noun, RESULTS, answer, texts};
use super::zone;
use crate::Context;

const NOUN: Noun = Noun {
    member: "instancesSet",
    code: "InvalidInstanceID.NotFound",
    what: "instance ID",
    list: "Reservations",
    filters: FILTERS,
    results: RESULTS,
};
/// Who EC2 says makes managed instances.
const ECS: &str = "ecs.amazonaws.com";
/// The tag of a group that a capacity provider scales, and of its instances.
pub(crate) const MANAGED_TAG: &str = "AmazonECSManaged";

/// A machine's state, as far as records say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    /// It is gone and its tasks are still being stopped.
    ShuttingDown,
    Terminated,
}

impl State {
    pub(crate) fn of(source: &impl Read, instance: &ContainerInstance) -> Self {
        let tasks = || source.listed::<Task>(&keys::tasks_on(&instance.tenant, &instance.cluster, &instance.id));
        match instance.is_registered() {
            true => Self::Running,
            false if tasks().is_empty() => Self::Terminated,
            false => Self::ShuttingDown,
        }
    }

    const fn code(self) -> u32 {
        match self {
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
        }
    }

    fn shown(self) -> Value {
        json!({"Code": self.code(), "Name": self.name()})
    }
}

/// The machines of a tenant that EC2 would know: none on premises, and of other hosts only those that are registered, for
/// what becomes of them afterwards is not known here.
pub(crate) fn known(source: &impl Read, prefix: &Prefix) -> Vec<Arc<ContainerInstance>> {
    let is_of_ec2 = |it: &Arc<ContainerInstance>| {
        it.ec2_instance_id.starts_with("i-") && !it.is_external() && (!it.is_elsewhere() || it.is_registered())
    };
    source.scan::<ContainerInstance>(prefix).into_iter().filter(is_of_ec2).collect()
}

/// DescribeInstances. Each is a reservation of its own.
pub(super) fn describe(cx: &Context, input: Value) -> Result<Value, Ec2Error> {
    let ids = texts(&input["InstanceIds"]);
    let items: Vec<Item> = cx.store.read(|view| {
        let prefix = Prefix::tenant(&cx.tenant);
        let subnets = view.scan::<Subnet>(&prefix);
        let providers = view.scan::<CapacityProvider>(&prefix);
        let surroundings = Surroundings { subnets: &subnets, providers: &providers };
        known(view, &prefix).iter().map(|it| item(it, State::of(view, it), &surroundings)).collect()
    });
    check_ids(&ids, |id| items.iter().any(|one| one.id == *id))?;
    answer(items, &ids, &input, &NOUN)
}

/// TerminateInstances. The machines are gone with all that runs on them; none is when one cannot be.
pub(super) async fn terminate(cx: &Context, input: Value) -> Result<Value, Ec2Error> {
    let ids = texts(&input["InstanceIds"]);
    if ids.is_empty() {
        return Err(Ec2Error::Missing("InstanceIds"));
    }
    let (tenant, dry) = (cx.tenant.clone(), input["DryRun"] == true);
    let end = move |tx: &mut Tx<'_>| {
        let all = known(tx, &Prefix::tenant(&tenant));
        let find = |id: &String| all.iter().find(|one| one.ec2_instance_id == *id);
        check_ids(&ids, |id| find(id).is_some())?;
        let named: Vec<_> = ids.iter().filter_map(find).collect();
        if let Some(other) = named.iter().find(|one| one.is_elsewhere()) {
            return Err(Ec2Error::Elsewhere(other.ec2_instance_id.clone()));
        }
        if dry {
            return Err(Ec2Error::DryRun);
        }
        let mut ended = Vec::with_capacity(named.len());
        for instance in named {
            let before = State::of(tx, instance);
            // Who is gone already cannot be ended again, and is answered as it is.
            let now = match fleet::apply(tx, instance, Verb::Fail) {
                Ok(_) => State::ShuttingDown,
                Err(_) => before,
            };
            ended.push(json!({
                "InstanceId": instance.ec2_instance_id,
                "CurrentState": now.shown(),
                "PreviousState": before.shown(),
            }));
        }
        Ok(json!({"TerminatingInstances": ended}))
    };
    cx.store.write(end).await
}

/// Names every id that is not there at once.
fn check_ids(ids: &[String], is_there: impl Fn(&String) -> bool) -> Result<(), Ec2Error> {
    let is_formed = |id: &&String| {
        let digits = id.strip_prefix("i-").unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
    };
    if let Some(id) = ids.iter().find(|id| !is_formed(id)) {
        return Err(Ec2Error::Malformed(id.clone()));
    }
    let absent: Vec<String> = ids.iter().filter(|id| !is_there(id)).cloned().collect();
    if absent.is_empty() { Ok(()) } else { Err(Ec2Error::Instances(absent)) }
}

/// What an instance is shown with.
struct Surroundings<'a> {
    subnets: &'a [Arc<Subnet>],
    providers: &'a [Arc<CapacityProvider>],
}

impl Surroundings<'_> {
    /// Where it stands: of the subnets of its capacity provider, else of the default ones, that of its zone.
    fn subnet(&self, instance: &ContainerInstance) -> Option<&Subnet> {
        let name = instance.managed_by.as_ref();
        let provider = name.and_then(|name| self.providers.iter().find(|it| it.name == *name));
        let wanted = provider.and_then(|it| it.managed.as_ref()).map(ManagedInstances::subnets).unwrap_or_default();
        let is_right = |it: &&Arc<Subnet>| {
            let is_meant = if wanted.is_empty() { it.is_default } else { wanted.contains(&it.id) };
            is_meant && it.availability_zone == instance.availability_zone
        };
        self.subnets.iter().find(is_right).map(Arc::as_ref)
    }

    /// Its own if it is managed; of a group those that the group hands on.
    fn tags(&self, instance: &ContainerInstance) -> Vec<Tag> {
        let tag = |key: &str, value: &str| Tag { key: key.to_owned(), value: value.to_owned() };
        if instance.managed_by.is_some() {
            return instance.tags.clone();
        }
        let Some(group) = &instance.asg else { return Vec::new() };
        let is_scaled = scaled_by(self.providers, group).is_some();
        let mut tags = if is_scaled { vec![tag(MANAGED_TAG, "")] } else { Vec::new() };
        tags.push(tag("aws:autoscaling:groupName", group));
        tags
    }
}

/// The capacity provider that scales the group.
pub(crate) fn scaled_by<'a>(providers: &'a [Arc<CapacityProvider>], group: &str) -> Option<&'a CapacityProvider> {
    let scales = |it: &&Arc<CapacityProvider>| {
        it.is_active() && it.managed.is_none() && it.asg == group && it.managed_scaling.status == Switch::Enabled
    };
    providers.iter().find(scales).map(Arc::as_ref)
}

/// As in `m5.large`; what another host's agent does not say is not known.
pub(crate) fn type_of(instance: &ContainerInstance) -> Option<&str> {
    instance.attribute("ecs.instance-type").filter(|name| !name.is_empty())
}

fn item(instance: &ContainerInstance, state: State, around: &Surroundings<'_>) -> Item {
    let id = instance.ec2_instance_id.clone();
    let reservation = format!("r-{}", id.trim_start_matches("i-"));
    let (owner, zone) = (&instance.tenant.account, &instance.availability_zone);
    let zone_id = zone::id(&instance.tenant, zone);
    let architecture = instance.attribute("ecs.cpu-architecture").unwrap_or("x86_64");
    let is_managed = instance.managed_by.is_some();
    let tags = around.tags(instance);
    let mut shown = json!({
        "InstanceId": id,
        "State": state.shown(),
        "LaunchTime": instance.registered_at.epoch_seconds(),
        "Placement": {"AvailabilityZone": zone, "AvailabilityZoneId": zone_id, "Tenancy": "default"},
        "Architecture": architecture,
        "Monitoring": {"State": "disabled"},
        "Operator": if is_managed { json!({"Managed": true, "Principal": ECS}) } else { json!({"Managed": false}) },
        "Tags": tags.iter().map(|tag| json!({"Key": tag.key, "Value": tag.value})).collect::<Vec<_>>(),
    });
    let mut properties = vec![
        ("instance-id", id.clone()),
        ("instance-state-code", state.code().to_string()),
        ("instance-state-name", state.name().to_owned()),
        ("launch-time", instance.registered_at.rfc3339()),
        ("availability-zone", zone.clone()),
        ("availability-zone-id", zone_id),
        ("tenancy", "default".to_owned()),
        ("architecture", architecture.to_owned()),
        ("monitoring-state", "disabled".to_owned()),
        ("operator.managed", is_managed.to_string()),
        ("owner-id", owner.clone()),
        ("reservation-id", reservation.clone()),
    ];
    let mut also = |member: &str, filter: &'static str, value: &str| {
        shown[member] = value.into();
        properties.push((filter, value.to_owned()));
    };
    if let Some(name) = type_of(instance) {
        also("InstanceType", "instance-type", name);
    }
    if instance.capacity == Capacity::Spot {
        also("InstanceLifecycle", "instance-lifecycle", "spot");
    }
    // What is gone stands nowhere.
    if let Some(subnet) = around.subnet(instance).filter(|_| state != State::Terminated) {
        also("SubnetId", "subnet-id", &subnet.id);
        also("VpcId", "vpc-id", &subnet.vpc_id);
    }
    if is_managed {
        properties.push(("operator.principal", ECS.to_owned()));
    }
    let shown = json!({"ReservationId": reservation, "OwnerId": owner, "Groups": [], "Instances": [shown]});
    Item { id, properties, tags, shown }
}

/// EC2's, most of them by what these machines do not have.
const FILTERS: &[&str] = &[
    "affinity",
    "architecture",
    "availability-zone",
    "availability-zone-id",
    "block-device-mapping.attach-time",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.status",
    "block-device-mapping.volume-id",
    "boot-mode",
    "capacity-reservation-id",
    "capacity-reservation-specification.capacity-reservation-preference",
    "capacity-reservation-specification.capacity-reservation-target.capacity-reservation-id",
    "capacity-reservation-specification.capacity-reservation-target.capacity-reservation-resource-group-arn",
    "client-token",
    "current-instance-boot-mode",
    "dns-name",
    "ebs-optimized",
    "ena-support",
    "enclave-options.enabled",
    "hibernation-options.configured",
    "host-id",
    "hypervisor",
    "iam-instance-profile.arn",
    "iam-instance-profile.id",
    "image-id",
    "instance-id",
    "instance-lifecycle",
    "instance-state-code",
    "instance-state-name",
    "instance-type",
    "instance.group-id",
    "instance.group-name",
    "ip-address",
    "ipv6-address",
    "kernel-id",
    "key-name",
    "launch-index",
    "launch-time",
    "maintenance-options.auto-recovery",
    "metadata-options.http-endpoint",
    "metadata-options.http-protocol-ipv4",
    "metadata-options.http-protocol-ipv6",
    "metadata-options.http-put-response-hop-limit",
    "metadata-options.http-tokens",
    "metadata-options.instance-metadata-tags",
    "metadata-options.state",
    "monitoring-state",
    "network-interface.addresses.association.allocation-id",
    "network-interface.addresses.association.association-id",
    "network-interface.addresses.association.carrier-ip",
    "network-interface.addresses.association.customer-owned-ip",
    "network-interface.addresses.association.ip-owner-id",
    "network-interface.addresses.association.public-dns-name",
    "network-interface.addresses.association.public-ip",
    "network-interface.addresses.primary",
    "network-interface.addresses.private-dns-name",
    "network-interface.addresses.private-ip-address",
    "network-interface.association.allocation-id",
    "network-interface.association.association-id",
    "network-interface.association.carrier-ip",
    "network-interface.association.customer-owned-ip",
    "network-interface.association.ip-owner-id",
    "network-interface.association.public-dns-name",
    "network-interface.association.public-ip",
    "network-interface.attachment.attach-time",
    "network-interface.attachment.attachment-id",
    "network-interface.attachment.delete-on-termination",
    "network-interface.attachment.device-index",
    "network-interface.attachment.instance-id",
    "network-interface.attachment.instance-owner-id",
    "network-interface.attachment.network-card-index",
    "network-interface.attachment.status",
    "network-interface.availability-zone",
    "network-interface.deny-all-igw-traffic",
    "network-interface.description",
    "network-interface.group-id",
    "network-interface.group-name",
    "network-interface.ipv4-prefixes.ipv4-prefix",
    "network-interface.ipv6-address",
    "network-interface.ipv6-addresses.ipv6-address",
    "network-interface.ipv6-addresses.is-primary-ipv6",
    "network-interface.ipv6-native",
    "network-interface.ipv6-prefixes.ipv6-prefix",
    "network-interface.mac-address",
    "network-interface.network-interface-id",
    "network-interface.operator.managed",
    "network-interface.operator.principal",
    "network-interface.outpost-arn",
    "network-interface.owner-id",
    "network-interface.private-dns-name",
    "network-interface.private-ip-address",
    "network-interface.public-dns-name",
    "network-interface.requester-id",
    "network-interface.requester-managed",
    "network-interface.status",
    "network-interface.source-dest-check",
    "network-interface.subnet-id",
    "network-interface.tag-key",
    "network-interface.tag-value",
    "network-interface.vpc-id",
    "network-performance-options.bandwidth-weighting",
    "operator.managed",
    "operator.principal",
    "outpost-arn",
    "owner-id",
    "placement-group-name",
    "placement-partition-number",
    "platform",
    "platform-details",
    "private-dns-name",
    "private-dns-name-options.enable-resource-name-dns-a-record",
    "private-dns-name-options.enable-resource-name-dns-aaaa-record",
    "private-dns-name-options.hostname-type",
    "private-ip-address",
    "product-code",
    "product-code.type",
    "ramdisk-id",
    "reason",
    "requester-id",
    "reservation-id",
    "root-device-name",
    "root-device-type",
    "source-dest-check",
    "spot-instance-request-id",
    "state-reason-code",
    "state-reason-message",
    "subnet-id",
    "tenancy",
    "tpm-support",
    "usage-operation",
    "usage-operation-update-time",
    "virtualization-type",
    "vpc-id",
];
