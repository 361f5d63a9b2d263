//! What is said on a data channel: the handshake, input in order, output until it is acknowledged.
//!
//! In: messages of the client, bytes of the command, the time. Out: [`Step`]s. No socket, no clock, no await.
//!
//! Holds: input is passed on once and in order; output is kept and said again until the client has acknowledged it,
//! because a client drops what comes before it has made itself ready; the channel is closed when nothing is left to
//! acknowledge, or when nobody does for too long.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::message::{ACKNOWLEDGE, CLOSED, INPUT, Message, OUTPUT, SYN_FIN, payload};

/// What clients take at once.
pub(super) const OUTPUT_MAX_BYTES: usize = 1024;
/// Messages that wait for their acknowledgement; then the command waits.
const UNACKNOWLEDGED_MAX: usize = 64;
/// When an unacknowledged message is said again.
const AGAIN: Duration = Duration::from_millis(200);
/// How long the last output may stay unacknowledged.
const FAREWELL: Duration = Duration::from_secs(5);
/// The flag by which a client ends its session.
const TERMINATE_SESSION: u32 = 2;
/// What we say that we are: recent enough for all that this speaks.
const AGENT_VERSION: &str = "3.1.1732.0";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send these bytes as one binary frame.
    Send(Vec<u8>),
    /// Type this.
    Type(Vec<u8>),
    Resize {
        columns: u16,
        rows: u16,
    },
    /// The client wants to end.
    End,
}

/// One channel that a client has opened.
pub(super) struct Channel {
    session_id: String,
    began: Instant,
    next_in: i64,
    next_out: i64,
    unacknowledged: VecDeque<Sent>,
    is_open: bool,
    /// No input is taken: the command has not read what was typed before.
    pub(super) holds_input: bool,
    ending: Option<Instant>,
}

struct Sent {
    sequence: i64,
    bytes: Vec<u8>,
    at: Instant,
}

impl Channel {
    /// The channel, and the handshake that begins it.
    pub(super) fn open(session_id: &str, now: Instant, millis: u64) -> (Self, Vec<Step>) {
        let (session_id, unacknowledged) = (session_id.to_owned(), VecDeque::new());
        let mut channel = Self {
            session_id,
            began: now,
            next_in: 0,
            next_out: 0,
            unacknowledged,
            is_open: false,
            holds_input: false,
            ending: None,
        };
        let parameters = json!({"SessionType": "InteractiveCommands", "Properties": {}});
        let action = json!({"ActionType": "SessionType", "ActionParameters": parameters});
        let request = json!({"AgentVersion": AGENT_VERSION, "RequestedClientActions": [action]});
        let step = channel.say(payload::HANDSHAKE_REQUEST, request.to_string().into_bytes(), now, millis);
        (channel, vec![step])
    }

    /// Whether output may be said now: after the handshake, and while not too much waits.
    pub(super) fn takes_output(&self) -> bool {
        self.is_open && self.unacknowledged.len() < UNACKNOWLEDGED_MAX
    }

    /// At most [`OUTPUT_MAX_BYTES`] of the command's output.
    pub(super) fn output(&mut self, bytes: &[u8], now: Instant, millis: u64) -> Step {
        self.say(payload::OUTPUT, bytes.to_vec(), now, millis)
    }

    /// A binary frame of the client's. What cannot be read is nothing.
    pub(super) fn receive(&mut self, frame: &[u8], now: Instant, millis: u64) -> Vec<Step> {
        let Some(message) = Message::read(frame) else { return Vec::new() };
        match message.kind.as_str() {
            ACKNOWLEDGE => {
                self.acknowledged(&message);
                Vec::new()
            }
            INPUT => self.input(&message, now, millis),
            _ => Vec::new(),
        }
    }

    fn acknowledged(&mut self, message: &Message) {
        let body: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
        let sequence = body.get("AcknowledgedMessageSequenceNumber").and_then(Value::as_i64);
        self.unacknowledged.retain(|sent| Some(sent.sequence) != sequence);
    }

    /// What comes too early, or cannot be taken now, is left alone: the client says it again. What came before is acknowledged once more.
    fn input(&mut self, message: &Message, now: Instant, millis: u64) -> Vec<Step> {
        let is_next = message.sequence == self.next_in;
        if message.sequence > self.next_in || (is_next && self.holds_input && message.payload_type == payload::OUTPUT) {
            return Vec::new();
        }
        let mut steps = vec![acknowledgement(message, millis)];
        if !is_next {
            return steps;
        }
        self.next_in += 1;
        match message.payload_type {
            payload::HANDSHAKE_RESPONSE if !self.is_open => {
                self.is_open = true;
                let took = u64::try_from(now.duration_since(self.began).as_nanos()).unwrap_or(u64::MAX);
                let complete = json!({"HandshakeTimeToComplete": took, "CustomerMessage": ""}).to_string();
                steps.push(self.say(payload::HANDSHAKE_COMPLETE, complete.into_bytes(), now, millis));
            }
            payload::OUTPUT => steps.push(Step::Type(message.payload.clone())),
            payload::SIZE => steps.extend(resize(&message.payload)),
            payload::FLAG if message.payload == TERMINATE_SESSION.to_be_bytes() => steps.push(Step::End),
            _ => {}
        }
        steps
    }

    /// What has waited for its acknowledgement too long, oldest first.
    pub(super) fn again(&mut self, now: Instant) -> Vec<Step> {
        let late = self.unacknowledged.iter_mut().filter(|sent| now.duration_since(sent.at) >= AGAIN);
        late.map(|sent| {
            sent.at = now;
            Step::Send(sent.bytes.clone())
        })
        .collect()
    }

