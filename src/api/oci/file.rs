//! A part of a file as a response body.
//!
//! Holds: two pieces of the file are in memory per response, the one being sent and the next; no thread waits for the
//! client, and no thread of the async runtime for the disk.
//!
//! Why two ways to read: what the page cache has is read at once, which costs a copy; handing a piece to another thread
//! and back costs as much again, and is for what must come from the disk. Large parts are not read at all where nobody
//! looks at the bytes: they are mapped, and the kernel takes them from its page cache.

use std::fs::File;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use cove_base::mapped::Mapped;
use hyper::body::{Body, Frame, SizeHint};
use rustix::io::{ReadWriteFlags, preadv2};
use tokio::task::JoinHandle;

use crate::http::BodyError;

/// Large enough that handing a piece over costs little, small enough for hundreds of slow readers.
const PIECE_BYTES: u64 = 256 * 1024;
/// Of a piece that is mapped: what maps and unmaps it is spread over more bytes, and it is no memory of ours.
const MAPPED_BYTES: u64 = 1024 * 1024;

/// The body.
pub(super) struct FileBody {
    file: Arc<File>,
    /// Not yet asked for.
    offset: u64,
    end: u64,
    /// Not yet handed out.
    left: u64,
    reading: Reading,
    spare: Spare,
    is_mapped: bool,
}

enum Reading {
    Nothing,
    Done(io::Result<Bytes>),
    Elsewhere(JoinHandle<io::Result<Bytes>>),
}

/// Memory of pieces that were sent, to be filled again: new memory costs its zeros each time.
type Spare = Arc<Mutex<Vec<Vec<u8>>>>;

/// A piece in memory that goes back when it was sent.
struct Piece {
    memory: Vec<u8>,
    length: usize,
    spare: Spare,
}

impl FileBody {
    /// `length` bytes from `start`. Begins to read at once. `to_kernel`: nobody looks at the bytes.
    pub(super) async fn open(path: &Path, start: u64, length: u64, to_kernel: bool) -> io::Result<Self> {
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || File::open(path)).await;
        let file = Arc::new(opened.map_err(io::Error::other)??);
        let (reading, spare) = (Reading::Nothing, Spare::default());
        let (end, left) = (start + length, length);
        let mut body = Self { file, offset: start, end, left, reading, spare, is_mapped: to_kernel };
        body.read_on();
        Ok(body)
    }

    fn read_on(&mut self) {
        let left = self.end - self.offset;
        if left == 0 {
            return;
        }
        let is_mapped = self.is_mapped && left >= PIECE_BYTES;
        let count = left.min(if is_mapped { MAPPED_BYTES } else { PIECE_BYTES });
        let offset = self.offset;
        self.offset += count;
        let length = usize::try_from(count).expect("a piece fits in memory");
        let mapped = if is_mapped { self.map(offset, length) } else { None };
        self.reading = mapped.unwrap_or_else(|| self.read(offset, length));
    }

    /// Nothing when the file system or the kernel does not offer it: then it is not tried again.
    fn map(&mut self, offset: u64, length: usize) -> Option<Reading> {
        match Mapped::new(&self.file, offset, length) {
            Ok(part) if !part.is_cached() => {
                let file = Arc::clone(&self.file);
                Some(Reading::Elsewhere(tokio::task::spawn_blocking(move || match part.read() {
                    Ok(()) => Ok(Bytes::from_owner(part)),
                    Err(_) => {
                        let mut read = vec![0; length];
                        file.read_exact_at(&mut read, offset).map(|()| Bytes::from(read))
                    }
                })))
            }
            Ok(part) if part.read().is_ok() => Some(Reading::Done(Ok(Bytes::from_owner(part)))),
            Ok(_) | Err(_) => {
                self.is_mapped = false;
                None
            }
        }
    }

    fn read(&self, offset: u64, length: usize) -> Reading {
        let mut piece = Piece::new(length, &self.spare);
        let cached = preadv2(&*self.file, &mut [IoSliceMut::new(piece.room())], offset, ReadWriteFlags::NOWAIT);
        if cached == Ok(length) {
            return Reading::Done(Ok(Bytes::from_owner(piece)));
        }
        let file = Arc::clone(&self.file);
        Reading::Elsewhere(tokio::task::spawn_blocking(move || {
            file.read_exact_at(piece.room(), offset)?;
            Ok(Bytes::from_owner(piece))
        }))
    }
}

impl Piece {
    fn new(length: usize, spare: &Spare) -> Self {
        let mut memory = spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        if memory.len() < length {
            memory.resize(length, 0);
        }
        Self { memory, length, spare: Arc::clone(spare) }
    }

    fn room(&mut self) -> &mut [u8] {
        &mut self.memory[..self.length]
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut self.memory));
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let read = match &mut self.reading {
            Reading::Nothing => return Poll::Ready(None),
            Reading::Elsewhere(reading) => ready!(Pin::new(reading).poll(cx)).map_err(io::Error::other),
            Reading::Done(_) => match std::mem::replace(&mut self.reading, Reading::Nothing) {
                Reading::Done(read) => Ok(read),
                Reading::Nothing | Reading::Elsewhere(_) => return Poll::Ready(None),
            },
        };
        self.reading = Reading::Nothing;
        let piece = read.and_then(|piece| piece).map_err(BodyError::Source);
        if let Ok(bytes) = &piece {
            self.left -= bytes.len() as u64;
            self.read_on();
        }
        Poll::Ready(Some(piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn any_part_comes_whole_whether_mapped_or_read_cached_or_not() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("blob");
        let content: Vec<u8> = (0..700_000_u32).flat_map(u32::to_le_bytes).collect();
        std::fs::write(&path, &content).unwrap();
        let file = File::open(&path).unwrap();
        for to_kernel in [true, false] {
            for (start, length) in [(0, 2_800_000), (1, 262_144), (1_048_577, 1_500_000), (2_799_999, 1), (5, 0)] {
                file.sync_all().unwrap();
                rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
                for _ in 0..2 {
                    let body = FileBody::open(&path, start, length, to_kernel).await.unwrap();
                    let (from, to) = (usize::try_from(start).unwrap(), usize::try_from(start + length).unwrap());
                    assert!(
                        body.collect().await.unwrap().to_bytes() == content[from..to],
                        "{start} {length} {to_kernel}"
                    );
                }
            }
        }
    }
}
