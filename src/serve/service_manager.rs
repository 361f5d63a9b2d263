//! What systemd and the server say to each other: how far we are (`Type=notify`, one datagram, no library), and whether
//! the machine goes down.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Command, Stdio};

/// Sends one state, such as `READY=1`. Without a service manager nothing happens.
pub(crate) fn tell(socket: Option<&OsStr>, state: &str) {
    let Some(name) = socket else { return };
    let address = match name.as_bytes() {
        // An abstract socket.
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
        _ => SocketAddr::from_pathname(name),
    };
    let sent = address.and_then(|address| {
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not hold us up.
        socket.set_nonblocking(true)?;
        socket.send_to_addr(state.as_bytes(), &address)
    });
    if let Err(error) = sent {
        tracing::warn!(%error, state, "the service manager could not be told");
    }
}

/// The first process of a container takes all others with it.
const FIRST_PROCESS: u32 = 1;

/// Whether a stop that we were asked for is part of the machine's. Asked of systemd's own program, since a signal says
/// nothing of its reason; it talks to process 1 without D-Bus's daemon, which may be gone by then.
pub(crate) async fn is_shutting_down(socket: Option<&OsStr>) -> bool {
    if std::process::id() == FIRST_PROCESS {
        return true;
    }
    if socket.is_none() {
        return false;
    }
    let ask = || Command::new("systemctl").arg("is-system-running").stdin(Stdio::null()).stderr(Stdio::null()).output();
    let asked = tokio::task::spawn_blocking(ask).await;
    matches!(asked, Ok(Ok(answer)) if answer.stdout.trim_ascii() == b"stopping")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_manager_gets_one_datagram() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        tell(Some(path.as_os_str()), "READY=1");
        let mut buffer = [0; 32];
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1");
        tell(None, "READY=1");
    }
}
