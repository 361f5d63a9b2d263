//! Volumes: of the task, of images, and what they begin with.

use serde_json::{Value, json};

use super::WAITING;
use crate::server::{Server, assert_refused, until};

/// An image with content at `/data` and at `/srv`, of which the first is declared as a volume, as is `/new`.
fn image(server: &Server) -> String {
    let script = "mkdir -p data/sub srv out; echo image > data/file; echo srv > srv/file; chown -R 1000:77 data; chmod 2750 data; \
        ln -s file data/link; ln data/file data/sub/hard; ln -s /../../../../../../etc data/out; rm -r out; ln -s /data out";
    server.image("volumes", script, &["--volume", "/data", "--volume", "/new/", "--volume", "/tmp", "--volume", "/srv"])
}

#[test]
fn volumes_of_an_image_begin_with_its_content_and_go_with_the_task() {
    let mut server = Server::start();
    let image = image(&server);
    let main = json!({"name": "main", "image": image, "memory": 32, "command": ["sh", "-c", WAITING],
        "readonlyRootFilesystem": true, "stopTimeout": 2,
        "linuxParameters": {"tmpfs": [{"containerPath": "/tmp", "size": 1}]},
        "mountPoints": [{"sourceVolume": "below", "containerPath": "/data/below/it"},
            {"sourceVolume": "mine", "containerPath": "/srv"}, {"sourceVolume": "below", "containerPath": "/data/below"}]});
    let side = json!({"name": "side", "image": server.busybox(), "memory": 32, "command": ["sh", "-c", WAITING],
        "essential": false, "stopTimeout": 2, "volumesFrom": [{"sourceContainer": "main", "readOnly": true}]});
    let volumes = json!([{"name": "mine", "host": {}}, {"name": "below", "host": {}}]);
    let definition = json!({"family": "volumes", "volumes": volumes, "containerDefinitions": [side, main]});
    let arn = server.run_definition(&definition, &json!({}));
    server.wait_task(&arn, "RUNNING");
    let mounts = server.inside(&arn, "cat /proc/mounts");
    let kind = |point: &str| {
        let found = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|words| words[1] == point);
        found.map(|words| words[2].to_owned()).unwrap_or_default()
    };
    for point in ["/data", "/new", "/srv"] {
        assert!(!kind(point).is_empty() && kind(point) != "overlay" && kind(point) != "tmpfs", "{point}: {mounts}");
    }
    assert_eq!(kind("/tmp"), "tmpfs", "a mount of one's own comes first");
    // What is mounted above is mounted first, or it would hide what is below.
    server.inside(&arn, "echo kept > /data/below/kept && test -e /data/below/it/kept");
    let looked = server.inside(
        &arn,
        "stat -c '%u:%g:%a' /data; cat /data/link /srv/file; readlink /data/out; stat -c %h /data/file; ls /new",
    );
    assert_eq!(looked, "1000:77:2750\nimage\nsrv\n/../../../../../../etc\n2\n");
    server.inside(&arn, "echo changed > /data/file && touch /new/made && ! touch /etc/x 2>/dev/null");
    let seen = server.cove(&["exec", &arn, "--container", "side", "--", "cat", "/data/file", "/srv/file"]);
    assert_eq!(String::from_utf8_lossy(&seen.stdout), "changed\nsrv\n", "{seen:?}");
    let written = server.cove(&["exec", &arn, "--container", "side", "--", "touch", "/new/x"]);
    assert!(!written.status.success(), "borrowed to be read");
    server.kill_and_restart();
    assert_eq!(server.inside(&arn, "cat /data/file"), "changed\n");
    let volumes = server.home().join("data/volumes");
    assert_eq!(std::fs::read_dir(&volumes).unwrap().count(), 1);
    server.ecs("StopTask", &json!({"task": arn})).unwrap();
    server.wait_task(&arn, "STOPPED");
    until("the volumes are gone", || std::fs::read_dir(&volumes).unwrap().next().is_none().then_some(()));
    // The image was not written to.
    let again = server.run_task("again", json!({"image": image, "command": ["grep", "-q", "image", "/out/file"]}));
    assert_eq!(server.wait_task(&again, "STOPPED")["containers"][0]["exitCode"], 0);
}

