//! Layers that are unpacked while their blobs arrive, so that the file system is done soon after the network.
//!
//! In: the layers of an image, those on their way as readers that block. Out: what [`Snapshots::unpack`] makes of it.
//!
//! Holds: a layer counts as unpacked only through [`Ahead::finish`], which is called when the blobs are here: until then it is
//! claimed by nobody, keeps nobody waiting, and goes when it is dropped. What could not be unpacked ahead, for whatever
//! reason, is unpacked from its blob.
//! Why few at a time and no permit: a reader waits as long as somebody else's registry likes.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use super::error::Result;
use super::snapshots::{Layer, Snapshots, Stack, chain_ids, lock};
use super::unpack::Unpacked;

/// Over all images: more would not be faster, and each may wait for long.
const SEATS_MAX: usize = 4;

/// A layer of an image that is being pulled.
pub struct Arriving {
    /// `sha256:…` of the unpacked archive.
    pub diff_id: String,
    pub media_type: String,
    /// Bytes of the blob.
    pub size: u64,
    /// Absent when its blob is here already.
    pub blob: Option<Opening>,
}

/// Opens a blob; may block. `None` when it has come meanwhile, so that there is nothing to be won.
pub type Opening = Box<dyn FnOnce() -> Option<Box<dyn Read + Send>> + Send>;

/// What is unpacked ahead for one image.
pub struct Ahead {
    snapshots: Arc<Snapshots>,
    sender: Mutex<Option<Sender<Fresh>>>,
    done: Mutex<Receiver<Fresh>>,
}

impl Ahead {
    #[must_use]
    pub fn new(snapshots: &Arc<Snapshots>) -> Self {
        let (sender, done) = channel();
        Self { snapshots: Arc::clone(snapshots), sender: Mutex::new(Some(sender)), done: Mutex::new(done) }
    }

    /// Begins, once, with the largest of those that arrive and are not unpacked yet; bottom first in the list. Does not block.
    pub fn begin(&self, layers: Vec<Arriving>) {
        let Some(sender) = lock(&self.sender).take() else { return };
        let Ok(chains) = chain_ids(layers.iter().map(|layer| layer.diff_id.as_str())) else { return };
        let mut missing: Vec<Arriving> = {
            let state = lock(&self.snapshots.state);
            let is_missing = |(_, chain): &(Arriving, String)| !state.layers.contains_key(chain);
            layers.into_iter().zip(chains).filter(is_missing).map(|(layer, _)| layer).collect()
        };
        missing.sort_by_key(|layer| std::cmp::Reverse(layer.size));
        for layer in missing {
            let Some(blob) = layer.blob else { continue };
            let Some(seat) = Seat::take(&self.snapshots.seats) else { return };
            let (snapshots, sender) = (Arc::clone(&self.snapshots), sender.clone());
            let work = move || {
                let _seat = seat;
                let Some(blob) = blob() else { return };
                match Fresh::unpack(&snapshots, layer.diff_id, &layer.media_type, blob) {
                    // Nobody waits for it any more: then it goes.
                    Ok(fresh) => drop(sender.send(fresh)),
                    Err(error) => {
                        tracing::debug!(error = cove_base::error::chain(&error), "a layer was not unpacked ahead");
                    }
                }
            };
            // Without a thread the layer is unpacked when it is here.
            let _ = std::thread::Builder::new().name("unpack ahead".to_owned()).spawn(work);
        }
    }

    /// Unpacks what is still missing, the blobs being here.
    ///
    /// # Errors
    /// As [`Snapshots::unpack`].
    pub fn finish(&self, layers: &[Layer]) -> Result<Stack> {
        drop(lock(&self.sender).take());
        let fresh = lock(&self.done).iter().collect();
        self.snapshots.unpack_rest(layers, fresh, &|_| ())
    }
}

/// An unpacked layer that is in no index. Goes when it is dropped.
pub(super) struct Fresh {
    snapshots: Arc<Snapshots>,
    diff_id: String,
    number: u64,
    unpacked: Option<Unpacked>,
}

impl Fresh {
    fn unpack(
        snapshots: &Arc<Snapshots>,
        diff_id: String,
        media_type: &str,
        blob: Box<dyn Read + Send>,
    ) -> Result<Self> {
        let number = snapshots.next_number();
        let mut fresh = Self { snapshots: Arc::clone(snapshots), diff_id, number, unpacked: None };
        fresh.unpacked = Some(snapshots.unpack_blob(blob, &fresh.diff_id, media_type, number, &|_| ())?);
        Ok(fresh)
    }

    /// The number and content of a layer with that diff id, no longer to be dropped.
    pub(super) fn take(all: &mut Vec<Self>, diff_id: &str) -> Option<(u64, Unpacked)> {
        let place = all.iter().position(|fresh| fresh.diff_id == diff_id)?;
        let mut fresh = all.swap_remove(place);
        let unpacked = fresh.unpacked.take()?;
        let number = std::mem::take(&mut fresh.number);
        Some((number, unpacked))
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // Zero was taken: numbers begin at one.
        if self.number > 0
            && let Err(error) = self.snapshots.discard("l", &self.number.to_string())
        {
            tracing::warn!(error = cove_base::error::chain(&error), "a layer stays until the next start");
        }
    }
}

