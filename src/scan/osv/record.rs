//! One record: what is read of it, and how it is kept.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest description that is kept: ECR shows less.
const DETAILS_MAX_CHARS: usize = 4096;
/// The longest honest lists of versions have some thousands.
const VERSIONS_MAX: usize = 20_000;
/// Events of one range; the longest honest ones have some hundred.
const EVENTS_MAX: usize = 10_000;
/// Packages of one record: a kernel's flaw names each of its hundreds of packages in each release.
const AFFECTED_MAX: usize = 20_000;
const REFERENCES_MAX: usize = 64;
const ALIASES_MAX: usize = 256;
/// Longest name, version or id.
const WORD_MAX_BYTES: usize = 1024;

/// What a record says of the flaw itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Advisory {
    pub(crate) id: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) summary: String,
    pub(crate) details: String,
    pub(crate) references: Vec<String>,
    /// CVSS vectors.
    pub(crate) vectors: Vec<String>,
    /// The database's own word for the severity; empty when it has none.
    pub(crate) word: String,
    pub(crate) published: String,
    pub(crate) modified: String,
}

/// What a record says of one package.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Statement {
    /// With the release, as in `Debian:12`.
    pub(crate) ecosystem: String,
    pub(crate) package: String,
    pub(crate) ranges: Vec<Range>,
    pub(crate) versions: Vec<String>,
    /// As in [`Advisory`], where the record says it by package.
    pub(crate) vectors: Vec<String>,
    pub(crate) word: String,
}

/// Where a flaw begins and ends, along the order of the ecosystem.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Range {
    /// Ordered as semantic versions whatever the ecosystem.
    pub(crate) semver: bool,
    pub(crate) events: Vec<Event>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    #[serde(rename = "i")]
    Introduced(String),
    #[serde(rename = "f")]
    Fixed(String),
    #[serde(rename = "l")]
    LastAffected(String),
    #[serde(rename = "m")]
    Limit(String),
}

