//! Schedule expressions: `rate(5 minutes)` and `cron(0 12 * * ? *)`, in UTC.
//!
//! In: text. Out: a [`Schedule`], and the next time after a moment.
//!
//! Holds: times of a cron expression are whole minutes that its six fields all accept; those of a rate are whole multiples of
//! it after the moment from which the rule counts.

use std::collections::BTreeSet;

use cove_base::Timestamp;
use time::{Date, Month, OffsetDateTime, Weekday};

const MINUTE_MILLIS: i64 = 60_000;
/// EventBridge's years.
const YEARS: std::ops::RangeInclusive<u16> = 1970..=2199;

/// A checked schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    Rate { minutes: i64 },
    Cron(Box<Cron>),
}

/// The six fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: BTreeSet<u16>,
    hours: BTreeSet<u16>,
    days: Days,
    months: BTreeSet<u16>,
    years: BTreeSet<u16>,
}

/// Which days of a month.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Days {
    OfMonth(BTreeSet<u16>),
    Last,
    /// The weekday nearest to that day, in the same month.
    NearestWeekday(u16),
    LastWeekday,
    /// From 1, which is Sunday.
    OfWeek(BTreeSet<u16>),
    LastOfWeek(u16),
    /// The day of the week, and which of them in the month.
    NthOfWeek(u16, u16),
}

/// The expression is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Parameter ScheduleExpression is not valid.")]
pub struct BadSchedule;

impl Schedule {
    /// Reads an expression.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, BadSchedule> {
        let inside = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        match (inside("rate"), inside("cron")) {
            (Some(rate), _) => rate_of(rate).ok_or(BadSchedule),
            (_, Some(cron)) => cron_of(cron).map(|cron| Self::Cron(Box::new(cron))).ok_or(BadSchedule),
            (None, None) => Err(BadSchedule),
        }
    }

    /// The first time after `after`, for a rule that counts from `counts_from`. `None`: never again.
    #[must_use]
    pub fn next(&self, counts_from: Timestamp, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Rate { minutes } => {
                let step = minutes * MINUTE_MILLIS;
                let passed = (after.millis() - counts_from.millis()).div_euclid(step).max(0);
                Some(counts_from.plus_millis((passed + 1) * step))
            }
            Self::Cron(cron) => cron.next(after),
        }
    }
}

