//! Keeps the data points over restarts: a file of what there was, and journals of what came since.
//!
//! ```text
//! put ──▶ notes ──▶ journal-N          a line for each, at once
//!                     │ large enough
//!                     ▼
//!         journal-N+1 begins ──▶ points-N+1: all that is known, in place of everything older
//!
//! start:  the newest points-N, then journal-N and all that follow ──▶ memory
//! ```
//!
//! Holds: whoever is killed between any two steps loses nothing that was written, and finds nothing twice: points-N holds
//! exactly what was noted before journal-N. Of a line that was cut off nothing is taken. A journal is never gone on with,
//! since its last line may be such a one. Why no fsync of journals: metrics are not durable before they are acknowledged;
//! a power cut may cost the last seconds. What cannot be written is in memory all the same, and on disk with the next
//! points.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cove_model::alarm::Metric;
use cove_model::arn::Tenant;
use serde::{Deserialize, Serialize};

use crate::points::Points;
use crate::series::Metrics;

/// What journals hold at most before all is written anew, unless that is more itself.
const JOURNALS_BYTES_MAX: u64 = 8 << 20;
/// After the disk refused something.
const RETRY_DELAY: Duration = Duration::from_secs(10);
const POINTS: &str = "points";
const JOURNAL: &str = "journal";
/// A file of points that is not whole yet.
const PART: &str = "points.new";

/// The points of one period of a metric: one line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Note<T, M, U, P> {
    #[serde(rename = "t")]
    pub(crate) tenant: T,
    #[serde(rename = "m")]
    pub(crate) metric: M,
    #[serde(rename = "u")]
    pub(crate) unit: U,
    /// When the period begins.
    #[serde(rename = "s")]
    pub(crate) second: i64,
    #[serde(rename = "p")]
    pub(crate) points: P,
}

/// One that is written.
pub(crate) type NoteOf<'a> = Note<&'a Tenant, &'a Metric, &'a str, &'a Points>;
/// One that was read.
pub(crate) type NoteRead = Note<Tenant, Metric, String, Points>;

impl NoteOf<'_> {
    /// Adds the line. Numbers that JSON has none for are none that a client may give.
    pub(crate) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *to, self)?;
        to.write_all(b"\n")
    }
}

/// The files of one server's metrics.
pub struct Journal {
    directory: PathBuf,
    metrics: Metrics,
    file: File,
    number: u64,
    /// Of all journals since the newest points.
    bytes: u64,
    points_bytes: u64,
}

