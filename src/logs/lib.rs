//! Log streams as files: the file that a shim writes *is* the stream that the API reads.
//!
//! In: what a container says on stdout and stderr ([`StreamWriter`]), or events of a client ([`StreamWriter::put`]).
//! Out: events by time, by position, forwards and backwards, also while the writer is at work ([`read`], [`Follower`],
//! and [`read_sorted`] where they did not come by time).
//!
//! A stream is a directory of segments `00000000000000000001.log`, numbered upwards, only ever appended to:
//!
//! ```text
//! segment = header (48 bytes)  record*
//! record  = word u32 · time i64 (ms) · [ingested i64 (ms)] · message · word u32        all little endian
//! word    = message length << 8 | mark (plain or with an ingestion time)
//! ```
//!
//! Holds: a record is whole or it is not there: a torn tail is not read, and is cut when a writer opens the stream again.
//! The oldest segment's header says how many events and bytes were dropped before it, so the count survives everything.
//! Reading needs a bounded buffer, whatever the stream's size.
//!
//! Why no fsync: a container's output survives the death of every process of Cove; a power cut may cost the last seconds,
//! and waiting for a disk per line would cost the container its speed.

mod caps;
mod error;
mod format;
mod grouping;
mod lines;
mod reader;
mod segment;
mod sorted;
mod writer;

pub use caps::{Dropped, NodeUsage, SegmentUse, choose_drops, enforce_caps, remove_older_than, usage};
pub use error::LogError;
pub use format::{EVENT_BYTES_MAX, Event, Position};
pub use grouping::{check_pattern, datetime_pattern};
pub use reader::{Direction, Follower, Page, Query, Start, StreamStats, last_event, read, stats};
pub use sorted::{Place, SortedPage, SortedQuery, is_ordered, place_before, read_sorted};
pub use writer::{Source, StreamWriter};

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