fn rate_of(text: &str) -> Option<Schedule> {
    let (count, unit) = text.split_once(' ')?;
    let count: i64 = count.parse().ok().filter(|count| *count > 0)?;
    let (unit, is_plural) = unit.strip_suffix('s').map_or((unit, false), |unit| (unit, true));
    if is_plural != (count > 1) {
        return None;
    }
    let unit = match unit {
        "minute" => 1,
        "hour" => 60,
        "day" => 24 * 60,
        _ => return None,
    };
    // A century is more than anybody waits.
    count.checked_mul(unit).filter(|minutes| *minutes <= 100 * 366 * 24 * 60).map(|minutes| Schedule::Rate { minutes })
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

fn cron_of(text: &str) -> Option<Cron> {
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let [minutes, hours, of_month, months, of_week, years] = fields.as_slice() else { return None };
    // One of the two says which days, the other must not.
    let days = match (*of_month, *of_week) {
        (day, "?") if day != "?" => days_of_month(day)?,
        ("?", day) => days_of_week(day)?,
        _ => return None,
    };
    Some(Cron {
        minutes: values(minutes, 0, 59, &[])?,
        hours: values(hours, 0, 23, &[])?,
        days,
        months: values(months, 1, 12, &MONTHS)?,
        years: values(years, *YEARS.start(), *YEARS.end(), &[])?,
    })
}

fn days_of_month(text: &str) -> Option<Days> {
    match text {
        "L" => Some(Days::Last),
        "LW" => Some(Days::LastWeekday),
        text => match text.strip_suffix('W') {
            Some(day) => number(day, 1, 31, &[]).map(Days::NearestWeekday),
            None => values(text, 1, 31, &[]).map(Days::OfMonth),
        },
    }
}

fn days_of_week(text: &str) -> Option<Days> {
    if let Some((day, nth)) = text.split_once('#') {
        return Some(Days::NthOfWeek(number(day, 1, 7, &WEEKDAYS)?, number(nth, 1, 5, &[])?));
    }
    match text.strip_suffix('L') {
        // Alone it is Saturday, the last day of the week.
        Some("") => Some(Days::OfWeek([7].into())),
        Some(day) => number(day, 1, 7, &WEEKDAYS).map(Days::LastOfWeek),
        None => values(text, 1, 7, &WEEKDAYS).map(Days::OfWeek),
    }
}

/// A list of values, ranges and steps; names count from `low`.
fn values(text: &str, low: u16, high: u16, names: &[&str]) -> Option<BTreeSet<u16>> {
    let mut all = BTreeSet::new();
    for part in text.split(',') {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let step = step.map_or(Some(1), |step| step.parse::<u16>().ok().filter(|step| *step > 0));
        let step = usize::from(step?);
        let is_stepped = part.contains('/');
        if range == "*" {
            all.extend((low..=high).step_by(step));
        } else if let Some((first, last)) = range.split_once('-') {
            let (first, last) = (number(first, low, high, names)?, number(last, low, high, names)?);
            if first <= last {
                all.extend((first..=last).step_by(step));
            } else {
                // As FRI-MON: over the end.
                all.extend((first..=high).chain(low..=last).step_by(step));
            }
        } else {
            let first = number(range, low, high, names)?;
            let last = if is_stepped { high } else { first };
            all.extend((first..=last).step_by(step));
        }
    }
    Some(all)
}

fn number(text: &str, low: u16, high: u16, names: &[&str]) -> Option<u16> {
    let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
    let value = match named {
        Some(place) => low + u16::try_from(place).ok()?,
        None => text.parse().ok()?,
    };
    (low..=high).contains(&value).then_some(value)
}

impl Cron {
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let minute = after.millis().div_euclid(MINUTE_MILLIS) + 1;
        let from = OffsetDateTime::from_unix_timestamp(minute * 60).ok()?;
        let mut date = from.date();
        let (mut first_hour, mut first_minute) = (u16::from(from.hour()), u16::from(from.minute()));
        loop {
            let year = u16::try_from(date.year()).ok().filter(|year| year <= YEARS.end())?;
            if !self.years.contains(&year) {
                let next = *self.years.range(year + 1..).next()?;
                date = Date::from_calendar_date(i32::from(next), Month::January, 1).ok()?;
                (first_hour, first_minute) = (0, 0);
                continue;
            }
            if self.months.contains(&u16::from(u8::from(date.month()))) && self.days.have(date) {
                let time = self.time_of_day(first_hour, first_minute);
                if let Some((hour, minute)) = time {
                    let at = date.with_hms(u8::try_from(hour).ok()?, u8::try_from(minute).ok()?, 0).ok()?;
                    return Some(Timestamp(at.assume_utc().unix_timestamp() * 1000));
                }
            }
            date = date.next_day()?;
            (first_hour, first_minute) = (0, 0);
        }
    }

    fn time_of_day(&self, first_hour: u16, first_minute: u16) -> Option<(u16, u16)> {
        let hour = *self.hours.range(first_hour..).next()?;
        let from = if hour == first_hour { first_minute } else { 0 };
        match self.minutes.range(from..).next() {
            Some(minute) => Some((hour, *minute)),
            None => Some((*self.hours.range(hour + 1..).next()?, *self.minutes.first()?)),
        }
    }
}

impl Days {
    fn have(&self, date: Date) -> bool {
        let day = u16::from(date.day());
        let length = u16::from(date.month().length(date.year()));
        let of_week = u16::from(date.weekday().number_from_sunday());
        match self {
            Self::OfMonth(days) => days.contains(&day),
            Self::Last => day == length,
            Self::NearestWeekday(wanted) => *wanted <= length && nearest_weekday(date, *wanted) == day,
            Self::LastWeekday => nearest_weekday(date, length) == day,
            Self::OfWeek(days) => days.contains(&of_week),
            Self::LastOfWeek(wanted) => of_week == *wanted && day + 7 > length,
            Self::NthOfWeek(wanted, nth) => of_week == *wanted && (day - 1) / 7 + 1 == *nth,
        }
    }
}

