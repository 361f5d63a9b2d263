//! `cove doctor`: what this host lacks, and what to do about it. Reads the host; asks the server when one runs.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::client::{Client, text};
use super::error::CliError;
use super::{Target, say};

/// Overlay mounts in the form used here, pidfds with setns and openat2 need this kernel.
const KERNEL_MIN: (u32, u32) = (5, 10);

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// The findings as a JSON list
    #[arg(long)]
    json: bool,
}

/// One thing that was looked at.
struct Finding {
    level: Level,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Good,
    Note,
    Bad,
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Note => "note",
            Self::Bad => "bad",
        }
    }
}

/// Fails when something is missing that tasks cannot do without.
pub(super) async fn run(args: &DoctorArgs, target: &Target) -> Result<ExitCode, CliError> {
    let mut findings = vec![kernel(), root(), cgroups(), overlay(), netfilter(), security_labels()];
    findings.extend(writable());
    findings.extend(ask_server(target).await);
    if args.json {
        let list: Vec<Value> =
            findings.iter().map(|found| json!({"level": found.level.as_str(), "text": found.text})).collect();
        say(&Value::from(list).to_string());
    } else {
        for found in &findings {
            say(&format!("{:5} {}", found.level.as_str(), found.text));
        }
    }
    let bad = findings.iter().any(|found| found.level == Level::Bad);
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn good(text: impl Into<String>) -> Finding {
    Finding { level: Level::Good, text: text.into() }
}

fn note(text: impl Into<String>) -> Finding {
    Finding { level: Level::Note, text: text.into() }
}

fn bad(text: impl Into<String>) -> Finding {
    Finding { level: Level::Bad, text: text.into() }
}

fn kernel() -> Finding {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= KERNEL_MIN {
        good(format!("kernel {release}"))
    } else {
        bad(format!("kernel {release} is older than {}.{}: use a newer one", KERNEL_MIN.0, KERNEL_MIN.1))
    }
}

fn root() -> Finding {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective =
        status.lines().find_map(|line| line.strip_prefix("Uid:")).and_then(|uids| uids.split_whitespace().nth(1));
    match effective {
        Some("0") => match cove_runtime::capability::missing() {
            missing if missing.is_empty() => good("running as root"),
            missing => bad(format!(
                "root without CAP_{}: `cove serve` needs them; a container that Cove runs in needs --privileged",
                missing.join(", CAP_")
            )),
        },
        _ => note("not root: `cove serve` needs root; some checks here see less"),
    }
}

/// Containers that are not privileged see these without the right to write.
fn writable() -> Option<Finding> {
    let memory = "/sys/fs/cgroup/memory";
    let groups = if Path::new(memory).exists() { memory } else { "/sys/fs/cgroup" };
    let places = [("/proc/sys/net", "networks of tasks cannot be made"), (groups, "tasks cannot be limited")];
    let read_only = |path: &str| {
        nix::sys::statvfs::statvfs(path).is_ok_and(|stat| stat.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY))
    };
    let found: Vec<String> = places
        .iter()
        .filter(|(path, _)| read_only(path))
        .map(|(path, why)| format!("{path} is read-only, so {why}"))
        .collect();
    let advice = "a container that Cove runs in needs --privileged";
    (!found.is_empty()).then(|| bad(format!("{}: {advice}", found.join("; "))))
}

fn cgroups() -> Finding {
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        return good("cgroup v2");
    }
    let missing: Vec<&str> = ["cpu", "memory", "pids", "devices", "freezer"]
        .into_iter()
        .filter(|controller| !Path::new("/sys/fs/cgroup").join(controller).exists())
        .collect();
    if missing.is_empty() {
        good("cgroup v1")
    } else {
        bad(format!("cgroup controllers are missing: {}; mount cgroup2 at /sys/fs/cgroup", missing.join(", ")))
    }
}

fn overlay() -> Finding {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known.lines().any(|line| line.trim_end().ends_with("overlay")) {
        good("overlayfs")
    } else {
        note("overlayfs is not loaded yet: `modprobe overlay` if tasks cannot be started")
    }
}

fn netfilter() -> Finding {
    if Path::new("/proc/net/netfilter").exists() && Path::new("/proc/sys/net/netfilter").exists() {
        good("netfilter with connection tracking")
    } else {
        note("connection tracking is not loaded yet: `modprobe nf_tables nf_conntrack veth` if networks cannot be made")
    }
}

fn security_labels() -> Finding {
    let apparmor = Path::new("/sys/kernel/security/apparmor").exists();
    let selinux = Path::new("/sys/fs/selinux/enforce").exists();
    match (apparmor, selinux) {
        (false, false) => good("no AppArmor or SELinux to apply labels of"),
        (true, _) => note("AppArmor is active; Cove applies no profile to containers yet"),
        (false, true) => note("SELinux is active; Cove applies no label to containers yet"),
    }
}

/// The server knows its networks, snapshots and file systems.
async fn ask_server(target: &Target) -> Vec<Finding> {
    let answer = match Client::new(target) {
        Ok(client) => client.cove("GET", "/_cove/v1/doctor", None).await,
        Err(error) => Err(error),
    };
    match answer {
        Err(CliError::Connect { .. }) => {
            vec![note(format!("no server answers on {}: its part was not looked at", target.endpoint))]
        }
        Err(error) => vec![bad(format!("the server could not say: {}", cove_base::error::chain(&error)))],
        Ok(answer) => {
            let listed = answer["findings"].as_array().cloned().unwrap_or_default();
            let findings: Vec<Finding> = listed.iter().map(from_server).collect();
            if findings.is_empty() { vec![good("the server has no complaint")] } else { findings }
        }
    }
}

fn from_server(value: &Value) -> Finding {
    let message = text(value, "text");
    match text(value, "level") {
        "ok" => good(message),
        "note" => note(message),
        _ => bad(message),
    }
}
