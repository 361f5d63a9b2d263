//! The store: sled as the durable log, typed maps in memory as the truth to read.
//!
//! In: closures that change records ([`Store::write`]). Out: durable acknowledgements, views ([`Store::read`]) and
//! signals ([`Store::watch`]).
//!
//! ```text
//! caller ──closure──▶ writer thread: run up to 512 ▶ one transaction ▶ flush + fdatasync ▶ publish ▶ signal ▶ acknowledge
//! caller ◀──view──── memory                                                          (sled is never read after opening)
//! ```
//!
//! Holds: what was acknowledged survives `kill -9` and a power cut. A command that fails or panics leaves no trace.
//! Readers see only what is durable. After a write error nothing is retried: the store is read-only until it has
//! opened the database again and found it writable.
//! Why one writer: sled's concurrent flushes hang, and one `fdatasync` for many commands is what makes it fast.
//! Why lists and sums of live records: what is asked of ten thousand tasks at every decision is kept as they come and go,
//! in memory only.
//! Absent on purpose: other queries by anything but the key; callers filter in memory, which takes microseconds.

mod backup;
mod blob;
mod database;
mod derive;
mod directory;
mod document;
mod error;
mod event;
mod events;
mod filesystem;
mod fsck;
mod key;
pub mod keys;
mod memory;
mod migration;
mod record;
mod schema;
mod store;
mod table;
mod tx;
mod vault;
mod writer;

#[cfg(test)]
mod survival;
#[cfg(test)]
mod tests;

pub use backup::{Backup, BackupError, Images, Restored, Written, restore, verify};
pub use blob::{BLOBS_ASIDE, blob_aside};
pub use error::StoreError;
pub use event::{Change, Event};
pub use fsck::{Finding, Mode, Remedy, Report, fsck};
pub use key::{Key, Prefix};
pub use memory::Memory;
pub use record::{Record, Sum};
pub use store::{Store, StoreHealth, StoreOptions};
pub use table::{Read, Summed, View};
pub use tx::Tx;
pub use vault::{Vault, secret};
