//! What every Describe operation does with its ids, filters and pages. They all have the same members beside their ids.
//!
//! Holds: a filter that EC2 does not have is refused, also where there is nothing to filter, and so is one by what is shown
//! but not looked at, such as the rules of a group. What EC2 has and nothing here does finds nothing.

use std::ops::RangeInclusive;

use cove_model::tag::Tag;
use cove_model::wildcard;
use serde_json::{Value, json};

use super::error::Ec2Error;
use crate::aws::listing::{self, Order};

/// EC2's usual limits of a page.
pub(super) const RESULTS: RangeInclusive<i64> = 5..=1000;

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
    /// What filters may name, with the thing's value; what it has several of comes as often.
    pub(super) properties: Vec<(&'static str, String)>,
    pub(super) tags: Vec<Tag>,
    pub(super) shown: Value,
}

/// What an id is called, in the request and in a refusal.
pub(super) struct Noun {
    pub(super) member: &'static str,
    pub(super) code: &'static str,
    pub(super) what: &'static str,
    /// The reply's member.
    pub(super) list: &'static str,
    /// EC2's filters beside those by tag.
    pub(super) filters: &'static [&'static str],
    pub(super) results: RangeInclusive<i64>,
}

impl Noun {
    fn has_filter(&self, name: &str) -> bool {
        name.starts_with("tag:") || matches!(name, "tag-key" | "tag-value") || self.filters.contains(&name)
    }
}

/// The reply: those that were asked for by id, or all, that pass every filter.
pub(super) fn answer(mut all: Vec<Item>, ids: &[String], input: &Value, noun: &Noun) -> Result<Value, Ec2Error> {
    let (filters, max_results) = (filters(input), input["MaxResults"].as_i64());
    if !ids.is_empty() && max_results.is_some() {
        return Err(Ec2Error::Combination(noun.member));
    }
    if let Some(value) = max_results.filter(|count| !noun.results.contains(count)) {
        return Err(Ec2Error::MaxResults { value, limits: noun.results.clone() });
    }
    if let Some(id) = ids.iter().find(|id| !all.iter().any(|one| one.id == **id)) {
        return Err(Ec2Error::NotFound { code: noun.code, what: noun.what, id: id.clone() });
    }
    if let Some(unknown) = filters.iter().find(|filter| !noun.has_filter(&filter.name)) {
        return Err(Ec2Error::Filter(unknown.name.clone()));
    }
    debug_assert!(all.iter().flat_map(|one| &one.properties).all(|(name, _)| noun.filters.contains(name)));
    if input["DryRun"] == true {
        return Err(Ec2Error::DryRun);
    }
    all.retain(|one| (ids.is_empty() || ids.contains(&one.id)) && filters.iter().all(|filter| filter.passes(one)));
    let limit = max_results.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
    let (page, next) = listing::page(all, input["NextToken"].as_str(), limit, Order::Up, |one: &Item| one.id.clone())
        .map_err(|_| Ec2Error::Token)?;
    let mut reply = json!({});
    reply[noun.list] = page.into_iter().map(|one| one.shown).collect();
    if let Some(next) = next {
        reply["NextToken"] = next.into();
    }
    Ok(reply)
}

impl Filter {
    fn passes(&self, one: &Item) -> bool {
        let is_wanted = |value: &str| self.values.iter().any(|wanted| wildcard::is_like(wanted, value));
        match self.name.as_str() {
            "tag-key" => one.tags.iter().any(|tag| is_wanted(&tag.key)),
            "tag-value" => one.tags.iter().any(|tag| is_wanted(&tag.value)),
            name => match name.strip_prefix("tag:") {
                Some(key) => one.tags.iter().any(|tag| tag.key == key && is_wanted(&tag.value)),
                None => one.properties.iter().any(|(known, value)| *known == name && is_wanted(value)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ApiError;

    const NOUN: Noun = Noun {
        member: "ids",
        code: "Invalid.NotFound",
        what: "thing",
        list: "Things",
        filters: &["zone", "id", "shade"],
        results: RESULTS,
    };

    fn items() -> Vec<Item> {
        let one = |id: &str, zone: &str| Item {
            id: id.to_owned(),
            properties: vec![("zone", zone.to_owned()), ("id", id.to_owned())],
            tags: vec![Tag { key: "of".to_owned(), value: id.to_owned() }],
            shown: id.into(),
        };
        vec![one("c", "east-b"), one("a", "east-a"), one("b", "west-a")]
    }

    #[test]
    fn filters_are_all_of_any() {
        let filters = json!([{"Name": "zone", "Values": ["east-*", "north-?"]}, {"Name": "id", "Values": ["c", "b"]}]);
        let got = answer(items(), &[], &json!({"Filters": filters}), &NOUN).expect("an answer");
        assert_eq!(got, json!({"Things": ["c"]}));
        for (name, value, found) in [
            ("tag:a", "*", json!([])),
            ("tag:of", "[ab]", json!([])),
            ("tag:of", "?", json!(["a", "b", "c"])),
            ("tag-key", "o*", json!(["a", "b", "c"])),
            ("tag-value", "b", json!(["b"])),
            ("shade", "*", json!([])),
        ] {
            let filters = json!({"Filters": [{"Name": name, "Values": [value]}]});
            assert_eq!(answer(items(), &[], &filters, &NOUN).expect("an answer"), json!({"Things": found}), "{name}");
        }
        let unknown = json!({"Filters": [{"Name": "colour", "Values": ["red"]}]});
        for all in [items(), Vec::new()] {
            let error = answer(all, &[], &unknown, &NOUN).expect_err("refused");
            assert_eq!(error.to_string(), "The filter 'colour' is invalid");
        }
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
