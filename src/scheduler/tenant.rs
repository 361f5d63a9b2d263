//! What AWS gives a new account, made when a tenant is first seen: a default cluster, VPC, subnets, security group,
//! the usual ECS roles, and the host as a container instance.
//!
//! Holds: everything of a tenant is made in one transaction with its [`TenantRecord`]; a second call writes nothing.
//! Ids derive from the tenant, so that they are the same after the data was thrown away.

use cove_base::Timestamp;
use cove_model::account::TenantRecord;
use cove_model::arn::Tenant;
use cove_model::cluster::{Cluster, ClusterStatus};
use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus};
use cove_model::network::{Cidr, SecurityGroup, Subnet, Vpc};
use cove_model::role::Role;
use cove_model::task_definition::Attribute;
use cove_store::{Prefix, Read, Tx, keys};
use sha2::{Digest, Sha256};

use crate::host::HostFacts;

/// The cluster that requests without a cluster mean.
pub const DEFAULT_CLUSTER: &str = "default";
/// AWS's default VPC, and the size of its subnets.
const DEFAULT_VPC: &str = "172.31.0.0/16";
const SUBNET_PREFIX: u8 = 20;
/// A /16 holds sixteen /20; no region has more zones.
const SUBNETS_MAX: usize = 16;
/// IAM's default for roles.
const SESSION_SECS: u32 = 3600;

/// The roles that ECS's tools expect, and who may take them.
const ROLES: [(&str, &str, &str); 2] = [
    ("ecsTaskExecutionRole", "ecs-tasks.amazonaws.com", "Lets ECS pull images and write logs for tasks"),
    ("ecsInstanceRole", "ec2.amazonaws.com", "Lets container instances register with ECS"),
];

/// Task-definition requirements that this version carries out on a container instance, as AWS's agent registers them.
pub const CAPABILITIES: &[&str] = &[
    "com.amazonaws.ecs.capability.ecr-auth",
    "com.amazonaws.ecs.capability.logging-driver.awslogs",
    "com.amazonaws.ecs.capability.logging-driver.none",
    "com.amazonaws.ecs.capability.privileged-container",
    "com.amazonaws.ecs.capability.task-iam-role",
    "com.amazonaws.ecs.capability.task-iam-role-network-host",
    "ecs.capability.execution-role-awslogs",
    "ecs.capability.execution-role-ecr-pull",
    "ecs.capability.increased-task-cpu-limit",
    "ecs.capability.logging-driver.awslogs.log-driver-buffer-size",
    "ecs.capability.logging-driver.awslogs.mode",
    "ecs.capability.pid-ipc-namespace-sharing",
    "ecs.capability.task-cpu-mem-limit",
    "ecs.capability.task-eni",
];

/// The versions of Docker's API that `docker-remote-api` requirements name: what they stand for (memory limits, pids,
/// tmpfs, init and so on) is carried out whatever the number.
const DOCKER_API_MINORS: std::ops::RangeInclusive<u32> = 17..=44;

/// Makes the tenant's defaults if it has none yet. Cheap when it has.
pub fn ensure_tenant(tx: &mut Tx<'_>, tenant: &Tenant, host: &HostFacts) {
    if tx.get::<TenantRecord>(&keys::tenant(tenant)).is_some() {
        return;
    }
    let now = tx.now();
    tx.put(cluster(tenant, now));
    network(tx, tenant, host);
    for (name, service, description) in ROLES {
        // IAM has no regions: another region of the account may have made them, or the user changed them.
        if tx.get::<Role>(&keys::role(&tenant.account, name)).is_none() {
            tx.put(role(&tenant.account, name, service, description, now));
        }
    }
    tx.put(instance(tenant, host, now));
    tx.put(TenantRecord { tenant: tenant.clone() });
}

