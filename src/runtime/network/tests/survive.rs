//! What outlives a server, what a table looks like to others, what is left at the end.

use std::net::Ipv4Addr;
use std::time::Instant;

use super::lab::{
    HOST_ON_LAN, NEIGHBOUR, Server, ask, ask_udp, inside, mounts_below, on_a_host, port, silent, soon, task,
};
use crate::network::{Attachment, Level, NetworkError, NetworkId, Networks, PortMap, doctor};

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn published(id: &str, last: u8, host_port: u16) -> Attachment {
    Attachment { ports: vec![port(host_port, 80)], ..task(id, last) }
}

#[test]
fn a_new_server_adopts_what_a_killed_one_left() {
    on_a_host(|lab| {
        let node = lab.node("adopt");
        let pin = node.attach(&published("one", 10, 8080)).unwrap();
        let one = inside(&pin);
        let _server = Server::tcp(&one, 80);
        // Another server of the same node is refused while this one lives.
        node.die();
        assert!(ask(&lab.host, LOCALHOST, 8080).is_ok(), "traffic goes on without a server");

        let node = lab.node("adopt");
        assert_eq!(node.inventory().unwrap(), ["one"]);
        assert_eq!(node.attach(&published("one", 10, 8080)).unwrap(), pin, "attaching again changes nothing");
        assert!(ask(&lab.host, LOCALHOST, 8080).is_ok());
        assert!(matches!(node.attach(&published("two", 11, 8080)), Err(NetworkError::PortTaken { port: 8080, .. })));
        let two = inside(&node.attach(&published("two", 11, 8081)).unwrap());
        assert_eq!(ask(&two, [172, 31, 0, 10], 80).unwrap(), "172.31.0.11");
        node.detach("one").unwrap();
        node.detach("one").unwrap();
        assert!(silent(&two, [172, 31, 0, 10].into(), 80) || ask(&two, [172, 31, 0, 10], 80).is_err());
        assert_eq!(node.inventory().unwrap(), ["two"]);
    });
}

#[test]
fn another_transit_range_waits_until_the_old_one_is_unused() {
    on_a_host(|lab| {
        let node = lab.node("ranges");
        let one = inside(&node.attach(&published("one", 10, 8080)).unwrap());
        let _servers = (Server::tcp(&one, 80), Server::tcp(&lab.lan, 80));
        node.die();
        let transit_range = cove_model::network::Cidr::parse("10.200.0.0/24").unwrap();
        let node = Networks::open(crate::network::NetworkConfig { transit_range, ..lab.config("ranges") }).unwrap();
        assert_eq!(node.inventory().unwrap(), ["one"]);
        assert!(ask(&lab.host, LOCALHOST, 8080).is_ok() && ask(&one, NEIGHBOUR, 80).is_ok());
        node.remove_all().unwrap();
    });
}

#[test]
fn a_half_made_attachment_is_removed_by_the_next_server() {
    on_a_host(|lab| {
        let node = lab.node("half");
        node.attach(&published("whole", 10, 8080)).unwrap();
        node.attach(&published("half", 11, 8081)).unwrap();
        node.isolated("gone").unwrap();
        let tasks = lab.config("half").run_dir.root().join("network/tasks");
        let (half, garbage) = (tasks.join("half.json"), tasks.join("odd.json"));
        let text = std::fs::read_to_string(&half).unwrap().replace("\"whole\":true", "\"whole\":false");
        std::fs::write(&half, text).unwrap();
        std::fs::write(&garbage, "{").unwrap();
        std::fs::remove_file(tasks.join("gone.json")).unwrap();
        let pins = node.pins().to_owned();
        node.die();

        let node = lab.node("half");
        assert_eq!(node.inventory().unwrap(), ["whole"]);
        assert!(!half.exists() && !garbage.exists() && !pins.join("half").exists() && !pins.join("gone").exists());
        assert!(node.attach(&published("again", 11, 8081)).is_ok(), "address and port are free");
    });
}

