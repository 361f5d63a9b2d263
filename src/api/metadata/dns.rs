//! The name server of tasks, 169.254.169.253 inside each router.
//!
//! In: DNS messages over UDP and TCP. Out: what the host's own resolvers say, unchanged but for the id.
//!
//! Holds: a message that cannot be read is dropped or answered FORMERR, never more; questions under way are bounded, so
//! that a task cannot use up the host's ports or our memory. Answers are taken only from the resolver that was asked,
//! with the id that we chose.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;

/// Questions under way at once, per network. Each holds a socket.
const IN_FLIGHT_MAX: usize = 256;
/// TCP connections at once, per network.
const CONNECTIONS_MAX: usize = 64;
/// How long one resolver of the host may take; clients ask again after five seconds.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a TCP client may stay silent.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest UDP message that is taken or passed on.
const UDP_MAX: usize = 4096;
/// Resolvers of the host that are asked, in order, as the C library does.
const RESOLVERS_MAX: usize = 3;
/// The wait after a failed receive or accept: a lasting failure must not become a busy loop.
const RECEIVE_PAUSE: Duration = Duration::from_millis(10);
const HEADER_BYTES: usize = 12;

/// Where questions go.
#[derive(Debug, Clone)]
pub struct DnsServer {
    /// Read again for every question: hosts change networks.
    resolv_conf: PathBuf,
}

impl DnsServer {
    /// Asks the resolvers named in that file.
    #[must_use]
    pub const fn new(resolv_conf: PathBuf) -> Self {
        Self { resolv_conf }
    }

    fn upstreams(&self) -> Vec<SocketAddr> {
        let text = std::fs::read_to_string(&self.resolv_conf).unwrap_or_default();
        let mut found: Vec<SocketAddr> = text.lines().filter_map(nameserver).take(RESOLVERS_MAX).collect();
        if found.is_empty() {
            // The C library's answer to an empty file.
            found.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 53)));
        }
        found
    }

    /// Asks one resolver after the other; `None` when nobody answers.
    async fn forward(&self, question: &[u8], over: Transport) -> Option<Vec<u8>> {
        for upstream in self.upstreams() {
            let answer = async {
                match over {
                    Transport::Udp => ask_udp(upstream, question).await,
                    Transport::Tcp => ask_tcp(upstream, question).await,
                }
            };
            match tokio::time::timeout(UPSTREAM_TIMEOUT, answer).await {
                Ok(Ok(answer)) => return Some(answer),
                Ok(Err(error)) => tracing::debug!(%upstream, %error, "a resolver of the host did not answer"),
                Err(_) => tracing::debug!(%upstream, "a resolver of the host was too slow"),
            }
        }
        None
    }

    /// The answer to one message; `None` when it deserves none.
    async fn answer(&self, question: &[u8], over: Transport) -> Option<Vec<u8>> {
        match judge(question) {
            Judgement::Drop => None,
            Judgement::Refuse => Some(refusal(question, ResponseCode::FormErr)),
            Judgement::Forward => match self.forward(question, over).await {
                Some(answer) => Some(answer),
                None => Some(refusal(question, ResponseCode::ServFail)),
            },
        }
    }
}

/// What a message deserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    Drop,
    Refuse,
    Forward,
}

/// Only one well-formed question goes on.
fn judge(message: &[u8]) -> Judgement {
    if message.len() < HEADER_BYTES || message[2] & 0x80 != 0 {
        return Judgement::Drop;
    }
    match Message::from_vec(message) {
        Ok(read) if read.queries.len() == 1 => Judgement::Forward,
        Ok(_) | Err(_) => Judgement::Refuse,
    }
}

#[derive(Debug, Clone, Copy)]
enum Transport {
    Udp,
    Tcp,
}

fn nameserver(line: &str) -> Option<SocketAddr> {
    let address = line.trim().strip_prefix("nameserver")?.trim();
    Some(SocketAddr::new(address.parse::<IpAddr>().ok()?, 53))
}

/// Serves one network until its sockets are shut down.
pub async fn serve(server: DnsServer, udp: UdpSocket, tcp: TcpListener) {
    let server = Arc::new(server);
    tokio::join!(serve_udp(Arc::clone(&server), Arc::new(udp)), serve_tcp(server, tcp));
}

async fn serve_udp(server: Arc<DnsServer>, socket: Arc<UdpSocket>) {
    let slots = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let mut buffer = vec![0; UDP_MAX];
    loop {
        // A shut down UDP socket is readable for ever and has nothing to read: only the readiness itself tells.
        let Ok(ready) = socket.ready(Interest::READABLE).await else { return };
        if ready.is_read_closed() {
            return;
        }
        let (length, peer) = match socket.try_recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            // An answer that could not be delivered shows up here; it is of no concern to others.
            Err(error) => {
                tracing::debug!(%error, "a question could not be received");
                tokio::time::sleep(RECEIVE_PAUSE).await;
                continue;
            }
        };
        // Without a slot the question is dropped: the client asks again.
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
        let question = buffer[..length].to_vec();
        let (server, socket) = (Arc::clone(&server), Arc::clone(&socket));
        tokio::spawn(async move {
            if let Some(answer) = server.answer(&question, Transport::Udp).await {
                // The client may be gone.
                let _ = socket.send_to(&answer, peer).await;
            }
            drop(slot);
        });
    }
}

