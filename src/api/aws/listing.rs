//! Pages of listings, and their tokens: the place of the last thing shown, in base64.
//!
//! Holds: a listing that is changed while it is read repeats nothing and misses nothing that was there all along; whoever
//! deletes what a page showed gets the next page all the same.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The token is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadToken;

/// Which way a listing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Up,
    Down,
}

/// Sorts a listing and cuts it: what lies behind the token's place, and the token of the next page. `place` is where a
/// thing stands, which no two share.
pub(crate) fn page<T, P: Serialize + DeserializeOwned + Ord>(
    mut all: Vec<T>,
    token: Option<&str>,
    limit: usize,
    order: Order,
    place: impl Fn(&T) -> P,
) -> Result<(Vec<T>, Option<String>), BadToken> {
    let compared = |one: &P, other: &P| match order {
        Order::Up => one.cmp(other),
        Order::Down => other.cmp(one),
    };
    if let Some(token) = token {
        let last: P = read(token)?;
        all.retain(|one| compared(&place(one), &last).is_gt());
    }
    all.sort_by(|one, other| compared(&place(one), &place(other)));
    let next = (all.len() > limit).then(|| all.get(limit.saturating_sub(1)).map(|last| write(&place(last)))).flatten();
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

    /// What the pages show, of which each may take from the listing what it showed.
    fn walk(all: &[u32], order: Order, deletes: bool) -> Vec<Vec<u32>> {
        let (mut all, mut seen, mut token) = (all.to_vec(), Vec::new(), None);
        loop {
            let (shown, next) = page(all.clone(), token.as_deref(), 3, order, |one| *one).unwrap();
            all.retain(|one| !deletes || !shown.contains(one));
            seen.push(shown);
            match next {
                Some(next) => token = Some(next),
                None => return seen,
            }
        }
    }

    #[test]
    fn pages_together_are_the_whole_listing_also_for_whoever_deletes_what_they_show() {
        for deletes in [false, true] {
            let up = walk(&[4, 0, 2, 1, 6, 5, 3], Order::Up, deletes);
            assert_eq!(up, [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
            let down = walk(&[4, 0, 2, 1, 3, 5], Order::Down, deletes);
            assert_eq!(down, [[5, 4, 3], [2, 1, 0]]);
        }
        assert_eq!(page(vec![1], Some("?"), 3, Order::Up, |one| *one), Err(BadToken));
    }
}