#[test]
fn the_last_task_takes_the_router_along_and_ends_its_listeners() {
    on_a_host(|lab| {
        let node = lab.node("last");
        let vpc = NetworkId::Vpc("vpc-1".into());
        for _ in 0..3 {
            node.attach(&task("one", 10)).unwrap();
            assert!(!node.has_listeners(&vpc));
            let listeners = node.listeners(&vpc).unwrap();
            assert!(matches!(node.listeners(&vpc), Err(NetworkError::ListenersOpen { .. })));
            listeners.http.set_nonblocking(false).unwrap();
            let accepting = std::thread::spawn(move || listeners.http.accept().is_err());
            node.detach("one").unwrap();
            assert!(accepting.join().unwrap());
            assert!(node.networks().is_empty() && !lab.tool("ip", &["-o", "link"]).contains("cvr"));
        }
    });
}

#[test]
fn removing_all_leaves_nothing() {
    on_a_host(|lab| {
        assert_eq!(lab.forwarding(), "0");
        let before =
            (lab.tool("nft", &["list", "ruleset"]), lab.tool("ip", &["-o", "link"]), lab.tool("ip", &["route"]));
        let node = lab.node("nothing");
        assert_eq!(lab.forwarding(), "0", "opening alone changes nothing");
        node.attach(&published("one", 10, 8080)).unwrap();
        node.attach(&task("two", 11)).unwrap();
        node.isolated("three").unwrap();
        let run_dir = lab.config("nothing").run_dir;
        assert_eq!(lab.forwarding(), "1");
        assert!(mounts_below(run_dir.root()).len() >= 4);
        node.remove_all().unwrap();
        node.remove_all().unwrap();
        soon("links are gone", || !lab.tool("ip", &["-o", "link"]).contains("cvr"));
        assert_eq!(
            (lab.tool("nft", &["list", "ruleset"]), lab.tool("ip", &["-o", "link"]), lab.tool("ip", &["route"])),
            before
        );
        assert_eq!(lab.forwarding(), "0");
        assert!(mounts_below(run_dir.root()).is_empty());
        assert_eq!(std::fs::read_dir(run_dir.root()).unwrap().count(), 0);
    });
}

#[test]
fn the_nft_tool_prints_both_tables_and_loads_them_again() {
    on_a_host(|lab| {
        let node = lab.node("prints");
        node.attach(&published("one", 10, 8080)).unwrap();
        let host = lab.tool("nft", &["list", "ruleset"]);
        let router = inside(&node.pins().join("router.vpc.vpc-1"));
        let inner = router.run(|| Ok(lab.tool("nft", &["list", "ruleset"]))).unwrap();
        eprintln!("{host}\n{inner}");
        assert!(host.contains("table ip cove-prints") && host.contains("tcp . 8080 : 198.19."), "{host}");
        assert!(inner.contains("172.31.0.10 . 80") && inner.contains("jump allow-"), "{inner}");
        for (name, text) in [("host.nft", &host), ("router.nft", &inner)] {
            let file = lab.scratch.path().join(name);
            std::fs::write(&file, text).unwrap();
            router.run(|| Ok(lab.tool("nft", &["-c", "-f", file.to_str().unwrap()]))).unwrap();
        }
    });
}

#[test]
fn a_released_udp_port_does_not_lead_to_its_old_owner() {
    on_a_host(|lab| {
        let node = lab.node("udp");
        let udp = |id: &str, last| Attachment {
            ports: vec![PortMap { udp: true, host_port: 5353, container_port: 53 }],
            ..task(id, last)
        };
        let one = inside(&node.attach(&udp("one", 10)).unwrap());
        let keep = inside(&node.attach(&task("keep", 12)).unwrap());
        let server = Server::udp(&one, 53);
        assert_eq!(ask_udp(&lab.lan, 4000, HOST_ON_LAN, 5353).unwrap(), NEIGHBOUR.to_string());
        drop(server);
        node.detach("one").unwrap();
        let two = inside(&node.attach(&udp("two", 11)).unwrap());
        let _server = Server::udp(&two, 53);
        // The same client port: with the old flow in place this would still go to the first task.
        assert_eq!(ask_udp(&lab.lan, 4000, HOST_ON_LAN, 5353).unwrap(), NEIGHBOUR.to_string());
        drop(keep);
    });
}