async fn serve_tcp(server: Arc<DnsServer>, listener: TcpListener) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => return,
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(RECEIVE_PAUSE).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            // A client that breaks the framing or goes away ends its own connection.
            let _ = connection(&server, stream).await;
            drop(slot);
        });
    }
}

async fn connection(server: &DnsServer, mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        let length = tokio::time::timeout(IDLE_TIMEOUT, stream.read_u16()).await??;
        let mut question = vec![0; usize::from(length)];
        tokio::time::timeout(IDLE_TIMEOUT, stream.read_exact(&mut question)).await??;
        let Some(answer) = server.answer(&question, Transport::Tcp).await else { return Ok(()) };
        stream.write_all(&framed(&answer)).await?;
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(0);
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(message);
    bytes
}

/// With an id of our own, from a port of the kernel's choice, so that nobody else can answer in time.
async fn ask_udp(upstream: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let any: SocketAddr = if upstream.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(upstream).await?;
    let id = own_id();
    socket.send(&with_id(question, id)).await?;
    let mut buffer = vec![0; UDP_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if length >= HEADER_BYTES && buffer[..2] == id {
            return Ok(with_id(&buffer[..length], [question[0], question[1]]));
        }
    }
}

async fn ask_tcp(upstream: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(upstream).await?;
    let id = own_id();
    stream.write_all(&framed(&with_id(question, id))).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    if answer.len() < HEADER_BYTES || answer[..2] != id {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    Ok(with_id(&answer, [question[0], question[1]]))
}

fn own_id() -> [u8; 2] {
    let random = cove_base::ids::random_bytes(2);
    [random[0], random[1]]
}

fn with_id(message: &[u8], id: [u8; 2]) -> Vec<u8> {
    let mut bytes = message.to_vec();
    bytes[..2].copy_from_slice(&id);
    bytes
}

/// A header alone: the question's id, an answer, that code, no records.
fn refusal(question: &[u8], code: ResponseCode) -> Vec<u8> {
    let mut header = vec![0; HEADER_BYTES];
    header[..2].copy_from_slice(&question[..2]);
    // Answer, the question's opcode and "recursion desired".
    header[2] = 0x80 | question[2] & 0x79;
    header[3] = 0x80 | code.low();
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A resolver that answers every question with itself, marked as an answer, until dropped.
    async fn asked_by(server_file: &str, question: &[u8]) -> Option<Vec<u8>> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolv.conf");
        std::fs::write(&path, server_file).unwrap();
        DnsServer::new(path).answer(question, Transport::Udp).await
    }

    /// `a. IN A`, id 0x1234.
    const QUESTION: [u8; 19] = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1];

    #[tokio::test]
    async fn garbage_gets_no_answer_or_a_format_error() {
        assert_eq!(asked_by("", b"xx").await, None);
        let mut answer = QUESTION;
        answer[2] |= 0x80;
        assert_eq!(asked_by("", &answer).await, None);
        let mut many = QUESTION;
        many[5] = 9;
        let got = asked_by("", &many).await.unwrap();
        assert_eq!((&got[..2], got[3] & 0x0f), (&[0x12, 0x34][..], 1));
    }

    #[test]
    fn resolvers_are_read_as_the_c_library_reads_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolv.conf");
        std::fs::write(&path, "# x\nsearch a b\nnameserver 10.0.0.2\nnameserver bad\nnameserver ::1\n").unwrap();
        let found = DnsServer::new(path).upstreams();
        assert_eq!(found, ["10.0.0.2:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
        assert_eq!(DnsServer::new("/nonexistent".into()).upstreams(), ["127.0.0.1:53".parse().unwrap()]);
    }

    #[test]
    fn fuzz_dns() {
        let tokens: [&[u8]; 5] = [&[0xc0, 12], &[0, 1, 0, 1], &[63], b"\x07example", &[0, 0, 41, 16, 0]];
        cove_fuzz::Fuzz::new("dns").tokens(&tokens).run(|input| {
            let judgement = judge(input);
            if judgement != Judgement::Drop {
                assert_eq!(refusal(input, ResponseCode::FormErr).len(), HEADER_BYTES);
                assert_eq!(with_id(input, [7, 8])[..2], [7, 8]);
            }
            format!("{judgement:?}")
        });
    }
}
