//! Real containers in a real kernel, without a server. Needs root and busybox-static.

#![allow(clippy::unwrap_used, reason = "a test's helpers")]

mod world;

use std::fs;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cove_model::task::Health;
use cove_runtime::spec::{BindMount, ContainerSpec, HealthCheck, Rlimit, SharedNamespace};
use cove_shim::client::{self, Shim, ShimError};
use cove_shim::journal;
use cove_shim::protocol::{Event, ExitRecord, HeldPort, Phase, Request, TaskSpec};
use world::World;

/// The example has the personalities that a shim needs.
fn binary() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap().parent().unwrap().join("examples/run_one")
}

async fn next(shim: &mut Shim) -> Event {
    let event = tokio::time::timeout(Duration::from_secs(30), shim.next()).await.expect("an event in time");
    event.unwrap().expect("the shim is there")
}

async fn exit(shim: &mut Shim, name: &str) -> ExitRecord {
    loop {
        if let Event::Changed(state) = next(shim).await
            && let (true, Phase::Exited(record)) = (state.name == name, state.phase)
        {
            return record;
        }
    }
}

async fn up(world: &World, spec: &TaskSpec) -> Shim {
    client::spawn(&binary(), &world.groups(), spec).await.unwrap().0
}

async fn start(shim: &Shim, name: &str) {
    shim.send(&Request::Start { container: name.to_owned(), attempt: 0 }).await.unwrap();
}

