//! One session: the web socket on one side, the pseudo terminal on the other.
//!
//! Holds: nothing is read from the command while the client is behind, and no input is taken while the command does not
//! read what was typed, but acknowledgements always are; whoever leaves first ends the session for the other.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use cove_base::error::chain;
use futures_util::{SinkExt, StreamExt};
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::Semaphore;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message as Frame, Role, WebSocketConfig};

use super::channel::{Channel, OUTPUT_MAX_BYTES, Step};
use super::record::Recording;
use crate::cove::{ExecRequest, TerminalSession, problem};
use crate::{Body, RawContext, Request, Response};

/// Where clients connect: then the session's id.
pub(crate) const PREFIX: &str = "/v1/data-channel/";
/// Sessions at once. Each holds a connection and a pseudo terminal.
const SESSIONS_MAX: usize = 64;
/// The longest frame of a client: its messages hold 1024 bytes of input.
const FRAME_MAX_BYTES: usize = 64 << 10;
/// How long a connection may take to show its token.
const OPENING: Duration = Duration::from_secs(10);
/// How often it is looked for what to say again.
const TICK: Duration = Duration::from_millis(100);
/// A process that the command left behind may hold the terminal for ever; after the exit it is read this long.
const DRAIN: Duration = Duration::from_millis(200);
/// What may wait for the command to read it.
const TYPED_MAX_BYTES: usize = 64 << 10;
/// How long a client may take to leave after it was told that the channel is closed.
const LEAVING: Duration = Duration::from_secs(2);
/// AWS's sessions are root's, whoever the container runs as.
const USER: &str = "0:0";
const TERM: &str = "TERM=xterm-256color";

static SESSIONS: Semaphore = Semaphore::const_new(SESSIONS_MAX);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Answers 101 and becomes the session's channel. Who has no session of that id finds nothing.
pub(crate) fn answer(cx: RawContext, mut request: Request) -> Response {
    let id = request.uri().path().trim_start_matches(PREFIX).to_owned();
    if !cx.shared.terminals.waits(&id) {
        return cx.not_found();
    }
    let headers = request.headers();
    let asks = headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let key = headers.get("sec-websocket-key").map(|key| derive_accept_key(key.as_bytes()));
    let (true, Some(accept)) = (asks, key) else {
        return problem(426, "UpgradeRequired", "this is an upgrade to a web socket");
    };
    let Ok(slot) = SESSIONS.try_acquire() else {
        return problem(429, "TooManySessions", "too many sessions are open; try again later");
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Err(error) = serve(&cx, upgrade, &id).await {
            tracing::debug!(%error, session = %id, "a terminal session ended early");
        }
        drop(slot);
    });
    let response = hyper::Response::builder().status(101).header(CONNECTION, "upgrade").header(UPGRADE, "websocket");
    let mut response = response.body(Body::empty()).expect("constant headers make a response");
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        response.headers_mut().insert("sec-websocket-accept", accept);
    }
    response
}

async fn serve(cx: &RawContext, upgrade: OnUpgrade, id: &str) -> io::Result<()> {
    let upgraded = TokioIo::new(upgrade.await.map_err(io::Error::other)?);
    let mut limits = WebSocketConfig::default();
    limits.max_frame_size = Some(FRAME_MAX_BYTES);
    limits.max_message_size = Some(FRAME_MAX_BYTES);
    let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(limits)).await;
    let token = tokio::time::timeout(OPENING, token(&mut socket)).await.map_err(|_| ErrorKind::TimedOut)?;
    let Some(wanted) = token.and_then(|token| cx.shared.terminals.take(id, &token)) else {
        return socket.close(None).await.map_err(io::Error::other);
    };
    let port = cx.exec().ok_or(ErrorKind::NotConnected)?;
    let recording = match &wanted.log {
        Some(log) => Recording::begin(cx.store(), cx.clock().clone(), log, id).await.map(Some),
        None => Ok(None),
    };
    let request = ExecRequest {
        task: wanted.task_id,
        container: wanted.container,
        args: wanted.args,
        env: vec![TERM.to_owned()],
        user: Some(USER.to_owned()),
        cwd: None,
    };
    let started = match recording {
        Ok(recording) => port.terminal(wanted.tenant, request).await.map(|terminal| (terminal, recording)),
        Err(error) => Err(chain(&error)),
    };
    let (channel, steps) = Channel::open(id, Instant::now(), millis(cx));
    let mut session = Session { cx, socket, channel, typed: Vec::new() };
    session.carry_out(steps, None).await?;
    match started {
        Ok((terminal, recording)) => session.run(terminal, recording).await,
        Err(why) => session.say_failure(&why).await,
    }
}

