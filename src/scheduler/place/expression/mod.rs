//! The cluster query language: which container instances an expression is true of.
//!
//! In: the text of a `memberOf` constraint or of ListContainerInstances' filter; then what is known of an instance. Out:
//! whether the expression holds of it.
//!
//! ```text
//! any    = all { ("or" | "||") all }           all = one { ("and" | "&&") one }
//! one    = ("not" | "!") one | "(" any ")" | subject operator [argument]
//! ```
//!
//! Holds: no text costs more than its length: length and nesting are bounded, patterns are automata of bounded size
//! that never go back. A negated operator is the negation of the positive one, also where the subject is absent.
//! Where patterns differ from AWS's Java: no look-around, no back-references, no possessive quantifiers; they are refused.

mod parse;
mod pattern;
mod scan;
mod value;

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::HashMap;

use cove_model::container_instance::ContainerInstance;
use cove_model::taken::OnInstance;

use pattern::Pattern;
use value::{Relation, Value};

/// ECS's limit of an expression.
pub(super) const EXPRESSION_BYTES_MAX: usize = 2000;

/// An expression that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    root: Node,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Clause(Subject, Test),
}

/// What a clause is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    AgentConnected,
    AgentVersion,
    Attribute(String),
    Ec2InstanceId,
    RegisteredAt,
    RunningTasksCount,
    TaskGroup,
}

/// What a clause says of its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Exists,
    Is(Relation, Value),
    In(Vec<String>),
    Matches(Pattern),
}

/// An expression that makes no sense, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadExpression {
    #[error("longer than {EXPRESSION_BYTES_MAX} characters")]
    TooLong,
    #[error("nested too deeply")]
    TooDeep,
    #[error("`{0}` ends too early")]
    Unfinished(String),
    #[error("unexpected `{found}` at character {at}")]
    Unexpected { found: String, at: usize },
    #[error("unknown subject `{0}`")]
    Subject(String),
    #[error("operator `{operator}` is not valid for {subject}")]
    Operator { operator: &'static str, subject: String },
    #[error("`{value}` is no {kind}")]
    Value { value: String, kind: &'static str },
    #[error("`{0}` is no pattern that can be matched")]
    Pattern(String),
}

/// What there is on an instance: what `task:group` and `runningTasksCount` ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Live tasks by group.
    pub groups: HashMap<String, usize>,
    /// Those that are RUNNING.
    pub running: usize,
}

impl Occupancy {
    /// Of what tasks take of an instance, in parts.
    #[must_use]
    pub fn of(parts: [Option<&OnInstance>; 2]) -> Self {
        let mut groups: HashMap<String, i64> = HashMap::new();
        for (group, number) in parts.iter().flatten().flat_map(|part| &part.groups) {
            *groups.entry(group.clone()).or_default() += number;
        }
        let running = parts.iter().flatten().map(|part| part.running).sum::<i64>();
        let some = |(group, number)| Some((group, usize::try_from(number).ok().filter(|number| *number > 0)?));
        Self { groups: groups.into_iter().filter_map(some).collect(), running: usize::try_from(running).unwrap_or(0) }
    }

    /// Counts one task more that has not begun to run.
    pub fn add_to(&mut self, group: &str) {
        match self.groups.get_mut(group) {
            Some(number) => *number += 1,
            None => drop(self.groups.insert(group.to_owned(), 1)),
        }
    }
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// When it is no expression.
    pub fn parse(text: &str) -> Result<Self, BadExpression> {
        parse::parse(text).map(|root| Self { root })
    }

    /// Whether it is true of the instance.
    #[must_use]
    pub fn matches(&self, instance: &ContainerInstance, occupancy: &Occupancy) -> bool {
        self.root.holds(instance, occupancy)
    }
}

impl Node {
    fn holds(&self, instance: &ContainerInstance, occupancy: &Occupancy) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.holds(instance, occupancy)),
            Self::Any(nodes) => nodes.iter().any(|node| node.holds(instance, occupancy)),
            Self::Not(node) => !node.holds(instance, occupancy),
            Self::Clause(subject, test) => subject.passes(test, instance, occupancy),
        }
    }
}

impl Subject {
    fn passes(&self, test: &Test, instance: &ContainerInstance, occupancy: &Occupancy) -> bool {
        match self {
            Self::AgentConnected => test.of_text(if instance.is_connected() { "true" } else { "false" }),
            Self::AgentVersion => test.of_value(|value| value.compare_version(instance.agent_version()?)),
            Self::Attribute(name) => instance.attribute(name).is_some_and(|value| test.of_text(value)),
            Self::Ec2InstanceId => test.of_text(&instance.ec2_instance_id),
            Self::RegisteredAt => test.of_value(|value| value.compare_number(instance.registered_at.millis())),
            Self::RunningTasksCount => {
                let running = i64::try_from(occupancy.running).unwrap_or(i64::MAX);
                test.of_value(|value| value.compare_number(running))
            }
            // Several tasks, several groups: one that passes is enough.
            Self::TaskGroup => occupancy.groups.keys().any(|group| test.of_text(group)),
        }
    }
}

impl Test {
    fn of_text(&self, text: &str) -> bool {
        match self {
            Self::Exists => true,
            Self::Is(relation, value) => relation.holds(value.compare_text(text)),
            Self::In(values) => values.iter().any(|one| one == text),
            Self::Matches(pattern) => pattern.matches(text),
        }
    }

    /// `compare`: how the instance's value stands to the one of the expression.
    fn of_value(&self, compare: impl Fn(&Value) -> Option<Ordering>) -> bool {
        match self {
            Self::Exists => true,
            Self::Is(relation, value) => compare(value).is_some_and(|order| relation.holds(order)),
            // The parser lets these stand at texts only.
            Self::In(_) | Self::Matches(_) => false,
        }
    }
}
