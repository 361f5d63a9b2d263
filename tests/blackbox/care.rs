//! `cove backup`, `cove restore`, `cove fsck`, and data of older and newer versions.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::server::{Server, texts, until, with};

/// A verb on a data directory at rest.
fn cove(data: &Path, args: &[&str]) -> Output {
    // An address where nobody listens: the verb must not find another server.
    let mut command = Command::new(env!("CARGO_BIN_EXE_cove"));
    command.args(["--endpoint", "http://127.0.0.1:9", "--data-dir"]).arg(data).args(args);
    command.stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn assert_code(output: &Output, code: i32) -> String {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// The findings of `cove fsck --json`.
fn fsck(data: &Path, more: &[&str], code: i32) -> Vec<(String, String)> {
    let args: Vec<&str> = ["fsck", "--json"].iter().chain(more).copied().collect();
    let done = cove(data, &args);
    assert_code(&done, code);
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    let word = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    report["findings"].as_array().unwrap().iter().map(|it| (word(it, "code"), word(it, "state"))).collect()
}

/// A definition large enough to be a document.
fn large_definition(server: &Server) -> String {
    let environment: Vec<Value> =
        (0..200).map(|number| json!({"name": format!("V{number}"), "value": "x".repeat(200)})).collect();
    let container = json!({"name": "main", "image": "a", "memory": 32, "environment": environment});
    let input = json!({"family": "large", "containerDefinitions": [container]});
    let made = server.ecs("RegisterTaskDefinition", &input).unwrap();
    made["taskDefinition"]["taskDefinitionArn"].as_str().unwrap().to_owned()
}

#[test]
fn a_backup_of_a_busy_server_becomes_a_server_that_runs_its_images() {
    let server = Server::start();
    let image = server.busybox();
    let definition = large_definition(&server);
    let described = server.ecs("DescribeTaskDefinition", &json!({"taskDefinition": definition})).unwrap();
    let stream = json!({"logGroupName": "g", "logStreamName": "s"});
    server.logs("CreateLogGroup", &json!({"logGroupName": "g"})).unwrap();
    server.logs("CreateLogStream", &stream).unwrap();
    let now = fs::metadata(server.home()).unwrap().modified().unwrap();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let events = json!([{"timestamp": u64::try_from(now).unwrap(), "message": "m"}]);
    server.logs("PutLogEvents", &with(&stream, &json!({"logEvents": events}))).unwrap();
    let file = server.home().join("backup");
    let busy = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while busy.load(Ordering::SeqCst) {
                // No more than one page of ListClusters shows.
                server.ecs("CreateCluster", &json!({"clusterName": format!("c{}", number % 90)})).unwrap();
                number += 1;
            }
        });
        until("some clusters", || {
            let clusters = server.ecs("ListClusters", &json!({})).unwrap();
            (texts(&clusters["clusterArns"]).len() > 5).then_some(())
        });
        let done = server.cove(&["backup", file.to_str().unwrap(), "--with-images"]);
        busy.store(false, Ordering::SeqCst);
        assert!(assert_code(&done, 0).contains("from the running server"));
    });
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let key = fs::read(server.home().join("data/keys/root.json")).unwrap();
    let refused = cove(&server.home().join("data"), &["restore", file.to_str().unwrap()]);
    assert!(assert_code(&refused, 1).contains("in use"));

    let other = Server::start_in(|home| {
        assert_code(&cove(&home.join("data"), &["restore", file.to_str().unwrap()]), 0);
        assert!(fsck(&home.join("data"), &[], 0).is_empty());
    });
    assert_eq!(fs::read(other.home().join("data/keys/root.json")).unwrap(), key);
    assert_eq!(other.ecs("DescribeTaskDefinition", &json!({"taskDefinition": definition})).unwrap(), described);
    // Container logs are not in a backup: the stream is there, and empty.
    assert_eq!(other.logs("GetLogEvents", &stream).unwrap()["events"], json!([]));
    // One moment of a busy server: clusters without a gap.
    let clusters = other.ecs("ListClusters", &json!({})).unwrap()["clusterArns"].to_string();
    let count = (0..).take_while(|number| clusters.contains(&format!("cluster/c{number}\""))).count();
    assert!(count >= 5 && clusters.matches("cluster/c").count() == count, "{clusters}");
    let image = image.replace(&format!(":{}/", server.port), &format!(":{}/", other.port));
    let task = other.run_task("again", json!({"image": image, "command": ["sh", "-c", "sleep 60"]}));
    other.wait_task(&task, "RUNNING");
    assert_eq!(other.inside(&task, "echo restored"), "restored\n");
}

