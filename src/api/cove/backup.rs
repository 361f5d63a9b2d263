//! A backup while the server works: the state of one moment, streamed as it is written.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use cove_registry::digest::Digest;
use cove_store::Images;
use hyper::body::{Body as HttpBody, Frame};
use tokio::sync::{Semaphore, mpsc};

use super::problem;
use crate::http::BodyError;
use crate::{Body, RawContext, Response};

/// A backup holds a thread for as long as its client takes to read it.
const AT_ONCE_MAX: usize = 2;
/// Pieces that wait for the client, and their size.
const PIECES_MAX: usize = 4;
const PIECE_BYTES: usize = 256 << 10;

static SLOTS: Semaphore = Semaphore::const_new(AT_ONCE_MAX);

/// Streams the archive. One that fails on the way ends without its last entry, which every reader notices.
pub(super) fn answer(cx: &RawContext, images: Images) -> Response {
    let Ok(slot) = SLOTS.try_acquire() else {
        return problem(429, "TooManyBackups", "other backups are being written; try again later");
    };
    let backup = cx.store().backup(images);
    // What the archive will hold must not be swept before it is read.
    let blobs = cx.registry().blobs();
    let pins: Vec<_> = backup.blobs().iter().filter_map(|name| Digest::parse(name)).map(|it| blobs.pin(&it)).collect();
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    tokio::task::spawn_blocking(move || {
        let out = io::BufWriter::with_capacity(PIECE_BYTES, Written(sender.clone()));
        match backup.write(out) {
            Ok(written) if written.bad_blobs.is_empty() => {}
            Ok(written) => tracing::warn!(blobs = ?written.bad_blobs, "blobs are missing or damaged; see `cove fsck`"),
            Err(error) => {
                tracing::warn!(error = cove_base::error::chain(&error), "a backup ended early");
                let _ = sender.blocking_send(Err(io::Error::other("the backup ended early")));
            }
        }
        drop((pins, slot));
    });
    let response = hyper::Response::builder().header(hyper::header::CONTENT_TYPE, "application/x-tar");
    response.body(Body::stream(Pieces(receiver))).expect("a constant header makes a response")
}

/// Hands what is written to the response.
struct Written(mpsc::Sender<io::Result<Bytes>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What comes through a channel as the body of a response.
pub(super) struct Pieces(pub(super) mpsc::Receiver<io::Result<Bytes>>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data).map_err(BodyError::Source)))
    }
}
