//! The log of a session: what was on its screen, as a log stream with the session's name.
//!
//! Holds: what was shown is in the log or the session ends; a line is logged when it is whole, or with the session's end.
//! Why not what was typed: the terminal echoes it, but for passwords.

use cove_base::Clock;
use cove_base::ids::random_hex;
use cove_logs::{LogError, Source, StreamWriter};
use cove_model::arn::Tenant;
use cove_model::logs::{LogGroup, LogStream};
use cove_store::{Read, Store, StoreError, keys};

/// As of a stream that clients fill.
const STREAM_BYTES_MAX: u64 = 256 << 20;
/// Output that waits for the next tick; more is written at once.
const WAITING_MAX_BYTES: usize = 64 << 10;

/// Where a session is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionLog {
    pub(crate) tenant: Tenant,
    pub(crate) group: String,
}

/// Why a session has no log and ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("the session cannot be logged: the log group {0} does not exist")]
    NoGroup(String),
    #[error("the session cannot be logged")]
    Store(#[from] StoreError),
    #[error("the session cannot be logged")]
    Log(#[from] LogError),
    #[error("the session cannot be logged: the server is stopping")]
    Stopping,
}

/// A log that is being written.
pub(super) struct Recording {
    clock: Clock,
    /// Absent only after a failure.
    writer: Option<StreamWriter>,
    waiting: Vec<u8>,
}

impl Recording {
    /// Makes the stream.
    pub(super) async fn begin(
        store: &Store,
        clock: Clock,
        log: &SessionLog,
        session_id: &str,
    ) -> Result<Self, RecordError> {
        let SessionLog { tenant, group } = log.clone();
        let (name, directory) = (session_id.to_owned(), random_hex(16));
        let path = store.data_dir().logs().join(&directory);
        store
            .write(move |tx| {
                if tx.get::<LogGroup>(&keys::log_group(&tenant, &group)).is_none() {
                    return Err(RecordError::NoGroup(group));
                }
                tx.put(LogStream { tenant, group, name, created_at: tx.now(), directory });
                Ok(())
            })
            .await?;
        let writer = blocking(move || StreamWriter::open(&path, STREAM_BYTES_MAX)).await?;
        Ok(Self { clock, writer: Some(writer), waiting: Vec::new() })
    }

    /// Takes what is shown.
    pub(super) async fn take(&mut self, output: &[u8]) -> Result<(), RecordError> {
        self.waiting.extend_from_slice(output);
        if self.waiting.len() < WAITING_MAX_BYTES { Ok(()) } else { self.write().await }
    }

    /// Writes what waits.
    pub(super) async fn write(&mut self) -> Result<(), RecordError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        // The half of an end of line waits for the other.
        let kept = usize::from(self.waiting.ends_with(b"\r"));
        let rest = self.waiting.split_off(self.waiting.len() - kept);
        let bytes = without_returns(&std::mem::replace(&mut self.waiting, rest));
        self.on_disk(move |writer, now| writer.append(Source::Stdout, now, &bytes)).await
    }

    /// The session is over: its last line need not be whole.
    pub(super) async fn end(mut self) -> Result<(), RecordError> {
        self.write().await?;
        self.on_disk(|writer, now| writer.finish(Source::Stdout, now).and_then(|()| writer.sync())).await
    }

    async fn on_disk(
        &mut self,
        work: impl FnOnce(&mut StreamWriter, cove_base::Timestamp) -> Result<(), LogError> + Send + 'static,
    ) -> Result<(), RecordError> {
        let (mut writer, now) = (self.writer.take().ok_or(RecordError::Stopping)?, self.clock.now());
        self.writer = Some(blocking(move || work(&mut writer, now).map(|()| writer)).await?);
        Ok(())
    }
}

/// Lines of a terminal end with both.
fn without_returns(bytes: &[u8]) -> Vec<u8> {
    let next = bytes.iter().skip(1).map(Some).chain([None]);
    bytes
        .iter()
        .zip(next)
        .filter(|(byte, next)| **byte != b'\r' || *next != Some(&b'\n'))
        .map(|(byte, _)| *byte)
        .collect()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, RecordError> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| RecordError::Stopping)??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_returns_before_line_feeds_are_left_out() {
        assert_eq!(without_returns(b"a\r\nb\rc\r\r\n\r"), b"a\nb\rc\r\n\r");
        assert_eq!(without_returns(b""), b"");
    }
}
