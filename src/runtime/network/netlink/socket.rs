//! A netlink socket in a namespace: batches out, acknowledgements or dumps in.
//!
//! Holds: after any error the socket is replaced, because unread acknowledgements of the failed batch would be taken
//! for those of the next. Only the kernel (port 0) is listened to.

use std::borrow::Cow;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::decode::{Reply, find, messages};
use super::encode::{Batch, DUMP, Message};
use crate::network::error::NetworkError;
use crate::network::namespace::Namespace;

/// Dumps come in pieces of at most 32 KiB.
const DUMP_BYTES: usize = 64 * 1024;
/// An acknowledgement is a header, a code, the header in question, and a sentence at most.
const ACKNOWLEDGEMENT_BYTES: usize = 4096;
/// For batches of hundreds of messages and their acknowledgements.
const SOCKET_BUFFER_BYTES: libc::c_int = 4 << 20;
/// The kernel answers within the call; this only guards against a lost answer.
const ANSWER_TIMEOUT_SECS: libc::time_t = 10;
/// A dump that changed under our hands is taken again this often.
const DUMP_ATTEMPTS: usize = 10;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const FLAG_INTERRUPTED: u16 = 0x10;
const FLAG_CAPPED: u16 = 0x100;
const FLAG_EXTENDED: u16 = 0x200;
const EXTENDED_TEXT: u16 = 1;
const SOL_NETLINK: libc::c_int = 270;
const NETLINK_CAP_ACK: libc::c_int = 10;
const NETLINK_EXT_ACK: libc::c_int = 11;

/// Which part of the kernel is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Protocol {
    Route,
    Netfilter,
}

impl Protocol {
    fn number(self) -> libc::c_int {
        match self {
            Self::Route => 0,
            Self::Netfilter => 12,
        }
    }
}

/// The kernel's no to one message of a batch.
#[derive(Debug)]
pub(in super::super) struct Refused {
    /// Which message of the batch.
    pub(in super::super) index: usize,
    pub(in super::super) label: Cow<'static, str>,
    /// The kernel's own words, when it has some.
    pub(in super::super) text: Option<String>,
    pub(in super::super) source: io::Error,
}

impl Refused {
    pub(in super::super) fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(0)
    }
}

impl From<Refused> for NetworkError {
    fn from(refused: Refused) -> Self {
        let attempt = match refused.text {
            Some(text) => format!("{} ({text})", refused.label),
            None => refused.label.into_owned(),
        };
        Self::Kernel { attempt, source: refused.source }
    }
}

/// A socket that is renewed after errors.
#[derive(Debug)]
pub(in super::super) struct Channel {
    namespace: Namespace,
    protocol: Protocol,
    socket: Option<OwnedFd>,
    sequence: u32,
}

impl Channel {
    /// Opens lazily, inside the namespace.
    pub(in super::super) fn new(namespace: &Namespace, protocol: Protocol) -> Self {
        Self { namespace: namespace.clone(), protocol, socket: None, sequence: 1 }
    }

    /// Wraps a socket that a thread inside the namespace opened already.
    pub(in super::super) fn with_socket(namespace: &Namespace, protocol: Protocol, socket: OwnedFd) -> Self {
        Self { socket: Some(socket), ..Self::new(namespace, protocol) }
    }

    /// Sends a batch and waits until each acknowledgement is in. The first refusal wins.
    pub(in super::super) fn run(&mut self, batch: &Batch) -> Result<(), Refused> {
        if batch.is_empty() {
            return Ok(());
        }
        let first = self.sequence;
        let outcome = self.exchange(&batch.numbered(first), batch.acknowledgements(), first);
        self.sequence = first.wrapping_add(u32::try_from(batch.len()).unwrap_or(0));
        outcome.map_err(|(index, text, source)| {
            self.socket = None;
            Refused { index, label: batch.label(index), text, source }
        })
    }

