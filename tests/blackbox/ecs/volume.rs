//! Volumes: of the task, of images, and what they begin with.

use serde_json::json;

use super::WAITING;
use crate::server::{Server, until};

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
        "mountPoints": [{"sourceVolume": "mine", "containerPath": "/srv"}]});
    let side = json!({"name": "side", "image": server.busybox(), "memory": 32, "command": ["sh", "-c", WAITING],
        "essential": false, "stopTimeout": 2, "volumesFrom": [{"sourceContainer": "main", "readOnly": true}]});
    let definition = json!({"family": "volumes", "volumes": [{"name": "mine", "host": {}}],
        "containerDefinitions": [side, main]});
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
