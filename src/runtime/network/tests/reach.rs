//! Who reaches whom.

use std::io::ErrorKind;
use std::net::Ipv4Addr;

use super::lab::{HOST_ON_LAN, NEIGHBOUR, Server, ask, ask_from, ask_udp, inside, on_a_host, port, silent, task};
use crate::network::netlink::route::{self, OnLink};
use crate::network::netlink::{Channel, Protocol};
use crate::network::{BRIDGE_RANGE, DNS_ADDRESS, METADATA_ADDRESS, NetworkError, NetworkId, PortMap};

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

#[test]
fn members_of_a_group_reach_each_other_and_others_do_not() {
    on_a_host(|lab| {
        let node = lab.node("reach-a");
        let one = inside(&node.attach(&task("one", 10)).unwrap());
        let two = inside(&node.attach(&task("two", 11)).unwrap());
        let stranger = inside(
            &node
                .attach(&crate::network::Attachment { security_groups: vec!["sg-other".into()], ..task("three", 12) })
                .unwrap(),
        );
        let _server = Server::tcp(&two, 80);
        assert_eq!(ask(&one, [172, 31, 0, 11], 80).unwrap(), "172.31.0.10");
        assert!(silent(&stranger, [172, 31, 0, 11].into(), 80));
    });
}

#[test]
fn the_host_reaches_a_task_directly_and_the_lan_does_not() {
    on_a_host(|lab| {
        let node = lab.node("reach-b");
        let one = inside(&node.attach(&task("one", 10)).unwrap());
        let _server = Server::tcp(&one, 80);
        assert!(ask(&lab.host, [172, 31, 0, 10], 80).unwrap().starts_with("198.19."));
        assert!(silent(&lab.lan, [172, 31, 0, 10].into(), 80));
    });
}

#[test]
fn a_task_reaches_of_the_host_only_metadata_and_names() {
    on_a_host(|lab| {
        let node = lab.node("reach-c");
        let one = inside(&node.attach(&task("one", 10)).unwrap());
        let _service = Server::tcp(&lab.host, 4566);
        let listeners = node.listeners(&NetworkId::Vpc("vpc-1".into())).unwrap();
        let _metadata = Server::accept(listeners.http);
        let _names = Server::accept(listeners.dns_tcp);
        assert!(node.has_listeners(&NetworkId::Vpc("vpc-1".into())));
        assert_eq!(ask(&one, METADATA_ADDRESS, 80).unwrap(), "172.31.0.10");
        assert_eq!(ask(&one, DNS_ADDRESS, 53).unwrap(), "172.31.0.10");
        let router_transit = inside(&node.pins().join("router.vpc.vpc-1"));
        let _hidden = Server::tcp(&router_transit, 4567);
        for (address, port) in [(HOST_ON_LAN, 4566), (METADATA_ADDRESS, 4567), ([172, 31, 0, 1].into(), 4567)] {
            assert!(silent(&one, address, port), "{address}:{port}");
        }
        let transit = lab
            .tool("ip", &["-4", "-o", "addr", "show"])
            .split_whitespace()
            .find(|word| word.starts_with("198.19."))
            .unwrap()
            .replace("/31", "");
        assert!(silent(&one, transit.parse().unwrap(), 4566));
    });
}

#[test]
fn metadata_is_out_of_reach_from_the_host_and_the_lan() {
    on_a_host(|lab| {
        let node = lab.node("reach-d");
        node.attach(&task("one", 10)).unwrap();
        let listeners = node.listeners(&NetworkId::Vpc("vpc-1".into())).unwrap();
        let _metadata = Server::accept(listeners.http);
        let link = lab
            .tool("ip", &["-o", "link"])
            .split_whitespace()
            .find(|word| word.starts_with("cvr"))
            .unwrap()
            .split('@')
            .next()
            .unwrap()
            .to_owned();
        lab.tool("ip", &["route", "add", "169.254.0.0/16", "dev", &link]);
        lab.tool(
            "ip",
            &["neigh", "add", "169.254.170.2", "lladdr", "02:c1:c6:13:00:01", "dev", &link, "nud", "permanent"],
        );
        assert!(silent(&lab.lan, METADATA_ADDRESS, 80));
        assert!(silent(&lab.host, METADATA_ADDRESS, 80));
    });
}

#[test]
fn a_published_port_answers_on_every_address_of_the_host() {
    on_a_host(|lab| {
        let node = lab.node("reach-e");
        let publisher = crate::network::Attachment {
            ports: vec![port(8080, 80), PortMap { udp: true, host_port: 5353, container_port: 53 }],
            ..task("one", 10)
        };
        let one = inside(&node.attach(&publisher).unwrap());
        let other = inside(&node.attach(&task("two", 11)).unwrap());
        let (_tcp, _udp) = (Server::tcp(&one, 80), Server::udp(&one, 53));
        assert!(
            ask(&lab.host, LOCALHOST, 8080).unwrap().starts_with("198.19."),
            "127.0.0.1 arrives as the transit's host end"
        );
        assert_eq!(ask(&lab.host, HOST_ON_LAN, 8080).unwrap(), HOST_ON_LAN.to_string());
        assert_eq!(ask(&lab.lan, HOST_ON_LAN, 8080).unwrap(), NEIGHBOUR.to_string(), "the client's address is kept");
        assert_eq!(ask(&one, HOST_ON_LAN, 8080).unwrap(), "198.19.255.255", "a hairpin to itself");
        assert_eq!(ask(&other, HOST_ON_LAN, 8080).unwrap(), "198.19.255.255", "a hairpin of a sibling");
        assert!(ask_udp(&lab.host, 0, LOCALHOST, 5353).unwrap().starts_with("198.19."));
        assert_eq!(ask_udp(&lab.lan, 0, HOST_ON_LAN, 5353).unwrap(), NEIGHBOUR.to_string());
    });
}

