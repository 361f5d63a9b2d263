//! Tasks and clients that take more than they may: each is told, and nobody else notices.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::server::{Server, texts, until};

/// While somebody floods, another client's call takes at most this long; alone it takes a millisecond.
const STILL_QUICK: Duration = Duration::from_secs(2);

fn assert_quick(server: &Server) {
    let began = Instant::now();
    server.ecs("ListTasks", &json!({})).unwrap();
    assert!(began.elapsed() < STILL_QUICK, "{:?}", began.elapsed());
}

#[test]
fn a_task_that_writes_more_than_it_may_is_stopped_and_says_why() {
    let server = Server::start_set(&["--task-storage-gib", "1"]);
    let image = server.busybox();
    let writes = |path: &str, mib: u32| {
        let script = format!("dd if=/dev/zero of={path} bs=1M count={mib}; sleep 600");
        json!({"image": image, "memory": 256, "command": ["sh", "-c", script]})
    };
    let modest = server.run_task("modest", writes("/big", 1));
    let greedy = server.run_task("greedy", writes("/big", 1100));
    // It may write there, and is mounted from elsewhere.
    let sly = server.run_task("sly", writes("/etc/hosts", 1100));
    for task in [greedy, sly] {
        let stopped = server.wait_task(&task, "STOPPED");
        let reason = stopped["stoppedReason"].as_str().unwrap();
        assert!(reason.starts_with("EphemeralStorageExceeded: the task has written 1."), "{reason}");
        assert_eq!(stopped["stopCode"], "TerminationNotice");
    }
    assert_eq!(server.describe_task(&modest)["lastStatus"], "RUNNING");
}

#[test]
fn an_image_store_that_is_full_takes_no_more_and_reads_go_on() {
    let server = Server::start_set(&["--image-store-max-mib", "4"]);
    server.ecr("CreateRepository", &json!({"repositoryName": "app"})).unwrap();
    let push = |content: &[u8]| {
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(content)));
        let answer = server.exchange("POST", &format!("/v2/app/blobs/uploads/?digest={digest}"), &[], content);
        (answer.status, answer.text(), format!("/v2/app/blobs/{digest}"))
    };
    let (status, _, small) = push(&vec![1; 2 << 20]);
    assert_eq!(status, 201);
    let (status, text, _) = push(&vec![2; 3 << 20]);
    assert_eq!(status, 507, "{text}");
    let error: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(error["errors"][0]["code"], "DENIED");
    assert!(text.contains("its blobs may take 4 MiB (image_store_max_mib)"), "{text}");
    assert_eq!(server.exchange("GET", &small, &[], b"").body.len(), 2 << 20);
    // What the refused push had written is gone.
    assert_eq!(push(&vec![3; 1 << 20]).0, 201);
}

/// An archive of one file.
fn tar_of(content: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    header[..4].copy_from_slice(b"file");
    header[100..107].copy_from_slice(b"0000644");
    header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    header[148..156].fill(b' ');
    header[156] = b'0';
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut archive = [&header[..], content].concat();
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive
}

#[test]
fn layers_that_no_task_uses_make_room_and_those_in_use_keep_others_out() {
    let server = Server::start_set(&["--layer-store-max-mib", "8"]);
    let own = server.busybox();
    server.ecr("CreateRepository", &json!({"repositoryName": "large"})).unwrap();
    let blob = |content: &[u8], kind: &str| {
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(content)));
        let path = format!("/v2/large/blobs/uploads/?digest={digest}");
        assert_eq!(server.exchange("POST", &path, &[], content).status, 201);
        json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest, "size": content.len()})
    };
    let layer = blob(&tar_of(&vec![7; 7 << 20]), "layer.v1.tar");
    let config = json!({"architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}})
    .to_string();
    let config = blob(config.as_bytes(), "config.v1+json");
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": [layer]});
    let put = server.exchange("PUT", "/v2/large/manifests/1", &[], manifest.to_string().as_bytes());
    assert_eq!(put.status, 201, "{}", put.text());
    let large = format!("127.0.0.1:{}/large:1", server.port);
    let holder = server.run_task("holder", json!({"image": own, "stopTimeout": 2, "command": ["sleep", "600"]}));
    server.wait_task(&holder, "RUNNING");
    let reason = || {
        let task = server.run_task("large", json!({"image": large, "command": ["/file"]}));
        server.wait_task(&task, "STOPPED")["stoppedReason"].as_str().unwrap().to_owned()
    };
    let refused = reason();
    let said = "unpacked layers may take 8 MiB (layer_store_max_mib)";
    assert!(refused.starts_with("CannotPullContainerError") && refused.contains(said), "{refused}");
    assert_eq!(server.describe_task(&holder)["lastStatus"], "RUNNING");
    server.ecs("StopTask", &json!({"task": holder})).unwrap();
    server.wait_task(&holder, "STOPPED");
    // It is no program: that it comes so far is what matters.
    let started = until("the layers of the other one to go", || Some(reason()).filter(|why| !why.contains(said)));
    assert!(started.starts_with("CannotStartContainerError"), "{started}");
}

#[test]
fn a_node_runs_no_more_tasks_than_it_may() {
    let server = Server::start_set(&["COVE_TASKS_MAX=1"]);
    let image = server.busybox();
    server.run_task("one", json!({"image": image, "command": ["sleep", "600"]}));
    let second = server.ecs("RunTask", &json!({"taskDefinition": "one"})).unwrap();
    assert_eq!(second["tasks"], json!([]));
    let reason = second["failures"][0]["reason"].as_str().unwrap();
    assert_eq!(reason, "You've reached the limit on the number of tasks you can run concurrently");
}

#[test]
fn the_server_may_open_more_files_than_a_shell() {
    let server = Server::start();
    let node = server.ecs("ListTasks", &json!({})).unwrap();
    assert!(texts(&node["taskArns"]).is_empty());
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.process())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert_eq!(numbers[0], numbers[1].min(65_536), "{line}");
}