    /// One acknowledged message.
    pub(in super::super) fn one(
        &mut self,
        label: impl Into<Cow<'static, str>>,
        message: Message,
    ) -> Result<(), Refused> {
        let mut batch = Batch::new();
        batch.push(label, message);
        self.run(&batch)
    }

    /// One message that is answered by one or, when it asks for a dump, by many; each is shown to `each`.
    pub(in super::super) fn ask(
        &mut self,
        label: &'static str,
        message: &Message,
        mut each: impl FnMut(Reply<'_>),
    ) -> Result<(), Refused> {
        for _ in 0..DUMP_ATTEMPTS {
            match self.ask_once(message, &mut each) {
                Ok(Completeness::Whole) => return Ok(()),
                Ok(Completeness::Interrupted) => {}
                Err((text, source)) => {
                    self.socket = None;
                    return Err(Refused { index: 0, label: Cow::Borrowed(label), text, source });
                }
            }
        }
        self.socket = None;
        Err(Refused { index: 0, label: Cow::Borrowed(label), text: None, source: io::ErrorKind::Interrupted.into() })
    }

    fn ask_once(
        &mut self,
        message: &Message,
        each: &mut impl FnMut(Reply<'_>),
    ) -> Result<Completeness, (Option<String>, io::Error)> {
        let mut batch = Batch::new();
        batch.push_silent("", message.clone());
        let first = self.sequence;
        self.sequence = first.wrapping_add(1);
        let bytes = batch.numbered(first);
        let dump = u16::from_ne_bytes([bytes[6], bytes[7]]) & DUMP == DUMP;
        let mut completeness = Completeness::Whole;
        self.send(&bytes).map_err(|error| (None, error))?;
        let mut buffer = vec![0; DUMP_BYTES];
        loop {
            let received = self.receive(&mut buffer).map_err(|error| (None, error))?;
            for reply in messages(received).filter(|reply| reply.sequence == first) {
                if reply.flags & FLAG_INTERRUPTED != 0 {
                    completeness = Completeness::Interrupted;
                }
                match reply.kind {
                    NLMSG_DONE => return Ok(completeness),
                    NLMSG_ERROR => match verdict(&reply) {
                        None => return Ok(completeness),
                        Some((text, error)) => return Err((text, error)),
                    },
                    _ => each(reply),
                }
                if !dump {
                    return Ok(completeness);
                }
            }
        }
    }

    fn exchange(
        &mut self,
        bytes: &[u8],
        expected: usize,
        first: u32,
    ) -> Result<(), (usize, Option<String>, io::Error)> {
        self.send(bytes).map_err(|error| (0, None, error))?;
        let mut outstanding = expected;
        let mut buffer = vec![0; ACKNOWLEDGEMENT_BYTES];
        while outstanding > 0 {
            let received = self.receive(&mut buffer).map_err(|error| (expected - outstanding, None, error))?;
            for reply in messages(received).filter(|reply| reply.kind == NLMSG_ERROR) {
                match verdict(&reply) {
                    None => outstanding = outstanding.saturating_sub(1),
                    Some((text, error)) => return Err((reply.sequence.wrapping_sub(first) as usize, text, error)),
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.namespace.run(|| open(self.protocol))?,
        };
        let fd = self.socket.insert(socket).as_raw_fd();
        let mut kernel = kernel_address();
        // SAFETY: the buffer and the address outlive the call; the descriptor is ours.
        let sent = unsafe {
            libc::sendto(
                fd,
                bytes.as_ptr().cast(),
                bytes.len(),
                0,
                (&raw mut kernel).cast(),
                size_of::<libc::sockaddr_nl>() as libc::socklen_t,
            )
        };
        match usize::try_from(sent) {
            Ok(count) if count == bytes.len() => Ok(()),
            Ok(_) => Err(io::ErrorKind::WriteZero.into()),
            Err(_) => Err(io::Error::last_os_error()),
        }
    }

    /// One datagram of the kernel.
    fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let fd = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?.as_raw_fd();
        loop {
            let mut sender = kernel_address();
            let mut length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
            // SAFETY: buffer and address are writable for the given lengths.
            let received = unsafe {
                libc::recvfrom(
                    fd,
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    libc::MSG_TRUNC,
                    (&raw mut sender).cast(),
                    &raw mut length,
                )
            };
            let Ok(received) = usize::try_from(received) else {
                let error = io::Error::last_os_error();
                if error.kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return Err(error);
            };
            if sender.nl_pid != 0 {
                continue;
            }
            if received > buffer.len() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a netlink answer is larger than the kernel sends",
                ));
            }
            return Ok(&buffer[..received]);
        }
    }
}

