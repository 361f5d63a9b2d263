//! Faults that tasks inject into their own networks.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use cove_model::fault::{FaultAct, FaultKind, FaultState, NetworkFault};
use cove_model::network::Cidr;

use super::lab::{Lab, Node, Server, ask, ask_udp, inside, on_a_host, silent, task};
use crate::network::{METADATA_ADDRESS, NetworkError, NetworkId};

const OTHER: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 11);
const THIRD: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 12);

fn alone(address: Ipv4Addr) -> Cidr {
    Cidr { address, prefix: 32 }
}

fn everywhere() -> Cidr {
    Cidr::parse("0.0.0.0/0").unwrap()
}

fn hole(egress: bool, spared: &[Cidr]) -> NetworkFault {
    let kind = FaultKind::BlackholePort { port: 80, udp: false, egress };
    NetworkFault { kind, to: Vec::new(), spared: spared.to_vec() }
}

fn loss(percent: u8, to: &[Cidr], spared: &[Cidr]) -> NetworkFault {
    NetworkFault { kind: FaultKind::PacketLoss { percent }, to: to.to_vec(), spared: spared.to_vec() }
}

fn late(millis: u64, to: &[Cidr], spared: &[Cidr]) -> NetworkFault {
    let kind = FaultKind::Latency { delay_millis: millis, jitter_millis: 0 };
    NetworkFault { kind, to: to.to_vec(), spared: spared.to_vec() }
}

fn act(node: &Node, id: &str, act: FaultAct, fault: &NetworkFault) -> FaultState {
    node.fault(id, act, fault).unwrap()
}

#[test]
fn a_port_swallows_in_either_direction_until_it_is_told_to_stop() {
    use FaultAct::{Start, Status, Stop};
    use FaultState::{NotRunning, Running};
    on_a_host(|lab| {
        let node = lab.node("fault-a");
        let one = inside(&node.attach(&task("one", 10)).unwrap());
        let two = inside(&node.attach(&task("two", 11)).unwrap());
        let three = inside(&node.attach(&task("three", 12)).unwrap());
        let (_server, _other) = (Server::tcp(&two, 80), Server::tcp(&three, 80));
        let comes = hole(false, &[alone(THIRD)]);
        assert_eq!(act(&node, "two", Status, &comes), NotRunning);
        assert_eq!(act(&node, "two", Start, &comes), Running);
        assert_eq!(act(&node, "two", Start, &comes), Running, "again is the same");
        assert!(silent(&one, OTHER, 80));
        assert_eq!(ask(&three, OTHER, 80).unwrap(), THIRD.to_string(), "who is spared");
        assert_eq!(act(&node, "two", Status, &hole(true, &[])), NotRunning, "the other way is another fault");
        // A server that dies knows it again.
        node.die();
        let node = lab.node("fault-a");
        assert_eq!(act(&node, "two", Status, &comes), Running);
        assert_eq!(act(&node, "two", Stop, &comes), NotRunning);
        assert_eq!(act(&node, "two", Stop, &comes), NotRunning);
        assert!(ask(&one, OTHER, 80).is_ok());

        let listeners = node.listeners(&NetworkId::Vpc("vpc-1".into())).unwrap();
        let _metadata = Server::accept(listeners.http);
        assert_eq!(act(&node, "one", Start, &hole(true, &[alone(THIRD)])), Running);
        assert!(silent(&one, OTHER, 80));
        assert!(ask(&one, THIRD, 80).is_ok());
        assert!(ask(&one, METADATA_ADDRESS, 80).is_ok(), "or it could not be stopped");
        assert!(node.fault("absent", Status, &comes).is_err());
    });
}

