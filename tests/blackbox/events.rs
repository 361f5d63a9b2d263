//! EventBridge: rules, and what they bring to their targets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::server::{Server, assert_refused, texts, until};

const LOG_ARN: &str = "arn:aws:logs:us-east-1:000000000000:log-group:/aws/events/seen";
const ROLE: &str = "arn:aws:iam::000000000000:role/ecsEventsRole";

fn log_group(server: &Server) {
    server.logs("CreateLogGroup", &json!({"logGroupName": "/aws/events/seen"})).unwrap();
}

/// What rules brought to the log group, in order.
fn logged(server: &Server) -> Vec<Value> {
    let found = server.logs("FilterLogEvents", &json!({"logGroupName": "/aws/events/seen"})).unwrap();
    let events = found["events"].as_array().unwrap().iter();
    events.map(|event| serde_json::from_str(event["message"].as_str().unwrap()).unwrap()).collect()
}

fn put(server: &Server, detail: &Value) -> String {
    let entry = json!({"Source": "my.app", "DetailType": "Order", "Detail": detail.to_string()});
    let put = server.events("PutEvents", &json!({"Entries": [entry]})).unwrap();
    assert_eq!(put["FailedEntryCount"], 0, "{put}");
    put["Entries"][0]["EventId"].as_str().unwrap().to_owned()
}

fn rule(server: &Server, name: &str, pattern: &Value, target: &Value) {
    server.events("PutRule", &json!({"Name": name, "EventPattern": pattern.to_string()})).unwrap();
    let put = server.events("PutTargets", &json!({"Rule": name, "Targets": [target]})).unwrap();
    assert_eq!(put["FailedEntryCount"], 0, "{put}");
}

#[test]
fn a_rule_lives_and_dies_across_restarts() {
    let mut server = Server::start();
    let pattern = json!({"source": ["my.app"], "detail": {"n": [{"numeric": [">", 5]}]}}).to_string();
    let put = json!({"Name": "big", "EventPattern": pattern, "Description": "d", "Tags": [{"Key": "a", "Value": "b"}]});
    let arn = server.events("PutRule", &put).unwrap()["RuleArn"].clone();
    assert_eq!(arn, "arn:aws:events:us-east-1:000000000000:rule/big");
    let target = json!({"Id": "log", "Arn": LOG_ARN, "InputPath": "$.detail"});
    server.events("PutTargets", &json!({"Rule": "big", "Targets": [target]})).unwrap();
    server.events("CreateEventBus", &json!({"Name": "orders"})).unwrap();
    server.kill_and_restart();
    let described = server.events("DescribeRule", &json!({"Name": "big"})).unwrap();
    for (member, value) in [
        ("Arn", &arn),
        ("EventPattern", &json!(pattern)),
        ("State", &json!("ENABLED")),
        ("EventBusName", &json!("default")),
    ] {
        assert_eq!(&described[member], value, "{member}");
    }
    let targets = server.events("ListTargetsByRule", &json!({"Rule": "big"})).unwrap();
    assert_eq!(targets["Targets"], json!([target]));
    let names = server.events("ListRuleNamesByTarget", &json!({"TargetArn": LOG_ARN})).unwrap();
    assert_eq!(names["RuleNames"], json!(["big"]));
    let buses = server.events("ListEventBuses", &json!({})).unwrap();
    let buses: Vec<&str> =
        buses["EventBuses"].as_array().unwrap().iter().map(|bus| bus["Name"].as_str().unwrap()).collect();
    assert_eq!(buses, ["default", "orders"]);
    let bus = server.events("DescribeEventBus", &json!({"Name": "orders"})).unwrap();
    assert_eq!(bus["Arn"], "arn:aws:events:us-east-1:000000000000:event-bus/orders");
    server.events("DisableRule", &json!({"Name": "big"})).unwrap();
    server.events("TagResource", &json!({"ResourceARN": arn, "Tags": [{"Key": "c", "Value": "d"}]})).unwrap();
    server.events("UntagResource", &json!({"ResourceARN": arn, "TagKeys": ["a"]})).unwrap();
    server.kill_and_restart();
    let rules = server.events("ListRules", &json!({"NamePrefix": "bi"})).unwrap();
    assert_eq!(rules["Rules"][0]["State"], "DISABLED");
    let tags = server.events("ListTagsForResource", &json!({"ResourceARN": arn})).unwrap();
    assert_eq!(tags["Tags"], json!([{"Key": "c", "Value": "d"}]));
    server.events("EnableRule", &json!({"Name": "big"})).unwrap();
    let event = json!({"id": "1", "account": "0", "source": "my.app", "time": "t", "region": "r", "resources": [],
        "detail-type": "x", "detail": {"n": 6}});
    let test = |event: &Value| {
        server.events("TestEventPattern", &json!({"EventPattern": pattern, "Event": event.to_string()})).unwrap()["Result"].clone()
    };
    assert_eq!(test(&event), true);
    let held = server.events("DeleteRule", &json!({"Name": "big"}));
    assert_refused(held, "ValidationException", "has targets");
    server.events("RemoveTargets", &json!({"Rule": "big", "Ids": ["log"]})).unwrap();
    server.events("DeleteRule", &json!({"Name": "big"})).unwrap();
    server.events("DeleteEventBus", &json!({"Name": "orders"})).unwrap();
    server.kill_and_restart();
    assert_refused(server.events("DescribeRule", &json!({"Name": "big"})), "ResourceNotFoundException", "big");
    assert_refused(
        server.events("ListRules", &json!({"EventBusName": "orders"})),
        "ResourceNotFoundException",
        "orders",
    );
}

