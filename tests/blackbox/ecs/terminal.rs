//! Containers with a terminal.

use serde_json::{Value, json};

use super::WAITING;
use crate::server::{Server, until, with};

/// A container whose output goes to the stream `p/main/TASK` of the group `/tty`.
fn logged(server: &Server, script: &str) -> Value {
    let options = json!({"awslogs-group": "/tty", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p",
        "awslogs-create-group": "true"});
    json!({"image": server.busybox(), "command": ["sh", "-c", script], "pseudoTerminal": true,
        "logConfiguration": {"logDriver": "awslogs", "options": options}})
}

fn messages(server: &Server, arn: &str) -> Vec<String> {
    let stream = format!("p/main/{}", arn.rsplit('/').next().unwrap());
    let input = json!({"logGroupName": "/tty", "logStreamName": stream, "startFromHead": true});
    let events = server.logs("GetLogEvents", &input).unwrap();
    events["events"].as_array().unwrap().iter().map(|it| it["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_container_has_a_terminal_as_its_console_and_what_it_says_is_logged() {
    let mut server = Server::start();
    let script = format!("echo out; echo err >&2; tty; test -t 0 && test -t 1 && test -t 2 && echo all; {WAITING}");
    let arn = server.run_task("tty", logged(&server, &script));
    server.wait_task(&arn, "RUNNING");
    // The terminal ends lines as terminals do, and the log has what it said, as Docker's has.
    let said = ["out\r", "err\r", "/dev/pts/0\r", "all\r"];
    until("everything is logged", || (messages(&server, &arn) == said).then_some(()));
    let looked = server.inside(&arn, "echo $TERM; stat -c %t:%T /dev/console /dev/pts/0; ls -l /proc/1/fd/0");
    assert!(looked.starts_with("xterm\n88:0\n88:0\n") && looked.trim_end().ends_with("/dev/pts/0"), "{looked}");
    // The terminal is the shim's, so it outlives the server.
    server.kill_and_restart();
    server.inside(&arn, "echo again > /dev/console");
    until("what is said later is logged too", || messages(&server, &arn).contains(&"again\r".to_owned()).then_some(()));
    server.ecs("StopTask", &json!({"task": arn})).unwrap();
    assert_eq!(server.wait_task(&arn, "STOPPED")["containers"][0]["exitCode"], 0);
}

#[test]
fn a_shell_on_a_terminal_waits_for_input_whoever_it_runs_as_and_the_terminal_is_its_own() {
    let server = Server::start();
    let base = logged(&server, "");
    let shell = json!({"command": ["sh"]});
    for (family, over) in [("one", json!({"interactive": true})), ("two", json!({"user": "1000"}))] {
        let arn = server.run_task(family, with(&with(&base, &shell), &over));
        server.wait_task(&arn, "RUNNING");
        let owner = server.inside(&arn, "stat -c %u /dev/pts/0; echo seen > /dev/pts/0");
        assert_eq!(owner.trim(), if family == "one" { "0" } else { "1000" });
        until("what is written there is logged", || {
            messages(&server, &arn).iter().any(|line| line.ends_with("seen\r")).then_some(())
        });
        assert_eq!(server.describe_task(&arn)["lastStatus"], "RUNNING");
        server.ecs("StopTask", &json!({"task": arn})).unwrap();
        server.wait_task(&arn, "STOPPED");
    }
}

#[test]
fn much_output_of_a_terminal_is_logged_to_the_end() {
    let server = Server::start();
    let script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; printf end";
    let arn = server.run_task("much", logged(&server, script));
    server.wait_task(&arn, "STOPPED");
    let stream = format!("p/main/{}", arn.rsplit('/').next().unwrap());
    let input = json!({"logGroupName": "/tty", "logStreamName": stream, "limit": 2});
    let last = server.logs("GetLogEvents", &input).unwrap();
    assert_eq!((&last["events"][0]["message"], &last["events"][1]["message"]), (&json!("line 19999\r"), &json!("end")));
}
