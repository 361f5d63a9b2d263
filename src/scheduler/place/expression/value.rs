//! What subjects are compared with: texts, numbers, versions, dates.

use std::cmp::Ordering;

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime, PrimitiveDateTime};

/// Parts of a version number: three are usual.
const VERSION_PARTS_MAX: usize = 8;

/// How the instance's value has to stand to the expression's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Relation {
    pub(super) fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
        }
    }
}

/// The argument of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    /// From a number to another: a date stands for all the time that it names, in milliseconds.
    Numbers(i64, i64),
    Version(Vec<u64>),
}

impl Value {
    pub(super) fn number(text: &str) -> Option<Self> {
        text.parse::<u32>().ok().map(|number| Self::Numbers(number.into(), number.into()))
    }

    pub(super) fn version(text: &str) -> Option<Self> {
        version(text).map(Self::Version)
    }

    /// The forms that ECS's guide lists: to the second with `+00:00`, with `Z` or with neither, to the minute, a day.
    pub(super) fn date(text: &str) -> Option<Self> {
        let second = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
        let minute = format_description!("[year]-[month]-[day]T[hour]:[minute]");
        let day = format_description!("[year]-[month]-[day]");
        let to = |at: OffsetDateTime, length: Duration| {
            let millis = |at: OffsetDateTime| i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok();
            let first = millis(at)?;
            Some(Self::Numbers(first, first.checked_add(i64::try_from(length.whole_milliseconds()).ok()? - 1)?))
        };
        if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
            return to(at, Duration::SECOND);
        }
        if let Ok(at) = PrimitiveDateTime::parse(text, second) {
            return to(at.assume_utc(), Duration::SECOND);
        }
        if let Ok(at) = PrimitiveDateTime::parse(text, minute) {
            return to(at.assume_utc(), Duration::MINUTE);
        }
        to(Date::parse(text, day).ok()?.midnight().assume_utc(), Duration::DAY)
    }

    pub(super) fn compare_number(&self, own: i64) -> Option<Ordering> {
        match self {
            Self::Numbers(first, _) if own < *first => Some(Ordering::Less),
            Self::Numbers(_, last) if own > *last => Some(Ordering::Greater),
            Self::Numbers(..) => Some(Ordering::Equal),
            Self::Text(_) | Self::Version(_) => None,
        }
    }

    pub(super) fn compare_version(&self, own: &str) -> Option<Ordering> {
        match self {
            Self::Version(wanted) => Some(version(own)?.cmp(wanted)),
            Self::Text(_) | Self::Numbers(..) => None,
        }
    }

    /// As numbers where both are, else as texts.
    pub(super) fn compare_text(&self, own: &str) -> Ordering {
        match self {
            Self::Text(wanted) => match (own.parse::<i64>(), wanted.parse::<i64>()) {
                (Ok(own_number), Ok(wanted_number)) => own_number.cmp(&wanted_number).then_with(|| own.cmp(wanted)),
                (Ok(_) | Err(_), _) => own.cmp(wanted),
            },
            // The parser makes texts of what is compared with texts.
            Self::Numbers(..) | Self::Version(_) => Ordering::Less,
        }
    }
}

fn version(text: &str) -> Option<Vec<u64>> {
    let mut parts = text.strip_prefix('v').unwrap_or(text).split('.').map(|part| part.parse::<u64>().ok());
    let numbers: Vec<u64> = parts.by_ref().take(VERSION_PARTS_MAX).collect::<Option<_>>()?;
    parts.next().is_none().then_some(numbers)
}
