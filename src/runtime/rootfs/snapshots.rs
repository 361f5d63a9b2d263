//! The unpacked layers of a node and the writable layers of its tasks.
//!
//! In: an image's layers. Out: a [`Stack`] that can be mounted any number of times, a [`RootFilesystem`] per container.
//!
//! Holds: a layer is used only when its link in `chains/` exists, and that is made last, after a syncfs; whatever has no
//! link is half done and goes at open. A layer is unpacked by one thread at a time, others wait for it. A layer that a
//! living [`Stack`] or a writable layer uses is not removed.
//! Why links as the index: making one is atomic, and `ls -l` explains it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use sha2::{Digest, Sha256};

use cove_base::crash::{self, Point};

use super::ahead::Fresh;
use super::copy::{copy_stack, is_opaque};
use super::error::{Result, RootfsError, shown};
use super::mount::trial;
use super::names::open_directory;
use super::remove;
use super::sys::{self, Resolve};
use super::unpack::{Limits, Unpacked, unpack};
use crate::spec::RootFilesystem;

/// The kernel takes 500 lower layers; Docker 127.
const LAYERS_MAX: usize = 400;
/// A part of a path made from a task's or container's name.
const NAME_BYTES_MAX: usize = 255;

/// One layer of an image, bottom first in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// `sha256:…` of the unpacked archive.
    pub diff_id: String,
    pub media_type: String,
    pub blob: PathBuf,
    /// Digest of the blob, for messages.
    pub digest: String,
}

/// Unpacked layers under a container. While it lives, they stay.
#[derive(Debug, Clone)]
pub struct Stack {
    /// Bottom first.
    pub chain_ids: Vec<String>,
    /// Devices that were left out while unpacking (only what this call unpacked).
    pub skipped_devices: u64,
    numbers: Arc<Vec<u64>>,
}

/// What the file system cannot do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doctor {
    /// `None` when overlays work; else why copies are made instead.
    pub no_overlay: Option<String>,
}

/// The unpacked layers and writable layers below one directory.
#[derive(Debug)]
pub struct Snapshots {
    pub(super) dir: PathBuf,
    limits: Limits,
    /// Bytes of all layers together.
    pub(super) layers_max: u64,
    no_overlay: Option<String>,
    /// Threads that may unpack at once, over all images.
    permits: (Mutex<usize>, Condvar),
    /// Layers that may be unpacked while they arrive, over all images: those may wait for somebody else's registry.
    pub(super) seats: Arc<AtomicUsize>,
    pub(super) state: Mutex<State>,
    released: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// The index: chain id → number.
    pub(super) layers: BTreeMap<String, u64>,
    /// What layers take, by number, as far as that is known.
    pub(super) sizes: BTreeMap<u64, u64>,
    /// Chain ids that somebody unpacks.
    claimed: BTreeSet<String>,
    /// Numbers of living stacks.
    pub(super) in_use: Vec<Weak<Vec<u64>>>,
    /// Chain ids of lists that are being unpacked.
    pub(super) wanted: Vec<Weak<Vec<String>>>,
    next: u64,
}

