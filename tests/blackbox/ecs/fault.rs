//! Faults that a task injects into its own network.

use serde_json::{Value, json};

use super::WAITING;
use super::network::HTTPD;
use crate::server::{Server, assert_refused, until, with};

/// What the endpoint says: the status word of a success, or the number of a refusal.
fn fault(server: &Server, arn: &str, endpoint: &str, body: &Value) -> String {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let script = format!("wget -qO- --post-data '{body}' $ECS_AGENT_URI/fault/v1/{endpoint} 2>&1; true");
    let said = server.inside(arn, &script);
    match serde_json::from_str::<Value>(&said) {
        Ok(answer) => answer["Status"].as_str().unwrap_or_else(|| panic!("{said}")).to_owned(),
        Err(_) => said.split("HTTP/1.1 ").nth(1).and_then(|rest| rest.get(..3)).unwrap_or(&said).to_owned(),
    }
}

fn in_vpc(server: &Server, family: &str, container: &Value, definition: &Value) -> String {
    let definition = with(&json!({"networkMode": "awsvpc", "enableFaultInjection": true}), definition);
    let run = json!({"networkConfiguration": server.network()});
    let arn = server.run_task_with(family, container.clone(), &definition, &run);
    server.wait_task(&arn, "RUNNING");
    arn
}

fn address(server: &Server, arn: &str) -> String {
    let task = server.describe_task(arn);
    task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"].as_str().unwrap().to_owned()
}

/// Whether one task gets the other's page.
fn reaches(server: &Server, arn: &str, address: &str) -> bool {
    server.inside(arn, &format!("timeout 2 wget -qO- http://{address}:8080/ >/dev/null 2>&1 && echo yes || echo no"))
        == "yes\n"
}

#[test]
fn a_task_swallows_what_comes_to_a_port_until_it_is_told_to_stop() {
    let mut server = Server::start();
    let image = server.busybox();
    let serving = in_vpc(&server, "serving", &json!({"image": image, "command": ["sh", "-c", HTTPD]}), &json!({}));
    let asking = in_vpc(&server, "asking", &json!({"image": image, "command": ["sh", "-c", WAITING]}), &json!({}));
    let (to, from) = (address(&server, &serving), address(&server, &asking));
    until("the page is there", || reaches(&server, &asking, &to).then_some(()));
    let hole = json!({"Port": 8080, "Protocol": "tcp", "TrafficType": "ingress"});
    let at = |act: &str| format!("network-blackhole-port/{act}");
    assert_eq!(fault(&server, &serving, &at("status"), &hole), "not-running");
    assert_eq!(fault(&server, &serving, &at("start"), &hole), "running");
    assert_eq!(fault(&server, &serving, &at("start"), &hole), "429", "one request in five seconds");
    assert!(!reaches(&server, &asking, &to));
    server.kill_and_restart();
    assert!(!reaches(&server, &asking, &to));
    assert_eq!(fault(&server, &serving, &at("status"), &hole), "running");
    assert_eq!(fault(&server, &serving, &at("stop"), &hole), "stopped");
    assert!(reaches(&server, &asking, &to));

    // The other way, and who is spared.
    let out = with(&hole, &json!({"TrafficType": "egress"}));
    assert_eq!(fault(&server, &asking, &at("start"), &out), "running");
    assert!(!reaches(&server, &asking, &to));
    assert_eq!(fault(&server, &asking, &at("stop"), &out), "stopped");
    let spared = with(&hole, &json!({"SourcesToFilter": [format!("{from}/32")]}));
    server.kill_and_restart();
    assert_eq!(fault(&server, &serving, &at("start"), &spared), "running");
    assert!(reaches(&server, &asking, &to));
    // Port 80 is the endpoint's own: it goes on answering.
    let metadata = with(&out, &json!({"Port": 80}));
    assert_eq!(fault(&server, &asking, &at("start"), &metadata), "running");
    assert_eq!(fault(&server, &asking, &at("status"), &metadata), "running");
    assert_eq!(fault(&server, &asking, &at("stop"), &metadata), "stopped");
    // What is left goes with the task.
    for arn in [&serving, &asking] {
        server.ecs("StopTask", &json!({"task": arn})).unwrap();
        server.wait_task(arn, "STOPPED");
    }
}

