//! What is said to an agent: its work until it is acknowledged, and signs of life.
//!
//! In: the instance's live tasks, messages of the agent, the time. Out: [`Step`]s. No socket, no store, no await.
//!
//! Holds: a task that the agent has not acknowledged is said again; one that it has is never said to start again; a stop is
//! said until it is acknowledged on this connection, because only the agent's report ends a task. Unacknowledged messages are
//! bounded. An agent that says nothing for [`SILENCE`] is given up.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cove_base::ids::uuid;
use cove_model::task::{Task, TaskStatus};
use serde_json::{Value, json};

/// Agents leave when they hear nothing for a minute.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// An agent acknowledges every heartbeat.
const SILENCE: Duration = Duration::from_secs(75);
/// When an unacknowledged task is said again.
const AGAIN: Duration = Duration::from_secs(30);
/// Well before the credentials that were handed over expire.
const RENEWAL: Duration = Duration::from_secs(60 * 60);
/// Tasks that wait for their acknowledgement; the rest waits here.
const IN_FLIGHT_MAX: usize = 64;

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    Say(Value),
    /// The agent has the task.
    Accepted(String),
    /// The agent runs these, by ARN, and the manifest did not name them: which of them should stop?
    Verify {
        message_id: String,
        candidates: Vec<String>,
    },
    /// Hand out the credentials of all tasks again.
    Renew,
    /// Say why in an exception of that name, and leave.
    Refuse(&'static str, String),
    /// Leave: nobody is there.
    Leave,
}

/// What the agent is to do with a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Start,
    Stop,
}

impl Wish {
    /// As the message has it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "RUNNING",
            Self::Stop => "STOPPED",
        }
    }
}

/// The two ends of a connection.
#[derive(Debug, Clone)]
pub(super) struct Ends {
    pub(super) cluster_arn: String,
    pub(super) instance_arn: String,
}

/// One connection.
pub(super) struct Channel {
    ends: Ends,
    /// Larger than that of any earlier connection of the instance: agents drop what is older than what they know.
    sequence: u64,
    manifest: String,
    in_flight: BTreeMap<String, Sent>,
    /// Tasks whose stop was acknowledged.
    stopping: HashSet<String>,
    heard: Instant,
    said: Instant,
    renewed: Instant,
}

struct Sent {
    task: String,
    wish: Wish,
    at: Instant,
}

impl Channel {
    pub(super) fn new(ends: Ends, sequence: u64, now: Instant) -> Self {
        Self {
            ends,
            sequence,
            manifest: uuid(),
            in_flight: BTreeMap::new(),
            stopping: HashSet::new(),
            heard: now,
            said: now,
            renewed: now,
        }
    }

    /// The first message: every task that the instance should have.
    pub(super) fn manifest(&self, tasks: &[Arc<Task>], millis: i64) -> Step {
        let task = |task: &Arc<Task>| {
            let wish = if task.desired.is_stopped() { Wish::Stop } else { Wish::Start };
            json!({"taskArn": task.arn(), "taskClusterArn": self.ends.cluster_arn, "desiredStatus": wish.as_str()})
        };
        Step::Say(message(
            "TaskManifestMessage",
            json!({
                "messageId": self.manifest,
                "clusterArn": self.ends.cluster_arn,
                "containerInstanceArn": self.ends.instance_arn,
                "generatedAt": millis,
                "timeline": self.sequence,
                "tasks": tasks.iter().map(task).collect::<Vec<_>>(),
            }),
        ))
    }

