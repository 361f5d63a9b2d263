//! A server for one test, and the few words that tests use.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Beside the server's directories, when a test wants something.
const CONFIG_FILE: &str = "cove.toml";

/// A running `cove serve --dev`. Dropped: everything of its node is removed, also after a panic.
pub(crate) struct Server {
    child: Child,
    pub(crate) node: String,
    home: tempfile::TempDir,
    keys: Keys,
    settings: Vec<String>,
    pub(crate) port: u16,
}

/// Whose requests the server takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// Anybody's: `--dev`.
    Any,
    /// Only those signed with a known key.
    Known,
}

/// An HTTP answer; names of headers in lower case.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// An AWS error: code and message.
pub(crate) type AwsError = (String, String);

impl Server {
    /// Starts a server with an empty store, which takes any credentials.
    pub(crate) fn start() -> Self {
        Self::start_with(Keys::Any, &[])
    }

    /// Starts a server that checks signatures.
    pub(crate) fn start_strict() -> Self {
        Self::start_with(Keys::Known, &[])
    }

    /// Starts a server that takes any credentials, with these settings: flags, or variables as `NAME=value`.
    pub(crate) fn start_set(settings: &[&str]) -> Self {
        Self::start_with(Keys::Any, settings)
    }

    /// Starts a server in a home that was prepared before.
    pub(crate) fn start_in(prepare: impl FnOnce(&Path)) -> Self {
        Self::prepared(Keys::Any, &[], prepare)
    }

    /// Starts a server with a config file.
    pub(crate) fn start_configured(config: &str) -> Self {
        Self::start_in(|home| std::fs::write(home.join(CONFIG_FILE), config).unwrap())
    }

    fn start_with(keys: Keys, settings: &[&str]) -> Self {
        Self::prepared(keys, settings, |_| {})
    }

    fn prepared(keys: Keys, settings: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // SAFETY: geteuid has no preconditions and cannot fail.
        let root = unsafe { libc::geteuid() } == 0;
        assert!(root, "black-box tests start containers: run them as root");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let node = format!("b{:x}{number}", std::process::id());
        let home = tempfile::Builder::new().prefix("cove-test-").tempdir_in("/var/tmp").unwrap();
        prepare(home.path());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        let child = spawn(&node, home.path(), port, keys, &settings);
        Self { child, node, home, keys, settings, port }
    }

