//! What AWS gives a new account, made when a tenant is first seen: a default cluster, VPC, subnets, security group,
//! the usual ECS roles, and the fleet: the host as a container instance, or what is declared in its place.
//!
//! Holds: everything of a tenant is made in one transaction with its [`TenantRecord`]; a second call writes nothing, unless
//! there are more roles than when the tenant was made.
//! Ids derive from the tenant, so that they are the same after the data was thrown away.

use cove_base::Timestamp;
use cove_model::account::TenantRecord;
use cove_model::arn::Tenant;
use cove_model::cluster::{Cluster, ClusterStatus};
use cove_model::network::{Cidr, SecurityGroup, Subnet, Vpc};
use cove_model::role::Role;
use cove_store::{Read, Tx, keys};

use crate::fleet::reconcile_tenant;
use crate::host::HostFacts;
use crate::names::{aws_id, hash, zone_name};

/// The cluster that requests without a cluster mean.
pub const DEFAULT_CLUSTER: &str = "default";
/// AWS's default VPC, and the size of its subnets.
const DEFAULT_VPC: &str = "172.31.0.0/16";
const SUBNET_PREFIX: u8 = 20;
/// A /16 holds sixteen /20; no region has more zones.
const SUBNETS_MAX: usize = 16;
/// IAM's default for roles.
const SESSION_SECS: u32 = 3600;

/// The roles that ECS's tools expect, and who may take them. Others come at the end: tenants count those that they have.
const ROLES: [(&str, &str, &str); 4] = [
    ("ecsTaskExecutionRole", "ecs-tasks.amazonaws.com", "Lets ECS pull images and write logs for tasks"),
    ("ecsInstanceRole", "ec2.amazonaws.com", "Lets container instances register with ECS"),
    ("ecsInfrastructureRoleForExpressServices", "ecs.amazonaws.com", "Lets ECS manage Express services"),
    ("ecsInfrastructureRole", "ecs.amazonaws.com", "Lets ECS manage the instances of capacity providers"),
];

/// Makes the tenant's defaults if it has none yet. Cheap when it has.
pub fn ensure_tenant(tx: &mut Tx<'_>, tenant: &Tenant, host: &HostFacts) {
    let known = tx.get::<TenantRecord>(&keys::tenant(tenant));
    let has_roles = known.as_ref().map_or(0, |it| it.roles);
    if known.is_some() && has_roles >= ROLES.len() {
        return;
    }
    make_roles(tx, tenant, &ROLES[has_roles..]);
    if known.is_none() {
        tx.put(new_cluster(tenant, DEFAULT_CLUSTER, tx.now()));
        network(tx, tenant, host);
        reconcile_tenant(tx, tenant, host);
    }
    tx.put(TenantRecord { tenant: tenant.clone(), roles: ROLES.len() });
}

fn make_roles(tx: &mut Tx<'_>, tenant: &Tenant, roles: &[(&str, &str, &str)]) {
    let now = tx.now();
    for (name, service, description) in roles {
        // IAM has no regions: another region of the account may have made them, or the user changed them.
        if tx.get::<Role>(&keys::role(&tenant.account, name)).is_none() {
            tx.put(role(&tenant.account, name, service, description, now));
        }
    }
}

/// A cluster as CreateCluster makes it from a name alone.
pub(crate) fn new_cluster(tenant: &Tenant, name: &str, now: Timestamp) -> Cluster {
    Cluster {
        tenant: tenant.clone(),
        name: name.to_owned(),
        status: ClusterStatus::Active,
        settings: Vec::new(),
        configuration: None,
        service_connect_defaults: None,
        capacity_providers: Vec::new(),
        default_capacity_provider_strategy: Vec::new(),
        tags: Vec::new(),
        created_at: now,
        gone_at: None,
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

/// As in `AROA` + 17 characters of base 32.
fn role_id(account: &str, name: &str) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let characters = hash(&["role", account, name]).into_iter().take(17);
    let text: String = characters.map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
    format!("AROA{text}")
}

#[cfg(test)]
mod tests {
    use cove_base::Clock;
    use cove_base::paths::DataDir;
    use cove_model::container_instance::ContainerInstance;
    use cove_store::{Prefix, Store, StoreError, StoreOptions};

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
            tasks_max: 2000,
            memory_overcommit: 1.5,
            enforces_device_permissions: true,
            fleet: crate::fleet::Fleet::default(),
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
            assert_eq!(view.count::<Role>(&Prefix::all()), ROLES.len());
            assert_eq!(view.count::<Cluster>(&Prefix::all()), 2);
            let instances = view.scan::<ContainerInstance>(&Prefix::all());
            assert_ne!(instances[0].id, instances[1].id);
            assert_eq!(instances[0].availability_zone, "eu-west-1a");
            assert_eq!(instances[0].id.len(), 32);
        });
    }
    #[test]
    fn a_tenant_of_an_older_version_gets_the_roles_that_came_since_and_not_what_its_user_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&DataDir::new(directory.path()), Clock::system(), StoreOptions::default()).unwrap();
        let tenant = Tenant::new("123456789012", "eu-west-1");
        let old = TenantRecord { tenant, roles: 3 };
        let ensured = store.write_blocking(move |tx| {
            let account = old.tenant.account.clone();
            tx.put(old.clone());
            ensure_tenant(tx, &old.tenant, &host());
            let names: Vec<String> = tx.scan::<Role>(&Prefix::all()).iter().map(|role| role.name.clone()).collect();
            assert_eq!(names, ["ecsInfrastructureRole"]);
            assert_eq!(tx.count::<Cluster>(&Prefix::all()), 0, "nothing else is made again");
            tx.delete::<Role>(&keys::role(&account, "ecsInfrastructureRole"));
            ensure_tenant(tx, &old.tenant, &host());
            assert_eq!(tx.count::<Role>(&Prefix::all()), 0);
            Ok::<_, StoreError>(())
        });
        ensured.unwrap();
    }
}
