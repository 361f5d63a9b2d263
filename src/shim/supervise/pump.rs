//! A container's output: from its pipes or its terminal into its log stream.
//!
//! Holds: it is read only as fast as the log takes it, so a container that writes too fast waits; nothing is
//! dropped here. A log that cannot be written is noted once and the output discarded: the container must not hang for it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use cove_base::{Clock, Timestamp};
use cove_logs::{Source, StreamWriter};
use cove_runtime::spec::LogTarget;

/// The size of a pipe: one read empties it.
const CHUNK_BYTES: usize = 64 << 10;
/// An event of several lines is over after this, whether lines still follow or not: nobody waits longer to see one. It is
/// the time after which Docker's driver sends what it has.
const OPEN_MAX: Duration = Duration::from_secs(5);

/// Both pipes, or a terminal in the place of the first, and the stream behind them.
#[derive(Debug)]
pub(super) struct Pump {
    pub(super) stdout: Option<File>,
    pub(super) stderr: Option<File>,
    writer: Option<StreamWriter>,
    open: Option<Open>,
}

/// Since when an event of several lines waits for more of them.
#[derive(Debug, Clone, Copy)]
struct Open {
    event: u64,
    began: Instant,
}

impl Pump {
    /// The reading ends; `None` as a target discards.
    pub(super) fn new(stdout: OwnedFd, stderr: Option<OwnedFd>, log: Option<&LogTarget>) -> Self {
        for pipe in [Some(&stdout), stderr.as_ref()].into_iter().flatten() {
            let nonblocking = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
            let _ = nix::fcntl::fcntl(pipe.as_raw_fd(), nonblocking);
        }
        let writer = log.and_then(|log| {
            let opened = StreamWriter::open(&log.directory, log.max_bytes);
            let mut writer = opened.map_err(|error| super::note(&cove_base::error::chain(&error))).ok()?;
            if let Some(pattern) = &log.event_start {
                // The agent has looked at it; without it every line is an event.
                let set = writer.begin_events_at(pattern);
                let _ = set.map_err(|error| super::note(&cove_base::error::chain(&error)));
            }
            Some(writer)
        });
        Self { stdout: Some(stdout.into()), stderr: stderr.map(File::from), writer, open: None }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.stdout.is_none() && self.stderr.is_none()
    }

    /// Reads what is there, a few chunks at most so that others get their turn.
    pub(super) fn read(&mut self, source: Source, clock: &Clock, buffer: &mut Vec<u8>) {
        const TURNS: usize = 8;
        buffer.resize(CHUNK_BYTES, 0);
        for _ in 0..TURNS {
            let pipe = match source {
                Source::Stdout => &mut self.stdout,
                Source::Stderr => &mut self.stderr,
            };
            let Some(file) = pipe else { return };
            match file.read(buffer) {
                Ok(count) if count > 0 => {
                    if let Some(writer) = &mut self.writer {
                        // The writer counts what it loses and says so in the stream.
                        let _ = writer.append(source, clock.now(), &buffer[..count]);
                    }
                    self.look_at_open();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // A terminal that nobody has open any more ends with an error.
                Ok(_) | Err(_) => {
                    *pipe = None;
                    return self.finish(source, clock.now());
                }
            }
        }
    }

    fn look_at_open(&mut self) {
        let now = Instant::now();
        let open = self.writer.as_ref().and_then(StreamWriter::open_event);
        let began = |event| self.open.filter(|known| known.event == event).map_or(now, |known| known.began);
        self.open = open.map(|event| Open { event, began: began(event) });
    }

    /// When an event of several lines is to be written though nothing followed it.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.open.map(|open| open.began + OPEN_MAX)
    }

    /// Writes it if it is time.
    pub(super) fn write_overdue(&mut self, now: Timestamp) {
        if self.deadline().is_some_and(|at| Instant::now() >= at) {
            self.open = None;
            if let Some(writer) = &mut self.writer {
                let _ = writer.end_event(now);
            }
        }
    }

    /// Ends both, read or not.
    pub(super) fn close(&mut self, now: Timestamp) {
        for (source, pipe) in [(Source::Stdout, self.stdout.take()), (Source::Stderr, self.stderr.take())] {
            if pipe.is_some() {
                self.finish(source, now);
            }
        }
        self.open = None;
        if let Some(writer) = &mut self.writer {
            let _ = writer.end_event(now);
        }
    }

    fn finish(&mut self, source: Source, now: Timestamp) {
        if let Some(writer) = &mut self.writer {
            let _ = writer.finish(source, now);
        }
        self.look_at_open();
    }
}
