//! Runs a scanner's command in its cage and reads what it says.
//!
//! Holds: it ends by itself, at its time limit, or when it says too much; in each case all that it started is gone when
//! this returns. Blocks: the cage dies with the thread that made it.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cove_base::error::chain;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::cage::VERB;
use super::config::{CommandGroup, CommandGroups, CommandHook, Hook};
use super::layout::Workplace;

/// How often is looked whether it ended.
const LOOK: Duration = Duration::from_millis(20);
/// What is shown of its complaints: the last words say most.
const COMPLAINT_BYTES: usize = 600;

/// What the command wrote, or why there is nothing to read.
pub(super) fn run(
    hook: &Hook,
    command: &CommandHook,
    place: &Workplace,
    groups: Option<&dyn CommandGroups>,
) -> Result<Vec<u8>, String> {
    let group = groups.and_then(|groups| match groups.make(&cove_base::ids::random_hex(8), command.memory_bytes) {
        Ok(group) => Some(group),
        Err(error) => {
            tracing::warn!(error = chain(&error), "no control group for a scanner; each process gets the limit of all");
            None
        }
    });
    let done = run_in(hook, command, place, group.as_deref());
    let lacked_memory = group.as_ref().is_some_and(|group| group.lacked_memory());
    if let Some(group) = group {
        group.remove();
    }
    if lacked_memory { Err(format!("it wanted more than {} bytes of memory", command.memory_bytes)) } else { done }
}

fn run_in(
    hook: &Hook,
    command: &CommandHook,
    place: &Workplace,
    group: Option<&dyn CommandGroup>,
) -> Result<Vec<u8>, String> {
    let files = group.map(CommandGroup::procs_files).unwrap_or_default();
    let mut caged = Command::new(&command.cage);
    caged.args([VERB, "outer"]).arg(place.root()).arg(command.memory_bytes.to_string());
    caged.arg(files.len().to_string()).args(files).args(&command.words);
    caged.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = caged.spawn().map_err(|error| format!("it could not be started: {error}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let is_flooding = AtomicBool::new(false);
    let (ended, said, complaint) = std::thread::scope(|scope| {
        let said =
            scope.spawn(|| stdout.map(|from| read(from, hook.output_max_bytes, &is_flooding)).unwrap_or_default());
        let complaint = scope.spawn(|| stderr.map(last_words).unwrap_or_default());
        let ended = wait(&mut child, hook.time_limit, &is_flooding);
        (ended, said.join().unwrap_or_default(), complaint.join().unwrap_or_default())
    });
    if is_flooding.load(Ordering::Relaxed) {
        return Err(format!("it wrote more than {} bytes", hook.output_max_bytes));
    }
    let status = ended?;
    if status.success() {
        return Ok(said);
    }
    let how = match (status.code(), status.signal()) {
        (Some(code), _) if code > 128 => format!("it was killed by signal {}", code - 128),
        (Some(code), _) => format!("it ended with code {code}"),
        (None, signal) => format!("it was killed by signal {}", signal.unwrap_or(0)),
    };
    Err(if complaint.is_empty() { how } else { format!("{how}: {complaint}") })
}

fn wait(child: &mut Child, limit: Duration, is_flooding: &AtomicBool) -> Result<ExitStatus, String> {
    let begun = Instant::now();
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if is_flooding.load(Ordering::Relaxed) => break Err("it wrote too much".to_owned()),
            Ok(None) if begun.elapsed() >= limit => {
                break Err(format!("it took longer than {} seconds", limit.as_secs_f32()));
            }
            Ok(None) => std::thread::sleep(LOOK),
            Err(error) => break Err(format!("it could not be waited for: {error}")),
        }
    };
    // The command is the first process of its namespace: with it goes whatever it started, in its group or not.
    if ended.is_err() {
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(0));
        let _ = killpg(group, Signal::SIGKILL);
        let _ = child.kill();
        let _ = child.wait();
    }
    ended
}

/// What it writes, up to the limit; beyond that the flag goes up and nothing more is read.
fn read(from: impl Read, limit: usize, is_flooding: &AtomicBool) -> Vec<u8> {
    let mut said = Vec::new();
    let _ = from.take(limit as u64 + 1).read_to_end(&mut said);
    if said.len() > limit {
        is_flooding.store(true, Ordering::Relaxed);
        said = Vec::new();
    }
    said
}

fn last_words(mut from: impl Read) -> String {
    let (mut kept, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        kept.extend_from_slice(&chunk[..count]);
        let spare = kept.len().saturating_sub(COMPLAINT_BYTES);
        kept.drain(..spare);
    }
    let text = String::from_utf8_lossy(&kept);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
