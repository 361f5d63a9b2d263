//! What agents measure (TCS): the health of containers and hosts goes into their records, what containers use into the
//! metrics; all of it is acknowledged.
//!
//! Each message is a signed request of its own, head and body, on a socket that was signed when it was opened: the head is
//! passed over.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use cove_base::Timestamp;
use cove_model::container_instance::{Agent, ContainerInstance, InstanceHealth};
use cove_model::task::{Health, Task};
use cove_store::{Read, StoreError, Tx, keys};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::Message as Frame;

use super::channel::message;
use super::serve::{Peer, Socket};
use crate::RawContext;
use crate::ecs::reference;

/// Agents leave when they hear nothing for a minute.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// An agent says something every 20 seconds, if only that it has nothing to say.
const SILENCE: Duration = Duration::from_secs(5 * 60);

/// TCS shape `PublishHealthRequest`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PublishHealth {
    tasks: Vec<TaskHealth>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TaskHealth {
    task_arn: String,
    containers: Vec<ContainerHealth>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerHealth {
    container_name: String,
    health_status: Option<Health>,
    status_since: Value,
}

/// TCS shape `PublishInstanceStatusRequest`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PublishStatus {
    statuses: Vec<InstanceStatus>,
}

#[derive(Debug, Deserialize)]
struct InstanceStatus {
    status: InstanceHealth,
}

/// TCS shape `PublishMetricsRequest`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PublishMetrics {
    task_metrics: Vec<TaskMetric>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TaskMetric {
    task_arn: String,
    container_metrics: Vec<ContainerMetric>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerMetric {
    /// In percent of the whole host.
    cpu_stats_set: Samples,
    /// In MiB.
    memory_stats_set: Samples,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Samples {
    sum: f64,
    sample_count: f64,
}

impl Samples {
    fn average(&self) -> f64 {
        if self.sample_count > 0.0 { self.sum / self.sample_count } else { 0.0 }
    }
}

pub(super) async fn serve(cx: &RawContext, mut socket: Socket, peer: &Peer) -> io::Result<()> {
    let mut tick = tokio::time::interval(HEARTBEAT);
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            frame = socket.next() => {
                let Some(frame) = frame else { return Ok(()) };
                heard = Instant::now();
                let Some(text) = text(&frame) else { continue };
                let Some((kind, body)) = read(text) else {
                    let why = json!({"message": "The message could not be read."});
                    socket.say(&message("BadRequestException", why)).await?;
                    return socket.close().await;
                };
                if let Some(answer) = take(cx, peer, &kind, body).await.map_err(io::Error::other)? {
                    socket.say(&message(answer, json!({"message": "OK"}))).await?;
                }
            }
            _ = tick.tick() => {
                if heard.elapsed() >= SILENCE {
                    return Err(ErrorKind::TimedOut.into());
                }
                socket.say(&message("HeartbeatMessage", json!({"healthy": true}))).await?;
            }
        }
    }
}

fn text(frame: &Frame) -> Option<&str> {
    match frame {
        Frame::Text(text) => Some(text.as_str()),
        Frame::Binary(_) | Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_) | Frame::Frame(_) => None,
    }
}

/// Type and body of a message, behind its head if it has one.
fn read(text: &str) -> Option<(String, Value)> {
    let body = if text.starts_with('{') { text } else { text.split_once("\r\n\r\n")?.1 };
    let mut message: Value = serde_json::from_str(body).ok()?;
    let kind = message.get("type")?.as_str()?.to_owned();
    Some((kind, message["message"].take()))
}

/// Does what the message says; how it is acknowledged.
async fn take(cx: &RawContext, peer: &Peer, kind: &str, body: Value) -> Result<Option<&'static str>, StoreError> {
    Ok(match kind {
        "PublishMetricsRequest" => {
            used(cx, peer, body);
            Some("AckPublishMetric")
        }
        "PublishInstanceStatusRequest" => {
            status(cx, peer, body).await?;
            Some("AckPublishInstanceStatus")
        }
        "PublishHealthRequest" => {
            health(cx, peer, body).await?;
            Some("AckPublishHealth")
        }
        _ => None,
    })
}

/// What tasks use, in cores of their host. Tasks of others are passed over.
fn used(cx: &RawContext, peer: &Peer, body: Value) {
    let given: PublishMetrics = serde_json::from_value(body).unwrap_or_default();
    let key = keys::container_instance(&peer.tenant, &peer.cluster, &peer.id);
    let (vcpus, ours) = cx.store().read(|view| {
        let units = view.get::<ContainerInstance>(&key).map_or(0, |it| it.registered.cpu);
        let here = view.listed::<Task>(&keys::tasks_on(&peer.tenant, &peer.cluster, &peer.id));
        (f64::from(i32::try_from(units).unwrap_or(0)) / 1024.0, here)
    });
    for task in given.task_metrics {
        let Some(ours) = ours.iter().find(|it| it.arn() == task.task_arn) else { continue };
        let sum = |of: fn(&ContainerMetric) -> f64| task.container_metrics.iter().map(of).sum::<f64>();
        let (percent, mib) = (sum(|it| it.cpu_stats_set.average()), sum(|it| it.memory_stats_set.average()));
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float becomes what is nearest")]
        let bytes = (mib * 1_048_576.0) as u64;
        cx.shared.cloudwatch.hear(&ours.id, percent / 100.0 * vcpus, bytes, cx.clock().now());
    }
}