impl Journal {
    /// Takes what is in the directory into memory, and begins to note what comes.
    ///
    /// # Errors
    /// When the directory cannot be made or read.
    pub fn open(directory: &Path, metrics: Metrics) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let _ = fs::remove_file(directory.join(PART));
        let newest = numbers(directory, POINTS)?.pop();
        let mut journals = numbers(directory, JOURNAL)?;
        let number = journals.last().copied().max(newest).map_or(0, |last| last + 1);
        journals.retain(|number| newest.is_none_or(|newest| *number >= newest));
        let mut points_bytes = 0;
        if let Some(newest) = newest {
            points_bytes = read(&path(directory, POINTS, newest), &metrics)?;
        }
        let mut bytes = 0;
        for number in journals {
            bytes += read(&path(directory, JOURNAL, number), &metrics)?;
        }
        let file = begin(directory, number)?;
        metrics.take_notes();
        Ok(Self { directory: directory.to_owned(), metrics, file, number, bytes, points_bytes })
    }

    /// Writes what is noted until the task is aborted. Cancel safe.
    pub async fn keep_for_ever(self) {
        let (metrics, mut journal, mut failed) = (self.metrics.clone(), self, false);
        loop {
            metrics.noted().await;
            let written = tokio::task::spawn_blocking(move || {
                let written = if failed { journal.renew() } else { journal.write() };
                (journal, written)
            });
            let Ok((back, written)) = written.await else { return };
            journal = back;
            match written {
                Ok(()) => failed = false,
                Err(error) => {
                    if !failed {
                        tracing::warn!(%error, "metrics cannot be written; a restart would lose them");
                    }
                    failed = true;
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            }
        }
    }

    /// Adds what was noted, and begins anew when that has become much.
    fn write(&mut self) -> io::Result<()> {
        self.append()?;
        if self.bytes > JOURNALS_BYTES_MAX.max(self.points_bytes) { self.renew() } else { Ok(()) }
    }

    fn append(&mut self) -> io::Result<()> {
        let notes = self.metrics.notes();
        self.file.write_all(&notes)?;
        self.bytes += notes.len() as u64;
        Ok(())
    }

    /// Writes all that is known, and removes what that holds.
    fn renew(&mut self) -> io::Result<()> {
        let number = self.number + 1;
        let file = begin(&self.directory, number)?;
        let (all, notes) = self.metrics.all();
        // They are among all; this is for who is killed before all is written. When it fails, that is what mends it.
        let _ = self.file.write_all(&notes);
        (self.file, self.number, self.bytes) = (file, number, 0);
        let part = self.directory.join(PART);
        let mut to = BufWriter::new(File::create(&part)?);
        all.write(&mut to)?;
        let whole = to.into_inner().map_err(io::IntoInnerError::into_error)?;
        whole.sync_all()?;
        self.points_bytes = whole.metadata()?.len();
        fs::rename(&part, path(&self.directory, POINTS, number))?;
        cove_base::files::sync_directory(&self.directory)?;
        for name in [POINTS, JOURNAL] {
            for old in numbers(&self.directory, name)?.into_iter().filter(|old| *old < number) {
                fs::remove_file(path(&self.directory, name, old))?;
            }
        }
        Ok(())
    }
}

fn path(directory: &Path, name: &str, number: u64) -> PathBuf {
    directory.join(format!("{name}-{number}"))
}

/// The numbers of the files with that name, the smallest first.
fn numbers(directory: &Path, name: &str) -> io::Result<Vec<u64>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory)? {
        let file = entry?.file_name();
        let number = file.to_str().and_then(|file| file.strip_prefix(name)?.strip_prefix('-'));
        all.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    all.sort_unstable();
    Ok(all)
}

fn begin(directory: &Path, number: u64) -> io::Result<File> {
    File::options().append(true).create(true).open(path(directory, JOURNAL, number))
}

