//! The server's side of a shim: start one, connect to one, send requests, read events.
//!
//! Holds: [`spawn`] never starts a second shim for a task that has a live one. A connection that ends means that the
//! shim is gone or that we were too slow; connecting again tells which.

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cove_base::crash::{self, Point};
use cove_runtime::cgroup::{CgroupError, NodeCgroups};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use crate::frame::{self, FrameError};
use crate::life::Life;
use crate::protocol::{ContainerState, Event, OLDEST, Request, TaskSpec, VERSION};

/// The spec's name in the task directory.
pub const SPEC_FILE: &str = "spec.json";
/// The socket's name in the task directory.
pub const SOCKET_FILE: &str = "shim.sock";
/// The shim's own log in the task directory, empty when all is well.
pub const LOG_FILE: &str = "shim.log";

/// How long a new shim may take until it answers: it only makes a mount namespace and binds ports before.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// How much of its log is quoted when a shim fails to start.
const LOG_QUOTE_BYTES: usize = 600;

/// What went wrong between the server and a shim.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    #[error("cannot prepare {}", path.display())]
    Prepare { path: PathBuf, source: io::Error },
    #[error("cannot prepare the node's control groups")]
    Cgroup(#[from] CgroupError),
    #[error("cannot start a shim from {}", path.display())]
    Spawn { path: PathBuf, source: io::Error },
    #[error("the shim ended while starting: {log}")]
    Died { log: String },
    #[error("the shim did not answer within {}", START_DEADLINE.as_secs())]
    Silent,
    /// No live process behind the socket, or no socket: the journal says what had ended, the cgroup what is left.
    #[error("no shim answers at {}", path.display())]
    Gone { path: PathBuf, source: io::Error },
    #[error("the connection to the shim broke")]
    Broken(#[source] io::Error),
    #[error("the shim sent what we cannot read")]
    Frame(#[from] FrameError),
    #[error("the shim answered with something else than its state")]
    NoState,
    /// It goes on with its containers; whoever made it can drive it.
    #[error(
        "the shim is of version {0}, this server speaks with {OLDEST} to {VERSION}: start the version that made it"
    )]
    Version(u32),
}

/// A connection to a live shim.
#[derive(Debug)]
pub struct Shim {
    requests: Requests,
    arrived: Vec<u8>,
    /// Known since the subscription. A process that the shim forked for a start holds the connection open a while longer.
    life: Option<Life>,
}

/// The sending half: cheap to clone, usable from several tasks while another reads events.
#[derive(Debug, Clone)]
pub struct Requests {
    stream: Arc<UnixStream>,
    turn: Arc<Mutex<()>>,
}

/// The first answer to a subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub version: u32,
    pub shim_pid: i32,
    pub containers: Vec<ContainerState>,
}

/// Starts a shim for the task, or takes the one that it has, and subscribes to it. `binary` is what
/// [`crate::binary::publish`] gave; `groups` are the node's, made anew if they are gone.
///
/// # Errors
/// With the shim's own words when it could not start.
pub async fn spawn(binary: &Path, groups: &NodeCgroups, spec: &TaskSpec) -> Result<(Shim, State), ShimError> {
    match take_over(&spec.directory).await {
        Err(ShimError::Gone { .. }) => {}
        there => return there,
    }
    let (binary, groups, owned) = (binary.to_owned(), groups.clone(), spec.clone());
    let started = tokio::task::spawn_blocking(move || start(&binary, &groups, &owned));
    let mut child = started.await.map_err(|_| ShimError::Silent)??;
    // The socket listens already, and ends with the shim: nothing is polled.
    match take_over(&spec.directory).await {
        Ok(answer) => {
            // Somebody must reap it when it ends; the server may be long gone by then, which is fine too.
            drop(tokio::task::spawn(reap(child)));
            Ok(answer)
        }
        Err(error) => {
            // It closes its socket before it has written its last word.
            if !matches!(error, ShimError::Silent) {
                let _ = tokio::time::timeout(START_DEADLINE, ended(&child)).await;
            }
            let _ = child.kill();
            let _ = child.wait();
            let silent = matches!(error, ShimError::Silent);
            Err(if silent { error } else { ShimError::Died { log: quote(&spec.directory.join(LOG_FILE)) } })
        }
    }
}

