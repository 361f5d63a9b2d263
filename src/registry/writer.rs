//! Bytes from the network into a temporary file, hashed on the way.
//!
//! Holds: at most two batches of a body are in RAM, whatever its size and however slow either side is; no thread waits
//! for a client; a writer that failed says so and is not used again.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;

use crate::digest::{Algorithm, Hasher};
use crate::registry::blocking;
use crate::room::Room;

/// Written and hashed in one go: large enough to keep the disk busy, small enough for hundreds of clients.
const BATCH_BYTES: usize = 1024 * 1024;
/// Frames of one batch, so that a body of tiny frames does not pile up bookkeeping.
const BATCH_FRAMES: usize = 1024;

/// A file that grows, and the hash of what it holds.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) file: File,
    pub(crate) hasher: Hasher,
    pub(crate) length: u64,
    /// A write failed: file and hash may differ.
    pub(crate) broken: bool,
    /// Of the room: more than its length after a write that failed.
    taken: u64,
    room: Arc<Room>,
}

/// Why pouring stopped.
#[derive(Debug)]
pub(crate) enum PourError {
    /// The sender.
    Body(String),
    /// Our file.
    File(io::Error),
    /// More came than was announced.
    TooLong,
}

impl Writer {
    /// A new, empty file.
    pub(crate) fn create(path: &Path, algorithm: Algorithm, room: Arc<Room>) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Self { file, hasher: Hasher::new(algorithm), length: 0, broken: false, taken: 0, room })
    }

    /// A file that has something already, with the hash state that belongs to it when it is known, else read again.
    pub(crate) fn resume(
        path: &Path,
        algorithm: Algorithm,
        known: Option<(Hasher, u64)>,
        room: Arc<Room>,
    ) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let length = file.metadata()?.len();
        let hasher = match known {
            Some((hasher, hashed)) if hashed == length && hasher.algorithm() == algorithm => hasher,
            Some(_) | None => hash_of(&mut file, algorithm)?,
        };
        file.seek(SeekFrom::Start(length))?;
        Ok(Self { file, hasher, length, broken: false, taken: length, room })
    }

    /// Appends, if there is room for all of it.
    pub(crate) fn write(&mut self, batch: &[Bytes]) -> io::Result<()> {
        let wanted = batch.iter().map(|bytes| bytes.len() as u64).sum();
        self.room.take(wanted)?;
        self.taken += wanted;
        for bytes in batch {
            if let Err(error) = self.file.write_all(bytes) {
                self.broken = true;
                return Err(error);
            }
            self.hasher.update(bytes);
            self.length += bytes.len() as u64;
        }
        Ok(())
    }

    /// Goes back to an earlier state, as [`Writer::mark`] gave it.
    pub(crate) fn roll_back(&mut self, mark: (Hasher, u64)) -> io::Result<()> {
        let gone = self.room.free(|| {
            self.file.set_len(mark.1)?;
            self.file.seek(SeekFrom::Start(mark.1))?;
            Ok(self.taken.saturating_sub(mark.1))
        });
        self.broken |= gone.is_err();
        self.taken = mark.1;
        (self.hasher, self.length) = mark;
        gone.map(|_| ())
    }

    pub(crate) fn mark(&self) -> (Hasher, u64) {
        (self.hasher.clone(), self.length)
    }
}

/// The hash of a whole file, from its start.
pub(crate) fn hash_of(file: &mut File, algorithm: Algorithm) -> io::Result<Hasher> {
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; BATCH_BYTES];
    file.seek(SeekFrom::Start(0))?;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// Pours a body into a writer: the next batch is received while the last one is written. The carrier comes back in
/// every case; when this future is dropped it is dropped only after a write under way has ended.
pub(crate) async fn pour<T, B>(
    mut carrier: T,
    body: &mut B,
    limit: u64,
    mut told: impl FnMut(u64),
) -> (T, Result<u64, PourError>)
where
    T: AsMut<Writer> + Send + 'static,
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut poured = 0;
    let mut received = next_batch(body).await;
    loop {
        let Batch { frames, end } = received;
        poured += frames.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
        if poured > limit {
            return (carrier, Err(PourError::TooLong));
        }
        let write = blocking(move || {
            let written = carrier.as_mut().write(&frames);
            (carrier, written)
        });
        // After its end a body is not asked again.
        let next = async { if end.is_none() { Some(next_batch(body).await) } else { None } };
        let ((back, written), next) = tokio::join!(write, next);
        carrier = back;
        if let Err(error) = written {
            return (carrier, Err(PourError::File(error)));
        }
        told(poured);
        match (next, end) {
            (Some(next), _) => received = next,
            (None, Some(Err(error))) => return (carrier, Err(PourError::Body(error))),
            (None, _) => return (carrier, Ok(poured)),
        }
    }
}

/// Some frames of a body, and how it ended if it did: what came before it broke counts.
struct Batch {
    frames: Vec<Bytes>,
    end: Option<Result<(), String>>,
}

async fn next_batch<B>(body: &mut B) -> Batch
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let (mut frames, mut size) = (Vec::new(), 0);
    while size < BATCH_BYTES && frames.len() < BATCH_FRAMES {
        let frame = match body.frame().await {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Batch { frames, end: Some(Err(error.to_string())) },
            None => return Batch { frames, end: Some(Ok(())) },
        };
        match frame.into_data() {
            Ok(bytes) if bytes.is_empty() => {}
            Ok(bytes) => {
                size += bytes.len();
                frames.push(bytes);
            }
            // Trailers end the body and say nothing to us.
            Err(_) => return Batch { frames, end: Some(Ok(())) },
        }
    }
    Batch { frames, end: None }
}

impl AsMut<Self> for Writer {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}
