//! The one thread that writes.
//!
//! ```text
//!          ┌──────── commit fails ────────▶ failed: answers ReadOnly, readers go on
//! writable │                                 │ opens the database again, with growing pauses
//!          ◀──── opened, probed, reloaded ───┘
//! ```
//!
//! Holds: a failed flush is never tried again on the same handle (the kernel may have dropped the pages, so that a
//! second success would prove nothing). What the disk then holds is loaded, published and signalled anew.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cove_base::Clock;
use cove_base::error::chain;
use cove_base::paths::DataDir;
use tokio::sync::{mpsc, oneshot};

use crate::database::{Database, Durability};
use crate::directory::Lock;
use crate::error::StoreError;
use crate::event::Event;
use crate::schema::KINDS;
use crate::store::{Shared, StoreHealth};
use crate::tx::{Batch, Tx};

/// The most commands that share one `fdatasync`.
const BATCH_MAX: usize = 512;
/// The pause before the database is opened again, and its upper limit: disks fill for minutes, not milliseconds.
const REOPEN_FIRST: Duration = Duration::from_millis(250);
const REOPEN_MAX: Duration = Duration::from_secs(10);
/// How often a read-only store looks at its queue; only while the disk does not take writes.
const READ_ONLY_POLL: Duration = Duration::from_millis(20);

/// What callers send to the thread.
pub(crate) enum Message {
    Command(Box<dyn Command>),
    Events { after: u64, limit: usize, reply: oneshot::Sender<Result<Vec<Event>, StoreError>> },
    Close(oneshot::Sender<()>),
}

/// A caller's closure with its reply, types erased.
pub(crate) trait Command: Send {
    /// Runs the closure and keeps its result; whether it succeeded.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;
    /// Answers with the kept result, or with the error that befell the batch or this command.
    fn finish(self: Box<Self>, failure: Option<StoreError>);
}

/// The thread's state.
pub(crate) struct Writer {
    data: DataDir,
    clock: Clock,
    durability: Durability,
    shared: Arc<Shared>,
    state: State,
    _lock: Lock,
}

enum State {
    Writable(Box<Database>),
    Failed { reason: String, next: Instant, pause: Duration },
}

impl Writer {
    pub(crate) fn new(
        data: DataDir,
        clock: Clock,
        durability: Durability,
        shared: Arc<Shared>,
        database: Database,
        lock: Lock,
    ) -> Self {
        Self { data, clock, durability, shared, state: State::Writable(Box::new(database)), _lock: lock }
    }

    /// Serves until the store is closed or dropped.
    pub(crate) fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut closing = None;
        while closing.is_none() {
            let messages = match self.state {
                State::Writable(_) => receive(&mut queue),
                State::Failed { .. } => self.receive_while_failed(&mut queue),
            };
            let Some(messages) = messages else { break };
            let mut commands = Vec::with_capacity(messages.len());
            for message in messages {
                match message {
                    Message::Command(command) => commands.push(command),
                    Message::Events { after, limit, reply } => drop(reply.send(self.events(after, limit))),
                    Message::Close(reply) => closing = Some(reply),
                }
            }
            self.serve(commands);
        }
        queue.close();
        // What is still queued hears that the store is closed: its reply channel is dropped with it.
        drop(queue);
        drop(self);
        if let Some(reply) = closing {
            let _ = reply.send(());
        }
    }

    fn serve(&mut self, commands: Vec<Box<dyn Command>>) {
        if commands.is_empty() {
            return;
        }
        match &mut self.state {
            State::Failed { reason, .. } => refuse(commands, reason),
            State::Writable(database) => {
                let Err((reason, commands)) = commit(database, &self.shared, &self.clock, commands) else { return };
                tracing::error!(%reason, "the store cannot write and is read-only now");
                self.shared.set_health(StoreHealth::ReadOnly { reason: reason.clone() });
                refuse(commands, &reason);
                self.state = State::Failed { reason, next: Instant::now() + REOPEN_FIRST, pause: REOPEN_FIRST };
            }
        }
    }

    fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        match &self.state {
            State::Writable(database) => database.events(after, limit),
            State::Failed { reason, .. } => Err(StoreError::ReadOnly(reason.clone())),
        }
    }

    /// Waits for messages and opens the database again when it is time.
    fn receive_while_failed(&mut self, queue: &mut mpsc::Receiver<Message>) -> Option<Vec<Message>> {
        loop {
            match queue.try_recv() {
                Ok(first) => return Some(drain(first, queue)),
                Err(mpsc::error::TryRecvError::Disconnected) => return None,
                Err(mpsc::error::TryRecvError::Empty) => {}
            }
            if self.try_reopen() {
                return Some(Vec::new());
            }
            std::thread::sleep(READ_ONLY_POLL);
        }
    }

    fn try_reopen(&mut self) -> bool {
        let State::Failed { reason, next, pause } = &mut self.state else { return true };
        if Instant::now() < *next {
            return false;
        }
        match catch(|| Database::reopen(&self.data, self.durability)) {
            Ok((database, view)) => {
                self.shared.replace(view);
                self.shared.set_health(StoreHealth::Writable);
                self.state = State::Writable(Box::new(database));
                tracing::info!("the store can write again");
                true
            }
            Err(error) => {
                *reason = chain(&error);
                *pause = (*pause * 2).min(REOPEN_MAX);
                *next = Instant::now() + *pause;
                self.shared.set_health(StoreHealth::ReadOnly { reason: reason.clone() });
                false
            }
        }
    }
}