#[test]
fn a_host_path_is_mounted_as_it_is() {
    let server = Server::start();
    let image = image(&server);
    let path = server.home().join("host path");
    let container = json!({"image": image, "command": ["sh", "-c", "test -z \"$(ls /data)\" && touch /data/made"],
        "mountPoints": [{"sourceVolume": "host", "containerPath": "/data/"}]});
    let volumes = json!({"volumes": [{"name": "host", "host": {"sourcePath": path}}]});
    let arn = server.run_task_with("host", container, &volumes, &json!({}));
    assert_eq!(server.wait_task(&arn, "STOPPED")["containers"][0]["exitCode"], 0);
    assert!(path.join("made").exists());
}

/// A definition whose container `main` has the volume `v` at `/data`.
fn docker_volume(family: &str, image: &str, script: &str, docker: Value) -> Value {
    let main = json!({"name": "main", "image": image, "memory": 32, "stopTimeout": 2, "command": ["sh", "-c", script],
        "mountPoints": [{"sourceVolume": "v", "containerPath": "/data"}]});
    json!({"family": family, "containerDefinitions": [main],
        "volumes": [{"name": "v", "dockerVolumeConfiguration": docker}]})
}

#[test]
fn a_docker_volume_of_a_task_begins_with_the_images_content_and_goes_with_the_task() {
    let mut server = Server::start();
    let image = image(&server);
    let options = json!({"type": "tmpfs", "device": "tmpfs", "o": "size=128k,uid=5,nosuid"});
    let plain = json!({"scope": "task", "driver": "local", "labels": {"a": "b"}});
    for (family, docker, kind) in [("plain", plain, "disk"), ("memory", json!({"driverOpts": options}), "tmpfs")] {
        let arn = server.run_definition(&docker_volume(family, &image, WAITING, docker), &json!({}));
        server.wait_task(&arn, "RUNNING");
        assert_eq!(server.inside(&arn, "cat /data/file; echo new > /data/made; stat -c %u /data/sub"), "image\n1000\n");
        let mounts = server.inside(&arn, "grep ' /data ' /proc/mounts");
        assert_eq!(mounts.contains("tmpfs"), kind == "tmpfs", "{mounts}");
        assert_eq!(mounts.contains("size=128k"), kind == "tmpfs", "{mounts}");
        server.kill_and_restart();
        assert_eq!(server.inside(&arn, "cat /data/made"), "new\n");
        server.ecs("StopTask", &json!({"task": arn})).unwrap();
        server.wait_task(&arn, "STOPPED");
        let volumes = server.home().join("data/volumes");
        until("the volume is gone", || std::fs::read_dir(&volumes).unwrap().next().is_none().then_some(()));
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(volumes.to_str().unwrap()), "{mounts}");
    }
}

#[test]
fn an_ephemeral_server_takes_volumes_in_memory_along_also_after_a_crash() {
    let mut server = Server::start_set(&["--ephemeral"]);
    let run = |server: &Server| {
        let options = json!({"driverOpts": {"type": "tmpfs", "device": "tmpfs"}});
        let arn = server.run_definition(&docker_volume("memory", &image(server), WAITING, options), &json!({}));
        server.wait_task(&arn, "RUNNING");
    };
    run(&server);
    server.kill_and_restart();
    run(&server);
    assert_eq!(server.terminate(), Some(0));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(server.home().to_str().unwrap()), "{mounts}");
}