#[test]
fn an_address_is_usable_again_at_once() {
    on_a_host(|lab| {
        let node = lab.node("again");
        let keep = inside(&node.attach(&task("keep", 12)).unwrap());
        for round in 0..20 {
            let id = format!("round-{round}");
            let one = inside(&node.attach(&published(&id, 10, 8080)).unwrap());
            let server = Server::tcp(&one, 80);
            assert_eq!(ask(&keep, [172, 31, 0, 10], 80).unwrap(), "172.31.0.12");
            assert!(ask(&lab.host, [172, 31, 0, 10], 80).is_ok());
            // The namespace lives on behind `one` and the server: detaching does not depend on its end.
            node.detach(&id).unwrap();
            drop(server);
        }
    });
}

#[test]
fn a_forward_chain_that_drops_is_opened_for_our_links_alone() {
    on_a_host(|lab| {
        lab.tool("iptables", &["-P", "FORWARD", "DROP"]);
        let before = lab.tool("iptables", &["-S"]);
        let node = lab.node("docker");
        let one = inside(&node.attach(&published("one", 10, 8080)).unwrap());
        let (_inner, _outer) = (Server::tcp(&one, 80), Server::tcp(&lab.lan, 80));
        assert!(ask(&lab.lan, HOST_ON_LAN, 8080).is_ok() && ask(&one, NEIGHBOUR, 80).is_ok());
        let rules = lab.tool("iptables", &["-S"]);
        assert_eq!(rules.matches("-i cvr").count() + rules.matches("-o cvr").count(), 2, "{rules}");
        lab.tool("iptables", &["-F", "FORWARD"]);
        node.inventory().unwrap();
        node.inventory().unwrap();
        assert_eq!(lab.tool("iptables", &["-S"]), rules, "put back, once");
        assert!(doctor(&lab.config("docker")).iter().all(|finding| finding.level != Level::Failure));
        drop(node);
        assert_eq!(lab.tool("iptables", &["-S"]), before);
    });
}

#[test]
fn what_doctor_says_of_a_chain_that_drops_opens_it() {
    on_a_host(|lab| {
        lab.tool("nft", &["add table inet filter"]);
        lab.tool("nft", &["add chain inet filter forward { type filter hook forward priority filter; policy drop; }"]);
        let node = lab.node("strict");
        let one = inside(&node.attach(&published("one", 10, 8080)).unwrap());
        let (_inner, _outer) = (Server::tcp(&one, 80), Server::tcp(&lab.lan, 80));
        let said =
            || doctor(&lab.config("strict")).into_iter().find(|found| found.text.contains("inet filter forward"));
        assert!(ask(&one, NEIGHBOUR, 80).is_err() && ask(&lab.lan, HOST_ON_LAN, 8080).is_err());
        let advice = said().unwrap();
        assert_eq!(advice.level, Level::Warning);
        let command = advice.text.split('`').find_map(|part| part.strip_prefix("nft ")).unwrap().to_owned();
        lab.tool("nft", &[&command]);
        lab.tool("nft", &[&command.replace("iifname", "oifname")]);
        assert!(ask(&one, NEIGHBOUR, 80).is_ok() && ask(&lab.lan, HOST_ON_LAN, 8080).is_ok());
        assert_eq!(said().unwrap().level, Level::Good);
    });
}

#[test]
fn a_flushed_ruleset_is_made_anew() {
    on_a_host(|lab| {
        let node = lab.node("flushed");
        let one = inside(&node.attach(&published("one", 10, 8080)).unwrap());
        let _server = Server::tcp(&one, 80);
        lab.tool("nft", &["flush", "ruleset"]);
        node.inventory().unwrap();
        assert!(ask(&lab.host, LOCALHOST, 8080).is_ok());
    });
}

