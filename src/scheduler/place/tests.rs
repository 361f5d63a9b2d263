//! Placement over hand-made and random snapshots.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::arn::Tenant;
use cove_model::container_instance::{Capacity, ContainerInstance, ContainerInstanceStatus, Origin, Resources};
use cove_model::fixture;
use cove_model::network::{Cidr, SecurityGroup, Subnet};
use cove_model::task::{Container, LaunchType, NetworkBinding, Task, TaskNetwork, TaskStatus};
use cove_model::task_definition::{Attribute, NetworkMode, TransportProtocol};
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::host::HostFacts;

fn tenant() -> Tenant {
    Tenant::new("000000000000", "us-east-1")
}

pub(crate) fn host() -> HostFacts {
    HostFacts {
        node: "cove".into(),
        cpu: 2048,
        memory_mib: 4096,
        zones: vec!["a".into(), "b".into()],
        instance_type: "m5.large".into(),
        ephemeral_ports: 40_000..=40_009,
        reserved_ports_tcp: vec![22],
        reserved_ports_udp: vec![],
        attributes: vec![],
        tasks_max: 2000,
        memory_overcommit: 1.5,
        enforces_device_permissions: true,
        fleet: crate::fleet::Fleet::default(),
    }
}

pub(crate) fn attribute(name: &str, value: &str) -> Attribute {
    Attribute { name: Some(name.into()), value: Some(value.into()), ..Attribute::default() }
}

pub(crate) fn instance(id: &str, zone: &str, memory_mib: i64) -> Arc<ContainerInstance> {
    Arc::new(ContainerInstance {
        tenant: tenant(),
        cluster: "default".into(),
        id: id.into(),
        ec2_instance_id: format!("i-{id}"),
        status: ContainerInstanceStatus::Active,
        registered: Resources { cpu: 2048, memory_mib, ports_tcp: vec![22], ..Resources::default() },
        attributes: vec![attribute("ecs.availability-zone", zone), attribute("name", id)],
        availability_zone: zone.into(),
        registered_at: Timestamp(0),
        version: 1,
        tags: vec![],
        task_interfaces_max: None,
        origin: Origin::Declared,
        capacity: Capacity::OnDemand,
        asg_max: None,
        agent: None,
        asg: None,
        managed_by: None,
        storage_gib: None,
        replaces: None,
        room_for: Vec::new(),
        is_terminated: false,
        declared_attributes: Vec::new(),
        leaves_at: None,
        leaves_when_empty: false,
        leaves_since: None,
        gone_at: None,
    })
}

fn subnet(id: &str, zone: &str, cidr: &str) -> Arc<Subnet> {
    let cidr = Cidr::parse(cidr).unwrap();
    let (vpc_id, availability_zone) = ("vpc-1".into(), zone.into());
    Arc::new(Subnet { tenant: tenant(), id: id.into(), vpc_id, cidr, availability_zone, is_default: true })
}

static NOBODY: Taken = Taken::nothing();

fn snapshot(host: &HostFacts, instances: Vec<Arc<ContainerInstance>>) -> Snapshot<'_> {
    let (id, vpc_id, name) = ("sg-1".into(), "vpc-1".into(), "default".into());
    Snapshot {
        host,
        instances,
        taken: Summed { published: &NOBODY, changes: Taken::nothing() },
        subnets: vec![subnet("subnet-a", "a", "172.31.0.0/28"), subnet("subnet-b", "b", "172.31.16.0/28")],
        security_groups: vec![Arc::new(SecurityGroup { tenant: tenant(), id, vpc_id, name })],
        reserves: vec![],
    }
}

fn request(count: usize, network_mode: NetworkMode) -> Request {
    Request {
        tenant: tenant(),
        cluster: "default".into(),
        target: Target::Count(count),
        pools: vec![],
        launch_type: LaunchType::Ec2,
        network_mode,
        cpu: 128,
        memory_mib: 256,
        ports: vec![vec![]],
        gpus: vec![0],
        group: "family:web".into(),
        constraints: vec![],
        strategies: vec![],
        required_attributes: vec![],
        subnets: vec![],
        security_groups: vec![],
        assign_public_ip: false,
        seed: 7,
    }
}

fn tcp(container_port: u16, host_port: Option<u16>) -> PortRequest {
    PortRequest { container_port, host_port, protocol: TransportProtocol::Tcp, more: None }
}