/// Connects and subscribes. A shim that is just being made answers when it is ready.
///
/// # Errors
/// [`ShimError::Gone`] when there is none. [`ShimError::Silent`] when only what it forked for a start holds its socket.
pub async fn take_over(task_dir: &Path) -> Result<(Shim, State), ShimError> {
    let answered = tokio::time::timeout(START_DEADLINE, async {
        let mut shim = connect(task_dir).await?;
        let state = shim.subscribe().await?;
        Ok((shim, state))
    });
    answered.await.unwrap_or(Err(ShimError::Silent))
}

async fn reap(mut child: std::process::Child) {
    ended(&child).await;
    let _ = child.wait();
}

async fn ended(child: &std::process::Child) {
    if let Ok(life) = Life::of(i32::try_from(child.id()).unwrap_or(-1)) {
        life.ended().await;
    }
}

fn start(binary: &Path, groups: &NodeCgroups, spec: &TaskSpec) -> Result<std::process::Child, ShimError> {
    let prepare = |path: &Path| {
        let path = path.to_owned();
        move |source| ShimError::Prepare { path, source }
    };
    std::fs::create_dir_all(&spec.directory).map_err(prepare(&spec.directory))?;
    std::fs::create_dir_all(&spec.exits).map_err(prepare(&spec.exits))?;
    let socket = spec.directory.join(SOCKET_FILE);
    let file = spec.directory.join(SPEC_FILE);
    let body = serde_json::to_vec(spec).map_err(|error| prepare(&file)(error.into()))?;
    // Not fsynced: the run directory does not survive what would lose it, and the agent writes it again.
    let temporary = spec.directory.join(".spec.json.tmp");
    std::fs::write(&temporary, body).and_then(|()| std::fs::rename(&temporary, &file)).map_err(prepare(&file))?;
    let log = std::fs::File::create(spec.directory.join(LOG_FILE)).map_err(prepare(&file))?;
    let listener = listen(&socket).map_err(prepare(&socket))?;
    crash::at(Point::ShimListening);
    groups.prepare()?;
    let mut command = Command::new(binary);
    // Neither pre_exec nor current_dir: with them the standard library forks, which copies the server's page tables.
    command.arg0("cove").arg("shim").arg(&spec.directory).args(crash::for_shim()).env_clear();
    command.stdin(OwnedFd::from(listener)).stdout(Stdio::null()).stderr(log);
    let child = command.spawn().map_err(|source| ShimError::Spawn { path: binary.to_owned(), source })?;
    crash::at(Point::ShimSpawned);
    // A shim that died at once cannot be moved; the caller sees that it ended.
    if let Err(error) = groups.shims().add(i32::try_from(child.id()).unwrap_or(-1)) {
        tracing::debug!(error = cove_base::error::chain(&error), task = spec.task_id, "shim not moved");
    }
    Ok(child)
}

/// The shim's socket, made here so that it answers from the first moment on. For root alone before it has its name.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let part = path.with_extension("new");
    match std::fs::remove_file(&part) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&part)?;
    std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&part, path)?;
    Ok(listener)
}