    /// Tasks that are to be said, or said again. `show`: a task as the message has it; `None` when that cannot be made.
    pub(super) fn look(
        &mut self,
        tasks: &[Arc<Task>],
        now: Instant,
        millis: i64,
        show: &mut dyn FnMut(&Task, Wish) -> Option<Value>,
    ) -> Vec<Step> {
        self.stopping.retain(|id| tasks.iter().any(|task| task.id == *id));
        self.in_flight.retain(|_, sent| now.duration_since(sent.at) < AGAIN);
        let mut steps = Vec::new();
        for task in tasks {
            let Some(wish) = self.wish(task) else { continue };
            let is_said = self.in_flight.values().any(|sent| sent.task == task.id && sent.wish == wish);
            if is_said || self.in_flight.len() >= IN_FLIGHT_MAX {
                continue;
            }
            let Some(shown) = show(task, wish) else { continue };
            let message_id = uuid();
            steps.push(Step::Say(message(
                "PayloadMessage",
                json!({
                    "messageId": message_id,
                    "clusterArn": self.ends.cluster_arn,
                    "containerInstanceArn": self.ends.instance_arn,
                    "generatedAt": millis,
                    "seqNum": self.sequence,
                    "tasks": [shown],
                }),
            )));
            self.in_flight.insert(message_id, Sent { task: task.id.clone(), wish, at: now });
        }
        steps
    }

    /// What the agent does not know of the task yet.
    fn wish(&self, task: &Task) -> Option<Wish> {
        let is_new = task.observed.accepted_at.is_none() && task.observed.status <= TaskStatus::Pending;
        match task.desired.is_stopped() {
            true => (!self.stopping.contains(&task.id)).then_some(Wish::Stop),
            false => is_new.then_some(Wish::Start),
        }
    }

    /// Whatever came: somebody is there.
    pub(super) const fn hear(&mut self, now: Instant) {
        self.heard = now;
    }

    /// A message of the agent's. What is not known is left alone, as agents do.
    pub(super) fn receive(&mut self, text: &str) -> Option<Step> {
        let Ok(message) = serde_json::from_str::<Value>(text) else {
            return Some(Step::Refuse("BadRequestException", "The message could not be read.".to_owned()));
        };
        let body = &message["message"];
        let message_id = body["messageId"].as_str().unwrap_or_default();
        match message["type"].as_str().unwrap_or_default() {
            "AckRequest" => {
                let sent = self.in_flight.remove(message_id)?;
                match sent.wish {
                    Wish::Start => Some(Step::Accepted(sent.task)),
                    Wish::Stop => {
                        self.stopping.insert(sent.task);
                        None
                    }
                }
            }
            "TaskStopVerificationMessage" if message_id == self.manifest => {
                let candidates = body["stopCandidates"].as_array()?.iter();
                let arns = candidates.filter_map(|it| it["taskArn"].as_str().map(str::to_owned)).collect();
                Some(Step::Verify { message_id: message_id.to_owned(), candidates: arns })
            }
            _ => None,
        }
    }

    /// What the time asks for.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Step> {
        if now.duration_since(self.heard) >= SILENCE {
            return vec![Step::Leave];
        }
        let mut steps = Vec::new();
        if now.duration_since(self.said) >= HEARTBEAT {
            self.said = now;
            let heartbeat = json!({"healthy": true, "messageId": uuid()});
            steps.push(Step::Say(message("HeartbeatMessage", heartbeat)));
        }
        if now.duration_since(self.renewed) >= RENEWAL {
            self.renewed = now;
            steps.push(Step::Renew);
        }
        steps
    }
}

/// As both sides frame what they say.
pub(super) fn message(kind: &str, body: Value) -> Value {
    json!({"type": kind, "message": body})
}

#[cfg(test)]
mod tests {
    use cove_base::Timestamp;
    use cove_model::fixture;
    use cove_model::task::{Desired, StopCode, StopOrder};

    use super::*;

    fn channel(now: Instant) -> Channel {
        Channel::new(Ends { cluster_arn: "c".into(), instance_arn: "i".into() }, 7, now)
    }

    fn ordered(task: &Task) -> Arc<Task> {
        let order = StopOrder { code: StopCode::UserInitiated, reason: "r".into(), at: Timestamp(1) };
        Arc::new(Task { desired: Desired::Stopped(order), ..task.clone() })
    }

    /// What was said of tasks: the id of the message, and the wish.
    fn said(channel: &mut Channel, tasks: &[Arc<Task>], now: Instant) -> Vec<(String, String)> {
        let steps = channel.look(tasks, now, 1, &mut |_, wish| Some(json!(wish.as_str())));
        let read = |step: Step| match step {
            Step::Say(it) => {
                let body = &it["message"];
                (body["messageId"].as_str().unwrap().to_owned(), body["tasks"][0].as_str().unwrap().to_owned())
            }
            other => panic!("{other:?}"),
        };
        steps.into_iter().map(read).collect()
    }

