//! The web sockets of agents: who may open one, and the loop of one that polls for work.
//!
//! Holds: nothing is read or said before signature, cluster and instance are right; a peer that does not take what is said
//! is left; what an agent acknowledged is durable before its next message is read.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cove_model::arn::Tenant;
use cove_model::cluster::cluster_arn;
use cove_model::container_instance::{Agent, ContainerInstance, container_instance_arn};
use cove_model::task::{Task, TaskStatus};
use cove_model::task_definition::TaskDefinition;
use cove_store::{Read, StoreError, keys};
use futures_util::{SinkExt, StreamExt};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message as Frame, Role, WebSocketConfig};

use super::channel::{Channel, Ends, Step, message};
use super::connections::Seat;
use super::payload::{Around, RoleKind};
use super::{TELEMETRY, telemetry};
use crate::aws;
use crate::ecs::{cluster, reference};
use crate::{Body, CallerKind, RawContext, Request, Response};

/// Web sockets of agents at once: each instance has two.
const SOCKETS_MAX: usize = 1024;
/// The longest message of an agent: telemetry has a mebibyte and its signature.
const MESSAGE_MAX_BYTES: usize = (1 << 20) + (64 << 10);
/// How long a peer may take to take a message.
const SEND_PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked what the time asks for.
const TICK: Duration = Duration::from_secs(1);

static SOCKETS: Semaphore = Semaphore::const_new(SOCKETS_MAX);

/// Why an agent is turned away, as one of the models' exceptions.
pub(super) struct Refusal(&'static str, String);

/// Whose socket it is.
pub(super) struct Peer {
    pub(super) tenant: Tenant,
    pub(super) cluster: String,
    pub(super) id: String,
    /// The agent wants the credentials of all its tasks.
    wants_credentials: bool,
}

/// Answers 101 and becomes the agent's channel, or says why not.
pub(crate) async fn answer(cx: RawContext, mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let peer = match admit(&cx, &parts).await {
        Ok(peer) => peer,
        Err(Refusal(kind, why)) => {
            let status = if kind == "AccessDeniedException" { 403 } else { 400 };
            return document(status, &message(kind, json!({"message": why})));
        }
    };
    let asks = parts.headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let key = parts.headers.get("sec-websocket-key").map(|key| derive_accept_key(key.as_bytes()));
    let (true, Some(Ok(accept))) = (asks, key.map(|key| HeaderValue::from_str(&key))) else {
        let why = json!({"message": "This is an upgrade to a web socket."});
        return document(426, &message("BadRequestException", why));
    };
    let Ok(slot) = SOCKETS.try_acquire() else {
        return document(503, &message("ServerException", json!({"message": "Too many agents are connected."})));
    };
    let is_telemetry = parts.uri.path() == TELEMETRY;
    tokio::spawn(async move {
        let done = async {
            let socket = Socket::open(upgrade).await?;
            if is_telemetry { telemetry::serve(&cx, socket, &peer).await } else { serve(&cx, socket, &peer).await }
        };
        if let Err(error) = done.await {
            tracing::debug!(%error, instance = peer.id, "an agent's connection ended early");
        }
        drop(slot);
    });
    let response = hyper::Response::builder().status(101).header(CONNECTION, "upgrade").header(UPGRADE, "websocket");
    let mut response = response.body(Body::empty()).expect("constant headers make a response");
    response.headers_mut().insert("sec-websocket-accept", accept);
    response
}

fn document(status: u16, body: &Value) -> Response {
    let response = hyper::Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    response.body(Body::full(body.to_string())).expect("a status and a constant header make a response")
}

/// The instance that the signed request names. Work and telemetry name it differently.
async fn admit(cx: &RawContext, parts: &Parts) -> Result<Peer, Refusal> {
    let denied = |why: String| Refusal("AccessDeniedException", why);
    let identity = aws::authenticate(cx, parts, b"", Some("ecs")).map_err(|refused| denied(refused.to_string()))?;
    if identity.caller.kind == CallerKind::Role {
        return Err(denied("The credentials of a task are not those of an instance.".to_owned()));
    }
    let tenant = identity.tenant;
    let broken = |error: StoreError| Refusal("ServerException", cove_base::error::chain(&error));
    cx.ensure_tenant(&tenant).await.map_err(broken)?;
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let given = |names: [&str; 2]| {
        let mut pairs = form_urlencoded::parse(query);
        pairs.find(|(name, _)| names.contains(&&**name)).map(|(_, value)| value.into_owned())
    };
    let text = given(["clusterArn", "cluster"]);
    let name = reference::cluster(&tenant, text.as_deref());
    let name = name.map_err(|error| Refusal("InvalidClusterException", error.to_string()))?;
    let is_there = cx.store().read(|view| cluster::active(view, &tenant, &name).map(drop));
    is_there.map_err(|error| Refusal("InvalidClusterException", error.to_string()))?;
    let invalid = |why: &str| Refusal("InvalidInstanceException", why.to_owned());
    let text = given(["containerInstanceArn", "containerInstance"]).unwrap_or_default();
    let id = reference::container_instance(&tenant, &name, &text);
    let id = id.map_err(|error| invalid(&error.to_string()))?;
    let key = keys::container_instance(&tenant, &name, &id);
    let found = cx.store().read(|view| view.get::<ContainerInstance>(&key));
    let found = found.ok_or_else(|| invalid("The referenced container instance was not found."))?;
    if !found.is_elsewhere() {
        return Err(invalid("The container instance belongs to this node: no other agent has work to do for it."));
    }
    if !found.is_registered() {
        return Err(Refusal("InactiveInstanceException", "The container instance is not registered.".to_owned()));
    }
    let wants_credentials = given(["sendCredentials", ""]).is_some_and(|text| text == "true");
    Ok(Peer { tenant, cluster: name, id, wants_credentials })
}

/// A web socket whose peer is not waited for for ever.
pub(super) struct Socket(WebSocketStream<TokioIo<Upgraded>>);

impl Socket {
    async fn open(upgrade: OnUpgrade) -> io::Result<Self> {
        let upgraded = TokioIo::new(upgrade.await.map_err(io::Error::other)?);
        let mut limits = WebSocketConfig::default();
        limits.max_frame_size = Some(MESSAGE_MAX_BYTES);
        limits.max_message_size = Some(MESSAGE_MAX_BYTES);
        Ok(Self(WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(limits)).await))
    }

    /// The next frame; `None` when the peer has left, or said something that is no web socket's.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        match self.0.next().await? {
            Ok(Frame::Close(_)) | Err(_) => None,
            Ok(frame) => Some(frame),
        }
    }

    pub(super) async fn say(&mut self, message: &Value) -> io::Result<()> {
        self.send(Frame::text(message.to_string())).await
    }

    async fn send(&mut self, frame: Frame) -> io::Result<()> {
        let sent = tokio::time::timeout(SEND_PATIENCE, self.0.send(frame)).await;
        sent.map_err(|_| io::Error::from(ErrorKind::TimedOut))?.map_err(io::Error::other)
    }

    pub(super) async fn close(&mut self) -> io::Result<()> {
        self.send(Frame::Close(None)).await
    }
}