fn quote(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let text = text.trim();
    let from = text.len().saturating_sub(LOG_QUOTE_BYTES);
    let from = (from..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    if text.is_empty() { "it left no word".to_owned() } else { text[from..].to_owned() }
}

/// Connects to the shim of a task.
///
/// # Errors
/// [`ShimError::Gone`] when there is none: then what is left of the task is to be killed by its cgroup.
pub async fn connect(task_dir: &Path) -> Result<Shim, ShimError> {
    let path = task_dir.join(SOCKET_FILE);
    let stream = UnixStream::connect(&path).await.map_err(|source| ShimError::Gone { path, source })?;
    let requests = Requests { stream: Arc::new(stream), turn: Arc::new(Mutex::new(())) };
    Ok(Shim { requests, arrived: Vec::new(), life: None })
}

impl Shim {
    /// Asks for the present state and every change from now on.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn subscribe(&mut self) -> Result<State, ShimError> {
        self.send(&Request::Subscribe).await?;
        match self.next().await? {
            Some(Event::State { version, .. }) if !(OLDEST..=VERSION).contains(&version) => {
                Err(ShimError::Version(version))
            }
            Some(Event::State { version, shim_pid, containers }) => {
                // One that died just now has closed the connection, or its cgroup is about to be killed.
                self.life = Life::of(shim_pid).ok();
                Ok(State { version, shim_pid, containers })
            }
            Some(_) => Err(ShimError::NoState),
            None => Err(ShimError::Broken(ErrorKind::UnexpectedEof.into())),
        }
    }

    /// The next event; `None` when the shim ended the connection. Safe to drop while it waits: nothing is lost.
    ///
    /// # Errors
    /// When the connection breaks or the peer talks nonsense.
    pub async fn next(&mut self) -> Result<Option<Event>, ShimError> {
        loop {
            if let Some(event) = frame::decode(&mut self.arrived)? {
                return Ok(Some(event));
            }
            let stream = &self.requests.stream;
            let died = async {
                match &self.life {
                    Some(life) => life.ended().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // What it said before it died comes first.
                biased;
                readable = stream.readable() => readable.map_err(ShimError::Broken)?,
                () = died => {}
            }
            let mut chunk = [0; 4096];
            match stream.try_read(&mut chunk) {
                Ok(0) => return Ok(None),
                Ok(count) => self.arrived.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.has_died() {
                        return Ok(None);
                    }
                }
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(ShimError::Broken(error)),
            }
        }
    }

    /// Whether the shim is known to be dead.
    #[must_use]
    pub fn has_died(&self) -> bool {
        self.life.as_ref().is_some_and(Life::has_ended)
    }

    /// The sending half, to be kept elsewhere.
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.requests.clone()
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn send(&self, request: &Request) -> Result<(), ShimError> {
        self.requests.send(request).await
    }

    /// Sends an exec request with its stdin, stdout and stderr.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn exec(&self, request: &Request, streams: [OwnedFd; 3]) -> Result<(), ShimError> {
        self.requests.exec(request, streams).await
    }
}

impl Requests {
    /// Sends a request.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn send(&self, request: &Request) -> Result<(), ShimError> {
        self.transmit(request, &[]).await
    }

    /// Sends an exec request with its stdin, stdout and stderr.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn exec(&self, request: &Request, streams: [OwnedFd; 3]) -> Result<(), ShimError> {
        self.transmit(request, &streams).await
    }

    /// The descriptors go with the first byte. A caller that is dropped half-way would leave half a frame, so the rest
    /// is finished by a task of its own.
    async fn transmit(&self, request: &Request, descriptors: &[OwnedFd]) -> Result<(), ShimError> {
        let bytes = frame::encode(request)?;
        let copies: io::Result<Vec<OwnedFd>> = descriptors.iter().map(OwnedFd::try_clone).collect();
        let copies = copies.map_err(ShimError::Broken)?;
        let own = self.clone();
        let sending = tokio::spawn(async move {
            let _turn = own.turn.lock().await;
            let mut sent = 0;
            while sent < bytes.len() {
                let attached: &[OwnedFd] = if sent == 0 { &copies } else { &[] };
                own.stream.writable().await?;
                match own.stream.try_io(Interest::WRITABLE, || send_some(&own.stream, &bytes[sent..], attached)) {
                    Ok(count) => sent += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        });
        sending.await.unwrap_or_else(|_| Err(ErrorKind::Interrupted.into())).map_err(ShimError::Broken)
    }
}

fn send_some(stream: &UnixStream, bytes: &[u8], attached: &[OwnedFd]) -> io::Result<usize> {
    let raw: Vec<i32> = attached.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    let parts = [io::IoSlice::new(bytes)];
    Ok(sendmsg::<()>(stream.as_raw_fd(), &parts, control, MsgFlags::MSG_NOSIGNAL, None)?)
}
