//! Cuts a pipe's bytes into lines. What has no line end yet waits, up to the longest event.

use crate::format::EVENT_BYTES_MAX;

/// The unfinished line of one pipe.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Calls `each` with every line that `bytes` completes, without its line end.
    pub(crate) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            if self.partial.is_empty() {
                pieces(line, &mut each);
            } else {
                self.partial.extend_from_slice(line);
                pieces(&self.partial, &mut each);
                self.partial.clear();
            }
        }
        self.partial.extend_from_slice(rest);
        // Only above the limit: a line of just that length may still get its line end.
        while self.partial.len() > EVENT_BYTES_MAX {
            let cut = cut_at(&self.partial);
            each(&self.partial[..cut]);
            self.partial.drain(..cut);
        }
        if self.partial.is_empty() && self.partial.capacity() > SPARE_MAX {
            self.partial = Vec::new();
        }
    }

    /// The end of the pipe: what is left is a line.
    pub(crate) fn finish(&mut self, mut each: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            pieces(&self.partial, &mut each);
            self.partial = Vec::new();
        }
    }
}

/// Memory that an idle container may keep for its unfinished line.
const SPARE_MAX: usize = 8 << 10;

fn pieces(line: &[u8], each: &mut impl FnMut(&[u8])) {
    let mut rest = line;
    while rest.len() > EVENT_BYTES_MAX {
        let (head, tail) = rest.split_at(cut_at(rest));
        each(head);
        rest = tail;
    }
    each(rest);
}

/// Where a line that is too long is cut: at the limit, or a few bytes earlier so as not to cut a UTF-8 character.
fn cut_at(line: &[u8]) -> usize {
    let continues = |at: usize| line[at] & 0xC0 == 0x80;
    (EVENT_BYTES_MAX - 3..=EVENT_BYTES_MAX).rev().find(|at| !continues(*at)).unwrap_or(EVENT_BYTES_MAX)
}
