//! Random identifiers in the forms that AWS uses.

/// `2 × bytes` lowercase hex digits from the kernel's random source.
#[must_use]
pub fn random_hex(bytes: usize) -> String {
    hex::encode(random_bytes(bytes))
}

/// Random bytes from the kernel. Panics only if the kernel has no random source, which no supported host lacks.
#[must_use]
pub fn random_bytes(count: usize) -> Vec<u8> {
    let mut buffer = vec![0; count];
    #[cfg(debug_assertions)]
    if seeded::fill(&mut buffer) {
        return buffer;
    }
    getrandom::fill(&mut buffer).expect("the kernel answers getrandom once it has booted");
    buffer
}

/// A random number, as a seed for decisions that need one.
#[must_use]
pub fn random_u64() -> u64 {
    u64::from_le_bytes(*random_bytes(8).first_chunk().expect("eight bytes were asked for"))
}

/// A version 4 UUID, as in request ids and attachment ids.
#[must_use]
pub fn uuid() -> String {
    let mut bytes = random_bytes(16);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let text = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

/// Numbers out of a seed instead of random ones, for simulations that can be had again. A release has none of this.
#[cfg(debug_assertions)]
pub mod seeded {
    use std::cell::Cell;

    thread_local! {
        static STATE: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// From now on everything random on this thread follows from the seed; `None`: from the kernel again.
    pub fn begin(seed: Option<u64>) {
        STATE.set(seed);
    }

    /// Whether this thread has a seed, and the buffer was filled from it.
    pub(super) fn fill(buffer: &mut [u8]) -> bool {
        let Some(mut state) = STATE.get() else { return false };
        for part in buffer.chunks_mut(8) {
            // splitmix64.
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            part.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()[..part.len()]);
        }
        STATE.set(Some(state));
        true
    }
}

#[cfg(test)]
mod tests {
    #[cfg(debug_assertions)]
    #[test]
    fn a_seeded_thread_draws_the_same_again() {
        let draw = || {
            super::seeded::begin(Some(7));
            (super::uuid(), super::random_hex(5), super::random_u64())
        };
        assert_eq!(draw(), draw());
        super::seeded::begin(None);
        assert_ne!(super::random_u64(), super::random_u64());
    }

    #[test]
    fn a_uuid_has_version_and_variant() {
        let id = super::uuid();
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]));
    }
}
