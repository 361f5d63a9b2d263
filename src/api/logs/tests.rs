use std::sync::Arc;

use cove_base::paths::DataDir;
use cove_base::{Clock, Timestamp};
use cove_logs::{Source, StreamWriter};
use cove_model::arn::Tenant;
use cove_model::logs::LogStream;
use cove_registry::{Registry, RegistryConfig};
use cove_scheduler::HostFacts;
use cove_store::{Read, Store, StoreOptions, keys};
use serde_json::{Value, json};

use super::SERVICE;
use crate::{Caller, CallerKind, Context, Input, Keys, Origin, Settings};

const NOW: i64 = 1_700_000_000_000;

/// The service over a real store and real files, called as dispatch calls it.
struct Api {
    cx: Context,
    _directory: Arc<tempfile::TempDir>,
}

impl Api {
    fn new() -> Self {
        Self::open(Arc::new(tempfile::tempdir().unwrap()))
    }

    fn open(directory: Arc<tempfile::TempDir>) -> Self {
        let data = DataDir::new(directory.path());
        let clock = Clock::manual(Timestamp(NOW));
        let store = Store::open(&data, clock.clone(), StoreOptions::default()).unwrap();
        let registry = Registry::open(&data, store.clone(), clock.clone(), RegistryConfig::default()).unwrap();
        let host = HostFacts {
            node: "cove".to_owned(),
            cpu: 1024,
            memory_mib: 1024,
            zones: vec!["a".to_owned()],
            instance_type: "m5.large".to_owned(),
            ephemeral_ports: 32768..=60999,
            reserved_ports_tcp: Vec::new(),
            reserved_ports_udp: Vec::new(),
            attributes: Vec::new(),
            tasks_max: 2000,
            memory_overcommit: 1.5,
            enforces_device_permissions: true,
            fleet: cove_scheduler::fleet::Fleet::default(),
        };
        let settings = Settings {
            node: "cove".to_owned(),
            dev: true,
            dev_allow: Vec::new(),
            region: "us-east-1".to_owned(),
            registry_host: "127.0.0.1:4566".to_owned(),
            registry_tls: false,
            host_names: Vec::new(),
            timing: Default::default(),
            keys: Keys::random(),
            host: Arc::new(host),
            event_endpoints: Default::default(),
        };
        let cx = Context {
            store,
            clock,
            tenant: Tenant::new("000000000000", "us-east-1"),
            caller: Caller {
                arn: "arn:aws:iam::000000000000:root".to_owned(),
                user_id: "000000000000".to_owned(),
                access_key_id: "test".to_owned(),
                kind: CallerKind::Dev,
            },
            registry: Arc::new(registry),
            metrics: cove_metrics::Metrics::default(),
            settings: Arc::new(settings),
            request_id: "test".to_owned(),
            origin: Origin::Public,
            terminals: Arc::default(),
        };
        Self { cx, _directory: directory }
    }

    fn call(&self, operation: &str, input: Value) -> Result<Value, String> {
        let op = SERVICE.ops.iter().find(|op| op.name == operation).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let answer = runtime.block_on((op.run)(&self.cx, Input(input)));
        let body = answer.map_err(|fault| format!("{}: {}", fault.code, fault.message))?;
        Ok(serde_json::from_slice(&body).unwrap())
    }

