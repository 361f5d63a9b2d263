//! A server whose disk fills up, or cannot be used at all.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::server::{Server, until};

/// Room for the busybox image, its snapshot and the database, and little more.
const DISK_MIB: u64 = 96;

/// Gives the calling thread, and what it starts from now on, mounts of its own: they go with the last process in them.
pub(crate) fn own_mounts() {
    // SAFETY: no memory is passed; the flag concerns this thread only.
    let done = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    run(Command::new("mount").args(["--make-rprivate", "/"]));
}

pub(crate) fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Puts the data directory on a small ext4 of its own.
pub(crate) fn small_disk(home: &Path) {
    let (image, data) = (home.join("disk.img"), home.join("data"));
    fs::File::create(&image).unwrap().set_len(DISK_MIB << 20).unwrap();
    fs::create_dir(&data).unwrap();
    run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image));
    run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&data));
}

/// Takes the last byte.
pub(crate) fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for size in [1 << 20, 4096, 1] {
        let chunk = vec![7; size];
        while file.write_all(&chunk).and_then(|()| file.sync_all()).is_ok() {}
    }
}

/// The mounts of the test end with its thread, so the thread must outlive the server's own clean-up.
pub(crate) struct Disk {
    pub(crate) data: PathBuf,
}

impl Disk {
    pub(crate) fn files_below(&self, name: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.data.join(name)];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                if entry.path().is_dir() { open.push(entry.path()) } else { found.push(entry.path()) }
            }
        }
        found.sort();
        found
    }
}

