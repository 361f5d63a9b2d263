//! Data points of every metric, in memory; [`crate::journal`] keeps them over restarts.
//!
//! In: values with their moment, resolution and unit. Out: [`Points`] by period.
//!
//! Holds: at most [`SERIES_MAX`] series, [`SIZE_MAX`] values and [`NOTES_BYTES_MAX`] of notes; what is older than [`KEPT_SECS`] goes. A metric of one
//! tenant is never seen by another.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cove_base::Timestamp;
use cove_model::alarm::Metric;
use cove_model::arn::Tenant;
use tokio::sync::Notify;

use crate::elsewhere::Heard;
use crate::journal::{Note, NoteRead};
use crate::measure::Usage;
use crate::points::Points;

/// As far as the longest evaluation of an alarm reaches back, which is one day, and a bit for graphs.
const KEPT_SECS: i64 = 27 * 3600;
/// Metrics times units: a hundred services have a few hundred.
const SERIES_MAX: usize = 10_000;
/// Values of all series together; each costs about 60 bytes.
const SIZE_MAX: usize = 400_000;
/// Notes that wait to be written. A disk that does not answer must not fill the memory; what is noted beyond is written with
/// everything else, later.
const NOTES_BYTES_MAX: usize = 16 << 20;
/// CloudWatch's usual resolution.
const MINUTE_SECS: i64 = 60;

/// The data points. Clones share them.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Shared>);

#[derive(Default)]
struct Shared {
    book: Mutex<Book>,
    noted: Notify,
}

#[derive(Default)]
struct Book {
    /// Shared with who writes them all.
    series: BTreeMap<(Tenant, Metric, String), Arc<Series>>,
    size: usize,
    elsewhere: Heard,
    /// Lines for the journal, where there is one.
    notes: Option<Vec<u8>>,
}

/// The points of a metric in one unit, by the second at which their period begins.
#[derive(Clone, Default)]
struct Series {
    points: BTreeMap<i64, Points>,
    latest: i64,
}

/// No room for another series; those that are there go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// What is asked of a metric.
#[derive(Debug, Clone, Copy)]
pub struct Data<'a> {
    pub tenant: &'a Tenant,
    pub metric: &'a Metric,
    /// `None`: any.
    pub unit: Option<&'a str>,
    pub period_secs: i64,
    /// The first moment that counts, and the first that does not.
    pub from_secs: i64,
    pub to_secs: i64,
}

impl Metrics {
    /// Adds what was seen at a moment. `resolution_secs` is 1 or 60.
    ///
    /// # Errors
    /// When it would be a new series and there are too many.
    pub fn put(
        &self,
        tenant: &Tenant,
        metric: &Metric,
        unit: &str,
        (at, resolution_secs): (Timestamp, i64),
        points: &Points,
    ) -> Result<(), Full> {
        let second = at.millis().div_euclid(1000);
        let begins = second - second.rem_euclid(resolution_secs.clamp(1, MINUTE_SECS));
        let mut book = self.book();
        book.add((tenant.clone(), metric.clone(), unit.to_owned()), begins, points)?;
        if let Some(notes) = book.notes.as_mut().filter(|notes| notes.len() < NOTES_BYTES_MAX) {
            Note { tenant, metric, unit, second: begins, points }
                .write(notes)
                .expect("memory takes whatever is written");
            self.0.noted.notify_one();
        }
        Ok(())
    }

    /// Takes what the journal says, without noting it again. What is too much is not taken.
    pub(crate) fn remember(&self, note: NoteRead) {
        let _ = self.book().add((note.tenant, note.metric, note.unit), note.second, &note.points);
    }

    /// Begins to note what comes.
    pub(crate) fn take_notes(&self) {
        self.book().notes = Some(Vec::new());
    }

    /// Returns when something is noted.
    pub(crate) async fn noted(&self) {
        self.0.noted.notified().await;
    }

