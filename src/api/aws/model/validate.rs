//! Checks a request against its model, with AWS's texts.
//!
//! In: the input as JSON. Out: the same without nulls and unknown members, or the fault that AWS answers.
//!
//! Holds: what passes can be read into a struct with the model's types. Unknown members are ignored, as AWS does: they go,
//! so that a document that is stored as it came can be shown as the model has it.
//! A wrong type is found first and answered alone; breached constraints are collected and answered together.

use serde_json::Value;

use super::{Kind, Model, Shape, ShapeId};
use crate::aws::fault::Fault;

/// How a service words a breached constraint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// `ValidationException`, all breaches in one text.
    Usual,
    /// `ValidationError`, the same text: the query services.
    Query,
    /// `InvalidParameterException`, the same text.
    Parameter,
    /// `InvalidParameterException` with ECR's own wording of the first breach.
    Ecr,
}

/// Breaches named in one answer; AWS stops counting as well.
const BREACHES_MAX: usize = 20;
/// Characters of an offending value that are quoted.
const VALUE_CHARS_MAX: usize = 256;

impl Policy {
    /// By the name in the signature's scope.
    pub(crate) const fn of(signing_name: &str) -> Self {
        match signing_name.as_bytes() {
            b"ecs" | b"logs" => Self::Parameter,
            b"ecr" => Self::Ecr,
            _ => Self::Usual,
        }
    }

    fn fault(self, breaches: &[Breach]) -> Fault {
        match self {
            Self::Usual => Fault::client("ValidationException", usual_text(breaches)),
            Self::Query => Fault::client("ValidationError", usual_text(breaches)),
            Self::Parameter => Fault::client("InvalidParameterException", usual_text(breaches)),
            Self::Ecr => Fault::client("InvalidParameterException", breaches.first().map(ecr_text).unwrap_or_default()),
        }
    }
}

struct Breach {
    path: String,
    /// Absent for null.
    value: Option<String>,
    constraint: Constraint,
}

enum Constraint {
    NotNull,
    LengthMin(f64),
    LengthMax(f64),
    ValueMin(f64),
    ValueMax(f64),
    Pattern(String),
    Enum(String),
}

fn usual_text(breaches: &[Breach]) -> String {
    let count = breaches.len();
    let texts: Vec<String> = breaches.iter().map(Breach::usual).collect();
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} validation error{plural} detected: {}", texts.join("; "))
}

fn ecr_text(breach: &Breach) -> String {
    let constraint = match &breach.constraint {
        Constraint::NotNull => "must not be null".to_owned(),
        Constraint::LengthMin(min) => format!("must have length greater than or equal to {min}"),
        Constraint::LengthMax(max) => format!("must have length less than or equal to {max}"),
        Constraint::ValueMin(min) => format!("must have value greater than or equal to {min}"),
        Constraint::ValueMax(max) => format!("must have value less than or equal to {max}"),
        Constraint::Pattern(text) => format!("must satisfy regular expression '{text}'"),
        Constraint::Enum(values) => format!("must satisfy enum value set: {values}"),
    };
    format!("Invalid parameter at '{}' failed to satisfy constraint: '{constraint}'", breach.path)
}

impl Breach {
    fn usual(&self) -> String {
        let value = self.value.as_ref().map_or_else(|| "null".to_owned(), |value| format!("'{value}'"));
        let constraint = match &self.constraint {
            Constraint::NotNull => "not be null".to_owned(),
            Constraint::LengthMin(min) => format!("have length greater than or equal to {min}"),
            Constraint::LengthMax(max) => format!("have length less than or equal to {max}"),
            Constraint::ValueMin(min) => format!("have value greater than or equal to {min}"),
            Constraint::ValueMax(max) => format!("have value less than or equal to {max}"),
            Constraint::Pattern(text) => format!("satisfy regular expression pattern: {text}"),
            Constraint::Enum(values) => format!("satisfy enum value set: {values}"),
        };
        format!("Value {value} at '{}' failed to satisfy constraint: Member must {constraint}", self.path)
    }
}

/// Checks the input and takes its nulls and unknown members out.
pub(crate) fn validate(model: &Model, input: Option<ShapeId>, value: &mut Value, policy: Policy) -> Result<(), Fault> {
    if value.is_null() {
        *value = Value::Object(serde_json::Map::new());
    }
    let Some(shape) = input else { return Ok(()) };
    let mut walk = Walk { model, path: Vec::new(), breaches: Vec::new() };
    walk.check(shape, value).map_err(|text| Fault::client("SerializationException", text))?;
    if walk.breaches.is_empty() { Ok(()) } else { Err(policy.fault(&walk.breaches)) }
}

