//! GetRandomPassword.

use cove_base::ids::random_bytes;

use super::error::SecretsError;
use super::wire::{PasswordIn, PasswordOut};
use crate::Context;

const LENGTH: usize = 32;
const LOWERCASE: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPERCASE: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const NUMBERS: &str = "0123456789";
/// AWS's.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// GetRandomPassword.
pub(super) fn get(_cx: &Context, input: PasswordIn) -> Result<PasswordOut, SecretsError> {
    let kinds = [
        (!input.exclude_lowercase, LOWERCASE),
        (!input.exclude_uppercase, UPPERCASE),
        (!input.exclude_numbers, NUMBERS),
        (!input.exclude_punctuation, PUNCTUATION),
        (input.include_space, " "),
    ];
    let excluded = input.exclude_characters.as_deref().unwrap_or_default();
    let left = |kind: &str| kind.chars().filter(|one| !excluded.contains(*one)).collect::<Vec<char>>();
    let kinds: Vec<Vec<char>> = kinds.into_iter().filter(|(is_in, _)| *is_in).map(|(_, kind)| left(kind)).collect();
    let (length, needs_each) =
        (input.password_length.unwrap_or(LENGTH), input.require_each_included_type.unwrap_or(true));
    let all: Vec<char> = kinds.concat();
    if all.is_empty() {
        return Err(SecretsError::InvalidParameter("The password has no characters that it can be made from."));
    }
    if needs_each && (kinds.iter().any(Vec::is_empty) || kinds.len() > length) {
        return Err(SecretsError::InvalidParameter(
            "The password cannot have a character of each type that is included.",
        ));
    }
    let required: &[Vec<char>] = if needs_each { &kinds } else { &[] };
    let mut password: Vec<char> = required.iter().map(|kind| pick(kind)).collect();
    password.extend((password.len()..length).map(|_| pick(&all)));
    // Those that were required stand first.
    for last in (1..password.len()).rev() {
        password.swap(last, below(last + 1));
    }
    Ok(PasswordOut { random_password: password.into_iter().collect() })
}

fn pick(from: &[char]) -> char {
    from[below(from.len())]
}

/// Each number below `count` is as likely as any other.
fn below(count: usize) -> usize {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let fair = u32::MAX - u32::MAX % count;
    loop {
        let bytes = random_bytes(4);
        let number = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        if number < fair {
            return (number % count) as usize;
        }
    }
}
