//! The handle that everybody holds.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use cove_base::Clock;
use cove_base::paths::DataDir;
use tokio::sync::{mpsc, oneshot, watch};

use crate::backup::{Backup, Images};
use crate::database::{Database, Durability};
use crate::directory;
use crate::error::StoreError;
use crate::event::Event;
use crate::record::Record;
use crate::schema::KINDS;
use crate::table::View;
use crate::tx::{Batch, Tx};
use crate::writer::{Command, Message, Writer, all_kinds, catch};

/// Commands that wait for the writer; more callers than this wait before their command is queued.
const QUEUE_MAX: usize = 4096;

/// The store. Clones share it; the writer thread ends with [`Store::close`] or with the last clone.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Message>,
    data: Arc<DataDir>,
    clock: Clock,
}

/// What may be chosen when a store is opened.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    pub(crate) durability: Durability,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { durability: Durability::Synced }
    }
}

/// Whether the store takes writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreHealth {
    Writable,
    ReadOnly { reason: String },
}

impl Store {
    /// Opens the store, making what is missing, and loads every record into memory.
    ///
    /// # Errors
    /// When the directory is in use, on a network file system or not writable, or holds what this version cannot read.
    pub fn open(data: &DataDir, clock: Clock, options: StoreOptions) -> Result<Self, StoreError> {
        let lock = directory::prepare(data)?;
        // sled panics on some damage.
        let (database, view) = catch(|| Database::open(data, options.durability)).map_err(|error| match error {
            StoreError::Panicked(why) => StoreError::Damaged { path: data.database(), why },
            other => other,
        })?;
        let shared = Arc::new(Shared::new(view));
        let (queue, receiver) = mpsc::channel(QUEUE_MAX);
        let writer = Writer::new(data.clone(), clock.clone(), options.durability, Arc::clone(&shared), database, lock);
        let thread = std::thread::Builder::new().name("store".into());
        thread.spawn(move || writer.run(receiver)).map_err(StoreError::Thread)?;
        Ok(Self { shared, queue, data: Arc::new(data.clone()), clock })
    }

    /// The data directory that this store lies in, for what is kept beside it (logs, blobs).
    #[must_use]
    pub fn data_dir(&self) -> &DataDir {
        &self.data
    }

    /// Runs the closure on the writer thread, inside a group commit. `Err` takes its writes back; `Ok` is durable and
    /// published when this returns. Dropping the future does not stop a command that is queued.
    ///
    /// # Errors
    /// The closure's own, or a [`StoreError`] when the store cannot write, is closed, or the closure panicked.
    pub async fn write<T, E>(&self, f: impl FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (job, answer) = Job::queued(f);
        if self.queue.send(Message::Command(job)).await.is_err() {
            return Err(StoreError::Closed.into());
        }
        answer.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// [`Store::write`] for plain threads. Panics when called from async code.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write_blocking<T, E>(&self, f: impl FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (job, answer) = Job::queued(f);
        if self.queue.blocking_send(Message::Command(job)).is_err() {
            return Err(StoreError::Closed.into());
        }
        answer.blocking_recv().unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// Looks at published state. It lives in memory: microseconds. Publishing waits for it, so never do slow work
    /// inside.
    pub fn read<R>(&self, f: impl FnOnce(&View) -> R) -> R {
        f(&self.shared.view())
    }

    /// Bumped after each published change of that kind, to the revision that changed it.
    #[must_use]
    pub fn watch<K: Record>(&self) -> watch::Receiver<u64> {
        self.shared.signals[K::NUMBER].subscribe()
    }

    /// Up to `limit` events behind a revision, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.queue.send(Message::Events { after, limit, reply }).await;
        sent.map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Everything as it is now, to be written out as a backup at leisure.
    #[must_use]
    pub fn backup(&self, images: Images) -> Backup {
        Backup::new(Arc::clone(&self.data), self.read(View::snapshot), self.clock.now(), images)
    }

    /// Whether it takes writes.
    #[must_use]
    pub fn health(&self) -> StoreHealth {
        self.shared.health.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Finishes what is queued and closes the database; after that the directory may be opened again.
    pub async fn close(self) {
        let (reply, closed) = oneshot::channel();
        if self.queue.send(Message::Close(reply)).await.is_ok() {
            // An error means that the thread is gone already, which is what was asked for.
            let _ = closed.await;
        }
    }
}

/// What readers and the writer thread share.
pub(crate) struct Shared {
    view: RwLock<View>,
    signals: Vec<watch::Sender<u64>>,
    health: RwLock<StoreHealth>,
}

impl Shared {
    fn new(view: View) -> Self {
        let revision = view.revision();
        Self {
            view: RwLock::new(view),
            signals: KINDS.iter().map(|_| watch::channel(revision).0).collect(),
            health: RwLock::new(StoreHealth::Writable),
        }
    }

    /// A reader that panicked has changed nothing, so that a poisoned lock is as good as another.
    pub(crate) fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn publish(&self, batch: &mut Batch, revision: u64) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        for (number, changes) in batch.changed() {
            changes.publish(view.erased_mut(number));
        }
        view.set_revision(revision);
    }

    /// Puts another state in place of the published one and wakes everybody.
    pub(crate) fn replace(&self, view: View) {
        let revision = view.revision();
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = view;
        self.signal(&all_kinds(), revision);
    }

    pub(crate) fn signal(&self, kinds: &[usize], revision: u64) {
        for kind in kinds {
            self.signals[*kind].send_replace(revision);
        }
    }

    pub(crate) fn set_health(&self, health: StoreHealth) {
        *self.health.write().unwrap_or_else(PoisonError::into_inner) = health;
    }
}

/// A closure, its result, and who waits for it.
struct Job<F, T, E> {
    closure: Option<F>,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Job<F, T, E>
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    fn queued(closure: F) -> (Box<dyn Command>, oneshot::Receiver<Result<T, E>>) {
        let (reply, answer) = oneshot::channel();
        (Box::new(Self { closure: Some(closure), result: None, reply }), answer)
    }
}

impl<F, T, E> Command for Job<F, T, E>
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        let closure = self.closure.take().expect("a command runs once");
        self.result.insert(closure(tx)).is_ok()
    }

    fn finish(self: Box<Self>, failure: Option<StoreError>) {
        let result = match (failure, self.result) {
            (Some(failure), _) => Err(failure.into()),
            (None, Some(result)) => result,
            (None, None) => Err(StoreError::Closed.into()),
        };
        // The caller may have gone away; the command counts nevertheless.
        let _ = self.reply.send(result);
    }
}