/// Some task that lives.
pub(crate) fn any_task() -> Task {
    let host = host();
    let placed = place(&snapshot(&host, vec![instance("one", "a", 300)]), &request(1, NetworkMode::None)).unwrap();
    Task::clone(&task(tenant(), placed[0].as_ref().unwrap()))
}

/// The task that comes of a placement.
fn task(tenant: Tenant, placed: &Placed) -> Arc<Task> {
    let container = |(ports, gpu_ids): (&Vec<NetworkBinding>, &Vec<String>)| Container {
        ports: ports.clone(),
        gpu_ids: gpu_ids.clone(),
        ..fixture::container("c")
    };
    Arc::new(Task {
        tenant,
        placement: placed.placement.clone(),
        network: placed.network.clone(),
        containers: placed.ports.iter().zip(&placed.gpus).map(container).collect(),
        ..fixture::task("1")
    })
}

/// Where each task went, or the reasons why not.
fn outcome(placed: &[Result<Placed, Vec<Refusal>>]) -> Vec<String> {
    let refused =
        |refusals: &Vec<Refusal>| refusals.iter().map(|one| one.reason.as_str()).collect::<Vec<_>>().join(",");
    let place = |placed: &Placed| placed.placement.container_instance.clone().unwrap_or_default();
    placed.iter().map(|one| one.as_ref().map_or_else(refused, place)).collect()
}

#[test]
fn a_task_that_does_not_fit_gets_one_reason_per_instance() {
    let host = host();
    let snapshot = snapshot(&host, vec![instance("one", "a", 300), instance("two", "a", 100)]);
    let got = place(&snapshot, &request(2, NetworkMode::None)).unwrap();
    assert_eq!(outcome(&got), ["one", "RESOURCE:MEMORY,RESOURCE:MEMORY"]);
    let cpu = place(&snapshot, &Request { cpu: 4096, ..request(1, NetworkMode::None) }).unwrap();
    assert_eq!(outcome(&cpu), ["RESOURCE:CPU,RESOURCE:CPU"]);
    let arn = cpu[0].as_ref().unwrap_err()[0].arn.clone();
    assert_eq!(arn.unwrap(), "arn:aws:ecs:us-east-1:000000000000:container-instance/default/one");
}

#[test]
fn what_is_put_on_a_managed_instance_is_promised_of_the_host() {
    let host = host();
    let on = |managed_by: Option<&str>| {
        let one =
            ContainerInstance { managed_by: managed_by.map(Into::into), ..(*instance("one", "a", 20_000)).clone() };
        let named = Target::Instances(vec!["one".into(), "one".into()]);
        let request = Request { target: named, memory_mib: 4000, ..request(2, NetworkMode::None) };
        outcome(&place(&snapshot(&host, vec![Arc::new(one)]), &request).unwrap())
    };
    assert_eq!(on(None), ["one", "one"]);
    assert_eq!(on(Some("mi")), ["one", "RESOURCE:MEMORY"], "6144 MiB are there for both");
}

#[test]
fn awsvpc_tasks_take_interfaces_and_others_do_not() {
    let host = host();
    let small = ContainerInstance { task_interfaces_max: Some(2), ..(*instance("one", "a", 2000)).clone() };
    let mut snapshot = snapshot(&host, vec![Arc::new(small)]);
    let awsvpc = |count| Request { subnets: vec!["subnet-a".into()], ..request(count, NetworkMode::Awsvpc) };
    let got = place(&snapshot, &awsvpc(3)).unwrap();
    assert_eq!(outcome(&got), ["one", "one", "RESOURCE:ENI"]);
    snapshot.taken.changes.add(&task(tenant(), got[0].as_ref().unwrap()), 1);
    assert_eq!(outcome(&place(&snapshot, &awsvpc(2)).unwrap()), ["one", "RESOURCE:ENI"]);
    assert_eq!(outcome(&place(&snapshot, &request(3, NetworkMode::Bridge)).unwrap()), ["one", "one", "one"]);
}