/// The worst of what the agent says of its host.
async fn status(cx: &RawContext, peer: &Peer, body: Value) -> Result<(), StoreError> {
    let given: PublishStatus = serde_json::from_value(body).unwrap_or_default();
    let Some(health) = given.statuses.iter().map(|it| it.status).max() else { return Ok(()) };
    let key = keys::container_instance(&peer.tenant, &peer.cluster, &peer.id);
    let write = move |tx: &mut Tx<'_>| {
        let Some(instance) = tx.get::<ContainerInstance>(&key) else { return Ok(()) };
        if let Some(agent) = instance.agent.clone().filter(|agent| agent.health != Some(health)) {
            let agent = Some(Agent { health: Some(health), ..agent });
            tx.put(ContainerInstance { agent, version: instance.version + 1, ..(*instance).clone() });
        }
        Ok(())
    };
    cx.store().write(write).await
}

/// Tasks of others, and containers that have no check, are passed over.
async fn health(cx: &RawContext, peer: &Peer, body: Value) -> Result<(), StoreError> {
    let given: PublishHealth = serde_json::from_value(body).unwrap_or_default();
    let mut said: HashMap<String, Vec<ContainerHealth>> = HashMap::new();
    for task in given.tasks {
        if let Ok(id) = reference::task(&peer.tenant, &peer.cluster, &task.task_arn) {
            said.insert(id, task.containers);
        }
    }
    let (tenant, cluster, instance) = (peer.tenant.clone(), peer.cluster.clone(), peer.id.clone());
    let is_ours = |task: &Task| task.is_live() && task.placement.container_instance.as_ref() == Some(&peer.id);
    let is_news = cx.store().read(|view| {
        said.iter().any(|(id, containers)| {
            let task = view.get::<Task>(&keys::task(&tenant, &cluster, id));
            task.is_some_and(|task| is_ours(&task) && changed(&task, containers, Timestamp(0)).is_some())
        })
    });
    if !is_news {
        return Ok(());
    }
    let write = move |tx: &mut Tx<'_>| {
        for (id, containers) in &said {
            let Some(task) = tx.get::<Task>(&keys::task(&tenant, &cluster, id)) else { continue };
            let is_ours = task.is_live() && task.placement.container_instance.as_ref() == Some(&instance);
            if let Some(task) = changed(&task, containers, tx.now()).filter(|_| is_ours) {
                tx.put(task);
            }
        }
        Ok(())
    };
    cx.store().write(write).await
}

/// The task with what is said of its containers, if that is news.
fn changed(task: &Task, said: &[ContainerHealth], now: Timestamp) -> Option<Task> {
    let mut changed = task.clone();
    for container in &mut changed.containers {
        let of_it = said.iter().find(|it| it.container_name == container.name);
        let Some((status, since)) = of_it.and_then(|it| Some((it.health_status?, it.status_since.as_f64()))) else {
            continue;
        };
        let seen = &mut container.seen;
        if seen.health.is_some() && seen.health != Some(status) {
            seen.health = Some(status);
            #[allow(clippy::cast_possible_truncation, reason = "a float becomes the nearest moment there is")]
            let since = since.map(|seconds| Timestamp((seconds * 1000.0) as i64));
            seen.health_since = Some(since.unwrap_or(now));
        }
    }
    let is_news = changed != *task;
    changed.version += 1;
    is_news.then_some(changed)
}

#[cfg(test)]
mod tests {
    use cove_model::fixture;
    use cove_model::task::ContainerSeen;

    use super::*;

    #[test]
    fn a_message_is_read_behind_its_head() {
        let plain = r#"{"type":"PublishHealthRequest","message":{"tasks":[]}}"#;
        let expected = Some(("PublishHealthRequest".to_owned(), json!({"tasks": []})));
        assert_eq!(read(plain), expected);
        assert_eq!(read(&format!("Host: a\r\nX-Amz-Date: b\r\n\r\n{plain}")), expected);
        for garbage in ["", "{", "Host: a", "Host: a\r\n\r\n[]", r#"{"message":{}}"#, r#"{"type":7}"#] {
            assert_eq!(read(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn only_a_container_with_a_check_is_healthy_and_only_news_is_written() {
        let mut task = fixture::task("t");
        let seen = ContainerSeen { health: Some(Health::Unknown), ..ContainerSeen::default() };
        task.containers =
            vec![cove_model::task::Container { seen, ..fixture::container("checked") }, fixture::container("plain")];
        let say = |name: &str| ContainerHealth {
            container_name: name.into(),
            health_status: Some(Health::Healthy),
            status_since: json!(2.5),
        };
        let after = changed(&task, &[say("checked"), say("plain")], Timestamp(1)).unwrap();
        assert_eq!((after.health(), after.version), (Health::Healthy, 2));
        assert_eq!(after.containers[0].seen.health_since, Some(Timestamp(2500)));
        assert_eq!(after.containers[1].seen.health, None);
        assert_eq!(changed(&after, &[say("checked")], Timestamp(3)), None);
        assert_eq!(changed(&task, &[say("other")], Timestamp(3)), None);
    }
}
