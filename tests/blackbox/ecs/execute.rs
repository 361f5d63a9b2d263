//! ExecuteCommand, and the terminal session behind it as the session-manager-plugin opens it.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::WAITING;
use crate::server::{PATIENCE, Server, assert_refused};

/// Payload types of the data channel.
const OUTPUT: u32 = 1;
const SIZE: u32 = 3;
const HANDSHAKE_REQUEST: u32 = 5;
const HANDSHAKE_RESPONSE: u32 = 6;

/// A client of one session: acknowledges what it gets.
struct Client {
    stream: TcpStream,
    sequence: i64,
    /// Output by sequence number; what is said again is heard once.
    heard: std::collections::BTreeMap<i64, Vec<u8>>,
    closed: bool,
}

impl Client {
    fn open(session: &Value) -> Self {
        let url = session["streamUrl"].as_str().unwrap();
        let (host, path) = url.strip_prefix("ws://").unwrap().split_once('/').unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
        let mut client = Self { stream, sequence: 0, heard: Default::default(), closed: false };
        let opening = json!({"MessageSchemaVersion": "1.0", "RequestId": "r", "TokenValue": session["tokenValue"],
            "ClientId": "c", "ClientVersion": "1.2"});
        client.frame(1, opening.to_string().as_bytes());
        client
    }

    /// One frame, masked with zeros.
    fn frame(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | opcode, 0x80 | 126];
        frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(payload);
        self.stream.write_all(&frame).unwrap();
    }

    fn message(&mut self, kind: &str, sequence: i64, payload_type: u32, payload: &[u8]) {
        let mut bytes = 116_u32.to_be_bytes().to_vec();
        bytes.extend(format!("{kind:<32}").bytes());
        bytes.extend(1_u32.to_be_bytes());
        bytes.extend(1_u64.to_be_bytes());
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(0_u64.to_be_bytes());
        bytes.extend([7; 16]);
        bytes.extend(Sha256::digest(payload));
        bytes.extend(payload_type.to_be_bytes());
        bytes.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
        bytes.extend(payload);
        self.frame(2, &bytes);
    }

    fn say(&mut self, payload_type: u32, payload: &[u8]) {
        let sequence = self.sequence;
        self.sequence += 1;
        self.message("input_stream_data", sequence, payload_type, payload);
    }

    /// Takes one frame of the server's.
    fn take(&mut self) {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).unwrap();
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.stream.read_exact(&mut length).unwrap();
                usize::from(u16::from_be_bytes(length))
            }
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).unwrap();
        if head[0] & 15 != 2 {
            return;
        }
        let kind = String::from_utf8(payload[4..36].to_vec()).unwrap();
        match kind.trim() {
            "output_stream_data" => {
                let sequence = i64::from_be_bytes(payload[48..56].try_into().unwrap());
                let acknowledgement = json!({"AcknowledgedMessageType": "output_stream_data",
                    "AcknowledgedMessageSequenceNumber": sequence, "IsSequentialMessage": true});
                self.message("acknowledge", 0, 0, acknowledgement.to_string().as_bytes());
                let payload_type = u32::from_be_bytes(payload[112..116].try_into().unwrap());
                if payload_type == HANDSHAKE_REQUEST && self.sequence == 0 {
                    self.say(HANDSHAKE_RESPONSE, b"{\"ClientVersion\": \"1.2\"}");
                }
                if payload_type == OUTPUT {
                    self.heard.insert(sequence, payload[120..].to_vec());
                }
            }
            "channel_closed" => self.closed = true,
            "acknowledge" => {}
            other => panic!("an unknown message {other}"),
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.heard.values().flatten().copied().collect::<Vec<_>>()).into_owned()
    }

    /// Listens until it is said.
    fn hear(&mut self, wanted: &str) {
        while !self.text().contains(wanted) {
            assert!(!self.closed, "closed before `{wanted}`: {}", self.text());
            self.take();
        }
    }

    fn hear_the_end(&mut self) {
        while !self.closed {
            self.take();
        }
    }
}

fn session(server: &Server, task: &str, command: &str) -> Value {
    let input = json!({"task": task, "command": command, "interactive": true});
    server.ecs("ExecuteCommand", &input).unwrap()
}

pub(crate) fn start(server: &Server) -> String {
    let container = json!({"name": "main", "image": server.busybox(), "command": ["sh", "-c", WAITING], "memory": 32});
    let definition = json!({"family": "exec", "containerDefinitions": [container]});
    let task = server.run_definition(&definition, &json!({"enableExecuteCommand": true}));
    server.wait_task(&task, "RUNNING");
    task
}

