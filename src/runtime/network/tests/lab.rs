//! A private "host": a namespace of its own, a neighbour on its LAN, servers and clients anywhere.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cove_base::paths::{NodeName, RunDir};
use cove_model::network::Cidr;

use crate::network::namespace::{Namespace, unpin};
use crate::network::netlink::route::{self, End, OnLink};
use crate::network::netlink::{Batch, Channel, Protocol};
use crate::network::{Attachment, NetworkConfig, NetworkId, Networks, PortMap};

/// Enough for anything that works, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// After this much silence something counts as blocked.
const SILENCE: Duration = Duration::from_millis(300);

pub(super) const VPC: &str = "172.31.0.0/16";
pub(super) const HOST_ON_LAN: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
pub(super) const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

pub(super) struct Lab {
    pub(super) host: Namespace,
    pub(super) lan: Namespace,
    pub(super) scratch: tempfile::TempDir,
}

/// Runs a test on a host of its own; says so and passes when the caller is not root.
pub(super) fn on_a_host(test: impl FnOnce(&Lab) + Send) {
    // SAFETY: no memory is passed.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("SKIPPED: needs root");
        return;
    }
    thread::scope(|scope| {
        let run = scope.spawn(|| {
            let scratch = tempfile::tempdir().unwrap();
            let lab = Lab::new(scratch);
            // The calling thread becomes the host.
            // SAFETY: the descriptor is a namespace's; only this thread is concerned.
            assert_eq!(unsafe { libc::setns(lab.host.fd(), libc::CLONE_NEWNET) }, 0);
            test(&lab);
        });
        if let Err(panic) = run.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

impl Lab {
    fn new(scratch: tempfile::TempDir) -> Self {
        let make = |name: &str| {
            let pin = scratch.path().join(name);
            let (namespace, ()) = Namespace::create(&pin, || Ok(())).unwrap();
            // Held open; no mount may survive a test.
            unpin(&pin).unwrap();
            Channel::new(&namespace, Protocol::Route).one("lo up", route::link_up(1)).unwrap();
            namespace
        };
        let (host, lan) = (make("host"), make("lan"));
        let mut channel = Channel::new(&host, Protocol::Route);
        let end = |name, mac| End { name, index: 50, mac: [2, 0, 0, 0, 0, mac], group: 0 };
        channel.one("lan", route::veth(&end("lan0", 1), &end("eth0", 2), lan.fd(), 1400)).unwrap();
        channel.one("lan address", route::address(50, HOST_ON_LAN, 24, OnLink::Prefix)).unwrap();
        let mut inside = Channel::new(&lan, Protocol::Route);
        let mut batch = Batch::new();
        batch.push("up", route::link_up(50));
        batch.push("address", route::address(50, NEIGHBOUR, 24, OnLink::Prefix));
        // The neighbour tries everything by way of the host.
        batch.push("default", route::route(Ipv4Addr::UNSPECIFIED, 0, 50, Some(HOST_ON_LAN)));
        inside.run(&batch).unwrap();
        // The host's way to the world ends at the neighbour.
        channel.one("default", route::route(Ipv4Addr::UNSPECIFIED, 0, 50, Some(NEIGHBOUR))).unwrap();
        // As strict as some hosts are.
        // A new namespace takes this over from the machine, where another server may have turned it on.
        host.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "0")).unwrap();
        host.run(|| std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "1")).unwrap();
        Self { host, lan, scratch }
    }

    pub(super) fn config(&self, node: &str) -> NetworkConfig {
        NetworkConfig {
            node: NodeName::parse(node).unwrap(),
            run_dir: RunDir::new(self.scratch.path().join(node)),
            transit_range: crate::network::DEFAULT_TRANSIT_RANGE,
        }
    }

    /// Somebody on a bridge of the host; x.y.z.254 is the way out.
    pub(super) fn on_bridge(&self, bridge: &str, address: Ipv4Addr) -> Namespace {
        let [a, b, c, last] = address.octets();
        let name = format!("{bridge}-{last}");
        let pin = self.scratch.path().join(&name);
        let (namespace, ()) = Namespace::create(&pin, || Ok(())).unwrap();
        unpin(&pin).unwrap();
        // The kernel takes the peer's index only together with ours.
        let ours =
            End { name: &name, index: i32::from(b) << 8 | i32::from(last), mac: [2, a, b, c, last, 1], group: 0 };
        let peer = End { name: "eth0", index: 50, mac: [2, a, b, c, last, 2], group: 0 };
        let mut channel = Channel::new(&self.host, Protocol::Route);
        channel.one("port", route::veth(&ours, &peer, namespace.fd(), 1400)).unwrap();
        self.tool("ip", &["link", "set", &name, "master", bridge]);
        let mut batch = Batch::new();
        batch.push("up", route::link_up(50));
        batch.push("address", route::address(50, address, 24, OnLink::Prefix));
        batch.push("default", route::route(Ipv4Addr::UNSPECIFIED, 0, 50, Some(Ipv4Addr::new(a, b, c, 254))));
        Channel::new(&namespace, Protocol::Route).run(&batch).unwrap();
        namespace
    }

    pub(super) fn node(&self, name: &str) -> Node {
        Node(Some(Networks::open(self.config(name)).unwrap()))
    }

    pub(super) fn tool(&self, program: &str, args: &[&str]) -> String {
        let output = Command::new(program).args(args).output().unwrap();
        assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(super) fn forwarding(&self) -> String {
        self.host.run(|| std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward")).unwrap().trim().to_owned()
    }
}

/// A node that cleans up, also when the test fails.
pub(super) struct Node(Option<Networks>);

impl Node {
    /// As `kill -9` would leave it.
    pub(super) fn die(mut self) {
        drop(self.0.take());
    }
}

impl std::ops::Deref for Node {
    type Target = Networks;
    fn deref(&self) -> &Networks {
        self.0.as_ref().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(networks) = self.0.take() {
            let removed = networks.remove_all();
            if !thread::panicking() {
                removed.unwrap();
            }
        }
    }
}

pub(super) fn task(id: &str, last: u8) -> Attachment {
    let address = Ipv4Addr::new(172, 31, 0, last);
    Attachment {
        task_id: id.into(),
        network: NetworkId::Vpc("vpc-1".into()),
        cidr: Cidr::parse(VPC).unwrap(),
        address,
        mac: [0x02, 0xc0, 172, 31, 0, last],
        security_groups: vec!["sg-default".into()],
        ports: Vec::new(),
    }
}

pub(super) fn port(host_port: u16, container_port: u16) -> PortMap {
    PortMap { udp: false, host_port, container_port }
}

/// Says to each client what its address is.
pub(super) struct Server {
    stop: Arc<AtomicBool>,
    socket: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn tcp(place: &Namespace, port: u16) -> Self {
        let listener = place.run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))).unwrap();
        Self::accept(listener)
    }

    pub(super) fn accept(listener: TcpListener) -> Self {
        listener.set_nonblocking(false).unwrap();
        let socket = listener.try_clone().unwrap().into();
        let thread = thread::spawn(move || {
            while let Ok((mut stream, peer)) = listener.accept() {
                let _ = stream.write_all(peer.ip().to_string().as_bytes());
            }
        });
        Self { stop: Arc::default(), socket, thread: Some(thread) }
    }

    pub(super) fn udp(place: &Namespace, port: u16) -> Self {
        let socket = place.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (copy, stopped) = (socket.try_clone().unwrap().into(), stop.clone());
        let thread = thread::spawn(move || {
            let mut buffer = [0; 64];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(peer.ip().to_string().as_bytes(), peer);
                }
            }
        });
        Self { stop, socket: copy, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // SAFETY: the descriptor is open.
        unsafe { libc::shutdown(self.socket.as_raw_fd(), libc::SHUT_RDWR) };
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

pub(super) fn inside(pin: &Path) -> Namespace {
    Namespace::pinned(pin).unwrap()
}

/// What a server at the address says; the source that it saw.
pub(super) fn ask(place: &Namespace, address: impl Into<Ipv4Addr>, port: u16) -> io::Result<String> {
    try_ask(place, None, SocketAddr::from((address.into(), port)), PATIENCE)
}

pub(super) fn ask_from(place: &Namespace, source: Ipv4Addr, to: Ipv4Addr, port: u16) -> io::Result<String> {
    try_ask(place, Some(source), SocketAddr::from((to, port)), SILENCE)
}

/// Nothing comes back, not even a refusal.
pub(super) fn silent(place: &Namespace, address: Ipv4Addr, port: u16) -> bool {
    let error = try_ask(place, None, SocketAddr::from((address, port)), SILENCE);
    match error {
        Ok(answer) => panic!("{address}:{port} answered {answer}"),
        Err(error) => matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock),
    }
}

