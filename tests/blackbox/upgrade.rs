//! An upgrade with tasks running, and the way back. The older shim is one that says, byte for byte, what was recorded of
//! its version (`src/shim/recorded`); what it supervises is a container that really runs.

use std::fs;
use std::io::{IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::{Value, json};

use crate::server::{PATIENCE, Server, until, with};

const EVENTS: &str = include_str!("../../src/shim/recorded/v1/events.jsonl");
const REQUESTS: &str = include_str!("../../src/shim/recorded/v1/requests.jsonl");
const EXITS: &str = include_str!("../../src/shim/recorded/v1/exits.jsonl");

/// The first recorded message that holds this text.
fn recorded(lines: &str, text: &str) -> Value {
    let line = lines.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("no {text} is recorded"));
    serde_json::from_str(line).unwrap()
}

/// A shim that speaks the recorded version, whatever the present one is.
struct OldShim {
    said: Mutex<Said>,
    exits: PathBuf,
    socket: PathBuf,
}

#[derive(Default)]
struct Said {
    /// What it says that it is.
    version: u64,
    /// What the servers asked, in order.
    requests: Vec<Value>,
    has_exited: bool,
    is_over: bool,
}

impl OldShim {
    /// Takes the place of the task's own shim, which is killed; its container goes on.
    fn instead_of(server_home: &Path, task_id: &str, version: u64) -> Arc<Self> {
        let directory = server_home.join("run/tasks").join(task_id);
        let own = processes(&["shim", &directory.display().to_string()]);
        assert_eq!(own.len(), 1, "one shim for {}", directory.display());
        assert!(Command::new("kill").args(["-9", &own[0].to_string()]).status().unwrap().success());
        until("the shim is gone", || processes(&["shim", &directory.display().to_string()]).is_empty().then_some(()));
        let socket = directory.join("shim.sock");
        fs::remove_file(&socket).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let exits = server_home.join("data/exits").join(task_id);
        let said = Mutex::new(Said { version, ..Said::default() });
        let shim = Arc::new(Self { said, exits, socket });
        let own = Arc::clone(&shim);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (shim, stream) = (Arc::clone(&own), stream.unwrap());
                std::thread::spawn(move || shim.serve(&stream));
                if own.said.lock().unwrap().is_over {
                    return;
                }
            }
        });
        shim
    }

    fn now_says(&self, version: u64) {
        self.said.lock().unwrap().version = version;
    }

    fn heard(&self, name: &str) -> usize {
        let is = |request: &&Value| name_of(request) == name;
        self.said.lock().unwrap().requests.iter().filter(is).count()
    }

    fn serve(&self, stream: &UnixStream) {
        while let Some((request, descriptors)) = receive(stream) {
            self.said.lock().unwrap().requests.push(request.clone());
            match name_of(&request).as_str() {
                "Subscribe" => send(stream, &self.state()),
                "Stop" => {
                    self.exit();
                    send(stream, &json!({"Changed": self.state()["State"]["containers"][0]}));
                }
                "Exec" => {
                    let id = &request["Exec"]["exec_id"];
                    fs::File::from(descriptors.into_iter().nth(1).unwrap()).write_all(b"from the old shim\n").unwrap();
                    send(stream, &renamed(recorded(EVENTS, "ExecStarted"), id));
                    send(stream, &renamed(recorded(EVENTS, "ExecExited"), id));
                }
                "Finish" => {
                    self.said.lock().unwrap().is_over = true;
                    fs::remove_file(&self.socket).unwrap();
                    return;
                }
                other => panic!("the old shim does not expect {other}"),
            }
        }
    }

    /// The exit is on disk before anybody hears of it.
    fn exit(&self) {
        fs::create_dir_all(&self.exits).unwrap();
        fs::write(self.exits.join("main.0.json"), EXITS.lines().next().unwrap()).unwrap();
        self.said.lock().unwrap().has_exited = true;
    }

    fn state(&self) -> Value {
        let said = self.said.lock().unwrap();
        let container = recorded(
            EVENTS,
            if said.has_exited {
                r#"{"Changed":{"attempt":0,"name":"main","phase":{"Exited"#
            } else {
                r#"{"Changed":{"attempt":0,"name":"main","phase":{"Running"#
            },
        );
        let mut state = recorded(EVENTS, r#"{"State""#);
        state["State"]["version"] = said.version.into();
        // The server watches this process; the recorded number is somebody else's.
        state["State"]["shim_pid"] = std::process::id().into();
        state["State"]["containers"] = json!([container["Changed"]]);
        state
    }

    /// An older shim knows nothing but what was recorded: whatever it was asked has at least these members.
    fn assert_understood(&self) {
        for request in &self.said.lock().unwrap().requests {
            let name = name_of(request);
            let known = REQUESTS.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let known = known.into_iter().find(|known| name_of(known) == name);
            let known = known.unwrap_or_else(|| panic!("version 1 has no {name}"));
            if let Some(members) = known[&name].as_object() {
                for member in members.keys() {
                    assert!(request[&name].get(member).is_some(), "{name} lacks {member}: {request}");
                }
            }
        }
    }
}

