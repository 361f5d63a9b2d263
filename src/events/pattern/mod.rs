//! Event patterns: which events a rule is for.
//!
//! In: JSON text. Out: a [`Pattern`], or what is wrong with it; and whether an event matches.
//!
//! Holds: matching takes time in proportion to pattern times event, whatever a client writes; fields of a pattern are joined
//! by "and", values of a list by "or", and `$or` joins whole patterns.

mod filter;
mod text;

use serde_json::{Map, Value};

use filter::Filter;

/// How deep a pattern may nest.
const DEPTH_MAX: usize = 32;
/// Fields times alternatives of all `$or` together: AWS's limit.
const OR_MAX: usize = 1000;

/// A checked pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern(Node);

/// What is wrong with a pattern, in AWS's words as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Event pattern is not valid. Reason: {0}")]
pub struct BadPattern(String);

impl BadPattern {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// All fields must match, and one of each group of alternatives.
#[derive(Debug, Clone, Default, PartialEq)]
struct Node {
    fields: Vec<(String, Field)>,
    alternatives: Vec<Vec<Node>>,
}

#[derive(Debug, Clone, PartialEq)]
enum Field {
    Below(Node),
    Any(Vec<Filter>),
}

impl Pattern {
    /// Reads and checks a pattern.
    ///
    /// # Errors
    /// When it is no pattern.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| BadPattern::new(format!("it is not JSON: {error}")))?;
        let Value::Object(fields) = value else { return Err(BadPattern::new("Filter is not an object")) };
        let mut alternatives = 1;
        let node = node(&fields, 0, &mut alternatives)?;
        if node.fields.is_empty() && node.alternatives.is_empty() {
            return Err(BadPattern::new("Empty objects are not allowed"));
        }
        Ok(Self(node))
    }

    /// Whether the event, in the form that targets get, is one of those.
    #[must_use]
    pub fn matches(&self, event: &Value) -> bool {
        matches(&self.0, Some(event))
    }
}

fn node(fields: &Map<String, Value>, depth: usize, alternatives: &mut usize) -> Result<Node, BadPattern> {
    if depth > DEPTH_MAX {
        return Err(BadPattern::new(format!("it nests deeper than {DEPTH_MAX} levels")));
    }
    let mut out = Node::default();
    for (name, value) in fields {
        match value {
            Value::Array(items) if name == "$or" => {
                out.alternatives.push(either(items, depth, alternatives)?);
            }
            Value::Object(below) if below.is_empty() => return Err(BadPattern::new("Empty objects are not allowed")),
            Value::Object(below) => {
                out.fields.push((name.clone(), Field::Below(node(below, depth + 1, alternatives)?)));
            }
            Value::Array(items) if items.is_empty() => return Err(BadPattern::new("Empty arrays are not allowed")),
            Value::Array(items) => {
                let filters = items.iter().map(Filter::parse).collect::<Result<_, _>>()?;
                out.fields.push((name.clone(), Field::Any(filters)));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Err(BadPattern::new(format!("\"{name}\" must be an object or an array")));
            }
        }
    }
    Ok(out)
}

fn either(items: &[Value], depth: usize, alternatives: &mut usize) -> Result<Vec<Node>, BadPattern> {
    if items.len() < 2 {
        return Err(BadPattern::new("There must have at least 2 Objects in $or relationship."));
    }
    *alternatives = alternatives.saturating_mul(items.len());
    if *alternatives > OR_MAX {
        return Err(BadPattern::new(format!("it has more than {OR_MAX} combinations of $or")));
    }
    let object = |item: &Value| match item {
        Value::Object(fields) if !fields.is_empty() => node(fields, depth + 1, alternatives),
        _ => Err(BadPattern::new("Only non-empty Object is allowed in array of $or relationship.")),
    };
    items.iter().map(object).collect()
}