/// A step of a path; only written out when something is wrong.
#[derive(Clone, Copy)]
enum Step<'a> {
    Member(&'a str),
    Item(usize),
    Key(usize),
    Value(usize),
}

struct Walk<'a> {
    model: &'a Model,
    path: Vec<Step<'a>>,
    breaches: Vec<Breach>,
}

impl<'a> Walk<'a> {
    fn check(&mut self, id: ShapeId, value: &mut Value) -> Result<(), String> {
        let shape = self.model.shape(id);
        match &shape.kind {
            Kind::Structure(members) => self.structure(members, value),
            Kind::Document => Ok(()),
            Kind::List { item, .. } => self.list(shape, item.shape, value),
            Kind::Map { key, value: target, .. } => self.map(shape, key.shape, target.shape, value),
            Kind::String { .. } => self.string(shape, value),
            Kind::Integer | Kind::Long => self.whole(shape, value),
            Kind::Double => self.number(shape, value),
            Kind::Timestamp => expect(value, value.is_number(), "Timestamp"),
            Kind::Boolean => expect(value, value.is_boolean(), "Boolean"),
            Kind::Blob => self.blob(shape, value),
        }
    }

    fn structure(&mut self, members: &'a [super::Member], value: &mut Value) -> Result<(), String> {
        let object = match value {
            Value::Object(object) => object,
            other => return Err(misplaced(other, "structure")),
        };
        object.retain(|name, value| !value.is_null() && members.iter().any(|member| member.name == *name));
        for member in members {
            self.path.push(Step::Member(&member.name));
            match object.get_mut(&member.name) {
                Some(value) => self.check(member.target.shape, value)?,
                None if member.required => self.breach(None, Constraint::NotNull),
                None => {}
            }
            self.path.pop();
        }
        Ok(())
    }

    fn list(&mut self, shape: &Shape, item: ShapeId, value: &mut Value) -> Result<(), String> {
        let Value::Array(items) = value else { return Err(misplaced(value, "list")) };
        for (index, value) in items.iter_mut().enumerate() {
            self.path.push(Step::Item(index + 1));
            if value.is_null() {
                self.breach(None, Constraint::NotNull);
            } else {
                self.check(item, value)?;
            }
            self.path.pop();
        }
        let length = items.len();
        self.length(shape, length, value);
        Ok(())
    }

    fn map(&mut self, shape: &Shape, key: ShapeId, target: ShapeId, value: &mut Value) -> Result<(), String> {
        let Value::Object(entries) = value else { return Err(misplaced(value, "map")) };
        entries.retain(|_, value| !value.is_null());
        for (index, (name, value)) in entries.iter_mut().enumerate() {
            self.path.push(Step::Key(index + 1));
            self.text(self.model.shape(key), name);
            self.path.pop();
            self.path.push(Step::Value(index + 1));
            self.check(target, value)?;
            self.path.pop();
        }
        let length = entries.len();
        self.length(shape, length, value);
        Ok(())
    }

    fn string(&mut self, shape: &Shape, value: &Value) -> Result<(), String> {
        let Value::String(text) = value else { return Err(converted(value, "String")) };
        self.text(shape, text);
        Ok(())
    }

    fn text(&mut self, shape: &Shape, text: &str) {
        let Kind::String { values, pattern } = &shape.kind else { return };
        if !values.is_empty() && !values.iter().any(|value| value == text) {
            self.breach(Some(quoted(text)), Constraint::Enum(format!("[{}]", values.join(", "))));
        }
        if shape.min.is_some() || shape.max.is_some() {
            #[allow(clippy::cast_precision_loss, reason = "lengths of bodies of a megabyte")]
            let length = text.chars().count() as f64;
            self.limits(shape, length, || quoted(text));
        }
        if let Some(pattern) = pattern
            && !pattern.accepts(text)
        {
            self.breach(Some(quoted(text)), Constraint::Pattern(pattern.text.clone()));
        }
    }

    fn blob(&mut self, shape: &Shape, value: &Value) -> Result<(), String> {
        use base64::Engine;
        let Value::String(text) = value else { return Err(converted(value, "Blob")) };
        let bytes = base64::engine::general_purpose::STANDARD.decode(text);
        let bytes = bytes.map_err(|_| "Invalid base64 data".to_owned())?;
        let length = bytes.len();
        self.length(shape, length, value);
        Ok(())
    }

