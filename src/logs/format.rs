//! Bytes of segments and records. See the crate's drawing.

/// The longest message: CloudWatch's 256 KiB less the 26 bytes that it charges per event, where awslogs splits too.
pub const EVENT_BYTES_MAX: usize = 262_144 - 26;

/// Bytes of a segment's header.
pub(crate) const HEADER: u64 = 48;
/// The largest count that is believed: sums of it and a segment's own cannot overflow.
const COUNT_MAX: u64 = 1 << 62;
const MAGIC: [u8; 8] = *b"COVELOG\x01";
/// Times in the segment never go back, so a reader may stop at the first event past its range.
const FLAG_ORDERED: u32 = 1;

/// Word, time, word.
pub(crate) const PLAIN_OVERHEAD: u64 = 16;
/// The same and the time of ingestion.
pub(crate) const INGESTED_OVERHEAD: u64 = 24;
const MARK_PLAIN: u8 = 0xA7;
const MARK_INGESTED: u8 = 0xB3;

/// A boundary between two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub segment: u64,
    pub offset: u64,
}

/// One event as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Milliseconds since the epoch.
    pub time_ms: i64,
    pub ingested_ms: i64,
    pub message: Vec<u8>,
    /// Where the record begins; unique in the stream for ever.
    pub position: Position,
}

/// What stands at the head of a segment: everything before it, so that dropping old segments loses no count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) events_before: u64,
    pub(crate) bytes_before: u64,
    /// The latest time of any earlier event; `i64::MIN` when there was none.
    pub(crate) latest_before: i64,
    pub(crate) ordered: bool,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER as usize] {
        let mut bytes = [0; HEADER as usize];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.events_before.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.bytes_before.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.latest_before.to_le_bytes());
        bytes[32..36].copy_from_slice(&if self.ordered { FLAG_ORDERED } else { 0 }.to_le_bytes());
        bytes
    }

    /// `None` for anything that this crate did not write whole.
    pub(crate) fn decode(bytes: &[u8; HEADER as usize]) -> Option<Self> {
        (bytes[..8] == MAGIC).then(|| Self {
            events_before: u64_at(bytes, 8).min(COUNT_MAX),
            bytes_before: u64_at(bytes, 16).min(COUNT_MAX),
            latest_before: time_at(bytes, 24),
            ordered: u64_at(bytes, 32) & u64::from(FLAG_ORDERED) != 0,
        })
    }
}

/// A record's word, read: how long its message is and which kind it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) message: u64,
    pub(crate) ingested: bool,
}

impl Word {
    /// `None` when these four bytes are not the edge of a record.
    pub(crate) fn decode(bytes: [u8; 4]) -> Option<Self> {
        let word = u32::from_le_bytes(bytes);
        let message = u64::from(word >> 8);
        let ingested = match (word & 0xff) as u8 {
            MARK_PLAIN => false,
            MARK_INGESTED => true,
            _ => return None,
        };
        (message <= EVENT_BYTES_MAX as u64).then_some(Self { message, ingested })
    }

    pub(crate) fn encode(self) -> [u8; 4] {
        let mark = if self.ingested { MARK_INGESTED } else { MARK_PLAIN };
        // A message is at most EVENT_BYTES_MAX long, which fits 24 bits.
        (((self.message as u32) << 8) | u32::from(mark)).to_le_bytes()
    }

    /// Bytes of the whole record.
    pub(crate) fn total(self) -> u64 {
        self.message + if self.ingested { INGESTED_OVERHEAD } else { PLAIN_OVERHEAD }
    }

    /// Bytes before the message.
    pub(crate) fn lead(self) -> u64 {
        self.total() - self.message - 4
    }
}

/// Adds one record to `out`. `message` is at most [`EVENT_BYTES_MAX`] long.
pub(crate) fn push_record(out: &mut Vec<u8>, time_ms: i64, ingested_ms: Option<i64>, message: &[u8]) {
    let word = Word { message: message.len() as u64, ingested: ingested_ms.is_some() }.encode();
    out.extend_from_slice(&word);
    out.extend_from_slice(&time_ms.to_le_bytes());
    if let Some(ingested) = ingested_ms {
        out.extend_from_slice(&ingested.to_le_bytes());
    }
    out.extend_from_slice(message);
    out.extend_from_slice(&word);
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}

/// A time, before the end of every range, which is exclusive: a damaged one must not hide what comes after it.
pub(crate) fn time_at(bytes: &[u8], at: usize) -> i64 {
    u64_at(bytes, at).cast_signed().min(i64::MAX - 1)
}
