//! Reads one file again, slowly.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use crate::digest::{Digest, Hasher};
use crate::registry::blocking;

/// Read at a time: a thread is taken only that long, and the pause after it keeps the rate.
const PIECE_BYTES: usize = 1 << 20;

/// What a file was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Whole {
        bytes: u64,
    },
    /// The content is another one, or the disk does not give it.
    Damaged {
        bytes: u64,
        inode: u64,
    },
    /// Collected meanwhile, or not to be told.
    Gone,
}

/// Compares a file with its digest, at so many bytes a second.
pub(super) async fn check(path: PathBuf, digest: Digest, rate: u64) -> Found {
    let Ok(file) = blocking(move || File::open(path)).await else { return Found::Gone };
    let Ok(inode) = file.metadata().map(|about| about.ino()) else { return Found::Gone };
    // What the page cache has says nothing of the disk, and what is read here should not push others out.
    forget(&file);
    let mut reading = Reading { file, hasher: Hasher::new(digest.algorithm()), bytes: 0, piece: vec![0; PIECE_BYTES] };
    let began = Instant::now();
    loop {
        let (back, count) = blocking(move || {
            let count = reading.next();
            (reading, count)
        })
        .await;
        reading = back;
        match count {
            Ok(0) => break,
            Ok(_) => {
                let due = began + Duration::from_millis(reading.bytes.saturating_mul(1000) / rate.max(1));
                tokio::time::sleep_until(due.into()).await;
            }
            Err(error) => {
                tracing::error!(%digest, %error, "a blob cannot be read");
                return Found::Damaged { bytes: reading.bytes, inode };
            }
        }
    }
    forget(&reading.file);
    let bytes = reading.bytes;
    if reading.hasher.finish() == digest { Found::Whole { bytes } } else { Found::Damaged { bytes, inode } }
}

struct Reading {
    file: File,
    hasher: Hasher,
    bytes: u64,
    piece: Vec<u8>,
}

impl Reading {
    fn next(&mut self) -> io::Result<usize> {
        let count = self.file.read(&mut self.piece)?;
        self.hasher.update(&self.piece[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}

/// A hint: a file system without it is read from its cache.
fn forget(file: &File) {
    let _ = posix_fadvise(file.as_raw_fd(), 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
}