    fn whole(&mut self, shape: &Shape, value: &mut Value) -> Result<(), String> {
        let (name, smallest, largest) = match shape.kind {
            Kind::Integer => ("Integer", i64::from(i32::MIN), i64::from(i32::MAX)),
            _ => ("Long", i64::MIN, i64::MAX),
        };
        let Value::Number(number) = &*value else { return Err(converted(value, name)) };
        let whole = match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole,
            // 1.0 and 1e3 are whole numbers too; AWS cuts fractions off.
            #[allow(clippy::cast_possible_truncation, reason = "within the range just checked")]
            (None, Some(float)) if float.abs() < 9.0e18 => float.trunc() as i64,
            _ => return Err(format!("NUMBER_VALUE cannot be converted to {name}")),
        };
        if !(smallest..=largest).contains(&whole) {
            return Err(format!("NUMBER_VALUE cannot be converted to {name}"));
        }
        if !number.is_i64() {
            *value = Value::from(whole);
        }
        #[allow(clippy::cast_precision_loss, reason = "limits of the models are small")]
        self.range(shape, whole as f64, value);
        Ok(())
    }

    fn number(&mut self, shape: &Shape, value: &Value) -> Result<(), String> {
        let Some(number) = value.as_f64() else { return Err(converted(value, "Double")) };
        self.range(shape, number, value);
        Ok(())
    }

    fn range(&mut self, shape: &Shape, number: f64, value: &Value) {
        if let Some(min) = shape.min.filter(|min| number < *min) {
            self.breach(Some(value.to_string()), Constraint::ValueMin(min));
        }
        if let Some(max) = shape.max.filter(|max| number > *max) {
            self.breach(Some(value.to_string()), Constraint::ValueMax(max));
        }
    }

    fn length(&mut self, shape: &Shape, length: usize, value: &Value) {
        #[allow(clippy::cast_precision_loss, reason = "lengths of bodies of a megabyte")]
        self.limits(shape, length as f64, || quoted(&value.to_string()));
    }

    fn limits(&mut self, shape: &Shape, length: f64, value: impl Fn() -> String) {
        if let Some(min) = shape.min.filter(|min| length < *min) {
            self.breach(Some(value()), Constraint::LengthMin(min));
        }
        if let Some(max) = shape.max.filter(|max| length > *max) {
            self.breach(Some(value()), Constraint::LengthMax(max));
        }
    }

    fn breach(&mut self, value: Option<String>, constraint: Constraint) {
        if self.breaches.len() < BREACHES_MAX {
            let path = self.written_path();
            self.breaches.push(Breach { path, value, constraint });
        }
    }

    /// As in `tags.1.member.key`.
    fn written_path(&self) -> String {
        let steps = self.path.iter().map(|step| match step {
            Step::Member(name) => (*name).to_owned(),
            Step::Item(number) => format!("{number}.member"),
            Step::Key(number) => format!("{number}.key"),
            Step::Value(number) => format!("{number}.value"),
        });
        steps.collect::<Vec<_>>().join(".")
    }
}

fn quoted(text: &str) -> String {
    text.chars().take(VALUE_CHARS_MAX).collect()
}

fn expect(value: &Value, fits: bool, wanted: &str) -> Result<(), String> {
    if fits { Ok(()) } else { Err(converted(value, wanted)) }
}

/// A structure, list or map was wanted.
fn misplaced(value: &Value, wanted: &str) -> String {
    match value {
        Value::Object(_) => "Start of structure or map found where not expected.".to_owned(),
        Value::Array(_) => "Start of list found where not expected".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => match wanted {
            "list" => "Expected list or null".to_owned(),
            "map" => "Expected map or null".to_owned(),
            _ => "Expected structure or null".to_owned(),
        },
    }
}

/// A simple value was wanted.
fn converted(value: &Value, wanted: &str) -> String {
    let found = match value {
        Value::Object(_) | Value::Array(_) => return misplaced(value, wanted),
        Value::Null => "NULL_VALUE",
        Value::Bool(true) => "TRUE_VALUE",
        Value::Bool(false) => "FALSE_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::String(_) => "STRING_VALUE",
    };
    format!("{found} cannot be converted to {wanted}")
}
