//! What a target gets: the event, a part of it, a constant, or a template filled in.
//!
//! In: the target's document and the event. Out: a text, which is JSON unless a template made something else.

use serde_json::Value;

/// What is wrong with a target's input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadInput {
    #[error("Only one of Input, InputPath, or InputTransformer must be provided for target {0}.")]
    Several(String),
    #[error("Parameter Input is not valid JSON for target {0}.")]
    NotJson(String),
    #[error("{0} is not a valid JSONPath.")]
    Path(String),
    #[error("InputTemplate uses <{0}>, which InputPathsMap does not have.")]
    Unknown(String),
}

/// AWS's limit of one template's variables.
const PATHS_MAX: usize = 100;

/// Checks what a target says about its input.
///
/// # Errors
/// When it cannot be carried out.
pub fn check(target: &Value) -> Result<(), BadInput> {
    let id = || target["Id"].as_str().unwrap_or_default().to_owned();
    let given = ["Input", "InputPath", "InputTransformer"].iter().filter(|name| target.get(**name).is_some()).count();
    if given > 1 {
        return Err(BadInput::Several(id()));
    }
    if let Some(text) = target["Input"].as_str() {
        serde_json::from_str::<Value>(text).map_err(|_| BadInput::NotJson(id()))?;
    }
    if let Some(path) = target["InputPath"].as_str() {
        steps(path).ok_or_else(|| BadInput::Path(path.to_owned()))?;
    }
    let transformer = &target["InputTransformer"];
    let paths = transformer["InputPathsMap"].as_object();
    for path in paths.into_iter().flatten().filter_map(|(_, path)| path.as_str()) {
        steps(path).ok_or_else(|| BadInput::Path(path.to_owned()))?;
    }
    if paths.is_some_and(|paths| paths.len() > PATHS_MAX) {
        return Err(BadInput::Path(format!("the {}th path", PATHS_MAX + 1)));
    }
    let template = transformer["InputTemplate"].as_str().unwrap_or_default();
    let unknown = pieces(template).into_iter().find_map(|piece| match piece {
        Piece::Variable { name, .. } if !is_known(name, paths) => Some(name.to_owned()),
        Piece::Variable { .. } | Piece::Text(_) => None,
    });
    unknown.map_or(Ok(()), |name| Err(BadInput::Unknown(name)))
}

fn is_known(name: &str, paths: Option<&serde_json::Map<String, Value>>) -> bool {
    const RESERVED: [&str; 5] = [
        "aws.events.rule-arn",
        "aws.events.rule-name",
        "aws.events.event.ingestion-time",
        "aws.events.event",
        "aws.events.event.json",
    ];
    RESERVED.contains(&name) || paths.is_some_and(|paths| paths.contains_key(name))
}

/// The rule, as templates may name it.
#[derive(Debug, Clone, Copy)]
pub struct RuleNames<'a> {
    pub arn: &'a str,
    pub name: &'a str,
}

/// The text for a target that was checked.
#[must_use]
pub fn of(target: &Value, event: &Value, rule: RuleNames<'_>) -> String {
    if let Some(text) = target["Input"].as_str() {
        return text.to_owned();
    }
    if let Some(path) = target["InputPath"].as_str() {
        return find(event, path).unwrap_or(&Value::Null).to_string();
    }
    match target["InputTransformer"]["InputTemplate"].as_str() {
        Some(template) => filled(template, &target["InputTransformer"]["InputPathsMap"], event, rule),
        None => event.to_string(),
    }
}

fn filled(template: &str, paths: &Value, event: &Value, rule: RuleNames<'_>) -> String {
    let mut out = String::new();
    for piece in pieces(template) {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Variable { name, is_quoted } => {
                let value = match name {
                    "aws.events.rule-arn" => Value::from(rule.arn),
                    "aws.events.rule-name" => Value::from(rule.name),
                    "aws.events.event.ingestion-time" => event["time"].clone(),
                    "aws.events.event" => {
                        let mut whole = event.clone();
                        if let Some(members) = whole.as_object_mut() {
                            members.remove("detail");
                        }
                        whole
                    }
                    "aws.events.event.json" => event.clone(),
                    name => paths[name].as_str().and_then(|path| find(event, path)).cloned().unwrap_or_default(),
                };
                out.push_str(&shown(&value, is_quoted));
            }
        }
    }
    out
}

/// Within quotes a text stands without its own, and anything else as its JSON with quotes escaped.
fn shown(value: &Value, is_quoted: bool) -> String {
    if !is_quoted {
        return value.to_string();
    }
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let escaped = Value::from(text).to_string();
    escaped[1..escaped.len() - 1].to_owned()
}

