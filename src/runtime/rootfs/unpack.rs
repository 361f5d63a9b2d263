//! Unpacks one layer into an empty directory.
//!
//! In: a blob (plain, gzip or zstd), the digest that its inflated bytes must have, limits. Out: the directory's content,
//! ready to be an overlay layer: whiteouts are devices 0:0, opaque directories carry overlay's xattr.
//!
//! Holds: nothing outside the directory is touched: parents are resolved with the directory as root, last parts are never
//! followed. Docker's rules else: a later entry replaces an earlier one, directories merge, names above the root are refused.
//! Devices beyond the harmless ones are skipped and counted; of xattrs, `user.*`, file capabilities and ACLs stay.
//! Why two threads: inflating and hashing run beside the file system, which is the slower part.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use sha2::{Digest, Sha256, Sha512};

use super::error::{Result, RootfsError};
use super::names::open_directory;
use super::sys;
use super::tar::Archive;
use super::tree::Tree;

/// Bytes handed from one thread to the other at once, and how many such pieces may wait.
const CHUNK: usize = 256 << 10;
const CHUNKS_WAITING: usize = 4;

/// What a layer may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub entries: u64,
    /// Content of all files, holes included.
    pub bytes: u64,
}

/// What an entry may have beside its content, on average: header, filling, long names.
const BESIDE_CONTENT: u64 = 4096;

impl Limits {
    /// The whole archive: what fills it between and behind the entries costs time, if nothing else.
    pub(super) fn archive_bytes(&self) -> u64 {
        self.bytes.saturating_add(self.entries.saturating_mul(BESIDE_CONTENT))
    }
}

impl Default for Limits {
    /// Above any honest image seen: the largest machine-learning images have half a million files and 40 GiB.
    fn default() -> Self {
        Self { entries: 4_000_000, bytes: 128 << 30 }
    }
}

/// What was unpacked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Unpacked {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    /// About what it takes on a disk, without holes.
    pub(super) disk_bytes: u64,
    /// Device nodes that were left out.
    pub(super) skipped_devices: u64,
    /// Directories that the archive names only as parents: their mode and owner come from the layers below.
    pub(super) implied: Vec<Vec<u8>>,
}

/// Unpacks; the calling thread gets an own umask and must end afterwards.
pub(super) fn unpack(
    blob: Box<dyn Read + Send>,
    diff_id: &str,
    target: &Path,
    trash: &Path,
    limits: Limits,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Unpacked> {
    let hasher = Hasher::new(diff_id)?;
    sys::own_umask().map_err(|error| RootfsError::file("prepare for", target, error))?;
    let (target, trash) = (open_directory(target)?, open_directory(trash)?);
    let (sender, receiver) = sync_channel(CHUNKS_WAITING);
    std::thread::scope(|scope| {
        let inflating = scope.spawn(move || inflate(Counted { blob, progress }, &sender, hasher));
        // The receiver is gone when this returns, so that the other thread ends too.
        let unpacked = write(receiver, &target, &trash, limits)?;
        let got = inflating.join().map_err(|_| RootfsError::Damaged { why: "reading it panicked" })?;
        match got {
            Some(got) if got == diff_id => Ok(unpacked),
            Some(got) => Err(RootfsError::Digest { wanted: diff_id.to_owned(), got }),
            None => Err(RootfsError::Damaged { why: "it could not be read to its end" }),
        }
    })
}

fn write(chunks: Receiver<io::Result<Vec<u8>>>, target: &OwnedFd, trash: &OwnedFd, limits: Limits) -> Result<Unpacked> {
    let mut archive = Archive::new(chunks, limits.archive_bytes());
    let mut tree = Tree::new(target.as_fd(), trash.as_fd(), limits);
    while let Some(entry) = archive.next()? {
        tree.add(&entry, &mut archive)?;
    }
    archive.drain()?;
    tree.finish()
}

/// Sends the inflated bytes on; their digest, or `None` when somebody gave up.
fn inflate(mut source: Counted<'_>, sender: &SyncSender<io::Result<Vec<u8>>>, mut hasher: Hasher) -> Option<String> {
    let mut head = Vec::new();
    let sniffed = (&mut source).take(4).read_to_end(&mut head);
    let is = |magic: &[u8]| head.starts_with(magic);
    // A zstd stream may begin with a frame that is to be skipped; the last digit is free.
    let skippable = matches!(head[..], [0x50..=0x5f, 0x2a, 0x4d, 0x18]);
    let (gzip, zstandard) = (is(&[0x1f, 0x8b]), is(&[0x28, 0xb5, 0x2f, 0xfd]) || skippable);
    let whole = io::Cursor::new(head.clone()).chain(source);
    let opened = sniffed.and_then(|_| {
        let reader: Box<dyn Read + '_> = if gzip {
            Box::new(flate2::bufread::MultiGzDecoder::new(io::BufReader::with_capacity(CHUNK, whole)))
        } else if zstandard {
            Box::new(zstd::stream::read::Decoder::new(whole)?)
        } else {
            Box::new(whole)
        };
        Ok(reader)
    });
    let mut reader = match opened {
        Ok(reader) => reader,
        Err(error) => {
            let _ = sender.send(Err(error));
            return None;
        }
    };
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        match (&mut reader).take(CHUNK as u64).read_to_end(&mut chunk) {
            Ok(0) => return Some(hasher.finish()),
            Ok(_) => {
                hasher.update(&chunk);
                sender.send(Ok(chunk)).ok()?;
            }
            Err(error) => {
                let _ = sender.send(Err(error));
                return None;
            }
        }
    }
}

struct Counted<'a> {
    blob: Box<dyn Read + Send>,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.blob.read(buffer)?;
        (self.progress)(count as u64);
        Ok(count)
    }
}

enum Hasher {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl Hasher {
    fn new(digest: &str) -> Result<Self> {
        match digest.split_once(':') {
            Some(("sha256", hex)) if hex.len() == 64 => Ok(Self::Sha256(Sha256::new())),
            Some(("sha512", hex)) if hex.len() == 128 => Ok(Self::Sha512(Box::default())),
            Some(_) | None => Err(RootfsError::BadName(digest.to_owned())),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> String {
        match self {
            Self::Sha256(hasher) => format!("sha256:{}", hex::encode(hasher.finalize())),
            Self::Sha512(hasher) => format!("sha512:{}", hex::encode(hasher.finalize())),
        }
    }
}
