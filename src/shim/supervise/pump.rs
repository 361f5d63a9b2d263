//! A container's output: from its pipes into its log stream.
//!
//! Holds: the pipe is read only as fast as the log takes it, so a container that writes too fast waits; nothing is
//! dropped here. A log that cannot be written is noted once and the output discarded: the container must not hang for it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsRawFd, OwnedFd};

use cove_base::{Clock, Timestamp};
use cove_logs::{Source, StreamWriter};
use cove_runtime::spec::LogTarget;

/// The size of a pipe: one read empties it.
const CHUNK_BYTES: usize = 64 << 10;

/// Both pipes and the stream behind them.
#[derive(Debug)]
pub(super) struct Pump {
    pub(super) stdout: Option<File>,
    pub(super) stderr: Option<File>,
    writer: Option<StreamWriter>,
}

impl Pump {
    /// The reading ends; `None` as a target discards.
    pub(super) fn new(stdout: OwnedFd, stderr: OwnedFd, log: Option<&LogTarget>) -> Self {
        for pipe in [&stdout, &stderr] {
            let nonblocking = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
            let _ = nix::fcntl::fcntl(pipe.as_raw_fd(), nonblocking);
        }
        let writer = log.and_then(|log| {
            let opened = StreamWriter::open(&log.directory, log.max_bytes);
            opened.map_err(|error| super::note(&cove_base::error::chain(&error))).ok()
        });
        Self { stdout: Some(stdout.into()), stderr: Some(stderr.into()), writer }
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
                Ok(0) => {
                    *pipe = None;
                    self.finish(source, clock.now());
                    return;
                }
                Ok(count) => {
                    if let Some(writer) = &mut self.writer {
                        // The writer counts what it loses and says so in the stream.
                        let _ = writer.append(source, clock.now(), &buffer[..count]);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => *pipe = None,
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
    }

    fn finish(&mut self, source: Source, now: Timestamp) {
        if let Some(writer) = &mut self.writer {
            let _ = writer.finish(source, now);
        }
    }
}
