//! The network modes, from inside and from outside.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::json;

use super::task::WAITING;
use crate::server::{Server, until, with};

/// Answers HTTP on 8080 with its own host name.
pub(super) const HTTPD: &str =
    "mkdir -p /www; hostname > /www/index.html; trap 'exit 0' TERM; httpd -f -p 8080 -h /www & wait";

fn get(address: &str) -> Option<String> {
    let address: std::net::SocketAddr = address.parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.trim().to_owned())
}

/// Sends UDP datagrams back, from within a task's network. busybox has no program that could.
struct Echo(Child);

impl Echo {
    fn start(server: &Server, arn: &str, port: u16) -> Self {
        let script = "import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('0.0.0.0', int(sys.argv[1])))
while True:
    data, peer = s.recvfrom(99)
    s.sendto(data, peer)";
        let pin = server.home().join("run/netns").join(arn.rsplit('/').next().unwrap());
        let mut net = std::ffi::OsString::from("--net=");
        net.push(pin);
        Self(Command::new("nsenter").arg(net).args(["python3", "-c", script, &port.to_string()]).spawn().unwrap())
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_awsvpc_task_has_an_interface_that_the_host_and_its_neighbours_reach() {
    let mut server = Server::start();
    let image = server.busybox();
    let run = json!({"launchType": "FARGATE", "networkConfiguration": server.network()});
    let definition =
        json!({"networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512"});
    let serving =
        server.run_task_with("serving", json!({"image": image, "command": ["sh", "-c", HTTPD]}), &definition, &run);
    let asking =
        server.run_task_with("asking", json!({"image": image, "command": ["sh", "-c", WAITING]}), &definition, &run);
    let task = server.wait_task(&serving, "RUNNING");
    server.wait_task(&asking, "RUNNING");
    let attachment = &task["attachments"][0];
    assert_eq!((&attachment["type"], &attachment["status"]), (&json!("ElasticNetworkInterface"), &json!("ATTACHED")));
    let detail = |name: &str| {
        let all = attachment["details"].as_array().unwrap();
        all.iter().find(|pair| pair["name"] == name).unwrap()["value"].as_str().unwrap().to_owned()
    };
    let address = detail("privateIPv4Address");
    assert_eq!(task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"], address);
    assert!(address.starts_with("172.31."), "{address}");
    let inside = server.inside(&serving, "ip addr show eth0; cat /etc/hosts /etc/resolv.conf");
    assert!(inside.contains(&format!("inet {address}/")) && inside.contains(&detail("macAddress")), "{inside}");
    assert!(inside.contains("nameserver 169.254.169.253"), "{inside}");
    let name = detail("privateDnsName");
    assert!(inside.contains(&format!("{address} {name}")), "{inside}");
    until("the host reaches the task", || {
        get(&format!("{address}:8080")).filter(|body| body.starts_with("ip-172-31-"))
    });
    assert_eq!(server.inside(&asking, &format!("wget -qO- http://{address}:8080/")).trim(), name);
    server.kill_and_restart();
    assert_eq!(server.describe_task(&serving)["attachments"][0]["id"], attachment["id"]);
    until("the network outlives the server", || get(&format!("{address}:8080")).filter(|body| *body == name));
    server.ecs("StopTask", &json!({"task": serving})).unwrap();
    server.wait_task(&serving, "STOPPED");
    let answer = get(&format!("{address}:8080")).unwrap_or_default();
    assert!(!answer.starts_with("ip-172-31-"), "nobody is there any more: {answer}");
}

#[test]
fn a_bridge_task_is_reached_by_its_static_and_dynamic_ports_over_tcp_and_udp() {
    let server = Server::start();
    let image = server.busybox();
    let container = json!({"image": image, "command": ["sh", "-c", HTTPD], "hostname": "bridged",
        "extraHosts": [{"hostname": "db", "ipAddress": "10.9.8.7"}],
        "dnsServers": ["9.9.9.9"], "dnsSearchDomains": ["example.org"],
        "portMappings": [{"containerPort": 8080}, {"containerPort": 9000, "protocol": "udp"}, {"containerPort": 8081, "hostPort": 18_473}]});
    let arn = server.run_task("bridge", container);
    let task = server.wait_task(&arn, "RUNNING");
    let bindings = task["containers"][0]["networkBindings"].as_array().unwrap().clone();
    let port = |container_port: u16| {
        let found = bindings.iter().find(|it| it["containerPort"] == container_port);
        u16::try_from(found.unwrap_or_else(|| panic!("{task}"))["hostPort"].as_u64().unwrap()).unwrap()
    };
    assert_eq!(port(8081), 18_473);
    assert!(port(8080) >= 32_768, "{}", port(8080));
    let body = until("loopback answers", || get(&format!("127.0.0.1:{}", port(8080))));
    assert_eq!(body, "bridged");
    let _echo = Echo::start(&server, &arn, 9000);
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut buffer = [0; 16];
    until("udp answers", || {
        udp.send_to(b"ping", ("127.0.0.1", port(9000))).ok()?;
        udp.recv_from(&mut buffer).ok().filter(|(length, _)| &buffer[..*length] == b"ping")
    });
    let inside = server.inside(&arn, "cat /etc/hosts /etc/resolv.conf /etc/hostname; hostname; ip route");
    for wanted in
        ["10.9.8.7 db", "nameserver 9.9.9.9", "search example.org", "127.0.0.1 localhost", " bridged", "default via"]
    {
        assert!(inside.contains(wanted), "{wanted} in {inside}");
    }
    server.ecs("StopTask", &json!({"task": arn})).unwrap();
    server.wait_task(&arn, "STOPPED");
    assert!(TcpStream::connect(("127.0.0.1", port(8080))).is_err(), "the port is free again");
}

#[test]
fn a_range_of_ports_is_published_as_a_range_of_the_host() {
    let mut server = Server::start();
    let image = server.busybox();
    let serve = format!(
        "for port in 7000 7004; do (cd /; mkdir -p /w$port; echo $port > /w$port/index.html; httpd -p $port -h /w$port); done; {WAITING}"
    );
    let mappings = json!([{"containerPortRange": "7000-7004"}, {"containerPort": 80},
        {"containerPortRange": "7000-7001", "protocol": "udp"}]);
    let container = json!({"image": image, "command": ["sh", "-c", serve], "portMappings": mappings});
    let arn = server.run_task("ranges", container.clone());
    server.wait_task(&arn, "RUNNING");
    server.kill_and_restart();
    let bindings = server.describe_task(&arn)["containers"][0]["networkBindings"].as_array().unwrap().clone();
    let found = bindings.iter().find(|one| one["containerPortRange"] == "7000-7004").unwrap();
    let range = found["hostPortRange"].as_str().unwrap();
    let (first, last) = range.split_once('-').unwrap();
    let (first, last): (u16, u16) = (first.parse().unwrap(), last.parse().unwrap());
    assert_eq!((last - first, found.get("hostPort"), found.get("containerPort")), (4, None, None), "{bindings:?}");
    assert_eq!(bindings.len(), 3, "{bindings:?}");
    assert_eq!(until("the first answers", || get(&format!("127.0.0.1:{first}"))), "7000");
    assert_eq!(until("the last answers", || get(&format!("127.0.0.1:{last}"))), "7004");
    let taken: Vec<u16> =
        (first..=last).filter(|port| std::net::TcpListener::bind(("0.0.0.0", *port)).is_ok()).collect();
    assert!(taken.is_empty(), "nobody else can have {taken:?}");
    // Its own ports are those of the interface.
    let own = json!({"networkMode": "awsvpc"});
    let run = json!({"networkConfiguration": server.network()});
    let arn = server.run_task_with("own", container, &own, &run);
    server.wait_task(&arn, "RUNNING");
    let metadata = server.inside(&arn, "wget -qO- $ECS_CONTAINER_METADATA_URI_V4");
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let ports = metadata["Ports"].as_array().unwrap();
    assert_eq!(ports.len(), 8, "{ports:?}");
    assert!(ports.iter().all(|port| port["ContainerPort"] == port["HostPort"]), "{ports:?}");
}

#[test]
fn a_container_without_networking_has_loopback_alone_beside_one_that_has_all() {
    let mut server = Server::start();
    let image = server.busybox();
    let waiting = json!({"image": image, "command": ["sh", "-c", WAITING], "memory": 32, "stopTimeout": 2});
    let alone = json!({"name": "main", "disableNetworking": true, "portMappings": [{"containerPort": 80}]});
    let definition = json!({"family": "alone", "containerDefinitions":
        [with(&waiting, &alone), with(&waiting, &json!({"name": "side"}))]});
    let arn = server.run_definition(&definition, &json!({}));
    let task = server.wait_task(&arn, "RUNNING");
    assert_eq!(task["containers"][0]["networkBindings"], json!([]), "{task}");
    server.kill_and_restart();
    let links = server.inside(&arn, "ls /sys/class/net; ip -o addr; ip route; cat /etc/hosts");
    assert!(links.starts_with("lo\n") && !links.contains("eth0") && links.contains("127.0.0.1/8"), "{links}");
    assert!(!links.contains("172.17."), "{links}");
    server.inside(&arn, "ping -c 1 -W 2 127.0.0.1");
    let side = server.cove(&["exec", &arn, "--container", "side", "--", "ip", "-o", "addr"]);
    assert!(String::from_utf8_lossy(&side.stdout).contains("eth0"), "{side:?}");
}

#[test]
fn a_host_task_is_in_the_hosts_network_and_a_none_task_in_nobodys() {
    let server = Server::start();
    let image = server.busybox();
    let waiting = json!({"image": image, "command": ["sh", "-c", WAITING]});
    let host = server.run_task_with("host", waiting.clone(), &json!({"networkMode": "host"}), &json!({}));
    let none = server.run_task_with("none", waiting.clone(), &json!({"networkMode": "none"}), &json!({}));
    server.wait_task(&host, "RUNNING");
    server.wait_task(&none, "RUNNING");
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(server.inside(&host, "readlink /proc/self/ns/net").trim(), own.to_str().unwrap());
    assert_ne!(server.inside(&none, "readlink /proc/self/ns/net").trim(), own.to_str().unwrap());
    let links = server.inside(&none, "ip -o link");
    assert!(links.lines().count() == 1 && links.contains("lo:"), "{links}");
    assert_eq!(server.inside(&none, "ip route").trim(), "");
    let ping = server.cove(&["exec", &none, "sh", "-c", "ip addr show lo | grep -q 127.0.0.1"]);
    assert!(ping.status.success(), "loopback is there");
    // A host port of host mode is the container's own, and is accounted like one.
    let listening = with(&waiting, &json!({"portMappings": [{"containerPort": 18_474}]}));
    let first = server.run_task_with("port", listening, &json!({"networkMode": "host"}), &json!({}));
    server.wait_task(&first, "RUNNING");
    let second = server.ecs("RunTask", &json!({"taskDefinition": "port"})).unwrap();
    assert_eq!(second["failures"][0]["reason"], "RESOURCE:PORTS", "{second}");
}

#[test]
fn a_task_reaches_the_api_and_no_other_listener_of_the_host() {
    let server = Server::start();
    let image = server.busybox();
    let arn = server.run_task("reach", json!({"image": image, "command": ["sh", "-c", WAITING]}));
    server.wait_task(&arn, "RUNNING");
    let gateway = server.inside(&arn, "ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p'");
    let script = format!("nc -w 1 {} {} </dev/null && exit 0; exit 3", gateway.trim(), server.port);
    let refused = server.cove(&["exec", &arn, "--", "sh", "-c", &script]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let loopback = server.cove(&["exec", &arn, "--", "nc", "-w", "1", "127.0.0.1", &server.port.to_string()]);
    assert!(!loopback.status.success());
    let body = "Action=GetCallerIdentity&Version=2011-06-15";
    let identity = server.inside(&arn, &format!("wget -qO- --post-data '{body}' http://169.254.170.2/"));
    assert!(identity.contains("GetCallerIdentityResult"), "{identity}");
}

#[test]
fn a_task_reads_neither_credentials_nor_metadata_of_another() {
    let server = Server::start();
    let image = server.busybox();
    let waiting = json!({"image": image, "command": ["sh", "-c", WAITING]});
    let with_role =
        server.run_task_with("role", waiting.clone(), &json!({"taskRoleArn": "ecsTaskExecutionRole"}), &json!({}));
    let other = server.run_task("other", waiting);
    server.wait_task(&with_role, "RUNNING");
    server.wait_task(&other, "RUNNING");
    let urls = "echo http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI $ECS_CONTAINER_METADATA_URI_V4/task";
    for url in server.inside(&with_role, urls).split_whitespace() {
        server.inside(&with_role, &format!("wget -qO- {url}"));
        let refused = server.cove(&["exec", &other, "--", "wget", "-qO-", url]);
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{url}: {refused:?}");
    }
}

#[test]
fn what_reaches_the_host_is_not_run_for_unknown_callers_inside_a_task() {
    let server = Server::start();
    let image = server.busybox();
    let arn = server.run_task("inner", json!({"image": image, "command": ["sh", "-c", WAITING]}));
    let strong = json!({"family": "strong", "containerDefinitions": [
        {"name": "main", "image": image, "memory": 16, "command": ["true"], "privileged": true}]});
    server.ecs("RegisterTaskDefinition", &strong).unwrap();
    server.wait_task(&arn, "RUNNING");
    let run = |family: &str| {
        let header = "X-Amz-Target: AmazonEC2ContainerServiceV20141113.RunTask";
        let body = format!("{{\"taskDefinition\":\"{family}\"}}");
        server.cove(&[
            "exec",
            &arn,
            "--",
            "wget",
            "-qO-",
            "--header",
            header,
            "--post-data",
            &body,
            "http://169.254.170.2/",
        ])
    };
    let tame = run("inner");
    assert!(String::from_utf8_lossy(&tame.stdout).contains("taskArn"), "{tame:?}");
    let refused = run("strong");
    assert!(!refused.status.success(), "{refused:?}");
    let started = server.ecs("ListTasks", &json!({"family": "strong"})).unwrap();
    assert_eq!(started["taskArns"], json!([]));
    assert!(server.ecs("RunTask", &json!({"taskDefinition": "strong"})).is_ok(), "from outside it runs");
}

/// Half of the range for dynamic ports belongs to other programs, as on a busy host.
#[test]
fn a_dynamic_port_is_one_that_no_other_program_of_the_host_has() {
    let server = Server::start();
    let image = server.busybox();
    let mut occupied = Vec::new();
    // As many as may be open at once.
    for port in (32_768..61_000_u16).step_by(2) {
        match std::net::TcpListener::bind(("127.0.0.1", port)) {
            Ok(listener) => occupied.push(listener),
            Err(error) if error.raw_os_error() == Some(24) => break,
            Err(_) => {}
        }
    }
    let container = json!({"image": image, "command": ["sh", "-c", WAITING], "memory": 8,
        "portMappings": (1..=10).map(|port| json!({"containerPort": port})).collect::<Vec<_>>()});
    let arn = server.run_task("crowded", container);
    let task = server.wait_task(&arn, "RUNNING");
    let ports: Vec<u16> = occupied.iter().map(|one| one.local_addr().unwrap().port()).collect();
    let bindings = task["containers"][0]["networkBindings"].as_array().unwrap();
    assert_eq!(bindings.len(), 10);
    for binding in bindings {
        let port = u16::try_from(binding["hostPort"].as_u64().unwrap()).unwrap();
        assert!(!ports.contains(&port), "{port}");
    }
}
