//! What each version of the protocol looks like in bytes, kept for as long as it must be readable: an older shim or server
//! cannot be stored here, what it says and writes can.
//!
//! Holds: present code reads everything that was recorded since [`OLDEST`] and loses nothing of it, and whatever it
//! writes in its place has at least the recorded members, so that the older side reads it too.

use std::collections::BTreeSet;
use std::path::Path;

use cove_base::Timestamp;
use cove_model::task::Health;
use cove_runtime::spec::{
    BindMount, ContainerResources, ContainerSpec, DeviceSpec, HealthCheck, LogTarget, NetworkNamespace, Rlimit,
    RootFilesystem, SharedNamespace, TaskLimits, TmpfsMount,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::protocol::{ContainerState, Event, ExitRecord, HeldPort, OLDEST, Phase, Request, TaskSpec, VERSION};

/// One version: a message or document per line, each file of one kind.
struct Recording {
    version: u32,
    requests: &'static str,
    events: &'static str,
    specs: &'static str,
    exits: &'static str,
}

const RECORDINGS: &[Recording] = &[
    Recording {
        version: 1,
        requests: include_str!("v1/requests.jsonl"),
        events: include_str!("v1/events.jsonl"),
        specs: include_str!("v1/specs.jsonl"),
        exits: include_str!("v1/exits.jsonl"),
    },
    Recording {
        version: 2,
        requests: include_str!("v2/requests.jsonl"),
        events: include_str!("v2/events.jsonl"),
        specs: include_str!("v2/specs.jsonl"),
        exits: include_str!("v2/exits.jsonl"),
    },
];

/// Whether everything that `old` says, `new` says as well.
fn covers(new: &Value, old: &Value) -> bool {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            old.iter().all(|(name, value)| new.get(name).is_some_and(|there| covers(there, value)))
        }
        (Value::Array(new), Value::Array(old)) => {
            new.len() == old.len() && new.iter().zip(old).all(|(new, old)| covers(new, old))
        }
        (new, old) => new == old,
    }
}

fn check<T: Serialize + DeserializeOwned>(version: u32, lines: &str) {
    for line in lines.lines() {
        let read: T = serde_json::from_str(line).unwrap_or_else(|error| panic!("version {version}: {error}: {line}"));
        let written = serde_json::to_value(&read).unwrap();
        let old: Value = serde_json::from_str(line).unwrap();
        assert!(covers(&written, &old), "version {version} said {line}, this one makes of it {written}");
    }
}

#[test]
fn everything_recorded_is_read_and_nothing_of_it_is_lost() {
    let versions: Vec<u32> = RECORDINGS.iter().map(|one| one.version).collect();
    assert_eq!(versions, (OLDEST..=VERSION).collect::<Vec<_>>(), "each version that is spoken is recorded");
    for recording in RECORDINGS {
        check::<Request>(recording.version, recording.requests);
        check::<Event>(recording.version, recording.events);
        check::<TaskSpec>(recording.version, recording.specs);
        check::<ExitRecord>(recording.version, recording.exits);
    }
}

#[test]
fn the_present_version_is_recorded_message_by_message() {
    let newest = RECORDINGS.last().unwrap();
    let names = |lines: &str| -> BTreeSet<String> {
        lines.lines().map(|line| name(&serde_json::from_str(line).unwrap())).collect()
    };
    let of = |values: Vec<Value>| -> BTreeSet<String> { values.iter().map(name).collect() };
    assert_eq!(names(newest.requests), of(values(requests())));
    assert_eq!(names(newest.events), of(values(events())));
}

