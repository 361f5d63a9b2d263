//! Under a service manager: systemd's `Type=notify`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::server::{PATIENCE, Server};

fn told(socket: &UnixDatagram) -> String {
    let mut state = [0; 256];
    let length = socket.recv(&mut state).unwrap();
    String::from_utf8_lossy(&state[..length]).into_owned()
}

/// Whether bytes sent to a port are answered by some.
fn answers(port: u16, bytes: &[u8]) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    stream.read(&mut [0; 16]).is_ok_and(|length| length > 0)
}

#[test]
fn the_service_manager_hears_ready_when_every_listener_answers_and_stopping_at_the_end() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (plain, tls) = (port(), port());
    let flags = [format!("--listen=127.0.0.1:{plain}"), format!("--tls-listen=127.0.0.1:{tls}")];
    let watcher = std::thread::spawn(move || {
        let first = told(&socket);
        let open = answers(plain, b"GET /_cove/health HTTP/1.0\r\n\r\n");
        // What is no handshake is answered with an alert.
        (socket, first, open, answers(tls, b"GET / HTTP/1.0\r\n\r\n"))
    });
    let mut server = Server::start_set(&[&format!("NOTIFY_SOCKET={}", path.display()), &flags[0], &flags[1]]);
    let (socket, first, plain_answers, tls_answers) = watcher.join().unwrap();
    assert_eq!((first.as_str(), plain_answers, tls_answers), ("READY=1", true, true));
    assert_eq!(server.terminate(), Some(0));
    assert_eq!(told(&socket), "STOPPING=1");
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 16]).is_err(), "nothing else is told");
}

#[test]
fn an_abstract_socket_is_told_too_and_a_deaf_one_stops_nothing() {
    let name = format!("cove-notify-{}", std::process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut server = Server::start_set(&[&format!("NOTIFY_SOCKET=@{name}")]);
    assert_eq!(told(&socket), "READY=1");
    drop(socket);
    assert_eq!(server.terminate(), Some(0));
}
