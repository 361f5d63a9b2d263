//! Unpacked layers that nobody needs any more.
//!
//! ```text
//! unused? ─▶ what does the registry still know? ─▶ links removed ─▶ synced ─▶ directories into the trash ─▶ emptied
//! ```
//!
//! Holds: a layer under a container, under a stack in somebody's hands, or in a list that is being unpacked stays. A
//! layer goes link first, and that is durable before its files are touched; so after a crash a link never leads to a
//! layer with holes, and what lost its link goes at open.
//! Why there is no grace time: a layer that is needed again is unpacked again from its blob.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::sync::Weak;

use super::error::{Result, RootfsError};
use super::remove;
use super::snapshots::{Snapshots, State, chain_ids, list, lock};

impl Snapshots {
    /// Chain ids of layers that nothing on this node uses now; the registry may still know images of them.
    ///
    /// # Errors
    /// When the writable layers cannot be read.
    pub fn unused(&self) -> Result<BTreeSet<String>> {
        self.unused_in(&mut lock(&self.state))
    }

    /// Removes the unused layers that belong to none of these images, each given as diff ids, bottom first; how many.
    ///
    /// # Errors
    /// When something cannot be removed; it is tried again by the next call or at open.
    pub fn remove_unused(&self, keep: &[Vec<String>]) -> Result<usize> {
        let kept: BTreeSet<String> =
            keep.iter().filter_map(|image| chain_ids(image.iter().map(String::as_str)).ok()).flatten().collect();
        let mut state = lock(&self.state);
        let unused: Vec<String> = self.unused_in(&mut state)?.difference(&kept).cloned().collect();
        let numbers = self.unlink(&mut state, &unused)?;
        drop(state);
        for number in &numbers {
            self.discard("l", &number.to_string())?;
        }
        remove::empty(&self.dir.join("trash"))?;
        Ok(numbers.len())
    }

    /// Takes layers out of the index, durably; their numbers, whose directories are to be discarded. What lost its link
    /// before one could not be removed goes at open.
    pub(super) fn unlink(&self, state: &mut State, chains: &[String]) -> Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for chain in chains {
            let link = self.link(chain);
            match fs::remove_file(&link) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(RootfsError::file("remove", link, error));
                }
                Ok(()) | Err(_) => numbers.extend(state.layers.remove(chain)),
            }
        }
        let chains = self.dir.join("chains");
        cove_base::files::sync_directory(&chains).map_err(|error| RootfsError::file("sync", &chains, error))?;
        for number in &numbers {
            state.sizes.remove(number);
            let _ = fs::remove_file(self.size_link(*number));
        }
        Ok(numbers)
    }

    pub(super) fn unused_in(&self, state: &mut State) -> Result<BTreeSet<String>> {
        state.in_use.retain(|one| one.strong_count() > 0);
        state.wanted.retain(|one| one.strong_count() > 0);
        let mut used: BTreeSet<u64> =
            state.in_use.iter().filter_map(Weak::upgrade).flat_map(|one| one.to_vec()).collect();
        used.extend(self.used_by_tasks()?);
        let wanted: BTreeSet<String> =
            state.wanted.iter().filter_map(Weak::upgrade).flat_map(|one| one.to_vec()).collect();
        let idle = state.layers.iter().filter(|(chain, number)| !used.contains(number) && !wanted.contains(*chain));
        Ok(idle.map(|(chain, _)| chain.clone()).collect())
    }

    /// Layers under writable layers. A task that goes meanwhile needs none; a half-made one has a stack in hand.
    fn used_by_tasks(&self) -> Result<BTreeSet<u64>> {
        let mut used = BTreeSet::new();
        for task in self.inventory()? {
            let task = self.dir.join("w").join(task);
            let containers = match list(&task) {
                Err(_) if !task.exists() => continue,
                other => other?,
            };
            for container in containers {
                let file = task.join(container).join("layers");
                match fs::read_to_string(&file) {
                    Ok(text) => used.extend(text.lines().filter_map(|line| line.parse::<u64>().ok())),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(RootfsError::file("read", file, error)),
                }
            }
        }
        Ok(used)
    }
}
