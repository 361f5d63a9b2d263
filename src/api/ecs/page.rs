//! Pages of listings: sorted items in, one page and the token of the next out.
//!
//! Holds: a listing that is changed while it is read repeats nothing and misses nothing that was there all along: a
//! token carries the last item's place in the order, not its number. A token of another listing is refused.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::EcsError;
use super::wire::PageIn;

/// ECS's longest page, and its usual one.
pub(crate) const PAGE_MAX: usize = 100;

/// What is listed, and how long its pages are.
pub(crate) struct Listing {
    /// Part of the token, so that one listing's token is no good for another.
    pub(crate) name: &'static str,
    pub(crate) default: usize,
    pub(crate) max: usize,
}

impl Listing {
    /// Pages of up to 100.
    pub(crate) const fn of(name: &'static str) -> Self {
        Self { name, default: PAGE_MAX, max: PAGE_MAX }
    }

    /// The page that the request asks for. `items` are sorted upwards by their place, or downwards.
    pub(crate) fn cut<T>(
        &self,
        request: &PageIn,
        direction: Direction,
        items: Vec<(String, T)>,
    ) -> Result<(Vec<T>, Option<String>), EcsError> {
        let limit = self.limit(request.max_results)?;
        let after = request.next_token.as_deref().map(|token| self.read_token(token)).transpose()?;
        let behind = |place: &str| match (&after, direction) {
            (None, _) => true,
            (Some(after), Direction::Up) => place > after.as_str(),
            (Some(after), Direction::Down) => place < after.as_str(),
        };
        let mut rest = items.into_iter().filter(|(place, _)| behind(place));
        let mut last = None;
        let mut page = Vec::new();
        for (place, item) in rest.by_ref().take(limit) {
            last = Some(place);
            page.push(item);
        }
        let token = if rest.next().is_some() { last.map(|place| self.write_token(&place)) } else { None };
        Ok((page, token))
    }

    fn limit(&self, asked: Option<i64>) -> Result<usize, EcsError> {
        let Some(asked) = asked else { return Ok(self.default) };
        let good = usize::try_from(asked).ok().filter(|count| (1..=self.max).contains(count));
        good.ok_or_else(|| EcsError::parameter(format!("maxResults must be between 1 and {}.", self.max)))
    }

    fn write_token(&self, place: &str) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}\0{place}", self.name))
    }

    fn read_token(&self, token: &str) -> Result<String, EcsError> {
        let text = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let place = text.as_deref().and_then(|text| text.split_once('\0')).filter(|(name, _)| *name == self.name);
        place.map(|(_, place)| place.to_owned()).ok_or_else(|| EcsError::parameter("Invalid token."))
    }
}

/// Which way the items are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(names: &[&str]) -> Vec<(String, String)> {
        names.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect()
    }

    #[test]
    fn pages_follow_one_another_while_the_listing_changes() {
        let listing = Listing::of("things");
        let first = PageIn { max_results: Some(2), next_token: None };
        let (page, token) = listing.cut(&first, Direction::Up, items(&["a", "c", "d"])).expect("a page");
        assert_eq!(page, ["a", "c"]);
        let second = PageIn { max_results: Some(2), next_token: token };
        let (page, token) = listing.cut(&second, Direction::Up, items(&["a", "b", "d", "e"])).expect("a page");
        assert_eq!((page, token), (vec!["d".to_owned(), "e".to_owned()], None));
    }

    #[test]
    fn tokens_of_others_and_bad_sizes_are_refused() {
        let token = Listing::of("others").write_token("a");
        for (token, max) in [(Some(token), None), (Some("???".to_owned()), None), (None, Some(0)), (None, Some(101))] {
            let request = PageIn { next_token: token, max_results: max };
            assert!(Listing::of("things").cut(&request, Direction::Up, items(&["a"])).is_err());
        }
    }
}