impl Snapshots {
    /// Opens with the default limits.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_with(dir, Limits::default())
    }

    /// Opens, forgets half-unpacked layers and removes them in the background.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn open_with(dir: &Path, limits: Limits) -> Result<Self> {
        for name in ["chains", "l", "s", "w", "trash"] {
            let path = dir.join(name);
            fs::create_dir_all(&path).map_err(|error| RootfsError::file("create", path, error))?;
        }
        fs::set_permissions(dir, fs::Permissions::from_mode(0o711))
            .map_err(|error| RootfsError::file("protect", dir, error))?;
        let dir = fs::canonicalize(dir).map_err(|error| RootfsError::file("find", dir, error))?;
        let tried = dir.join("trial");
        fs::create_dir_all(&tried).map_err(|error| RootfsError::file("create", &tried, error))?;
        let no_overlay = trial(&tried).err();
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let mut this = Self {
            dir,
            limits,
            layers_max: u64::MAX,
            no_overlay,
            permits: (Mutex::new(cores), Condvar::new()),
            seats: Arc::new(AtomicUsize::new(0)),
            state: Mutex::default(),
            released: Condvar::new(),
        };
        this.discard("", "trial")?;
        this.recover()?;
        this.empty_trash_later();
        Ok(this)
    }

    /// Makes sure that every layer is unpacked. `progress` hears the bytes of blobs read since its last call, from
    /// several threads.
    ///
    /// # Errors
    /// When an archive is hostile, damaged or not what its digest says, or the disk refuses.
    pub fn unpack(&self, layers: &[Layer], progress: &(dyn Fn(u64) + Sync)) -> Result<Stack> {
        self.unpack_rest(layers, Vec::new(), progress)
    }

    /// The same, where some layers are unpacked already.
    ///
    /// # Errors
    /// As [`Snapshots::unpack`].
    pub(super) fn unpack_rest(
        &self,
        layers: &[Layer],
        mut ahead: Vec<Fresh>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Stack> {
        if layers.len() > LAYERS_MAX {
            return Err(RootfsError::Limit { limit: "number of layers", value: LAYERS_MAX as u64 });
        }
        let chain_ids = Arc::new(chain_ids(layers.iter().map(|layer| layer.diff_id.as_str()))?);
        lock(&self.state).wanted.push(Arc::downgrade(&chain_ids));
        let mut skipped_devices = 0;
        loop {
            let mut claim = match self.claim(&chain_ids) {
                Claimed::All(numbers) => {
                    self.touch(&numbers);
                    return Ok(Stack { chain_ids: chain_ids.to_vec(), skipped_devices, numbers });
                }
                Claimed::Some(claim) => claim,
            };
            let given = claim.adopt(layers, &mut ahead);
            self.take_room(&[]).inspect_err(|_| self.discard_all(given.keys()))?;
            let done = self.unpack_claimed(layers, &claim, &given, progress)?;
            skipped_devices += done.iter().map(|(_, unpacked)| unpacked.skipped_devices).sum::<u64>();
            let sizes: Vec<(u64, u64)> = done.iter().map(|(number, unpacked)| (*number, unpacked.disk_bytes)).collect();
            self.take_room(&sizes).inspect_err(|_| self.discard_all(sizes.iter().map(|(number, _)| number)))?;
            self.publish(&chain_ids, &claim, done)?;
        }
    }

    /// The writable layer of one container, made once; a restarted container finds what it wrote.
    ///
    /// # Errors
    /// When a name cannot be part of a path, or the disk refuses.
    pub fn writable(&self, task_id: &str, container: &str, stack: &Stack) -> Result<RootFilesystem> {
        let (task, name) = (path_part(task_id)?, path_part(container)?);
        let home = self.dir.join("w").join(task).join(name);
        if !home.exists() {
            self.make_writable(&home, stack)?;
        }
        let relative = format!("w/{task}/{name}");
        let copied = !home.join("k").exists();
        Ok(RootFilesystem {
            base: self.dir.clone(),
            lower: if copied { Vec::new() } else { self.lower(&stack.numbers) },
            upper: format!("{relative}/u"),
            work: if copied { String::new() } else { format!("{relative}/k") },
        })
    }

    /// Layers to be mounted, the top one first. One whose root is opaque hides all below it: overlayfs asks no root
    /// whether it is.
    fn lower(&self, numbers: &[u64]) -> Vec<String> {
        let mut shown = Vec::with_capacity(numbers.len());
        for number in numbers.iter().rev() {
            shown.push(format!("l/{number}"));
            if is_opaque(&self.layer(*number)) {
                break;
            }
        }
        shown
    }

    /// Removes all writable layers of a task. Doing it again is fine.
    ///
    /// # Errors
    /// When they cannot be moved into the trash. What stays there is tried again at the next removal.
    pub fn remove_writable(&self, task_id: &str) -> Result<()> {
        let task = path_part(task_id)?;
        self.discard("w", task)?;
        empty_trash(&self.dir.join("trash"));
        Ok(())
    }

    /// Task ids that have writable layers.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn inventory(&self) -> Result<Vec<String>> {
        list(&self.dir.join("w"))
    }

    /// What this file system lacks.
    #[must_use]
    pub fn doctor(&self) -> Doctor {
        Doctor { no_overlay: self.no_overlay.clone() }
    }

    /// Reads the index; what does not fit together goes.
    fn recover(&mut self) -> Result<()> {
        let mut found = State { next: 1, ..State::default() };
        let on_disk: BTreeSet<String> = list(&self.dir.join("l"))?.into_iter().collect();
        for name in list(&self.dir.join("chains"))? {
            let link = self.dir.join("chains").join(&name);
            let target = fs::read_link(&link).ok().and_then(|target| target.to_str().map(str::to_owned));
            let number = target.filter(|target| on_disk.contains(target)).and_then(|target| target.parse().ok());
            match number {
                Some(number) => drop(found.layers.insert(name.replacen('-', ":", 1), number)),
                None => fs::remove_file(&link).map_err(|error| RootfsError::file("remove", link, error))?,
            }
        }
        let linked: BTreeSet<String> = found.layers.values().map(u64::to_string).collect();
        for name in on_disk {
            found.next = found.next.max(name.parse().map_or(0, |number: u64| number + 1));
            if !linked.contains(&name) {
                self.discard("l", &name)?;
            }
        }
        for task in list(&self.dir.join("w"))? {
            for half_made in list(&self.dir.join("w").join(&task))?.iter().filter(|name| name.starts_with('.')) {
                self.discard(&format!("w/{task}"), half_made)?;
            }
        }
        self.state = Mutex::new(found);
        Ok(())
    }

    /// Takes every layer that is missing and that nobody else unpacks; waits when others have all of them.
    fn claim(&self, chain_ids: &[String]) -> Claimed<'_> {
        let mut state = lock(&self.state);
        loop {
            let missing: Vec<usize> =
                (0..chain_ids.len()).filter(|index| !state.layers.contains_key(&chain_ids[*index])).collect();
            if missing.is_empty() {
                let numbers = Arc::new(chain_ids.iter().map(|chain| state.layers[chain]).collect());
                state.in_use.push(Arc::downgrade(&numbers));
                return Claimed::All(numbers);
            }
            let free = missing.into_iter().filter(|index| !state.claimed.contains(&chain_ids[*index]));
            let mine: Vec<(usize, u64)> = free.zip(state.next..).collect();
            if !mine.is_empty() {
                state.next += mine.len() as u64;
                let chains: Vec<String> = mine.iter().map(|(index, _)| chain_ids[*index].clone()).collect();
                state.claimed.extend(chains.iter().cloned());
                return Claimed::Some(Claim { owner: self, layers: mine, chains });
            }
            state = self.released.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Unpacks side by side, each layer in a thread of its own (which gets its own umask).
    fn unpack_claimed(
        &self,
        layers: &[Layer],
        claim: &Claim<'_>,
        given: &BTreeMap<u64, Unpacked>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<(u64, Unpacked)>> {
        let results: Vec<Result<(u64, Unpacked)>> = std::thread::scope(|scope| {
            let threads: Vec<_> = claim
                .layers
                .iter()
                .map(|(index, number)| {
                    let layer = &layers[*index];
                    scope.spawn(move || {
                        if let Some(unpacked) = given.get(number) {
                            return Ok((*number, unpacked.clone()));
                        }
                        let _permit = Permit::take(&self.permits);
                        self.unpack_one(layer, *number, progress).map(|unpacked| (*number, unpacked))
                    })
                })
                .collect();
            let panicked = || Err(RootfsError::Damaged { why: "unpacking it panicked" });
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panicked())).collect()
        });
        let mut done = Vec::with_capacity(results.len());
        let mut failure = None;
        for (result, (_, number)) in results.into_iter().zip(&claim.layers) {
            match result {
                Ok(one) => done.push(one),
                Err(error) => {
                    failure.get_or_insert(error);
                    self.discard("l", &number.to_string())?;
                }
            }
        }
        let Some(failure) = failure else { return Ok(done) };
        for (number, _) in done {
            self.discard("l", &number.to_string())?;
        }
        self.empty_trash_later();
        Err(failure)
    }

    fn unpack_one(&self, layer: &Layer, number: u64, progress: &(dyn Fn(u64) + Sync)) -> Result<Unpacked> {
        let file = fs::File::open(&layer.blob).map_err(|error| RootfsError::file("open", &layer.blob, error))?;
        self.unpack_blob(Box::new(file), &layer.diff_id, &layer.media_type, number, progress)
    }

    /// Into a new directory of that number.
    pub(super) fn unpack_blob(
        &self,
        blob: Box<dyn io::Read + Send>,
        diff_id: &str,
        media_type: &str,
        number: u64,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Unpacked> {
        if media_type.contains("encrypted") {
            return Err(RootfsError::MediaType(media_type.to_owned()));
        }
        let target = self.layer(number);
        fs::create_dir(&target).map_err(|error| RootfsError::file("create", &target, error))?;
        fs::set_permissions(&target, fs::Permissions::from_mode(0o755))
            .map_err(|error| RootfsError::file("protect", &target, error))?;
        unpack(blob, diff_id, &target, &self.dir.join("trash"), self.limits, progress)
    }

    pub(super) fn next_number(&self) -> u64 {
        let mut state = lock(&self.state);
        state.next += 1;
        state.next - 1
    }

    /// Puts unpacked layers into the index. Before it waits for a layer of somebody else it publishes what it can, so
    /// two images that need each other's layers both get on.
    fn publish(&self, chain_ids: &[String], claim: &Claim<'_>, done: Vec<(u64, Unpacked)>) -> Result<()> {
        let mut ready: Vec<(String, u64)> = Vec::new();
        for ((index, number), (_, unpacked)) in claim.layers.iter().zip(done) {
            let below = &chain_ids[..*index];
            let foreign = |chain: &&String| !ready.iter().any(|(one, _)| one == *chain);
            let waits = below.iter().filter(foreign).any(|chain| !lock(&self.state).layers.contains_key(chain));
            if waits {
                self.commit(std::mem::take(&mut ready))?;
                self.wait_for(below);
            }
            let Some(lower) = self.numbers_of(below, &ready) else {
                // The other one failed: this layer is unpacked again with the whole.
                self.discard("l", &number.to_string())?;
                lock(&self.state).sizes.remove(number);
                continue;
            };
            self.describe_implied(*number, &lower, &unpacked)?;
            ready.push((chain_ids[*index].clone(), *number));
        }
        self.commit(ready)
    }

    fn wait_for(&self, chains: &[String]) {
        let mut state = lock(&self.state);
        while chains.iter().any(|chain| state.claimed.contains(chain) && !state.layers.contains_key(chain)) {
            state = self.released.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn numbers_of(&self, chains: &[String], ready: &[(String, u64)]) -> Option<Vec<u64>> {
        let state = lock(&self.state);
        let find = |chain: &String| {
            let fresh = ready.iter().find(|(one, _)| one == chain).map(|(_, number)| *number);
            fresh.or_else(|| state.layers.get(chain).copied())
        };
        chains.iter().map(find).collect()
    }

    /// Directories that an archive only implies look as they do in the layers below.
    fn describe_implied(&self, number: u64, lower: &[u64], unpacked: &Unpacked) -> Result<()> {
        if lower.is_empty() || unpacked.implied.is_empty() {
            return Ok(());
        }
        let own = open_directory(&self.layer(number))?;
        let lower: Vec<_> = lower.iter().rev().map(|n| open_directory(&self.layer(*n))).collect::<Result<_>>()?;
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        for path in &unpacked.implied {
            let open = |layer| sys::open_beneath(layer, path, flags, 0, Resolve::NoLinks).ok();
            let (Some(here), Some(below)) = (open(own.as_fd()), lower.iter().find_map(|layer| open(layer.as_fd())))
            else {
                continue;
            };
            let failed = |source| RootfsError::Entry { entry: shown(path), source };
            let status = sys::status(below.as_fd(), b"").map_err(failed)?;
            sys::change_owner(here.as_fd(), b"", status.st_uid, status.st_gid)
                .and_then(|()| sys::change_mode(here.as_fd(), status.st_mode & 0o7777))
                .and_then(|()| sys::set_time(here.as_fd(), b"", (status.st_mtime, status.st_mtime_nsec as u32)))
                .map_err(failed)?;
        }
        Ok(())
    }

    fn commit(&self, ready: Vec<(String, u64)>) -> Result<()> {
        if ready.is_empty() {
            return Ok(());
        }
        let chains = self.dir.join("chains");
        let failed = |error| RootfsError::file("sync", &self.dir, error);
        sys::sync_file_system(open_directory(&self.dir)?.as_fd()).map_err(failed)?;
        crash::at(Point::LayerUnpacked);
        for (chain, number) in &ready {
            let link = self.link(chain);
            symlink(number.to_string(), &link).map_err(|error| RootfsError::file("create", link, error))?;
        }
        crash::at(Point::LayerLinked);
        cove_base::files::sync_directory(&chains).map_err(failed)?;
        lock(&self.state).layers.extend(ready);
        self.released.notify_all();
        Ok(())
    }

    fn make_writable(&self, home: &Path, stack: &Stack) -> Result<()> {
        let (task, name) = (home.parent().unwrap_or(home), home.file_name().unwrap_or_default());
        let fresh = task.join(format!(".{}.{}", name.to_string_lossy(), cove_base::ids::random_hex(4)));
        let failed = |error| RootfsError::file("create", home, error);
        let upper = fresh.join("u");
        fs::create_dir_all(&upper).map_err(failed)?;
        let numbers: Vec<String> = stack.numbers.iter().map(u64::to_string).collect();
        fs::write(fresh.join("layers"), numbers.join("\n")).map_err(failed)?;
        let layers: Vec<PathBuf> = stack.numbers.iter().map(|number| self.layer(*number)).collect();
        if self.no_overlay.is_some() {
            copy_stack(&layers, &upper)?;
        } else if let Some(top) = layers.last() {
            fs::create_dir(fresh.join("k")).map_err(failed)?;
            // The merged root shows the upper directory's owner and mode.
            let about = fs::metadata(top).map_err(failed)?;
            lchown(&upper, Some(about.uid()), Some(about.gid())).map_err(failed)?;
            fs::set_permissions(&upper, fs::Permissions::from_mode(about.mode() & 0o7777)).map_err(failed)?;
        }
        fs::rename(&fresh, home).map_err(failed)
    }

    /// Removes a directory of the same file system that containers have written to. Doing it again is fine.
    ///
    /// # Errors
    /// When it cannot be moved into the trash. What stays there is tried again at the next removal.
    pub fn remove_directory(&self, parent: &Path, name: &str) -> Result<()> {
        self.discard_of(parent, name)?;
        empty_trash(&self.dir.join("trash"));
        Ok(())
    }

    /// Moves something into the trash, from where it is removed for good.
    pub(super) fn discard(&self, parent: &str, name: &str) -> Result<()> {
        self.discard_of(&self.dir.join(parent), name)
    }

    fn discard_of(&self, parent: &Path, name: &str) -> Result<()> {
        let trash = open_directory(&self.dir.join("trash"))?;
        let dir = open_directory(parent)?;
        match remove::discard(dir.as_fd(), name.as_bytes(), trash.as_fd()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(RootfsError::file("remove", parent.join(name), error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Removes directories of layers that are in no index; what stays goes at open.
    fn discard_all<'a>(&self, numbers: impl Iterator<Item = &'a u64>) {
        for number in numbers {
            if let Err(error) = self.discard("l", &number.to_string()) {
                tracing::warn!(error = cove_base::error::chain(&error), "a layer stays until the next start");
            }
        }
        self.empty_trash_later();
    }

    /// Best effort, beside the real work: what stays is met again at the next removal and at the next start.
    pub(super) fn empty_trash_later(&self) {
        let trash = self.dir.join("trash");
        std::thread::spawn(move || empty_trash(&trash));
    }

    fn layer(&self, number: u64) -> PathBuf {
        self.dir.join("l").join(number.to_string())
    }

    pub(super) fn link(&self, chain: &str) -> PathBuf {
        self.dir.join("chains").join(chain.replacen(':', "-", 1))
    }
}

/// What cannot be removed holds up nothing that is discarded beside it.
fn empty_trash(trash: &Path) {
    if let Err(error) = remove::empty(trash) {
        tracing::warn!(error = cove_base::error::chain(&error), "leftovers in the snapshots' trash");
    }
}

/// What [`Snapshots::claim`] found.
enum Claimed<'a> {
    All(Arc<Vec<u64>>),
    Some(Claim<'a>),
}

/// Layers that this call unpacks: index in the list and number of the directory. Given back when dropped.
struct Claim<'a> {
    owner: &'a Snapshots,
    layers: Vec<(usize, u64)>,
    chains: Vec<String>,
}

impl Claim<'_> {
    /// Takes what is unpacked already under its number; by number what that is.
    fn adopt(&mut self, layers: &[Layer], ahead: &mut Vec<Fresh>) -> BTreeMap<u64, Unpacked> {
        let mut given = BTreeMap::new();
        for (index, number) in &mut self.layers {
            if let Some((taken, unpacked)) = Fresh::take(ahead, &layers[*index].diff_id) {
                *number = taken;
                given.insert(taken, unpacked);
            }
        }
        given
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.owner.state);
        for chain in &self.chains {
            state.claimed.remove(chain);
        }
        self.owner.released.notify_all();
    }
}

/// One of the threads that may unpack now.
struct Permit<'a>(&'a (Mutex<usize>, Condvar));

impl<'a> Permit<'a> {
    fn take(permits: &'a (Mutex<usize>, Condvar)) -> Self {
        let mut left = lock(&permits.0);
        while *left == 0 {
            left = permits.1.wait(left).unwrap_or_else(PoisonError::into_inner);
        }
        *left -= 1;
        Self(permits)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *lock(&self.0.0) += 1;
        self.0.1.notify_one();
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// OCI's chain ids: the first is the first diff id, each other the digest of its predecessor, a space and the diff id.
pub(super) fn chain_ids<'a>(diff_ids: impl Iterator<Item = &'a str>) -> Result<Vec<String>> {
    let mut chains: Vec<String> = Vec::new();
    for diff_id in diff_ids {
        if !cove_model::image::is_digest(diff_id) {
            return Err(RootfsError::BadName(diff_id.to_owned()));
        }
        chains.push(match chains.last() {
            None => diff_id.to_owned(),
            Some(below) => {
                let digest = Sha256::digest(format!("{below} {diff_id}"));
                format!("sha256:{}", hex::encode(digest))
            }
        });
    }
    Ok(chains)
}

/// A name that can stand in a path and in overlay's options.
pub(super) fn path_part(name: &str) -> Result<&str> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let good = !name.is_empty() && name.len() < NAME_BYTES_MAX && !name.starts_with('.') && name.bytes().all(legal);
    if good { Ok(name) } else { Err(RootfsError::BadName(name.to_owned())) }
}

pub(super) fn list(dir: &Path) -> Result<Vec<String>> {
    let failed = |error| RootfsError::file("list", dir, error);
    let entries = fs::read_dir(dir).map_err(failed)?;
    entries.map(|entry| Ok(entry.map_err(failed)?.file_name().to_string_lossy().into_owned())).collect()
}
