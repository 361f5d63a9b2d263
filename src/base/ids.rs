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

#[cfg(test)]
mod tests {
    #[test]
    fn a_uuid_has_version_and_variant() {
        let id = super::uuid();
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]));
    }
}