#[test]
fn gpus_are_given_by_id_and_to_one_container_each() {
    let host = host();
    let mut gpu = ContainerInstance::clone(&instance("one", "a", 4096));
    gpu.registered.gpus = ["g0", "g1", "g2", "g3"].map(str::to_owned).to_vec();
    let mut snapshot = snapshot(&host, vec![Arc::new(gpu), instance("two", "a", 4096)]);
    let wants = |gpus: &[usize], count| Request {
        gpus: gpus.to_vec(),
        ports: vec![vec![]; 2],
        ..request(count, NetworkMode::None)
    };
    let got = place(&snapshot, &wants(&[2, 1], 2)).unwrap();
    assert_eq!(got[0].as_ref().unwrap().gpus, [vec!["g0".to_owned(), "g1".into()], vec!["g2".into()]]);
    assert_eq!(outcome(&got)[1], "RESOURCE:GPU,RESOURCE:GPU");
    let first = task(tenant(), got[0].as_ref().unwrap());
    assert_eq!(remaining(&snapshot.instances[0], [&*first]).gpus, ["g3"]);
    snapshot.taken.changes.add(&first, 1);
    let next = place(&snapshot, &wants(&[0, 1], 1)).unwrap();
    assert_eq!(next[0].as_ref().unwrap().gpus, [vec![], vec!["g3".to_owned()]]);
}

#[test]
fn tasks_of_a_group_go_to_its_instances_only() {
    let host = host();
    let mut blue = ContainerInstance::clone(&instance("one", "a", 600));
    blue.asg = Some("blue".into());
    let snapshot = snapshot(&host, vec![Arc::new(blue), instance("two", "a", 4096)]);
    let (blue, none) = (Some(Pool::Group("blue".to_owned())), None);
    let pools = vec![blue.clone(), none, blue.clone(), blue, Some(Pool::Group("green".into()))];
    let got = place(&snapshot, &Request { pools, ..request(5, NetworkMode::None) }).unwrap();
    assert_eq!(outcome(&got), ["one", "two", "one", "RESOURCE:MEMORY", Reason::NoCapacity.as_str()]);
}

#[test]
fn a_managed_instance_takes_only_what_its_provider_is_asked_for_and_what_the_host_holds() {
    let facts = HostFacts { memory_mib: 1000, memory_overcommit: 1.0, ..host() };
    let mut managed = ContainerInstance::clone(&instance("one", "a", 4096));
    managed.managed_by = Some("mi".into());
    let snapshot = snapshot(&facts, vec![Arc::new(managed)]);
    let open = request(1, NetworkMode::None);
    assert_eq!(outcome(&place(&snapshot, &open).unwrap()), [Reason::NoCapacity.as_str()]);
    let pools = vec![Some(Pool::Managed("mi".into())); 4];
    let memory_mib = 400;
    let wanted =
        Request { pools, memory_mib, launch_type: LaunchType::ManagedInstances, ..request(4, NetworkMode::None) };
    let got = place(&snapshot, &wanted).unwrap();
    assert_eq!(outcome(&got), ["one", "one", "RESOURCE:MEMORY", "RESOURCE:MEMORY"]);
    assert!(got[2].as_ref().unwrap_err()[0].detail.as_ref().unwrap().contains("on this host"));
}

#[test]
fn room_is_kept_for_the_daemons_of_managed_instances() {
    let facts = host();
    let mut managed = ContainerInstance::clone(&instance("one", "a", 600));
    managed.managed_by = Some("mi".into());
    let mut snapshot = snapshot(&facts, vec![Arc::new(managed)]);
    let pool = Pool::Managed("mi".into());
    snapshot.reserves =
        vec![Reserve { pool: pool.clone(), daemon: "watch".into(), revision: "1".into(), cpu: 0, memory_mib: 100 }];
    let (pools, launch_type) = (vec![Some(pool); 2], LaunchType::ManagedInstances);
    let wanted = Request { pools, launch_type, memory_mib: 300, ..request(2, NetworkMode::None) };
    assert_eq!(outcome(&place(&snapshot, &wanted).unwrap()), ["one", "RESOURCE:MEMORY"]);
    let named = Target::Instances(vec!["one".into()]);
    let own = Request { group: "daemon:watch".into(), target: named, memory_mib: 600, ..request(1, NetworkMode::None) };
    assert_eq!(outcome(&place(&snapshot, &own).unwrap()), ["one"]);
    let mut there = any_task();
    there.keeper = Some(cove_model::task::Keeper::Daemon("watch".into()));
    there.placement.container_instance = Some("one".into());
    (there.placement.cpu, there.placement.memory_mib) = (0, 0);
    snapshot.taken.changes.add(&there, 1);
    assert_eq!(outcome(&place(&snapshot, &wanted).unwrap()), ["one", "one"], "it has come");
}

