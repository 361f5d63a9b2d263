//! A part of a file as a response body.
//!
//! Holds: two pieces of the file are in RAM per response, the one being sent and the next; no thread waits for the client,
//! and no thread of the async runtime for the disk.
//!
//! Why two ways to read: what the page cache has is read at once, which costs a copy; handing a piece to another thread
//! and back costs as much again, and is for what must come from the disk.

use std::fs::File;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use rustix::io::{ReadWriteFlags, preadv2};
use tokio::task::JoinHandle;

use crate::http::BodyError;

/// Large enough that handing a piece over costs little, small enough for hundreds of slow readers.
const PIECE_BYTES: u64 = 256 * 1024;

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
    /// `length` bytes from `start`. Begins to read at once.
    pub(super) async fn open(path: &Path, start: u64, length: u64) -> io::Result<Self> {
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || File::open(path)).await;
        let file = Arc::new(opened.map_err(io::Error::other)??);
        let (reading, spare) = (Reading::Nothing, Spare::default());
        let mut body = Self { file, offset: start, end: start + length, left: length, reading, spare };
        body.read_on();
        Ok(body)
    }

    fn read_on(&mut self) {
        let count = PIECE_BYTES.min(self.end - self.offset);
        if count == 0 {
            return;
        }
        let offset = self.offset;
        self.offset += count;
        let length = usize::try_from(count).expect("a piece fits in memory");
        let mut piece = Piece::new(length, &self.spare);
        let cached = preadv2(&*self.file, &mut [IoSliceMut::new(piece.room())], offset, ReadWriteFlags::NOWAIT);
        if cached == Ok(length) {
            self.reading = Reading::Done(Ok(Bytes::from_owner(piece)));
            return;
        }
        let file = Arc::clone(&self.file);
        self.reading = Reading::Elsewhere(tokio::task::spawn_blocking(move || {
            file.read_exact_at(piece.room(), offset)?;
            Ok(Bytes::from_owner(piece))
        }));
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