fn try_ask(place: &Namespace, source: Option<Ipv4Addr>, to: SocketAddr, patience: Duration) -> io::Result<String> {
    place.run(|| {
        let mut stream = match source {
            None => TcpStream::connect_timeout(&to, patience)?,
            Some(source) => connect_from(source, to, patience)?,
        };
        stream.set_read_timeout(Some(patience))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        stream.shutdown(Shutdown::Both).ok();
        Ok(answer)
    })
}

/// By UDP, because std cannot bind a TCP client: a spoofed datagram that is never answered proves as much.
fn connect_from(source: Ipv4Addr, to: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let socket = UdpSocket::bind((source, 0))?;
    socket.set_read_timeout(Some(patience))?;
    socket.send_to(b"?", to)?;
    socket.recv_from(&mut [0; 64])?;
    Err(io::Error::other("the datagram was answered"))
}

pub(super) fn ask_udp(
    place: &Namespace,
    socket_port: u16,
    address: impl Into<Ipv4Addr>,
    port: u16,
) -> io::Result<String> {
    let to = (address.into(), port);
    place.run(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, socket_port))?;
        socket.set_read_timeout(Some(SILENCE))?;
        let mut buffer = [0; 64];
        // The first datagram may be lost while a flow is being replaced.
        for _ in 0..10 {
            socket.send_to(b"?", to)?;
            if let Ok((length, _)) = socket.recv_from(&mut buffer) {
                return Ok(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    })
}

pub(super) fn soon(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub(super) fn mounts_below(path: &Path) -> Vec<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    points.filter(|point| point.starts_with(path)).collect()
}