#[test]
fn a_host_that_did_not_forward_does_not_forward_for_strangers() {
    on_a_host(|lab| {
        let node = lab.node("strangers");
        node.attach(&task("one", 10)).unwrap();
        assert!(lab.tool("nft", &["list", "ruleset"]).contains("chain foreign"));
        drop(node);
        lab.host.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")).unwrap();
        let node = lab.node("strangers");
        node.attach(&task("one", 10)).unwrap();
        assert!(!lab.tool("nft", &["list", "ruleset"]).contains("chain foreign"));
        drop(node);
        assert_eq!(lab.forwarding(), "1", "it was on before us");
    });
}

/// With br_netfilter, which many hosts load, bridged packets pass the forward hook as routed ones do.
#[test]
fn bridges_of_others_go_on_when_we_turn_forwarding_on() {
    on_a_host(|lab| {
        let node = lab.node("bridges");
        node.attach(&task("one", 10)).unwrap();
        // Neither name is one of a known manager's.
        lab.tool("ip", &["link", "add", "own", "type", "bridge"]);
        lab.tool("ip", &["link", "set", "own", "up"]);
        let [one, other] = [1_u8, 2].map(|last| lab.on_bridge("own", Ipv4Addr::new(10, 77, 0, last)));
        let _server = Server::tcp(&other, 80);
        assert!(ask(&one, Ipv4Addr::new(10, 77, 0, 2), 80).is_ok());

        // Docker counts on forwarding between its bridge and the world.
        lab.tool("ip", &["link", "add", "docker0", "type", "bridge"]);
        lab.tool("ip", &["link", "set", "docker0", "up"]);
        lab.tool("ip", &["address", "add", "10.78.0.254/24", "dev", "docker0"]);
        let container = lab.on_bridge("docker0", Ipv4Addr::new(10, 78, 0, 1));
        let _world = Server::tcp(&lab.lan, 81);
        assert!(ask(&container, NEIGHBOUR, 81).is_ok());
    });
}

#[test]
fn a_second_server_of_the_same_node_is_refused() {
    on_a_host(|lab| {
        let _node = lab.node("twice");
        assert!(matches!(Networks::open(lab.config("twice")), Err(NetworkError::NodeInUse { .. })));
    });
}

#[test]
fn odd_attachments_are_refused_before_anything_is_made() {
    on_a_host(|lab| {
        let node = lab.node("odd");
        for last in [0, 1] {
            assert!(matches!(node.attach(&task("one", last)), Err(NetworkError::BadAddress { .. })));
        }
        assert!(matches!(node.attach(&task("../one", 9)), Err(NetworkError::BadName { .. })));
        node.attach(&task("one", 9)).unwrap();
        assert!(matches!(node.attach(&task("two", 9)), Err(NetworkError::AddressTaken { .. })));
        assert!(matches!(node.attach(&task("one", 10)), Err(NetworkError::AttachedDifferently { .. })));
        assert_eq!(node.inventory().unwrap(), ["one"]);
    });
}

#[test]
fn a_copy_of_the_pins_in_another_mount_namespace_keeps_nothing_alive() {
    on_a_host(|lab| {
        let node = lab.node("copies");
        node.attach(&task("keep", 11)).unwrap();
        node.attach(&task("one", 10)).unwrap();
        let router = inside(&node.pins().join("router.vpc.vpc-1"));
        let links = || router.run(|| Ok(lab.tool("ip", &["-o", "link"]).matches(": t1").count())).unwrap();
        assert_eq!(links(), 2);
        let (made, go_on) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // As a shim does, which detaches them all in one call; this one forgets to.
                // SAFETY: only this thread is concerned.
                assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0);
                made.wait();
                go_on.wait();
            });
            made.wait();
            node.detach("one").unwrap();
            soon("the task's link is gone", || links() == 1);
            go_on.wait();
        });
    });
}

/// Where the victim of the next test keeps its files; unset in a normal run.
const VICTIM: &str = "COVE_TEST_VICTIM_RUN_DIR";