#[test]
fn a_directory_at_rest_is_backed_up_checked_and_mended() {
    let mut server = Server::start();
    let image = server.busybox();
    let task = server.run_task("task", json!({"image": image, "command": ["sh", "-c", "exit 3"]}));
    server.wait_task(&task, "STOPPED");
    let data = server.home().join("data");
    assert!(assert_code(&cove(&data, &["fsck"]), 1).contains("in use"));
    let file = server.home().join("backup");

    server.while_stopped(|data| {
        assert!(assert_code(&cove(data, &["fsck"]), 0).contains("nothing wrong"));
        let done = cove(data, &["backup", file.to_str().unwrap()]);
        assert!(assert_code(&done, 0).contains("from the data directory"));
        let full = cove(data, &["restore", file.to_str().unwrap()]);
        assert!(assert_code(&full, 1).contains("only restored into an empty directory"));

        let mut blobs = Vec::new();
        for directory in fs::read_dir(data.join("blobs/sha256")).unwrap() {
            blobs.extend(fs::read_dir(directory.unwrap().path()).unwrap().map(|blob| blob.unwrap().path()));
        }
        let largest = blobs.iter().max_by_key(|blob| fs::metadata(blob).unwrap().len()).unwrap();
        fs::write(largest, "damage").unwrap();
        let found = fsck(data, &[], 1);
        assert!(found.contains(&("blob-damaged".into(), "repairable".into())), "{found:?}");
        let found = fsck(data, &["--repair"], 1);
        assert!(found.contains(&("blob-damaged".into(), "repaired".into())), "{found:?}");
        assert!(found.contains(&("image-broken".into(), "unrepairable".into())), "{found:?}");
    });
    // What a person was told to do heals it.
    assert_eq!(server.busybox(), image);
    server.while_stopped(|data| assert_eq!(fsck(data, &[], 0), []));
}

#[test]
fn a_restore_without_images_is_one_finding_for_people() {
    let mut server = Server::start();
    server.busybox();
    let (file, other) = (server.home().join("backup"), server.home().join("other"));
    server.while_stopped(|data| {
        assert_code(&cove(data, &["backup", file.to_str().unwrap()]), 0);
    });
    let restored = assert_code(&cove(&other, &["restore", file.to_str().unwrap()]), 0);
    assert!(restored.contains("--with-images"), "{restored}");
    let short = assert_code(&cove(&other, &["fsck"]), 1);
    assert!(short.contains("--with-images") && short.lines().count() == 2, "{short}");
    let long = assert_code(&cove(&other, &["fsck", "--details"]), 1);
    assert!(long.lines().count() > 6 && long.contains("image-broken"), "{long}");
    assert!(fsck(&other, &[], 1).len() > 3, "documents are whole");
}

#[test]
fn data_of_a_newer_version_is_refused_untouched() {
    let mut server = Server::start();
    server.ecs("CreateCluster", &json!({"clusterName": "kept"})).unwrap();
    let newer = server.home().join("newer");
    server.while_stopped(|data| {
        let file = data.join("../backup");
        assert_code(&cove(data, &["backup", file.to_str().unwrap()]), 0);
        // The same archive, as a version with another schema would write it: refused by name.
        let text = fs::read(&file).unwrap();
        let at = text.windows(10).position(|bytes| bytes == b"\"schema\":1").unwrap();
        let mut changed = text;
        changed[at + 9] = b'9';
        fs::write(&file, changed).unwrap();
        let refused = assert_code(&cove(&newer, &["restore", file.to_str().unwrap()]), 1);
        assert!(refused.contains("schema 9") && refused.lines().count() == 1, "{refused}");
        assert!(!newer.exists());
    });
    let clusters = server.ecs("ListClusters", &json!({})).unwrap()["clusterArns"].to_string();
    assert!(clusters.contains("cluster/kept"), "{clusters}");
}

/// Not a test: makes the file with which `src/store/migration.rs` tries every step, once for each schema:
/// `OLD_STORE=src/store/old/schema-N.tar.gz cargo test --profile ci --test blackbox make_an_old_store`.
#[test]
fn make_an_old_store() {
    let Some(path) = std::env::var_os("OLD_STORE") else { return };
    let mut server = Server::start();
    let image = server.busybox();
    large_definition(&server);
    server.ecs("CreateCluster", &json!({"clusterName": "blue", "tags": [{"key": "a", "value": "b"}]})).unwrap();
    server.ecs("PutAccountSetting", &json!({"name": "containerInsights", "value": "enabled"})).unwrap();
    server.logs("CreateLogGroup", &json!({"logGroupName": "g", "tags": {"a": "b"}})).unwrap();
    let policy = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"Service": "ecs-tasks.amazonaws.com"}}]})
    .to_string();
    let role = [("Action", "CreateRole"), ("RoleName", "r"), ("AssumeRolePolicyDocument", policy.as_str())];
    assert_eq!(server.query("iam", "2010-05-08", &role).0, 200);
    assert_eq!(server.request("POST", "/v2/busybox/blobs/uploads/", &[], b"").0, 202);
    let log = json!({"logDriver": "awslogs", "options": {
        "awslogs-group": "g", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "x"}});
    let ended = json!({"image": image, "command": ["sh", "-c", "echo out; exit 3"], "logConfiguration": log});
    let ended = server.run_task_with("ended", ended, &json!({}), &json!({"clientToken": "token"}));
    server.wait_task(&ended, "STOPPED");
    let running =
        json!({"image": image, "command": ["sh", "-c", "sleep 600"], "portMappings": [{"containerPort": 80}]});
    let network = json!({"networkConfiguration": server.network()});
    let running = server.run_task_with("running", running, &json!({"networkMode": "awsvpc"}), &network);
    server.wait_task(&running, "RUNNING");
    server.while_stopped(|data| {
        let mut command = Command::new("tar");
        command.arg("-czf").arg(path).arg("-C").arg(data).args([
            "--sparse",
            "--owner=0",
            "--group=0",
            "db",
            "documents",
        ]);
        assert!(command.status().unwrap().success());
    });
}