#[test]
fn a_command_is_executed_in_a_terminal_session() {
    let mut server = Server::start();
    let task = start(&server);
    server.kill_and_restart();
    let shown = server.describe_task(&task);
    assert_eq!(shown["enableExecuteCommand"], true);
    let agent = &shown["containers"][0]["managedAgents"][0];
    assert_eq!((&agent["name"], &agent["lastStatus"]), (&json!("ExecuteCommandAgent"), &json!("RUNNING")));

    let made = session(&server, &task, "sh");
    assert_eq!(made["containerArn"], shown["containers"][0]["containerArn"]);
    let mut client = Client::open(&made["session"]);
    client.hear("#");
    client.say(SIZE, br#"{"cols":100,"rows":30}"#);
    client.say(OUTPUT, b"stty size; echo $TERM\n");
    client.hear("30 100");
    client.hear("xterm-256color");
    // The shell has let go of the terminal's keys when the command speaks.
    client.say(OUTPUT, b"echo asl''eep; sleep 1000\n");
    client.hear("asleep");
    client.say(OUTPUT, b"\x03");
    client.say(OUTPUT, b"echo $((6 * 7)) by $(id -u)\n");
    client.hear("42 by 0");
    client.say(OUTPUT, b"exit\n");
    client.hear_the_end();

    let mut client = Client::open(&session(&server, &task, "sh -c 'seq 1 20000; echo the end'")["session"]);
    client.hear("the end");
    client.hear_the_end();
    assert!(client.text().contains("\n19999\r\n20000\r\nthe end"), "nothing is lost");

    let mut client = Client::open(&session(&server, &task, "no-such-program")["session"]);
    client.hear("no-such-program");
    client.hear_the_end();
}

#[test]
fn commands_that_cannot_be_executed_are_refused() {
    let mut server = Server::start();
    let task = start(&server);
    let refused = |server: &Server, over: Value, code: &str, text: &str| {
        let input = json!({"task": task, "command": "sh", "interactive": true});
        assert_refused(server.ecs("ExecuteCommand", &crate::server::with(&input, &over)), code, text);
    };
    let invalid = "InvalidParameterException";
    refused(&server, json!({"interactive": false}), invalid, "Interactive is the only mode supported currently.");
    refused(&server, json!({"cluster": "nowhere", "task": "0".repeat(32)}), "ClusterNotFoundException", "");
    refused(&server, json!({"task": "0".repeat(32)}), invalid, "The referenced task was not found.");
    refused(&server, json!({"container": "other"}), invalid, "no container named other");
    refused(&server, json!({"command": "sh -c 'open"}), invalid, "quotation mark");
    let plain = server.run_task("plain", json!({"image": server.busybox(), "command": ["sh", "-c", WAITING]}));
    server.wait_task(&plain, "RUNNING");
    refused(&server, json!({"task": plain}), invalid, "execute command was not enabled when the task was run");
    server.ecs("StopTask", &json!({"task": task})).unwrap();
    server.wait_task(&task, "STOPPED");
    refused(&server, json!({}), invalid, "the execute command agent isn’t running");

    let other = start(&server);
    let made = session(&server, &other, "sh");
    let path = made["session"]["streamUrl"].as_str().unwrap().split_once("/v1/").unwrap().1.to_owned();
    let upgrade = [("upgrade", "websocket"), ("sec-websocket-key", "x")];
    let (status, _) = server.request("GET", "/v1/data-channel/none", &upgrade, b"");
    assert_eq!(status, 404);
    server.kill_and_restart();
    let (status, _) = server.request("GET", &format!("/v1/{path}"), &upgrade, b"");
    assert_eq!(status, 404, "a session ends with its server");
}

/// A command in a session of its own: the session, and what it said until its end.
pub(crate) fn run(server: &Server, task: &str, command: &str) -> (Value, String) {
    let made = session(server, task, command);
    let mut client = Client::open(&made["session"]);
    client.hear_the_end();
    (made["session"].clone(), client.text())
}

/// The lines of a session's log, when it has one.
pub(crate) fn logged(server: &Server, group: &str, session: &Value) -> Vec<String> {
    let wanted = json!({"logGroupName": group, "logStreamName": session["sessionId"], "startFromHead": true});
    let Ok(page) = server.logs("GetLogEvents", &wanted) else { return Vec::new() };
    page["events"].as_array().unwrap().iter().map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_session_is_logged_where_its_cluster_says() {
    let mut server = Server::start();
    for group in ["own", "audit"] {
        server.logs("CreateLogGroup", &json!({"logGroupName": group})).unwrap();
    }
    let options = json!({"awslogs-group": "own", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"});
    let container = json!({"name": "main", "image": server.busybox(), "command": ["sh", "-c", WAITING], "memory": 32,
        "logConfiguration": {"logDriver": "awslogs", "options": options}});
    let definition = json!({"family": "exec", "containerDefinitions": [container]});
    let task = server.run_definition(&definition, &json!({"enableExecuteCommand": true}));
    server.wait_task(&task, "RUNNING");
    let run = |server: &Server, command: &str| run(server, &task, command);
    let configure = |server: &Server, exec: Value| {
        let configuration = json!({"executeCommandConfiguration": exec});
        server.ecs("UpdateCluster", &json!({"cluster": "default", "configuration": configuration}))
    };
    let audited = |group: &str| json!({"logging": "OVERRIDE", "logConfiguration": {"cloudWatchLogGroupName": group}});

    let (by_default, _) = run(&server, "sh -c 'echo one; printf two'");
    assert_eq!(logged(&server, "own", &by_default), ["one", "two"], "where the container's own log is");
    configure(&server, audited("audit")).unwrap();
    server.kill_and_restart();
    let (of_cluster, _) = run(&server, "sh -c 'seq 1 5000'");
    let lines = logged(&server, "audit", &of_cluster);
    assert_eq!((lines.len(), lines[0].as_str(), lines[4999].as_str()), (5000, "1", "5000"), "all of it, in order");
    assert_eq!(logged(&server, "own", &of_cluster), Vec::<String>::new());

    configure(&server, audited("nowhere")).unwrap();
    let (_, text) = run(&server, "echo unseen");
    assert!(text.contains("the log group nowhere does not exist") && !text.contains("unseen"), "{text}");
    configure(&server, json!({"logging": "NONE"})).unwrap();
    let (silent, text) = run(&server, "echo seen");
    assert!(text.contains("seen") && logged(&server, "own", &silent).is_empty());

    let invalid = "InvalidParameterException";
    let both = json!({"logging": "NONE", "logConfiguration": {"cloudWatchLogGroupName": "audit"}});
    assert_refused(configure(&server, both), invalid, "You must set logging to 'OVERRIDE'");
    assert_refused(configure(&server, json!({"kmsKeyId": "k"})), invalid, "does not carry out: kmsKeyId");
}
