//! CloudWatch Logs: groups, streams, events of clients and of containers.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::server::{Server, assert_refused, until, with};

#[allow(clippy::disallowed_methods, reason = "a client of the server has no clock of its")]
fn now_millis() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn names(list: &Value, member: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item[member].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_log_group_survives_a_restart() {
    let mut server = Server::start();
    for name in ["/app/b", "/app/a", "other"] {
        server.logs("CreateLogGroup", &json!({"logGroupName": name})).unwrap();
    }
    assert_refused(
        server.logs("CreateLogGroup", &json!({"logGroupName": "other"})),
        "ResourceAlreadyExistsException",
        "already exists",
    );
    server.kill_and_restart();
    let describe = |server: &Server, input: Value| server.logs("DescribeLogGroups", &input).unwrap();
    let shown = describe(&server, json!({"logGroupNamePrefix": "/app/"}));
    assert_eq!(names(&shown["logGroups"], "logGroupName"), ["/app/a", "/app/b"]);
    assert_eq!(shown["logGroups"][0]["arn"], "arn:aws:logs:us-east-1:000000000000:log-group:/app/a:*");
    let first = describe(&server, json!({"limit": 2}));
    let rest = describe(&server, json!({"limit": 2, "nextToken": first["nextToken"]}));
    assert_eq!(names(&rest["logGroups"], "logGroupName"), ["other"]);
    server.logs("DeleteLogGroup", &json!({"logGroupName": "other"})).unwrap();
    server.kill_and_restart();
    assert_eq!(names(&describe(&server, json!({}))["logGroups"], "logGroupName"), ["/app/a", "/app/b"]);
    assert_refused(
        server.logs("DeleteLogGroup", &json!({"logGroupName": "other"})),
        "ResourceNotFoundException",
        "does not exist",
    );
}

/// Runs a script with these options of its log; what its stream has in the end.
fn logged(server: &Server, family: &str, script: &str, options: Value) -> Vec<String> {
    let base = json!({"awslogs-group": "/lines", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p",
        "awslogs-create-group": "true"});
    let container = json!({"image": server.busybox(), "command": ["sh", "-c", script],
        "logConfiguration": {"logDriver": "awslogs", "options": with(&base, &options)}});
    let arn = server.run_task(family, container);
    server.wait_task(&arn, "STOPPED");
    messages(server, &arn)
}

fn messages(server: &Server, arn: &str) -> Vec<String> {
    let stream = format!("p/main/{}", arn.rsplit('/').next().unwrap());
    let input = json!({"logGroupName": "/lines", "logStreamName": stream, "startFromHead": true});
    names(&server.logs("GetLogEvents", &input).unwrap()["events"], "message")
}

#[test]
fn an_event_of_a_container_has_several_lines_where_the_definition_says_how_one_begins() {
    let server = Server::start();
    // Both pipes are one stream; a pause keeps them in order.
    let script =
        "echo before; echo INFO a; sleep 1.5; echo ' at b' >&2; sleep 0.3; echo INFO c; echo ' at d'; printf ' at e'";
    let got = logged(&server, "pattern", script, json!({"awslogs-multiline-pattern": "^INFO"}));
    assert_eq!(got, ["before\n", "INFO a\n at b\n", "INFO c\n at d\n at e\n"]);
    let script = "echo '[May 01, 2017 19:00:01] A'; echo more; echo '[May 01, 2017 19:00:04] B'";
    let format = json!({"awslogs-datetime-format": "\\[%b %d, %Y %H:%M:%S\\]"});
    let got = logged(&server, "format", script, format);
    assert_eq!(got, ["[May 01, 2017 19:00:01] A\nmore\n", "[May 01, 2017 19:00:04] B\n"]);
}

#[test]
fn an_event_of_several_lines_is_seen_while_its_container_waits_and_bad_patterns_stop_the_task() {
    let mut server = Server::start();
    let options = json!({"awslogs-group": "/lines", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p",
        "awslogs-create-group": "true", "awslogs-multiline-pattern": "^INFO"});
    let log = |over: Value| json!({"logDriver": "awslogs", "options": with(&options, &over)});
    let script = "echo INFO a; echo b; trap 'exit 0' TERM; while :; do sleep 0.1; done";
    let container =
        json!({"image": server.busybox(), "command": ["sh", "-c", script], "logConfiguration": log(json!({}))});
    let arn = server.run_task("quiet", container.clone());
    server.wait_task(&arn, "RUNNING");
    server.kill_and_restart();
    until("it is there though nothing follows", || (messages(&server, &arn) == ["INFO a\nb\n"]).then_some(()));
    for (over, words) in [
        (json!({"awslogs-multiline-pattern": "("}), "awslogs could not parse multiline pattern key \"(\""),
        (json!({"awslogs-datetime-format": "%Y"}), "you cannot configure log opt 'awslogs-datetime-format' and"),
    ] {
        let arn = server.run_task("bad", with(&container, &json!({"logConfiguration": log(over)})));
        let task = server.wait_task(&arn, "STOPPED");
        let reason = task["containers"][0]["reason"].as_str().unwrap();
        assert!(reason.starts_with("CannotStartContainerError: ") && reason.contains(words), "{reason}");
    }
}

#[test]
fn events_that_come_late_are_read_by_their_time_also_after_a_restart() {
    let mut server = Server::start();
    let at = json!({"logGroupName": "g", "logStreamName": "s"});
    server.logs("CreateLogGroup", &json!({"logGroupName": "g"})).unwrap();
    server.logs("CreateLogStream", &at).unwrap();
    let now = now_millis();
    let put = |server: &Server, seconds: &[i64]| {
        let event = |ago: &i64| json!({"timestamp": now - ago * 1000, "message": format!("{ago} s ago")});
        let events: Vec<Value> = seconds.iter().map(event).collect();
        server.logs("PutLogEvents", &with(&at, &json!({"logEvents": events}))).unwrap();
    };
    put(&server, &[50, 20]);
    put(&server, &[40, 10]);
    server.kill_and_restart();
    put(&server, &[30]);
    let first = server.logs("GetLogEvents", &with(&at, &json!({"startFromHead": true, "limit": 3}))).unwrap();
    assert_eq!(names(&first["events"], "message"), ["50 s ago", "40 s ago", "30 s ago"]);
    server.kill_and_restart();
    let next = json!({"nextToken": first["nextForwardToken"], "limit": 3});
    let rest = server.logs("GetLogEvents", &with(&at, &next)).unwrap();
    assert_eq!(names(&rest["events"], "message"), ["20 s ago", "10 s ago"]);
    let found = server.logs("FilterLogEvents", &json!({"logGroupName": "g", "filterPattern": "ago"})).unwrap();
    assert_eq!(names(&found["events"], "message"), ["50 s ago", "40 s ago", "30 s ago", "20 s ago", "10 s ago"]);
}

/// What `cove logs` prints of a task.
fn printed(server: &Server, arn: &str) -> String {
    let done = server.cove(&["logs", arn]);
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn a_container_with_a_json_file_is_read_on_the_node_as_long_as_its_task_is_known() {
    let mut server = Server::start_set(&["--housekeeping-secs", "1", "--stopped-task-secs", "3"]);
    let image = server.busybox();
    let log = |options: Value| json!({"logDriver": "json-file", "options": options});
    let script = "echo one; echo two >&2; trap 'echo end; exit 0' TERM; while :; do sleep 0.1; done";
    let container =
        json!({"image": image, "command": ["sh", "-c", script], "logConfiguration": log(json!({"max-size": "10m"}))});
    let arn = server.run_task("kept", container.clone());
    server.wait_task(&arn, "RUNNING");
    until("both lines are there", || {
        let text = printed(&server, &arn);
        (text.contains("one\n") && text.contains("two\n")).then_some(())
    });
    server.kill_and_restart();
    assert_eq!(
        server.logs("DescribeLogGroups", &json!({})).unwrap()["logGroups"],
        json!([]),
        "nothing of CloudWatch's"
    );
    let stray = server.home().join("data/logs/stray");
    std::fs::create_dir(&stray).unwrap();
    until("housekeeping has looked at it", || (!stray.exists()).then_some(()));
    assert!(printed(&server, &arn).contains("one\n"));
    server.ecs("StopTask", &json!({"task": arn})).unwrap();
    server.wait_task(&arn, "STOPPED");
    assert!(printed(&server, &arn).ends_with("end\n"), "{}", printed(&server, &arn));
    let logs = server.home().join("data/logs");
    until("the file goes with the task's record", || std::fs::read_dir(&logs).unwrap().next().is_none().then_some(()));
    for (options, words) in [
        (json!({"max-size": "much"}), "failed to initialize logging driver: invalid size: 'much'"),
        (json!({"max-size": "1m", "max-file": "0"}), "max-file cannot be less than 1"),
    ] {
        let arn = server.run_task("odd", with(&container, &json!({"logConfiguration": log(options)})));
        let task = server.wait_task(&arn, "STOPPED");
        let reason = task["stoppedReason"].as_str().unwrap_or_default();
        assert!(reason.starts_with("CannotCreateContainerError: ") && reason.contains(words), "{task}");
    }
    server
        .ecs(
            "RegisterTaskDefinition",
            &json!({"family": "labels", "containerDefinitions": [with(&container,
        &json!({"name": "main", "memory": 16, "logConfiguration": log(json!({"labels": "a"}))}))]}),
        )
        .unwrap();
    let refused = server.ecs("RunTask", &json!({"taskDefinition": "labels"}));
    assert_refused(refused, "UnsupportedFeatureException", "containerDefinitions[main].logConfiguration.options");
}

#[test]
fn a_json_file_keeps_the_newest_of_what_it_may_hold() {
    let server = Server::start();
    let image = server.busybox();
    let script = "i=0; while [ $i -lt 60000 ]; do echo \"line $i of a log that is longer than what is kept of it, by far\"; i=$((i+1)); done";
    let container = json!({"image": image, "command": ["sh", "-c", script],
        "logConfiguration": {"logDriver": "json-file", "options": {"max-size": "600k", "max-file": "2"}}});
    let arn = server.run_task("long", container);
    server.wait_task(&arn, "STOPPED");
    let text = printed(&server, &arn);
    assert!(text.len() > 200_000 && text.len() < 2_000_000, "{}", text.len());
    assert!(text.ends_with("line 59999 of a log that is longer than what is kept of it, by far\n"));
}

#[test]
fn what_a_container_without_a_driver_writes_is_kept_until_its_task_is_forgotten() {
    let mut server = Server::start_set(&["--housekeeping-secs", "1", "--stopped-task-secs", "3"]);
    let image = server.busybox();
    let script = "echo one; echo two >&2; trap 'echo end; exit 0' TERM; while :; do sleep 0.1; done";
    let container = json!({"image": image, "command": ["sh", "-c", script]});
    let on_fargate =
        json!({"networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512"});
    let run = json!({"launchType": "FARGATE", "networkConfiguration": server.network()});
    let arns =
        [server.run_task("bridged", container.clone()), server.run_task_with("fargate", container, &on_fargate, &run)];
    for arn in &arns {
        server.wait_task(arn, "RUNNING");
        until("both lines are there", || {
            let text = printed(&server, arn);
            (text.contains("one\n") && text.contains("two\n")).then_some(())
        });
    }
    server.kill_and_restart();
    let definition = server.ecs("DescribeTaskDefinition", &json!({"taskDefinition": "bridged"})).unwrap();
    let definition = &definition["taskDefinition"]["containerDefinitions"][0];
    assert_eq!(definition.get("logConfiguration"), None, "what was registered stays as it was");
    assert_eq!(server.logs("DescribeLogGroups", &json!({})).unwrap()["logGroups"], json!([]));
    for arn in &arns {
        server.ecs("StopTask", &json!({"task": arn})).unwrap();
        server.wait_task(arn, "STOPPED");
        let text = printed(&server, arn);
        assert!(text.contains("one\n") && text.ends_with("end\n"), "{text}");
    }
    let logs = server.home().join("data/logs");
    until("the logs go with the tasks' records", || std::fs::read_dir(&logs).unwrap().next().is_none().then_some(()));
    let gone = server.cove(&["logs", &arns[0]]);
    assert!(!gone.status.success() && String::from_utf8_lossy(&gone.stderr).contains("no task"), "{gone:?}");
}

#[test]
fn a_log_that_nobody_asked_for_is_cut_and_counts_for_the_node() {
    let server = Server::start_set(&["--housekeeping-secs", "1", "COVE_LOG_NODE_MAX_MIB=1"]);
    let image = server.busybox();
    // Several segments of the largest size.
    let line = "y".repeat(1000);
    let script = format!("yes {line} | head -n 20000; echo done; sleep 600");
    let arn = server.run_task("long", json!({"image": image, "command": ["sh", "-c", script]}));
    until("everything is written", || printed(&server, &arn).ends_with("done\n").then_some(()));
    let logs = server.home().join("data/logs");
    let kept = || -> u64 {
        let streams = std::fs::read_dir(&logs).unwrap().map(|stream| stream.unwrap().path());
        let segments = streams.flat_map(|stream| std::fs::read_dir(stream).unwrap());
        segments.filter_map(|segment| segment.unwrap().metadata().ok()).map(|about| about.len()).sum()
    };
    until("the oldest segments have gone", || (kept() < 9 << 20).then_some(()));
    assert!(printed(&server, &arn).ends_with("done\n"), "what is written now stays");
    server.ecs("StopTask", &json!({"task": arn})).unwrap();
    server.wait_task(&arn, "STOPPED");
    until("the rest has gone too", || (kept() <= 1 << 20).then_some(()));

    let small = Server::start_set(&["COVE_LOG_STREAM_MAX_MIB=1"]);
    let script = format!("yes {line} | head -n 20000; echo done");
    let arn = small.run_task("long", json!({"image": small.busybox(), "command": ["sh", "-c", script]}));
    small.wait_task(&arn, "STOPPED");
    let text = printed(&small, &arn);
    assert!(text.len() > 200_000 && text.len() < 2_000_000 && text.ends_with("done\n"), "{}", text.len());
}

#[test]
fn a_log_is_followed_over_a_restart_of_the_server() {
    let mut server = Server::start();
    let image = server.busybox();
    let script = "i=0; while [ ! -e /tmp/end ]; do echo line $i; i=$((i+1)); sleep 0.05; done; echo end";
    let arn = server.run_task("talks", json!({"image": image, "command": ["sh", "-c", script]}));
    server.wait_task(&arn, "RUNNING");
    let mut follower = server.follow(&["logs", "-f", &arn]);
    until("it has begun", || follower.said().0.contains("line 0\n").then_some(()));
    server.while_stopped(|_| {
        until("it says that the server is gone", || follower.said().1.contains("does not answer").then_some(()));
    });
    server.inside(&arn, "mkdir -p /tmp; touch /tmp/end");
    assert!(follower.ends(), "{:?}", follower.said());
    let (out, err) = follower.said();
    let lines: Vec<&str> = out.lines().collect();
    let expected: Vec<String> = (0..lines.len() - 1).map(|number| format!("line {number}")).collect();
    assert_eq!(lines[..lines.len() - 1], expected, "no line twice, none missing");
    assert_eq!((lines[lines.len() - 1], err.lines().count()), ("end", 1), "{err}");
}

#[test]
fn options_of_awslogs_that_ecs_disallows_are_refused_in_its_words() {
    let server = Server::start();
    let base = json!({"awslogs-group": "/g", "awslogs-region": "us-east-1"});
    for (options, words) in [
        (json!({"awslogs-endpoint": "http://x"}), "Log driver awslogs disallows options: awslogs-endpoint"),
        (json!({"tag": "x"}), "Log driver awslogs disallows options: tag"),
        (json!({"awslogs-stream": "x"}), "Log driver awslogs disallows options: awslogs-stream"),
        (
            json!({"awslogs-create-group": "false"}),
            "Log driver awslogs option 'awslogs-create-group' should only be set to 'true', else omit option.",
        ),
    ] {
        let container = json!({"name": "main", "image": "x", "memory": 16,
            "logConfiguration": {"logDriver": "awslogs", "options": with(&base, &options)}});
        let refused =
            server.ecs("RegisterTaskDefinition", &json!({"family": "f", "containerDefinitions": [container]}));
        assert_refused(refused, "ClientException", words);
    }
}

#[test]
fn retention_is_kept_and_checked() {
    let mut server = Server::start();
    server.logs("CreateLogGroup", &json!({"logGroupName": "g"})).unwrap();
    server.logs("PutRetentionPolicy", &json!({"logGroupName": "g", "retentionInDays": 7})).unwrap();
    let days = |server: &Server| {
        server.logs("DescribeLogGroups", &json!({})).unwrap()["logGroups"][0].get("retentionInDays").cloned()
    };
    server.kill_and_restart();
    assert_eq!(days(&server), Some(json!(7)));
    let odd = server.logs("PutRetentionPolicy", &json!({"logGroupName": "g", "retentionInDays": 8}));
    assert_refused(odd, "InvalidParameterException", "retentionInDays");
    server.logs("DeleteRetentionPolicy", &json!({"logGroupName": "g"})).unwrap();
    server.kill_and_restart();
    assert_eq!(days(&server), None);
}

#[test]
fn events_put_are_read_back() {
    let mut server = Server::start();
    server.logs("CreateLogGroup", &json!({"logGroupName": "g"})).unwrap();
    let stream = json!({"logGroupName": "g", "logStreamName": "s"});
    server.logs("CreateLogStream", &stream).unwrap();
    assert_refused(server.logs("CreateLogStream", &stream), "ResourceAlreadyExistsException", "");
    let now = now_millis();
    let put = |server: &Server, events: Value| {
        server.logs("PutLogEvents", &json!({"logGroupName": "g", "logStreamName": "s", "logEvents": events}))
    };
    let lines: Vec<Value> =
        (0..5).map(|n| json!({"timestamp": now - 10 + n, "message": format!("line {n}")})).collect();
    put(&server, json!(lines)).unwrap();
    let old = json!([{"timestamp": now - 15 * 86_400_000, "message": "old"}]);
    assert_eq!(put(&server, old).unwrap()["rejectedLogEventsInfo"]["tooOldLogEventEndIndex"], 1);
    let disorder = json!([{"timestamp": now, "message": "b"}, {"timestamp": now - 1, "message": "a"}]);
    assert_refused(put(&server, disorder), "InvalidParameterException", "chronological order");
    server.kill_and_restart();

    let get = |server: &Server, over: Value| {
        let input = with(&stream, &over);
        server.logs("GetLogEvents", &input).unwrap()
    };
    let all = get(&server, json!({"startFromHead": true}));
    assert_eq!(names(&all["events"], "message"), ["line 0", "line 1", "line 2", "line 3", "line 4"]);
    let first = get(&server, json!({"startFromHead": true, "limit": 2}));
    let second = get(&server, json!({"limit": 2, "nextToken": first["nextForwardToken"]}));
    assert_eq!(names(&second["events"], "message"), ["line 2", "line 3"]);
    let back = get(&server, json!({"limit": 2, "nextToken": second["nextBackwardToken"]}));
    assert_eq!(names(&back["events"], "message"), ["line 0", "line 1"]);
    let end = get(&server, json!({"nextToken": all["nextForwardToken"]}));
    assert_eq!(
        (&end["events"], &end["nextForwardToken"]),
        (&json!([]), &all["nextForwardToken"]),
        "the end repeats its token"
    );
    let window = get(&server, json!({"startFromHead": true, "startTime": now - 8, "endTime": now - 6}));
    assert_eq!(names(&window["events"], "message"), ["line 2", "line 3"]);
    assert_eq!(names(&get(&server, json!({"limit": 1}))["events"], "message"), ["line 4"], "the newest come first");

    let streams = server.logs("DescribeLogStreams", &json!({"logGroupName": "g"})).unwrap();
    assert_eq!(streams["logStreams"][0]["firstEventTimestamp"], now - 10);
    assert_eq!(streams["logStreams"][0]["lastEventTimestamp"], now - 6);
    server.logs("DeleteLogStream", &stream).unwrap();
    server.kill_and_restart();
    assert_refused(server.logs("GetLogEvents", &stream), "ResourceNotFoundException", "stream does not exist");
}

#[test]
fn filtering_finds_events_of_all_streams_in_order() {
    let mut server = Server::start();
    server.logs("CreateLogGroup", &json!({"logGroupName": "g"})).unwrap();
    let now = now_millis();
    for (offset, name) in [(0, "x"), (1, "y")] {
        server.logs("CreateLogStream", &json!({"logGroupName": "g", "logStreamName": name})).unwrap();
        let event =
            |n: i64| json!({"timestamp": now - 100 + 2 * n + offset, "message": format!("{name}{n} ERROR {{}}")});
        let events: Vec<Value> = (0..3).map(event).collect();
        server.logs("PutLogEvents", &json!({"logGroupName": "g", "logStreamName": name, "logEvents": events})).unwrap();
    }
    server.kill_and_restart();
    let filter = |over: Value| server.logs("FilterLogEvents", &with(&json!({"logGroupName": "g"}), &over)).unwrap();
    let heads = |found: &Value| -> Vec<String> {
        names(&found["events"], "message").iter().map(|text| text[..2].to_owned()).collect()
    };
    assert_eq!(heads(&filter(json!({}))), ["x0", "y0", "x1", "y1", "x2", "y2"]);
    assert_eq!(heads(&filter(json!({"filterPattern": "ERROR -x1 -y2"}))), ["x0", "y0", "y1", "x2"]);
    assert_eq!(heads(&filter(json!({"logStreamNames": ["y"]}))), ["y0", "y1", "y2"]);
    let first = filter(json!({"limit": 4}));
    let rest = filter(json!({"nextToken": first["nextToken"]}));
    assert_eq!([heads(&first), heads(&rest)].concat(), ["x0", "y0", "x1", "y1", "x2", "y2"]);
    assert_eq!(heads(&filter(json!({"startTime": now - 97, "endTime": now - 96}))), ["y1", "x2"]);
    let bad = server.logs("FilterLogEvents", &json!({"logGroupName": "g", "filterPattern": "{ $.a = "}));
    assert_refused(bad, "InvalidParameterException", "");
}

#[test]
fn log_group_tags_are_kept() {
    let mut server = Server::start();
    server.logs("CreateLogGroup", &json!({"logGroupName": "g", "tags": {"a": "1"}})).unwrap();
    let arn = "arn:aws:logs:us-east-1:000000000000:log-group:g";
    server.logs("TagResource", &json!({"resourceArn": arn, "tags": {"b": "2", "c": "3"}})).unwrap();
    server.logs("UntagResource", &json!({"resourceArn": arn, "tagKeys": ["a"]})).unwrap();
    server.logs("TagLogGroup", &json!({"logGroupName": "g", "tags": {"d": "4"}})).unwrap();
    server.logs("UntagLogGroup", &json!({"logGroupName": "g", "tags": ["b"]})).unwrap();
    server.kill_and_restart();
    let wanted = json!({"c": "3", "d": "4"});
    assert_eq!(server.logs("ListTagsForResource", &json!({"resourceArn": arn})).unwrap()["tags"], wanted);
    assert_eq!(server.logs("ListTagsLogGroup", &json!({"logGroupName": "g"})).unwrap()["tags"], wanted);
    let reserved = server.logs("TagResource", &json!({"resourceArn": arn, "tags": {"aws:x": "y"}}));
    assert_refused(reserved, "InvalidParameterException", "reserved");
    let foreign = "arn:aws:logs:eu-west-1:000000000000:log-group:g";
    assert_refused(
        server.logs("ListTagsForResource", &json!({"resourceArn": foreign})),
        "ResourceNotFoundException",
        "",
    );
}

#[test]
fn what_a_container_writes_is_read_while_it_runs_and_after_it_ended() {
    let mut server = Server::start();
    let image = server.busybox();
    let script = "i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done; echo err >&2; printf unfinished; until [ -e /end ]; do sleep 0.05; done";
    let options = json!({"awslogs-group": "/t", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p", "awslogs-create-group": "true"});
    let container = json!({"image": image, "command": ["sh", "-c", script],
        "logConfiguration": {"logDriver": "awslogs", "options": options}});
    let arn = server.run_task("writer", container);
    let stream = format!("p/main/{}", arn.rsplit('/').next().unwrap());
    let read = |server: &Server| {
        let input = json!({"logGroupName": "/t", "logStreamName": stream, "startFromHead": true});
        names(&server.logs("GetLogEvents", &input).unwrap()["events"], "message")
    };
    until("the lines are there while it runs", || (read(&server).len() >= 201).then_some(()));
    server.kill_and_restart();
    server.inside(&arn, "touch /end");
    server.wait_task(&arn, "STOPPED");
    let lines = read(&server);
    let numbered: Vec<&String> = lines.iter().filter(|line| line.starts_with("line ")).collect();
    let wanted: Vec<String> = (0..200).map(|n| format!("line {n}")).collect();
    assert!(
        numbered.iter().zip(&wanted).all(|(got, wanted)| *got == wanted) && numbered.len() == 200,
        "none missing, none twice"
    );
    assert!(lines.contains(&"err".to_owned()) && lines.contains(&"unfinished".to_owned()), "{:?}", &lines[195..]);
    let shown = server.cove(&["logs", &arn]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("line 199"), "{shown:?}");
    let foreign = json!([{"timestamp": now_millis(), "message": "mine"}]);
    let _ = server.logs("PutLogEvents", &json!({"logGroupName": "/t", "logStreamName": stream, "logEvents": foreign}));
}

#[test]
fn a_log_group_that_is_missing_stops_the_task_in_the_words_of_where_it_runs() {
    let server = Server::start();
    let options = json!({"awslogs-group": "/none", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"});
    let container = json!({"image": server.busybox(), "command": ["true"],
        "logConfiguration": {"logDriver": "awslogs", "options": options}});
    let on_docker = server.wait_task(&server.run_task("docker", container.clone()), "STOPPED");
    assert_eq!(on_docker["stopCode"], "TaskFailedToStart");
    let reason = on_docker["containers"][0]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("CannotStartContainerError: Error response from daemon: failed to initialize"),
        "{reason}"
    );
    let fargate = json!({"networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256",
        "memory": "512", "executionRoleArn": "ecsTaskExecutionRole"});
    let run = json!({"launchType": "FARGATE", "networkConfiguration": server.network()});
    let on_fargate = server.wait_task(&server.run_task_with("fargate", container, &fargate, &run), "STOPPED");
    let reason = on_fargate["stoppedReason"].as_str().unwrap();
    assert!(reason.starts_with("ResourceInitializationError: failed to validate logger args: "), "{reason}");
    assert_eq!(on_fargate["stopCode"], "TaskFailedToStart");
}