#[test]
fn an_instance_whose_agent_is_not_connected_takes_no_task() {
    let host = host();
    let mut far = ContainerInstance::clone(&instance("far", "a", 4096));
    far.agent = Some(cove_model::container_instance::Agent::default());
    let snapshot = snapshot(&host, vec![Arc::new(far)]);
    assert_eq!(outcome(&place(&snapshot, &request(1, NetworkMode::None)).unwrap()), ["AGENT"]);
    let named = Request { target: Target::Instances(vec!["far".into()]), ..request(0, NetworkMode::None) };
    assert_eq!(outcome(&place(&snapshot, &named).unwrap()), ["AGENT"]);
}

#[test]
fn another_host_has_ports_of_its_own_and_chooses_those_that_are_not_fixed_itself() {
    let host = host();
    let mut far = ContainerInstance::clone(&instance("far", "a", 4096));
    let agent = cove_model::container_instance::Agent { connected: true, ..Default::default() };
    far.agent = Some(agent);
    let mut snapshot = snapshot(&host, vec![Arc::new(far)]);
    // The node's own port 80 is taken.
    let mut own = any_task();
    own.network = TaskNetwork::Host;
    let binding = NetworkBinding { container_port: 80, host_port: 80, protocol: TransportProtocol::Tcp, more: None };
    own.containers = vec![Container { ports: vec![binding], ..fixture::container("c") }];
    snapshot.taken.changes.add(&own, 1);
    let ports = vec![vec![tcp(80, Some(80)), tcp(81, None)]];
    let wanted = Request { ports, ..request(2, NetworkMode::Bridge) };
    let got = place(&snapshot, &wanted).unwrap();
    assert_eq!(outcome(&got), ["far", "RESOURCE:PORTS"]);
    let placed = got[0].as_ref().unwrap();
    assert!(placed.placement.elsewhere && placed.network.address().is_none());
    assert_eq!((placed.ports[0].len(), placed.ports[0][0].host_port), (1, 80));
    let there = task(tenant(), placed);
    snapshot.taken.changes.add(&there, 1);
    assert_eq!(outcome(&place(&snapshot, &wanted).unwrap()), ["RESOURCE:PORTS", "RESOURCE:PORTS"]);
    assert_eq!(snapshot.taken.number(|it| it.host_port(TransportProtocol::Tcp, 80)), 1, "the node's");
    snapshot.taken.changes.add(&there, -1);
    let reserved = Request { ports: vec![vec![tcp(22, Some(22))]], ..request(1, NetworkMode::Bridge) };
    assert_eq!(outcome(&place(&snapshot, &reserved).unwrap()), ["RESOURCE:PORTS"]);
    let vpc = Request { subnets: vec!["subnet-a".into()], ..request(1, NetworkMode::Awsvpc) };
    assert_eq!(outcome(&place(&snapshot, &vpc).unwrap()), ["RESOURCE:ENI"]);
}

/// One pass over instances and tasks for each placed task would be 10,000 × 10,000 here.
#[test]
fn ten_thousand_tasks_on_a_hundred_instances_are_placed_at_once() {
    let host = host();
    let zones = ["a", "b", "c"];
    let mut instances: Vec<_> =
        (0..100).map(|number| instance(&format!("{number:03}"), zones[number % 3], 1 << 20)).collect();
    for one in &mut instances {
        Arc::get_mut(one).unwrap().registered.cpu = 1 << 20;
    }
    let mut snapshot = snapshot(&host, instances);
    let strategies = vec![
        Strategy::Spread("attribute:ecs.availability-zone".into()),
        Strategy::Spread("instanceId".into()),
        Strategy::BinpackMemory,
    ];
    let all = Request { strategies, ..request(10_000, NetworkMode::None) };
    let started = std::time::Instant::now();
    let got = place(&snapshot, &all).unwrap();
    let tasks: Vec<_> = got.iter().flatten().map(|placed| task(tenant(), placed)).collect();
    assert_eq!(tasks.len(), 10_000);
    tasks.iter().for_each(|task| snapshot.taken.changes.add(task, 1));
    assert!(place(&snapshot, &Request { target: Target::Count(1), ..all }).unwrap()[0].is_ok());
    // A debug build takes about a second; the square of it would be minutes.
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
    let mut per_instance: HashMap<&str, usize> = HashMap::new();
    for task in &tasks {
        *per_instance.entry(task.placement.container_instance.as_deref().unwrap()).or_default() += 1;
    }
    let (least, most) = (per_instance.values().min().unwrap(), per_instance.values().max().unwrap());
    // 34, 33 and 33 instances in the zones, a third of the tasks in each.
    assert!(*least >= 98 && *most <= 102, "{least} {most}");
}

