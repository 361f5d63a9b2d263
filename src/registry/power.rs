//! Power cuts while blobs are kept: the effects on the disk are recorded, and every state that a disk may be left in
//! after any of them is looked at.
//!
//! The disk that is assumed is worse than any: content that was not synced may be missing, half there, or zeros; names
//! that were not synced may be there or not, in any combination, and a synced file says nothing of its name. So what holds
//! here holds on every file system, in whatever mode.
//!
//! Holds, after every cut: a blob that was acknowledged is whole; one that a record names is whole, or is seen not to be.
//! Each of these is shown to be seen: recordings with one effect left out, or out of order, must fail.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::blobs::BlobFiles;
use crate::digest::Digest;
use crate::disk;

/// Something that a disk keeps, or does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Directory(PathBuf),
    /// With content that is not on the disk yet.
    File(PathBuf, Vec<u8>),
    Name {
        from: PathBuf,
        to: PathBuf,
    },
    Content(PathBuf),
    Names(PathBuf),
    Gone(PathBuf),
}

/// What happened, in its order.
#[derive(Debug, Clone)]
enum Step {
    On(Effect),
    /// Its pusher was told.
    Acknowledged(Digest),
    /// A record names it; it need not be there.
    Named(Digest),
}

/// Work to be done in the middle of other work.
type Interruption = Box<dyn FnOnce()>;

#[derive(Default)]
struct Recorder {
    steps: Vec<Step>,
    /// What somebody else does after so many effects more.
    interruption: Option<(usize, Interruption)>,
}

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

/// Called by each effect, once it is done.
pub(crate) fn seen(effect: Effect) {
    note(Step::On(effect));
    let due = RECORDER.with_borrow_mut(|recorder| {
        let interruption = &mut recorder.as_mut()?.interruption;
        let (left, work) = interruption.take()?;
        if left == 0 {
            return Some(work);
        }
        *interruption = Some((left - 1, work));
        None
    });
    if let Some(work) = due {
        work();
    }
}

fn note(step: Step) {
    RECORDER.with_borrow_mut(|recorder| recorder.as_mut().map(|recorder| recorder.steps.push(step)));
}

/// A blob directory whose effects are recorded.
struct Trial {
    home: tempfile::TempDir,
    files: BlobFiles,
}

impl Trial {
    fn begin() -> Self {
        let home = tempfile::tempdir().unwrap();
        RECORDER.set(Some(Recorder::default()));
        Self { files: open(home.path()), home }
    }

    /// As an upload does: the file is written before, and adopted.
    fn push(&self, content: &[u8]) {
        push(&self.files, content);
    }

    fn end(self) -> Recording {
        let steps = RECORDER.take().unwrap().steps;
        let root = self.home.path().to_owned();
        Recording { root, steps }
    }
}

fn open(home: &Path) -> BlobFiles {
    let files = BlobFiles::open(home.join("blobs"), home.join("uploads")).unwrap();
    for name in ["blobs", "uploads", "blobs/sha256", "blobs/sha512", "blobs/damaged"] {
        note(Step::On(Effect::Directory(home.join(name))));
    }
    files
}

fn push(files: &BlobFiles, content: &[u8]) {
    let (digest, temporary) = (Digest::of(content), files.temporary(&cove_base::ids::random_hex(8)));
    let file = disk::write_new(&temporary, content).unwrap();
    files.adopt(&file, &temporary, &digest).unwrap();
    note(Step::Acknowledged(digest));
}

/// Steps, and the directory that they are in; its own name is the store's affair.
#[derive(Clone)]
struct Recording {
    root: PathBuf,
    steps: Vec<Step>,
}

/// A file: its content, and whether that is on the disk.
#[derive(Debug, Clone)]
struct Content {
    bytes: Vec<u8>,
    synced: bool,
}

