//! A blob on its way here: what has come of it can be read before the rest is there.
//!
//! Holds: a reader sees the bytes that came, in their order, and an end only behind the last one; when the download fails or
//! begins again from its start, reading fails. Nothing here says that the bytes are the right ones: whoever reads has a
//! digest to check.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is known of a download.
#[derive(Debug, Default)]
pub struct Arrival {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Absent until the download begins.
    file: Option<Arc<File>>,
    /// Bytes that lie in it.
    length: u64,
    end: Option<End>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    Broken,
}

/// A layer of an image that is being pulled.
#[derive(Debug, Clone)]
pub struct ArrivingLayer {
    /// Digest of the uncompressed tar, from the image's config.
    pub diff_id: String,
    pub media_type: String,
    /// Of the blob, in bytes.
    pub size: u64,
    /// Absent when its blob is here already.
    pub arrival: Option<Arc<Arrival>>,
}

impl Arrival {
    /// The bytes go into this file.
    pub(crate) fn begin(&self, file: File) {
        self.lock().file = Some(Arc::new(file));
    }

    /// So many bytes lie in the file now; fewer than before when it begins again.
    pub(crate) fn advance(&self, length: u64) {
        let mut state = self.lock();
        if length < state.length {
            state.end = Some(End::Broken);
        }
        state.length = length;
        self.changed.notify_all();
    }

    /// All is there, or no more will come.
    pub(crate) fn end(&self, is_whole: bool) {
        self.lock().end.get_or_insert(if is_whole { End::Whole } else { End::Broken });
        self.changed.notify_all();
    }

    /// Reads from the blob's start; a read blocks until something is there.
    #[must_use]
    pub fn reader(self: &Arc<Self>) -> Arriving {
        Arriving { arrival: Arc::clone(self), offset: 0 }
    }

    /// Blocks until the download ends, but no longer than that; whether it goes on.
    #[must_use]
    pub fn takes_longer_than(&self, patience: Duration) -> bool {
        let goes_on = |state: &mut State| state.end.is_none();
        let waited = self.changed.wait_timeout_while(self.lock(), patience, goes_on);
        waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// The file and how much lies in it: more than that, unless it is the end.
    fn beyond(&self, offset: u64) -> io::Result<(Option<Arc<File>>, u64)> {
        let mut state = self.lock();
        loop {
            match state.end {
                Some(End::Broken) => return Err(io::Error::other("the download broke")),
                Some(End::Whole) => return Ok((state.file.clone(), state.length)),
                None if state.length > offset => return Ok((state.file.clone(), state.length)),
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a blob while it arrives.
#[derive(Debug)]
pub struct Arriving {
    arrival: Arc<Arrival>,
    offset: u64,
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (file, length) = self.arrival.beyond(self.offset)?;
        let left = usize::try_from(length.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let room = left.min(buffer.len());
        let (Some(file), true) = (file, room > 0) else { return Ok(0) };
        match file.read_at(&mut buffer[..room], self.offset)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.offset += count as u64;
                Ok(count)
            }
        }
    }
}

/// Ends an arrival as broken unless it ended otherwise: nobody waits for a download that is gone.
pub(crate) struct Coming(pub(crate) Arc<Arrival>);

impl Drop for Coming {
    fn drop(&mut self) {
        self.0.end(false);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_reader_waits_for_what_comes_and_ends_with_it() {
        let (mut file, arrival) = (tempfile::tempfile().unwrap(), Arc::new(Arrival::default()));
        let mut reader = arrival.reader();
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all)
        });
        arrival.begin(file.try_clone().unwrap());
        for (count, piece) in [&b"one "[..], b"two ", b"three"].iter().enumerate() {
            file.write_all(piece).unwrap();
            arrival.advance([4, 8, 13][count]);
        }
        assert!(!reading.is_finished(), "its end is not known yet");
        assert!(arrival.takes_longer_than(Duration::ZERO));
        arrival.end(true);
        assert!(!arrival.takes_longer_than(Duration::ZERO));
        assert_eq!(reading.join().unwrap().unwrap(), b"one two three");
    }

    #[test]
    fn a_download_that_fails_or_begins_again_is_no_end() {
        for again in [false, true] {
            let arrival = Arc::new(Arrival::default());
            let coming = Coming(Arc::clone(&arrival));
            arrival.begin(tempfile::tempfile().unwrap());
            arrival.advance(10);
            if again {
                arrival.advance(0);
                arrival.end(true);
            }
            drop(coming);
            assert!(arrival.reader().read(&mut [0; 4]).is_err(), "{again}");
        }
    }
}