    fn done(&self, operation: &str, input: Value) -> Value {
        self.call(operation, input).unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    fn refused(&self, operation: &str, input: Value) -> String {
        self.call(operation, input).expect_err("should be refused")
    }

    /// A stream as a container's shim writes it: one line per time.
    fn container(&self, group: &str, name: &str, times: impl IntoIterator<Item = i64>) -> StreamWriter {
        self.done("CreateLogStream", json!({"logGroupName": group, "logStreamName": name}));
        let key = keys::log_stream(&self.cx.tenant, group, name);
        let stream = self.cx.store.read(|view| view.get::<LogStream>(&key)).unwrap();
        let path = self.cx.store.data_dir().logs().join(&stream.directory);
        let mut writer = StreamWriter::open(&path, 1 << 30).unwrap();
        for time in times {
            writer.append(Source::Stdout, Timestamp(time), format!("{name} {time}\n").as_bytes()).unwrap();
        }
        writer
    }
}

fn messages(reply: &Value) -> Vec<&str> {
    reply["events"].as_array().unwrap().iter().map(|event| event["message"].as_str().unwrap()).collect()
}

#[test]
fn a_log_group_survives_a_restart() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let api = Api::open(Arc::clone(&directory));
    for name in ["/ecs/b", "/ecs/a", "other"] {
        api.done("CreateLogGroup", json!({"logGroupName": name}));
    }
    assert_eq!(
        api.refused("CreateLogGroup", json!({"logGroupName": "other"})),
        "ResourceAlreadyExistsException: The specified log group already exists"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let Api { cx, _directory } = api;
    let Context { store, registry, .. } = cx;
    drop(registry);
    runtime.block_on(store.close());
    let api = Api::open(directory);
    let first = api.done("DescribeLogGroups", json!({"logGroupNamePrefix": "/ecs/", "limit": 1}));
    assert_eq!(first["logGroups"][0]["arn"], "arn:aws:logs:us-east-1:000000000000:log-group:/ecs/a:*");
    let second = api.done("DescribeLogGroups", json!({"logGroupNamePrefix": "/ecs/", "nextToken": first["nextToken"]}));
    assert_eq!((&second["logGroups"][0]["logGroupName"], &second["nextToken"]), (&json!("/ecs/b"), &Value::Null));
    api.done("DeleteLogGroup", json!({"logGroupName": "other"}));
    assert_eq!(
        api.refused("DeleteLogGroup", json!({"logGroupName": "other"})),
        "ResourceNotFoundException: The specified log group does not exist."
    );
}

#[test]
fn retention_is_kept_and_checked() {
    let api = Api::new();
    api.done("CreateLogGroup", json!({"logGroupName": "g"}));
    api.done("PutRetentionPolicy", json!({"logGroupName": "g", "retentionInDays": 7}));
    assert_eq!(api.done("DescribeLogGroups", json!({}))["logGroups"][0]["retentionInDays"], 7);
    let refused = api.refused("PutRetentionPolicy", json!({"logGroupName": "g", "retentionInDays": 2}));
    assert!(refused.starts_with("InvalidParameterException"), "{refused}");
    api.done("DeleteRetentionPolicy", json!({"logGroupName": "g"}));
    assert_eq!(api.done("DescribeLogGroups", json!({}))["logGroups"][0]["retentionInDays"], Value::Null);
}

#[test]
fn log_group_tags_are_kept() {
    let api = Api::new();
    api.done("CreateLogGroup", json!({"logGroupName": "g", "tags": {"a": "1"}}));
    let arn = "arn:aws:logs:us-east-1:000000000000:log-group:g";
    api.done("TagResource", json!({"resourceArn": arn, "tags": {"a": "2", "b": "3"}}));
    api.done("UntagLogGroup", json!({"logGroupName": "g", "tags": ["b"]}));
    assert_eq!(api.done("ListTagsForResource", json!({"resourceArn": arn}))["tags"], json!({"a": "2"}));
    let foreign = "arn:aws:logs:eu-west-1:000000000000:log-group:g";
    assert!(api.refused("ListTagsForResource", json!({"resourceArn": foreign})).starts_with("ResourceNotFound"));
}

#[test]
fn events_put_are_read_back() {
    let api = Api::new();
    let stream = json!({"logGroupName": "g", "logStreamName": "s"});
    assert!(api.refused("CreateLogStream", stream.clone()).contains("log group does not exist"));
    api.done("CreateLogGroup", json!({"logGroupName": "g"}));
    api.done("CreateLogStream", stream);
    let empty = api.done("GetLogEvents", json!({"logGroupName": "g", "logStreamName": "s"}));
    assert!(messages(&empty).is_empty());
    let put = |events: Value| json!({"logGroupName": "g", "logStreamName": "s", "logEvents": events});
    let events: Vec<Value> = (0..5).map(|n| json!({"timestamp": NOW + n, "message": format!("m{n}")})).collect();
    api.done("PutLogEvents", put(json!(events)));
    let old = api.done("PutLogEvents", put(json!([{"timestamp": 1, "message": "old"}])));
    assert_eq!(old["rejectedLogEventsInfo"]["tooOldLogEventEndIndex"], 1);
    let disordered = json!([{"timestamp": NOW + 1, "message": "b"}, {"timestamp": NOW, "message": "a"}]);
    assert!(api.refused("PutLogEvents", put(disordered)).contains("chronological order"));

    let get = |token: Value, head: bool| {
        let mut input = json!({"logGroupName": "g", "logStreamName": "s", "limit": 3, "startFromHead": head});
        if !token.is_null() {
            input["nextToken"] = token;
        }
        api.done("GetLogEvents", input)
    };
    assert_eq!(messages(&get(Value::Null, false)), ["m2", "m3", "m4"]);
    let first = get(Value::Null, true);
    assert_eq!(messages(&first), ["m0", "m1", "m2"]);
    let second = get(first["nextForwardToken"].clone(), true);
    assert_eq!(messages(&second), ["m3", "m4"]);
    assert_eq!(messages(&get(second["nextBackwardToken"].clone(), true)), ["m0", "m1", "m2"]);
    let end = get(second["nextForwardToken"].clone(), true);
    assert_eq!((&end["nextForwardToken"], messages(&end).len()), (&second["nextForwardToken"], 0));
    let (rest, last) = second["nextForwardToken"].as_str().unwrap().split_at(57);
    let forged = format!("{rest}{}", if last == "0" { "1" } else { "0" });
    let forged = json!({"logGroupName": "g", "logStreamName": "s", "nextToken": forged});
    assert!(api.refused("GetLogEvents", forged).contains("nextToken is invalid"));

    let described = api.done("DescribeLogStreams", json!({"logGroupName": "g", "orderBy": "LastEventTime"}));
    let shown = &described["logStreams"][0];
    assert_eq!((&shown["firstEventTimestamp"], &shown["lastEventTimestamp"]), (&json!(NOW), &json!(NOW + 4)));
    api.done("DeleteLogStream", json!({"logGroupName": "g", "logStreamName": "s"}));
    assert!(api.refused("DeleteLogStream", json!({"logGroupName": "g", "logStreamName": "s"})).contains("log stream"));
}

#[test]
fn events_that_come_late_are_read_by_their_time() {
    let api = Api::new();
    api.done("CreateLogGroup", json!({"logGroupName": "g"}));
    api.done("CreateLogStream", json!({"logGroupName": "g", "logStreamName": "s"}));
    let put = |times: &[i64]| {
        let event = |time: &i64| json!({"timestamp": NOW + time, "message": format!("m{time}")});
        let events: Vec<Value> = times.iter().map(event).collect();
        api.done("PutLogEvents", json!({"logGroupName": "g", "logStreamName": "s", "logEvents": events}));
    };
    put(&[20, 50, 60]);
    put(&[10, 30]);
    put(&[40]);
    let wanted = ["m10", "m20", "m30", "m40", "m50", "m60"];
    let get = |more: Value| {
        let mut input = json!({"logGroupName": "g", "logStreamName": "s", "limit": 2});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        api.done("GetLogEvents", input)
    };
    let (mut seen, mut page) = (Vec::new(), get(json!({"startFromHead": true})));
    while !messages(&page).is_empty() {
        seen.extend(messages(&page).into_iter().map(str::to_owned));
        page = get(json!({"nextToken": page["nextForwardToken"]}));
    }
    assert_eq!(seen, wanted);
    let end = page["nextForwardToken"].clone();
    let mut page = get(json!({}));
    assert_eq!(messages(&page), ["m50", "m60"]);
    page = get(json!({"nextToken": page["nextBackwardToken"]}));
    assert_eq!(messages(&page), ["m30", "m40"]);
    let again = get(json!({"nextToken": page["nextForwardToken"]}));
    assert_eq!(messages(&again), ["m50", "m60"]);
    let range = get(json!({"startFromHead": true, "startTime": NOW + 30, "endTime": NOW + 60, "limit": 9}));
    assert_eq!(messages(&range), ["m30", "m40", "m50"]);
    put(&[70]);
    assert_eq!(messages(&get(json!({"nextToken": end}))), ["m70"]);
    // Pages of a search over this and a container's stream.
    let _other = api.container("g", "x", [NOW + 25, NOW + 45]);
    let (mut seen, mut token) = (Vec::new(), Value::Null);
    loop {
        let mut input = json!({"logGroupName": "g", "limit": 2});
        if !token.is_null() {
            input["nextToken"] = token;
        }
        let page = api.done("FilterLogEvents", input);
        seen.extend(page["events"].as_array().unwrap().iter().map(|event| event["timestamp"].as_i64().unwrap() - NOW));
        token = page["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(seen, [10, 20, 25, 30, 40, 45, 50, 60, 70]);
    let shown = api.done("DescribeLogStreams", json!({"logGroupName": "g", "logStreamNamePrefix": "s"}));
    let shown = &shown["logStreams"][0];
    assert_eq!((&shown["firstEventTimestamp"], &shown["lastEventTimestamp"]), (&json!(NOW + 10), &json!(NOW + 70)));
}

#[test]
fn filtering_finds_events_of_all_streams_in_order() {
    let api = Api::new();
    api.done("CreateLogGroup", json!({"logGroupName": "g"}));
    let _odd = api.container("g", "task/odd", (1..2000).step_by(2));
    let _even = api.container("g", "task/even", (0..2000).step_by(2));
    let _other = api.container("g", "x", [5]);
    let mut seen = Vec::new();
    let mut token = Value::Null;
    loop {
        let mut input = json!({"logGroupName": "g", "logStreamNamePrefix": "task/", "interleaved": true, "limit": 300});
        if !token.is_null() {
            input["nextToken"] = token;
        }
        let page = api.done("FilterLogEvents", input);
        seen.extend(page["events"].as_array().unwrap().iter().map(|event| event["timestamp"].as_i64().unwrap()));
        token = page["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(seen, (0..2000).collect::<Vec<i64>>());
    let some = json!({"logGroupName": "g", "startTime": 3, "endTime": 5, "filterPattern": "?odd ?x"});
    assert_eq!(messages(&api.done("FilterLogEvents", some)), ["task/odd 3", "task/odd 5", "x 5"]);
    let held = json!({"logGroupName": "g", "logStreamName": "x", "logEvents": [{"timestamp": NOW, "message": "m"}]});
    assert!(api.refused("PutLogEvents", held).contains("running container"));
}