enum Piece<'a> {
    Text(&'a str),
    Variable { name: &'a str, is_quoted: bool },
}

/// Takes a template apart. `<name>` is a variable when the name could be one; quotes are those of JSON.
fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    let (mut begins, mut is_quoted, mut is_escaped) = (0, false, false);
    let bytes = template.as_bytes();
    let mut place = 0;
    while place < bytes.len() {
        match bytes[place] {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b'<' => {
                let name = template[place + 1..].split_once('>').map(|(name, _)| name).filter(|name| is_name(name));
                if let Some(name) = name {
                    out.push(Piece::Text(&template[begins..place]));
                    out.push(Piece::Variable { name, is_quoted });
                    place += name.len() + 1;
                    begins = place + 1;
                }
            }
            _ => {}
        }
        place += 1;
    }
    out.push(Piece::Text(&template[begins..]));
    out
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

enum Step<'a> {
    Member(&'a str),
    Index(usize),
}

/// `$`, `$.detail.a`, `$.resources[0]`, `$['detail-type']`.
fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let mut rest = path.strip_prefix('$')?;
    let mut out = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            if end == 0 || after[..end].contains('*') {
                return None;
            }
            out.push(Step::Member(&after[..end]));
            rest = &after[end..];
        } else {
            let (inside, after) = rest.strip_prefix('[')?.split_once(']')?;
            let quoted = inside.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
            out.push(match quoted {
                Some(name) => Step::Member(name),
                None => Step::Index(inside.parse().ok()?),
            });
            rest = after;
        }
    }
    Some(out)
}

fn find<'a>(event: &'a Value, path: &str) -> Option<&'a Value> {
    steps(path)?.into_iter().try_fold(event, |value, step| match step {
        Step::Member(name) => value.get(name),
        Step::Index(place) => value.get(place),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RULE: RuleNames<'_> = RuleNames { arn: "arn:r", name: "r" };

    fn event() -> Value {
        json!({"time": "t", "detail-type": "T", "resources": ["a"], "detail": {"state": "on \"x\"", "n": 5, "o": {"p": 1}}})
    }

    #[test]
    fn an_input_is_the_event_a_part_of_it_or_a_constant() {
        let of = |target: Value| of(&target, &event(), RULE);
        assert_eq!(of(json!({})), event().to_string());
        assert_eq!(of(json!({"Input": "{\"a\": 1}"})), "{\"a\": 1}");
        for (path, expected) in [
            ("$.detail.n", "5"),
            ("$.resources[0]", "\"a\""),
            ("$['detail-type']", "\"T\""),
            ("$.detail.none", "null"),
            ("$.detail.o", "{\"p\":1}"),
        ] {
            assert_eq!(of(json!({"InputPath": path})), expected, "{path}");
        }
    }

    #[test]
    fn a_template_is_filled_in_inside_and_outside_of_quotes() {
        let with = |template: &str| {
            let paths = json!({"state": "$.detail.state", "n": "$.detail.n", "o": "$.detail.o", "none": "$.x"});
            of(&json!({"InputTransformer": {"InputPathsMap": paths, "InputTemplate": template}}), &event(), RULE)
        };
        assert_eq!(with(r#"{"a": <n>, "b": <o>, "c": <state>}"#), r#"{"a": 5, "b": {"p":1}, "c": "on \"x\""}"#);
        assert_eq!(with(r#""it is <state>, <n>""#), r#""it is on \"x\", 5""#);
        assert_eq!(with(r#"{"a": "<none>", "b": <none>}"#), r#"{"a": "", "b": null}"#);
        assert_eq!(with(r#""<aws.events.rule-name>: 1 < 2 > 0""#), r#""r: 1 < 2 > 0""#);
        let whole: Value = serde_json::from_str(&with("<aws.events.event.json>")).unwrap();
        assert_eq!(whole, event());
    }

    #[test]
    fn what_cannot_be_carried_out_is_refused() {
        let target = |over: Value| {
            let mut target = json!({"Id": "t"});
            for (name, value) in over.as_object().unwrap() {
                target[name] = value.clone();
            }
            check(&target)
        };
        assert_eq!(target(json!({"InputPath": "$.detail"})), Ok(()));
        assert!(matches!(target(json!({"Input": "{}", "InputPath": "$"})), Err(BadInput::Several(_))));
        assert!(matches!(target(json!({"Input": "{"})), Err(BadInput::NotJson(_))));
        for path in ["detail", "$.", "$[x]", "$.a..b", "$.*"] {
            assert!(matches!(target(json!({"InputPath": path})), Err(BadInput::Path(_))), "{path}");
        }
        let transformer = json!({"InputPathsMap": {"a": "$.b"}, "InputTemplate": "<a> <c>"});
        assert_eq!(target(json!({"InputTransformer": transformer})), Err(BadInput::Unknown("c".into())));
    }
}
