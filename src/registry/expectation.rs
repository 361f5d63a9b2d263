//! What must be there for a manifest push to count: HTTP's `If-Match` and `If-None-Match`, by digest.
//!
//! Two clients that move one tag do not overwrite each other unseen: who has read an older image is refused. Asked inside
//! the transaction of the push.

use crate::error::RegistryError;

/// The condition of a push, about the image that the reference names so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Expectation {
    #[default]
    Nothing,
    /// It is one of these; `*` is any.
    Is(Vec<String>),
    /// It is none of these; with `*` there must be none.
    IsNot(Vec<String>),
}

impl Expectation {
    /// Reads a list of entity tags. Weak ones never match, as HTTP says of `If-Match`; digests are strong.
    #[must_use]
    pub fn list(text: &str) -> Vec<String> {
        text.split(',').map(|one| one.trim().trim_matches('"').to_owned()).filter(|one| !one.is_empty()).collect()
    }

    /// Refuses when the image that is there is not as expected.
    pub(crate) fn check(&self, reference: &str, found: Option<&str>) -> Result<(), RegistryError> {
        let named = |list: &[String]| found.is_some_and(|found| list.iter().any(|one| one == "*" || one == found));
        let met = match self {
            Self::Nothing => true,
            Self::Is(list) => named(list),
            Self::IsNot(list) => !named(list),
        };
        if met {
            return Ok(());
        }
        Err(RegistryError::NotAsExpected { reference: reference.to_owned(), found: found.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_about_what_is_there() {
        let met = |wish: Expectation, found: Option<&str>| wish.check("1", found).is_ok();
        let (is, is_not) = (
            |text: &str| Expectation::Is(Expectation::list(text)),
            |text: &str| Expectation::IsNot(Expectation::list(text)),
        );
        assert!(met(is("\"sha256:a\", \"sha256:b\""), Some("sha256:b")));
        assert!(!met(is("\"sha256:a\""), Some("sha256:b")) && !met(is("\"sha256:a\""), None));
        assert!(!met(is("W/\"sha256:a\""), Some("sha256:a")), "a weak tag");
        assert!(met(is("*"), Some("x")) && !met(is("*"), None) && !met(is(""), Some("x")));
        assert!(met(is_not("*"), None) && !met(is_not("*"), Some("x")) && met(is_not("\"y\""), Some("x")));
    }
}