fn name_of(message: &Value) -> String {
    match message {
        Value::String(name) => name.clone(),
        message => message.as_object().unwrap().keys().next().unwrap().clone(),
    }
}

/// The event for another exec.
fn renamed(mut event: Value, exec_id: &Value) -> Value {
    event.as_object_mut().unwrap().values_mut().for_each(|content| content["exec_id"] = exec_id.clone());
    event
}

fn send(mut stream: &UnixStream, event: &Value) {
    let text = event.to_string();
    let length = u32::try_from(text.len()).unwrap().to_le_bytes();
    // A server that was killed does not listen any more.
    let _ = stream.write_all(&[&length, text.as_bytes()].concat());
}

/// One frame and the descriptors that came with its first byte.
fn receive(mut stream: &UnixStream) -> Option<(Value, Vec<OwnedFd>)> {
    let mut length = [0; 4];
    let mut space = nix::cmsg_space!([i32; 3]);
    let mut parts = [IoSliceMut::new(&mut length[..1])];
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty()).ok()?;
    if message.bytes == 0 {
        return None;
    }
    let mut descriptors = Vec::new();
    for part in message.cmsgs().unwrap() {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            // SAFETY: the kernel just made these descriptors for us.
            descriptors.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    stream.read_exact(&mut length[1..]).ok()?;
    let mut body = vec![0; usize::try_from(u32::from_le_bytes(length)).unwrap()];
    stream.read_exact(&mut body).ok()?;
    Some((serde_json::from_slice(&body).unwrap(), descriptors))
}

/// Living processes that have all of these among their arguments.
fn processes(words: &[&str]) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        if words.iter().all(|word| arguments.contains(&word.as_bytes())) {
            found.push(pid);
        }
    }
    found
}

/// A running task, its id, and the one process in it.
fn long_task(server: &Server) -> (String, String, u32) {
    let image = server.busybox();
    // An argument that no other process of the machine has.
    let seconds = format!("{}", 100_000 + u64::from(std::process::id()) * 1000 + u64::from(server.port) % 1000);
    let arn = server.run_task("long", json!({"image": image, "command": ["sleep", seconds]}));
    server.wait_task(&arn, "RUNNING");
    let id = arn.rsplit('/').next().unwrap().to_owned();
    let pids = processes(&["sleep", &seconds]);
    assert_eq!(pids.len(), 1);
    (arn, id, pids[0])
}

fn lives(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}/ns/pid")).exists() && fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