#[test]
fn packets_are_lost_to_some_and_the_sender_sees_nothing_of_it() {
    use FaultAct::{Start, Status, Stop};
    use FaultState::{NotRunning, PacketLossRuns, Running};
    on_a_host(|lab| {
        let node = lab.node("fault-b");
        let one = inside(&node.attach(&task("one", 10)).unwrap());
        let two = inside(&node.attach(&task("two", 11)).unwrap());
        let three = inside(&node.attach(&task("three", 12)).unwrap());
        let _servers = [Server::tcp(&two, 80), Server::tcp(&three, 80), Server::udp(&two, 53), Server::udp(&three, 53)];
        let all = loss(100, &[everywhere()], &[alone(THIRD)]);
        assert_eq!(act(&node, "one", Start, &all), Running);
        assert!(silent(&one, OTHER, 80));
        // A send that was refused would be another error.
        let error = ask_udp(&one, 0, OTHER, 53).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
        assert!(ask(&one, THIRD, 80).is_ok() && ask(&three, OTHER, 80).is_ok());
        assert_eq!(act(&node, "one", Start, &loss(5, &[alone(OTHER)], &[])), PacketLossRuns);
        assert_eq!(act(&node, "one", Start, &late(5, &[alone(OTHER)], &[])), PacketLossRuns);
        assert_eq!(act(&node, "one", Stop, &late(0, &[], &[])), NotRunning);
        assert_eq!(act(&node, "two", Status, &all), NotRunning, "of another task");
        node.die();
        let node = lab.node("fault-b");
        assert!(silent(&one, OTHER, 80));
        assert_eq!(act(&node, "one", Status, &all), Running);
        assert_eq!(act(&node, "one", Stop, &all), NotRunning);
        assert_eq!(act(&node, "one", Status, &all), NotRunning);
        assert!(ask(&one, OTHER, 80).is_ok());

        // About as many as were asked for.
        assert_eq!(act(&node, "one", Start, &loss(50, &[everywhere()], &[])), Running);
        let arrived = one.run(|| {
            let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.set_read_timeout(Some(Duration::from_millis(300)))?;
            let mut arrived = 0;
            for _ in 0..200 {
                socket.send_to(b"?", (OTHER, 53))?;
                std::thread::sleep(Duration::from_millis(1));
            }
            while socket.recv_from(&mut [0; 64]).is_ok() {
                arrived += 1;
            }
            Ok(arrived)
        });
        let arrived = arrived.unwrap();
        assert!((60..=140).contains(&arrived), "{arrived} of 200");
        assert!(router_tables(lab, &node).contains("numgen random mod 100 < 50"));
        // What is left of it goes with the task; the next one of that name has none.
        node.detach("one").unwrap();
        let tables = router_tables(lab, &node);
        assert!(!tables.contains("loss."), "{tables}");
        let one = inside(&node.attach(&task("one", 10)).unwrap());
        assert_eq!(act(&node, "one", Status, &all), NotRunning);
        assert!(ask(&one, OTHER, 80).is_ok());
    });
}

/// What nft says of the router's tables: also that it can read them.
fn router_tables(lab: &Lab, node: &Node) -> String {
    let router = inside(&node.pins().join("router.vpc.vpc-1"));
    router.run(|| Ok(lab.tool("nft", &["list", "ruleset"]))).unwrap()
}

#[test]
fn packets_come_late_to_some_where_the_kernel_can_delay() {
    use FaultAct::{Start, Status, Stop};
    use FaultState::{LatencyRuns, NotRunning, Running};
    on_a_host(|lab| {
        let node = lab.node("fault-c");
        let one = inside(&node.attach(&task("one", 10)).unwrap());
        let two = inside(&node.attach(&task("two", 11)).unwrap());
        let three = inside(&node.attach(&task("three", 12)).unwrap());
        let _servers = [Server::udp(&two, 53), Server::udp(&three, 53)];
        let took = |address: Ipv4Addr| {
            let began = Instant::now();
            ask_udp(&one, 0, address, 53).unwrap();
            began.elapsed()
        };
        let fault = late(200, &[everywhere()], &[alone(THIRD)]);
        match node.fault("one", Start, &fault) {
            Ok(state) => assert_eq!(state, Running),
            Err(NetworkError::Kernel { attempt, source }) => {
                eprintln!("SKIPPED: this kernel does not {attempt}: {source}");
                assert_eq!(act(&node, "one", Status, &fault), NotRunning, "nothing is left of it");
                assert!(took(OTHER) < Duration::from_millis(200));
                return;
            }
            Err(error) => panic!("{error}"),
        }
        assert!(took(OTHER) >= Duration::from_millis(200));
        assert!(took(THIRD) < Duration::from_millis(200), "who is spared");
        assert_eq!(act(&node, "one", Start, &loss(5, &[alone(OTHER)], &[])), LatencyRuns);
        node.die();
        let node = lab.node("fault-c");
        assert_eq!(act(&node, "one", Status, &fault), Running);
        assert_eq!(act(&node, "one", Stop, &fault), NotRunning);
        assert!(took(OTHER) < Duration::from_millis(200));
        assert_eq!(act(&node, "one", Start, &fault), Running);
    });
}
