//! Tokens of listings: the last thing shown, in base64.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The token is none of ours, or what it names is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadToken;

/// Cuts a listing that is in order: what lies behind the token's thing, and the token of the next page. `id` says what a
/// thing is called in a token.
pub(crate) fn page<T, I: Serialize + DeserializeOwned + PartialEq>(
    mut all: Vec<T>,
    token: Option<&str>,
    limit: usize,
    id: impl Fn(&T) -> I,
) -> Result<(Vec<T>, Option<String>), BadToken> {
    if let Some(token) = token {
        let last: I = read(token)?;
        let place = all.iter().position(|one| id(one) == last).ok_or(BadToken)?;
        all.drain(..=place);
    }
    let next = (all.len() > limit).then(|| all.get(limit.saturating_sub(1)).map(|last| write(&id(last)))).flatten();
    all.truncate(limit);
    Ok((all, next))
}

fn write(id: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(id).unwrap_or_default())
}

fn read<I: DeserializeOwned>(token: &str) -> Result<I, BadToken> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| BadToken)?;
    serde_json::from_slice(&bytes).map_err(|_| BadToken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_together_are_the_whole_listing() {
        let all: Vec<u32> = (0..7).collect();
        let (mut seen, mut token, mut pages) = (Vec::new(), None, 0);
        loop {
            let (page, next) = page(all.clone(), token.as_deref(), 3, |one| *one).unwrap();
            seen.extend(page);
            pages += 1;
            match next {
                Some(next) => token = Some(next),
                None => break,
            }
        }
        assert_eq!((seen, pages), (all.clone(), 3));
        assert_eq!(page(all, Some("?"), 3, |one| *one), Err(BadToken));
    }
}