/// Brings the host's instances of all tenants up to what the host has now; called once when the server starts.
pub fn refresh_host(tx: &mut Tx<'_>, host: &HostFacts) {
    for record in tx.scan::<TenantRecord>(&Prefix::all()) {
        let fresh = instance(&record.tenant, host, tx.now());
        let Some(known) =
            tx.get::<ContainerInstance>(&keys::container_instance(&record.tenant, DEFAULT_CLUSTER, &fresh.id))
        else {
            continue;
        };
        let mut attributes = fresh.attributes;
        // What PutAttributes added stays.
        let added = |own: &&Attribute| !attributes.iter().any(|one| one.name == own.name);
        let added: Vec<Attribute> = known.attributes.iter().filter(added).cloned().collect();
        attributes.extend(added);
        if known.registered != fresh.registered || known.attributes != attributes {
            let mut changed = ContainerInstance::clone(&known);
            changed.registered = fresh.registered;
            changed.attributes = attributes;
            changed.version += 1;
            tx.put(changed);
        }
    }
}

fn cluster(tenant: &Tenant, now: Timestamp) -> Cluster {
    Cluster {
        tenant: tenant.clone(),
        name: DEFAULT_CLUSTER.to_owned(),
        status: ClusterStatus::Active,
        settings: Vec::new(),
        configuration: None,
        service_connect_defaults: None,
        capacity_providers: Vec::new(),
        default_capacity_provider_strategy: Vec::new(),
        tags: Vec::new(),
        created_at: now,
    }
}

fn network(tx: &mut Tx<'_>, tenant: &Tenant, host: &HostFacts) {
    let cidr = Cidr::parse(DEFAULT_VPC).expect("a constant prefix");
    let vpc_id = aws_id("vpc", tenant, "");
    tx.put(Vpc { tenant: tenant.clone(), id: vpc_id.clone(), cidr, is_default: true });
    let size = 1_u32 << (32 - SUBNET_PREFIX);
    for (zone, offset) in host.zones.iter().take(SUBNETS_MAX).zip((0..).step_by(size as usize)) {
        tx.put(Subnet {
            tenant: tenant.clone(),
            id: aws_id("subnet", tenant, zone),
            vpc_id: vpc_id.clone(),
            cidr: Cidr { address: cidr.nth(offset), prefix: SUBNET_PREFIX },
            availability_zone: zone_name(tenant, zone),
            is_default: true,
        });
    }
    let id = aws_id("sg", tenant, "default");
    tx.put(SecurityGroup { tenant: tenant.clone(), id, vpc_id, name: "default".to_owned() });
}

fn role(account: &str, name: &str, service: &str, description: &str, now: Timestamp) -> Role {
    Role {
        account: account.to_owned(),
        name: name.to_owned(),
        path: "/".to_owned(),
        id: role_id(account, name),
        assume_role_policy_document: format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Service":"{service}"}},"Action":"sts:AssumeRole"}}]}}"#
        ),
        description: Some(description.to_owned()),
        max_session_duration_secs: SESSION_SECS,
        tags: Vec::new(),
        created_at: now,
    }
}

fn instance(tenant: &Tenant, host: &HostFacts, now: Timestamp) -> ContainerInstance {
    let zone = zone_name(tenant, host.zones.first().map_or("a", String::as_str));
    let attribute = |name: String, value: Option<String>| Attribute { name: Some(name), value, ..Attribute::default() };
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let described = [
        ("ecs.availability-zone", zone.as_str()),
        ("ecs.cpu-architecture", architecture),
        ("ecs.instance-type", &host.instance_type),
        ("ecs.os-family", "LINUX"),
        ("ecs.os-type", "linux"),
    ];
    let mut attributes: Vec<Attribute> =
        described.iter().map(|(name, value)| attribute((*name).to_owned(), Some((*value).to_owned()))).collect();
    attributes.extend(CAPABILITIES.iter().map(|name| attribute((*name).to_owned(), None)));
    let docker = |minor| format!("com.amazonaws.ecs.capability.docker-remote-api.1.{minor}");
    attributes.extend(DOCKER_API_MINORS.map(|minor| attribute(docker(minor), None)));
    attributes.extend(host.attributes.iter().cloned());
    ContainerInstance {
        tenant: tenant.clone(),
        cluster: DEFAULT_CLUSTER.to_owned(),
        id: digits("container-instance", tenant, &host.node, 32),
        ec2_instance_id: aws_id("i", tenant, &host.node),
        status: ContainerInstanceStatus::Active,
        registered: host.resources(),
        attributes,
        availability_zone: zone,
        registered_at: now,
        version: 1,
        tags: Vec::new(),
    }
}