/// Whether a dump shows one moment.
enum Completeness {
    Whole,
    Interrupted,
}

/// `None` for an acknowledgement, else the kernel's error and words.
pub(super) fn verdict(reply: &Reply<'_>) -> Option<(Option<String>, io::Error)> {
    let Some((code, rest)) = reply.body.split_first_chunk::<4>() else {
        return Some((None, io::ErrorKind::InvalidData.into()));
    };
    let errno = i32::from_ne_bytes(*code).checked_neg().unwrap_or(libc::EPROTO);
    if errno == 0 {
        return None;
    }
    // After the code comes the header of the message in question; the whole message unless the kernel capped it.
    let echoed = if reply.flags & FLAG_CAPPED != 0 {
        16
    } else {
        rest.first_chunk::<4>().map_or(0, |length| (u32::from_ne_bytes(*length) as usize).next_multiple_of(4))
    };
    let text = (reply.flags & FLAG_EXTENDED != 0)
        .then(|| find(rest.get(echoed..)?, EXTENDED_TEXT))
        .flatten()
        .map(|text| String::from_utf8_lossy(text).trim_end_matches('\0').to_owned());
    Some((text, io::Error::from_raw_os_error(errno)))
}

/// A socket in the calling thread's namespace.
pub(in super::super) fn open(protocol: Protocol) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol.number()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and nobody else knows it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let timeout = libc::timeval { tv_sec: ANSWER_TIMEOUT_SECS, tv_usec: 0 };
    set(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &timeout)?;
    set(fd, SOL_NETLINK, NETLINK_CAP_ACK, &1)?;
    set(fd, SOL_NETLINK, NETLINK_EXT_ACK, &1)?;
    // Bigger buffers need CAP_NET_ADMIN over the host; without them only very large batches fail.
    let _ = set(fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &SOCKET_BUFFER_BYTES);
    let _ = set(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &SOCKET_BUFFER_BYTES);
    Ok(socket)
}

fn set<T>(fd: libc::c_int, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: `value` is readable for its size.
    let code =
        unsafe { libc::setsockopt(fd, level, name, (&raw const *value).cast(), size_of::<T>() as libc::socklen_t) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn kernel_address() -> libc::sockaddr_nl {
    // SAFETY: all zero is a valid address: the kernel's port.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(flags: u16, body: &[u8]) -> Reply<'_> {
        Reply { kind: NLMSG_ERROR, flags, sequence: 1, body }
    }

    #[test]
    fn the_kernels_words_are_found_behind_a_capped_header() {
        let mut body = (-17i32).to_ne_bytes().to_vec();
        body.extend_from_slice(&[0; 16]);
        body.extend_from_slice(&[8, 0, 1, 0, b'n', b'o', b'!', 0]);
        let (text, error) = verdict(&reply(FLAG_CAPPED | FLAG_EXTENDED, &body)).unwrap();
        assert_eq!((text.as_deref(), error.raw_os_error()), (Some("no!"), Some(17)));
    }

    #[test]
    fn a_cut_or_odd_error_is_an_error_and_no_panic() {
        assert!(verdict(&reply(0, &[])).is_some());
        assert!(verdict(&reply(FLAG_EXTENDED, &i32::MIN.to_ne_bytes())).is_some());
        let mut odd = (-1i32).to_ne_bytes().to_vec();
        odd.extend_from_slice(&u32::MAX.to_ne_bytes());
        assert!(verdict(&reply(FLAG_EXTENDED, &odd)).is_some());
    }
}
