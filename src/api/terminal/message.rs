//! Messages of the data channel, as the SSM agent and its clients write them.
//!
//! ```text
//!   0  header length (116)      48  sequence number       112  payload type
//!   4  message type, 32 bytes   56  flags                 116  payload length
//!  36  schema version (1)       64  id, halves swapped    120  payload
//!  40  created, ms              80  SHA-256 of the payload
//! ```
//!
//! Integers are big endian. Holds: what a client sends is checked before any of it is used; a client that sends no digest
//! (all zeros) is believed, as the SSM agent does.

use cove_base::ids::uuid;
use sha2::{Digest, Sha256};

const HEADER_BYTES: u32 = 116;
const PAYLOAD_AT: usize = 120;
const TYPE_BYTES: usize = 32;

pub(super) const INPUT: &str = "input_stream_data";
pub(super) const OUTPUT: &str = "output_stream_data";
pub(super) const ACKNOWLEDGE: &str = "acknowledge";
pub(super) const CLOSED: &str = "channel_closed";

/// Bits of the flags: the first message of a stream; what acknowledgements carry.
pub(super) const SYN: u64 = 1;
pub(super) const SYN_FIN: u64 = 3;

/// What a payload is.
pub(super) mod payload {
    pub(crate) const OUTPUT: u32 = 1;
    pub(crate) const SIZE: u32 = 3;
    pub(crate) const HANDSHAKE_REQUEST: u32 = 5;
    pub(crate) const HANDSHAKE_RESPONSE: u32 = 6;
    pub(crate) const HANDSHAKE_COMPLETE: u32 = 7;
    pub(crate) const FLAG: u32 = 10;
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: String,
    pub(super) created_millis: u64,
    pub(super) sequence: i64,
    pub(super) flags: u64,
    /// A UUID as text.
    pub(super) id: String,
    pub(super) payload_type: u32,
    pub(super) payload: Vec<u8>,
}

impl Message {
    pub(super) fn new(kind: &str, sequence: i64, created_millis: u64, payload_type: u32, payload: Vec<u8>) -> Self {
        let flags = if sequence == 0 { SYN } else { 0 };
        Self { kind: kind.to_owned(), created_millis, sequence, flags, id: uuid(), payload_type, payload }
    }

    /// As on the wire.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PAYLOAD_AT + self.payload.len());
        bytes.extend(HEADER_BYTES.to_be_bytes());
        bytes.extend(format!("{:<TYPE_BYTES$}", self.kind).bytes().take(TYPE_BYTES));
        bytes.extend(1_u32.to_be_bytes());
        bytes.extend(self.created_millis.to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.flags.to_be_bytes());
        let mut id = hex::decode(self.id.replace('-', "")).unwrap_or_default();
        id.resize(16, 0);
        bytes.extend(&id[8..]);
        bytes.extend(&id[..8]);
        bytes.extend(Sha256::digest(&self.payload));
        bytes.extend(self.payload_type.to_be_bytes());
        bytes.extend(u32::try_from(self.payload.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// Reads one that fills the bytes; anything else is nothing.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let header = number(bytes.get(..4)?);
        let kind = std::str::from_utf8(bytes.get(4..4 + TYPE_BYTES)?).ok()?;
        let kind = kind.trim_matches(['\0', ' ']).to_owned();
        let digest = bytes.get(80..112)?;
        let length = usize::try_from(number(bytes.get(116..120)?)).ok()?;
        let payload = bytes.get(PAYLOAD_AT..)?;
        let is_whole = header == u64::from(HEADER_BYTES) && payload.len() == length;
        let is_intact = digest.iter().all(|byte| *byte == 0) || Sha256::digest(payload)[..] == *digest;
        if !is_whole || !is_intact {
            return None;
        }
        let id = hex::encode([&bytes[72..80], &bytes[64..72]].concat());
        Some(Self {
            kind,
            created_millis: number(bytes.get(40..48)?),
            sequence: i64::from_be_bytes(bytes.get(48..56)?.try_into().ok()?),
            flags: number(bytes.get(56..64)?),
            id: format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]),
            payload_type: u32::try_from(number(bytes.get(112..116)?)).ok()?,
            payload: payload.to_vec(),
        })
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_has_its_parts_where_clients_look_for_them() {
        let mut message = Message::new(OUTPUT, 0, 0x0102, payload::OUTPUT, b"hi".to_vec());
        message.id = "00112233-4455-6677-8899-aabbccddeeff".to_owned();
        let bytes = message.write();
        assert_eq!(bytes.len(), 122);
        assert_eq!(&bytes[..4], [0, 0, 0, 116]);
        assert_eq!(&bytes[4..36], b"output_stream_data              ");
        assert_eq!(&bytes[46..48], [1, 2]);
        assert_eq!(bytes[63], 1, "the first one says so");
        assert_eq!(hex::encode(&bytes[64..80]), "8899aabbccddeeff0011223344556677");
        assert_eq!(bytes[115], 1);
        assert_eq!(&bytes[116..], [0, 0, 0, 2, b'h', b'i']);
        assert_eq!(Message::read(&bytes), Some(message));
    }

    #[test]
    fn a_message_that_is_not_whole_or_not_intact_is_none() {
        let bytes = Message::new(INPUT, 7, 1, payload::OUTPUT, b"hello".to_vec()).write();
        assert!(Message::read(&bytes[..bytes.len() - 1]).is_none());
        let mut spoiled = bytes.clone();
        spoiled[121] ^= 1;
        assert!(Message::read(&spoiled).is_none());
        spoiled[80..112].fill(0);
        assert!(Message::read(&spoiled).is_some(), "no digest, no check");
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Message::read(&bytes);
        }
    }
}