#[test]
fn a_task_that_opens_connections_without_end_keeps_nobody_out() {
    let server = Server::start();
    let image = server.busybox();
    let idle = json!({"image": image, "memory": 128, "command": ["sleep", "600"]});
    let (greedy, other) = (server.run_task("greedy", idle.clone()), server.run_task("other", idle));
    for task in [&greedy, &other] {
        server.wait_task(task, "RUNNING");
    }
    let flood = "for i in $(seq 200); do (sleep 60 | nc 169.254.170.2 80 >/dev/null 2>&1) & done";
    server.inside(&greedy, flood);
    let open = || -> usize { server.inside(&greedy, "grep -c ' 01 ' /proc/net/tcp || true").trim().parse().unwrap() };
    until("the task to have all connections that it may", || Some(open()).filter(|count| *count == 64));
    assert_quick(&server);
    let own = server.inside(&other, "wget -q -O - $ECS_CONTAINER_METADATA_URI_V4");
    assert!(own.contains("DockerId"), "{own}");
}

#[test]
fn a_task_that_logs_without_end_stays_within_its_cap() {
    let server = Server::start_set(&["--log-stream-max-mib", "2"]);
    let image = server.busybox();
    let script = "yes 'a line of some length that says nothing at all' & sleep 600";
    server.logs("CreateLogGroup", &json!({"logGroupName": "g"})).unwrap();
    let log = json!({"logDriver": "awslogs", "options": {
        "awslogs-group": "g", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "x"}});
    let loud = json!({"image": image, "cpu": 10, "command": ["sh", "-c", script], "logConfiguration": log});
    let task = server.run_task("loud", loud);
    server.wait_task(&task, "RUNNING");
    let logs = server.home().join("data/logs");
    let bytes = || -> u64 {
        let streams = std::fs::read_dir(&logs).into_iter().flatten().flatten();
        let files = streams.flat_map(|stream| std::fs::read_dir(stream.path()).into_iter().flatten().flatten());
        files.filter_map(|file| file.metadata().ok()).map(|about| about.len()).sum()
    };
    let dropped = || -> bool {
        let streams = std::fs::read_dir(&logs).into_iter().flatten().flatten();
        streams.into_iter().any(|stream| !stream.path().join(format!("{:020}.log", 1)).exists())
    };
    until("the oldest segment to go", || dropped().then_some(()));
    for _ in 0..20 {
        assert!(bytes() <= 4 << 20, "{} bytes", bytes());
        assert_quick(&server);
    }
}

#[test]
fn silent_and_half_spoken_clients_do_not_disturb_others() {
    let server = Server::start();
    let open = |text: &[u8]| {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.write_all(text).unwrap();
        stream
    };
    let body = b"POST / HTTP/1.1\r\nhost: localhost\r\nx-amz-target: AmazonEC2ContainerServiceV20141113.ListTasks\r\n\
                 content-length: 100000\r\n\r\n{";
    let mut held: Vec<TcpStream> = (0..300).map(|_| open(b"")).collect();
    held.extend((0..300).map(|_| open(b"GET / HTTP/1.1\r\nhost: local")));
    held.extend((0..300).map(|_| open(body)));
    // Asks for much and reads none of it.
    held.extend((0..100).map(|_| open(&b"GET /_cove/metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(200))));
    assert_quick(&server);
    // More than all bodies may take together: who declares too much for now is told to come again.
    let large = b"POST / HTTP/1.1\r\nhost: localhost\r\nx-amz-target: AmazonEC2ContainerServiceV20141113.ListTasks\r\n\
                  content-length: 4194304\r\n\r\n{";
    let greedy: Vec<TcpStream> = (0..24).map(|_| open(large)).collect();
    let told = |stream: &&TcpStream| {
        stream.set_nonblocking(true).unwrap();
        let mut first = [0; 12];
        stream.peek(&mut first).is_ok() && &first == b"HTTP/1.1 503"
    };
    // Sixteen of that size fit, and which ones is chance.
    until("those beyond it to be told", || (greedy.iter().filter(told).count() >= 8).then_some(()));
    drop(held);
    drop(greedy);
    assert_quick(&server);
}

#[test]
fn a_request_of_countless_values_is_refused_before_it_is_built() {
    let server = Server::start();
    let target = [("x-amz-target", "AmazonEC2ContainerServiceV20141113.ListTasks")];
    let many = format!("{{\"a\":[{}0]}}", "{\"\":0},".repeat(400_000));
    let (status, body) = server.request("POST", "/", &target, many.as_bytes());
    assert_eq!(status, 400);
    assert!(String::from_utf8_lossy(&body).contains("SerializationException"));
}