/// Takes the lines of a file; its size. What is no line of ours is passed over.
fn read(path: &Path, metrics: &Metrics) -> io::Result<u64> {
    let mut file = BufReader::new(File::open(path)?);
    let (mut line, mut bytes, mut odd) = (Vec::new(), 0, 0);
    loop {
        line.clear();
        let count = file.read_until(b'\n', &mut line)?;
        if count == 0 {
            break;
        }
        bytes += count as u64;
        match serde_json::from_slice::<NoteRead>(&line) {
            Ok(note) if line.ends_with(b"\n") => metrics.remember(note),
            Ok(_) | Err(_) => odd += 1,
        }
    }
    if odd > 0 {
        tracing::warn!(path = %path.display(), lines = odd, "metrics that cannot be read were passed over");
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use cove_base::Timestamp;

    use super::*;
    use crate::series::Data;

    fn tenant() -> Tenant {
        Tenant::new("000000000000", "us-east-1")
    }

    fn metric() -> Metric {
        Metric { namespace: "N".into(), name: "m".into(), dimensions: [("a".into(), "b".into())].into() }
    }

    fn put(metrics: &Metrics, second: i64, value: f64) {
        let at = (Timestamp(second * 1000), 60);
        metrics.put(&tenant(), &metric(), "Percent", at, &Points::of_value(value, 1.0)).unwrap();
    }

    fn seen(metrics: &Metrics) -> Vec<(i64, Points)> {
        let (tenant, metric) = (tenant(), metric());
        let unit = Some("Percent");
        let wish = Data { tenant: &tenant, metric: &metric, unit, period_secs: 60, from_secs: 0, to_secs: i64::MAX };
        metrics.data(wish).into_iter().map(|(second, _, points)| (second, points)).collect()
    }

    fn open(directory: &Path) -> (Journal, Metrics) {
        let metrics = Metrics::default();
        (Journal::open(directory, metrics.clone()).unwrap(), metrics)
    }

    /// What the directory holds when nothing more is written.
    fn found(directory: &Path) -> Vec<(i64, Points)> {
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(directory).unwrap().flatten() {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        seen(&open(copy.path()).1)
    }

    #[test]
    fn what_was_written_is_there_after_each_start_once() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("metrics");
        let mut expected = Vec::new();
        for round in 0..4 {
            let (mut journal, metrics) = open(&directory);
            assert_eq!(seen(&metrics), expected, "round {round}");
            put(&metrics, 60, f64::from(round));
            put(&metrics, 120 + 60 * i64::from(round), 0.5);
            journal.append().unwrap();
            if round == 2 {
                journal.renew().unwrap();
                assert_eq!(fs::read_dir(&directory).unwrap().count(), 2, "all in one, and a journal");
                put(&metrics, 60, 0.25);
                journal.append().unwrap();
            }
            put(&metrics, 6000, 1.0);
            expected = found(&directory);
            let count: f64 = expected.iter().map(|(_, points)| points.count).sum();
            assert_eq!(count, f64::from(2 * round + 2 + i32::from(round >= 2)), "what was not written is gone");
        }
    }

    #[test]
    fn who_is_killed_while_all_is_written_finds_it_all_once() {
        let home = tempfile::tempdir().unwrap();
        let (mut journal, metrics) = open(home.path());
        put(&metrics, 60, 1.0);
        journal.append().unwrap();
        put(&metrics, 60, 2.0);
        let (old, kept) = (path(home.path(), JOURNAL, 0), home.path().join("kept"));
        fs::hard_link(&old, &kept).unwrap();
        journal.renew().unwrap();
        let whole = seen(&metrics);
        assert_eq!(found(home.path()), whole);
        fs::rename(&kept, &old).unwrap();
        assert_eq!(found(home.path()), whole, "the old journal is still there");
        fs::rename(path(home.path(), POINTS, 1), home.path().join(PART)).unwrap();
        assert_eq!(found(home.path()), whole, "the new points are not there");
    }

    #[test]
    fn a_line_that_was_cut_off_or_is_none_costs_itself() {
        let home = tempfile::tempdir().unwrap();
        let (mut journal, metrics) = open(home.path());
        put(&metrics, 60, 1.0);
        put(&metrics, 120, 2.0);
        journal.append().unwrap();
        let file = path(home.path(), JOURNAL, 0);
        let all = fs::read(&file).unwrap();
        let first = all.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for length in 0..all.len() {
            fs::write(&file, &all[..length]).unwrap();
            assert_eq!(found(home.path()).len(), usize::from(length >= first), "{length}");
        }
        fs::write(&file, [b"\xff{}\n[]\n\n".as_slice(), &all].concat()).unwrap();
        assert_eq!(found(home.path()).len(), 2);
    }

    #[tokio::test]
    async fn journals_do_not_grow_for_ever() {
        let home = tempfile::tempdir().unwrap();
        let (journal, metrics) = open(home.path());
        let keeper = tokio::spawn(journal.keep_for_ever());
        let line = 150;
        for _ in 0..3 * JOURNALS_BYTES_MAX / line / 1000 {
            (0..1000).for_each(|number| put(&metrics, 60, f64::from(number % 7)));
            tokio::task::yield_now().await;
        }
        let size = || -> u64 {
            let entries = fs::read_dir(home.path()).unwrap().flatten();
            entries.map(|entry| entry.metadata().map_or(0, |meta| meta.len())).sum()
        };
        for _ in 0..2000 {
            if found(home.path()) == seen(&metrics) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(found(home.path()), seen(&metrics));
        assert!(size() < 2 * JOURNALS_BYTES_MAX, "{}", size());
        keeper.abort();
    }
}
