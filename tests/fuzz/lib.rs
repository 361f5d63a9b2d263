//! A mutation fuzzer inside `cargo test`, for stable Rust.
//!
//! In: a target's name, seeds from `tests/corpus/NAME/`, a closure that feeds bytes to the code under test and answers
//! what came of them. Out: nothing, or a failed test whose input lies in `target/fuzz-failures/` and is printed as hex.
//!
//! ```text
//! corpus ─▶ pool ─▶ mutate (bytes, numbers, tokens, JSON, the target's own) ─▶ check ─▶ an outcome not seen before? ─▶ pool
//! ```
//!
//! Holds: the same seed and the same pool give the same inputs. A panic, an input that takes longer than
//! [`INPUT_TIME_MAX`] and, when run alone, one that costs more memory than [`Fuzz::memory`] allows, fail the test.
//! Why outcomes steer: without instrumentation nobody sees branches; which error came is a coarse but free substitute.
//!
//! By the environment: `COVE_FUZZ_SECS` per target (default: every corpus file and a short burst), `COVE_FUZZ_SEED`,
//! `COVE_FUZZ_INPUT` (a file: that input alone). `scripts/fuzz` sets them.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "part of tests, whose output is what people read")]

mod failure;
mod memory;
mod mutate;
mod rng;
pub mod tar;
mod watch;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use mutate::Json;
pub use rng::Rng;

/// An honest input takes microseconds; the slowest target makes files and takes milliseconds.
pub const INPUT_TIME_MAX: Duration = Duration::from_secs(10);
/// The burst of a plain `cargo test`: whichever comes first.
const BURST_RUNS: u64 = 300;
const BURST_TIME: Duration = Duration::from_millis(700);
/// Inputs between two looks at the memory, which cost more than most inputs.
const RUNS_PER_LOOK: usize = 64;
/// Inputs kept because something new came of them. Enough for every error of every target.
const POOL_MAX: usize = 2000;
/// Longest input: several records of every format, and short enough for thousands of runs a second.
const INPUT_BYTES_MAX: usize = 64 << 10;
/// What an input may add to the peak of the process's memory, unless the target says otherwise.
const MEMORY_DEFAULT: u64 = 32 << 20;
const SEED_DEFAULT: u64 = 0x00C0_FFEE;

/// A change that knows the target's format.
type Shape<'a> = &'a dyn Fn(&mut Rng, &mut Vec<u8>);

/// One target.
pub struct Fuzz<'a> {
    name: &'static str,
    tokens: &'a [&'a [u8]],
    memory: u64,
    shape: Option<Shape<'a>>,
    json: Json,
    seeds: Vec<Vec<u8>>,
}

impl<'a> Fuzz<'a> {
    /// A target with the seeds in `tests/corpus/NAME`.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, tokens: &[], memory: MEMORY_DEFAULT, shape: None, json: Json::No, seeds: Vec::new() }
    }

    /// Words of the format, put in here and there.
    #[must_use]
    pub fn tokens(mut self, tokens: &'a [&'a [u8]]) -> Self {
        self.tokens = tokens;
        self
    }

    /// The most that one input may add to the process's peak.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// Changes that know the format: lengths and checksums made good, records moved.
    #[must_use]
    pub fn shape(mut self, shape: Shape<'a>) -> Self {
        self.shape = Some(shape);
        self
    }

    /// Inputs are JSON and are changed as trees too.
    #[must_use]
    pub fn json(mut self) -> Self {
        self.json = Json::Yes;
        self
    }

    /// Seeds that are made at run time, beside those of the corpus.
    #[must_use]
    pub fn seeds(mut self, seeds: Vec<Vec<u8>>) -> Self {
        self.seeds = seeds;
        self
    }

    /// Feeds inputs to `check` until time or runs are up. What it answers steers, and is otherwise free: the name of an
    /// error, a count.
    ///
    /// # Panics
    /// When an input made `check` panic, take too long or use too much memory.
    pub fn run(&self, check: impl Fn(&[u8]) -> String) {
        let watch = watch::Watch::start(self.name);
        if let Some(path) = std::env::var_os("COVE_FUZZ_INPUT") {
            let input = std::fs::read(&path).expect("COVE_FUZZ_INPUT names a file");
            println!("{}: {}", self.name, watch.timed(&input, || check(&input)));
            return;
        }
        let mut session = Session::new(self, &check, &watch);
        session.replay();
        session.explore();
        println!(
            "fuzz {}: {} inputs, {} outcomes, seed {}",
            self.name,
            session.runs,
            session.outcomes.len(),
            session.seed
        );
    }
}

/// One run of a target.
struct Session<'a, F: Fn(&[u8]) -> String> {
    fuzz: &'a Fuzz<'a>,
    check: &'a F,
    watch: &'a watch::Watch,
    pool: Vec<Vec<u8>>,
    outcomes: HashSet<String>,
    rng: Rng,
    seed: u64,
    runs: u64,
    /// Since the last look at the memory.
    recent: Vec<Vec<u8>>,
    alone: bool,
}

