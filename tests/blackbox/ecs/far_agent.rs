//! An ECS agent of another host, as far as the server sees it: what it registers, and the messages of its web sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::protocol::{Message, Role};
use tungstenite::{Error, WebSocket};

use crate::server::{PATIENCE, Server};
use crate::sign::Key;

/// What agents of today can do, as far as plain tasks ask for it.
const CAPABILITIES: &[&str] = &[
    "com.amazonaws.ecs.capability.docker-remote-api.1.17",
    "com.amazonaws.ecs.capability.docker-remote-api.1.18",
    "com.amazonaws.ecs.capability.docker-remote-api.1.19",
    "com.amazonaws.ecs.capability.docker-remote-api.1.21",
    "com.amazonaws.ecs.capability.docker-remote-api.1.22",
    "com.amazonaws.ecs.capability.docker-remote-api.1.24",
    "com.amazonaws.ecs.capability.docker-remote-api.1.25",
    "com.amazonaws.ecs.capability.docker-remote-api.1.29",
    "com.amazonaws.ecs.capability.ecr-auth",
    "com.amazonaws.ecs.capability.logging-driver.awslogs",
    "com.amazonaws.ecs.capability.task-iam-role",
    "com.amazonaws.ecs.capability.task-iam-role-network-host",
    "ecs.capability.container-health-check",
    "ecs.capability.container-ordering",
    "ecs.capability.execution-role-awslogs",
    "ecs.capability.execution-role-ecr-pull",
    "ecs.capability.task-eni",
];

/// A connection of an agent.
pub(crate) struct Agent {
    socket: WebSocket<TcpStream>,
}

/// Registers a host of 2 vCPU and 4000 MiB; its ARN.
pub(crate) fn register(server: &Server, over: &Value) -> String {
    let integer = |name: &str, value: i64| json!({"name": name, "type": "INTEGER", "integerValue": value});
    let ports = json!({"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22", "51678"]});
    let mut attributes: Vec<Value> = CAPABILITIES.iter().map(|name| json!({"name": name})).collect();
    attributes.push(json!({"name": "rack", "value": "far"}));
    attributes.extend(over["attributes"].as_array().cloned().unwrap_or_default());
    let far = json!({"totalResources": [integer("CPU", 2048), integer("MEMORY", 4000), ports],
        "versionInfo": {"agentVersion": "1.105.1", "agentHash": "0", "dockerVersion": "DockerVersion: 28"},
        "attributes": attributes});
    let made = server.ecs("RegisterContainerInstance", &far).unwrap();
    made["containerInstance"]["containerInstanceArn"].as_str().unwrap().to_owned()
}

/// The query of an agent that polls for work, its names in order.
pub(crate) fn work_query(instance: &str, wants_credentials: bool) -> String {
    let instance = instance.replace(':', "%3A").replace('/', "%2F");
    format!(
        "/ws?agentHash=0&agentVersion=1.105.1&clusterArn=default&containerInstanceArn={instance}&protocolVersion=2&sendCredentials={wants_credentials}&seqNum=1"
    )
}

/// That of one that reports measurements.
pub(crate) fn telemetry_query(instance: &str) -> String {
    let instance = instance.replace(':', "%3A").replace('/', "%2F");
    format!("/telemetry/ws?agentHash=0&agentVersion=1.105.1&cluster=default&containerInstance={instance}")
}

impl Agent {
    /// Connects for work.
    pub(crate) fn connect(server: &Server, instance: &str) -> Self {
        Self::open(server, &work_query(instance, false), None).unwrap_or_else(|refused| panic!("refused: {refused:?}"))
    }

    /// Upgrades a connection; what the server said instead.
    pub(crate) fn open(server: &Server, path: &str, key: Option<&Key>) -> Result<Self, (u16, Value)> {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = format!(
            "GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            server.port
        );
        if let Some(key) = key {
            for (name, value) in server.signature_headers(key, "ecs", "GET", path, b"") {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        let mut said = Vec::new();
        let mut byte = [0];
        while !said.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            said.push(byte[0]);
        }
        let said = String::from_utf8(said).unwrap().to_ascii_lowercase();
        let status: u16 = said.split(' ').nth(1).unwrap().parse().unwrap();
        if status == 101 {
            assert!(said.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{said}");
            return Ok(Self { socket: WebSocket::from_raw_socket(stream, Role::Client, None) });
        }
        let length = said.split("content-length: ").nth(1).unwrap().split('\r').next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        Err((status, serde_json::from_slice(&body).unwrap()))
    }

    /// The next message of that type; others are passed over.
    pub(crate) fn next(&mut self, kind: &str) -> Value {
        self.within(kind, PATIENCE).unwrap_or_else(|| panic!("no {kind} in time"))
    }

    /// The same, if one comes within that time.
    pub(crate) fn within(&mut self, kind: &str, time: Duration) -> Option<Value> {
        let deadline = Instant::now() + time;
        while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.socket.get_ref().set_read_timeout(Some(left)).unwrap();
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    let mut message: Value = serde_json::from_str(text.as_str()).unwrap();
                    if message["type"] == kind {
                        return Some(message["message"].take());
                    }
                }
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
                Err(error) => panic!("{kind}: {error}"),
            }
        }
        None
    }

    /// Reads until the server has closed the connection; the types of what it said before.
    pub(crate) fn until_closed(&mut self) -> Vec<String> {
        self.socket.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        let mut kinds = Vec::new();
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    let message: Value = serde_json::from_str(text.as_str()).unwrap();
                    kinds.push(message["type"].as_str().unwrap().to_owned());
                }
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("still open"),
                Err(_) => return kinds,
            }
        }
    }

    pub(crate) fn say(&mut self, kind: &str, message: &Value) {
        self.raw(&json!({"type": kind, "message": message}).to_string());
    }

    /// Any text.
    pub(crate) fn raw(&mut self, text: &str) {
        // The server may have left already.
        let _ = self.socket.send(Message::text(text));
    }

    /// The one task of the next payload, which is acknowledged.
    pub(crate) fn take(&mut self) -> Value {
        let payload = self.next("PayloadMessage");
        let (cluster, instance) = (&payload["clusterArn"], &payload["containerInstanceArn"]);
        let acknowledged =
            json!({"cluster": cluster, "containerInstance": instance, "messageId": payload["messageId"]});
        self.say("AckRequest", &acknowledged);
        payload["tasks"][0].clone()
    }
}

/// Says what became of a task and its container `main`.
pub(crate) fn submit(server: &Server, task: &Value, status: &str, container: &Value) -> Value {
    let main = crate::server::with(&json!({"containerName": "main", "status": status}), container);
    let report = json!({"task": task, "status": status, "containers": [main]});
    server.ecs("SubmitTaskStateChange", &report).unwrap()
}
