//! Reads a lifecycle policy. Pure.
//!
//! In: JSON that anyone may have sent. Out: its rules in the order of their priority, or AWS's reason why not.

use cove_model::wildcard;
use serde_json::{Map, Value};

/// AWS's quota.
const RULES_MAX: usize = 50;
/// AWS's limit per pattern of tags.
const WILDCARDS_MAX: usize = 4;
/// Below that AWS takes no rule about time in the archive: it is the least that storage there is paid for.
const ARCHIVED_DAYS_MIN: u64 = 90;

/// A policy that was checked; lowest priority number first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub priority: u64,
    pub(crate) tags: Tags,
    /// Whether it selects archived images, else active ones.
    pub(crate) of_archive: bool,
    pub(crate) count: Count,
    pub action: Action,
}

/// Which images a rule looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tags {
    Any,
    Untagged,
    /// Each must fit some tag.
    Prefixes(Vec<String>),
    Patterns(Vec<String>),
}

impl Tags {
    pub(crate) fn fit(&self, tags: &[String]) -> bool {
        match self {
            Self::Any => true,
            Self::Untagged => tags.is_empty(),
            Self::Prefixes(all) => all.iter().all(|prefix| tags.iter().any(|tag| tag.starts_with(prefix))),
            Self::Patterns(all) => all.iter().all(|pattern| tags.iter().any(|tag| wildcard::matches(pattern, tag))),
        }
    }
}

/// What makes an image one too many or too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    MoreThan(u64),
    DaysSincePushed(u64),
    DaysSincePulled(u64),
    DaysSinceTransitioned(u64),
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Expire,
    Archive,
}

impl Policy {
    /// Reads and checks.
    ///
    /// # Errors
    /// What is wrong, in AWS's words where they are known.
    pub fn parse(text: &str) -> Result<Self, String> {
        let unreadable = || "Could not map policyString into LifecyclePolicy.".to_owned();
        let value: Value = serde_json::from_str(text).map_err(|_| unreadable())?;
        let policy = value.as_object().ok_or_else(unreadable)?;
        members(policy, &["rules"], &["rules"])?;
        let rules = policy["rules"].as_array().ok_or_else(|| wrong_type(&policy["rules"], "array"))?;
        match rules.len() {
            0 => return Err("array is too short: must have at least 1 elements but instance has 0 elements".to_owned()),
            count if count > RULES_MAX => {
                return Err(format!(
                    "array is too long: must have at most {RULES_MAX} elements but instance has {count} elements"
                ));
            }
            _ => {}
        }
        let mut rules = rules.iter().map(rule).collect::<Result<Vec<_>, _>>()?;
        rules.sort_by_key(|rule| rule.priority);
        together(&rules)?;
        Ok(Self { rules })
    }
}

fn rule(value: &Value) -> Result<Rule, String> {
    let rule = object(value)?;
    members(rule, &["rulePriority", "selection", "action"], &["rulePriority", "description", "selection", "action"])?;
    if let Some(text) = rule.get("description") {
        text.as_str().ok_or_else(|| wrong_type(text, "string"))?;
    }
    let (of_archive, tags, count) = selection(object(&rule["selection"])?)?;
    let action = action(object(&rule["action"])?)?;
    if of_archive && action == Action::Archive {
        return Err("A rule that selects archived images can only expire them.".to_owned());
    }
    Ok(Rule { priority: number(&rule["rulePriority"], 1)?, tags, of_archive, count, action })
}

fn action(action: &Map<String, Value>) -> Result<Action, String> {
    members(action, &["type"], &["type", "targetStorageClass"])?;
    let target = action.get("targetStorageClass").map(|target| word(target, &["archive"])).transpose()?;
    match (word(&action["type"], &["expire", "transition"])?, target) {
        ("expire", None) => Ok(Action::Expire),
        ("transition", Some(_)) => Ok(Action::Archive),
        _ => Err(no_schema()),
    }
}

const SELECTION: &[&str] =
    &["tagStatus", "tagPatternList", "tagPrefixList", "storageClass", "countType", "countUnit", "countNumber"];

fn selection(selection: &Map<String, Value>) -> Result<(bool, Tags, Count), String> {
    members(selection, &["tagStatus", "countType", "countNumber"], SELECTION)?;
    let list = |name: &str| selection.get(name).map(texts).transpose();
    let tags = match (
        word(&selection["tagStatus"], &["tagged", "untagged", "any"])?,
        list("tagPrefixList")?,
        list("tagPatternList")?,
    ) {
        ("tagged", Some(prefixes), None) => Tags::Prefixes(prefixes),
        ("tagged", None, Some(patterns)) => Tags::Patterns(patterns),
        ("tagged", None, None) => {
            return Err("Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.".to_owned());
        }
        ("tagged", Some(_), Some(_)) => {
            return Err("Must specify either tagPrefixList or tagPatternList, not both.".to_owned());
        }
        ("untagged", None, None) => Tags::Untagged,
        (_, None, None) => Tags::Any,
        (status, ..) => {
            let status = status.to_uppercase();
            return Err(format!("Must not specify tagPrefixList or tagPatternList when tagStatus={status}."));
        }
    };
    if let Tags::Patterns(patterns) = &tags
        && let Some(pattern) = patterns.iter().find(|pattern| pattern.matches('*').count() > WILDCARDS_MAX)
    {
        return Err(format!("tagPattern '{pattern}' has more than {WILDCARDS_MAX} wildcards."));
    }
    let of_archive = match selection.get("storageClass") {
        Some(class) => word(class, &["standard", "archive"])? == "archive",
        None => false,
    };
    Ok((of_archive, tags, count(selection, of_archive)?))
}