#[test]
fn an_instance_whose_zone_has_no_address_left_gives_way_to_the_next() {
    let host = host();
    let instances = vec![instance("one", "a", 4096), instance("two", "b", 8192)];
    let snapshot = snapshot(&host, instances);
    let subnets = vec!["subnet-a".into(), "subnet-b".into()];
    let all = Request {
        subnets,
        cpu: 0,
        memory_mib: 10,
        strategies: vec![Strategy::BinpackMemory],
        ..request(23, NetworkMode::Awsvpc)
    };
    let got = outcome(&place(&snapshot, &all).unwrap());
    assert_eq!(got.iter().filter(|place| *place == "one").count(), 11);
    assert_eq!(got.iter().filter(|place| *place == "two").count(), 11);
    assert_eq!(got[22], "RESOURCE:ENI,RESOURCE:ENI");
}

#[test]
fn a_cluster_without_active_instances_is_an_error() {
    let host = host();
    let mut draining = ContainerInstance::clone(&instance("one", "a", 300));
    draining.status = ContainerInstanceStatus::Draining;
    let snapshot = snapshot(&host, vec![Arc::new(draining)]);
    assert_eq!(place(&snapshot, &request(1, NetworkMode::None)), Err(BadRequest::NoContainerInstances));
    let started =
        Request { target: Target::Instances(vec!["one".into(), "no".into()]), ..request(0, NetworkMode::None) };
    assert_eq!(outcome(&place(&snapshot, &started).unwrap()), ["INACTIVE", "MISSING"]);
}

#[test]
fn a_static_host_port_is_given_once_over_all_tenants() {
    let host = host();
    let mut snapshot = snapshot(&host, vec![instance("one", "a", 4096), instance("two", "a", 4096)]);
    let web = Request { ports: vec![vec![tcp(80, Some(8080))]], ..request(2, NetworkMode::Bridge) };
    let got = place(&snapshot, &web).unwrap();
    assert!(got[0].is_ok());
    assert_eq!(outcome(&got)[1], "RESOURCE:PORTS,RESOURCE:PORTS");
    snapshot.taken.changes.add(&task(Tenant::new("111111111111", "eu-west-1"), got[0].as_ref().unwrap()), 1);
    assert_eq!(outcome(&place(&snapshot, &web).unwrap())[0], "RESOURCE:PORTS,RESOURCE:PORTS");
    let udp = PortRequest { protocol: TransportProtocol::Udp, ..tcp(80, Some(8080)) };
    assert!(place(&snapshot, &Request { ports: vec![vec![udp]], ..web.clone() }).unwrap()[0].is_ok());
    let reserved = Request { ports: vec![vec![tcp(80, Some(22))]], ..web };
    assert_eq!(outcome(&place(&snapshot, &reserved).unwrap())[0], "RESOURCE:PORTS,RESOURCE:PORTS");
    let ssh = Request { ports: vec![vec![tcp(22, None)]], ..request(1, NetworkMode::Host) };
    assert_eq!(outcome(&place(&snapshot, &ssh).unwrap())[0], "RESOURCE:PORTS,RESOURCE:PORTS");
}

#[test]
fn dynamic_ports_come_from_the_range_until_it_is_empty() {
    let host = host();
    let snapshot = snapshot(&host, vec![instance("one", "a", 4096)]);
    let ports = vec![vec![tcp(80, None), tcp(81, Some(0)), tcp(82, Some(40_003))], vec![tcp(90, None)]];
    let got = place(&snapshot, &Request { ports, ..request(2, NetworkMode::Bridge) }).unwrap();
    let bound: HashSet<u16> = got[0].as_ref().unwrap().ports.iter().flatten().map(|port| port.host_port).collect();
    assert_eq!(bound.len(), 4);
    assert!(bound.iter().all(|port| host.ephemeral_ports.contains(port)) && bound.contains(&40_003));
    let many =
        Request { ports: vec![(1..=4).map(|port| tcp(port, None)).collect()], ..request(3, NetworkMode::Bridge) };
    assert_eq!(outcome(&place(&snapshot, &many).unwrap()), ["one", "one", "RESOURCE:PORTS"]);
}

