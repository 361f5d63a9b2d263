//! One server's connection.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSliceMut, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use crate::frame::{self, FrameError};
use crate::protocol::{Event, FRAME_MAX, Request};

/// A server that reads nothing is dropped when this much waits for it.
const UNSENT_MAX_BYTES: usize = FRAME_MAX;
/// Descriptors that one request may bring.
const RIGHTS_MAX: usize = 3;
/// Descriptors that may wait for their requests.
const WAITING_RIGHTS_MAX: usize = 64;

/// Buffers both ways. `closed` says that it can be forgotten.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: UnixStream,
    pub(super) subscribed: bool,
    pub(super) closed: bool,
    arrived: Vec<u8>,
    rights: VecDeque<OwnedFd>,
    unsent: Vec<u8>,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let (arrived, rights, unsent) = (Vec::new(), VecDeque::new(), Vec::new());
        Ok(Self { stream, subscribed: false, closed: false, arrived, rights, unsent })
    }

    pub(super) fn wants_to_write(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Takes what has arrived; the requests that are whole by now, each with the descriptors that came before its end.
    pub(super) fn receive(&mut self) -> Vec<Request> {
        let mut requests = Vec::new();
        loop {
            match self.receive_some() {
                Ok(0) => self.closed = true,
                Ok(_) => match self.take_frames(&mut requests) {
                    Ok(()) => continue,
                    Err(error) => {
                        super::note(&cove_base::error::chain(&error));
                        self.closed = true;
                    }
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => self.closed = true,
            }
            return requests;
        }
    }

    fn take_frames(&mut self, requests: &mut Vec<Request>) -> Result<(), FrameError> {
        while let Some(request) = frame::decode(&mut self.arrived)? {
            requests.push(request);
        }
        if self.arrived.is_empty() {
            self.arrived = Vec::new();
        }
        Ok(())
    }

    fn receive_some(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 8192];
        let mut control = nix::cmsg_space!([i32; RIGHTS_MAX]);
        let mut parts = [IoSliceMut::new(&mut chunk)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(self.stream.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
        let count = message.bytes;
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(numbers) = part {
                // SAFETY: the kernel just made these descriptors for us.
                self.rights.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
            }
        }
        if self.rights.len() > WAITING_RIGHTS_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        self.arrived.extend_from_slice(&chunk[..count]);
        Ok(count)
    }

    /// The three descriptors of an exec.
    pub(super) fn take_streams(&mut self) -> Option<[OwnedFd; 3]> {
        if self.rights.len() < RIGHTS_MAX {
            return None;
        }
        let streams: Vec<OwnedFd> = self.rights.drain(..RIGHTS_MAX).collect();
        streams.try_into().ok()
    }

    /// Queues an event and sends what the peer takes now.
    pub(super) fn send(&mut self, event: &Event) {
        match frame::encode(event) {
            Ok(bytes) => self.unsent.extend(bytes),
            Err(error) => super::note(&cove_base::error::chain(&error)),
        }
        self.flush();
    }

    pub(super) fn flush(&mut self) {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(0) => return self.closed = true,
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.closed = true,
            }
        }
        if self.unsent.len() > UNSENT_MAX_BYTES {
            self.closed = true;
        }
        if self.unsent.is_empty() {
            self.unsent = Vec::new();
        }
    }
}
