//! The fleet: declared, added, and what happens to machines.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::server::{Server, texts, until, with};

const TWO_ZONES: &str = r#"
[[instance]]
type = "m5.large"
count = 2
zone = "a"
attributes = { rack = "r1" }

[[instance]]
type = "m5.large"
zone = "b"
"#;

const SPOT: &str = r#"
[[instance]]
type = "t3.small"
capacity = "spot"
"#;

/// What `cove fleet` shows; the verb must succeed.
fn fleet(server: &Server, args: &[&str]) -> Vec<Value> {
    let done = server.cove(&[&["fleet", "--json"], args].concat());
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

/// Why a verb was refused.
fn refused(server: &Server, args: &[&str]) -> String {
    let done = server.cove(&[&["fleet"], args].concat());
    assert_eq!(done.status.code(), Some(1), "{args:?}");
    String::from_utf8(done.stderr).unwrap()
}

fn ids(fleet: &[Value]) -> Vec<String> {
    let mut all: Vec<String> = fleet.iter().map(|one| one["ec2InstanceId"].as_str().unwrap().to_owned()).collect();
    all.sort();
    all
}

/// Registers a definition of one sleeping container.
fn register(server: &Server, family: &str, container: &Value, definition: &Value) {
    let main = json!({"name": "main", "image": server.busybox(), "memory": 16, "stopTimeout": 2,
        "command": ["sleep", "600"]});
    let whole = json!({"family": family, "containerDefinitions": [with(&main, container)]});
    server.ecs("RegisterTaskDefinition", &with(&whole, definition)).unwrap();
}

fn run(server: &Server, family: &str, count: u32, over: &Value) -> Value {
    server.ecs("RunTask", &with(&json!({"taskDefinition": family, "count": count}), over)).unwrap()
}

fn arns(answer: &Value) -> Vec<String> {
    let tasks = answer["tasks"].as_array().unwrap();
    tasks.iter().map(|task| task["taskArn"].as_str().unwrap().to_owned()).collect()
}

/// How many tasks each zone has.
fn zones(answer: &Value) -> Vec<(String, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    for task in answer["tasks"].as_array().unwrap() {
        *counts.entry(task["availabilityZone"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts.into_iter().collect()
}

/// A file of a control group below the node's, on v1 or v2.
fn cgroup(server: &Server, controller: &str, below: &str, v1: &str, v2: &str) -> PathBuf {
    let root = Path::new("/sys/fs/cgroup");
    let path = format!("cove-{}/{below}", server.node);
    match root.join("cgroup.controllers").exists() {
        true => root.join(path).join(v2),
        false => root.join(controller).join(path).join(v1),
    }
}

#[test]
fn a_declared_fleet_keeps_its_ids_over_a_restart_and_goes_with_its_declaration() {
    let mut server = Server::start_configured(TWO_ZONES);
    let first = fleet(&server, &[]);
    assert_eq!(first.len(), 3);
    let listed = server.ecs("ListContainerInstances", &json!({})).unwrap();
    let listed = texts(&listed["containerInstanceArns"]);
    let shown = server.ecs("DescribeContainerInstances", &json!({"containerInstances": listed})).unwrap();
    for instance in shown["containerInstances"].as_array().unwrap() {
        let attributes = instance["attributes"].as_array().unwrap();
        let value = |name: &str| &attributes.iter().find(|it| it["name"] == name).unwrap()["value"];
        assert_eq!(value("ecs.instance-type"), "m5.large");
        assert!(value("ecs.availability-zone").as_str().unwrap().starts_with("us-east-1"));
        assert_eq!(instance["registeredResources"][1]["integerValue"], 7865);
    }
    server.kill_and_restart();
    assert_eq!(ids(&fleet(&server, &[])), ids(&first));
    let added = ids(&fleet(&server, &["add", "--type", "t3.nano", "--zone", "c", "--attribute", "rack=r9"])).remove(0);

    server.restart_configured(SPOT);
    let then = ids(&fleet(&server, &[]));
    assert!(then.len() == 2 && then.contains(&added), "what was added stays, what is declared no more goes: {then:?}");
    server.restart_configured(TWO_ZONES);
    let back = ids(&fleet(&server, &[]));
    assert!(ids(&first).iter().chain([&added]).all(|id| back.contains(id)), "{back:?}");
    fleet(&server, &["remove", &added]);
    let giant = ids(&fleet(&server, &["add", "--type", "r5.24xlarge", "--count", "2"]));
    let doctor = String::from_utf8(server.cove(&["doctor"]).stdout).unwrap();
    assert!(doctor.contains("the fleet promises"), "{doctor}");
    fleet(&server, &["remove", &giant[0], &giant[1]]);
    server.kill_and_restart();
    assert_eq!(ids(&fleet(&server, &[])), ids(&first));
}

#[test]
fn a_bad_declaration_ends_the_start_with_one_line() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("cove.toml");
    for (declared, word) in [
        ("type = \"m5.huge\"", "m5.24xlarge"),
        ("type = \"m5.large\"\nzone = \"x\"", "zone `x`"),
        ("type = \"m5.large\"\nsize = 1", "unknown field `size`"),
        ("type = \"host\"\ncpu = 1", "host"),
    ] {
        std::fs::write(&file, format!("[[instance]]\n{declared}")).unwrap();
        let done = Command::new(env!("CARGO_BIN_EXE_cove")).args(["serve", "--config"]).arg(&file).output().unwrap();
        let text = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(78), "{text}");
        assert!(text.contains(word) && text.trim_end().lines().count() == 1, "{text}");
    }
}

#[test]
fn tasks_are_spread_over_zones_packed_and_kept_to_attributes() {
    let server = Server::start_configured(TWO_ZONES);
    register(&server, "one", &json!({}), &json!({}));
    let spread = json!({"placementStrategy": [{"type": "spread", "field": "attribute:ecs.availability-zone"}]});
    let two_each = vec![("us-east-1a".to_owned(), 2), ("us-east-1b".to_owned(), 2)];
    assert_eq!(zones(&run(&server, "one", 4, &spread)), two_each);
    let packed =
        run(&server, "one", 3, &json!({"group": "p", "placementStrategy": [{"type": "binpack", "field": "memory"}]}));
    let places: std::collections::HashSet<&str> =
        packed["tasks"].as_array().unwrap().iter().map(|it| it["containerInstanceArn"].as_str().unwrap()).collect();
    assert_eq!((places.len(), arns(&packed).len()), (1, 3));
    let rack = |value: &str| {
        let expression = format!("attribute:rack == {value}");
        json!({"placementConstraints": [{"type": "memberOf", "expression": expression}]})
    };
    assert_eq!(zones(&run(&server, "one", 1, &rack("r1"))), [("us-east-1a".to_owned(), 1)]);
    let nowhere = run(&server, "one", 1, &rack("r2"));
    assert_eq!(nowhere["failures"].as_array().unwrap().len(), 3);
    assert_eq!(nowhere["failures"][0]["reason"], "MemberOf placement constraint unsatisfied.");

    fleet(&server, &["drain", "--zone", "a"]);
    assert_eq!(zones(&run(&server, "one", 3, &json!({}))), [("us-east-1b".to_owned(), 3)]);
    fleet(&server, &["activate", "--zone", "a"]);
    assert_eq!(zones(&run(&server, "one", 1, &rack("r1"))), [("us-east-1a".to_owned(), 1)]);
}

#[test]
fn a_type_refuses_what_it_has_no_memory_or_interface_for() {
    let server = Server::start_configured("[[instance]]\ntype = \"t3.micro\"");
    register(&server, "big", &json!({"memory": 1024}), &json!({}));
    assert_eq!(run(&server, "big", 1, &json!({}))["failures"][0]["reason"], "RESOURCE:MEMORY");
    register(&server, "net", &json!({}), &json!({"networkMode": "awsvpc"}));
    let network = json!({"networkConfiguration": server.network()});
    let both = run(&server, "net", 2, &network);
    assert_eq!((arns(&both).len(), &both["failures"][0]["reason"]), (1, &json!("RESOURCE:ENI")));
    assert_eq!(fleet(&server, &[])[0]["taskInterfaces"], json!({"used": 1, "limit": 1}));

    // With a trunk a new machine has more of them.
    let trunking = json!({"name": "awsvpcTrunking", "value": "enabled"});
    server.ecs("PutAccountSettingDefault", &trunking).unwrap();
    let added = fleet(&server, &["add", "--type", "m5.large"]).remove(0);
    assert_eq!(added["taskInterfaces"]["limit"], 10);
    let having = json!({"targetType": "container-instance", "attributeName": "ecs.awsvpc-trunk-id"});
    let having = server.ecs("ListAttributes", &having).unwrap();
    assert_eq!(having["attributes"][0]["targetId"], added["arn"]);
    let more = run(&server, "net", 3, &network);
    assert_eq!(arns(&more).len(), 3, "{more}");
    for arn in arns(&both).iter().chain(&arns(&more)) {
        server.ecs("StopTask", &json!({"task": arn})).unwrap();
    }
}

#[test]
fn an_instances_limits_are_the_kernels() {
    let server = Server::start_configured("[[instance]]\ntype = \"m5.large\"\ncpu = 512\nmemory_mib = 48");
    let one = fleet(&server, &[]).remove(0);
    let id = one["ec2InstanceId"].as_str().unwrap();
    let read = |controller: &str, v1: &str, v2: &str| {
        let path = cgroup(&server, controller, &format!("task/{id}"), v1, v2);
        until(&format!("{path:?}"), || std::fs::read_to_string(&path).ok()).trim().to_owned()
    };
    until("a memory limit", || (read("memory", "memory.limit_in_bytes", "memory.max") == "50331648").then_some(()));
    let quota = read("cpu", "cpu.cfs_quota_us", "cpu.max");
    assert_eq!(quota.split(' ').next(), Some("50000"));

    // The task may take more than the machine has: the machine's limit holds.
    register(&server, "calm", &json!({"memory": 400, "memoryReservation": 16}), &json!({}));
    let task = arns(&run(&server, "calm", 1, &json!({}))).remove(0);
    server.wait_task(&task, "RUNNING");
    let below = format!("task/{id}/{}", task.rsplit('/').next().unwrap());
    assert!(cgroup(&server, "memory", &below, "", "").is_dir(), "it lies below its instance");
    assert_eq!(server.inside(&task, "echo in"), "in\n");
    let eater = "x=$(head -c 40000000 /dev/zero | tr '\\0' 'x'); sleep 600";
    let soft = json!({"memory": 400, "memoryReservation": 16, "command": ["sh", "-c", eater]});
    register(&server, "eater", &soft, &json!({}));
    let eaten = arns(&run(&server, "eater", 1, &json!({}))).remove(0);
    let killed = server.wait_task(&eaten, "STOPPED");
    assert_eq!(killed["containers"][0]["exitCode"], 137, "{killed}");
}

#[test]
fn a_failed_instance_loses_its_tasks_also_when_the_server_is_killed_right_after() {
    let mut server = Server::start_configured(TWO_ZONES);
    // It would take its time if it were asked to stop.
    let stubborn = json!({"command": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], "stopTimeout": 120});
    register(&server, "one", &stubborn, &json!({}));
    let per_instance = json!({"placementConstraints": [{"type": "distinctInstance"}]});
    let mut tasks = arns(&run(&server, "one", 3, &per_instance));
    tasks.iter().for_each(|arn| drop(server.wait_task(arn, "RUNNING")));
    // Which task is where is chance; the one in zone b is to be the last that lives.
    tasks.sort_by_key(|arn| server.describe_task(arn)["availabilityZone"].as_str().unwrap().to_owned());
    let place =
        |server: &Server, arn: &str| server.describe_task(arn)["containerInstanceArn"].as_str().unwrap().to_owned();

    let dead = fleet(&server, &["fail", &place(&server, &tasks[0])]).remove(0);
    assert_eq!(dead["status"], "INACTIVE");
    let stopped = server.wait_task(&tasks[0], "STOPPED");
    let reason = format!("Host EC2 (instance {}) terminated.", dead["ec2InstanceId"].as_str().unwrap());
    assert_eq!((&stopped["stopCode"], &stopped["stoppedReason"]), (&json!("TerminationNotice"), &json!(reason)));
    assert_eq!(stopped["containers"][0]["exitCode"], Value::Null);
    assert_eq!(stopped["containers"][0]["lastStatus"], "STOPPED");
    let gone = server.ecs("DescribeContainerInstances", &json!({"containerInstances": [dead["arn"]]})).unwrap();
    assert_eq!(
        (&gone["containerInstances"][0]["status"], &gone["containerInstances"][0]["agentConnected"]),
        (&json!("INACTIVE"), &json!(false))
    );
    let start = json!({"taskDefinition": "one", "containerInstances": [dead["arn"]]});
    assert_eq!(server.ecs("StartTask", &start).unwrap()["failures"][0]["reason"], "INACTIVE");

    fleet(&server, &["fail", &place(&server, &tasks[1])]);
    server.kill_and_restart();
    let stopped = server.wait_task(&tasks[1], "STOPPED");
    assert_eq!(stopped["stopCode"], "TerminationNotice");
    assert_eq!(server.describe_task(&tasks[2])["lastStatus"], "RUNNING", "its neighbour goes on");
    assert_eq!(fleet(&server, &[]).len(), 1, "the dead stay away over the restart");
    let groups = cgroup(&server, "memory", "task", "", "");
    until("no group of the dead", || {
        let entries =
            std::fs::read_dir(&groups).unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        (entries.filter(|name| name.starts_with("i-")).count() == 1).then_some(())
    });
    fleet(&server, &["recover", dead["id"].as_str().unwrap()]);
    assert_eq!(fleet(&server, &[]).len(), 2);
    fleet(&server, &["fail", "--zone", "a"]);
    fleet(&server, &["fail", "--zone", "b"]);
    server.wait_task(&tasks[2], "STOPPED");
    let nowhere = server.ecs("RunTask", &json!({"taskDefinition": "one"}));
    crate::server::assert_refused(nowhere, "InvalidParameterException", "No Container Instances were found");
}

#[test]
fn an_interrupted_spot_instance_warns_then_takes_its_tasks_along() {
    let mut server = Server::start_configured(&format!("spot_warning_secs = 1\n{SPOT}"));
    register(
        &server,
        "one",
        &json!({"command": ["sh", "-c", "trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done"]}),
        &json!({}),
    );
    let task = arns(&run(&server, "one", 1, &json!({}))).remove(0);
    server.wait_task(&task, "RUNNING");
    let added = fleet(&server, &["add", "--type", "t3.small"]).remove(0);
    let why = refused(&server, &["interrupt", added["ec2InstanceId"].as_str().unwrap()]);
    assert!(why.contains("only Spot capacity is interrupted"), "{why}");
    let all = fleet(&server, &[]);
    let spot = all.iter().find(|one| one["capacity"] == "spot").unwrap()["ec2InstanceId"].as_str().unwrap();
    let warned = fleet(&server, &["interrupt", spot]).remove(0);
    assert_eq!(warned["status"], "DRAINING");
    assert!(warned["leavesAt"].is_string());
    // The deadline is in the store.
    server.kill_and_restart();
    let stopped = server.wait_task(&task, "STOPPED");
    assert_eq!(stopped["stopCode"], "SpotInterruption");
    assert_eq!(stopped["stoppedReason"], format!("Host EC2 (instance {spot}) terminated."));
    assert!(!ids(&fleet(&server, &[])).contains(&spot.to_owned()));
}

#[test]
fn what_failed_is_not_shown_and_not_forgotten_either() {
    let server = Server::start_configured(TWO_ZONES);
    let listed = || {
        let done = server.cove(&["fleet"]);
        (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap())
    };
    let (table, hint) = listed();
    assert!(table.lines().count() == 4 && hint.is_empty(), "{table}{hint}");
    assert!(server.cove(&["fleet", "fail", "--zone", "b"]).status.success());
    let (table, hint) = listed();
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(hint.contains("1 instance more") && hint.contains("cove fleet --all"), "{hint}");
}
