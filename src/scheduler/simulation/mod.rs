//! The whole scheduler in a world where anything may happen between two steps: the server dies, decisions are made and not
//! committed, agents' messages are late, lost and repeated, tasks fail, machines die and come back, clients change their minds.
//!
//! ```text
//! clients ──requests──▶ records ◀──reconcile── turns of the loop         all in virtual time, out of one seed
//!                          ▲ │
//!               messages ──┘ └──▶ agents ──▶ what really runs
//! ```
//!
//! In: a seed, perhaps a [`Bug`]. Out: what was broken, if anything. Real: looking, deciding, placing, launching, carrying
//! out, the verbs of the fleet, and the records in [`cove_store::Memory`] with everything that derives from them. Made up: the
//! disk (ten thousand servers cannot wait for `fdatasync`), the clients' requests and the agents, which do what the real ones
//! promise.
//!
//! Holds: see [`check`] after every step, and [`rest`] once the faults have stopped.
//! `SIMULATION_SEEDS=N` says how many seeds, `SIMULATION_SEED=N` tries that one alone and tells what happens.

mod agent;
mod bug;
mod check;
mod cost;
mod daemons;
mod dice;
mod fargate;
mod fleet;
pub(crate) mod requests;
mod rest;
pub(crate) mod setting;
mod turn;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bug::Bug;
use world::World;

/// Seeds of a run; `SIMULATION_SEEDS` says otherwise.
const SEEDS: u64 = 10_000;
/// A bug that was put in must show within so many.
const SEEDS_TO_CATCH: u64 = 1000;
/// Broken seeds after which no more are tried.
const ENOUGH: usize = 20;

/// What was broken.
type Checked = Result<(), String>;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

/// A release cannot do that: nothing but [`cost`] runs in one.
fn draw_ids_from(seed: Option<u64>) {
    #[cfg(debug_assertions)]
    cove_base::ids::seeded::begin(seed);
    #[cfg(not(debug_assertions))]
    assert!(seed.is_none(), "ids come out of a seed only with debug assertions: simulate without --release");
}

/// What the seed brings about, if that is wrong.
fn outcome(seed: u64, bug: Option<Bug>) -> Checked {
    draw_ids_from(Some(seed));
    let done = catch_unwind(AssertUnwindSafe(|| World::new(seed, bug).run()));
    draw_ids_from(None);
    done.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default())
    })
}

/// Tries seeds on all cores until so many are broken; those, in order.
fn broken(seeds: u64, bug: Option<Bug>, enough: usize) -> BTreeMap<u64, String> {
    let (next, found) = (AtomicU64::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds || found.lock().unwrap().len() >= enough {
                return;
            }
            if let Err(broken) = outcome(seed, bug) {
                found.lock().unwrap().insert(seed, broken);
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    found.into_inner().unwrap()
}

#[test]
fn whatever_happens_services_keep_their_bounds_and_come_to_rest() {
    let found = match number("SIMULATION_SEED") {
        Some(seed) => outcome(seed, None).err().map(|broken| (seed, broken)).into_iter().collect(),
        None => broken(number("SIMULATION_SEEDS").unwrap_or(SEEDS), None, ENOUGH),
    };
    let lines: Vec<String> = found.iter().map(|(seed, what)| format!("SIMULATION_SEED={seed}: {what}")).collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

#[test]
fn bugs_that_are_put_in_are_found() {
    let missed: Vec<Bug> =
        Bug::ALL.iter().copied().filter(|bug| broken(SEEDS_TO_CATCH, Some(*bug), 1).is_empty()).collect();
    assert!(missed.is_empty(), "{missed:?}");
}
