//! What upper layers hide of lower ones: whiteouts, opaque directories, and names that are there already.
//!
//! Holds: an entry is judged by the layers above alone, never by its own. Paths are kept as 64-bit hashes with keys of this
//! process: 8 bytes each, and nobody can choose two that collide.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

#[derive(Default)]
pub(super) struct Shadow {
    hasher: RandomState,
    above: Hidden,
    /// Of the layer that is being read.
    own: Hidden,
}

#[derive(Default)]
struct Hidden {
    /// Nothing of this path and below it is seen: a whiteout, or something else than a directory.
    gone: HashSet<u64>,
    /// Nothing below this path is seen.
    opaque: HashSet<u64>,
    /// A directory: what has this name and is none is not seen.
    directories: HashSet<u64>,
}

impl Shadow {
    /// Takes note of an entry. Whether a container would see it.
    pub(super) fn shows(&mut self, path: &str, is_directory: bool) -> bool {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let ancestors = self.hashes(parent);
        let directory = ancestors.last().copied().unwrap_or_default();
        if name == OPAQUE {
            self.own.opaque.insert(directory);
            return false;
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            self.own.gone.insert(self.hash(directory, hidden));
            return false;
        }
        let itself = self.hash(directory, name);
        if is_directory {
            self.own.directories.insert(itself);
        } else {
            self.own.gone.insert(itself);
        }
        let above = &self.above;
        let hidden = ancestors.iter().any(|ancestor| above.gone.contains(ancestor) || above.opaque.contains(ancestor))
            || above.gone.contains(&itself)
            || (!is_directory && above.directories.contains(&itself));
        self.own.directories.extend(ancestors);
        !hidden
    }

    pub(super) fn end_layer(&mut self) {
        let own = std::mem::take(&mut self.own);
        self.above.gone.extend(own.gone);
        self.above.opaque.extend(own.opaque);
        self.above.directories.extend(own.directories);
    }

    /// Of the root and each directory down to a path, each from the one above: linear in the path.
    fn hashes(&self, path: &str) -> Vec<u64> {
        let mut hashes = vec![self.hasher.hash_one("")];
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let above = hashes.last().copied().unwrap_or_default();
            hashes.push(self.hash(above, part));
        }
        hashes
    }

    fn hash(&self, directory: u64, name: &str) -> u64 {
        self.hasher.hash_one((directory, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which entries of layers, from the top, are seen. A directory ends with a slash.
    fn seen(layers: &[&[&str]]) -> Vec<String> {
        let mut shadow = Shadow::default();
        let mut seen = Vec::new();
        for (number, layer) in layers.iter().enumerate() {
            for path in *layer {
                let name = path.trim_end_matches('/');
                if shadow.shows(name, name != *path) {
                    seen.push(format!("{number}:{path}"));
                }
            }
            shadow.end_layer();
        }
        seen
    }

    #[test]
    fn the_upper_of_two_files_is_seen_and_a_removed_one_is_not() {
        assert_eq!(seen(&[&["a", "b/.wh.c"], &["a", "b/c", "b/c/d", "b/e"]]), ["0:a", "1:b/e"]);
    }

    #[test]
    fn an_opaque_directory_hides_what_is_below_and_keeps_its_own() {
        assert_eq!(
            seen(&[&["d/", "d/.wh..wh..opq", "d/new"], &["d/", "d/old", "d/e/old", "f"]]),
            ["0:d/", "0:d/new", "1:d/", "1:f"]
        );
    }

    #[test]
    fn a_whiteout_does_not_hide_what_its_own_layer_brings() {
        assert_eq!(seen(&[&[".wh.d", "d/", "d/new"], &["d/", "d/old"]]), ["0:d/", "0:d/new"]);
        assert_eq!(seen(&[&[".wh..wh..opq", "a"], &["b", "c/d"]]), ["0:a"]);
    }

    #[test]
    fn what_changed_its_kind_hides_the_old_one() {
        assert_eq!(seen(&[&["a"], &["a/", "a/b"]]), ["0:a"]);
        assert_eq!(seen(&[&["a/b"], &["a", "a/c"]]), ["0:a/b", "1:a/c"]);
    }

    #[test]
    fn a_hidden_middle_layer_still_hides_the_lowest() {
        assert_eq!(seen(&[&["x"], &["d/.wh.a"], &["d/a", "d/b"]]), ["0:x", "2:d/b"]);
    }
}
