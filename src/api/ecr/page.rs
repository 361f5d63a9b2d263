//! Pages of lists. The token is the key of the last item, so that a list that changes between two pages neither repeats
//! nor loses what stayed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::EcrError;
use super::request::PageIn;

/// ECR's default for `maxResults`.
const DEFAULT: usize = 100;

/// The items after the token and the token of the next page. Items are in the order of their keys.
pub(super) fn page<T>(
    items: Vec<T>,
    key: impl Fn(&T) -> String,
    wanted: &PageIn,
) -> Result<(Vec<T>, Option<String>), EcrError> {
    let after = wanted.next_token.as_deref().map(decode).transpose()?;
    let count = wanted.max_results.unwrap_or(DEFAULT).max(1);
    let mut rest = items.into_iter().filter(|item| after.as_ref().is_none_or(|after| key(item) > *after));
    let page: Vec<T> = rest.by_ref().take(count).collect();
    let next = match (rest.next(), page.last()) {
        (Some(_), Some(last)) => Some(encode(&key(last))),
        (Some(_) | None, _) => None,
    };
    Ok((page, next))
}

/// The token behind the item of a key.
pub(super) fn encode(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// The key in a token.
pub(super) fn decode(token: &str) -> Result<String, EcrError> {
    let bad = || {
        EcrError::InvalidParameter(
            "Invalid parameter at 'nextToken' failed to satisfy constraint: 'must be a token of this list'".to_owned(),
        )
    };
    String::from_utf8(URL_SAFE_NO_PAD.decode(token).map_err(|_| bad())?).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_join_to_the_whole_list() {
        let all = vec!["a", "b", "c"];
        let wanted = |next_token| PageIn { next_token, max_results: Some(2) };
        let (first, token) = page(all.clone(), |item| (*item).to_owned(), &wanted(None)).expect("a page");
        assert_eq!(first, ["a", "b"]);
        let (second, end) = page(all, |item| (*item).to_owned(), &wanted(token)).expect("a page");
        assert_eq!((second, end), (vec!["c"], None));
        assert!(page(vec!["a"], |item| (*item).to_owned(), &wanted(Some("!".to_owned()))).is_err());
    }
}