#[test]
fn what_the_node_lacks_is_asked_of_one_instance_and_said_of_all() {
    let host = host();
    let instances: Vec<_> = (0..3).map(|number| instance(&format!("i{number}"), "a", 300)).collect();
    let snapshot = snapshot(&host, instances);
    // One more than there are, none of them fixed: only the search finds out.
    let many = Request { ports: vec![vec![tcp(80, None); 11]], ..request(1, NetworkMode::Bridge) };
    let got = place(&snapshot, &many).unwrap().remove(0).unwrap_err();
    let arns: std::collections::BTreeSet<_> = got.iter().map(|refusal| refusal.arn.clone()).collect();
    assert_eq!((got.len(), arns.len()), (3, 3), "{got:?}");
    assert!(got.iter().all(|it| it.reason == Reason::Ports && it.detail.is_some()), "{got:?}");
}

#[test]
fn a_range_of_ports_stays_together_and_beside_what_is_taken() {
    let host = host();
    let snapshot = snapshot(&host, vec![instance("one", "a", 4096)]);
    let (first, last) = (*host.ephemeral_ports.start(), *host.ephemeral_ports.end());
    let size = last - first + 1;
    let range = |more| PortRequest { more: Some(more), ..tcp(7000, None) };
    for seed in 0..20 {
        let ports = vec![vec![tcp(80, Some(first)), range(2)], vec![range(1)]];
        let asked = Request { ports, seed, ..request(1, NetworkMode::Bridge) };
        let got = place(&snapshot, &asked).unwrap().remove(0).unwrap();
        let bound: Vec<u16> = got.ports.iter().flatten().flat_map(NetworkBinding::host_ports).collect();
        assert_eq!((bound.len(), bound.iter().collect::<HashSet<_>>().len()), (6, 6), "{bound:?}");
        assert!(bound.iter().all(|port| (first..=last).contains(port)), "{bound:?}");
        assert_eq!(got.ports[0][1].ranges().map(|(own, _)| own), Some("7000-7002".to_owned()));
    }
    let too_many = Request { ports: vec![vec![range(size)]], ..request(1, NetworkMode::Bridge) };
    assert_eq!(outcome(&place(&snapshot, &too_many).unwrap()), ["RESOURCE:PORTS"]);
    let own = Request { ports: vec![vec![range(9)]], ..request(1, NetworkMode::Awsvpc) };
    let subnets = vec!["subnet-a".into()];
    let got = place(&snapshot, &Request { subnets, ..own }).unwrap().remove(0).unwrap();
    assert_eq!(got.ports[0][0].ranges(), Some(("7000-7009".to_owned(), "7000-7009".to_owned())));
}

#[test]
fn constraints_are_kept_and_named_when_they_are_not_met() {
    let host = host();
    let snapshot = snapshot(&host, vec![instance("one", "a", 4096), instance("two", "b", 4096)]);
    let with = |constraints| Request { constraints, ..request(3, NetworkMode::None) };
    let mut distinct = outcome(&place(&snapshot, &with(vec![Constraint::DistinctInstance])).unwrap());
    distinct[..2].sort();
    let unmet = "DistinctInstance placement constraint unsatisfied.";
    assert_eq!(distinct, ["one".to_owned(), "two".to_owned(), format!("{unmet},{unmet}")]);
    let member = Constraint::MemberOf(Expression::parse("attribute:name == two").unwrap());
    assert_eq!(outcome(&place(&snapshot, &with(vec![member])).unwrap()), ["two", "two", "two"]);
    let gpu = Request { required_attributes: vec![attribute("gpu", "1")], ..request(1, NetworkMode::None) };
    assert_eq!(outcome(&place(&snapshot, &gpu).unwrap()), ["ATTRIBUTE,ATTRIBUTE"]);
}