    /// What was noted since the last time.
    pub(crate) fn notes(&self) -> Vec<u8> {
        self.book().notes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// All that is known, and what was noted since the last time, which is among it.
    pub(crate) fn all(&self) -> (All, Vec<u8>) {
        let mut book = self.book();
        let notes = book.notes.as_mut().map(std::mem::take).unwrap_or_default();
        (All(book.series.clone()), notes)
    }

    /// Takes what the agent of another host measured of a task: the average since it last did, and memory.
    pub fn hear(&self, task_id: &str, vcpus: f64, memory_bytes: u64, now: Timestamp) {
        self.book().elsewhere.hear(task_id, vcpus, memory_bytes, now);
    }

    /// What such a task has used so far.
    pub(crate) fn heard(&self, task_id: &str) -> Option<Usage> {
        self.book().elsewhere.of(task_id)
    }

    /// Forgets what is too old, and the oldest when there is too much.
    pub fn trim(&self, now: Timestamp) {
        let mut book = self.book();
        book.elsewhere.trim(now);
        let mut oldest = now.millis() / 1000 - KEPT_SECS;
        book.forget_before(oldest);
        // Each round halves what is kept; after a day's worth of rounds nothing is left.
        while book.size > SIZE_MAX {
            oldest += (now.millis() / 1000 - oldest) / 2 + 1;
            book.forget_before(oldest);
        }
    }

    /// Points by the second at which their period begins, oldest first, each with its unit.
    #[must_use]
    pub fn data(&self, wish: Data<'_>) -> Vec<(i64, String, Points)> {
        let book = self.book();
        let mut out = Vec::new();
        let first = (wish.tenant.clone(), wish.metric.clone(), String::new());
        let of_metric = book
            .series
            .range(first..)
            .take_while(|((tenant, metric, _), _)| tenant == wish.tenant && metric == wish.metric);
        for ((_, _, unit), series) in
            of_metric.filter(|((_, _, unit), _)| wish.unit.is_none_or(|wanted| wanted == unit))
        {
            let mut periods: BTreeMap<i64, Points> = BTreeMap::new();
            for (second, points) in series.points.range(wish.from_secs..wish.to_secs) {
                let begins = second - second.rem_euclid(wish.period_secs);
                periods.entry(begins).and_modify(|there| there.merge(points)).or_insert_with(|| points.clone());
            }
            out.extend(periods.into_iter().map(|(begins, points)| (begins, unit.clone(), points)));
        }
        out.sort_by_key(|(second, ..)| *second);
        out
    }

    /// The tenant's metrics that have data, and when the newest period of each begins, in seconds.
    #[must_use]
    pub fn list(&self, tenant: &Tenant) -> BTreeMap<Metric, i64> {
        let book = self.book();
        let mut out: BTreeMap<Metric, i64> = BTreeMap::new();
        for ((_, metric, _), series) in book.series.iter().filter(|((owner, ..), _)| owner == tenant) {
            let latest = out.entry(metric.clone()).or_insert(series.latest);
            *latest = (*latest).max(series.latest);
        }
        out
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Every change is whole when something panics.
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All points at one moment.
pub(crate) struct All(BTreeMap<(Tenant, Metric, String), Arc<Series>>);

impl All {
    /// A line for each period.
    pub(crate) fn write(&self, to: &mut impl io::Write) -> io::Result<()> {
        for ((tenant, metric, unit), series) in &self.0 {
            for (second, points) in &series.points {
                Note { tenant, metric, unit: unit.as_str(), second: *second, points }.write(to)?;
            }
        }
        Ok(())
    }
}

impl Book {
    fn add(&mut self, key: (Tenant, Metric, String), begins: i64, points: &Points) -> Result<(), Full> {
        if !self.series.contains_key(&key) && self.series.len() >= SERIES_MAX {
            return Err(Full);
        }
        let series = Arc::make_mut(self.series.entry(key).or_default());
        series.latest = series.latest.max(begins);
        let before = series.points.get(&begins).map_or(0, Points::size);
        let entry =
            series.points.entry(begins).and_modify(|there| there.merge(points)).or_insert_with(|| points.clone());
        let after = entry.size();
        self.size = self.size + after - before;
        Ok(())
    }

    fn forget_before(&mut self, second: i64) {
        for series in self.series.values_mut() {
            if series.points.first_key_value().is_some_and(|(first, _)| *first < second) {
                let series = Arc::make_mut(series);
                series.points = series.points.split_off(&second);
            }
        }
        self.series.retain(|_, series| !series.points.is_empty());
        self.size = self.series.values().flat_map(|series| series.points.values()).map(Points::size).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str) -> Metric {
        Metric { namespace: "N".into(), name: name.into(), dimensions: [("a".into(), "b".into())].into() }
    }

    fn tenant() -> Tenant {
        Tenant::new("000000000000", "us-east-1")
    }

    fn put(metrics: &Metrics, tenant: &Tenant, second: i64, value: f64) {
        let at = (Timestamp(second * 1000), 60);
        metrics.put(tenant, &metric("m"), "Percent", at, &Points::of_value(value, 1.0)).unwrap();
    }

    fn sums(metrics: &Metrics, tenant: &Tenant, period_secs: i64) -> Vec<(i64, f64)> {
        let wish = Data { tenant, metric: &metric("m"), unit: None, period_secs, from_secs: 0, to_secs: i64::MAX };
        metrics.data(wish).into_iter().map(|(second, _, points)| (second, points.sum)).collect()
    }

    #[test]
    fn values_are_added_up_by_period_and_only_for_their_tenant() {
        let metrics = Metrics::default();
        for (second, value) in [(61, 1.0), (119, 2.0), (120, 4.0), (300, 8.0)] {
            put(&metrics, &tenant(), second, value);
        }
        let other = Tenant::new("000000000000", "eu-west-1");
        put(&metrics, &other, 61, 100.0);
        assert_eq!(sums(&metrics, &tenant(), 60), [(60, 3.0), (120, 4.0), (300, 8.0)]);
        assert_eq!(sums(&metrics, &tenant(), 300), [(0, 7.0), (300, 8.0)]);
        assert_eq!(sums(&metrics, &other, 60), [(60, 100.0)]);
        assert_eq!(metrics.list(&tenant()), [(metric("m"), 300)].into());
    }

    #[test]
    fn what_is_old_or_too_much_goes() {
        let metrics = Metrics::default();
        put(&metrics, &tenant(), 0, 1.0);
        put(&metrics, &tenant(), KEPT_SECS, 1.0);
        metrics.trim(Timestamp((KEPT_SECS + 60) * 1000));
        assert_eq!(sums(&metrics, &tenant(), 60), [(KEPT_SECS, 1.0)]);
        for number in 0..SIZE_MAX {
            let at = (Timestamp(i64::try_from(number / 1000).unwrap() * 60_000), 60);
            let name = format!("m{}", number % 1000);
            metrics.put(&tenant(), &metric(&name), "None", at, &Points::of_value(1.0, 1.0)).unwrap();
        }
        metrics.trim(Timestamp(400 * 60_000));
        assert!(metrics.book().size <= SIZE_MAX);
        assert!(metrics.book().size > SIZE_MAX / 4, "not more than needed");
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let metrics = Metrics::default();
        let put =
            |name: &str| metrics.put(&tenant(), &metric(name), "None", (Timestamp(0), 60), &Points::of_value(1.0, 1.0));
        for number in 0..SERIES_MAX {
            put(&number.to_string()).unwrap();
        }
        assert_eq!((put("more"), put("1")), (Err(Full), Ok(())));
    }
}