fn count(selection: &Map<String, Value>, of_archive: bool) -> Result<Count, String> {
    let kinds = ["imageCountMoreThan", "sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned"];
    let kind = word(&selection["countType"], &kinds).map_err(|_| no_schema())?;
    let number = number(&selection["countNumber"], 1)?;
    let unit = selection.get("countUnit").map(|unit| word(unit, &["days"])).transpose()?;
    let is_about_archive = kind == "sinceImageTransitioned";
    if (kind == "imageCountMoreThan") != unit.is_none() {
        return Err(no_schema());
    }
    if is_about_archive != of_archive {
        let class = if is_about_archive { "archive" } else { "standard" };
        return Err(format!("storageClass must be {class} when countType={kind}."));
    }
    if is_about_archive && number < ARCHIVED_DAYS_MIN {
        return Err(format!(
            "numeric instance is lower than the required minimum (minimum: {ARCHIVED_DAYS_MIN}, found: {number})"
        ));
    }
    Ok(match kind {
        "imageCountMoreThan" => Count::MoreThan(number),
        "sinceImagePushed" => Count::DaysSincePushed(number),
        "sinceImagePulled" => Count::DaysSincePulled(number),
        _ => Count::DaysSinceTransitioned(number),
    })
}

/// What rules must be to one another.
fn together(rules: &[Rule]) -> Result<(), String> {
    for (place, rule) in rules.iter().enumerate() {
        if rules.get(place + 1).is_some_and(|next| next.priority == rule.priority) {
            return Err(format!("Rule priorities must be unique: {} is there twice.", rule.priority));
        }
        let others = || rules[place + 1..].iter().filter(|other| other.of_archive == rule.of_archive);
        match &rule.tags {
            Tags::Any if others().next().is_some() => {
                return Err("Rule for tagStatus=ANY must have the lowest priority per storage class".to_owned());
            }
            Tags::Untagged if others().any(|other| other.tags == Tags::Untagged) => {
                return Err("Only one rule can select Untagged images per storage class".to_owned());
            }
            Tags::Prefixes(_) | Tags::Patterns(_) if others().any(|other| other.tags == rule.tags) => {
                return Err("Rules must have unique tag prefixes and patterns per storage class".to_owned());
            }
            Tags::Any | Tags::Untagged | Tags::Prefixes(_) | Tags::Patterns(_) => {}
        }
    }
    Ok(())
}

fn object(value: &Value) -> Result<&Map<String, Value>, String> {
    value.as_object().ok_or_else(|| wrong_type(value, "object"))
}

fn members(object: &Map<String, Value>, needed: &[&str], allowed: &[&str]) -> Result<(), String> {
    let mut missing: Vec<&str> = needed.iter().copied().filter(|name| !object.contains_key(*name)).collect();
    missing.sort_unstable();
    if !missing.is_empty() {
        return Err(format!("object has missing required properties ({})", listed(&missing)));
    }
    let mut strange: Vec<&str> = object.keys().map(String::as_str).filter(|name| !allowed.contains(name)).collect();
    strange.sort_unstable();
    if strange.is_empty() {
        return Ok(());
    }
    Err(format!("object instance has properties which are not allowed by the schema: ({})", listed(&strange)))
}

fn word<'a>(value: &'a Value, known: &[&str]) -> Result<&'a str, String> {
    let text = value.as_str().ok_or_else(|| wrong_type(value, "string"))?;
    if known.contains(&text) {
        return Ok(text);
    }
    Err(format!("instance value ({}) not found in enum (possible values: {})", listed_one(text), listed(known)))
}

fn number(value: &Value, least: u64) -> Result<u64, String> {
    if !value.is_i64() && !value.is_u64() {
        return Err(wrong_type(value, "integer"));
    }
    let found = value.as_u64().filter(|number| *number >= least && u32::try_from(*number).is_ok());
    found.ok_or_else(|| match value.as_u64() {
        Some(large) if large >= least => {
            format!("numeric instance is greater than the required maximum (maximum: {}, found: {large})", u32::MAX)
        }
        _ => format!("numeric instance is lower than the required minimum (minimum: {least}, found: {value})"),
    })
}