#[test]
fn a_task_loses_packets_to_some_and_one_such_fault_runs_at_a_time() {
    let mut server = Server::start();
    let image = server.busybox();
    let serving = in_vpc(&server, "serving", &json!({"image": image, "command": ["sh", "-c", HTTPD]}), &json!({}));
    let other = in_vpc(&server, "other", &json!({"image": image, "command": ["sh", "-c", HTTPD]}), &json!({}));
    let asking = in_vpc(&server, "asking", &json!({"image": image, "command": ["sh", "-c", WAITING]}), &json!({}));
    let (to, elsewhere) = (address(&server, &serving), address(&server, &other));
    until("the pages are there", || {
        (reaches(&server, &asking, &to) && reaches(&server, &asking, &elsewhere)).then_some(())
    });
    let lossy = json!({"LossPercent": 100, "Sources": [to]});
    let late = json!({"DelayMilliseconds": 300, "JitterMilliseconds": 0, "Sources": [to]});
    assert_eq!(fault(&server, &asking, "network-packet-loss/status", &Value::Null), "not-running");
    assert_eq!(fault(&server, &asking, "network-packet-loss/start", &lossy), "running");
    assert!(!reaches(&server, &asking, &to));
    assert!(reaches(&server, &asking, &elsewhere), "only what was named");
    assert_eq!(fault(&server, &asking, "network-latency/start", &late), "409");
    server.kill_and_restart();
    assert!(!reaches(&server, &asking, &to));
    assert_eq!(fault(&server, &asking, "network-packet-loss/start", &lossy), "409");
    assert_eq!(fault(&server, &asking, "network-packet-loss/status", &Value::Null), "running");
    assert_eq!(fault(&server, &asking, "network-packet-loss/stop", &Value::Null), "stopped");
    assert!(reaches(&server, &asking, &to));
    // Half of them: a page of one packet each way comes late or not, but not nothing of many.
    server.kill_and_restart();
    let half = json!({"LossPercent": 50, "Sources": ["0.0.0.0/0"], "SourcesToFilter": [elsewhere]});
    assert_eq!(fault(&server, &asking, "network-packet-loss/start", &half), "running");
    let pings = server.inside(&asking, &format!("ping -q -c 60 -i 0.02 {to}; true"));
    let lost: u32 = pings.split("% packet loss").next().and_then(|text| text.rsplit(' ').next()?.parse().ok()).unwrap();
    assert!((15..=85).contains(&lost), "{pings}");
    let pings = server.inside(&asking, &format!("ping -q -c 20 -i 0.02 {elsewhere}"));
    assert!(pings.contains(" 0% packet loss"), "{pings}");
    // It goes with the task, and the next one has none.
    server.ecs("StopTask", &json!({"task": asking})).unwrap();
    server.wait_task(&asking, "STOPPED");
    let next = in_vpc(&server, "next", &json!({"image": image, "command": ["sh", "-c", WAITING]}), &json!({}));
    assert_eq!(fault(&server, &next, "network-packet-loss/status", &Value::Null), "not-running");
    assert!(reaches(&server, &next, &to));
}

#[test]
fn packets_come_late_where_the_kernel_can_make_them_and_an_error_where_it_cannot() {
    let server = Server::start();
    let image = server.busybox();
    let serving = in_vpc(&server, "serving", &json!({"image": image, "command": ["sh", "-c", HTTPD]}), &json!({}));
    let asking = in_vpc(&server, "asking", &json!({"image": image, "command": ["sh", "-c", WAITING]}), &json!({}));
    let to = address(&server, &serving);
    let late = json!({"DelayMilliseconds": 300, "JitterMilliseconds": 0, "Sources": [to]});
    let average = || {
        let pings = server.inside(&asking, &format!("ping -q -c 5 -i 0.1 {to}"));
        let text = pings.split("min/avg/max = ").nth(1).and_then(|rest| rest.split('/').nth(1)).map(str::to_owned);
        text.and_then(|text| text.parse::<f64>().ok()).unwrap_or_else(|| panic!("{pings}"))
    };
    match fault(&server, &asking, "network-latency/start", &late).as_str() {
        "running" => {
            assert!(average() >= 300.0);
            assert_eq!(fault(&server, &asking, "network-latency/status", &Value::Null), "running");
            assert_eq!(fault(&server, &asking, "network-latency/stop", &Value::Null), "stopped");
        }
        answer => {
            assert_eq!(answer, "500", "this kernel has no sch_netem");
            assert_eq!(fault(&server, &asking, "network-latency/stop", &Value::Null), "stopped");
        }
    }
    assert!(average() < 300.0);
    assert_eq!(fault(&server, &asking, "network-latency/status", &Value::Null), "not-running");
}

#[test]
fn faults_are_for_tasks_that_say_so_in_a_network_of_their_own() {
    let server = Server::start();
    let image = server.busybox();
    let container = json!({"image": image, "command": ["sh", "-c", WAITING]});
    let hole = json!({"Port": 8080, "Protocol": "tcp", "TrafficType": "ingress"});
    let plain = in_vpc(&server, "plain", &container, &json!({"enableFaultInjection": false}));
    assert_eq!(fault(&server, &plain, "network-blackhole-port/start", &hole), "400");
    let metadata = server.inside(&plain, "wget -qO- $ECS_CONTAINER_METADATA_URI_V4/task");
    assert!(metadata.contains(r#""FaultInjectionEnabled":false"#), "{metadata}");
    let bridged =
        server.run_task_with("bridged", container.clone(), &json!({"enableFaultInjection": true}), &json!({}));
    server.wait_task(&bridged, "RUNNING");
    assert_eq!(fault(&server, &bridged, "network-blackhole-port/start", &hole), "400");
    assert_eq!(fault(&server, &bridged, "network-latency/start", &Value::Null), "400");
    assert_eq!(fault(&server, &bridged, "network-thunder/start", &hole), "404");
    let other = server.inside(&bridged, "echo $ECS_AGENT_URI");
    let got =
        format!("wget -qO- --post-data '{hole}' {}/fault/v1/network-blackhole-port/start 2>&1; true", other.trim());
    assert!(server.inside(&plain, &got).contains("404"), "the id of another task");
    assert!(
        server.inside(&plain, "wget -qO- $ECS_AGENT_URI/fault/v1/network-latency/status 2>&1; true").contains("405")
    );
    let host = json!({"family": "host", "networkMode": "host", "enableFaultInjection": true,
        "containerDefinitions": [with(&container, &json!({"name": "main", "memory": 16}))]});
    server.ecs("RegisterTaskDefinition", &host).unwrap();
    let refused = server.ecs("RunTask", &json!({"taskDefinition": "host"}));
    assert_refused(refused, "UnsupportedFeatureException", "enableFaultInjection");
}