#[test]
fn what_cannot_be_carried_out_is_refused_in_words() {
    let server = Server::start();
    let rule = |over: Value| server.events("PutRule", &over);
    assert_refused(rule(json!({"Name": "r"})), "ValidationException", "EventPattern or ScheduleExpression");
    assert_refused(rule(json!({"Name": "r", "EventPattern": "{\"a\": 1}"})), "InvalidEventPatternException", "array");
    assert_refused(
        rule(json!({"Name": "r", "ScheduleExpression": "rate(1 minutes)"})),
        "ValidationException",
        "ScheduleExpression",
    );
    rule(json!({"Name": "r", "ScheduleExpression": "rate(1 day)"})).unwrap();
    let target = |over: Value| server.events("PutTargets", &json!({"Rule": "r", "Targets": [over]}));
    let hook = "arn:aws:events:us-east-1:000000000000:api-destination/hook";
    assert_refused(target(json!({"Id": "t", "Arn": hook})), "ValidationException", "[[event_endpoint]]");
    let queue = "arn:aws:sqs:us-east-1:000000000000:q";
    assert_refused(target(json!({"Id": "t", "Arn": queue})), "ValidationException", "none of them");
    let cluster = "arn:aws:ecs:us-east-1:000000000000:cluster/default";
    assert_refused(target(json!({"Id": "t", "Arn": cluster})), "ValidationException", "EcsParameters");
    let both = json!({"Id": "t", "Arn": LOG_ARN, "Input": "{}", "InputPath": "$"});
    assert_refused(target(both), "ValidationException", "Only one of");
    let entries = json!([
        {"Source": "aws.ecs", "DetailType": "x", "Detail": "{}"}, {"Source": "a", "DetailType": "x", "Detail": "[]"},
        {"Source": "a", "Detail": "{}"}, {"Source": "a", "DetailType": "x", "Detail": "{}", "EventBusName": "none"},
        {"Source": "a", "DetailType": "x", "Detail": "{}"},
    ]);
    let put = server.events("PutEvents", &json!({"Entries": entries})).unwrap();
    let codes: Vec<&str> =
        put["Entries"].as_array().unwrap().iter().filter_map(|entry| entry["ErrorCode"].as_str()).collect();
    assert_eq!(codes, ["NotAuthorizedForSourceException", "MalformedDetail", "InvalidArgument", "InvalidArgument"]);
    assert_eq!(put["FailedEntryCount"], 4);
}

/// An HTTP server that remembers bodies, and answers 503 as long as it is told to.
struct Hook {
    port: u16,
    is_busy: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<(String, String)>>>,
}

impl Hook {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hook = Self {
            port: listener.local_addr().unwrap().port(),
            is_busy: Arc::new(AtomicBool::new(true)),
            seen: Arc::default(),
        };
        let (is_busy, seen) = (Arc::clone(&hook.is_busy), Arc::clone(&hook.seen));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut head, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap() <= 2 {
                        break;
                    }
                    if let Some((_, value)) = line.to_ascii_lowercase().split_once("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    head.push_str(&line);
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let busy = is_busy.load(Ordering::SeqCst);
                if !busy {
                    seen.lock().unwrap().push((head, String::from_utf8(body).unwrap()));
                }
                let status = if busy { "503 Busy" } else { "200 OK" };
                stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).unwrap();
            }
        });
        hook
    }
}