    fn acknowledge(channel: &mut Channel, id: &str) -> Option<Step> {
        channel.receive(&message("AckRequest", json!({"messageId": id})).to_string())
    }

    #[test]
    fn a_task_is_said_until_it_is_acknowledged_and_never_after() {
        let now = Instant::now();
        let (mut channel, task) = (channel(now), fixture::task("t"));
        let tasks = [Arc::new(task.clone())];
        let first = said(&mut channel, &tasks, now);
        assert_eq!(first[0].1, "RUNNING");
        assert!(said(&mut channel, &tasks, now).is_empty(), "not at once again");
        let again = said(&mut channel, &tasks, now + AGAIN);
        assert_eq!(again.len(), 1);
        assert_eq!(acknowledge(&mut channel, &again[0].0), Some(Step::Accepted("t".into())));
        assert_eq!(acknowledge(&mut channel, &again[0].0), None, "once");
        let mut known = task;
        known.observed.accepted_at = Some(Timestamp(1));
        assert!(said(&mut channel, &[Arc::new(known)], now + AGAIN * 3).is_empty());
    }

    #[test]
    fn a_stop_is_said_once_it_is_ordered_also_while_the_start_is_on_its_way() {
        let now = Instant::now();
        let (mut channel, task) = (channel(now), fixture::task("t"));
        said(&mut channel, &[Arc::new(task.clone())], now);
        let stop = said(&mut channel, &[ordered(&task)], now);
        assert_eq!(stop[0].1, "STOPPED");
        assert_eq!(acknowledge(&mut channel, &stop[0].0), None);
        assert!(said(&mut channel, &[ordered(&task)], now + AGAIN * 2).is_empty(), "it was acknowledged");
        assert!(said(&mut self::channel(now), &[ordered(&task)], now).len() == 1, "another connection says it again");
    }

    #[test]
    fn what_is_on_its_way_is_bounded_and_the_rest_follows() {
        let now = Instant::now();
        let mut channel = channel(now);
        let tasks: Vec<_> = (0..IN_FLIGHT_MAX + 3).map(|id| Arc::new(fixture::task(&id.to_string()))).collect();
        let first = said(&mut channel, &tasks, now);
        assert_eq!(first.len(), IN_FLIGHT_MAX);
        acknowledge(&mut channel, &first[0].0);
        assert_eq!(said(&mut channel, &tasks[1..], now).len(), 1);
    }

    #[test]
    fn an_agent_that_is_silent_is_left_and_one_that_is_not_hears_heartbeats() {
        let now = Instant::now();
        let mut channel = channel(now);
        assert!(channel.tick(now).is_empty());
        let beat = channel.tick(now + HEARTBEAT);
        assert!(matches!(&beat[..], [Step::Say(it)] if it["type"] == "HeartbeatMessage"), "{beat:?}");
        channel.hear(now + HEARTBEAT);
        assert!(!channel.tick(now + SILENCE).contains(&Step::Leave));
        assert_eq!(channel.tick(now + HEARTBEAT + SILENCE), [Step::Leave]);
        channel.hear(now + RENEWAL);
        assert!(channel.tick(now + RENEWAL).contains(&Step::Renew));
    }

    #[test]
    fn garbage_is_refused_and_what_is_not_known_is_left_alone() {
        let mut channel = channel(Instant::now());
        assert!(matches!(channel.receive("{"), Some(Step::Refuse("BadRequestException", _))));
        for text in ["{}", "[]", "7", r#"{"type":"X"}"#, r#"{"type":"AckRequest","message":{"messageId":7}}"#] {
            assert_eq!(channel.receive(text), None, "{text}");
        }
        let stale = json!({"messageId": "m", "stopCandidates": [{"taskArn": "a"}]});
        assert_eq!(channel.receive(&message("TaskStopVerificationMessage", stale).to_string()), None);
    }
}
