//! nf_tables transactions of the `ip` family: all of one takes effect, or none.
//!
//! Holds: set key types carry their true ids; a wrong one makes the nft tool abort for the whole host.

use std::borrow::Cow;

use super::encode::{APPEND, Attributes, Batch, CREATE, DUMP, EXCL, Message};
use super::expression::{Rule, Verdict};
use super::{Channel, Refused, attributes, find};

const SUBSYSTEM: u16 = 10 << 8;
const NEWTABLE: u16 = SUBSYSTEM;
const GETTABLE: u16 = SUBSYSTEM | 1;
const DELTABLE: u16 = SUBSYSTEM | 2;
const NEWCHAIN: u16 = SUBSYSTEM | 3;
const GETCHAIN: u16 = SUBSYSTEM | 4;
const NEWRULE: u16 = SUBSYSTEM | 6;
const GETRULE: u16 = SUBSYSTEM | 7;
const DELRULE: u16 = SUBSYSTEM | 8;
const NEWSET: u16 = SUBSYSTEM | 9;
const NEWELEMENT: u16 = SUBSYSTEM | 12;
const DELELEMENT: u16 = SUBSYSTEM | 14;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
/// Tables that see IPv4 and IPv6.
const FAMILY_INET: u8 = 1;
const FAMILY_IP: u8 = 2;
const VERDICT_TYPE: u32 = 0xffff_ff00;
const SET_MAP: u32 = 8;
/// nft's own form of comments in a rule's user data: type 0, length, text with NUL.
const COMMENT: u8 = 0;

/// Type ids of set keys and values, as the nft tool knows them.
pub(in super::super) const ADDRESS: u32 = 7;
pub(in super::super) const PROTOCOL: u32 = 12;
pub(in super::super) const PORT: u32 = 13;
pub(in super::super) const LINK: u32 = 20;

/// Two types side by side, each padded to four bytes.
pub(in super::super) const fn both(first: u32, second: u32) -> u32 {
    first << 6 | second
}

/// Length in bytes of a key or value of a type.
const fn length_of(kind: u32) -> u32 {
    if kind > 0x3f { 8 } else { 4 }
}

/// Where the kernel calls a chain, and when.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Hook {
    pub(in super::super) number: u32,
    pub(in super::super) priority: i32,
    pub(in super::super) kind: &'static str,
}

impl Hook {
    pub(in super::super) const RAW: Self = Self { number: 0, priority: -300, kind: "filter" };
    pub(in super::super) const PREROUTING: Self = Self { number: 0, priority: -100, kind: "nat" };
    pub(in super::super) const OUTPUT: Self = Self { number: 3, priority: -100, kind: "nat" };
    pub(in super::super) const POSTROUTING: Self = Self { number: 4, priority: 100, kind: "nat" };
    pub(in super::super) const FORWARD: Self = Self { number: 2, priority: 0, kind: "filter" };
    /// Before [`Self::RAW`], and after fragments are whole again.
    pub(in super::super) const FIRST: Self = Self { number: 0, priority: -310, kind: "filter" };
    /// What the namespace's own processes send.
    pub(in super::super) const LEAVING: Self = Self { number: 3, priority: 0, kind: "filter" };
    pub(in super::super) const INPUT: Self = Self { number: 1, priority: 0, kind: "filter" };
}

/// What a set maps its keys to.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum Maps {
    Nothing,
    To(u32),
    ToVerdict,
}

/// One element's value.
#[derive(Debug, Clone)]
pub(in super::super) enum Value<'a> {
    None,
    Bytes(&'a [u8]),
    Verdict(Verdict<'a>),
}

/// A transaction on one table.
#[derive(Debug)]
pub(in super::super) struct Transaction<'a> {
    table: &'a str,
    batch: Batch,
    sets: u32,
}

fn header(resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [FAMILY_IP, 0, high, low]
}

impl<'a> Transaction<'a> {
    pub(in super::super) fn on(table: &'a str) -> Self {
        let mut batch = Batch::new();
        batch.push_silent("begin a transaction", Message::new(BATCH_BEGIN, 0, &header(10), &Attributes::new()));
        Self { table, batch, sets: 0 }
    }

    fn push(&mut self, label: impl Into<Cow<'static, str>>, kind: u16, flags: u16, attributes: &Attributes) {
        let named = Attributes::new().text(1, self.table).extend(attributes);
        self.batch.push_silent(label, Message::new(kind, flags, &header(0), &named));
    }

    /// An empty table under this name, whatever was there.
    pub(in super::super) fn fresh_table(&mut self) {
        self.push("make an nf_tables table", NEWTABLE, CREATE, &Attributes::new());
        self.push("empty our table", DELTABLE, 0, &Attributes::new());
        self.push("make an nf_tables table", NEWTABLE, CREATE, &Attributes::new());
    }