#[test]
fn events_reach_the_targets_of_their_rules_also_across_restarts() {
    let hook = Hook::start();
    let config = format!(
        "[[event_endpoint]]\nname = \"hook\"\nurl = \"http://127.0.0.1:{}/in?k=v\"\nheaders = {{ Authorization = \"Bearer x\" }}",
        hook.port
    );
    let mut server = Server::start_configured(&config);
    log_group(&server);
    let image = server.busybox();
    let definition = json!({"family": "job", "containerDefinitions": [
        {"name": "main", "image": image, "memory": 32, "command": ["false"]}]});
    server.ecs("RegisterTaskDefinition", &definition).unwrap();
    let hook_target = json!({"Id": "hook", "Arn": "arn:aws:events:us-east-1:000000000000:api-destination/hook/0123",
        "InputTransformer": {"InputPathsMap": {"n": "$.detail.n"}, "InputTemplate": "{\"got\": <n>, \"text\": \"n is <n>\"}"}});
    rule(&server, "to-hook", &json!({"detail": {"n": [{"numeric": [">", 5]}]}}), &hook_target);
    let task = json!({"Id": "task", "Arn": "arn:aws:ecs:us-east-1:000000000000:cluster/default", "RoleArn": ROLE,
        "Input": "{\"containerOverrides\": [{\"name\": \"main\", \"command\": [\"true\"]}]}",
        "EcsParameters": {"TaskDefinitionArn": "arn:aws:ecs:us-east-1:000000000000:task-definition/job", "TaskCount": 1}});
    rule(&server, "to-task", &json!({"source": ["my.app"]}), &task);
    let stopped =
        json!({"source": ["aws.ecs"], "detail-type": ["ECS Task State Change"], "detail": {"lastStatus": ["STOPPED"]}});
    rule(&server, "to-log", &stopped, &json!({"Id": "log", "Arn": LOG_ARN, "InputPath": "$.detail"}));
    put(&server, &json!({"n": 6}));
    // The endpoint is busy: the delivery outlives the server.
    server.kill_and_restart();
    hook.is_busy.store(false, Ordering::SeqCst);
    let (head, body) = until("the endpoint gets it", || hook.seen.lock().unwrap().first().cloned());
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), json!({"got": 6, "text": "n is 6"}));
    assert!(
        head.starts_with("POST /in?k=v HTTP/1.1") && head.to_ascii_lowercase().contains("authorization: bearer x"),
        "{head}"
    );
    let seen = until("the stopped task is logged", || logged(&server).first().cloned());
    assert_eq!((&seen["startedBy"], &seen["containers"][0]["exitCode"]), (&json!("events-rule/to-task"), &json!(0)));
    let tasks = server.ecs("ListTasks", &json!({"desiredStatus": "STOPPED"})).unwrap();
    assert_eq!(texts(&tasks["taskArns"]).len(), 1, "one event, one task, also over a kill");
    // A target that can never work is dead at once, and says why.
    server.logs("DeleteLogGroup", &json!({"logGroupName": "/aws/events/seen"})).unwrap();
    put(&server, &json!({"n": 1}));
    let dead = until("a dead letter", || {
        let done = server.cove(&["events", "--dead", "--json"]);
        let text = String::from_utf8(done.stdout).unwrap();
        text.lines().next().map(|line| serde_json::from_str::<Value>(line).unwrap())
    });
    assert_eq!((&dead["rule"], &dead["target"]), (&json!("to-log"), &json!(LOG_ARN)));
    assert!(dead["error"].as_str().unwrap().contains("log group does not exist"), "{dead}");
    let stat = json!({"Metric": {"Namespace": "AWS/Events", "MetricName": "FailedInvocations",
        "Dimensions": [{"Name": "RuleName", "Value": "to-log"}]}, "Period": 3600, "Stat": "Sum"});
    let now = now_secs();
    let wish =
        json!({"MetricDataQueries": [{"Id": "a", "MetricStat": stat}], "StartTime": now - 7200, "EndTime": now + 60});
    let counted = server.monitoring("GetMetricData", &wish).unwrap();
    assert_eq!(counted["MetricDataResults"][0]["Values"], json!([1.0]));
    server.kill_and_restart();
    assert_eq!(hook.seen.lock().unwrap().len(), 1, "nothing is sent again");
}

#[allow(clippy::disallowed_methods, reason = "a client of the server has no clock of its")]
fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_schedule_fires_each_time_once_also_when_the_server_was_away() {
    let mut server = Server::start();
    log_group(&server);
    server.events("PutRule", &json!({"Name": "each", "ScheduleExpression": "cron(* * * * ? *)"})).unwrap();
    let target = json!({"Id": "log", "Arn": LOG_ARN});
    server.events("PutTargets", &json!({"Rule": "each", "Targets": [target]})).unwrap();
    let patience = Instant::now() + Duration::from_secs(75);
    while logged(&server).is_empty() {
        assert!(Instant::now() < patience, "it does not fire");
        std::thread::sleep(Duration::from_millis(200));
    }
    let first = logged(&server)[0].clone();
    assert_eq!((&first["source"], &first["detail-type"]), (&json!("aws.events"), &json!("Scheduled Event")));
    assert_eq!(first["resources"], json!(["arn:aws:events:us-east-1:000000000000:rule/each"]));
    assert!(first["time"].as_str().unwrap().ends_with(":00Z"), "{first}");
    // Away while the next minute begins.
    server.while_stopped(|_| {
        let wait = 60 - now_secs() % 60;
        std::thread::sleep(Duration::from_secs(wait + 1));
    });
    let both = until("the missed time", || Some(logged(&server)).filter(|all| all.len() == 2));
    assert_ne!(both[0]["time"], both[1]["time"]);
    server.kill_and_restart();
    // Delivery is at least once: what was on its way when the server died comes again, under the same id.
    let ids =
        |all: &[Value]| all.iter().map(|event| event["id"].to_string()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(ids(&logged(&server)), ids(&both), "it fires once");
}