/// The weekday nearest to that day of the date's month, without leaving the month.
fn nearest_weekday(date: Date, wanted: u16) -> u16 {
    let length = u16::from(date.month().length(date.year()));
    let Some(day) = u8::try_from(wanted).ok().and_then(|day| date.replace_day(day).ok()) else { return wanted };
    match day.weekday() {
        Weekday::Saturday if wanted > 1 => wanted - 1,
        Weekday::Saturday => wanted + 2,
        Weekday::Sunday if wanted < length => wanted + 1,
        Weekday::Sunday => wanted - 2,
        Weekday::Monday | Weekday::Tuesday | Weekday::Wednesday | Weekday::Thursday | Weekday::Friday => wanted,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    fn at(moment: OffsetDateTime) -> Timestamp {
        Timestamp(moment.unix_timestamp() * 1000)
    }

    /// The next times after the start of 2026, which was a Thursday.
    fn times(text: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::parse(text).unwrap_or_else(|_| panic!("{text}"));
        let start = at(datetime!(2026-01-01 00:00:00 UTC));
        let mut out = Vec::new();
        let mut after = start;
        while let Some(next) = schedule.next(start, after).filter(|_| out.len() < count) {
            out.push(next.rfc3339()[..16].to_owned());
            after = next;
        }
        out
    }

    #[test]
    fn rates_count_from_the_rule() {
        assert_eq!(times("rate(5 minutes)", 2), ["2026-01-01T00:05", "2026-01-01T00:10"]);
        assert_eq!(times("rate(1 day)", 1), ["2026-01-02T00:00"]);
        let schedule = Schedule::parse("rate(1 hour)").unwrap();
        let late = at(datetime!(2026-01-01 05:30:00 UTC));
        assert_eq!(schedule.next(Timestamp(0), late), Some(at(datetime!(2026-01-01 06:00:00 UTC))));
    }

    #[test]
    fn cron_expressions_mean_what_awss_examples_say() {
        let cases: [(&str, &[&str]); 14] = [
            ("cron(0 10 * * ? *)", &["2026-01-01T10:00", "2026-01-02T10:00"]),
            ("cron(15 12 * * ? *)", &["2026-01-01T12:15"]),
            ("cron(0 18 ? * MON-FRI *)", &["2026-01-01T18:00", "2026-01-02T18:00", "2026-01-05T18:00"]),
            ("cron(0 8 1 * ? *)", &["2026-01-01T08:00", "2026-02-01T08:00"]),
            ("cron(0/15 * * * ? *)", &["2026-01-01T00:15", "2026-01-01T00:30", "2026-01-01T00:45", "2026-01-01T01:00"]),
            ("cron(0/5 8-17 ? * MON-FRI *)", &["2026-01-01T08:00", "2026-01-01T08:05"]),
            ("cron(0 9 ? * 2#1 *)", &["2026-01-05T09:00", "2026-02-02T09:00"]),
            ("cron(15 10 ? * 6L 2026-2027)", &["2026-01-30T10:15", "2026-02-27T10:15"]),
            ("cron(0 0 L * ? *)", &["2026-01-31T00:00", "2026-02-28T00:00"]),
            ("cron(0 0 1W * ? *)", &["2026-02-02T00:00", "2026-03-02T00:00"]),
            ("cron(0 0 LW * ? *)", &["2026-01-30T00:00", "2026-02-27T00:00"]),
            ("cron(0 0 29 2 ? *)", &["2028-02-29T00:00", "2032-02-29T00:00"]),
            (
                "cron(0 0 ? * FRI-SUN *)",
                &["2026-01-02T00:00", "2026-01-03T00:00", "2026-01-04T00:00", "2026-01-09T00:00"],
            ),
            ("cron(30 23 31 DEC ? 2025,2027)", &["2027-12-31T23:30"]),
        ];
        for (text, expected) in cases {
            assert_eq!(times(text, expected.len()), expected, "{text}");
        }
        assert_eq!(times("cron(0 0 1 1 ? 2020)", 1), Vec::<String>::new(), "never again");
        assert_eq!(times("cron(0 0 30 2 ? *)", 1), Vec::<String>::new(), "there is no such day");
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for wrong in [
            "",
            "rate(5)",
            "rate(0 minutes)",
            "rate(1 minutes)",
            "rate(2 minute)",
            "rate(-1 day)",
            "rate(5 weeks)",
            "cron(* * * * *)",
            "cron(* * * * * *)",
            "cron(60 * * * ? *)",
            "cron(0 10 ? * ? *)",
            "cron(0 0 32 * ? *)",
            "cron(0 0 ? * MON#6 *)",
            "cron(0/0 * * * ? *)",
            "cron(0 0 * * ? 1960)",
            "at(2026-01-01T00:00:00)",
        ] {
            assert_eq!(Schedule::parse(wrong), Err(BadSchedule), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn the_next_time_is_later_and_a_whole_minute(
            minute in 0u16..60, hour in 0u16..24, day in 1u16..29, after in 0i64..4_000_000_000,
        ) {
            let schedule = Schedule::parse(&format!("cron({minute} {hour} {day} * ? *)")).unwrap();
            let after = Timestamp(after * 1000 + 123);
            let next = schedule.next(Timestamp(0), after).unwrap();
            prop_assert!(next > after && next.millis() % 60_000 == 0);
            prop_assert!(next.millis() - after.millis() <= 32 * 86_400_000);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(rate|cron)\\([0-9A-Z*?/,#L -]{0,30}\\)") {
            if let Ok(schedule) = Schedule::parse(&text) {
                let _ = schedule.next(Timestamp(0), Timestamp(1_700_000_000_000));
            }
        }
    }
}