/// Waits for a message and takes what else is there.
fn receive(queue: &mut mpsc::Receiver<Message>) -> Option<Vec<Message>> {
    let first = queue.blocking_recv()?;
    Some(drain(first, queue))
}

fn drain(first: Message, queue: &mut mpsc::Receiver<Message>) -> Vec<Message> {
    let mut messages = vec![first];
    while messages.len() < BATCH_MAX {
        match queue.try_recv() {
            Ok(message) => messages.push(message),
            Err(_) => break,
        }
    }
    messages
}

fn refuse(commands: Vec<Box<dyn Command>>, reason: &str) {
    for command in commands {
        command.finish(Some(StoreError::ReadOnly(reason.to_owned())));
    }
}

/// Runs the commands, makes their changes durable, publishes, signals, answers. `Err` is why the store cannot write, and
/// the commands that have no answer yet.
fn commit(
    database: &mut Database,
    shared: &Shared,
    clock: &Clock,
    commands: Vec<Box<dyn Command>>,
) -> Result<(), (String, Vec<Box<dyn Command>>)> {
    let mut batch = Batch::new();
    let mut events = Vec::new();
    let mut done = Vec::with_capacity(commands.len());
    {
        let view = shared.view();
        let mut revision = database.revision();
        for mut command in commands {
            let now = clock.now();
            let mut tx = Tx::new(&view, &mut batch, revision + 1, now);
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let succeeded = command.run(&mut tx);
                if succeeded {
                    tx.derive();
                }
                succeeded
            }));
            let failure = match outcome {
                Ok(true) => {
                    let changes = tx.into_changes();
                    if !changes.is_empty() {
                        revision += 1;
                        events.push(Event { revision, at: now, changes: Some(changes) });
                    }
                    None
                }
                Ok(false) => {
                    tx.roll_back();
                    None
                }
                Err(panic) => {
                    tx.roll_back();
                    let message = panic_message(&*panic);
                    tracing::error!(message, "a command panicked on the store's writer thread");
                    Some(StoreError::Panicked(message))
                }
            };
            done.push((command, failure));
        }
    }
    if !batch.is_empty()
        && let Err(error) = catch(|| database.commit(&mut batch, events))
    {
        let reason = chain(&error);
        return Err((reason, done.into_iter().map(|(command, _)| command).collect()));
    }
    let changed: Vec<usize> = batch.changed().map(|(number, _)| number).collect();
    shared.publish(&mut batch, database.revision());
    shared.signal(&changed, database.revision());
    for (command, failure) in done {
        command.finish(failure);
    }
    Ok(())
}

/// sled panics where it does not expect a disk to fail; that counts as a failure of the disk.
pub(crate) fn catch<T>(attempt: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(attempt)).unwrap_or_else(|panic| Err(StoreError::Panicked(panic_message(&*panic))))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}

/// The kinds of all signals, by number.
pub(crate) fn all_kinds() -> Vec<usize> {
    (0..KINDS.len()).collect()
}
