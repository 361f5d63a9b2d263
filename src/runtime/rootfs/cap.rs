//! The cap of all unpacked layers together.
//!
//! In: what was unpacked, and what it takes. Out: room for it, or a refusal. For room the layers go that nobody uses, those
//! unused for longest first, whatever images the registry knows: they are unpacked again from their blobs.
//!
//! Holds: what is published stays within the cap; what is being unpacked comes on top. Nothing goes for what does not fit
//! all the same.
//! Why a link per layer, with its size as target and its last use as time: both are needed after a restart, and a walk over
//! all layers would take minutes. One that is lost is made again by a walk.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::SystemTime;

use super::error::{Result, RootfsError};
use super::names::open_directory;
use super::snapshots::{Snapshots, lock};
use super::sys;
use super::usage::{Used, measure};

const MIB: u64 = 1 << 20;
/// To the kernel: the present.
const NOW: (i64, u32) = (0, libc::UTIME_NOW as u32);

impl Snapshots {
    /// Caps what all layers take together, in bytes.
    #[must_use]
    pub fn capped(mut self, layers_max: u64) -> Self {
        self.layers_max = layers_max;
        self
    }

    /// Takes room for layers that are unpacked, by number, or asks for a byte where none is yet.
    pub(super) fn take_room(&self, fresh: &[(u64, u64)]) -> Result<()> {
        if self.layers_max == u64::MAX {
            return Ok(());
        }
        self.measure()?;
        let wanted = fresh.iter().fold(0u64, |sum, (_, bytes)| sum.saturating_add(*bytes)).max(1);
        let mut state = lock(&self.state);
        let mut taken = state.sizes.values().fold(wanted, |sum, bytes| sum.saturating_add(*bytes));
        let mut going = Vec::new();
        if taken > self.layers_max {
            let idle = self.unused_in(&mut state)?.into_iter();
            let mut idle: Vec<_> = idle.map(|chain| (self.last_use(state.layers[&chain]), chain)).collect();
            idle.sort_unstable();
            for (_, chain) in idle {
                if taken <= self.layers_max {
                    break;
                }
                taken = taken.saturating_sub(state.sizes.get(&state.layers[&chain]).copied().unwrap_or(0));
                going.push(chain);
            }
        }
        if taken > self.layers_max {
            return Err(RootfsError::Full { max_mib: self.layers_max / MIB });
        }
        let gone = if going.is_empty() { Vec::new() } else { self.unlink(&mut state, &going)? };
        for (number, bytes) in fresh {
            state.sizes.insert(*number, *bytes);
            self.note_size(*number, *bytes);
        }
        drop(state);
        if !gone.is_empty() {
            tracing::info!(count = gone.len(), "removed unpacked layers that nobody uses, for room");
            gone.iter().try_for_each(|number| self.discard("l", &number.to_string()))?;
            self.empty_trash_later();
        }
        Ok(())
    }

    /// Notes that these layers are used now.
    pub(super) fn touch(&self, numbers: &[u64]) {
        let Ok(sizes) = open_directory(&self.dir.join("s")) else { return };
        for number in numbers {
            // One that is missing is made by the next measurement.
            let _ = sys::set_time(sizes.as_fd(), number.to_string().as_bytes(), NOW);
        }
    }

    /// Learns the sizes of layers that an earlier server unpacked.
    fn measure(&self) -> Result<()> {
        let unknown: Vec<u64> = {
            let state = lock(&self.state);
            state.layers.values().filter(|number| !state.sizes.contains_key(number)).copied().collect()
        };
        if unknown.is_empty() {
            return Ok(());
        }
        let mut found = Vec::with_capacity(unknown.len());
        for number in unknown {
            let noted = fs::read_link(self.size_link(number)).ok();
            let noted = noted.and_then(|target| target.to_str().and_then(|text| text.parse().ok()));
            let bytes = match noted {
                Some(bytes) => bytes,
                None => self.walk(number)?,
            };
            found.push((number, bytes));
        }
        let mut state = lock(&self.state);
        let there: BTreeSet<u64> = state.layers.values().copied().collect();
        state.sizes.extend(found.into_iter().filter(|(number, _)| there.contains(number)));
        Ok(())
    }

    fn walk(&self, number: u64) -> Result<u64> {
        let bytes = match measure(&self.dir.join("l").join(number.to_string()))? {
            Used::Bytes(bytes) => bytes,
            // Of before there was a cap, and nobody can tell: it keeps nobody out.
            Used::Unmeasurable => 0,
        };
        self.note_size(number, bytes);
        Ok(bytes)
    }

    fn last_use(&self, number: u64) -> SystemTime {
        let noted = fs::symlink_metadata(self.size_link(number)).and_then(|about| about.modified());
        noted.unwrap_or(SystemTime::UNIX_EPOCH)
    }