/// Why a record is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordFault {
    #[error("the record is no JSON")]
    Json(#[from] serde_json::Error),
    #[error("the record has no `id`")]
    Id,
    #[error("the record `{id}` has a wrong `{field}`")]
    Field { id: String, field: &'static str },
    #[error("the record `{id}` has more than {max} of `{field}`")]
    TooMany { id: String, field: &'static str, max: usize },
}

/// Reads a record. Nothing when it was withdrawn.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Advisory, Vec<Statement>)>, RecordFault> {
    let record: Value = serde_json::from_slice(bytes)?;
    let id = word(&record, "id");
    if id.is_empty() {
        return Err(RecordFault::Id);
    }
    if !word(&record, "withdrawn").is_empty() {
        return Ok(None);
    }
    let mut statements = Vec::new();
    for affected in list(&record, "affected", &id, AFFECTED_MAX)? {
        statements.extend(statement(affected, &id)?);
    }
    let references = record["references"].as_array().map(Vec::as_slice).unwrap_or_default().iter();
    let references =
        references.filter_map(|reference| reference["url"].as_str()).filter(|url| url.len() <= WORD_MAX_BYTES);
    let mut aliases = words(&record["aliases"], ALIASES_MAX);
    // Distributions name the flaw that theirs is about as `upstream`.
    aliases.extend(words(&record["upstream"], ALIASES_MAX));
    let advisory = Advisory {
        aliases,
        summary: text(&record, "summary", DETAILS_MAX_CHARS),
        details: text(&record, "details", DETAILS_MAX_CHARS),
        references: references.take(REFERENCES_MAX).map(str::to_owned).collect(),
        vectors: vectors(&record),
        word: severity_word(&record),
        published: word(&record, "published"),
        modified: word(&record, "modified"),
        id,
    };
    Ok(Some((advisory, statements)))
}

/// Nothing when no package is named, or none of its ranges and versions can be compared (commits alone).
fn statement(affected: &Value, id: &str) -> Result<Option<Statement>, RecordFault> {
    let package = &affected["package"];
    let (ecosystem, name) = (word(package, "ecosystem"), word(package, "name"));
    if ecosystem.is_empty() || name.is_empty() {
        return if package.is_null() { Ok(None) } else { Err(field(id, "affected.package")) };
    }
    let mut ranges = Vec::new();
    for range in list(affected, "ranges", id, EVENTS_MAX)? {
        let semver = match range["type"].as_str() {
            Some("SEMVER") => true,
            Some("ECOSYSTEM") => false,
            // Commits: an image has none.
            Some("GIT") => continue,
            Some(_) | None => return Err(field(id, "affected.ranges.type")),
        };
        let mut events = Vec::new();
        for event in list(range, "events", id, EVENTS_MAX)? {
            events.push(parse_event(event).ok_or_else(|| field(id, "affected.ranges.events"))?);
        }
        ranges.push(Range { semver, events });
    }
    let versions = list(affected, "versions", id, VERSIONS_MAX)?;
    let versions: Vec<String> = versions
        .iter()
        .map(|version| version.as_str().filter(|version| version.len() <= WORD_MAX_BYTES).map(str::to_owned))
        .collect::<Option<_>>()
        .ok_or_else(|| field(id, "affected.versions"))?;
    if ranges.is_empty() && versions.is_empty() {
        return Ok(None);
    }
    let (vectors, word) = (vectors(affected), severity_word(affected));
    Ok(Some(Statement { ecosystem, package: name, ranges, versions, vectors, word }))
}

fn parse_event(event: &Value) -> Option<Event> {
    let version = |name| Some(word(event, name)).filter(|version| !version.is_empty());
    version("introduced")
        .map(Event::Introduced)
        .or_else(|| version("fixed").map(Event::Fixed))
        .or_else(|| version("last_affected").map(Event::LastAffected))
        .or_else(|| version("limit").map(Event::Limit))
}

fn vectors(value: &Value) -> Vec<String> {
    let ratings = value["severity"].as_array().map(Vec::as_slice).unwrap_or_default().iter();
    let ratings = ratings.filter(|rating| rating["type"].as_str().is_some_and(|kind| kind.starts_with("CVSS_")));
    ratings.map(|rating| word(rating, "score")).filter(|vector| !vector.is_empty()).take(8).collect()
}

/// GitHub's `database_specific.severity`, Debian's `ecosystem_specific.urgency`, Ubuntu's rating of type `Ubuntu`, …
fn severity_word(value: &Value) -> String {
    let places = [&value["database_specific"]["severity"], &value["ecosystem_specific"]["severity"]];
    let urgency = &value["ecosystem_specific"]["urgency"];
    if let Some(word) = places.into_iter().chain([urgency]).find_map(Value::as_str) {
        return word.chars().take(32).collect();
    }
    let ratings = value["severity"].as_array().map(Vec::as_slice).unwrap_or_default().iter();
    let own = ratings.filter(|rating| rating["type"].as_str().is_some_and(|kind| !kind.starts_with("CVSS_")));
    own.filter_map(|rating| rating["score"].as_str()).next().unwrap_or_default().chars().take(32).collect()
}

fn field(id: &str, field: &'static str) -> RecordFault {
    RecordFault::Field { id: id.to_owned(), field }
}

/// A list that may be absent, but not something else.
fn list<'a>(value: &'a Value, name: &'static str, id: &str, max: usize) -> Result<&'a [Value], RecordFault> {
    match &value[name] {
        Value::Null => Ok(&[]),
        Value::Array(items) if items.len() <= max => Ok(items),
        Value::Array(_) => Err(RecordFault::TooMany { id: id.to_owned(), field: name, max }),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => Err(field(id, name)),
    }
}

fn word(value: &Value, name: &str) -> String {
    value[name].as_str().filter(|word| word.len() <= WORD_MAX_BYTES).unwrap_or_default().to_owned()
}

fn text(value: &Value, name: &str, max_chars: usize) -> String {
    value[name].as_str().unwrap_or_default().chars().take(max_chars).collect()
}

fn words(value: &Value, max: usize) -> Vec<String> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default().iter();
    items.filter_map(Value::as_str).filter(|word| word.len() <= WORD_MAX_BYTES).take(max).map(str::to_owned).collect()
}