/// Not a test: writes the files of the present version. To be run once, by the build that raises [`VERSION`]:
/// `RECORD_PROTOCOL=src/shim/recorded cargo test -p cove-shim --lib record_the_protocol`.
#[test]
fn record_the_protocol() {
    let Some(root) = std::env::var_os("RECORD_PROTOCOL") else { return };
    // Tests run in the crate's directory.
    let directory = Path::new(&root).join(format!("v{VERSION}"));
    std::fs::create_dir_all(&directory).unwrap();
    let write = |name: &str, values: Vec<Value>| {
        let text: String = values.iter().map(|value| format!("{value}\n")).collect();
        std::fs::write(directory.join(name), text).unwrap();
    };
    write("requests.jsonl", values(requests()));
    write("events.jsonl", values(events()));
    write("specs.jsonl", values(vec![spec(full_container()), spec(plain_container())]));
    write("exits.jsonl", values(vec![ended(), not_started()]));
}

fn values<T: Serialize>(of: Vec<T>) -> Vec<Value> {
    of.iter().map(|one| serde_json::to_value(one).unwrap()).collect()
}

/// A message is its name, or an object with one member of that name; a changed state also says its phase.
fn name(message: &Value) -> String {
    match message {
        Value::String(name) => name.clone(),
        message => {
            let (name, content) = message.as_object().unwrap().iter().next().unwrap();
            let phase = &content["phase"];
            let phase = phase.as_str().or_else(|| phase.as_object()?.keys().next().map(String::as_str));
            format!("{name} {}", phase.unwrap_or_default())
        }
    }
}

/// One of each, with every member set.
fn requests() -> Vec<Request> {
    let container = || "main".to_owned();
    let all = vec![
        Request::Subscribe,
        Request::Start { container: container(), attempt: 1 },
        Request::Stop { container: container() },
        Request::Kill { container: container() },
        Request::StopAll,
        Request::Exec {
            exec_id: "e1".into(),
            container: container(),
            args: vec!["sh".into(), "-c".into(), "true".into()],
            env: vec!["A=b".into()],
            user: Some("app".into()),
            cwd: Some("/tmp".into()),
        },
        Request::SignalExec { exec_id: "e1".into(), signal: 9 },
        Request::Finish,
    ];
    for request in &all {
        // A new request breaks the build here: add it to the list above.
        match request {
            Request::Subscribe
            | Request::Start { .. }
            | Request::Stop { .. }
            | Request::Kill { .. }
            | Request::StopAll
            | Request::Exec { .. }
            | Request::SignalExec { .. }
            | Request::Finish => {}
        }
    }
    all
}

fn events() -> Vec<Event> {
    let state = |phase: Phase| ContainerState {
        name: "main".into(),
        attempt: 0,
        phase,
        recording: false,
        health: Some(Health::Healthy),
        health_since: Some(Timestamp(1_700_000_000_500)),
    };
    let phases =
        [Phase::Waiting, Phase::Running { pid: 42, started_at: Timestamp(1_700_000_000_000) }, Phase::Exited(ended())];
    let mut all = vec![Event::State {
        version: VERSION,
        shim_pid: 41,
        containers: phases.iter().map(|phase| state(phase.clone())).collect(),
    }];
    all.extend(phases.map(|phase| Event::Changed(state(phase))));
    all.push(Event::Changed(ContainerState { recording: true, ..state(Phase::Waiting) }));
    all.push(Event::ExecStarted { exec_id: "e1".into(), pid: 43 });
    all.push(Event::ExecExited { exec_id: "e1".into(), exit_code: 7 });
    all.push(Event::Refused { what: "main".into(), why: "the task has no such container".into() });
    for event in &all {
        // A new event or phase breaks the build here: add it to the list above.
        match event {
            Event::State { .. } | Event::ExecStarted { .. } | Event::ExecExited { .. } | Event::Refused { .. } => {}
            Event::Changed(state) => match state.phase {
                Phase::Waiting | Phase::Running { .. } | Phase::Exited(_) => {}
            },
        }
    }
    all
}

fn ended() -> ExitRecord {
    ExitRecord {
        container: "main".into(),
        attempt: 0,
        started_at: Some(Timestamp(1_700_000_000_000)),
        stopped_at: Timestamp(1_700_000_001_000),
        exit_code: Some(3),
        oom_killed: true,
        error: None,
    }
}