impl<'a, F: Fn(&[u8]) -> String> Session<'a, F> {
    fn new(fuzz: &'a Fuzz<'a>, check: &'a F, watch: &'a watch::Watch) -> Self {
        let seed = number("COVE_FUZZ_SEED").unwrap_or(SEED_DEFAULT);
        let pool = [corpus(fuzz.name), fuzz.seeds.clone()].concat();
        assert!(!pool.is_empty(), "tests/corpus/{} has no seeds", fuzz.name);
        let alone = std::env::var_os("COVE_FUZZ_SECS").is_some();
        let (outcomes, rng) = (HashSet::new(), Rng::new(seed ^ rng::of_text(fuzz.name)));
        Self { fuzz, check, watch, pool, outcomes, rng, seed, runs: 0, recent: Vec::new(), alone }
    }

    /// Every file of the corpus once: a fixed bug stays fixed.
    fn replay(&mut self) {
        for input in self.pool.clone() {
            let outcome = self.once(&input);
            self.outcomes.insert(outcome);
        }
        self.look();
    }

    fn explore(&mut self) {
        let (began, secs) = (Instant::now(), number("COVE_FUZZ_SECS"));
        let time = secs.map_or(BURST_TIME, Duration::from_secs);
        let runs = if secs.is_some() { u64::MAX } else { BURST_RUNS };
        while self.runs < runs && began.elapsed() < time {
            let input = self.next();
            let outcome = self.once(&input);
            if self.outcomes.insert(outcome) && self.pool.len() < POOL_MAX {
                self.pool.push(input);
            }
            if self.recent.len() >= RUNS_PER_LOOK {
                self.look();
            }
        }
        self.look();
    }

    fn next(&mut self) -> Vec<u8> {
        let other = self.rng.pick(&self.pool).clone();
        let mut input = self.rng.pick(&self.pool).clone();
        for _ in 0..=self.rng.below(4) {
            match self.fuzz.shape {
                Some(shape) if self.rng.below(2) == 0 => shape(&mut self.rng, &mut input),
                Some(_) | None => mutate::once(&mut self.rng, &mut input, &other, self.fuzz.tokens, self.fuzz.json),
            }
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }

    fn once(&mut self, input: &[u8]) -> String {
        self.runs += 1;
        if self.alone {
            self.recent.push(input.to_vec());
        }
        match catch_unwind(AssertUnwindSafe(|| self.watch.timed(input, || (self.check)(input)))) {
            Ok(outcome) => outcome,
            Err(_) => self.fail(input, "it panicked (above)"),
        }
    }

    /// Whether the last inputs cost too much memory; then which one. Other tests' memory would be counted too, so only
    /// when run alone.
    fn look(&mut self) {
        if !self.alone {
            return;
        }
        let recent = std::mem::take(&mut self.recent);
        if memory::growth_of_peak() > self.fuzz.memory {
            for input in &recent {
                memory::forget_peak();
                (self.check)(input);
                let growth = memory::growth_of_peak();
                if growth > self.fuzz.memory {
                    self.fail(input, &format!("it took {} MiB of memory", growth >> 20));
                }
            }
        }
        memory::forget_peak();
    }

    fn fail(&self, input: &[u8], why: &str) -> ! {
        let small = failure::smaller(input, |input| catch_unwind(AssertUnwindSafe(|| (self.check)(input))).is_err());
        let path = failure::keep(self.fuzz.name, &small);
        panic!(
            "fuzz target {}, seed {}: {why}\ninput {} ({} bytes): {}\nagain: COVE_FUZZ_INPUT={} cargo test fuzz_{}",
            self.fuzz.name,
            self.seed,
            path.display(),
            small.len(),
            failure::hex(&small),
            path.display(),
            self.fuzz.name.replace('-', "_"),
        );
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The repository of this source.
fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().and_then(Path::parent).unwrap_or(here).to_owned()
}

/// By name, so that a seed means the same everywhere.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory = repository().join("tests/corpus").join(name);
    let Ok(entries) = std::fs::read_dir(&directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a seed can be read")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs() {
        let made = |seed| {
            let (mut rng, mut input) = (Rng::new(seed), b"{\"a\":[1,2]}".to_vec());
            for _ in 0..50 {
                mutate::once(&mut rng, &mut input, b"other", &[b"token"], Json::Yes);
            }
            input
        };
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
    }

    #[test]
    fn a_bug_is_found_kept_and_made_small() {
        let check = |input: &[u8]| {
            assert!(!input.contains(&b'!'), "the bug");
            format!("{}", input.len() % 7)
        };
        let failed = catch_unwind(|| Fuzz::new("self-test").tokens(&[b"!"]).run(check)).unwrap_err();
        let text = failed.downcast_ref::<String>().expect("a text");
        assert!(text.contains("(1 bytes): 21"), "{text}");
        let path = text.split(' ').find(|word| word.contains("fuzz-failures")).expect("a path");
        std::fs::remove_file(path).expect("the input was kept");
    }
}