    fn note_size(&self, number: u64, bytes: u64) {
        let link = self.size_link(number);
        // What had the number before a crash.
        let _ = fs::remove_file(&link);
        if let Err(error) = symlink(bytes.to_string(), &link) {
            tracing::debug!(%error, number, "the size of a layer could not be noted");
        }
    }

    pub(super) fn size_link(&self, number: u64) -> PathBuf {
        self.dir.join("s").join(number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Fixture, Tar};
    use super::super::{Layer, Snapshots, Stack};
    use super::*;

    const KIB: u64 = 1 << 10;

    /// 400 KiB of it, with the directory.
    fn layer(f: &Fixture, letter: &str) -> Layer {
        f.layer(Tar::default().file("big", &letter.repeat(400 << 10)))
    }

    fn fixture(max: u64) -> Fixture {
        let mut f = Fixture::new();
        f.snapshots = std::sync::Arc::new(Snapshots::open(&f.dir.path().join("snapshots")).unwrap().capped(max));
        f
    }

    fn are_there(f: &Fixture, layers: &[&Layer]) -> Vec<bool> {
        layers.iter().map(|layer| f.snapshots.link(&layer.diff_id).is_symlink()).collect()
    }

    fn run(f: &Fixture, layer: &Layer) -> Result<Stack> {
        f.unpack(std::slice::from_ref(layer))
    }

    /// Two uses within one tick of the file system's clock would be at the same time.
    fn used_before(f: &Fixture, layer: &Layer, seconds: i64) {
        let number = lock(&f.snapshots.state).layers[&layer.diff_id];
        let sizes = open_directory(&f.snapshots.dir.join("s")).unwrap();
        sys::set_time(sizes.as_fd(), number.to_string().as_bytes(), (1_000_000 - seconds, 0)).unwrap();
    }

    #[test]
    fn for_room_the_layer_goes_that_was_unused_for_longest() {
        let f = fixture(1000 * KIB);
        let [a, b, c] = ["a", "b", "c"].map(|letter| layer(&f, letter));
        for (one, age) in [(&a, 20), (&b, 10)] {
            drop(run(&f, one).unwrap());
            used_before(&f, one, age);
        }
        assert_eq!(are_there(&f, &[&a, &b, &c]), [true, true, false]);
        // Its last use is what counts, not when it came.
        drop(run(&f, &a).unwrap());
        let stack = run(&f, &c).unwrap();
        assert_eq!(are_there(&f, &[&a, &b, &c]), [true, false, true]);
        assert_eq!(fs::read_dir(f.dir.path().join("snapshots/s")).unwrap().count(), 2);
        drop(stack);
    }

    #[test]
    fn what_is_in_use_stays_and_what_does_not_fit_beside_it_is_refused() {
        let f = fixture(1000 * KIB);
        let [a, b, c] = ["a", "b", "c"].map(|letter| layer(&f, letter));
        let in_hand = run(&f, &a).unwrap();
        let of_task = run(&f, &b).unwrap();
        f.snapshots.writable("task", "c", &of_task).unwrap();
        drop(of_task);
        for _ in 0..2 {
            let refused = run(&f, &c).unwrap_err().to_string();
            assert!(refused.contains("(layer_store_max_mib)"), "{refused}");
        }
        assert_eq!(fs::read_dir(f.dir.path().join("snapshots/l")).unwrap().count(), 2, "nothing of it is left");
        assert_eq!(are_there(&f, &[&a, &b]), [true, true]);
        f.snapshots.remove_writable("task").unwrap();
        drop(run(&f, &c).unwrap());
        assert_eq!(are_there(&f, &[&a, &b, &c]), [true, false, true]);
        drop(in_hand);
        // Alone it would not fit: nothing goes for it.
        let huge = f.layer(Tar::default().file("big", &"h".repeat(1100 << 10)));
        assert!(run(&f, &huge).is_err());
        assert_eq!(are_there(&f, &[&a, &c]), [true, true]);
    }

    #[test]
    fn sizes_outlive_a_restart_and_are_measured_where_they_are_lost() {
        let f = fixture(u64::MAX);
        let [a, b] = ["a", "b"].map(|letter| layer(&f, letter));
        drop(run(&f, &a).unwrap());
        assert_eq!(fs::read_dir(f.dir.path().join("snapshots/s")).unwrap().count(), 0, "without a cap nobody asks");
        for with_notes in [false, true] {
            let again = Snapshots::open(&f.dir.path().join("snapshots")).unwrap().capped(600 * KIB);
            let held = again.unpack(std::slice::from_ref(&a), &|_| ()).unwrap();
            assert!(again.unpack(std::slice::from_ref(&b), &|_| ()).is_err(), "{with_notes}");
            assert!(again.size_link(lock(&again.state).layers[&a.diff_id]).is_symlink());
            drop(held);
        }
    }
}