/// A change of one name that may not be on the disk yet; a rename changes two at once.
#[derive(Debug, Clone)]
struct Change {
    names: Vec<(PathBuf, Option<Thing>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thing {
    Directory,
    File(usize),
}

/// A disk and what waits to get to it.
#[derive(Default)]
struct Disk {
    contents: Vec<Content>,
    /// As processes see it.
    now: BTreeMap<PathBuf, Thing>,
    kept: BTreeMap<PathBuf, Thing>,
    waiting: Vec<Change>,
}

impl Disk {
    fn change(&mut self, names: Vec<(PathBuf, Option<Thing>)>) {
        apply(&mut self.now, &names);
        self.waiting.push(Change { names });
    }

    fn carry_out(&mut self, effect: &Effect) {
        match effect {
            Effect::File(path, bytes) => {
                self.contents.push(Content { bytes: bytes.clone(), synced: false });
                self.change(vec![(path.clone(), Some(Thing::File(self.contents.len() - 1)))]);
            }
            Effect::Directory(path) => self.change(vec![(path.clone(), Some(Thing::Directory))]),
            Effect::Gone(path) => self.change(vec![(path.clone(), None)]),
            Effect::Name { from, to } => {
                let what = self.now[from];
                self.change(vec![(from.clone(), None), (to.clone(), Some(what))]);
            }
            Effect::Content(path) => {
                if let Some(Thing::File(number)) = self.now.get(path) {
                    self.contents[*number].synced = true;
                }
            }
            Effect::Names(directory) => {
                let mut later = Vec::new();
                for change in std::mem::take(&mut self.waiting) {
                    let concerns = change.names.iter().any(|(path, _)| path.parent() == Some(directory));
                    if concerns { apply(&mut self.kept, &change.names) } else { later.push(change) }
                }
                self.waiting = later;
            }
        }
    }

    /// Every tree of names that a cut may leave.
    fn trees(&self) -> Vec<BTreeMap<PathBuf, Thing>> {
        let mut trees = vec![self.kept.clone()];
        for change in &self.waiting {
            let mut with = trees.clone();
            with.iter_mut().for_each(|tree| apply(tree, &change.names));
            trees.extend(with);
            trees.dedup();
        }
        trees
    }

    /// Every content that a file may have after a cut.
    fn contents_of(&self, number: usize) -> Vec<Vec<u8>> {
        let Content { bytes, synced } = &self.contents[number];
        if *synced {
            return vec![bytes.clone()];
        }
        let half = bytes[..bytes.len() / 2].to_vec();
        vec![Vec::new(), half, vec![0; bytes.len()], bytes.clone()]
    }
}

fn apply(tree: &mut BTreeMap<PathBuf, Thing>, names: &[(PathBuf, Option<Thing>)]) {
    for (path, thing) in names {
        match thing {
            Some(thing) => drop(tree.insert(path.clone(), *thing)),
            None => drop(tree.remove(path)),
        }
    }
}

impl Recording {
    /// What a cut after some step breaks; `None` when nothing can be broken.
    fn broken(&self) -> Option<String> {
        let mut disk = Disk::default();
        let (mut acknowledged, mut named) = (BTreeSet::new(), BTreeSet::new());
        for (count, step) in self.steps.iter().enumerate() {
            match step {
                Step::On(effect) => disk.carry_out(effect),
                Step::Acknowledged(digest) => drop(acknowledged.insert(digest.clone())),
                Step::Named(digest) => drop(named.insert(digest.clone())),
            }
            for tree in disk.trees() {
                if let Some(why) = self.look(&disk, &tree, &acknowledged, &named) {
                    return Some(format!("a cut after step {count} {step:?}: {why}"));
                }
            }
        }
        None
    }

    fn look(
        &self,
        disk: &Disk,
        tree: &BTreeMap<PathBuf, Thing>,
        acknowledged: &BTreeSet<Digest>,
        named: &BTreeSet<Digest>,
    ) -> Option<String> {
        for digest in acknowledged.union(named) {
            let path = self.path(digest);
            let above = path.ancestors().skip(1).take_while(|above| *above != self.root);
            let reached = above.into_iter().all(|above| tree.get(above) == Some(&Thing::Directory));
            let Some(Thing::File(number)) = tree.get(&path).filter(|_| reached) else {
                if acknowledged.contains(digest) {
                    return Some(format!("{digest} is gone"));
                }
                continue;
            };
            for bytes in disk.contents_of(*number) {
                // What has another length than its record is taken for absent.
                let passes = bytes.len() == disk.contents[*number].bytes.len();
                if Digest::of(&bytes) != *digest && (passes || acknowledged.contains(digest)) {
                    return Some(format!("{digest} has {} bytes that are not its own", bytes.len()));
                }
            }
        }
        None
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().name()).join(&digest.hex()[..2]).join(digest.hex())
    }

    /// The same without the effects that `left_out` picks.
    fn without(&self, left_out: impl Fn(&Effect) -> bool) -> Self {
        let keep = |step: &&Step| !matches!(step, Step::On(effect) if left_out(effect));
        Self { root: self.root.clone(), steps: self.steps.iter().filter(keep).cloned().collect() }
    }

    /// The same with every sync of content behind the naming that follows it.
    fn named_before_synced(&self) -> Self {
        let mut steps = self.steps.clone();
        for at in 1..steps.len() {
            let (Step::On(Effect::Content(synced)), Step::On(Effect::Name { from, to })) = (&steps[at - 1], &steps[at])
            else {
                continue;
            };
            if synced == from {
                let behind = Step::On(Effect::Content(to.clone()));
                steps[at - 1] = steps[at].clone();
                steps[at] = behind;
            }
        }
        Self { root: self.root.clone(), steps }
    }
}

/// Pushes of every kind, one after the other.
fn usual() -> Recording {
    let trial = Trial::begin();
    trial.push(b"first of its directory");
    trial.push(b"another");
    trial.push(b"another");
    let manifest = b"{}";
    let digest = Digest::of(manifest);
    // `write` makes the file itself.
    trial.files.write(&digest, manifest).unwrap();
    trial.end()
}

/// A damaged blob is set aside while records name it, and pushed again.
fn healed() -> Recording {
    let trial = Trial::begin();
    let content = b"will rot";
    let digest = Digest::of(content);
    let path = trial.files.path(&digest);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(trial.home.path().join("blobs/damaged").join(digest.as_str().replacen(':', "-", 1)), "rotten").unwrap();
    note(Step::On(Effect::Directory(path.parent().unwrap().to_owned())));
    note(Step::Named(digest));
    trial.push(content);
    trial.end()
}

/// Two push the same at the same time: the second does all of its work after `effects` of the first's.
fn at_the_same_time(effects: usize) -> Recording {
    let trial = Trial::begin();
    let files = trial.files.clone();
    let other = move || push(&files, b"the same");
    RECORDER.with_borrow_mut(|recorder| {
        recorder.as_mut().unwrap().interruption = Some((effects, Box::new(other)));
    });
    trial.push(b"the same");
    trial.end()
}

#[test]
fn no_power_cut_takes_what_was_acknowledged_or_shows_a_part() {
    assert_eq!(usual().broken(), None);
    assert_eq!(healed().broken(), None);
    for effects in 0..8 {
        assert_eq!(at_the_same_time(effects).broken(), None, "after {effects} effects");
    }
}

/// The control: each effect is needed, and so is the order where a name may be relied on.
#[test]
fn an_effect_left_out_or_out_of_order_is_caught() {
    let usual = usual();
    let root = usual.root.clone();
    let controls = [
        ("content is not synced", usual.without(|effect| matches!(effect, Effect::Content(_)))),
        (
            "names are not synced",
            usual.without(
                |effect| matches!(effect, Effect::Names(path) if path.parent() == Some(&root.join("blobs/sha256"))),
            ),
        ),
        (
            "the name of the blobs' directory is not synced",
            usual.without(|effect| *effect == Effect::Names(root.join("blobs/sha256"))),
        ),
        (
            "the name of the algorithm is not synced",
            usual.without(|effect| *effect == Effect::Names(root.join("blobs"))),
        ),
        ("the name of all blobs is not synced", usual.without(|effect| *effect == Effect::Names(root.clone()))),
        ("a copy is replaced before the new one is synced", usual.named_before_synced()),
        ("a damaged one is replaced before the new one is synced", healed().named_before_synced()),
    ];
    for (what, recording) in controls {
        let broken = recording.broken();
        eprintln!("{what}: {broken:?}");
        assert!(broken.is_some(), "{what} and nobody sees it");
    }
}

/// What a cut left under a name that nobody was told of is replaced by the next push.
#[test]
fn a_part_that_a_cut_left_is_replaced() {
    let home = tempfile::tempdir().unwrap();
    let files = BlobFiles::open(home.path().join("blobs"), home.path().join("uploads")).unwrap();
    let digest = Digest::of(b"whole");
    fs::create_dir_all(files.path(&digest).parent().unwrap()).unwrap();
    fs::write(files.path(&digest), b"who").unwrap();
    push(&files, b"whole");
    assert_eq!(fs::read(files.path(&digest)).unwrap(), b"whole");
    assert_eq!(fs::read_dir(files.temporary_directory()).unwrap().count(), 0);
}