    pub(in super::super) fn delete_table(&mut self) {
        self.push("delete our table", DELTABLE, 0, &Attributes::new());
    }

    pub(in super::super) fn chain(&mut self, name: &str, hook: Option<Hook>) {
        let mut attributes = Attributes::new().text(3, name);
        if let Some(hook) = hook {
            let place = Attributes::new().big(1, hook.number).big(2, hook.priority.cast_unsigned());
            attributes = attributes.nest(4, &place).big(5, 1).text(7, hook.kind);
        }
        self.push(format!("make chain {name}"), NEWCHAIN, CREATE, &attributes);
    }

    pub(in super::super) fn set(&mut self, name: &str, key: u32, maps: Maps) {
        self.sets += 1;
        let mut attributes = Attributes::new().text(2, name);
        attributes = match maps {
            Maps::Nothing => attributes.big(3, 0).big(4, key).big(5, length_of(key)),
            Maps::To(kind) => {
                attributes.big(3, SET_MAP).big(4, key).big(5, length_of(key)).big(6, kind).big(7, length_of(kind))
            }
            Maps::ToVerdict => {
                attributes.big(3, SET_MAP).big(4, key).big(5, length_of(key)).big(6, VERDICT_TYPE).big(7, 0)
            }
        };
        self.push(format!("make set {name}"), NEWSET, CREATE, &attributes.big(10, self.sets));
    }

    /// Appends a rule.
    pub(in super::super) fn rule(&mut self, chain: &str, rule: &Rule) {
        self.push(format!("add a rule to chain {chain}"), NEWRULE, CREATE | APPEND, &rule_attributes(chain, rule));
    }

    /// Puts a rule before all others.
    pub(in super::super) fn rule_first(&mut self, chain: &str, rule: &Rule) {
        self.push(format!("insert a rule into chain {chain}"), NEWRULE, CREATE, &rule_attributes(chain, rule));
    }

    pub(in super::super) fn delete_rule(&mut self, chain: &str, handle: u64) {
        let attributes = Attributes::new().text(2, chain).bytes(3, &handle.to_be_bytes());
        self.push(format!("delete a rule of chain {chain}"), DELRULE, 0, &attributes);
    }

    /// Adds an element; the answer is the index of its message, to recognise it in a refusal.
    pub(in super::super) fn add(&mut self, set: &str, key: &[u8], value: &Value<'_>) -> usize {
        let index = self.batch.len();
        let attributes = element(set, key, value);
        self.push(format!("add an element to set {set}"), NEWELEMENT, CREATE | EXCL, &attributes);
        index
    }

    /// Deletes an element that is there.
    pub(in super::super) fn delete(&mut self, set: &str, key: &[u8]) {
        let attributes = element(set, key, &Value::None);
        self.push(format!("delete an element of set {set}"), DELELEMENT, 0, &attributes);
    }

    pub(in super::super) fn commit(mut self, channel: &mut Channel) -> Result<(), Refused> {
        if self.batch.len() < 2 {
            return Ok(());
        }
        // The answers come after the commit, so the last one stands for all.
        self.batch.acknowledge_last();
        self.batch.push_silent("end a transaction", Message::new(BATCH_END, 0, &header(10), &Attributes::new()));
        channel.run(&self.batch)
    }
}

fn rule_attributes(chain: &str, rule: &Rule) -> Attributes {
    let attributes = Attributes::new().text(2, chain).nest(4, &rule.expressions);
    match &rule.comment {
        None => attributes,
        Some(text) => attributes.bytes(7, &user_data(text)),
    }
}

fn user_data(comment: &str) -> Vec<u8> {
    let length = u8::try_from(comment.len() + 1).unwrap_or(u8::MAX);
    let mut data = vec![COMMENT, length];
    data.extend_from_slice(&comment.as_bytes()[..usize::from(length) - 1]);
    data.push(0);
    data
}

fn element(set: &str, key: &[u8], value: &Value<'_>) -> Attributes {
    let element = Attributes::new().nest(1, &Attributes::new().bytes(1, key));
    let element = match value {
        Value::None => element,
        Value::Bytes(bytes) => element.nest(2, &Attributes::new().bytes(1, bytes)),
        Value::Verdict(verdict) => element.nest(2, &verdict.attributes()),
    };
    Attributes::new().text(2, set).nest(3, &Attributes::new().nest(1, &element))
}