    /// SIGTERM; the exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        let sent = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap().code()
    }

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, then a new start on the same state.
    pub(crate) fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(&self.node, self.home.path(), self.port, self.keys, &self.settings);
    }

    /// SIGKILL, some work on the data directory, then a new start on what it left.
    pub(crate) fn while_stopped(&mut self, work: impl FnOnce(&Path)) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        work(&self.home.path().join("data"));
        self.child = spawn(&self.node, self.home.path(), self.port, self.keys, &self.settings);
    }

    /// SIGKILL, then a new start with another config file.
    pub(crate) fn restart_configured(&mut self, config: &str) {
        std::fs::write(self.home.path().join(CONFIG_FILE), config).unwrap();
        self.kill_and_restart();
    }

    /// A directory of the test, beside the server's own.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
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

    pub(crate) fn events(&self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        self.json("AWSEvents", operation, input)
    }

    pub(crate) fn secrets(&self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        self.json("secretsmanager", operation, input)
    }

    /// CloudWatch, in JSON.
    pub(crate) fn monitoring(&self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        self.json("GraniteServiceVersion20100801", operation, input)
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
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("authorization", scope.as_str()),
            ("x-amz-date", "20260101T000000Z"),
        ];
        let (status, body) = self.request("POST", "/", &headers, body.as_bytes());
        (status, String::from_utf8(body).unwrap())
    }

    /// ECR in another account or region.
    pub(crate) fn ecr_as(
        &self,
        account: &str,
        region: &str,
        operation: &str,
        input: &Value,
    ) -> Result<Value, AwsError> {
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential={account}/20260101/{region}/ecr/aws4_request, SignedHeaders=host, Signature=00"
        );
        let who = [("authorization", scope.as_str()), ("x-amz-date", "20260101T000000Z")];
        self.json_with(&who, "AmazonEC2ContainerRegistry_V20150921", operation, input)
    }

    fn json(&self, target: &str, operation: &str, input: &Value) -> Result<Value, AwsError> {
        self.json_with(&[], target, operation, input)
    }

    fn json_with(&self, who: &[(&str, &str)], target: &str, operation: &str, input: &Value) -> Result<Value, AwsError> {
        let target = format!("{target}.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let headers = [&headers[..], who].concat();
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
        let answer = self.exchange(method, path, headers, body);
        (answer.status, answer.body)
    }

    /// The same with the headers of the answer. A `host` among the headers replaces the server's own.
    pub(crate) fn exchange(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            head.push_str(&format!("host: 127.0.0.1:{}\r\n", self.port));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        stream.write_all(head.as_bytes()).unwrap();
        // A server that refuses early may close before it has read everything; its answer is still there.
        let _ = stream.write_all(body);
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut length = (method == "HEAD").then_some(0);
        let mut headers = Vec::new();
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            if name.eq_ignore_ascii_case("content-length") && length.is_none() {
                length = value.trim().parse::<usize>().ok();
            }
        }
        let mut body = Vec::new();
        match length {
            Some(length) => {
                body.resize(length, 0);
                reader.read_exact(&mut body).unwrap();
            }
            None => drop(reader.read_to_end(&mut body).unwrap()),
        }
        Answer { status, headers, body }
    }

    /// Runs a verb of the command line.
    pub(crate) fn cove(&self, args: &[&str]) -> Output {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        let keys = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
        let mut command = Command::new(env!("CARGO_BIN_EXE_cove"));
        command.envs(keys).stdin(Stdio::null()).args(["--endpoint", &endpoint]).args(args).output().unwrap()
    }

    /// Starts a verb that goes on by itself.
    pub(crate) fn follow(&self, args: &[&str]) -> Following {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let [out, err] = ["out", "err"].map(|name| self.home().join(format!("followed-{number}.{name}")));
        let child = Command::new(env!("CARGO_BIN_EXE_cove"))
            .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
            .args(["--endpoint", &format!("http://127.0.0.1:{}", self.port)])
            .args(args)
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&out).unwrap())
            .stderr(std::fs::File::create(&err).unwrap())
            .spawn()
            .unwrap();
        Following { child, out, err }
    }

    /// What a shell script prints in the task's container `main`. It must succeed.
    pub(crate) fn inside(&self, arn: &str, script: &str) -> String {
        let done = self.cove(&["exec", arn, "--container", "main", "--", "sh", "-c", script]);
        assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    /// Makes a repository that holds the busybox test image; its reference.
    pub(crate) fn busybox(&self) -> String {
        let image = busybox_archive();
        let loaded = self.cove(&["image", "load", "--name", "busybox:1", image.to_str().unwrap()]);
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
        format!("127.0.0.1:{}/busybox:1", self.port)
    }

    /// Registers a one-container definition under the family `name` and starts one task of it; its ARN.
    pub(crate) fn run_task(&self, name: &str, container: Value) -> String {
        self.run_task_with(name, container, &json!({}), &json!({}))
    }

    /// The same with more members of the definition and of RunTask.
    pub(crate) fn run_task_with(&self, name: &str, container: Value, definition: &Value, run: &Value) -> String {
        // A shell that has not set its trap yet, as process 1, does not hear SIGTERM: nobody waits long for it.
        let main = with(&json!({"name": "main", "memory": 32, "stopTimeout": 2}), &container);
        self.run_definition(&with(&json!({"family": name, "containerDefinitions": [main]}), definition), run)
    }

    /// Registers a whole definition and starts one task of it; its ARN.
    pub(crate) fn run_definition(&self, definition: &Value, run: &Value) -> String {
        let made = self.ecs("RegisterTaskDefinition", definition).unwrap();
        let arn = &made["taskDefinition"]["taskDefinitionArn"];
        let answer = self.ecs("RunTask", &with(&json!({"taskDefinition": arn}), run)).unwrap();
        answer["tasks"][0]["taskArn"].as_str().unwrap_or_else(|| panic!("not placed: {answer}")).to_owned()
    }

    /// Subnets and a security group of the default network, as RunTask takes them.
    pub(crate) fn network(&self) -> Value {
        let (status, body) = self.request("GET", "/_cove/v1/info", &[], b"");
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        let info: Value = serde_json::from_slice(&body).unwrap();
        json!({"awsvpcConfiguration": {"subnets": info["subnets"], "securityGroups": [info["securityGroup"]]}})
    }

    pub(crate) fn describe_task(&self, arn: &str) -> Value {
        self.ecs("DescribeTasks", &json!({"tasks": [arn]})).unwrap()["tasks"][0].clone()
    }

    /// Waits until the task shows that status.
    pub(crate) fn wait_task(&self, arn: &str, status: &str) -> Value {
        until(&format!("{arn} {status}"), || Some(self.describe_task(arn)).filter(|task| task["lastStatus"] == status))
    }
}