/// Waits until the container has written this.
async fn wait_for(world: &World, name: &str, text: &str) {
    let begun = Instant::now();
    while !world.log(name).contains(text) {
        assert!(begun.elapsed() < Duration::from_secs(20), "log is {}", world.log(name));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn finish(mut shim: Shim, world: &World, spec: &TaskSpec) {
    shim.send(&Request::Finish).await.unwrap();
    while let Ok(Some(event)) = shim.next().await {
        assert!(!matches!(event, Event::Refused { .. }), "{event:?}");
    }
    let begun = Instant::now();
    while spec.directory.exists() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the task directory stays");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(world.groups().inventory().is_empty());
}

/// Runs a script as the only container, changed as asked, to its end.
async fn script(text: &str, change: impl FnOnce(&mut ContainerSpec)) -> (ExitRecord, String) {
    let world = World::new();
    let mut container = world.container("main", &["sh", "-c", text]);
    change(&mut container);
    let spec = world.task(vec![container]);
    let mut shim = up(&world, &spec).await;
    start(&shim, "main").await;
    let record = exit(&mut shim, "main").await;
    assert_eq!(journal::read(&spec.exits), std::slice::from_ref(&record));
    finish(shim, &world, &spec).await;
    (record, world.log("main"))
}

#[tokio::test]
async fn a_program_ends_with_its_own_code_and_its_output_is_kept() {
    let (record, log) = script("echo out; echo err >&2; exit 3", |_| {}).await;
    assert_eq!((record.exit_code, record.error), (Some(3), None));
    assert!(log.contains("out") && log.contains("err"), "{log}");
}

#[tokio::test]
async fn root_has_dockers_capabilities_the_filter_and_clean_signals() {
    // No shell in between: it would ignore signals of its own.
    let args = ["grep", "-E", "Cap|Seccomp:|NoNew|Sig", "/proc/self/status"].map(ToOwned::to_owned);
    let (_, log) = script("", |one| one.args = args.to_vec()).await;
    for line in ["CapEff:\t00000000a80425fb", "CapBnd:\t00000000a80425fb", "CapAmb:\t0000000000000000", "Seccomp:\t2"] {
        assert!(log.contains(line), "{line} in {log}");
    }
    for line in ["NoNewPrivs:\t0", "SigIgn:\t0000000000000000", "SigBlk:\t0000000000000000"] {
        assert!(log.contains(line), "{line} in {log}");
    }
}

#[tokio::test]
async fn a_user_has_groups_and_no_capabilities() {
    let text = "id; echo home $HOME; grep -E 'CapEff|CapPrm|Seccomp:|NoNew' /proc/self/status";
    let (_, log) = script(text, |one| {
        one.user = "app".to_owned();
        one.no_new_privileges = true;
    })
    .await;
    assert!(log.contains("uid=1000(app) gid=1000(app)") && log.contains("2000(extra)"), "{log}");
    assert!(log.contains("CapEff:\t0000000000000000") && log.contains("CapPrm:\t0000000000000000"), "{log}");
    assert!(log.contains("NoNewPrivs:\t1") && log.contains("Seccomp:\t2") && log.contains("home /home/app"), "{log}");
}

#[tokio::test]
async fn new_namespaces_mounts_and_foreign_devices_are_refused() {
    let text = "unshare -U true; echo u=$?; mount -t tmpfs x /tmp; echo m=$?; mknod /tmp/vda b 253 0 && head -c1 /tmp/vda; \
                echo d=$?; echo 1 > /proc/sys/kernel/panic; echo s=$?; touch /sys/x; echo y=$?";
    let (_, log) = script(text, |_| {}).await;
    for line in ["u=1", "m=1", "d=1", "s=1", "y=1"] {
        assert!(log.contains(line), "{line} in {log}");
    }
    assert!(log.contains("Operation not permitted"), "{log}");
}

#[tokio::test]
async fn a_missing_program_is_told_in_dockers_words() {
    let (record, _) = script("", |one| one.args = vec!["no-such".to_owned()]).await;
    let error = record.error.unwrap();
    assert!(error.starts_with("CannotStartContainerError: "), "{error}");
    assert!(error.ends_with("exec: \"no-such\": executable file not found in $PATH"), "{error}");
    assert_eq!((record.exit_code, record.started_at), (None, None));
}

#[tokio::test]
async fn an_unknown_user_is_an_error_and_a_missing_directory_is_made() {
    let (record, _) = script("true", |one| one.user = "nobody-here".to_owned()).await;
    assert!(record.error.unwrap().contains("nobody-here"));
    let (record, log) = script("pwd; touch /x || echo read-only", |one| {
        one.cwd = "/made/here".to_owned();
        one.read_only_root = true;
    })
    .await;
    assert_eq!(record.error, None);
    assert!(log.contains("/made/here") && log.contains("read-only"), "{log}");
}

#[tokio::test]
async fn limits_hold_and_an_oom_kill_is_flagged() {
    let text = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; \
                for i in $(seq 40); do sleep 5 & done; exec tail /dev/zero";
    let (record, log) = script(text, |one| {
        one.resources.memory_bytes = Some(32 << 20);
        one.resources.pids = Some(20);
    })
    .await;
    assert!(log.contains("33554432"), "{log}");
    assert!(record.oom_killed || log.contains("fork"), "{record:?} {log}");
    let (record, _) = script("exec tail /dev/zero", |one| one.resources.memory_bytes = Some(32 << 20)).await;
    assert_eq!((record.exit_code, record.oom_killed), (Some(137), true));
    let (_, log) = script("for i in $(seq 40); do sleep 5 & done", |one| one.resources.pids = Some(20)).await;
    assert!(log.contains("can't fork"), "{log}");
}

#[tokio::test]
async fn stop_asks_first_and_kills_after_the_timeout() {
    let world = World::new();
    let polite =
        world.container("polite", &["sh", "-c", "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done"]);
    let mut deaf = world.container("deaf", &["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"]);
    deaf.stop_timeout_secs = 1;
    let spec = world.task(vec![polite, deaf]);
    let mut shim = up(&world, &spec).await;
    for name in ["polite", "deaf"] {
        start(&shim, name).await;
        wait_for(&world, name, "up").await;
    }
    shim.send(&Request::Finish).await.unwrap();
    while !matches!(next(&mut shim).await, Event::Refused { what, .. } if what == "finish") {}
    shim.send(&Request::StopAll).await.unwrap();
    assert_eq!(exit(&mut shim, "polite").await.exit_code, Some(7));
    assert_eq!(exit(&mut shim, "deaf").await.exit_code, Some(137));
    assert!(world.log("polite").contains("bye"));
    finish(shim, &world, &spec).await;
}

#[tokio::test]
async fn a_command_runs_inside_with_the_containers_restrictions() {
    let world = World::new();
    let mut container = world.container("main", &["sleep", "100"]);
    container.rlimits = vec![Rlimit { name: "nofile".to_owned(), soft: 77, hard: 99 }];
    let spec = world.task(vec![container]);
    let mut shim = up(&world, &spec).await;
    start(&shim, "main").await;
    while !matches!(next(&mut shim).await, Event::Changed(state) if matches!(state.phase, Phase::Running { .. })) {}
    for (user, effective) in [(None, "00000000a80425fb"), (Some("app".to_owned()), "0000000000000000")] {
        let text = "ulimit -n; ps; id; echo $GREETING $MORE; pwd; grep -E 'Cap|Seccomp:' /proc/self/status; exit 5";
        let (output, streams) = streams();
        let request = Request::Exec {
            exec_id: "e".to_owned(),
            container: "main".to_owned(),
            args: ["sh", "-c", text].map(ToOwned::to_owned).to_vec(),
            env: vec!["MORE=more".to_owned()],
            user,
            cwd: Some("/tmp".to_owned()),
        };
        shim.exec(&request, streams).await.unwrap();
        assert!(matches!(next(&mut shim).await, Event::ExecStarted { .. }));
        let Event::ExecExited { exit_code, .. } = next(&mut shim).await else { panic!("an end") };
        let output = read(output);
        assert_eq!(exit_code, 5, "{output}");
        assert!(output.contains("sleep 100") && output.contains("hello more") && output.contains("/tmp"), "{output}");
        let caps = format!("CapEff:\t{effective}");
        assert!(output.contains(&caps) && output.contains("CapBnd:\t00000000a80425fb"), "{output}");
        assert!(output.contains("Seccomp:\t2") && output.starts_with("77\n"), "{output}");
    }
    let request = Request::Exec {
        exec_id: "f".to_owned(),
        container: "main".to_owned(),
        args: vec!["no-such".to_owned()],
        env: Vec::new(),
        user: None,
        cwd: None,
    };
    shim.exec(&request, streams().1).await.unwrap();
    let Event::Refused { why, .. } = next(&mut shim).await else { panic!("a refusal") };
    assert_eq!(why, "exec: \"no-such\": executable file not found in $PATH");
    shim.send(&Request::Kill { container: "main".to_owned() }).await.unwrap();
    assert_eq!(exit(&mut shim, "main").await.exit_code, Some(137));
    finish(shim, &world, &spec).await;
}

fn streams() -> (OwnedFd, [OwnedFd; 3]) {
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let null = fs::File::open("/dev/null").unwrap();
    (read, [null.into(), write.try_clone().unwrap(), write])
}

fn read(from: OwnedFd) -> String {
    let mut text = String::new();
    fs::File::from(from).read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn a_server_that_comes_back_finds_the_same_container_and_a_dead_shim_is_told() {
    let world = World::new();
    let spec = world.task(vec![world.container("main", &["sleep", "100"])]);
    let mut shim = up(&world, &spec).await;
    start(&shim, "main").await;
    while !matches!(next(&mut shim).await, Event::Changed(state) if matches!(state.phase, Phase::Running { .. })) {}
    drop(shim);
    let mut shim = client::connect(&spec.directory).await.unwrap();
    let state = shim.subscribe().await.unwrap();
    assert!(matches!(state.containers[0].phase, Phase::Running { .. }));
    let again = client::spawn(&binary(), &world.groups(), &spec).await.unwrap();
    drop(again);
    assert_eq!(client::connect(&spec.directory).await.unwrap().subscribe().await.unwrap().shim_pid, state.shim_pid);

    cove_runtime::process::PidFd::open(state.shim_pid).unwrap().signal(libc::SIGKILL).unwrap();
    while let Ok(Some(_)) = shim.next().await {}
    let begun = Instant::now();
    while !matches!(client::connect(&spec.directory).await, Err(ShimError::Gone { .. })) {
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
    assert!(journal::read(&spec.exits).is_empty());
    assert_eq!(world.groups().inventory(), std::slice::from_ref(&world.task_id));
    world.groups().remove_task(&world.task_id).unwrap();
    assert!(world.groups().inventory().is_empty());
}

#[tokio::test]
async fn containers_share_processes_and_memory_when_asked_and_an_init_reaps() {
    let world = World::new();
    let mut first = world.container("first", &["sh", "-c", "echo x > /dev/shm/mark; echo up; sleep 100"]);
    first.init = true;
    let second = world.container("second", &["sh", "-c", "ps; cat /dev/shm/mark; cat /proc/1/cmdline; exit 4"]);
    let mut spec = world.task(vec![first, second]);
    (spec.pid, spec.ipc) = (SharedNamespace::Task, SharedNamespace::Task);
    let mut shim = up(&world, &spec).await;
    start(&shim, "first").await;
    wait_for(&world, "first", "up").await;
    start(&shim, "second").await;
    assert_eq!(exit(&mut shim, "second").await.exit_code, Some(4));
    let log = world.log("second");
    assert!(log.contains("sleep 100") && log.contains("/dev/init") && log.contains('x'), "{log}");
    assert!(!log.contains(&*spec.directory.to_string_lossy()), "{log}");
    shim.send(&Request::Stop { container: "first".to_owned() }).await.unwrap();
    assert_eq!(exit(&mut shim, "first").await.exit_code, Some(143));
    finish(shim, &world, &spec).await;
}

#[tokio::test]
async fn a_taken_port_stops_the_shim_and_says_which() {
    let world = World::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut spec = world.task(vec![world.container("main", &["true"])]);
    spec.held_ports = vec![HeldPort { port, udp: false }];
    let error = client::spawn(&binary(), &world.groups(), &spec).await.unwrap_err();
    assert!(
        matches!(&error, ShimError::Died { log } if log.contains(&format!("host port {port}/tcp is taken"))),
        "{error}"
    );
}

#[tokio::test]
async fn a_shim_is_small() {
    let world = World::new();
    let spec = world.task(vec![world.container("main", &["sleep", "100"])]);
    let mut shim = up(&world, &spec).await;
    start(&shim, "main").await;
    while !matches!(next(&mut shim).await, Event::Changed(state) if matches!(state.phase, Phase::Running { .. })) {}
    let pid = client::connect(&spec.directory).await.unwrap().subscribe().await.unwrap().shim_pid;
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let number = |key: &str| {
        let line = rollup.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    println!("private dirty {} KiB, pss {} KiB", number("Private_Dirty"), number("Pss:"));
    assert!(number("Private_Dirty") < 700, "{rollup}");
    shim.send(&Request::Kill { container: "main".to_owned() }).await.unwrap();
    exit(&mut shim, "main").await;
    finish(shim, &world, &spec).await;
}

/// A directory on a file system of its own without a free byte.
struct FullDisk(PathBuf);

impl FullDisk {
    fn new(path: PathBuf) -> Self {
        fs::create_dir_all(&path).unwrap();
        let (kind, options) = (Some("tmpfs"), Some("size=64k"));
        nix::mount::mount(Some("full"), &path, kind, nix::mount::MsFlags::empty(), options).unwrap();
        let filled = fs::write(path.join("ballast"), vec![0; 128 << 10]).unwrap_err();
        assert_eq!(filled.kind(), std::io::ErrorKind::StorageFull);
        Self(path)
    }

    fn free(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
    }
}

#[tokio::test]
async fn an_exit_is_told_only_once_a_full_disk_has_taken_its_record() {
    let world = World::new();
    let ends = world.container("ends", &["sh", "-c", "exit 7"]);
    let broken = world.container("broken", &["/no/such/program"]);
    let lives = world.container("lives", &["sleep", "100"]);
    let spec = world.task(vec![ends, broken, lives]);
    let disk = FullDisk::new(spec.exits.clone());
    let shim = up(&world, &spec).await;
    for name in ["lives", "ends", "broken"] {
        start(&shim, name).await;
    }
    let noted = || fs::read_to_string(spec.directory.join(client::LOG_FILE)).unwrap();
    let begun = Instant::now();
    while noted().lines().filter(|line| line.contains("cannot record the exit of")).count() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", noted());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // What has ended says so in no way, whoever asks; what lives is served as ever.
    let mut late = client::connect(&spec.directory).await.unwrap();
    for state in late.subscribe().await.unwrap().containers {
        assert_eq!(state.recording, state.name != "lives", "{state:?}");
        assert!(!matches!(state.phase, Phase::Exited(_)), "{state:?}");
    }
    start(&late, "broken").await;
    assert!(matches!(next(&mut late).await, Event::Changed(state) if state.phase == Phase::Waiting && state.recording));
    late.send(&Request::Finish).await.unwrap();
    assert!(matches!(next(&mut late).await, Event::Refused { why, .. } if why.contains("not on disk")));
    late.send(&Request::Kill { container: "lives".to_owned() }).await.unwrap();
    let begun = Instant::now();
    while noted().lines().filter(|line| line.contains("cannot record the exit of")).count() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", noted());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(journal::read(&spec.exits).is_empty());
    disk.free();
    let mut told = Vec::new();
    while told.len() < 3 {
        if let Event::Changed(state) = next(&mut late).await
            && let (false, Phase::Exited(record)) = (state.recording, state.phase)
        {
            told.push(record);
            assert!(told.iter().all(|one| journal::read(&spec.exits).contains(one)), "told before it was durable");
        }
    }
    told.sort_by(|a, b| a.container.cmp(&b.container));
    let codes: Vec<_> = told.iter().map(|record| record.exit_code).collect();
    assert_eq!(codes, [None, Some(7), Some(137)]);
    assert!(told[0].error.as_ref().is_some_and(|error| error.contains("/no/such/program")), "{told:?}");
    assert_eq!(noted().lines().filter(|line| line.contains("at last")).count(), 3, "{}", noted());
    finish(shim, &world, &spec).await;
}

#[tokio::test]
async fn a_record_that_nobody_will_read_does_not_keep_the_shim() {
    let world = World::new();
    let spec = world.task(vec![world.container("main", &["sleep", "100"])]);
    let mut shim = up(&world, &spec).await;
    start(&shim, "main").await;
    while !matches!(next(&mut shim).await, Event::Changed(state) if matches!(state.phase, Phase::Running { .. })) {}
    fs::remove_dir_all(&spec.exits).unwrap();
    shim.send(&Request::Kill { container: "main".to_owned() }).await.unwrap();
    assert_eq!(exit(&mut shim, "main").await.exit_code, Some(137));
    finish(shim, &world, &spec).await;
}

#[tokio::test]
async fn what_an_earlier_server_asked_is_done_before_a_later_one_is_told_the_state() {
    let world = World::new();
    let names = ["a", "b", "c", "d", "e", "f"];
    let spec = world.task(names.map(|name| world.container(name, &["sleep", "600"])).to_vec());
    let mut last = up(&world, &spec).await;
    for name in names {
        let killed = client::connect(&spec.directory).await.unwrap();
        start(&killed, name).await;
        drop(killed);
        let (shim, state) = client::take_over(&spec.directory).await.unwrap();
        let there = state.containers.iter().find(|one| one.name == name).unwrap();
        assert!(matches!(there.phase, Phase::Running { .. }), "{there:?}");
        last = shim;
    }
    for name in names {
        last.send(&Request::Kill { container: name.to_owned() }).await.unwrap();
        exit(&mut last, name).await;
    }
    finish(last, &world, &spec).await;
}

/// Probes twenty times a second.
fn check(script: &str, timeout_millis: u64) -> HealthCheck {
    let args = ["sh", "-c", script].map(ToOwned::to_owned).to_vec();
    HealthCheck { args, interval_millis: 50, timeout_millis, retries: 2, start_period_millis: 0 }
}

/// A directory that the test and the container share as `/f`.
fn share(world: &World, container: &mut ContainerSpec) -> PathBuf {
    let source = world.run_dir().join("shared");
    fs::create_dir_all(&source).unwrap();
    std::os::unix::fs::chown(&source, Some(1000), Some(1000)).unwrap();
    let mount = BindMount { source: source.clone(), destination: "/f".into(), read_only: false, propagation: None };
    container.mounts.push(mount);
    source
}

/// The next state of a container that is told of with this health.
async fn health(shim: &mut Shim, wanted: Health) {
    loop {
        if let Event::Changed(state) = next(shim).await
            && state.health == Some(wanted)
        {
            return;
        }
    }
}

#[tokio::test]
async fn health_follows_the_probes_and_is_told_only_when_it_changes() {
    let world = World::new();
    let script = "test $GREETING = hello && test $(id -u) = 1000 && test $PWD = /f && echo >> probes && test -f ok";
    let mut container = world.container("main", &["sh", "-c", "while :; do sleep 0.05; done"]);
    (container.health, container.user, container.cwd) = (Some(check(script, 5000)), "app".into(), "/f".into());
    let inside = share(&world, &mut container);
    let spec = world.task(vec![container]);
    let mut shim = up(&world, &spec).await;
    start(&shim, "main").await;
    health(&mut shim, Health::Unknown).await;
    health(&mut shim, Health::Unhealthy).await;
    fs::write(inside.join("ok"), "").unwrap();
    health(&mut shim, Health::Healthy).await;
    // Nobody listens for a while; whoever comes next is told what is so.
    let probes = || fs::read(inside.join("probes")).unwrap().len();
    drop(shim);
    fs::remove_file(inside.join("ok")).unwrap();
    let before = probes();
    let begun = Instant::now();
    while probes() < before + 5 {
        assert!(begun.elapsed() < Duration::from_secs(20), "probes go on without a server");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (mut shim, state) = client::take_over(&spec.directory).await.unwrap();
    assert_eq!(state.containers[0].health, Some(Health::Unhealthy));
    assert!(state.containers[0].health_since.is_some());
    shim.send(&Request::Kill { container: "main".to_owned() }).await.unwrap();
    // Nothing changed before the end.
    let told = next(&mut shim).await;
    assert!(matches!(&told, Event::Changed(state) if matches!(state.phase, Phase::Exited(_))), "{told:?}");
    finish(shim, &world, &spec).await;
}

#[tokio::test]
async fn a_probe_that_takes_too_long_is_killed_with_all_it_started_and_none_runs_beside_it() {
    let world = World::new();
    let seconds = format!("{}", 200_000 + std::process::id());
    let mut container = world.container("main", &["sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.05; done"]);
    container.health = Some(check(&format!("sleep {seconds} & sleep {seconds}"), 200));
    let spec = world.task(vec![container]);
    let mut shim = up(&world, &spec).await;
    start(&shim, "main").await;
    let sleeping = || {
        let lines = fs::read_dir("/proc").unwrap().flatten().map(|one| fs::read(one.path().join("cmdline")));
        let is_one = |line: &Vec<u8>| line.split(|byte| *byte == 0).any(|word| word == seconds.as_bytes());
        lines.flatten().filter(|line| is_one(line) && line.starts_with(b"sleep")).count()
    };
    health(&mut shim, Health::Unhealthy).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        assert!(sleeping() <= 2, "{} of one probe's two", sleeping());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    shim.send(&Request::Stop { container: "main".to_owned() }).await.unwrap();
    assert_eq!(exit(&mut shim, "main").await.exit_code, Some(5));
    assert_eq!(sleeping(), 0);
    finish(shim, &world, &spec).await;
}

#[tokio::test]
async fn a_container_that_closed_its_output_ends_at_once_though_a_probe_was_running() {
    let world = World::new();
    let script = "exec >&- 2>&-; trap 'exit 5' TERM; echo > /f/up; while :; do sleep 0.05; done";
    let mut container = world.container("main", &["sh", "-c", script]);
    container.health = Some(check("echo > /f/probing; sleep 600", 60_000));
    container.stop_timeout_secs = 3600;
    let shared = share(&world, &mut container);
    let spec = world.task(vec![container]);
    let mut shim = up(&world, &spec).await;
    start(&shim, "main").await;
    let begun = Instant::now();
    while !shared.join("probing").exists() || !shared.join("up").exists() {
        assert!(begun.elapsed() < Duration::from_secs(20), "no probe begins");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    shim.send(&Request::Stop { container: "main".to_owned() }).await.unwrap();
    // Its pid namespace cannot go before the probe is reaped, and nothing else wakes the shim.
    assert_eq!(exit(&mut shim, "main").await.exit_code, Some(5));
    finish(shim, &world, &spec).await;
}

#[tokio::test]
async fn a_probe_that_cannot_be_run_is_one_that_failed() {
    let world = World::new();
    let mut container = world.container("main", &["sleep", "600"]);
    container.health = Some(HealthCheck { args: vec!["/no/such".into()], ..check("", 1000) });
    let spec = world.task(vec![container]);
    let mut shim = up(&world, &spec).await;
    start(&shim, "main").await;
    health(&mut shim, Health::Unhealthy).await;
    shim.send(&Request::Kill { container: "main".to_owned() }).await.unwrap();
    exit(&mut shim, "main").await;
    finish(shim, &world, &spec).await;
}

/// Whoever opens the file waits until this is dropped, or 45 s.
fn lease(path: &std::path::Path) -> fs::File {
    const F_SETLEASE: i32 = 1024;
    let file = fs::File::open(path).unwrap();
    // SAFETY: integers only; the signal that says that somebody waits would end this process.
    let done = unsafe {
        libc::signal(libc::SIGIO, libc::SIG_IGN);
        libc::fcntl(file.as_raw_fd(), F_SETLEASE, libc::F_WRLCK)
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    file
}

#[tokio::test]
async fn a_program_on_a_file_system_that_does_not_answer_holds_the_shim_for_a_while_only() {
    let world = World::new();
    let mut container = world.container("main", &["sleep", "600"]);
    let args = vec!["/f/probe".to_owned()];
    container.health = Some(HealthCheck { args, retries: 1, interval_millis: 3000, ..check("", 1000) });
    let shared = share(&world, &mut container);
    fs::copy("/bin/busybox", shared.join("probe")).unwrap();
    let leased = lease(&shared.join("probe"));
    let spec = world.task(vec![container]);
    let mut shim = up(&world, &spec).await;
    start(&shim, "main").await;
    health(&mut shim, Health::Unhealthy).await;
    drop(leased);
    shim.send(&Request::Kill { container: "main".to_owned() }).await.unwrap();
    assert_eq!(exit(&mut shim, "main").await.exit_code, Some(137));
    finish(shim, &world, &spec).await;
}

#[tokio::test]
async fn the_next_attempt_goes_on_with_the_same_files_and_log_and_its_health_begins_anew() {
    let world = World::new();
    let script = "echo >> /tmp/starts; echo start $(wc -l < /tmp/starts); trap 'exit 5' TERM; \
                  while ! test -f /f/end; do sleep 0.02; done; rm /f/end; exit 4";
    let mut container = world.container("main", &["sh", "-c", script]);
    container.health = Some(check("true", 5000));
    let shared = share(&world, &mut container);
    let spec = world.task(vec![container]);
    let mut shim = up(&world, &spec).await;
    start(&shim, "main").await;
    health(&mut shim, Health::Healthy).await;
    wait_for(&world, "main", "start 1").await;
    fs::write(shared.join("end"), "").unwrap();
    let first = exit(&mut shim, "main").await;
    assert_eq!((first.attempt, first.exit_code), (0, Some(4)));
    let again = Request::Start { container: "main".to_owned(), attempt: 1 };
    shim.send(&again).await.unwrap();
    shim.send(&again).await.unwrap();
    health(&mut shim, Health::Unknown).await;
    health(&mut shim, Health::Healthy).await;
    wait_for(&world, "main", "start 2").await;
    shim.send(&Request::Stop { container: "main".to_owned() }).await.unwrap();
    let second = exit(&mut shim, "main").await;
    assert_eq!((second.attempt, second.exit_code), (1, Some(5)));
    assert_eq!(world.log("main"), "start 1\nstart 2");
    assert_eq!(journal::read(&spec.exits), [second], "the older record went");
    finish(shim, &world, &spec).await;
}