/// Run by the next test in a process of its own, until that is killed.
#[test]
fn victim() {
    let Some(run_dir) = std::env::var_os(VICTIM) else { return };
    let config = crate::network::NetworkConfig {
        node: cove_base::paths::NodeName::parse("killed").unwrap(),
        run_dir: cove_base::paths::RunDir::new(run_dir),
        transit_range: crate::network::DEFAULT_TRANSIT_RANGE,
    };
    let networks = Networks::open(config).unwrap();
    loop {
        for id in networks.inventory().unwrap() {
            networks.detach(&id).unwrap();
        }
        for last in 10..13 {
            networks.attach(&published(&format!("t{last}"), last, 8000 + u16::from(last))).unwrap();
        }
        networks.isolated("alone").unwrap();
    }
}

#[test]
fn killed_at_any_moment_the_next_server_finds_a_state_it_can_go_on_from() {
    on_a_host(|lab| {
        let run_dir = lab.config("killed").run_dir;
        // The test runner's name of it lacks the crate.
        let victim = format!("{}::victim", module_path!().split_once("::").unwrap().1);
        for round in 0..25u64 {
            // The calling thread's namespace is the host, and the child inherits it.
            let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", &victim])
                .env(VICTIM, run_dir.root())
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            soon("the victim is at work", || run_dir.root().join("network").exists());
            std::thread::sleep(std::time::Duration::from_micros(round * 3_700 % 40_000));
            assert!(victim.try_wait().unwrap().is_none(), "the victim failed by itself in round {round}");
            victim.kill().unwrap();
            victim.wait().unwrap();

            let node = lab.node("killed");
            for id in node.inventory().unwrap().iter().filter(|id| *id != "alone") {
                let last: u8 = id[1..].parse().unwrap();
                let adopted = inside(&node.attach(&published(id, last, 8000 + u16::from(last))).unwrap());
                let _server = Server::tcp(&adopted, 80);
                assert!(ask(&lab.host, LOCALHOST, 8000 + u16::from(last)).is_ok(), "{id} in round {round}");
            }
            let fresh = inside(&node.attach(&published("fresh", 99, 8099)).unwrap());
            let _server = Server::tcp(&fresh, 80);
            assert!(ask(&lab.host, LOCALHOST, 8099).is_ok(), "round {round}");
            node.detach("fresh").unwrap();
            if round % 5 == 4 {
                drop(node);
                soon("links are gone", || !lab.tool("ip", &["-o", "link"]).contains("cvr"));
                assert!(mounts_below(run_dir.root()).is_empty());
                assert_eq!(std::fs::read_dir(run_dir.root()).unwrap().count(), 0);
            } else {
                node.die();
            }
        }
    });
}

/// Not a benchmark: prints what `scripts/bench` measures properly, and catches a fall by an order of magnitude.
#[test]
fn attaching_takes_milliseconds_and_goes_on_in_parallel() {
    on_a_host(|lab| {
        let begun = Instant::now();
        let node = lab.node("speed");
        let opened = begun.elapsed();
        node.attach(&task("first", 5)).unwrap();
        let mut times = Vec::new();
        for last in 10..60 {
            let begun = Instant::now();
            node.attach(&published(&format!("t{last}"), last, 8000 + u16::from(last))).unwrap();
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        let begun = Instant::now();
        let threads: Vec<_> = (0..4u8)
            .map(|group| {
                let (node, host) = (&*node, &lab.host);
                move || {
                    let _ = host;
                    for last in 0..25 {
                        node.attach(&task(&format!("p{group}-{last}"), 100 + group * 25 + last)).unwrap();
                    }
                }
            })
            .collect();
        std::thread::scope(|scope| threads.into_iter().for_each(|work| drop(scope.spawn(work))));
        let parallel = begun.elapsed();
        let begun = Instant::now();
        (10..60).for_each(|last| node.detach(&format!("t{last}")).unwrap());
        let detached = begun.elapsed();
        let begun = Instant::now();
        node.remove_all().unwrap();
        eprintln!(
            "opened in {opened:?}; attach median {:?}, slowest {:?}; 100 by 4 threads {parallel:?}; 50 detached in {detached:?}; all removed in {:?}",
            times[25],
            times[49],
            begun.elapsed()
        );
        assert!(times[25].as_millis() < 100);
    });
}
