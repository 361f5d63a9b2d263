//! What the server logs, to stderr: lines with a time for people, lines with a priority for systemd's journal.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Where lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sink {
    /// A terminal, a file, a pipe.
    Plain,
    /// The journal puts the time beside each line, and takes the priority off its head (sd-daemon(3)).
    Journal,
}

/// From now on everything that `filter` lets through is logged.
pub(crate) fn start(filter: EnvFilter, sink: Sink) {
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    match sink {
        Sink::Plain => lines.init(),
        Sink::Journal => lines.event_format(ForJournal::default()).init(),
    }
}

/// The usual line without time and level, after `<N>`.
struct ForJournal(Format<Full, ()>);

impl Default for ForJournal {
    fn default() -> Self {
        Self(Format::default().without_time().with_level(false).with_ansi(false))
    }
}

impl<S, N> FormatEvent<S, N> for ForJournal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write!(to, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, to, event)
    }
}

/// syslog's numbers.
const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<u8>>>);

    impl Write for Heard {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_journal_gets_a_priority_and_no_time() {
        let heard = Heard::default();
        let writer = heard.clone();
        let lines = tracing_subscriber::fmt().event_format(ForJournal::default()).with_writer(move || writer.clone());
        tracing::subscriber::with_default(lines.finish(), || {
            tracing::warn!(task = "one", "a step failed");
            tracing::info!("well");
        });
        let text = String::from_utf8(heard.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "<4>cove::serve::log::tests: a step failed task=\"one\"\n<6>cove::serve::log::tests: well\n");
    }
}