/// `None`: there is no such thing in the event. An array matches when one of its elements does, as a whole.
fn matches(node: &Node, value: Option<&Value>) -> bool {
    if let Some(Value::Array(items)) = value
        && !items.is_empty()
    {
        return items.iter().any(|item| matches(node, Some(item)));
    }
    let below = |name: &str| value.and_then(|value| value.get(name));
    node.fields.iter().all(|(name, field)| match field {
        Field::Below(node) => matches(node, below(name)),
        Field::Any(filters) => filters.iter().any(|filter| filter.matches(below(name))),
    }) && node.alternatives.iter().all(|group| group.iter().any(|node| matches(node, value)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn says(pattern: Value, event: Value) -> bool {
        Pattern::parse(&pattern.to_string()).unwrap_or_else(|error| panic!("{pattern}: {error}")).matches(&event)
    }

    /// Events that match, and events that do not.
    fn tells(pattern: Value, yes: &[Value], no: &[Value]) {
        for event in yes {
            assert!(says(pattern.clone(), event.clone()), "{pattern} should match {event}");
        }
        for event in no {
            assert!(!says(pattern.clone(), event.clone()), "{pattern} should not match {event}");
        }
    }

    #[test]
    fn fields_are_joined_by_and_and_values_by_or() {
        let task = json!({"source": "aws.ecs", "detail": {"lastStatus": "STOPPED", "containers": [{"exitCode": 1}]}});
        tells(
            json!({"source": ["aws.ec2", "aws.ecs"]}),
            std::slice::from_ref(&task),
            &[json!({"source": "aws"}), json!({})],
        );
        tells(json!({"source": ["aws.ecs"], "detail": {"lastStatus": ["RUNNING"]}}), &[], std::slice::from_ref(&task));
        tells(json!({"detail": {"containers": {"exitCode": [1]}}}), &[task], &[json!({"detail": {"containers": []}})]);
    }

    #[test]
    fn numbers_booleans_null_and_arrays_are_compared_as_they_are_written() {
        tells(
            json!({"a": [1, true, null]}),
            &[json!({"a": 1}), json!({"a": true}), json!({"a": null}), json!({"a": [5, 1]})],
            &[json!({"a": "1"}), json!({"a": 1.5}), json!({"a": false}), json!({})],
        );
    }

    #[test]
    fn every_filter_does_what_its_name_says() {
        let of = |filter: Value| json!({"a": [filter]});
        let with = |values: &[Value]| -> Vec<Value> { values.iter().map(|value| json!({"a": value})).collect() };
        let cases = [
            (json!({"prefix": "ab"}), vec![json!("abc"), json!("ab")], vec![json!("xab"), json!(1)]),
            (json!({"prefix": {"equals-ignore-case": "aB"}}), vec![json!("Abc")], vec![json!("xab")]),
            (json!({"suffix": ".png"}), vec![json!("x.png")], vec![json!("x.PNG")]),
            (json!({"suffix": {"equals-ignore-case": ".png"}}), vec![json!("x.PNG")], vec![json!("png")]),
            (json!({"equals-ignore-case": "ÄB"}), vec![json!("äb")], vec![json!("abx")]),
            (json!({"anything-but": "x"}), vec![json!("y"), json!(1)], vec![json!("x")]),
            (json!({"anything-but": ["x", "y"]}), vec![json!("z")], vec![json!("x"), json!("y")]),
            (json!({"anything-but": [1, 2]}), vec![json!(3)], vec![json!(1)]),
            (json!({"anything-but": {"prefix": "in"}}), vec![json!("out")], vec![json!("init")]),
            (json!({"anything-but": {"prefix": ["in", "out"]}}), vec![json!("x")], vec![json!("init"), json!("out")]),
            (json!({"anything-but": {"suffix": "z"}}), vec![json!("a")], vec![json!("az")]),
            (
                json!({"anything-but": {"equals-ignore-case": ["A", "b"]}}),
                vec![json!("c")],
                vec![json!("a"), json!("B")],
            ),
            (json!({"anything-but": {"wildcard": "*/lib/*"}}), vec![json!("/usr/bin")], vec![json!("/usr/lib/x")]),
            (json!({"wildcard": "dir/*.png"}), vec![json!("dir/.png"), json!("dir/a/b.png")], vec![json!("dir/a.jpg")]),
            (json!({"wildcard": "a\\*b"}), vec![json!("a*b")], vec![json!("axb")]),
            (json!({"cidr": "10.0.0.0/24"}), vec![json!("10.0.0.255")], vec![json!("10.0.1.0"), json!("x"), json!(1)]),
            (
                json!({"cidr": "2001:db8::/32"}),
                vec![json!("2001:db8:1::1")],
                vec![json!("2001:db9::"), json!("10.0.0.1")],
            ),
            (json!({"numeric": [">", 0, "<=", 5]}), vec![json!(5), json!(0.1)], vec![json!(0), json!(5.1), json!("3")]),
            (json!({"numeric": ["=", 3.018e2]}), vec![json!(301.8)], vec![json!(301)]),
            (json!({"exists": true}), vec![json!("x"), json!(null)], vec![json!({"b": 1})]),
        ];
        for (filter, yes, no) in cases {
            tells(of(filter), &with(&yes), &with(&no));
        }
        tells(
            json!({"a": {"b": [{"exists": false}]}}),
            &[json!({}), json!({"a": {"c": 1}})],
            &[json!({"a": {"b": 1}})],
        );
        tells(json!({"a": [{"anything-but": "x"}]}), &[], &[json!({})]);
    }

    #[test]
    fn or_joins_patterns() {
        let pattern =
            json!({"source": ["s"], "$or": [{"detail": {"c": [{"numeric": [">", 10]}]}}, {"detail": {"d": ["x"]}}]});
        tells(
            pattern,
            &[json!({"source": "s", "detail": {"c": 11}}), json!({"source": "s", "detail": {"c": 1, "d": "x"}})],
            &[json!({"source": "s", "detail": {"c": 1}}), json!({"source": "t", "detail": {"c": 11}})],
        );
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_a_reason() {
        let cases = [
            ("[1]", "not an object"),
            ("{", "not JSON"),
            ("{}", "Empty objects"),
            (r#"{"a": "x"}"#, "must be an object or an array"),
            (r#"{"a": []}"#, "Empty arrays"),
            (r#"{"a": {}}"#, "Empty objects"),
            (r#"{"a": [{"perhaps": 1}]}"#, "Unrecognized match type perhaps"),
            (r#"{"a": [{"prefix": 1}]}"#, "prefix"),
            (r#"{"a": [{"numeric": [">"]}]}"#, "numeric"),
            (r#"{"a": [{"numeric": ["<", 5, ">", 1]}]}"#, "numeric"),
            (r#"{"a": [{"cidr": "10.0.0.0/33"}]}"#, "CIDR"),
            (r#"{"a": [{"exists": "yes"}]}"#, "exists"),
            (r#"{"a": [{"wildcard": "a**b"}]}"#, "wildcard"),
            (r#"{"a": [{"anything-but": []}]}"#, "anything-but"),
            (r#"{"a": [[1]]}"#, "array"),
            (r#"{"$or": [{"a": [1]}]}"#, "at least 2"),
        ];
        for (text, words) in cases {
            let error = Pattern::parse(text).expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[\\[\\]{}\":,a-z0-9$*.-]{0,40}") {
            if let Ok(pattern) = Pattern::parse(&text) {
                let _ = pattern.matches(&json!({"a": ["b", {"c": 1}]}));
            }
        }

        #[test]
        fn an_event_matches_the_pattern_of_its_own_values(a: String, b: i32, c: bool) {
            let event = json!({"x": a, "y": {"z": b, "w": [c]}});
            let matched = says(json!({"x": [a], "y": {"z": [b], "w": [c]}}), event);
            prop_assert!(matched);
        }
    }
}