impl Peer {
    pub(super) fn arn(&self) -> String {
        container_instance_arn(&self.tenant, &self.cluster, &self.id)
    }

    /// What the store has of it and of its live tasks; `None` once it is gone.
    fn tasks(&self, store: &impl Read) -> Option<Vec<Arc<Task>>> {
        let found = store.get::<ContainerInstance>(&keys::container_instance(&self.tenant, &self.cluster, &self.id));
        found.filter(|it| it.is_registered())?;
        Some(store.listed(&keys::tasks_on(&self.tenant, &self.cluster, &self.id)))
    }
}

async fn serve(cx: &RawContext, mut socket: Socket, peer: &Peer) -> io::Result<()> {
    let arn = peer.arn();
    let seat = cx.shared.agents.enter(&arn);
    let served = match note(cx, peer).await {
        Ok(Some(sequence)) => poll(cx, &mut socket, peer, &seat, sequence).await,
        // It was deregistered in between.
        Ok(None) => socket.close().await,
        Err(error) => Err(io::Error::other(error)),
    };
    cx.shared.agents.leave(&arn, &seat);
    if let Err(error) = note(cx, peer).await {
        tracing::warn!(error = cove_base::error::chain(&error), arn, "an agent that left still counts as connected");
    }
    served
}

/// Writes whether anybody is connected for the instance, and how old it is then: its version, which only grows.
async fn note(cx: &RawContext, peer: &Peer) -> Result<Option<u64>, StoreError> {
    let key = keys::container_instance(&peer.tenant, &peer.cluster, &peer.id);
    let (agents, arn) = (Arc::clone(&cx.shared.agents), peer.arn());
    let write = move |tx: &mut cove_store::Tx<'_>| {
        let found = tx.get::<ContainerInstance>(&key).filter(|it| it.is_registered());
        let Some((instance, agent)) = found.and_then(|it| Some((Arc::clone(&it), it.agent.clone()?))) else {
            return Ok(None);
        };
        let connected = agents.has(&arn);
        // Each connection raises the version, also one that takes another's place.
        let version = instance.version + u64::from(connected || agent.connected);
        let agent = Some(Agent { connected, ..agent });
        tx.put(ContainerInstance { agent, version, ..(*instance).clone() });
        Ok(Some(version))
    };
    cx.store().write(write).await
}

