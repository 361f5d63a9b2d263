//! What decisions cost as the fleet and the number of tasks grow.
//!
//! In: kinds of decisions ([`kinds`]), each on a store in memory with so many instances and tasks ([`site`]). Out: how much
//! of the processor each takes on the writer thread, with everything that derives from it, and how much it takes to read
//! every live task once. Real: all that the scheduler does; left out: the disk, whose cost is the same for all.
//!
//! Why against reading: ten thousand tasks are more than a processor's caches hold, so that what is linear takes more than
//! ten times as long as for a thousand. How much more, reading says, on the same machine in the same moment.
//!
//! Why a test drives it: what is measured must do what it says, and that is true or false at any size. Nothing here is
//! asserted of time: `scripts/bench scheduling` has the table, the plot and the verdict. `SCHEDULING_COST=FILE` measures the
//! whole grid into that file.

mod kinds;
mod site;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use kinds::{KINDS, Kind};
use site::{Site, Size};

/// Tasks for each instance of the fleets that grow.
const TASKS_EACH: usize = 100;
/// Fleets that grow, and the tasks on the largest.
const FLEETS: [usize; 8] = [10, 25, 50, 60, 70, 80, 90, 100];
const TASKS: [usize; 8] = [1000, 2500, 5000, 6000, 7000, 8000, 9000, 10_000];
/// A time is the least of so many, of more when they are short: what disturbs only adds to it. So long altogether.
const REPETITIONS: usize = 3;
const REPETITIONS_MAX: usize = 10;
const LONG_ENOUGH: Duration = Duration::from_millis(50);
/// All of it is done so often: who else is on the machine is there for seconds, and not for minutes.
const ROUNDS: usize = 2;

/// What this thread has had of the processor: who else wants it says nothing of a decision.
fn processor_time() -> Duration {
    Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap())
}

fn timed(work: impl FnOnce()) -> Duration {
    let begun = processor_time();
    work();
    processor_time() - begun
}

/// Does it once; how long it took, and how long reading.
fn once(kind: &Kind, site: &Site) -> (Duration, Duration) {
    let mut site = site.copy();
    let reading = timed(|| {
        std::hint::black_box(site.read_all());
    });
    let taken = timed(|| (kind.act)(&mut site));
    assert_eq!((kind.seen)(&site), (kind.wanted)(site.size), "{} of {:?}", kind.name, site.size);
    (taken, reading)
}

fn prepared(kind: &Kind, furnished: &Site) -> Site {
    let mut site = furnished.copy();
    (kind.prepare)(&mut site);
    site
}

/// The least of both, and of how many.
fn measured(kind: &Kind, furnished: &Site) -> (Duration, Duration, usize) {
    let site = prepared(kind, furnished);
    let (mut times, mut readings) = (Vec::new(), Vec::new());
    while times.len() < REPETITIONS || times.len() < REPETITIONS_MAX && times.iter().sum::<Duration>() < LONG_ENOUGH {
        let (time, reading) = once(kind, &site);
        times.push(time);
        readings.push(reading);
    }
    let least = |all: &[Duration]| all.iter().min().copied().unwrap_or_default();
    (least(&times), least(&readings), times.len())
}

fn measure(path: &std::path::Path) {
    let only = std::env::var("SCHEDULING_KIND").ok();
    let is_wanted = |kind: &&Kind| only.as_ref().is_none_or(|only| kind.name.contains(only));
    let fleets = FLEETS.map(|instances| ("fleet", Size { instances, tasks: instances * TASKS_EACH }));
    let tasks = TASKS.map(|tasks| ("tasks", Size { instances: FLEETS[FLEETS.len() - 1], tasks }));
    let sizes: Vec<(&str, Size)> = fleets.into_iter().chain(tasks).collect();
    let mut best: BTreeMap<(usize, usize, usize), (Duration, Duration, usize)> = BTreeMap::new();
    for round in 1..=ROUNDS {
        for (at, (grid, size)) in sizes.iter().enumerate() {
            for (of, (furnish, kinds)) in KINDS.iter().enumerate() {
                if !kinds.iter().any(|kind| is_wanted(&kind)) {
                    continue;
                }
                let site = furnish(*size);
                for (which, kind) in kinds.iter().enumerate().filter(|(_, kind)| is_wanted(kind)) {
                    let (time, reading, repetitions) = measured(kind, &site);
                    let known = best.entry((at, of, which)).or_insert((time, reading, 0));
                    *known = (known.0.min(time), known.1.min(reading), known.2 + repetitions);
                }
            }
            eprintln!("round {round} of {ROUNDS}, {grid}: {size:?} measured");
        }
    }
    let mut csv = std::fs::File::create(path).unwrap();
    writeln!(csv, "kind,per,grid,instances,tasks,decisions,repetitions,nanoseconds,reading").unwrap();
    for ((at, of, which), (time, reading, repetitions)) in best {
        let ((grid, size), kind) = (sizes[at], &KINDS[of].1[which]);
        let decisions = kind.per.decisions((kind.wanted)(size));
        let Size { instances, tasks } = size;
        let (per, time, reading) = (kind.per.as_str(), time.as_nanos(), reading.as_nanos());
        let name = kind.name;
        writeln!(csv, "\"{name}\",{per},{grid},{instances},{tasks},{decisions},{repetitions},{time},{reading}")
            .unwrap();
    }
}

#[test]
fn what_is_measured_does_what_it_says() {
    if let Some(path) = std::env::var_os("SCHEDULING_COST") {
        return measure(path.as_ref());
    }
    let size = Size { instances: 6, tasks: 60 };
    for (furnish, kinds) in KINDS {
        let site = furnish(size);
        for kind in *kinds {
            once(kind, &prepared(kind, &site));
        }
    }
}
