//! A part of a file as a response body.
//!
//! Holds: two pieces of the file are in RAM per response, the one being sent and the next; no thread waits for the client.

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
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
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileBody {
    /// `length` bytes from `start`. Begins to read at once.
    pub(super) async fn open(path: &Path, start: u64, length: u64) -> io::Result<Self> {
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || File::open(path)).await;
        let file = Arc::new(opened.map_err(io::Error::other)??);
        let mut body = Self { file, offset: start, end: start + length, left: length, reading: None };
        body.read_on();
        Ok(body)
    }

    fn read_on(&mut self) {
        let count = PIECE_BYTES.min(self.end - self.offset);
        if count == 0 {
            return;
        }
        let (file, offset) = (Arc::clone(&self.file), self.offset);
        self.offset += count;
        self.reading = Some(tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; usize::try_from(count).expect("a piece fits in memory")];
            file.read_exact_at(&mut piece, offset)?;
            Ok(Bytes::from(piece))
        }));
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(reading) = self.reading.as_mut() else { return Poll::Ready(None) };
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        let piece = read.map_err(io::Error::other).and_then(|piece| piece).map_err(BodyError::Source);
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
