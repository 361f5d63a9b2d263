//! A thread that ends the process when one input takes too long: a loop without end cannot be unwound.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{INPUT_TIME_MAX, failure};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// What is being tried, since when.
type Present = Mutex<Option<(Instant, Vec<u8>)>>;

/// Ends with the target.
pub(crate) struct Watch {
    present: Arc<Present>,
    _ends: SyncSender<()>,
}

impl Watch {
    pub(crate) fn start(target: &'static str) -> Self {
        let present: Arc<Present> = Arc::default();
        let (sender, ended) = sync_channel::<()>(0);
        let seen = Arc::clone(&present);
        std::thread::spawn(move || {
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                let present = seen.lock().unwrap_or_else(PoisonError::into_inner);
                let Some((began, input)) = &*present else { continue };
                if began.elapsed() > INPUT_TIME_MAX {
                    let path = failure::keep(target, input);
                    eprintln!("fuzz target {target}: an input does not end: {}", path.display());
                    eprintln!("{}", failure::hex(input));
                    std::process::abort();
                }
            }
        });
        Self { present, _ends: sender }
    }

    /// Runs while it is watched.
    pub(crate) fn timed<T>(&self, input: &[u8], run: impl FnOnce() -> T) -> T {
        /// Also when the input makes it panic.
        struct Over<'a>(&'a Watch);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                *self.0.lock() = None;
            }
        }
        *self.lock() = Some((Instant::now(), input.to_vec()));
        let _over = Over(self);
        run()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Vec<u8>)>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
