//! SIGKILL at random moments: what was acknowledged is there, whole, and in order.

use std::time::{Duration, Instant};

use super::writers::{Report, Writers, Writing, losses};

const ROUNDS: usize = 15;

fn run_and_kill(directory: &std::path::Path, after: Duration, mode: Writing) -> Report {
    let mut writers = Writers::start(directory, mode);
    // The moment is the point here: nothing is waited for.
    let until = Instant::now() + after;
    while Instant::now() < until && writers.runs() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let ended = !writers.runs();
    let report = writers.kill();
    assert!(!ended, "the child ended by itself: {}", report.said);
    report
}

/// A delay that differs from round to round; one round in four hits the opening.
fn delay(round: usize) -> Duration {
    let random = u64::from(cove_base::ids::random_bytes(1)[0]);
    Duration::from_millis(if round.is_multiple_of(4) { random % 25 } else { 40 + random })
}

#[test]
fn nothing_acknowledged_is_lost_by_sigkill() {
    let rounds = std::env::var("COVE_CRASH_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let mut total = 0;
    for round in 0..rounds {
        let report = run_and_kill(directory.path(), delay(round), Writing::Careful);
        total += report.acknowledged;
        let lost = losses(directory.path(), &report.heads).unwrap();
        assert_eq!(lost, 0, "round {round}, {} acknowledged", report.acknowledged);
    }
    assert!(total > 0, "no round acknowledged anything");
}

/// The control: without flush the same harness must see losses, or it proves nothing.
#[test]
fn a_store_that_does_not_flush_is_caught() {
    let caught = (0..20).any(|_| {
        let directory = tempfile::tempdir().unwrap();
        let report = run_and_kill(directory.path(), Duration::from_millis(250), Writing::Unflushed);
        // A document that went while its record stayed counts as well: the store does not even open then.
        losses(directory.path(), &report.heads).map_or(true, |lost| lost > 0)
    });
    assert!(caught, "no loss was seen");
}