/// One of the layers that may be unpacked ahead now.
struct Seat(Arc<AtomicUsize>);

impl Seat {
    fn take(taken: &Arc<AtomicUsize>) -> Option<Self> {
        let more = |count: usize| (count < SEATS_MAX).then_some(count + 1);
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self(Arc::clone(taken)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;

    use super::super::tests::{Fixture, Tar};
    use super::*;

    /// Reads what comes through a channel; an error when the sender says so.
    struct Slow(Receiver<io::Result<Vec<u8>>>, io::Cursor<Vec<u8>>);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.1.read(buffer)? {
                0 => match self.0.recv() {
                    Ok(next) => {
                        self.1 = io::Cursor::new(next?);
                        self.1.read(buffer)
                    }
                    Err(_) => Ok(0),
                },
                count => Ok(count),
            }
        }
    }

    fn arriving(layer: &Layer) -> (Sender<io::Result<Vec<u8>>>, Arriving) {
        let (sender, receiver) = channel();
        let size = fs::metadata(&layer.blob).unwrap().len();
        let open: Opening = Box::new(|| Some(Box::new(Slow(receiver, io::Cursor::default()))));
        (sender, Arriving { diff_id: layer.diff_id.clone(), media_type: String::new(), size, blob: Some(open) })
    }

    fn layers_on_disk(f: &Fixture) -> usize {
        fs::read_dir(f.dir.path().join("snapshots/l")).unwrap().count()
    }

    #[test]
    fn a_layer_is_unpacked_while_it_arrives() {
        let f = Fixture::new();
        let layers = [f.layer(Tar::default().file("a", "below")), f.layer(Tar::default().file("b", "above"))];
        let ahead = Ahead::new(&f.snapshots);
        let (sender, coming) = arriving(&layers[1]);
        let here = Arriving { blob: None, ..arriving(&layers[0]).1 };
        ahead.begin(vec![here, coming]);
        let bytes = fs::read(&layers[1].blob).unwrap();
        sender.send(Ok(bytes[..700].to_vec())).unwrap();
        sender.send(Ok(bytes[700..].to_vec())).unwrap();
        drop(sender);
        // Its blob is not looked at any more.
        fs::write(&layers[1].blob, "nothing").unwrap();
        let stack = ahead.finish(&layers).unwrap();
        f.mounted(&stack, |root| {
            assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "below");
            assert_eq!(fs::read_to_string(root.join("b")).unwrap(), "above");
        });
        assert_eq!(layers_on_disk(&f), 2);
    }

    #[test]
    fn what_breaks_or_lies_on_its_way_is_unpacked_from_its_blob() {
        let f = Fixture::new();
        for lie in [false, true] {
            let layer = f.layer(Tar::default().file("a", &format!("content {lie}")));
            let ahead = Ahead::new(&f.snapshots);
            let (sender, coming) = arriving(&layer);
            ahead.begin(vec![coming]);
            let next = if lie { Ok(Tar::default().file("a", "a lie").whole()) } else { Err(io::Error::other("broke")) };
            sender.send(next).unwrap();
            drop(sender);
            let stack = ahead.finish(&[layer]).unwrap();
            f.mounted(&stack, |root| {
                assert_eq!(fs::read_to_string(root.join("a")).unwrap(), format!("content {lie}"));
            });
            f.snapshots.remove_writable("task").unwrap();
        }
        assert_eq!(layers_on_disk(&f), 2);
    }

    #[test]
    fn one_that_does_not_arrive_keeps_nobody_waiting_and_leaves_nothing() {
        let f = Fixture::new();
        let layer = f.layer(Tar::default().file("a", "x"));
        let ahead = Ahead::new(&f.snapshots);
        let (sender, coming) = arriving(&layer);
        ahead.begin(vec![coming]);
        let stack = f.unpack(std::slice::from_ref(&layer)).unwrap();
        // It is there meanwhile: what comes now is too much.
        sender.send(Ok(fs::read(&layer.blob).unwrap())).unwrap();
        drop(sender);
        assert_eq!(ahead.finish(&[layer]).unwrap().chain_ids, stack.chain_ids);
        assert_eq!(layers_on_disk(&f), 1);
        assert_eq!(f.snapshots.seats.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_nobody_wants_any_more_goes() {
        let f = Fixture::new();
        let layer = f.layer(Tar::default().file("a", "x"));
        let ahead = Ahead::new(&f.snapshots);
        let (sender, coming) = arriving(&layer);
        ahead.begin(vec![coming]);
        drop(ahead);
        sender.send(Ok(fs::read(&layer.blob).unwrap())).unwrap();
        drop(sender);
        // The thread gives its seat back last.
        while f.snapshots.seats.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
        assert_eq!(layers_on_disk(&f), 0);
    }
}