/// Names of the tables, those of the `ip` family first, the others in the second list.
pub(in super::super) fn tables(channel: &mut Channel) -> Result<(Vec<String>, Vec<String>), Refused> {
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    let message = Message::new(GETTABLE, DUMP, &[0; 4], &Attributes::new());
    channel.ask("list the nf_tables tables", &message, |reply| {
        if let Some((header, rest)) = reply.split(4) {
            let list = if header[0] == FAMILY_IP { &mut ours } else { &mut others };
            list.extend(find(rest, 1).map(text));
        }
    })?;
    Ok((ours, others))
}

/// What a chain does with packets that no rule decides: `Some(true)` drops. `None` when there is no such chain.
pub(in super::super) fn chain_drops(channel: &mut Channel, table: &str, chain: &str) -> Result<Option<bool>, Refused> {
    let message = Message::new(GETCHAIN, 0, &header(0), &Attributes::new().text(1, table).text(3, chain));
    let mut found = None;
    let asked = channel.ask("look up a chain", &message, |reply| {
        let policy = reply.split(4).and_then(|(_, rest)| find(rest, 5));
        found = Some(policy == Some(&[0, 0, 0, 0]));
    });
    match asked {
        Err(refused) if refused.errno() == libc::ENOENT => Ok(None),
        outcome => outcome.map(|()| found),
    }
}

/// A chain that sees forwarded packets and drops what none of its rules decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Dropping {
    /// As the nft program writes it: family, table, chain.
    pub(in super::super) table: String,
    pub(in super::super) chain: String,
    family: u8,
}

/// Every such chain of the IPv4 and the common tables, whoever made it.
pub(in super::super) fn dropping_forward(channel: &mut Channel) -> Result<Vec<Dropping>, Refused> {
    let mut found = Vec::new();
    let message = Message::new(GETCHAIN, DUMP, &[0; 4], &Attributes::new());
    channel.ask("list the nf_tables chains", &message, |reply| {
        let Some((header, rest)) = reply.split(4) else { return };
        let hook = find(rest, 4).and_then(|hook| find(hook, 1));
        let named = |kind| find(rest, kind).map(text).unwrap_or_default();
        let of_ours = [FAMILY_IP, FAMILY_INET].contains(&header[0]);
        if of_ours && hook == Some(&Hook::FORWARD.number.to_be_bytes()) && find(rest, 5) == Some(&[0, 0, 0, 0]) {
            found.push(Dropping { table: named(1), chain: named(3), family: header[0] });
        }
    })?;
    Ok(found)
}

impl Dropping {
    /// As commands of the nft program name it.
    pub(in super::super) fn name(&self) -> String {
        let family = if self.family == FAMILY_IP { "ip" } else { "inet" };
        format!("{family} {} {}", self.table, self.chain)
    }

    /// Whether a rule of the chain looks at links whose names begin like this. What it does with them is its maker's
    /// business.
    pub(in super::super) fn mentions(&self, channel: &mut Channel, prefix: &str) -> Result<bool, Refused> {
        let mut found = false;
        let of_chain = Attributes::new().text(1, &self.table).text(2, &self.chain);
        let message = Message::new(GETRULE, DUMP, &[self.family, 0, 0, 0], &of_chain);
        channel.ask("list the rules of a chain", &message, |reply| {
            let Some((_, rest)) = reply.split(4) else { return };
            let here = find(rest, 2).map(text).as_deref() == Some(&self.chain);
            let expressions = find(rest, 4).unwrap_or_default();
            found |= here && expressions.windows(prefix.len()).any(|bytes| bytes == prefix.as_bytes());
        })?;
        Ok(found)
    }
}

/// Handles of the rules in a chain that carry a comment.
pub(in super::super) fn rules_with_comment(
    channel: &mut Channel,
    table: &str,
    chain: &str,
    comment: &str,
) -> Result<Vec<u64>, Refused> {
    let wanted = user_data(comment);
    let mut handles = Vec::new();
    let message = Message::new(GETRULE, DUMP, &header(0), &Attributes::new().text(1, table).text(2, chain));
    let asked = channel.ask("list the rules of a chain", &message, |reply| {
        let Some((_, rest)) = reply.split(4) else { return };
        let of_chain =
            find(rest, 1).map(text).as_deref() == Some(table) && find(rest, 2).map(text).as_deref() == Some(chain);
        if of_chain && attributes(rest).any(|(kind, data)| kind == 7 && data == wanted) {
            handles.extend(
                find(rest, 3).and_then(|bytes| bytes.first_chunk::<8>()).map(|bytes| u64::from_be_bytes(*bytes)),
            );
        }
    });
    match asked {
        Err(refused) if refused.errno() == libc::ENOENT => Ok(Vec::new()),
        outcome => outcome.map(|()| handles),
    }
}

fn text(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload).trim_end_matches('\0').to_owned()
}
