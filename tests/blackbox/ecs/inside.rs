//! What a container sees of itself, and what holds it.

use serde_json::json;

use super::task::WAITING;
use crate::server::{Server, with};

/// `NAME: value` of `/proc/PID/status`.
fn status(server: &Server, arn: &str, process: &str, name: &str) -> String {
    let text = server.inside(arn, &format!("cat /proc/{process}/status"));
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name}: {text}")).trim().to_owned()
}

#[test]
fn init_and_exec_run_behind_the_filter_with_exactly_the_usual_capabilities() {
    let server = Server::start();
    let image = server.busybox();
    let container = json!({"image": image, "command": ["sh", "-c", WAITING]});
    let root = server.run_task("root", container.clone());
    let user = server.run_task("user", with(&container, &json!({"user": "1000"})));
    let bare = server.run_task(
        "bare",
        with(&container, &json!({"linuxParameters": {"capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}})),
    );
    for arn in [&root, &user, &bare] {
        server.wait_task(arn, "RUNNING");
    }
    for process in ["1", "self"] {
        assert_eq!(status(&server, &root, process, "Seccomp"), "2");
        assert_eq!(status(&server, &user, process, "Seccomp"), "2");
        assert_eq!(status(&server, &root, process, "CapEff"), "00000000a80425fb");
        assert_eq!(status(&server, &root, process, "CapBnd"), "00000000a80425fb");
        assert_eq!(status(&server, &user, process, "CapEff"), "0000000000000000");
        assert_eq!(status(&server, &user, process, "CapPrm"), "0000000000000000");
        assert_eq!(status(&server, &bare, process, "CapEff"), "0000000000000001");
        assert_eq!(status(&server, &user, process, "Uid"), "1000\t1000\t1000\t1000");
    }
    let refused = server.cove(&["exec", &root, "--", "sh", "-c", "mount -t tmpfs x /mnt || unshare -U true"]);
    assert!(!refused.status.success(), "neither mounts nor user namespaces");
}

#[test]
fn a_privileged_container_has_every_capability_and_no_filter() {
    let server = Server::start();
    let image = server.busybox();
    let arn = server.run_task("strong", json!({"image": image, "command": ["sh", "-c", WAITING], "privileged": true}));
    server.wait_task(&arn, "RUNNING");
    for process in ["1", "self"] {
        assert_eq!(status(&server, &arn, process, "Seccomp"), "0");
        let capabilities = u64::from_str_radix(&status(&server, &arn, process, "CapEff"), 16).unwrap();
        assert_ne!(capabilities & (1 << 21), 0, "CAP_SYS_ADMIN");
    }
}

#[test]
fn the_program_is_what_image_and_definition_say() {
    let server = Server::start();
    let image = server.busybox();
    let script =
        "[ \"$0\" = zero ] && [ \"$1\" = one ] && [ \"$NAME\" = value ] && [ $PWD = /made/for/it ] || exit 1; exit 7";
    let container = json!({"image": image, "entryPoint": ["sh", "-c", script], "command": ["zero", "one"],
        "environment": [{"name": "NAME", "value": "value"}], "workingDirectory": "/made/for/it"});
    let arn = server.run_task("program", container);
    assert_eq!(server.wait_task(&arn, "STOPPED")["containers"][0]["exitCode"], 7);
    let status = json!({"image": image, "command": ["sh", "-c", "kill -9 $$"]});
    let arn = server.run_task("killed", status);
    let code = server.wait_task(&arn, "STOPPED")["containers"][0]["exitCode"].as_i64().unwrap();
    assert!(code == 137 || code == 0, "a signal from its own namespace does not reach init: {code}");
}

#[test]
fn users_are_found_by_name_number_and_group() {
    let server = Server::start();
    let image = server.busybox();
    let make = "mkdir -p /etc; echo worker:x:1234:2345::/home/worker:/bin/sh >>/etc/passwd; echo crew:x:77:worker >>/etc/group";
    let base = json!({"image": image, "command": ["sh", "-c", format!("{make}; {WAITING}")]});
    let arn = server.run_task("users", base);
    server.wait_task(&arn, "RUNNING");
    crate::server::until("the users are there", || {
        server.cove(&["exec", &arn, "--", "grep", "-q", "crew", "/etc/group"]).status.success().then_some(())
    });
    for (user, wanted) in [
        ("worker", "1234:2345"),
        ("1234", "1234:2345"),
        ("worker:crew", "1234:77"),
        ("4242", "4242:0"),
        ("5:6", "5:6"),
        ("root", "0:0"),
    ] {
        let done = server.cove(&["exec", &arn, "--user", user, "--", "sh", "-c", "echo $(id -u):$(id -g)"]);
        assert_eq!(String::from_utf8_lossy(&done.stdout).trim(), wanted, "{user}: {done:?}");
    }
    let unknown = server.cove(&["exec", &arn, "--user", "nobody-knows", "--", "true"]);
    assert!(!unknown.status.success());
    let arn = server.run_task("stranger", json!({"image": image, "user": "nobody-knows", "command": ["true"]}));
    let task = server.wait_task(&arn, "STOPPED");
    assert_eq!(task["stopCode"], "TaskFailedToStart", "{task}");
}

#[test]
fn a_read_only_root_a_tmpfs_and_shared_memory_are_as_they_were_asked_for() {
    let server = Server::start();
    let image = server.busybox();
    let container = json!({"image": image, "command": ["sh", "-c", WAITING], "readonlyRootFilesystem": true,
        "linuxParameters": {"sharedMemorySize": 7, "initProcessEnabled": true,
            "tmpfs": [{"containerPath": "/scratch", "size": 3, "mountOptions": ["noexec", "mode=1777"]}]}});
    let arn = server.run_task("mounts", container);
    server.wait_task(&arn, "RUNNING");
    let refused = server.cove(&["exec", &arn, "--", "touch", "/etc/x"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Read-only"), "{refused:?}");
    server.inside(&arn, "touch /scratch/x && touch /dev/shm/x");
    let mounts = server.inside(&arn, "cat /proc/mounts");
    let line =
        |point: &str| mounts.lines().find(|line| line.split(' ').nth(1) == Some(point)).unwrap_or_default().to_owned();
    assert!(line("/dev/shm").contains("size=7168k"), "{mounts}");
    assert!(line("/scratch").contains("size=3072k") && line("/scratch").contains("noexec"), "{mounts}");
    let first = server.inside(&arn, "cat /proc/1/cmdline");
    assert!(!first.starts_with("sh\0"), "an init process comes first: {first:?}");
}

#[test]
fn a_program_that_is_not_root_opens_its_streams_by_name() {
    let server = Server::start();
    let script = format!("set -e; echo out > /dev/stdout; echo err > /dev/stderr; {WAITING}");
    let container = json!({"image": server.busybox(), "user": "1000", "command": ["sh", "-c", script]});
    let arn = server.run_task("named", container);
    server.wait_task(&arn, "RUNNING");
    let said = server.inside(&arn, "echo again > /dev/stdout; echo more > /dev/stderr; id -u");
    assert!(said.contains("again") && said.contains("1000"), "{said}");
    let logged = server.cove(&["logs", &arn]);
    let logged = String::from_utf8_lossy(&logged.stdout);
    assert!(logged.contains("out") && logged.contains("err"), "{logged}");
}

#[test]
fn an_init_process_lives_with_real_time_signals() {
    let server = Server::start();
    let container = |script: &str| {
        json!({"image": server.busybox(), "command": ["sh", "-c", script],
            "linuxParameters": {"initProcessEnabled": true}})
    };
    let killed = server.run_task("killed", container("kill -40 $$"));
    assert_eq!(server.wait_task(&killed, "STOPPED")["containers"][0]["exitCode"], 168);
    let told = server.run_task("told", container("trap 'exit 7' 40; kill -40 1; while :; do sleep 0.1; done"));
    assert_eq!(server.wait_task(&told, "STOPPED")["containers"][0]["exitCode"], 7);
}

#[test]
fn limits_of_processes_and_kernel_settings_arrive() {
    let server = Server::start();
    let image = server.busybox();
    let container = json!({"image": image, "command": ["sh", "-c", WAITING],
        "ulimits": [{"name": "nofile", "softLimit": 123, "hardLimit": 456}, {"name": "core", "softLimit": 0, "hardLimit": 0}],
        "systemControls": [{"namespace": "net.ipv4.ip_unprivileged_port_start", "value": "80"},
            {"namespace": "kernel.msgmax", "value": "12345"}]});
    let arn = server.run_task("limits", container);
    server.wait_task(&arn, "RUNNING");
    for process in ["1", "self"] {
        let limits = server.inside(&arn, &format!("cat /proc/{process}/limits"));
        let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        assert_eq!(files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["123", "456"], "{limits}");
    }
    assert_eq!(server.inside(&arn, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start"), "80\n");
    assert_eq!(server.inside(&arn, "cat /proc/sys/kernel/msgmax"), "12345\n");
    let unsafe_one =
        json!({"image": image, "command": ["true"], "systemControls": [{"namespace": "kernel.panic", "value": "1"}]});
    let arn = server.run_task("unsafe", unsafe_one);
    let task = server.wait_task(&arn, "STOPPED");
    assert_eq!(task["stopCode"], "TaskFailedToStart", "a setting of the whole host is refused: {task}");
}

#[test]
fn control_groups_hold_the_task_and_its_container() {
    let server = Server::start();
    let image = server.busybox();
    let container = json!({"image": image, "command": ["sh", "-c", WAITING], "memory": 24, "cpu": 128});
    let arn = server.run_task_with("held", container, &json!({"cpu": "256", "memory": "48"}), &json!({}));
    server.wait_task(&arn, "RUNNING");
    let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let (memory, wanted) = if unified {
        ("/sys/fs/cgroup/memory.max", 24_u64 << 20)
    } else {
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", 24 << 20)
    };
    assert_eq!(server.inside(&arn, &format!("cat {memory}")).trim(), wanted.to_string());
    let root = if unified { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/memory" };
    let file = if unified { "memory.max" } else { "memory.limit_in_bytes" };
    let mut found = Vec::new();
    collect(&std::path::Path::new(root).join(format!("cove-{}", server.node)), file, &mut found);
    assert!(found.contains(&(48 << 20)), "the task's limit: {found:?}");
    assert!(found.contains(&(24 << 20)), "the container's limit: {found:?}");
    if !unified {
        let mut quotas = Vec::new();
        collect(
            &std::path::Path::new("/sys/fs/cgroup/cpu").join(format!("cove-{}", server.node)),
            "cpu.cfs_quota_us",
            &mut quotas,
        );
        assert!(quotas.contains(&25_000), "a quarter of a core: {quotas:?}");
    }
}

/// The numbers in files of that name below a directory.
fn collect(directory: &std::path::Path, file: &str, found: &mut Vec<u64>) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), file, found);
        } else if entry.file_name() == file
            && let Ok(number) = std::fs::read_to_string(entry.path()).unwrap_or_default().trim().parse()
        {
            found.push(number);
        }
    }
}

#[test]
fn volumes_are_host_directories_or_the_tasks_own() {
    let server = Server::start();
    let image = server.busybox();
    let host = server.home().join("shared");
    std::fs::create_dir(&host).unwrap();
    std::fs::write(host.join("in"), "from the host").unwrap();
    let mounts = json!([{"sourceVolume": "host", "containerPath": "/host"}, {"sourceVolume": "own", "containerPath": "/own"},
        {"sourceVolume": "host", "containerPath": "/fixed", "readOnly": true}]);
    let definition = json!({"family": "v", "volumes": [{"name": "host", "host": {"sourcePath": host}}, {"name": "own"}],
        "containerDefinitions": [
            {"name": "main", "image": image, "memory": 16, "mountPoints": mounts,
                "command": ["sh", "-c", format!("cat /host/in > /own/copy; cp /own/copy /host/out; {WAITING}")]},
            {"name": "reader", "image": image, "memory": 16, "essential": false,
                "volumesFrom": [{"sourceContainer": "main", "readOnly": true}],
                "command": ["sh", "-c", "until [ -s /own/copy ]; do sleep 0.05; done; touch /own/x 2>/dev/null && exit 1; exit 8"]}]});
    let arn = server.run_definition(&definition, &json!({}));
    server.wait_task(&arn, "RUNNING");
    let out = crate::server::until("the copy", || {
        std::fs::read_to_string(host.join("out")).ok().filter(|text| !text.is_empty())
    });
    assert_eq!(out, "from the host");
    let refused = server.cove(&["exec", &arn, "--container", "main", "--", "touch", "/fixed/x"]);
    assert!(!refused.status.success());
    let reader = crate::server::until("the reader ends", || {
        let task = server.describe_task(&arn);
        let found = task["containers"].as_array().unwrap().iter().find(|it| it["name"] == "reader").unwrap().clone();
        found.get("exitCode").and_then(serde_json::Value::as_i64)
    });
    assert_eq!(reader, 8);
}

#[test]
fn exec_gives_output_exit_code_environment_and_directory() {
    let server = Server::start();
    let image = server.busybox();
    let arn = server.run_task("exec", json!({"image": image, "command": ["sh", "-c", WAITING]}));
    server.wait_task(&arn, "RUNNING");
    let script = "echo out; echo err >&2; echo $X in $PWD; exit 42";
    let done = server.cove(&["exec", &arn, "--env", "X=y", "--workdir", "/tmp", "--", "sh", "-c", script]);
    assert_eq!(done.status.code(), Some(42));
    assert_eq!(String::from_utf8_lossy(&done.stdout), "out\ny in /tmp\n");
    assert_eq!(String::from_utf8_lossy(&done.stderr), "err\n");
    let big = server.inside(&arn, "head -c 3000000 /dev/zero | tr '\\0' x");
    assert_eq!(big.len(), 3_000_000);
    let nothing = server.cove(&["exec", &arn, "--", "/no/such"]);
    assert!(!nothing.status.success());
    server.ecs("StopTask", &json!({"task": arn})).unwrap();
    server.wait_task(&arn, "STOPPED");
    assert!(!server.cove(&["exec", &arn, "--", "true"]).status.success(), "nothing runs in a stopped task");
}