#[test]
fn strategies_decide_in_their_order() {
    let host = host();
    let instances = vec![instance("a1", "a", 4096), instance("a2", "a", 2048), instance("b1", "b", 4096)];
    let snapshot = snapshot(&host, instances);
    let with = |strategies: &[Strategy]| {
        let request = Request { strategies: strategies.to_vec(), ..request(4, NetworkMode::None) };
        let mut places = outcome(&place(&snapshot, &request).unwrap());
        places.sort();
        places
    };
    assert_eq!(with(&[Strategy::BinpackMemory]), ["a2"; 4]);
    let zone = Strategy::Spread("attribute:ecs.availability-zone".into());
    assert_eq!(with(&[zone, Strategy::BinpackMemory]), ["a2", "a2", "b1", "b1"]);
    let spread = with(&[Strategy::Spread("instanceId".into())]);
    assert_eq!(spread.iter().collect::<HashSet<_>>().len(), 3);
    assert_eq!(Strategy::parse("spread", Some("rack")), None);
    assert_eq!(Strategy::parse("binpack", Some("memory")), Some(Strategy::BinpackMemory));
}

#[test]
fn tasks_on_instances_where_nothing_more_fits_are_spread_too() {
    let host = host();
    let zone = || vec![Strategy::Spread("attribute:ecs.availability-zone".into())];
    let in_zones = |instances: &[(&str, &str, i64)], request: &Request| {
        let instances = instances.iter().map(|(id, zone, memory_mib)| instance(id, zone, *memory_mib)).collect();
        let got = place(&snapshot(&host, instances), request).unwrap();
        let mut zones: Vec<String> = got.into_iter().map(|it| it.unwrap().placement.availability_zone).collect();
        zones.sort();
        zones.concat()
    };
    // One task fits on the first.
    let six = Request { strategies: zone(), ..request(6, NetworkMode::None) };
    assert_eq!(in_zones(&[("a1", "a", 256), ("a2", "a", 4096), ("b1", "b", 4096)], &six), "aaabbb");
    let constraints = vec![Constraint::DistinctInstance];
    for seed in 0..20 {
        let two =
            Request { constraints: constraints.clone(), strategies: zone(), seed, ..request(2, NetworkMode::None) };
        assert_eq!(in_zones(&[("a1", "a", 4096), ("a2", "a", 4096), ("b1", "b", 4096)], &two), "ab");
    }
}

#[test]
fn fargate_memory_is_promised_up_to_the_overcommit() {
    let host = host();
    let snapshot = snapshot(&host, vec![]);
    let fargate = Request {
        launch_type: LaunchType::Fargate,
        memory_mib: 2048,
        cpu: 1024,
        subnets: vec!["subnet-b".into()],
        ..request(4, NetworkMode::Awsvpc)
    };
    let got = place(&snapshot, &fargate).unwrap();
    assert_eq!(outcome(&got)[3], "RESOURCE:MEMORY");
    let first = got[0].as_ref().unwrap();
    assert_eq!((first.placement.availability_zone.as_str(), &first.placement.container_instance), ("b", &None));
    let TaskNetwork::Awsvpc(eni) = &first.network else { panic!("{:?}", first.network) };
    assert_eq!(eni.security_groups, ["sg-1"]);
    let [a, b, c, d] = eni.address.octets();
    assert_eq!(eni.mac, format!("02:c0:{a:02x}:{b:02x}:{c:02x}:{d:02x}"));
    assert_eq!((eni.id.len(), eni.attachment_id.len(), &eni.attachment_id[14..15]), (21, 36, "4"));
}

#[test]
fn a_subnet_gives_each_address_once_and_keeps_five() {
    let mut host = host();
    host.memory_mib = 1 << 20;
    let snapshot = snapshot(&host, vec![]);
    let launch_type = LaunchType::Fargate;
    let fargate = Request { launch_type, subnets: vec!["subnet-a".into()], ..request(12, NetworkMode::Awsvpc) };
    let got = place(&snapshot, &fargate).unwrap();
    let addresses: HashSet<Ipv4Addr> = got.iter().flatten().filter_map(|placed| placed.network.address()).collect();
    let expected: HashSet<Ipv4Addr> = (4..15).map(|last| Ipv4Addr::new(172, 31, 0, last)).collect();
    assert_eq!(addresses, expected);
    assert_eq!(outcome(&got)[11], "RESOURCE:ENI");
}