#[test]
fn a_shared_docker_volume_is_made_if_that_is_wanted_and_outlives_its_tasks() {
    let mut server = Server::start();
    let (image, busybox) = (image(&server), server.busybox());
    let shared = |autoprovision: bool| json!({"scope": "shared", "autoprovision": autoprovision, "labels": {"a": "b"}});
    let refused = docker_volume("early", &busybox, WAITING, shared(false));
    let task = server.wait_task(&server.run_definition(&refused, &json!({})), "STOPPED");
    let reason = task["stoppedReason"].as_str().unwrap();
    assert!(reason.contains("volume 'v' does not exist and autoprovision is set to false"), "{reason}");
    // The first has nothing at the path, so the second still fills what both have.
    let empty = docker_volume("empty", &busybox, WAITING, shared(true));
    let first = server.run_definition(&empty, &json!({}));
    server.wait_task(&first, "RUNNING");
    assert_eq!(server.inside(&first, "ls -A /data"), "");
    let filling = docker_volume("filling", &image, WAITING, shared(true));
    let second = server.run_definition(&filling, &json!({}));
    server.wait_task(&second, "RUNNING");
    assert_eq!(server.inside(&first, "cat /data/file; stat -c %u:%g:%a /data"), "image\n1000:77:2750\n");
    server.inside(&first, "echo mine > /data/file");
    assert_eq!(server.inside(&second, "cat /data/link"), "mine\n");
    for arn in [&first, &second] {
        server.ecs("StopTask", &json!({"task": arn})).unwrap();
        server.wait_task(arn, "STOPPED");
    }
    server.kill_and_restart();
    let later = docker_volume("later", &image, "grep -q mine /data/file", shared(false));
    let arn = server.run_definition(&later, &json!({}));
    assert_eq!(server.wait_task(&arn, "STOPPED")["containers"][0]["exitCode"], 0);
}

#[test]
fn shared_volumes_are_listed_and_removed_when_no_task_has_them() {
    let mut server = Server::start();
    let image = server.busybox();
    let volumes = |server: &Server| {
        let listed = server.cove(&["volume", "ls", "--json"]);
        assert!(listed.status.success(), "{listed:?}");
        serde_json::from_slice::<Value>(&listed.stdout).unwrap()
    };
    assert_eq!(volumes(&server), json!([]));
    let shared = json!({"scope": "shared", "autoprovision": true});
    let script = format!("head -c 3000000 /dev/zero > /data/file; {WAITING}");
    let arn = server.run_definition(&docker_volume("keeper", &image, &script, shared.clone()), &json!({}));
    server.wait_task(&arn, "RUNNING");
    let listed = until("it has grown", || {
        let all = volumes(&server);
        all[0]["bytes"].as_u64().filter(|bytes| *bytes >= 3_000_000)?;
        Some(all)
    });
    assert_eq!((&listed[0]["name"], &listed[0]["tasks"]), (&json!("v"), &json!([arn])), "{listed}");
    let shown = server.cove(&["volume", "ls"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("2.9 MiB"), "{shown:?}");
    let refused = server.cove(&["volume", "rm", "v"]);
    assert!(!refused.status.success());
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(words.contains("in use by") && words.contains(&arn), "{words}");
    server.kill_and_restart();
    assert!(!server.cove(&["volume", "rm", "v"]).status.success());
    server.ecs("StopTask", &json!({"task": arn})).unwrap();
    server.wait_task(&arn, "STOPPED");
    assert_eq!(volumes(&server)[0]["tasks"], json!([]));
    for odd in ["../v", "w", "", "."] {
        let refused = server.cove(&["volume", "rm", odd]);
        assert!(!refused.status.success(), "{odd}: {refused:?}");
    }
    assert!(server.cove(&["volume", "rm", "v"]).status.success());
    assert_eq!(volumes(&server), json!([]));
    let place = server.home().join("data/shared-volumes");
    let left: Vec<_> = std::fs::read_dir(&place)
        .unwrap()
        .flat_map(|tenant| std::fs::read_dir(tenant.unwrap().path()).unwrap())
        .collect();
    assert!(left.is_empty(), "{left:?}");
    // Made anew, empty.
    let again = server.run_definition(&docker_volume("again", &image, "test ! -e /data/file", shared), &json!({}));
    assert_eq!(server.wait_task(&again, "STOPPED")["containers"][0]["exitCode"], 0);
}

#[test]
fn docker_volumes_of_other_drivers_are_refused_by_name() {
    let server = Server::start();
    let image = server.busybox();
    for docker in [
        json!({"driver": "rexray/ebs"}),
        json!({"driver": "local", "driverOpts": {"type": "nfs", "device": ":/x", "o": "addr=1.2.3.4"}}),
        json!({"scope": "shared", "driverOpts": {"type": "tmpfs", "device": "tmpfs"}}),
    ] {
        let definition = docker_volume("other", &image, WAITING, docker);
        server.ecs("RegisterTaskDefinition", &definition).unwrap();
        let refused = server.ecs("RunTask", &json!({"taskDefinition": "other"}));
        assert_refused(refused, "UnsupportedFeatureException", "volumes[].dockerVolumeConfiguration");
    }
}