async fn poll(cx: &RawContext, socket: &mut Socket, peer: &Peer, seat: &Seat, sequence: u64) -> io::Result<()> {
    let (mut tasks, mut instances) = (cx.store().watch::<Task>(), cx.store().watch::<ContainerInstance>());
    let ends = Ends { cluster_arn: cluster_arn(&peer.tenant, &peer.cluster), instance_arn: peer.arn() };
    let mut channel = Channel::new(ends, sequence, Instant::now());
    let mut tick = tokio::time::interval(TICK);
    let Some(known) = cx.store().read(|view| peer.tasks(view)) else { return socket.close().await };
    let mut steps = vec![channel.manifest(&known, cx.clock().now().millis())];
    if peer.wants_credentials {
        steps.push(Step::Renew);
    }
    loop {
        for step in std::mem::take(&mut steps) {
            match step {
                Step::Say(message) => socket.say(&message).await?,
                Step::Accepted(task) => accept(cx, peer, &task).await.map_err(io::Error::other)?,
                Step::Verify { message_id, candidates } => {
                    let verdict = verdict(cx, peer, &message_id, candidates);
                    socket.say(&verdict).await?;
                }
                Step::Renew => {
                    for message in renewals(cx, peer) {
                        socket.say(&message).await?;
                    }
                }
                Step::Refuse(kind, why) => {
                    socket.say(&message(kind, json!({"message": why}))).await?;
                    return socket.close().await;
                }
                Step::Leave => return Err(ErrorKind::TimedOut.into()),
            }
        }
        tasks.mark_unchanged();
        instances.mark_unchanged();
        let now = Instant::now();
        let Some(looked) = look(cx, peer, &mut channel, now) else {
            socket
                .say(&message("CloseMessage", json!({"message": "The container instance is not registered."})))
                .await?;
            return socket.close().await;
        };
        steps.extend(looked);
        if !steps.is_empty() {
            continue;
        }
        tokio::select! {
            frame = socket.next() => {
                let Some(frame) = frame else { return Ok(()) };
                channel.hear(Instant::now());
                if let Frame::Text(text) = frame {
                    steps.extend(channel.receive(text.as_str()));
                }
            }
            changed = tasks.changed() => if changed.is_err() { return Ok(()) },
            changed = instances.changed() => if changed.is_err() { return Ok(()) },
            _ = tick.tick() => steps.extend(channel.tick(Instant::now())),
            () = seat.replaced.notified() => {
                socket.say(&message("CloseMessage", json!({"message": "Another connection took this one's place."}))).await?;
                return socket.close().await;
            }
        }
    }
}

/// What is to be said of the instance's tasks now; `None` once the instance is gone.
fn look(cx: &RawContext, peer: &Peer, channel: &mut Channel, now: Instant) -> Option<Vec<Step>> {
    cx.store().read(|view| {
        let tasks = peer.tasks(view)?;
        let around = Around { store: view, settings: cx.settings(), now: cx.clock().now() };
        let mut show = |task: &Task, wish| {
            let key = keys::definition(&task.tenant, &task.family, task.revision);
            let definition = view.get::<TaskDefinition>(&key);
            if definition.is_none() {
                tracing::warn!(task = task.id, "the task's definition is gone: its agent cannot be told of it");
            }
            Some(around.task(task, &*definition?, wish))
        };
        Some(channel.look(&tasks, now, cx.clock().now().millis(), &mut show))
    })
}

/// The agent has the task. Its status is what it was: PENDING.
async fn accept(cx: &RawContext, peer: &Peer, id: &str) -> Result<(), StoreError> {
    let key = keys::task(&peer.tenant, &peer.cluster, id);
    let write = move |tx: &mut cove_store::Tx<'_>| {
        let Some(task) = tx.get::<Task>(&key).filter(|task| task.is_live()) else { return Ok(()) };
        let mut task = (*task).clone();
        task.observed.accepted_at.get_or_insert(tx.now());
        task.observed.status = task.observed.status.max(TaskStatus::Pending);
        tx.put(task);
        Ok(())
    };
    cx.store().write(write).await
}

/// Which of the tasks that the agent runs it should stop: those that are not this instance's, or not to run any more.
fn verdict(cx: &RawContext, peer: &Peer, message_id: &str, candidates: Vec<String>) -> Value {
    let wanted: Vec<String> = cx.store().read(|view| {
        let tasks = peer.tasks(view).unwrap_or_default();
        tasks.iter().filter(|task| !task.desired.is_stopped()).map(|task| task.arn()).collect()
    });
    let stop = candidates.into_iter().filter(|arn| !wanted.contains(arn));
    let stop: Vec<Value> = stop.map(|arn| json!({"taskArn": arn, "desiredStatus": "STOPPED"})).collect();
    let millis = cx.clock().now().millis();
    message("TaskStopVerificationAck", json!({"messageId": message_id, "generatedAt": millis, "stopTasks": stop}))
}

/// The credentials of every task that the agent has.
fn renewals(cx: &RawContext, peer: &Peer) -> Vec<Value> {
    cx.store().read(|view| {
        let around = Around { store: view, settings: cx.settings(), now: cx.clock().now() };
        let mut all = Vec::new();
        for task in peer.tasks(view).unwrap_or_default().iter().filter(|task| task.observed.accepted_at.is_some()) {
            for kind in [RoleKind::Task, RoleKind::Execution] {
                let Some(role) = around.role(task, kind) else { continue };
                let body = json!({
                    "messageId": cove_base::ids::uuid(),
                    "taskArn": task.arn(),
                    "taskClusterArn": task.cluster_arn(),
                    "roleType": kind.as_str(),
                    "roleCredentials": around.credentials(&role),
                });
                all.push(message("IAMRoleCredentialsMessage", body));
            }
        }
        all
    })
}