#[test]
fn a_network_that_does_not_exist_is_an_error() {
    let host = host();
    let mut snapshot = snapshot(&host, vec![instance("one", "a", 4096)]);
    let with = |subnets: &[&str]| {
        let subnets = subnets.iter().map(|id| (*id).to_owned()).collect();
        Request { subnets, ..request(1, NetworkMode::Awsvpc) }
    };
    assert_eq!(place(&snapshot, &with(&[])), Err(BadRequest::NoSubnets));
    assert_eq!(place(&snapshot, &with(&["x"])), Err(BadRequest::UnknownSubnet("x".into())));
    assert_eq!(outcome(&place(&snapshot, &with(&["subnet-b"])).unwrap()), ["ATTRIBUTE"]);
    let mut other = Subnet::clone(&subnet("subnet-c", "a", "10.0.0.0/24"));
    other.vpc_id = "vpc-2".into();
    snapshot.subnets.push(Arc::new(other));
    assert_eq!(place(&snapshot, &with(&["subnet-a", "subnet-c"])), Err(BadRequest::SeveralVpcs));
}

#[test]
fn what_is_left_of_an_instance_counts_its_own_live_tasks_only() {
    let host = host();
    let one = instance("one", "a", 4096);
    let snapshot = snapshot(&host, vec![Arc::clone(&one)]);
    let web = Request { ports: vec![vec![tcp(80, Some(8080))]], ..request(1, NetworkMode::Bridge) };
    let placed = place(&snapshot, &web).unwrap().remove(0).unwrap();
    let mine = task(tenant(), &placed);
    let foreign = task(Tenant::new("111111111111", "us-east-1"), &placed);
    let mut stopped = Task::clone(&mine);
    stopped.observed.status = TaskStatus::Stopped;
    let left = remaining(&one, [&*mine, &*foreign, &stopped]);
    assert_eq!((left.cpu, left.memory_mib, left.ports_tcp), (2048 - 128, 4096 - 256, vec![22, 8080]));
}

/// Count, mode, CPU, memory, ports (fixed, number, UDP), seed.
type Asked = (usize, u8, i64, i64, Vec<(bool, u16, bool)>, u64);

fn asked() -> impl proptest::strategy::Strategy<Value = Asked> {
    let ports = prop::collection::vec((any::<bool>(), 8000_u16..8003, any::<bool>()), 0..4);
    (0_usize..4, 0_u8..3, 0_i64..900, 0_i64..1500, ports, any::<u64>())
}

proptest! {
    /// Whatever is asked in whatever order: no instance over its size, no host port and no address twice.
    #[test]
    fn nothing_is_promised_twice(requests in prop::collection::vec(asked(), 1..12)) {
        let host = host();
        let mut state = snapshot(&host, vec![instance("one", "a", 2048), instance("two", "b", 1024)]);
        let mut tasks = Vec::new();
        for (count, mode, cpu, memory_mib, ports, seed) in requests {
            let network_mode = [NetworkMode::Bridge, NetworkMode::Host, NetworkMode::Awsvpc][usize::from(mode)];
            let port = |(fixed, port, udp): &(bool, u16, bool)| PortRequest {
                container_port: *port,
                host_port: fixed.then_some(*port),
                protocol: if *udp { TransportProtocol::Udp } else { TransportProtocol::Tcp },
                more: None,
            };
            let asked = Request {
                cpu,
                memory_mib,
                ports: vec![ports.iter().map(port).collect()],
                subnets: vec!["subnet-a".into(), "subnet-b".into()],
                seed,
                ..request(count, network_mode)
            };
            let got = place(&state, &asked).unwrap();
            prop_assert_eq!(&got, &place(&state, &asked).unwrap(), "the same seed, the same answer");
            for placed in got.iter().flatten() {
                tasks.push(task(tenant(), placed));
                state.taken.changes.add(&tasks[tasks.len() - 1], 1);
            }
        }
        for instance in &state.instances {
            let left = remaining(instance, tasks.iter().map(|task| &**task));
            prop_assert!(left.cpu >= 0 && left.memory_mib >= 0);
        }
        let mut addresses: HashMap<NetworkMode, HashSet<Ipv4Addr>> = HashMap::new();
        let mut host_ports = HashSet::new();
        for task in &tasks {
            if let Some(address) = task.network.address() {
                prop_assert!(addresses.entry(task.network.mode()).or_default().insert(address));
            }
            if task.network.mode() != NetworkMode::Awsvpc {
                for port in &task.containers[0].ports {
                    prop_assert!(host_ports.insert((port.protocol, port.host_port)));
                }
            }
        }
    }
}
