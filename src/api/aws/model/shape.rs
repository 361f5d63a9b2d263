//! Shapes: as they are in the file, and resolved.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use regex::Regex;
use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct RawModel {
    pub(super) metadata: RawMetadata,
    pub(super) operations: BTreeMap<String, RawOperation>,
    pub(super) shapes: BTreeMap<String, RawShape>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawMetadata {
    pub(super) api_version: String,
    #[serde(default)]
    pub(super) xml_namespace: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawOperation {
    pub(super) input: Option<String>,
    pub(super) output: Option<String>,
    pub(super) result_wrapper: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct RawShape {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    required: Vec<String>,
    #[serde(default, rename = "enum")]
    values: Vec<String>,
    min: Option<f64>,
    max: Option<f64>,
    pattern: Option<String>,
    #[serde(default)]
    flattened: bool,
    #[serde(default)]
    document: bool,
    #[serde(default)]
    members: BTreeMap<String, RawReference>,
    member: Option<RawReference>,
    key: Option<RawReference>,
    value: Option<RawReference>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawReference {
    shape: String,
    location_name: Option<String>,
    #[serde(default)]
    flattened: bool,
}

/// A shape's place in its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShapeId(pub(super) usize);

/// A shape and its limits.
pub(crate) struct Shape {
    pub(crate) kind: Kind,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
}

/// What a shape is.
pub(crate) enum Kind {
    /// Members by name, sorted.
    Structure(Vec<Member>),
    /// A structure of anything.
    Document,
    List {
        item: Reference,
        flattened: bool,
    },
    Map {
        key: Reference,
        value: Reference,
        flattened: bool,
    },
    String {
        values: Vec<String>,
        pattern: Option<Pattern>,
    },
    Integer,
    Long,
    Double,
    Boolean,
    Timestamp,
    Blob,
}

/// A member of a structure.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) required: bool,
    pub(crate) target: Reference,
}

/// A use of a shape.
pub(crate) struct Reference {
    pub(crate) shape: ShapeId,
    pub(crate) location_name: Option<String>,
    pub(crate) flattened: bool,
}

/// A regular expression, compiled when it is first needed.
pub(crate) struct Pattern {
    pub(crate) text: String,
    compiled: OnceLock<Option<Regex>>,
}

/// The largest automaton of one pattern; some models repeat classes thousands of times.
const PATTERN_BYTES_MAX: usize = 4 << 20;

impl Pattern {
    /// Whether the whole text matches. The models' expressions are Java's; those that need look-around, which ours
    /// lacks, accept everything and leave the check to the handler.
    pub(crate) fn accepts(&self, text: &str) -> bool {
        let compile = || {
            let whole = format!("^(?:{})$", self.text);
            regex::RegexBuilder::new(&whole).size_limit(PATTERN_BYTES_MAX).build().ok()
        };
        self.compiled.get_or_init(compile).as_ref().is_none_or(|regex| regex.is_match(text))
    }
}

impl Shape {
    pub(super) fn resolve(raw: &RawShape, ids: &HashMap<&str, ShapeId>) -> Self {
        let reference = |raw: &RawReference| Reference {
            shape: ids[raw.shape.as_str()],
            location_name: raw.location_name.clone(),
            flattened: raw.flattened,
        };
        let part = |part: &Option<RawReference>| reference(part.as_ref().expect("the models are complete"));
        let kind = match raw.kind.as_str() {
            "structure" if raw.document => Kind::Document,
            "structure" => Kind::Structure(
                raw.members
                    .iter()
                    .map(|(name, member)| Member {
                        name: name.clone(),
                        required: raw.required.contains(name),
                        target: reference(member),
                    })
                    .collect(),
            ),
            "list" => Kind::List { item: part(&raw.member), flattened: raw.flattened },
            "map" => Kind::Map { key: part(&raw.key), value: part(&raw.value), flattened: raw.flattened },
            "integer" => Kind::Integer,
            "long" => Kind::Long,
            "double" | "float" => Kind::Double,
            "boolean" => Kind::Boolean,
            "timestamp" => Kind::Timestamp,
            "blob" => Kind::Blob,
            "string" => Kind::String {
                values: raw.values.clone(),
                pattern: raw.pattern.clone().map(|text| Pattern { text, compiled: OnceLock::new() }),
            },
            other => unreachable!("scripts/models wrote the unknown type {other}"),
        };
        Self { kind, min: raw.min, max: raw.max }
    }
}
