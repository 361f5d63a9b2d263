//! Devices of the host in a container, and no others.

use std::path::Path;

use serde_json::{Value, json};

use super::WAITING;
use crate::server::{Server, with};

/// A block device that opens for whoever may, with nothing in it; and its numbers as mknod takes them.
const LOOP: (&str, &str) = ("/dev/loop6", "b 7 6");
const OTHER: &str = "b 7 7";

fn wanting(image: &str, permissions: Value) -> Value {
    json!({"image": image, "command": ["sh", "-c", WAITING], "linuxParameters": {"capabilities": {"add": ["MKNOD"]},
        "devices": [{"hostPath": LOOP.0, "containerPath": "/dev/it", "permissions": permissions}]}})
}

/// What a container may do with a device, in words.
fn tried(server: &Server, arn: &str, path: &str) -> String {
    let script = format!(
        "(: < {path}) 2>/dev/null && printf r; (: >> {path}) 2>/dev/null && printf w; (: <> {path}) 2>/dev/null && printf b; true"
    );
    server.inside(arn, &script)
}

#[test]
fn a_container_may_do_with_a_device_what_it_asked_for_and_nothing_with_others() {
    if !Path::new(LOOP.0).exists() {
        eprintln!("SKIPPED: there is no {}", LOOP.0);
        return;
    }
    let mut server = Server::start();
    let image = server.busybox();
    let start = |family: &str, permissions: Value| {
        let arn = server.run_task(family, wanting(&image, permissions));
        server.wait_task(&arn, "RUNNING");
        arn
    };
    let tasks = [
        (start("reads", json!(["read"])), "r"),
        (start("writes", json!(["write"])), "w"),
        (start("both", json!(["read", "write"])), "rwb"),
        (start("all", json!([])), "rwb"),
    ];
    let privileged = with(&wanting(&image, json!(["read"])), &json!({"privileged": true}));
    let strong = server.run_task("strong", privileged);
    server.wait_task(&strong, "RUNNING");
    server.kill_and_restart();
    for (arn, wanted) in &tasks {
        assert_eq!(tried(&server, arn, "/dev/it"), *wanted);
        // A node that it makes itself is the same device, or one that it never asked for.
        server.inside(arn, &format!("mknod /tmp/it {} && mknod /tmp/other {OTHER}", LOOP.1));
        assert_eq!(tried(&server, arn, "/tmp/it"), *wanted);
        assert_eq!(tried(&server, arn, "/tmp/other"), "");
        assert_eq!(tried(&server, arn, "/dev/null"), "rwb");
    }
    assert_eq!(tried(&server, &strong, "/dev/it"), "rwb", "a privileged container has every device");
}
