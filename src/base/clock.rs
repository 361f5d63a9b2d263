//! Time as a value. Everything that needs "now" takes a [`Clock`], so that tests and simulation can turn it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment, in milliseconds since the Unix epoch. Stored and compared as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Seconds since the epoch with milliseconds as the fraction: the form of the AWS JSON protocols.
    #[must_use]
    pub fn epoch_seconds(self) -> f64 {
        // A millisecond count stays exact in a double for the next 285,000 years.
        #[allow(clippy::cast_precision_loss)]
        let millis = self.0 as f64;
        millis / 1000.0
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The moment `millis` later.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// RFC 3339 in UTC with milliseconds, as in `2026-11-22T21:17:20.000Z`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let format =
            time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
        self.date_time().format(format).expect("a date within years 0 to 9999 has this form")
    }

    /// As events of Amazon Inspector have it: `Wed Sep 04 16:55:38.411 UTC 2024`.
    #[must_use]
    pub fn long_date(self) -> String {
        let format = time::macros::format_description!(
            "[weekday repr:short] [month repr:short] [day] [hour]:[minute]:[second].[subsecond digits:3] UTC [year]"
        );
        self.date_time().format(format).expect("a date within years 0 to 9999 has this form")
    }

    /// Reads RFC 3339 with any offset; `None` when it is none.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let at = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
        i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok().map(Self)
    }

    /// The basic form that SigV4 and AWS headers use, as in `20261122T211720Z`.
    #[must_use]
    pub fn amz_date(self) -> String {
        let format = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
        self.date_time().format(format).expect("a date within years 0 to 9999 has this form")
    }

    fn date_time(self) -> time::OffsetDateTime {
        let nanos = i128::from(self.0) * 1_000_000;
        time::OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
    }
}

/// How far the host's clock may step back without being followed: corrections by NTP are smaller, and a clock that
/// somebody set back by more was wrong before.
const STEP_BACK_MAX_MILLIS: i64 = 60_000;

/// Where "now" comes from.
///
/// Holds: a small step back of the host's clock is not seen: "now" stands still until the host has caught up. A larger
/// one is followed; nothing may depend on the order of two moments alone (the store's revisions have the order).
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    /// The latest moment that was given out.
    System(Arc<AtomicI64>),
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The host's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System(Arc::new(AtomicI64::new(i64::MIN))))
    }

    /// A clock that stands still until [`Clock::advance`] moves it.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(start.0))))
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System(latest) => {
                #[allow(clippy::disallowed_methods, reason = "the one place that reads the host's clock")]
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(steady(latest, i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
            }
            Source::Manual(now) => Timestamp(now.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forward; a system clock does not move.
    pub fn advance(&self, millis: i64) {
        if let Source::Manual(now) = &self.0 {
            now.fetch_add(millis, Ordering::SeqCst);
        }
    }
}

/// The host's moment, or the latest one given out when that is a little ahead.
fn steady(latest: &AtomicI64, host: i64) -> i64 {
    let seen = latest.load(Ordering::SeqCst);
    if seen > host && seen - host <= STEP_BACK_MAX_MILLIS {
        return seen;
    }
    // Two threads may overtake each other by the time between their readings.
    latest.store(host, Ordering::SeqCst);
    host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_prints_as_rfc3339_and_as_amz_date() {
        let at = Timestamp(1_795_382_240_123);
        assert_eq!(at.rfc3339(), "2026-11-22T21:17:20.123Z");
        assert_eq!(at.amz_date(), "20261122T211720Z");
    }

    #[test]
    fn a_small_step_back_is_not_seen_and_a_large_one_is_followed() {
        let latest = AtomicI64::new(i64::MIN);
        let host = [1_000_000, 1_000_500, 999_000, 1_000_400, 1_000_501, 900_000, 900_001, 5_000_000];
        let seen = host.map(|host| steady(&latest, host));
        assert_eq!(seen, [1_000_000, 1_000_500, 1_000_500, 1_000_500, 1_000_501, 900_000, 900_001, 5_000_000]);
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(Timestamp(5));
        assert_eq!(clock.now(), Timestamp(5));
        clock.advance(10);
        assert_eq!(clock.now(), Timestamp(15));
    }
}