fn not_started() -> ExitRecord {
    ExitRecord {
        started_at: None,
        exit_code: None,
        oom_killed: false,
        error: Some("CannotStartContainerError: no such program".into()),
        ..ended()
    }
}

fn spec(container: ContainerSpec) -> TaskSpec {
    TaskSpec {
        version: VERSION,
        node: "main".into(),
        task_id: "0af1".into(),
        directory: "/run/cove/tasks/0af1".into(),
        exits: "/var/lib/cove/exits/0af1".into(),
        cgroup: "/cove-main/tasks/0af1".into(),
        limits: TaskLimits {
            cpu_quota_percent: Some(50),
            cpu_shares: Some(512),
            memory_bytes: Some(64 << 20),
            pids: Some(1024),
        },
        network: NetworkNamespace::Path("/run/cove/netns/0af1".into()),
        pid: SharedNamespace::Task,
        ipc: SharedNamespace::Private,
        held_ports: vec![HeldPort { port: 32768, udp: true }],
        containers: vec![container],
    }
}

fn full_container() -> ContainerSpec {
    ContainerSpec {
        cwd: "/app".into(),
        user: "app:app".into(),
        hostname: Some("box".into()),
        read_only_root: true,
        mounts: vec![BindMount {
            source: "/srv".into(),
            destination: "/f".into(),
            read_only: true,
            propagation: Some("rslave".into()),
        }],
        tmpfs: vec![TmpfsMount { destination: "/t".into(), size_bytes: 1 << 20, options: vec!["noexec".into()] }],
        capabilities: vec!["CHOWN".into()],
        privileged: true,
        no_new_privileges: true,
        devices: vec![DeviceSpec {
            host_path: "/dev/kvm".into(),
            container_path: "/dev/kvm".into(),
            permissions: "rw".into(),
        }],
        sysctls: [("net.core.somaxconn".to_owned(), "1024".to_owned())].into(),
        rlimits: vec![Rlimit { name: "nofile".into(), soft: 1024, hard: 4096 }],
        resources: ContainerResources {
            cpu_shares: Some(256),
            memory_bytes: Some(32 << 20),
            memory_reservation_bytes: Some(16 << 20),
            memory_swap_bytes: Some(32 << 20),
            swappiness: Some(10),
            pids: Some(100),
            oom_score_adj: 500,
        },
        init: true,
        log: Some(LogTarget { directory: "/var/lib/cove/logs/a".into(), max_bytes: 1 << 30, event_start: None }),
        stdin_open: true,
        health: Some(HealthCheck {
            args: vec!["/bin/sh".into(), "-c".into(), "true".into()],
            interval_millis: 30_000,
            timeout_millis: 5000,
            retries: 3,
            start_period_millis: 10_000,
        }),
        ..plain_container()
    }
}

fn plain_container() -> ContainerSpec {
    ContainerSpec {
        name: "main".into(),
        attempt: 0,
        args: vec!["sleep".into(), "600".into()],
        env: vec!["A=b".into()],
        cwd: String::new(),
        user: String::new(),
        hostname: None,
        rootfs: RootFilesystem {
            base: "/var/lib/cove/snapshots".into(),
            lower: vec!["l/2".into(), "l/1".into()],
            upper: "w/0af1/main/u".into(),
            work: "w/0af1/main/w".into(),
        },
        read_only_root: false,
        mounts: Vec::new(),
        tmpfs: Vec::new(),
        shm_bytes: 64 << 20,
        capabilities: Vec::new(),
        privileged: false,
        no_new_privileges: false,
        devices: Vec::new(),
        sysctls: Default::default(),
        rlimits: Vec::new(),
        resources: ContainerResources::default(),
        init: false,
        log: None,
        stdin_open: false,
        stop_signal: 15,
        stop_timeout_secs: 30,
        health: None,
        terminal: false,
        offline: false,
    }
}
