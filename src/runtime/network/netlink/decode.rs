//! Bytes as messages and attributes. Each step moves forward by at least a header and stays inside the buffer; what
//! does not fit ends the iteration.

const HEADER: usize = 16;
const KIND_MASK: u16 = 0x3fff;

/// One message of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Reply<'a> {
    pub(in super::super) kind: u16,
    pub(in super::super) flags: u16,
    pub(in super::super) sequence: u32,
    pub(in super::super) body: &'a [u8],
}

impl<'a> Reply<'a> {
    /// The family's fixed header of `length` bytes and the attributes after it; `None` when it is cut short.
    pub(in super::super) fn split(&self, length: usize) -> Option<(&'a [u8], &'a [u8])> {
        self.body.split_at_checked(length)
    }
}

/// The messages in a datagram.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Reply<'_>> {
    std::iter::from_fn(move || {
        let header = bytes.get(..HEADER)?;
        let length = u32::from_ne_bytes(header[0..4].try_into().ok()?) as usize;
        let body = bytes.get(HEADER..length)?;
        let reply = Reply {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            flags: u16::from_ne_bytes([header[6], header[7]]),
            sequence: u32::from_ne_bytes(header[8..12].try_into().ok()?),
            body,
        };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(reply)
    })
}

/// The attributes in a run: type without its flag bits, and payload.
pub(in super::super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let header = bytes.get(..4)?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & KIND_MASK;
        let payload = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    })
}

/// The first attribute of a type.
pub(in super::super) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, payload)| payload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_that_points_backwards_or_beyond_ends_the_walk() {
        assert_eq!(attributes(&[3, 0, 1, 0, 0, 0, 0, 0]).count(), 0);
        assert_eq!(attributes(&[9, 0, 1, 0, 0, 0, 0, 0]).count(), 0);
        assert_eq!(attributes(&[4, 0, 1, 0, 5, 0, 2, 0, 9]).collect::<Vec<_>>(), [(1, &[][..]), (2, &[9][..])]);
        assert_eq!(messages(&[0; 64]).count(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_without_panic_and_without_end_less_loops(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let mut steps = 0;
            for reply in messages(&bytes) {
                steps += 1;
                prop_assert!(reply.body.len() < bytes.len());
                for (_, payload) in attributes(reply.body) {
                    steps += 1 + attributes(payload).count();
                }
            }
            prop_assert!(steps <= bytes.len());
            prop_assert!(attributes(&bytes).count() <= bytes.len() / 4);
        }

        #[test]
        fn small_lengths_are_walked_as_well(bytes in prop::collection::vec(0u8..24, 0..256)) {
            prop_assert!(messages(&bytes).count() <= bytes.len() / 16);
            prop_assert!(attributes(&bytes).count() <= bytes.len() / 4);
        }
    }
}