/// Status and body of an ECS call, also when it failed.
fn ecs(server: &Server, operation: &str, input: &Value) -> (u16, Value) {
    let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
    let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
    let (status, body) = server.request("POST", "/", &headers, input.to_string().as_bytes());
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

fn logged(server: &Server, stream: &str) -> Vec<String> {
    let input = json!({"logGroupName": "disk", "logStreamName": stream, "startFromHead": true});
    let answer = server.logs("GetLogEvents", &input).unwrap();
    answer["events"].as_array().unwrap().iter().map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

fn id(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap()
}

/// Pushes a blob; status and OCI code.
fn push(server: &Server, content: &[u8]) -> (u16, String) {
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(content)));
    let path = format!("/v2/busybox/blobs/uploads/?digest={digest}");
    let (status, body) = server.request("POST", &path, &[], content);
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    (status, body["errors"][0]["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_full_disk_refuses_changes_leaves_running_tasks_alone_and_heals() {
    own_mounts();
    let mut server = Server::start_in(small_disk);
    let disk = Disk { data: server.home().join("data") };
    let image = server.busybox();
    server.logs("CreateLogGroup", &json!({"logGroupName": "disk"})).unwrap();
    let log = json!({"logDriver": "awslogs", "options": {
        "awslogs-group": "disk", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "x"}});
    let ticking = "n=0; while :; do echo tick $n; n=$((n+1)); sleep 0.1; done";
    let ticker =
        server.run_task("ticker", json!({"image": image, "command": ["sh", "-c", ticking], "logConfiguration": log}));
    let ending = "trap 'exit 7' USR1; while :; do sleep 0.05; done";
    let ender = server.run_task("ender", json!({"image": image, "command": ["sh", "-c", ending]}));
    server.wait_task(&ticker, "RUNNING");
    server.wait_task(&ender, "RUNNING");
    let stream = format!("x/main/{}", id(&ticker));
    until("ten lines", || (logged(&server, &stream).len() >= 10).then_some(()));

    fill(&disk.data.join("ballast"));
    let before = (disk.files_below("blobs"), disk.files_below("uploads"));
    let lines = logged(&server, &stream);
    let mut acknowledged = Vec::new();
    let refused = until("a refusal", || {
        let name = format!("c{}", acknowledged.len());
        let (status, answer) = ecs(&server, "CreateCluster", &json!({"clusterName": name}));
        if status == 200 {
            acknowledged.push(name);
            return None;
        }
        Some((status, answer))
    });
    // A 5xx, which SDKs try again, in words.
    assert_eq!(refused.0, 500, "{refused:?}");
    assert!(refused.1["__type"].as_str().unwrap().ends_with("ServerException"), "{refused:?}");
    let text = refused.1["message"].as_str().unwrap();
    assert!(text.contains("No space left on device") && text.contains("Nothing was changed"), "{text}");
    let (status, health) = server.request("GET", "/_cove/health", &[], b"");
    assert_eq!(status, 503, "{}", String::from_utf8_lossy(&health));

    // Reads go on, and so do tasks; what they had written is there.
    assert_eq!(server.describe_task(&ticker)["lastStatus"], "RUNNING");
    let listed = server.ecs("ListClusters", &json!({})).unwrap()["clusterArns"].to_string();
    assert!(acknowledged.iter().all(|name| listed.contains(&format!("cluster/{name}\""))), "{listed}");
    assert_eq!(logged(&server, &stream)[..lines.len()], lines);
    assert_eq!(server.inside(&ticker, "echo alive"), "alive\n");
    // StopTask cannot promise anything, so it says so; the task goes on.
    let (status, answer) = ecs(&server, "StopTask", &json!({"task": ticker}));
    assert_eq!(status, 500, "{answer}");
    // An exit meanwhile is not forgotten.
    server.inside(&ender, "kill -USR1 1");

    // A push is refused and leaves nothing of itself.
    let layer = vec![3; 1 << 20];
    let (status, code) = push(&server, &layer);
    assert!(matches!((status, code.as_str()), (507, "DENIED") | (503, "UNAVAILABLE")), "{status} {code}");
    assert_eq!((disk.files_below("blobs"), disk.files_below("uploads")), before);

    fs::remove_file(disk.data.join("ballast")).unwrap();
    until("room is noticed", || {
        let (status, _) = ecs(&server, "CreateCluster", &json!({"clusterName": "after"}));
        (status == 200).then_some(())
    });
    assert_eq!(server.request("GET", "/_cove/health", &[], b"").0, 200);
    assert_eq!(push(&server, &layer).0, 201);
    assert_eq!(server.describe_task(&ticker)["lastStatus"], "RUNNING");
    let had = logged(&server, &stream).len();
    until("new lines", || (logged(&server, &stream).len() > had).then_some(()));
    let ended = server.wait_task(&ender, "STOPPED");
    assert_eq!(ended["containers"][0]["exitCode"], 7, "{ended}");

    server.kill_and_restart();
    let listed = server.ecs("ListClusters", &json!({})).unwrap()["clusterArns"].to_string();
    acknowledged.push("after".to_owned());
    assert!(acknowledged.iter().all(|name| listed.contains(&format!("cluster/{name}\""))), "{listed}");
    assert_eq!(server.describe_task(&ticker)["lastStatus"], "RUNNING");
    server.ecs("StopTask", &json!({"task": ticker})).unwrap();
    server.wait_task(&ticker, "STOPPED");
}

#[test]
fn a_push_that_does_not_fit_is_refused_and_leaves_nothing() {
    own_mounts();
    let server = Server::start_in(small_disk);
    let disk = Disk { data: server.home().join("data") };
    server.ecr("CreateRepository", &json!({"repositoryName": "busybox"})).unwrap();
    let ballast = disk.data.join("ballast");
    fill(&ballast);
    // Room for records, none for a layer.
    let ballast = fs::File::options().write(true).open(ballast).unwrap();
    ballast.set_len(ballast.metadata().unwrap().len() - (2 << 20)).unwrap();
    let before = (disk.files_below("blobs"), disk.files_below("uploads"));
    let layer = vec![3; 8 << 20];
    let in_one = push(&server, &layer);
    assert_eq!((in_one.0, in_one.1.as_str()), (507, "DENIED"));
    assert_eq!((disk.files_below("blobs"), disk.files_below("uploads")), before);

    let session = server.exchange("POST", "/v2/busybox/blobs/uploads/", &[], b"");
    let location = session.header("location").to_owned();
    let part = server.exchange("PATCH", &location, &[], &layer);
    assert_eq!(part.status, 507, "{}", part.text());
    assert_eq!(server.exchange("DELETE", &location, &[], b"").status, 204);
    assert_eq!((disk.files_below("blobs"), disk.files_below("uploads")), before);
    // The database had room all the time.
    server.ecs("CreateCluster", &json!({"clusterName": "fits"})).unwrap();
    assert_eq!(push(&server, b"small").0, 201);
}

/// What `cove serve` says when it cannot start on this directory; it must be one line, with exit code 1.
fn refused(home: &Path, data: &Path) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_cove"))
        .args(["serve", "--dev", "--node", "refused", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data)
        .arg("--run-dir")
        .arg(home.join("run"))
        .output()
        .unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[test]
fn a_data_directory_that_cannot_be_used_is_refused_in_one_line() {
    own_mounts();
    let home = tempfile::Builder::new().prefix("cove-test-").tempdir_in("/var/tmp").unwrap();
    let data = home.path().join("data");
    fs::create_dir(&data).unwrap();
    run(Command::new("mount").args(["-t", "tmpfs", "-o", "ro", "cove-test"]).arg(&data));
    let said = refused(home.path(), &data);
    assert!(said.contains(data.to_str().unwrap()) && said.contains("read-only filesystem"), "{said}");
    run(Command::new("umount").arg(&data));

    fs::remove_dir(&data).unwrap();
    fs::write(&data, "no directory").unwrap();
    let said = refused(home.path(), &data);
    assert!(said.contains(data.to_str().unwrap()), "{said}");
}
