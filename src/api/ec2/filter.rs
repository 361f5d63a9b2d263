//! What every Describe operation does with its ids, filters and pages. They all have the same members beside their ids.
//!
//! Holds: a filter that this version does not know is refused, not ignored. Nothing here has tags, so a filter by tag
//! finds nothing.

use cove_model::wildcard;
use serde_json::{Value, json};

use super::error::Ec2Error;
use crate::aws::listing;

/// EC2's limits of a page.
const RESULTS: std::ops::RangeInclusive<i64> = 5..=1000;

/// Names a property; any of the values will do.
struct Filter {
    name: String,
    values: Vec<String>,
}

/// The texts of a list of the request; the model has seen to it that they are texts.
pub(super) fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn filters(input: &Value) -> Vec<Filter> {
    let given = input["Filters"].as_array().into_iter().flatten();
    let filter =
        |it: &Value| Filter { name: it["Name"].as_str().unwrap_or_default().to_owned(), values: texts(&it["Values"]) };
    given.map(filter).collect()
}

/// One thing that may be shown.
pub(super) struct Item {
    pub(super) id: String,
    /// Every name that a filter may have, with the thing's value.
    pub(super) properties: Vec<(&'static str, String)>,
    pub(super) shown: Value,
}

/// What an id is called, in the request and in a refusal.
pub(super) struct Noun {
    pub(super) member: &'static str,
    pub(super) code: &'static str,
    pub(super) what: &'static str,
    /// The reply's member.
    pub(super) list: &'static str,
}

/// The reply: those that were asked for by id, or all, that pass every filter.
pub(super) fn answer(mut all: Vec<Item>, ids: &[String], input: &Value, noun: &Noun) -> Result<Value, Ec2Error> {
    let (filters, max_results) = (filters(input), input["MaxResults"].as_i64());
    if !ids.is_empty() && max_results.is_some() {
        return Err(Ec2Error::Combination(noun.member));
    }
    if let Some(count) = max_results.filter(|count| !RESULTS.contains(count)) {
        return Err(Ec2Error::MaxResults(count));
    }
    if let Some(id) = ids.iter().find(|id| !all.iter().any(|one| one.id == **id)) {
        return Err(Ec2Error::NotFound { code: noun.code, what: noun.what, id: id.clone() });
    }
    for filter in &filters {
        let is_of_tags = filter.name.starts_with("tag:") || filter.name == "tag-key" || filter.name == "tag-value";
        let is_known = |one: &Item| one.properties.iter().any(|(name, _)| *name == filter.name);
        if !is_of_tags && all.first().is_some_and(|one| !is_known(one)) {
            return Err(Ec2Error::Filter(filter.name.clone()));
        }
    }
    if input["DryRun"] == true {
        return Err(Ec2Error::DryRun);
    }
    all.retain(|one| (ids.is_empty() || ids.contains(&one.id)) && filters.iter().all(|filter| filter.passes(one)));
    all.sort_by(|a, b| a.id.cmp(&b.id));
    let limit = max_results.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
    let (page, next) =
        listing::page(all, input["NextToken"].as_str(), limit, |one| one.id.clone()).map_err(|_| Ec2Error::Token)?;
    let mut reply = json!({});
    reply[noun.list] = page.into_iter().map(|one| one.shown).collect();
    if let Some(next) = next {
        reply["NextToken"] = next.into();
    }
    Ok(reply)
}

impl Filter {
    fn passes(&self, one: &Item) -> bool {
        let mut of_name = one.properties.iter().filter(|(name, _)| *name == self.name);
        of_name.any(|(_, value)| self.values.iter().any(|wanted| wildcard::is_like(wanted, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ApiError;

    const NOUN: Noun = Noun { member: "ids", code: "Invalid.NotFound", what: "thing", list: "Things" };

    fn items() -> Vec<Item> {
        let one = |id: &str, zone: &str| Item {
            id: id.to_owned(),
            properties: vec![("zone", zone.to_owned()), ("id", id.to_owned())],
            shown: id.into(),
        };
        vec![one("c", "east-b"), one("a", "east-a"), one("b", "west-a")]
    }

    #[test]
    fn filters_are_all_of_any() {
        let filters = json!([{"Name": "zone", "Values": ["east-*", "north-?"]}, {"Name": "id", "Values": ["c", "b"]}]);
        let got = answer(items(), &[], &json!({"Filters": filters}), &NOUN).expect("an answer");
        assert_eq!(got, json!({"Things": ["c"]}));
        let tagged = json!({"Filters": [{"Name": "tag:a", "Values": ["*"]}]});
        assert_eq!(answer(items(), &[], &tagged, &NOUN).expect("an answer"), json!({"Things": []}));
        let unknown = json!({"Filters": [{"Name": "colour", "Values": ["red"]}]});
        assert_eq!(
            answer(items(), &[], &unknown, &NOUN).expect_err("refused").to_string(),
            "The filter 'colour' is invalid"
        );
    }

    #[test]
    fn an_id_that_is_not_there_is_named() {
        let ids = ["a".to_owned(), "x".to_owned()];
        let error = answer(items(), &ids, &json!({}), &NOUN).expect_err("refused");
        assert_eq!((error.code(), error.to_string().as_str()), ("Invalid.NotFound", "The thing 'x' does not exist"));
        assert!(answer(items(), &ids[..1], &json!({"MaxResults": 5}), &NOUN).is_err());
        assert!(answer(items(), &[], &json!({"MaxResults": 4}), &NOUN).is_err());
    }
}
