//! Messages as bytes: a header, a fixed part, then attributes (length, type, payload padded to four).

use std::borrow::Cow;

pub(in super::super) const REQUEST: u16 = 1;
pub(in super::super) const ACK: u16 = 4;
pub(in super::super) const DUMP: u16 = 0x300;
pub(in super::super) const REPLACE: u16 = 0x100;
pub(in super::super) const EXCL: u16 = 0x200;
pub(in super::super) const CREATE: u16 = 0x400;
pub(in super::super) const APPEND: u16 = 0x800;

const NESTED: u16 = 0x8000;
const HEADER: usize = 16;

/// A run of attributes.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Attributes(Vec<u8>);

impl Attributes {
    pub(in super::super) fn new() -> Self {
        Self::default()
    }

    pub(in super::super) fn bytes(mut self, kind: u16, payload: &[u8]) -> Self {
        let length = u16::try_from(payload.len() + 4).expect("attributes of ours are far below 64 KiB");
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(payload);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Host order: links, routes.
    pub(in super::super) fn number(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// Network order: everything of netfilter.
    pub(in super::super) fn big(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// With the NUL at its end.
    pub(in super::super) fn text(self, kind: u16, value: &str) -> Self {
        let mut payload = value.as_bytes().to_vec();
        payload.push(0);
        self.bytes(kind, &payload)
    }

    pub(in super::super) fn nest(self, kind: u16, inner: &Attributes) -> Self {
        self.bytes(kind | NESTED, &inner.0)
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub(in super::super) fn extend(mut self, more: &Attributes) -> Self {
        self.0.extend_from_slice(&more.0);
        self
    }
}

/// One message, without its sequence number.
#[derive(Debug, Clone)]
pub(in super::super) struct Message(Vec<u8>);

impl Message {
    /// `fixed` is the family's own header (a multiple of four bytes).
    pub(in super::super) fn new(kind: u16, flags: u16, fixed: &[u8], attributes: &Attributes) -> Self {
        let length = HEADER + fixed.len() + attributes.0.len();
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&u32::try_from(length).expect("a message is small").to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | REQUEST).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(fixed);
        bytes.extend_from_slice(&attributes.0);
        Self(bytes)
    }
}

/// Messages that leave in one `sendto`.
#[derive(Debug, Default)]
pub(in super::super) struct Batch {
    bytes: Vec<u8>,
    /// What each message tries, for errors.
    labels: Vec<Cow<'static, str>>,
    acknowledged: Vec<bool>,
    offsets: Vec<usize>,
}

impl Batch {
    pub(in super::super) fn new() -> Self {
        Self::default()
    }

    /// Adds a message that the kernel acknowledges.
    pub(in super::super) fn push(&mut self, label: impl Into<Cow<'static, str>>, message: Message) {
        self.push_silent(label, message);
        self.acknowledge_last();
    }

    /// Adds a message that only answers when it fails.
    pub(in super::super) fn push_silent(&mut self, label: impl Into<Cow<'static, str>>, message: Message) {
        self.offsets.push(self.bytes.len());
        self.bytes.extend(message.0);
        self.labels.push(label.into());
        self.acknowledged.push(false);
    }

    /// Asks for the acknowledgement of the message added last.
    pub(in super::super) fn acknowledge_last(&mut self) {
        if let (Some(&offset), Some(last)) = (self.offsets.last(), self.acknowledged.last_mut()) {
            *last = true;
            let flags = u16::from_ne_bytes([self.bytes[offset + 6], self.bytes[offset + 7]]) | ACK;
            self.bytes[offset + 6..offset + 8].copy_from_slice(&flags.to_ne_bytes());
        }
    }

    pub(in super::super) fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    pub(in super::super) fn len(&self) -> usize {
        self.offsets.len()
    }

    pub(super) fn label(&self, index: usize) -> Cow<'static, str> {
        self.labels.get(index).cloned().unwrap_or(Cow::Borrowed("answer"))
    }

    pub(super) fn acknowledgements(&self) -> usize {
        self.acknowledged.iter().filter(|asked| **asked).count()
    }

    /// The bytes with sequence numbers from `first` on.
    pub(super) fn numbered(&self, first: u32) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for (index, offset) in self.offsets.iter().enumerate() {
            let sequence = first.wrapping_add(u32::try_from(index).unwrap_or(u32::MAX));
            bytes[offset + 8..offset + 12].copy_from_slice(&sequence.to_ne_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_to_four_and_nests_carry_their_bit() {
        let inner = Attributes::new().bytes(1, &[7]);
        let outer = Attributes::new().nest(2, &inner).text(3, "ab");
        assert_eq!(outer.0, [12, 0, 2, 0x80, 5, 0, 1, 0, 7, 0, 0, 0, 7, 0, 3, 0, b'a', b'b', 0, 0]);
    }

    #[test]
    fn a_batch_numbers_its_messages_and_asks_for_the_wanted_acknowledgements() {
        let mut batch = Batch::new();
        batch.push_silent("one", Message::new(9, 0, &[], &Attributes::new()));
        batch.push("two", Message::new(9, 0, &[], &Attributes::new()));
        let bytes = batch.numbered(40);
        assert_eq!((bytes[8], bytes[24], bytes[6], bytes[22]), (40, 41, 1, 5));
        assert_eq!((batch.len(), batch.acknowledgements()), (2, 1));
    }
}