/// The token in the first text, if one comes. Pings before it are answered by the socket.
async fn token(socket: &mut Socket) -> Option<String> {
    while let Some(Ok(frame)) = socket.next().await {
        if let Frame::Text(text) = frame {
            let opening: Value = serde_json::from_str(text.as_str()).ok()?;
            return opening.get("TokenValue").and_then(Value::as_str).map(str::to_owned);
        }
    }
    None
}

fn millis(cx: &RawContext) -> u64 {
    u64::try_from(cx.clock().now().millis()).unwrap_or_default()
}

struct Session<'a> {
    cx: &'a RawContext,
    socket: Socket,
    channel: Channel,
    /// What the command has not read yet.
    typed: Vec<u8>,
}

/// How a command's time on the channel ended.
enum End {
    /// The client has gone.
    Left,
    /// The command has, or why it could not go on.
    Exit(Result<(), String>),
}

/// Whether the session goes on.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Go,
    Stop,
}

impl Session<'_> {
    /// Whichever way it ends, what was shown is in its log.
    async fn run(mut self, terminal: TerminalSession, mut recording: Option<Recording>) -> io::Result<()> {
        let end = self.serve(terminal, &mut recording).await;
        let logged = match recording {
            Some(recording) => recording.end().await,
            None => Ok(()),
        };
        match end? {
            End::Left => logged.map_err(io::Error::other),
            End::Exit(Err(why)) => self.say_failure(&why).await,
            End::Exit(Ok(())) => match logged {
                Ok(()) => self.close().await,
                Err(error) => self.say_failure(&chain(&error)).await,
            },
        }
    }

    async fn serve(&mut self, terminal: TerminalSession, recording: &mut Option<Recording>) -> io::Result<End> {
        let TerminalSession { keyboard, resize, mut exit } = terminal;
        // Not a pipe, but as good as one: it can be waited for, and does not block.
        let mut screen = pipe::Receiver::from_owned_fd_unchecked(keyboard.try_clone()?.into())?;
        let mut keyboard = pipe::Sender::from_owned_fd_unchecked(keyboard.into())?;
        let mut tick = tokio::time::interval(TICK);
        let mut ended: Option<(Result<i32, String>, Instant)> = None;
        let mut output = [0; OUTPUT_MAX_BYTES];
        loop {
            let (takes_output, types) = (self.channel.takes_output(), !self.typed.is_empty());
            tokio::select! {
                frame = self.socket.next() => {
                    let Some(Ok(frame)) = frame else { return Ok(End::Left) };
                    if self.receive(frame, Some(&*resize)).await? == Next::Stop {
                        return Ok(End::Left);
                    }
                }
                read = screen.read(&mut output), if takes_output => match read {
                    Ok(count) if count > 0 => {
                        if let Some(recording) = recording
                            && let Err(error) = recording.take(&output[..count]).await
                        {
                            return Ok(End::Exit(Err(chain(&error))));
                        }
                        let step = self.channel.output(&output[..count], Instant::now(), millis(self.cx));
                        self.carry_out(vec![step], None).await?;
                    }
                    // Nobody has the terminal any more.
                    Ok(_) | Err(_) => break,
                },
                written = keyboard.write(&self.typed), if types => match written {
                    Ok(count) => drop(self.typed.drain(..count)),
                    Err(_) => self.typed.clear(),
                },
                code = &mut exit, if ended.is_none() => ended = Some((code, Instant::now() + DRAIN)),
                _ = tick.tick() => {
                    if let Some(recording) = recording
                        && let Err(error) = recording.write().await
                    {
                        return Ok(End::Exit(Err(chain(&error))));
                    }
                    let again = self.channel.again(Instant::now());
                    self.carry_out(again, None).await?;
                    if ended.as_ref().is_some_and(|(_, until)| *until <= Instant::now()) {
                        break;
                    }
                }
            }
        }
        let code = match ended {
            Some((code, _)) => code,
            // The terminal is let go a moment before the exit is known.
            None => tokio::time::timeout(DRAIN, &mut exit).await.unwrap_or(Ok(0)),
        };
        Ok(End::Exit(code.map(|_| ())))
    }

    /// In the place of a command that did not start.
    async fn say_failure(mut self, why: &str) -> io::Result<()> {
        let mut tick = tokio::time::interval(TICK);
        while !self.channel.takes_output() {
            tokio::select! {
                frame = self.socket.next() => {
                    let Some(Ok(frame)) = frame else { return Ok(()) };
                    if self.receive(frame, None).await? == Next::Stop {
                        return Ok(());
                    }
                }
                _ = tick.tick() => {
                    let again = self.channel.again(Instant::now());
                    self.carry_out(again, None).await?;
                }
            }
        }
        let text = format!("cove: {why}\r\n");
        let end = text.floor_char_boundary(OUTPUT_MAX_BYTES);
        let step = self.channel.output(&text.as_bytes()[..end], Instant::now(), millis(self.cx));
        self.carry_out(vec![step], None).await?;
        self.close().await
    }

    /// Waits until everything has arrived, says that the channel is closed, and lets the client leave first.
    async fn close(mut self) -> io::Result<()> {
        let mut tick = tokio::time::interval(TICK);
        loop {
            if let Some(last) = self.channel.close(Instant::now(), millis(self.cx)) {
                self.carry_out(vec![last], None).await?;
                break;
            }
            tokio::select! {
                frame = self.socket.next() => {
                    let Some(Ok(frame)) = frame else { return Ok(()) };
                    self.receive(frame, None).await?;
                }
                _ = tick.tick() => {
                    let again = self.channel.again(Instant::now());
                    self.carry_out(again, None).await?;
                }
            }
        }
        let left = async { while let Some(Ok(_)) = self.socket.next().await {} };
        let _ = tokio::time::timeout(LEAVING, left).await;
        self.socket.close(None).await.map_err(io::Error::other)
    }

    async fn receive(&mut self, frame: Frame, resize: Option<&Resize>) -> io::Result<Next> {
        match frame {
            Frame::Binary(bytes) => {
                self.channel.holds_input = self.typed.len() >= TYPED_MAX_BYTES;
                let steps = self.channel.receive(&bytes, Instant::now(), millis(self.cx));
                self.carry_out(steps, resize).await
            }
            Frame::Close(_) => Ok(Next::Stop),
            Frame::Text(_) | Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => Ok(Next::Go),
        }
    }

    async fn carry_out(&mut self, steps: Vec<Step>, resize: Option<&Resize>) -> io::Result<Next> {
        for step in steps {
            match step {
                Step::Send(bytes) => self.socket.send(Frame::binary(bytes)).await.map_err(io::Error::other)?,
                Step::Type(bytes) => self.typed.extend(bytes),
                Step::Resize { columns, rows } => {
                    if let Some(resize) = resize {
                        resize(columns, rows);
                    }
                }
                Step::End => return Ok(Next::Stop),
            }
        }
        Ok(Next::Go)
    }
}

type Resize = dyn Fn(u16, u16) + Send + Sync;