/// A verb that goes on; ended when dropped.
pub(crate) struct Following {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Following {
    /// What it has said so far, on stdout and on stderr.
    pub(crate) fn said(&self) -> (String, String) {
        (std::fs::read_to_string(&self.out).unwrap(), std::fs::read_to_string(&self.err).unwrap())
    }

    /// Waits until it ends by itself; whether it succeeded.
    pub(crate) fn ends(&mut self) -> bool {
        until("the verb ends", || self.child.try_wait().unwrap()).success()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
        // A test may have put a disk there; the directory could not be removed below it.
        let _ = Command::new("umount").args(["--lazy", "--quiet"]).arg(self.home.path().join("data")).output();
        match down {
            Ok(done) if done.status.success() => {}
            other if std::thread::panicking() => eprintln!("clean-up failed too: {other:?}"),
            other => panic!("clean-up failed: {other:?}"),
        }
    }
}

fn spawn(node: &str, home: &Path, port: u16, keys: Keys, settings: &[String]) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(home.join("server.log")).unwrap();
    let is_variable = |setting: &&String| setting.starts_with(|first: char| first.is_ascii_uppercase());
    let (variables, flags): (Vec<&String>, Vec<&String>) = settings.iter().partition(is_variable);
    let config = home.join(CONFIG_FILE);
    let mut child = Command::new(env!("CARGO_BIN_EXE_cove"))
        .envs(variables.into_iter().filter_map(|variable| variable.split_once('=')))
        .arg("serve")
        .args((keys == Keys::Any).then_some("--dev"))
        .args(config.exists().then(|| format!("--config={}", config.display())))
        .args(["--node", node, "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
        .arg(home.join("data"))
        .arg("--run-dir")
        .arg(home.join("run"))
        .args(flags)
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

/// Makes a repository that holds the busybox test image on a server that checks keys.
pub(crate) fn load_busybox(server: &Server, id: &str, key: &str, name: &str) {
    let loaded = Command::new(env!("CARGO_BIN_EXE_cove"))
        .envs([("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", key)])
        .args(["--endpoint", &format!("http://127.0.0.1:{}", server.port), "image", "load", "--name", name])
        .arg(busybox_archive())
        .output()
        .unwrap();
    assert!(loaded.status.success(), "{loaded:?}");
}

/// A JSON object with the members of another laid over it; a null takes a member away.
pub(crate) fn with(object: &Value, over: &Value) -> Value {
    let mut whole = object.clone();
    for (name, value) in over.as_object().unwrap() {
        match value {
            Value::Null => drop(whole.as_object_mut().unwrap().remove(name)),
            value => whole[name] = value.clone(),
        }
    }
    whole
}

/// Asserts that a call was refused with this code and a text that holds these words.
#[track_caller]
pub(crate) fn assert_refused(answer: Result<Value, AwsError>, code: &str, words: &str) {
    match answer {
        Ok(answer) => panic!("not refused with {code} ({words}): {answer}"),
        Err((got, text)) => {
            assert!(got == code && text.contains(words), "wanted {code} ({words}), got {got}: {text}");
        }
    }
}

/// The texts of a JSON array.
pub(crate) fn texts(array: &Value) -> Vec<&str> {
    array.as_array().unwrap_or_else(|| panic!("no array: {array}")).iter().map(|item| item.as_str().unwrap()).collect()
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
            .map(
                |byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") },
            )
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