    /// Nothing more is said: the last message, once everything before it has arrived or the client has had its time.
    pub(super) fn close(&mut self, now: Instant, millis: u64) -> Option<Step> {
        let since = *self.ending.get_or_insert(now);
        if !self.unacknowledged.is_empty() && now.duration_since(since) < FAREWELL {
            return None;
        }
        let mut message = Message::new(CLOSED, self.next_out, millis, 0, Vec::new());
        let body = json!({
            "MessageId": message.id,
            "CreatedDate": millis.to_string(),
            "DestinationId": self.session_id,
            "SessionId": self.session_id,
            "MessageType": CLOSED,
            "SchemaVersion": 1,
            "Output": "",
        });
        message.payload = body.to_string().into_bytes();
        Some(Step::Send(message.write()))
    }

    fn say(&mut self, payload_type: u32, payload: Vec<u8>, now: Instant, millis: u64) -> Step {
        let bytes = Message::new(OUTPUT, self.next_out, millis, payload_type, payload).write();
        self.unacknowledged.push_back(Sent { sequence: self.next_out, bytes: bytes.clone(), at: now });
        self.next_out += 1;
        Step::Send(bytes)
    }
}

fn acknowledgement(of: &Message, millis: u64) -> Step {
    let body = json!({
        "AcknowledgedMessageType": of.kind,
        "AcknowledgedMessageId": of.id,
        "AcknowledgedMessageSequenceNumber": of.sequence,
        "IsSequentialMessage": true,
    });
    let mut message = Message::new(ACKNOWLEDGE, 0, millis, 0, body.to_string().into_bytes());
    message.flags = SYN_FIN;
    Step::Send(message.write())
}

fn resize(payload: &[u8]) -> Option<Step> {
    let size: Value = serde_json::from_slice(payload).ok()?;
    let side = |name: &str| size.get(name).and_then(Value::as_u64).and_then(|cells| u16::try_from(cells).ok());
    Some(Step::Resize { columns: side("cols")?, rows: side("rows")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(steps: Vec<Step>) -> Vec<Message> {
        let read = |step| match step {
            Step::Send(bytes) => Message::read(&bytes),
            Step::Type(_) | Step::Resize { .. } | Step::End => None,
        };
        steps.into_iter().filter_map(read).collect()
    }

    fn input(sequence: i64, kind: u32, payload: &[u8]) -> Vec<u8> {
        Message::new(INPUT, sequence, 1, kind, payload.to_vec()).write()
    }

    fn acknowledge(sequence: i64) -> Vec<u8> {
        let body = json!({"AcknowledgedMessageSequenceNumber": sequence}).to_string().into_bytes();
        Message::new(ACKNOWLEDGE, 0, 1, 0, body).write()
    }

    fn opened(now: Instant) -> Channel {
        let (mut channel, steps) = Channel::open("s", now, 1);
        assert_eq!(sent(steps)[0].payload_type, payload::HANDSHAKE_REQUEST);
        assert!(!channel.takes_output(), "first the handshake");
        channel.receive(&acknowledge(0), now, 1);
        let answers = sent(channel.receive(&input(0, payload::HANDSHAKE_RESPONSE, b"{}"), now, 1));
        assert_eq!(answers[0].kind, ACKNOWLEDGE);
        assert_eq!(answers[1].payload_type, payload::HANDSHAKE_COMPLETE);
        channel.receive(&acknowledge(1), now, 1);
        channel
    }

    #[test]
    fn input_is_typed_once_and_in_order() {
        let now = Instant::now();
        let mut channel = opened(now);
        assert!(channel.receive(&input(2, payload::OUTPUT, b"b"), now, 1).is_empty(), "too early");
        let typed = |steps: &[Step]| steps.iter().any(|step| matches!(step, Step::Type(_)));
        assert!(typed(&channel.receive(&input(1, payload::OUTPUT, b"a"), now, 1)));
        let twice = channel.receive(&input(1, payload::OUTPUT, b"a"), now, 1);
        assert!(!typed(&twice) && twice.len() == 1, "acknowledged, not typed");
        let steps = channel.receive(&input(2, payload::SIZE, br#"{"cols":90,"rows":20}"#), now, 1);
        assert_eq!(steps[1], Step::Resize { columns: 90, rows: 20 });
        channel.holds_input = true;
        assert!(channel.receive(&input(3, payload::OUTPUT, b"c"), now, 1).is_empty(), "not now");
        channel.holds_input = false;
        assert!(typed(&channel.receive(&input(3, payload::OUTPUT, b"c"), now, 1)), "said again");
        assert_eq!(channel.receive(&input(4, payload::FLAG, &[0, 0, 0, 2]), now, 1)[1], Step::End);
    }

    #[test]
    fn output_is_said_again_until_it_is_acknowledged() {
        let now = Instant::now();
        let mut channel = opened(now);
        channel.output(b"x", now, 1);
        assert!(channel.again(now).is_empty());
        let later = now + AGAIN;
        assert_eq!(sent(channel.again(later))[0].payload, b"x");
        assert!(channel.again(later).is_empty(), "not at once again");
        assert!(channel.close(later, 1).is_none(), "not while something is on its way");
        channel.receive(&acknowledge(2), later, 1);
        assert!(channel.again(later + AGAIN).is_empty());
        let last = sent(channel.close(later, 1).into_iter().collect());
        assert_eq!(last[0].kind, CLOSED);
    }

    #[test]
    fn a_client_that_acknowledges_nothing_stops_the_output_and_is_left() {
        let now = Instant::now();
        let mut channel = opened(now);
        for _ in 0..UNACKNOWLEDGED_MAX {
            assert!(channel.takes_output());
            channel.output(b"x", now, 1);
        }
        assert!(!channel.takes_output());
        assert!(channel.close(now, 1).is_none());
        assert!(channel.close(now + FAREWELL, 1).is_some());
    }
}