#[test]
fn a_new_server_takes_over_a_task_of_an_older_shim_and_brings_it_to_its_end() {
    let mut server = Server::start();
    let (arn, id, pid) = long_task(&server);
    let home = server.home().to_owned();
    let mut shim = None;
    server.while_stopped(|_| shim = Some(OldShim::instead_of(&home, &id, 1)));
    let shim = shim.unwrap();
    until("the server subscribes", || (shim.heard("Subscribe") > 0).then_some(()));
    assert_eq!(server.describe_task(&arn)["lastStatus"], "RUNNING");
    assert!(lives(pid));

    let done = server.cove(&["exec", &arn, "--container", "main", "--", "true"]);
    assert_eq!(String::from_utf8_lossy(&done.stdout), "from the old shim\n");
    assert_eq!(done.status.code(), Some(7), "{}", String::from_utf8_lossy(&done.stderr));

    server.kill_and_restart();
    server.ecs("StopTask", &json!({"task": arn})).unwrap();
    let task = server.wait_task(&arn, "STOPPED");
    assert_eq!(task["containers"][0]["exitCode"], 3, "{task}");
    assert_eq!(task["stopCode"], "UserInitiated");
    until("its container is gone", || (!lives(pid)).then_some(()));
    until("its exits are read", || (!home.join("data/exits").join(&id).exists()).then_some(()));
    assert_eq!(shim.heard("Finish"), 1);
    shim.assert_understood();
}

#[test]
fn a_shim_of_a_newer_version_is_left_alone_until_somebody_can_drive_it() {
    let mut server = Server::start();
    let (arn, id, pid) = long_task(&server);
    let home = server.home().to_owned();
    let mut shim = None;
    server.while_stopped(|_| shim = Some(OldShim::instead_of(&home, &id, 9)));
    let shim = shim.unwrap();
    server.ecs("StopTask", &json!({"task": arn})).unwrap();
    until("the server tries again", || (shim.heard("Subscribe") > 2).then_some(()));
    assert!(lives(pid), "nobody may kill it");
    assert_eq!(server.describe_task(&arn)["lastStatus"], "RUNNING");
    let refused = server.cove(&["exec", &arn, "--container", "main", "--", "true"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("version 9"), "{refused:?}");
    assert_eq!(shim.heard("Exec") + shim.heard("Stop"), 0, "what it would make of them is not known");
    shim.now_says(1);
    assert_eq!(server.wait_task(&arn, "STOPPED")["containers"][0]["exitCode"], 3);
}

/// A start that must fail: what it says.
fn refused(server: &Server) -> String {
    let started: Output = Command::new(env!("CARGO_BIN_EXE_cove"))
        .args(["serve", "--dev", "--log", "off", "--node", &server.node, "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(server.home().join("data"))
        .arg("--run-dir")
        .arg(server.home().join("run"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&started.stdout), String::from_utf8_lossy(&started.stderr));
    assert_eq!((started.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    said
}

/// The number that the store looks at first.
fn set_schema(data: &Path, number: &str) {
    let config = sled::Config::new().path(data.join("db")).mode(sled::Mode::LowSpace);
    let deadline = std::time::Instant::now() + PATIENCE;
    // sled holds its own lock for a moment after its process is gone.
    let db = loop {
        match config.open() {
            Ok(db) => break db,
            Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
        }
    };
    assert!(db.insert("schema", number).unwrap().is_some(), "there was a number");
    db.flush().unwrap();
}

#[test]
fn an_older_server_refuses_newer_state_in_one_line_and_leaves_tasks_running() {
    let mut server = Server::start();
    let (arn, _, pid) = long_task(&server);
    let before = server.describe_task(&arn);
    server.terminate();
    let home = server.home().to_owned();
    let (data, format) = (home.join("data"), home.join("run/format"));
    let networks = || fs::read_dir(home.join("run/network/tasks")).unwrap().count();
    assert_eq!((fs::read_to_string(&format).unwrap().as_str(), networks()), ("1", 1));

    fs::write(&format, "2").unwrap();
    let said = refused(&server);
    assert!(said.contains("newer version") && said.contains("format 2"), "{said}");
    assert!(lives(pid) && networks() == 1);
    fs::write(&format, "1").unwrap();

    set_schema(&data, "9");
    let said = refused(&server);
    assert!(said.contains("schema 9"), "{said}");
    assert!(lives(pid) && networks() == 1);
    set_schema(&data, "1");

    server.kill_and_restart();
    let status = |task: &Value| with(task, &json!({"version": null}));
    assert_eq!(status(&server.describe_task(&arn)), status(&before));
    assert!(lives(pid));
}