#[test]
fn egress_leaves_with_the_hosts_address() {
    on_a_host(|lab| {
        let node = lab.node("reach-f");
        let one = inside(&node.attach(&task("one", 10)).unwrap());
        let _server = Server::tcp(&lab.lan, 80);
        assert_eq!(ask(&one, NEIGHBOUR, 80).unwrap(), HOST_ON_LAN.to_string());
        assert!(
            one.run(|| Ok(lab.tool("ip", &["link", "show", "eth0"]))).unwrap().contains("mtu 1400"),
            "as on the host's way out"
        );
        // An address of the range that no task has stays inside.
        let refused = ask(&one, [172, 31, 9, 9], 80).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EHOSTUNREACH));
        // The metadata service of a cloud that the host may run in.
        lab.lan
            .run(|| std::process::Command::new("ip").args(["addr", "add", "169.254.169.254/32", "dev", "lo"]).status())
            .unwrap();
        assert!(silent(&one, [169, 254, 169, 254].into(), 80));
    });
}

#[test]
fn a_borrowed_address_is_dropped_and_its_owner_undisturbed() {
    on_a_host(|lab| {
        let node = lab.node("reach-g");
        let thief = inside(&node.attach(&task("thief", 10)).unwrap());
        let owner = inside(&node.attach(&task("owner", 11)).unwrap());
        let server = inside(&node.attach(&task("server", 12)).unwrap());
        let _servers = (Server::udp(&server, 53), Server::tcp(&server, 80));
        Channel::new(&thief, Protocol::Route)
            .one("steal", route::address(64, [172, 31, 0, 11].into(), 32, OnLink::No))
            .unwrap();
        let error = ask_from(&thief, [172, 31, 0, 11].into(), [172, 31, 0, 12].into(), 53).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
        assert_eq!(ask(&owner, [172, 31, 0, 12], 80).unwrap(), "172.31.0.11");
    });
}

#[test]
fn bridge_tasks_reach_each_other_and_not_a_vpc() {
    on_a_host(|lab| {
        let node = lab.node("reach-h");
        let bridge = |id: &str, last| crate::network::Attachment {
            network: NetworkId::Bridge,
            cidr: BRIDGE_RANGE,
            address: Ipv4Addr::new(172, 17, 0, last),
            security_groups: Vec::new(),
            ..task(id, last)
        };
        let one = inside(&node.attach(&bridge("one", 2)).unwrap());
        let two = inside(&node.attach(&bridge("two", 3)).unwrap());
        let vpc = inside(&node.attach(&task("three", 10)).unwrap());
        let _servers = (Server::tcp(&two, 80), Server::tcp(&vpc, 80));
        assert_eq!(ask(&one, [172, 17, 0, 3], 80).unwrap(), "172.17.0.2");
        assert!(silent(&one, [172, 31, 0, 10].into(), 80));
        let alone = inside(&node.isolated("alone").unwrap());
        let error = ask(&alone, [172, 31, 0, 10], 80).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENETUNREACH));
    });
}

#[test]
fn a_taken_port_is_named_and_the_loser_leaves_nothing() {
    on_a_host(|lab| {
        let node = lab.node("reach-i");
        let publisher = |id: &str, last| crate::network::Attachment {
            ports: vec![port(9000 + u16::from(last), 80), port(8080, 80)],
            ..task(id, last)
        };
        let one = inside(&node.attach(&publisher("one", 10)).unwrap());
        let error = node.attach(&publisher("two", 11)).unwrap_err();
        assert!(matches!(error, NetworkError::PortTaken { port: 8080, udp: false }), "{error}");
        assert_eq!(node.inventory().unwrap(), ["one"]);
        let _server = Server::tcp(&one, 80);
        assert!(ask(&lab.host, LOCALHOST, 8080).is_ok());
        assert!(node.attach(&crate::network::Attachment { ports: vec![port(9011, 80)], ..task("two", 11) }).is_ok());
    });
}

#[test]
fn two_nodes_with_the_same_range_live_side_by_side() {
    on_a_host(|lab| {
        let (a, b) = (lab.node("side-a"), lab.node("side-b"));
        let one =
            inside(&a.attach(&crate::network::Attachment { ports: vec![port(8081, 80)], ..task("one", 10) }).unwrap());
        let two =
            inside(&b.attach(&crate::network::Attachment { ports: vec![port(8082, 80)], ..task("two", 10) }).unwrap());
        let _servers = (Server::tcp(&one, 80), Server::tcp(&two, 80));
        assert!(ask(&lab.host, LOCALHOST, 8081).is_ok() && ask(&lab.host, LOCALHOST, 8082).is_ok());
        assert_eq!(ask(&one, HOST_ON_LAN, 8082).unwrap(), "198.19.255.255", "one node's task uses the other's port");
        assert!(ask(&lab.host, [172, 31, 0, 10], 80).is_ok(), "the first keeps the direct way");
        drop(b);
        assert!(ask(&lab.host, LOCALHOST, 8081).is_ok() && ask(&lab.host, [172, 31, 0, 10], 80).is_ok());
        assert_eq!(lab.forwarding(), "1");
    });
}