fn texts(value: &Value) -> Result<Vec<String>, String> {
    let all = value.as_array().ok_or_else(|| wrong_type(value, "array"))?;
    if all.is_empty() {
        return Err("array is too short: must have at least 1 elements but instance has 0 elements".to_owned());
    }
    let text = |one: &Value| match one.as_str() {
        Some("") => Err("string \"\" is too short (length: 0, required minimum: 1)".to_owned()),
        Some(text) => Ok(text.to_owned()),
        None => Err(wrong_type(one, "string")),
    };
    let mut all = all.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

fn wrong_type(value: &Value, wanted: &str) -> String {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    format!("instance type ({found}) does not match any allowed primitive type (allowed: [\"{wanted}\"])")
}

fn no_schema() -> String {
    "instance failed to match exactly one schema (matched 0 out of 2)".to_owned()
}

fn listed(names: &[&str]) -> String {
    serde_json::to_string(names).unwrap_or_default()
}

fn listed_one(name: &str) -> String {
    Value::String(name.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(selection: Value, action: Value) -> Value {
        json!({"rulePriority": 1, "selection": selection, "action": action})
    }

    fn fault(rules: &[Value]) -> String {
        Policy::parse(&json!({ "rules": rules }).to_string()).err().unwrap_or_default()
    }

    #[test]
    fn the_examples_of_aws_are_read() {
        let rules = json!([
            {"rulePriority": 2, "description": "old", "selection": {"tagStatus": "tagged", "tagPatternList": ["prod*"],
                "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14}, "action": {"type": "expire"}},
            {"rulePriority": 1, "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan",
                "countNumber": 1}, "action": {"type": "transition", "targetStorageClass": "archive"}},
            {"rulePriority": 9, "selection": {"tagStatus": "any", "storageClass": "archive",
                "countType": "sinceImageTransitioned", "countUnit": "days", "countNumber": 90},
                "action": {"type": "expire"}}]);
        let policy = Policy::parse(&json!({ "rules": rules }).to_string()).unwrap();
        let of = |rule: &Rule| (rule.priority, rule.count, rule.action);
        let read: Vec<_> = policy.rules.iter().map(of).collect();
        let expected = [
            (1, Count::MoreThan(1), Action::Archive),
            (2, Count::DaysSincePushed(14), Action::Expire),
            (9, Count::DaysSinceTransitioned(90), Action::Expire),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_wrong_is_said_as_aws_says_it() {
        let expire = || json!({"type": "expire"});
        let any = || json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1});
        let with = |name: &str, value: Value| {
            let mut changed = any();
            changed[name] = value;
            changed
        };
        assert_eq!(Policy::parse("[]").unwrap_err(), "Could not map policyString into LifecyclePolicy.");
        assert_eq!(Policy::parse("{}").unwrap_err(), "object has missing required properties ([\"rules\"])");
        for (rules, reason) in [
            (
                vec![one(any(), json!({"type": "delete"}))],
                "not found in enum (possible values: [\"expire\",\"transition\"])",
            ),
            (vec![one(any(), json!({"type": "expire", "targetStorageClass": null}))], "instance type (null)"),
            (vec![one(any(), json!({"type": "transition"}))], "matched 0 out of 2"),
            (vec![one(with("countNumber", json!(0)), expire())], "(minimum: 1, found: 0)"),
            (vec![one(with("countNumber", json!("1")), expire())], "(allowed: [\"integer\"])"),
            (vec![one(with("countUnit", json!("days")), expire())], "matched 0 out of 2"),
            (vec![one(with("countType", json!("since")), expire())], "matched 0 out of 2"),
            (vec![one(with("x", json!(1)), expire())], "not allowed by the schema: ([\"x\"])"),
            (vec![one(with("tagStatus", json!("tagged")), expire())], "Must specify tagPrefixList or tagPatternList"),
            (vec![one(with("tagPrefixList", json!(["a"])), expire())], "Must not specify"),
            (vec![one(any(), expire()), one(any(), expire())], "unique"),
            (vec![one(with("storageClass", json!("archive")), expire())], "storageClass must be standard"),
            (vec![json!(1)], "(allowed: [\"object\"])"),
            (Vec::new(), "too short"),
        ] {
            let said = fault(&rules);
            assert!(said.contains(reason), "{rules:?}: {said}");
        }
        let last = json!({"rulePriority": 2, "selection": with("tagStatus", json!("untagged")), "action": expire()});
        let text = "Rule for tagStatus=ANY must have the lowest priority per storage class";
        assert_eq!(fault(&[one(any(), expire()), last]), text);
    }

    #[test]
    fn fuzz_lifecycle_policy() {
        let tokens: [&[u8]; 6] =
            [b"\"rules\"", b"{\"rulePriority\":1", b"\"tagStatus\":\"any\"", b"\"countNumber\":", b"[", b"}"];
        cove_fuzz::Fuzz::new("lifecycle-policy").tokens(&tokens).run(|input| {
            match Policy::parse(&String::from_utf8_lossy(input)) {
                Ok(policy) => format!("{} rules", policy.rules.len()),
                Err(fault) => fault.chars().take(12).collect(),
            }
        });
    }
}
