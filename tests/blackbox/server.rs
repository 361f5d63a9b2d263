//! A server for one test, and the few words that tests use.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running `cove serve --dev`. Dropped: everything of its node is removed, also after a panic.
pub(crate) struct Server {
    child: Child,
    node: String,
    home: tempfile::TempDir,
    pub(crate) port: u16,
}

/// An AWS error: code and message.
pub(crate) type AwsError = (String, String);

impl Server {
    /// Starts a server with an empty store.
    pub(crate) fn start() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // SAFETY: geteuid has no preconditions and cannot fail.
        let root = unsafe { libc::geteuid() } == 0;
        assert!(root, "black-box tests start containers: run them as root");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let node = format!("b{:x}{number}", std::process::id());
        let home = tempfile::Builder::new().prefix("cove-test-").tempdir_in("/var/tmp").unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = spawn(&node, home.path(), port);
        Self { child, node, home, port }
    }

    /// SIGKILL, then a new start on the same state.
    pub(crate) fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(&self.node, self.home.path(), self.port);
    }

    pub(crate) fn ecs(&self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        self.json("AmazonEC2ContainerServiceV20141113", operation, input)
    }

    pub(crate) fn ecr(&self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        self.json("AmazonEC2ContainerRegistry_V20150921", operation, input)
    }

    pub(crate) fn logs(&self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        self.json("Logs_20140328", operation, input)
    }

    /// A query-protocol call; the XML text of the answer and whether it succeeded.
    pub(crate) fn query(&self, service: &str, version: &str, parameters: &[(&str, &str)]) -> (u16, String) {
        let mut body = form(&[("Version", version)]);
        for pair in parameters {
            body.push('&');
            body.push_str(&form(&[*pair]));
        }
        // Unsigned requests cannot name a service but by the credential scope.
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=00"
        );
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", scope.as_str())];
        let (status, body) = self.request("POST", "/", &headers, body.as_bytes());
        (status, String::from_utf8(body).unwrap())
    }

    fn json(&self, target: &str, operation: &str, input: &Value) -> Result<Value, AwsError> {
        let target = format!("{target}.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let (status, body) = self.request("POST", "/", &headers, input.to_string().as_bytes());
        let answer: Value = if body.is_empty() { json!({}) } else { serde_json::from_slice(&body).unwrap() };
        assert!(status < 500, "{operation} answered {status}: {answer}");
        if status == 200 {
            return Ok(answer);
        }
        let code = answer["__type"].as_str().unwrap_or_default().rsplit('#').next().unwrap_or_default().to_owned();
        let message = answer["message"].as_str().or(answer["Message"].as_str()).unwrap_or_default().to_owned();
        Err((code, message))
    }

    /// One request on a connection of its own.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\n", self.port);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut length = None;
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse::<usize>().ok();
            }
        }
        let mut answer = Vec::new();
        match length {
            Some(length) => {
                answer.resize(length, 0);
                reader.read_exact(&mut answer).unwrap();
            }
            None => drop(reader.read_to_end(&mut answer).unwrap()),
        }
        (status, answer)
    }

    /// Makes a repository that holds the busybox test image; its reference.
    pub(crate) fn busybox(&self) -> String {
        let image = busybox_archive();
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        let loaded = Command::new(env!("CARGO_BIN_EXE_cove"))
            .args(["--endpoint", &endpoint, "image", "load", "--name", "busybox:1"])
            .arg(image)
            .output()
            .unwrap();
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
        format!("127.0.0.1:{}/busybox:1", self.port)
    }

    /// Registers a one-container definition under the family `name` and starts one task of it; its ARN.
    pub(crate) fn run_task(&self, name: &str, container: Value) -> String {
        let mut container = container;
        container["name"] = json!("main");
        if container.get("memory").is_none() {
            container["memory"] = json!(32);
        }
        self.ecs("RegisterTaskDefinition", &json!({"family": name, "containerDefinitions": [container]})).unwrap();
        let answer = self.ecs("RunTask", &json!({"taskDefinition": name})).unwrap();
        answer["tasks"][0]["taskArn"].as_str().unwrap_or_else(|| panic!("not placed: {answer}")).to_owned()
    }

    pub(crate) fn describe_task(&self, arn: &str) -> Value {
        self.ecs("DescribeTasks", &json!({"tasks": [arn]})).unwrap()["tasks"][0].clone()
    }

    /// Waits until the task shows that status.
    pub(crate) fn wait_task(&self, arn: &str, status: &str) -> Value {
        until(&format!("{arn} {status}"), || Some(self.describe_task(arn)).filter(|task| task["lastStatus"] == status))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let down = Command::new(env!("CARGO_BIN_EXE_cove"))
            .args(["serve", "--down", "--node", &self.node, "--data-dir"])
            .arg(self.home.path().join("data"))
            .arg("--run-dir")
            .arg(self.home.path().join("run"))
            .output();
        match down {
            Ok(done) if done.status.success() => {}
            other if std::thread::panicking() => eprintln!("clean-up failed too: {other:?}"),
            other => panic!("clean-up failed: {other:?}"),
        }
    }
}

fn spawn(node: &str, home: &std::path::Path, port: u16) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(home.join("server.log")).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_cove"))
        .args(["serve", "--dev", "--node", node, "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
        .arg(home.join("data"))
        .arg("--run-dir")
        .arg(home.join("run"))
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let log = std::fs::read_to_string(home.join("server.log")).unwrap_or_default();
    assert!(line.starts_with("cove: ready on"), "{line}{log}");
    child
}

/// Waits for a condition with a deadline.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(got) = condition() {
            return got;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn form(pairs: &[(&str, &str)]) -> String {
    let encode = |text: &str| -> String {
        text.bytes()
            .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect()
    };
    pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}

/// The busybox test image, made once per run.
fn busybox_archive() -> PathBuf {
    static MADE: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    MADE.get_or_init(|| {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let path = root.join("target/image-busybox-blackbox.tar");
        let partial = path.with_extension(format!("{}", std::process::id()));
        let made =
            Command::new("python3").arg(root.join("images/build.py")).arg("busybox").arg(&partial).status().unwrap();
        assert!(made.success());
        std::fs::rename(&partial, &path).unwrap();
        path
    })
    .clone()
}
