//! One value of a pattern's list: a value to be equal to, or a filter.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::BadPattern;
use super::text::TextFilter;

/// What a value of an event must be like.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    Equals(Value),
    Text(TextFilter),
    /// None of these values.
    NoneOf(Vec<Value>),
    /// A text of another kind, or none.
    NoText(Vec<TextFilter>),
    Numeric(Vec<(Operator, f64)>),
    Cidr {
        address: IpAddr,
        bits: u8,
    },
    Exists(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Filter {
    pub(super) fn parse(value: &Value) -> Result<Self, BadPattern> {
        match value {
            Value::Object(filter) => Self::of_object(filter),
            Value::Array(_) => Err(BadPattern::new("an array may not stand in an array")),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(Self::Equals(value.clone())),
        }
    }

    fn of_object(filter: &Map<String, Value>) -> Result<Self, BadPattern> {
        let mut members = filter.iter();
        let (Some((name, value)), None) = (members.next(), members.next()) else {
            return Err(BadPattern::new("Only one key allowed in match expression"));
        };
        match name.as_str() {
            "exists" => value
                .as_bool()
                .map(Self::Exists)
                .ok_or_else(|| BadPattern::new("exists match pattern must be true or false")),
            "numeric" => numeric(value).map(Self::Numeric),
            "cidr" => cidr(value),
            "anything-but" => anything_but(value),
            "prefix" | "suffix" | "equals-ignore-case" | "wildcard" => TextFilter::parse(name, value).map(Self::Text),
            other => Err(BadPattern::new(format!("Unrecognized match type {other}"))),
        }
    }

    /// `None`: the event has no such field. An array matches when one of its elements does.
    pub(super) fn matches(&self, value: Option<&Value>) -> bool {
        match (self, value) {
            // Only what has no fields of its own counts as there.
            (Self::Exists(wanted), value) => {
                *wanted
                    == value
                        .is_some_and(|value| !value.is_object() && value.as_array().is_none_or(|all| !all.is_empty()))
            }
            (_, None) => false,
            (_, Some(Value::Array(items))) => items.iter().any(|item| self.matches_one(item)),
            (_, Some(value)) => self.matches_one(value),
        }
    }

    fn matches_one(&self, value: &Value) -> bool {
        match self {
            Self::Exists(wanted) => *wanted,
            Self::Equals(wanted) => value == wanted,
            Self::Text(filter) => value.as_str().is_some_and(|text| filter.matches(text)),
            Self::NoneOf(values) => !value.is_object() && !values.contains(value),
            Self::NoText(filters) => {
                !value.is_object()
                    && value.as_str().is_none_or(|text| !filters.iter().any(|filter| filter.matches(text)))
            }
            Self::Numeric(bounds) => value
                .as_f64()
                .filter(|_| value.is_number())
                .is_some_and(|number| bounds.iter().all(|(operator, bound)| operator.holds(number, *bound))),
            Self::Cidr { address, bits } => {
                let other = value.as_str().and_then(|text| text.parse().ok());
                other.is_some_and(|other| is_within(*address, *bits, other))
            }
        }
    }
}

impl Operator {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "=" => Self::Equal,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    #[allow(clippy::float_cmp, reason = "the pattern asks for this very number")]
    fn holds(self, number: f64, bound: f64) -> bool {
        match self {
            Self::Equal => number == bound,
            Self::Less => number < bound,
            Self::LessOrEqual => number <= bound,
            Self::Greater => number > bound,
            Self::GreaterOrEqual => number >= bound,
        }
    }
}

fn anything_but(value: &Value) -> Result<Filter, BadPattern> {
    let wrong = || BadPattern::new("anything-but takes a value, a list of values of one kind, or a text filter");
    let plain = |value: &Value| value.is_string() || value.is_number();
    match value {
        Value::Object(filter) => {
            let mut members = filter.iter();
            let (Some((name, inner)), None) = (members.next(), members.next()) else { return Err(wrong()) };
            let one = |value: &Value| TextFilter::parse(name, value);
            let filters = match inner {
                Value::Array(all) if !all.is_empty() => all.iter().map(one).collect::<Result<_, _>>()?,
                Value::Array(_) => return Err(wrong()),
                value => vec![one(value)?],
            };
            Ok(Filter::NoText(filters))
        }
        Value::Array(all) if !all.is_empty() && all.iter().all(plain) => Ok(Filter::NoneOf(all.clone())),
        value if plain(value) || value.is_boolean() || value.is_null() => Ok(Filter::NoneOf(vec![value.clone()])),
        _ => Err(wrong()),
    }
}

/// One bound, or a lower and an upper one.
fn numeric(value: &Value) -> Result<Vec<(Operator, f64)>, BadPattern> {
    let wrong = || BadPattern::new("numeric takes one or two pairs of an operator and a number, the lower bound first");
    let parts = value.as_array().ok_or_else(wrong)?;
    if parts.len() % 2 != 0 {
        return Err(wrong());
    }
    let pair = |pair: &[Value]| Some((Operator::parse(pair[0].as_str()?)?, pair[1].as_f64()?));
    let bounds: Vec<_> = parts.chunks(2).map(pair).collect::<Option<_>>().ok_or_else(wrong)?;
    match bounds.as_slice() {
        [_] => Ok(bounds),
        [(Operator::Greater | Operator::GreaterOrEqual, low), (Operator::Less | Operator::LessOrEqual, high)]
            if low < high =>
        {
            Ok(bounds)
        }
        _ => Err(wrong()),
    }
}

fn cidr(value: &Value) -> Result<Filter, BadPattern> {
    let wrong = || BadPattern::new("Malformed CIDR, one '/' required");
    let (address, bits) = value.as_str().and_then(|text| text.split_once('/')).ok_or_else(wrong)?;
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let bits: u8 = bits.parse().map_err(|_| wrong())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    if bits <= longest { Ok(Filter::Cidr { address, bits }) } else { Err(wrong()) }
}

fn is_within(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let shift = 32 - u32::from(bits);
            u32::from(network).checked_shr(shift) == u32::from(address).checked_shr(shift)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let shift = 128 - u32::from(bits);
            u128::from(network).checked_shr(shift) == u128::from(address).checked_shr(shift)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}