fn zone_name(tenant: &Tenant, suffix: &str) -> String {
    format!("{}{suffix}", tenant.region)
}

/// As in `vpc-0123456789abcdef0`: 17 hex digits, the first a zero as AWS has it.
fn aws_id(kind: &str, tenant: &Tenant, what: &str) -> String {
    format!("{kind}-0{}", digits(kind, tenant, what, 16))
}

/// Hex digits that are always the same for the same thing of the same tenant.
fn digits(kind: &str, tenant: &Tenant, what: &str, count: usize) -> String {
    let mut text = hex::encode(hash(&[kind, &tenant.account, &tenant.region, what]));
    text.truncate(count);
    text
}

/// As in `AROA` + 17 characters of base 32.
fn role_id(account: &str, name: &str) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let characters = hash(&["role", account, name]).into_iter().take(17);
    let text: String = characters.map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
    format!("AROA{text}")
}

fn hash(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use cove_base::Clock;
    use cove_base::paths::DataDir;
    use cove_store::{Store, StoreError, StoreOptions};

    use super::*;

    fn host() -> HostFacts {
        HostFacts {
            node: "cove".into(),
            cpu: 2048,
            memory_mib: 4096,
            zones: ["a", "b", "c"].map(String::from).to_vec(),
            instance_type: "m5.large".into(),
            ephemeral_ports: 32_768..=60_999,
            reserved_ports_tcp: vec![22],
            reserved_ports_udp: vec![],
            attributes: vec![],
            memory_overcommit: 1.5,
            enforces_device_permissions: true,
        }
    }

    #[test]
    fn a_tenant_gets_its_defaults_once_and_keeps_what_it_changed() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&DataDir::new(directory.path()), Clock::system(), StoreOptions::default()).unwrap();
        let tenant = Tenant::new("123456789012", "eu-west-1");
        let other = Tenant::new("123456789012", "us-east-1");
        let ensure = |tenant: &Tenant| {
            let tenant = tenant.clone();
            let ensured = store.write_blocking(move |tx| {
                ensure_tenant(tx, &tenant, &host());
                Ok::<_, StoreError>(())
            });
            ensured.unwrap();
            store.read(cove_store::View::revision)
        };
        let once = ensure(&tenant);
        assert_eq!(ensure(&tenant), once, "a second call writes nothing");
        ensure(&other);
        store.read(|view| {
            let subnets = view.scan::<Subnet>(&Prefix::tenant(&tenant));
            let mut ranges: Vec<String> = subnets.iter().map(|subnet| subnet.cidr.to_string()).collect();
            ranges.sort();
            assert_eq!(ranges, ["172.31.0.0/20", "172.31.16.0/20", "172.31.32.0/20"]);
            assert_eq!(view.count::<Role>(&Prefix::all()), 2);
            assert_eq!(view.count::<Cluster>(&Prefix::all()), 2);
            let instances = view.scan::<ContainerInstance>(&Prefix::all());
            assert_ne!(instances[0].id, instances[1].id);
            assert_eq!(instances[0].availability_zone, "eu-west-1a");
            assert_eq!(instances[0].id.len(), 32);
        });

        let grown = HostFacts { memory_mib: 8192, ..host() };
        let refreshed = store.write_blocking(move |tx| {
            refresh_host(tx, &grown);
            Ok::<_, StoreError>(())
        });
        refreshed.unwrap();
        let instance = store.read(|view| view.scan::<ContainerInstance>(&Prefix::tenant(&tenant)).remove(0));
        assert_eq!((instance.registered.memory_mib, instance.version), (8192, 2));
    }
}
