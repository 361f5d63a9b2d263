//! Power cuts: the writers run on a disk of their own, the disk stops, and what it had received is looked at.
//!
//! Two ways to cut, by turns of a seeded die. `Copy`: the writers are stopped, and what the loop device has received is
//! copied; the page cache above is lost. `Shutdown`: ext4 is cut off while they write, also in the middle of an
//! `fdatasync`; what they hear after that are I/O errors, and an acknowledgement in spite of them is a loss.
//! Optimistic about the disk's own volatile cache: what it received counts as kept.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cove_base::Timestamp;
use cove_base::paths::DataDir;

use super::disk::{Disk, with_own_mounts};
use super::writers::{Report, Writers, Writing, losses, mixed};
use crate::backup::tests::backed_up;
use crate::{Images, Mode, fsck, restore};

/// Few, for every run of the tests; `scripts/powerloss` does 50.
const ROUNDS: u64 = 6;
/// So often a new disk is taken, so that the making of directories and files is cut as well.
const FRESH_EVERY: u64 = 5;
const DISK_MIB: u32 = 96;
/// The control must be caught within so many rounds.
const CONTROL_ROUNDS: u64 = 10;
/// The control's database has this length when its trees are there and its commands have begun; it grows to more.
const GROWING_BYTES: u64 = 2 << 20;
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
enum Cut {
    Copy,
    Shutdown,
}

/// Everything random of one round.
struct Plan {
    cut: Cut,
    after: Duration,
}

impl Plan {
    fn of(seed: u64, round: u64) -> Self {
        let random = mixed(mixed(seed).wrapping_add(round));
        let cut = if random.is_multiple_of(2) { Cut::Copy } else { Cut::Shutdown };
        // One in four hits the opening.
        let millis = if (random >> 1).is_multiple_of(4) { (random >> 8) % 40 } else { 60 + (random >> 8) % 500 };
        Self { cut, after: Duration::from_millis(millis) }
    }
}

/// Runs writers until it is time and the power goes; then the disk is as it would be found.
fn run_and_cut(disk: &Disk, cut: Cut, mode: Writing, is_time: impl Fn() -> bool) -> Report {
    let data = disk.point().join("data");
    let mut writers = Writers::start(&data, mode);
    while !is_time() && writers.runs() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let ended = !writers.runs();
    match cut {
        Cut::Copy => {
            stop(writers.id());
            let received = disk.received();
            let report = writers.kill();
            disk.replace(&received);
            assert!(!ended, "the child ended by itself: {}", report.said);
            report
        }
        Cut::Shutdown => {
            disk.cut_off();
            let report = writers.kill();
            disk.unmount();
            disk.mount();
            assert!(!ended, "the child ended by itself: {}", report.said);
            report
        }
    }
}

/// SIGSTOP, and until every thread stands still: what was in a system call has come out of it.
fn stop(process: u32) {
    let id = nix::unistd::Pid::from_raw(i32::try_from(process).unwrap());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let stands = |stat: String| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'));
    let all_stand = || {
        let mut threads = fs::read_dir(format!("/proc/{process}/task")).unwrap().map(Result::unwrap);
        threads.all(|thread| fs::read_to_string(thread.path().join("stat")).is_ok_and(stands))
    };
    while !all_stand() {
        assert!(Instant::now() < deadline, "process {process} does not stop");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn seed() -> u64 {
    let random = || u64::from_le_bytes(cove_base::ids::random_bytes(8).try_into().unwrap());
    std::env::var("COVE_SEED").map_or_else(|_| random(), |text| text.parse().unwrap())
}

fn trial(home: &Path) {
    let rounds = std::env::var("COVE_POWER_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let seed = seed();
    eprintln!("power cuts: COVE_SEED={seed} COVE_POWER_ROUNDS={rounds}");
    let (mut total, mut all_lost) = (0, 0);
    let mut disk = None;
    for round in 0..rounds {
        if round % FRESH_EVERY == 0 {
            // The old one first: it gives its mount point back.
            drop(disk.take());
            disk = Some(Disk::make(home, DISK_MIB));
        }
        let disk = disk.as_ref().expect("made in the first round");
        let plan = Plan::of(seed, round);
        let until = Instant::now() + plan.after;
        let report = run_and_cut(disk, plan.cut, Writing::Careful, || Instant::now() >= until);
        let lost = losses(&disk.point().join("data"), &report.heads);
        let lost = lost.unwrap_or_else(|error| panic!("round {round}: {}", cove_base::error::chain(&error)));
        eprintln!(
            "round {round}: {:?} after {:?}, {} acknowledged, {lost} lost",
            plan.cut, plan.after, report.acknowledged
        );
        total += report.acknowledged;
        all_lost += lost;
    }
    eprintln!("{rounds} rounds, {total} acknowledged, {all_lost} lost");
    assert_eq!(all_lost, 0, "COVE_SEED={seed}");
    assert!(total > 0, "no round acknowledged anything");
}

#[test]
fn nothing_acknowledged_is_lost_by_a_power_cut() {
    with_own_mounts(trial);
}

#[test]
fn a_restore_that_said_it_was_done_survives_a_power_cut() {
    with_own_mounts(|home| {
        let disk = Disk::make(home, DISK_MIB);
        let source = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (written, archive) = runtime.block_on(backed_up(source.path(), Images::With));
        let data = DataDir::new(disk.point().join("new/data"));
        let restored = restore(&archive, &data).unwrap();
        disk.replace(&disk.received());
        let found = fsck(&data, Mode::Look, Timestamp(1)).unwrap();
        assert_eq!((found.records, restored.records), (written.records, written.records));
        assert_eq!(found.documents, 21, "every record above 4 KiB");
        let torn = |code: &str| ["database", "record", "document", "restore"].iter().any(|sort| code.starts_with(sort));
        assert!(!found.findings.iter().any(|finding| torn(finding.code)), "{:?}", found.findings);
        // The third was missing and the second damaged when the backup was made.
        let missing = found.findings.iter().filter(|finding| finding.code == "blob-missing");
        assert_eq!((missing.count(), restored.blobs), (2, 1));
        assert_eq!(fs::read(data.keys().join("root.json")).unwrap(), b"secret");
    });
}

/// True when the writers are at work and the database's file still grows.
///
/// What sled flushes is lost only where the file system has not noted the place: in what has grown since its last
/// commit. Later sled writes where it has written before.
fn while_it_grows(database: PathBuf) -> impl Fn() -> bool {
    let deadline = Instant::now() + PATIENCE;
    move || fs::metadata(&database).is_ok_and(|file| file.len() >= GROWING_BYTES) || Instant::now() > deadline
}

/// The control: a store that leaves the `fdatasync` out must be caught, or the harness proves nothing.
#[test]
fn a_store_that_only_flushes_is_caught() {
    with_own_mounts(|home| {
        let caught = (0..CONTROL_ROUNDS).find(|_| {
            let disk = Disk::make(home, DISK_MIB);
            let data = disk.point().join("data");
            let is_time = while_it_grows(DataDir::new(data.clone()).database().join("db"));
            let report = run_and_cut(&disk, Cut::Copy, Writing::Flushed, is_time);
            // A store that does not open, or holds half of a command, has lost something too.
            let lost = catch_unwind(AssertUnwindSafe(|| losses(&data, &report.heads).unwrap_or(u64::MAX)));
            report.acknowledged > 0 && lost.unwrap_or(u64::MAX) > 0
        });
        eprintln!("flush without fdatasync was caught in round {caught:?}");
        assert!(caught.is_some(), "no loss was seen");
    });
}
