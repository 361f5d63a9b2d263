//! A command in a running container, over an upgraded connection.
//!
//! The request's body says what to run ([`ExecRequest`]). After the upgrade both sides send frames: one byte stream
//! (0 stdin, 1 stdout, 2 stderr, 3 exit code), a big-endian `u32` length, the bytes. An empty stdin frame is end of
//! input; the exit code (`i32`, big endian) is the last frame.
//!
//! Holds: sessions are bounded, and so is every buffer: a slow client slows the command down. When the client goes away
//! the command is killed.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{CONNECTION, UPGRADE};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::unix::pipe;
use tokio::sync::{Mutex, Semaphore};

use super::{ExecPort, ExecRequest, ExecSession, problem, wish};
use crate::{Body, RawContext, Request, Response};

/// The protocol's name in the upgrade.
const PROTOCOL: &str = "cove-exec";
/// Commands at once. Each holds three pipes and a connection.
const SESSIONS_MAX: usize = 64;
/// What is read of a command's output at once.
const CHUNK_BYTES: usize = 32 << 10;
/// The longest frame that we take from a client.
const FRAME_MAX: usize = 1 << 20;
/// A process that the command left behind may hold its pipes for ever; after the exit they are read this long.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(200);

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const EXIT: u8 = 3;

static SESSIONS: Semaphore = Semaphore::const_new(SESSIONS_MAX);

/// Starts the command, then answers 101 and becomes its streams.
pub(super) async fn answer(cx: &RawContext, port: Arc<dyn ExecPort>, mut request: Request) -> Response {
    let asked =
        request.headers().get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(PROTOCOL.as_bytes()));
    if !asked {
        return problem(426, "UpgradeRequired", "this is an upgrade to `cove-exec`");
    }
    let Some(identity) = cx.identity.clone() else { return cx.not_found() };
    let Ok(slot) = SESSIONS.try_acquire() else {
        return problem(429, "TooManySessions", "too many commands run at once; try again later");
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let mut wanted: ExecRequest = match wish(request).await {
        Ok(wanted) => wanted,
        Err(response) => return response,
    };
    wanted.task = wanted.task.rsplit('/').next().unwrap_or_default().to_owned();
    let session = match port.exec(identity.tenant, wanted).await {
        Ok(session) => session,
        Err(why) => return problem(400, "ExecFailed", &why),
    };
    tokio::spawn(async move {
        if let Err(error) = serve(upgrade, session).await {
            tracing::debug!(%error, "an exec session ended early");
        }
        drop(slot);
    });
    let response = hyper::Response::builder().status(101).header(CONNECTION, "upgrade").header(UPGRADE, PROTOCOL);
    response.body(Body::empty()).expect("constant headers make a response")
}

type Writer = Arc<Mutex<WriteHalf<TokioIo<Upgraded>>>>;

async fn serve(upgrade: OnUpgrade, session: ExecSession) -> io::Result<()> {
    let upgraded = upgrade.await.map_err(io::Error::other)?;
    let (reader, writer) = tokio::io::split(TokioIo::new(upgraded));
    let writer: Writer = Arc::new(Mutex::new(writer));
    let ExecSession { stdin, stdout, stderr, exit } = session;
    let output =
        async { tokio::try_join!(copy_out(stdout, STDOUT, &writer), copy_out(stderr, STDERR, &writer)).map(drop) };
    tokio::pin!(output);
    let input = copy_in(reader, stdin);
    tokio::pin!(input);
    tokio::pin!(exit);
    let mut drained = false;
    let code = loop {
        tokio::select! {
            code = &mut exit => break code,
            done = &mut output, if !drained => {
                done?;
                drained = true;
            }
            // A client that is gone ends the session, and with it the command.
            gone = &mut input => return gone,
        }
    };
    if !drained && let Ok(done) = tokio::time::timeout(DRAIN_TIMEOUT, &mut output).await {
        done?;
    }
    let code = match code {
        Ok(code) => code,
        Err(why) => {
            frame(&writer, STDERR, format!("cove: {why}\n").as_bytes()).await?;
            // What shells say when a command cannot be run.
            126
        }
    };
    frame(&writer, EXIT, &code.to_be_bytes()).await?;
    writer.lock().await.shutdown().await
}

/// Ends when the client is gone. Keeps reading after the end of input, because that is how a client that went away is noticed.
async fn copy_in(mut reader: ReadHalf<TokioIo<Upgraded>>, stdin: OwnedFd) -> io::Result<()> {
    let mut stdin = Some(pipe::Sender::from_owned_fd(stdin)?);
    loop {
        let Ok(kind) = reader.read_u8().await else { return Ok(()) };
        let Ok(length) = reader.read_u32().await else { return Ok(()) };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if kind != STDIN || length > FRAME_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; length];
        if reader.read_exact(&mut bytes).await.is_err() {
            return Ok(());
        }
        if bytes.is_empty() {
            stdin = None;
        }
        // A command that closed its stdin does not want the rest.
        if let Some(pipe) = &mut stdin
            && pipe.write_all(&bytes).await.is_err()
        {
            stdin = None;
        }
    }
}

async fn copy_out(from: OwnedFd, kind: u8, writer: &Writer) -> io::Result<()> {
    let mut from = pipe::Receiver::from_owned_fd(from)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        frame(writer, kind, &buffer[..count]).await?;
    }
}

async fn frame(writer: &Writer, kind: u8, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut head = [kind, 0, 0, 0, 0];
    head[1..].copy_from_slice(&length.to_be_bytes());
    let mut writer = writer.lock().await;
    writer.write_all(&head).await?;
    writer.write_all(bytes).await?;
    writer.flush().await
}
