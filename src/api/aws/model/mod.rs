//! A service's model as data, interpreted: which operations there are, what their inputs and outputs look like.
//!
//! In: the compressed JSON beside a service's code. Out: shapes by index, so that nothing is looked up by name twice.
//!
//! Why not generated Rust: 77 ECS operations cost 14 s of compilation; interpreting costs microseconds a request.

pub(crate) mod cbor;
pub(crate) mod query;
pub(crate) mod reply;
mod shape;
pub(crate) mod validate;
pub(crate) mod values;
pub(crate) mod xml;

use std::collections::HashMap;
use std::io::Read;

pub(crate) use shape::{Kind, Member, Reference, Shape, ShapeId};

use self::shape::RawModel;
use super::service::Op;

/// A service's operations and shapes.
pub(crate) struct Model {
    operations: Vec<Operation>,
    by_name: HashMap<String, usize>,
    shapes: Vec<Shape>,
    pub(crate) api_version: String,
    pub(crate) xml_namespace: String,
}

/// One operation of the model.
pub(crate) struct Operation {
    pub(crate) name: String,
    pub(crate) input: Option<ShapeId>,
    pub(crate) output: Option<ShapeId>,
    pub(crate) result_wrapper: Option<String>,
    /// The row of our table, when we have one.
    pub(crate) handler: Option<&'static Op>,
}

impl Model {
    /// Unpacks a model that is part of this binary.
    pub(crate) fn unpack(packed: &[u8], ops: &'static [Op]) -> Self {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(packed).read_to_end(&mut text).expect("the binary's own models are gzip");
        let raw: RawModel = serde_json::from_slice(&text).expect("the binary's own models are JSON of this form");
        let names: Vec<&String> = raw.shapes.keys().collect();
        let ids: HashMap<&str, ShapeId> =
            names.iter().enumerate().map(|(index, name)| (name.as_str(), ShapeId(index))).collect();
        let shapes = raw.shapes.values().map(|shape| Shape::resolve(shape, &ids)).collect();
        let operations: Vec<Operation> = raw
            .operations
            .iter()
            .map(|(name, operation)| Operation {
                name: name.clone(),
                input: operation.input.as_deref().map(|shape| ids[shape]),
                output: operation.output.as_deref().map(|shape| ids[shape]),
                result_wrapper: operation.result_wrapper.clone(),
                handler: ops.iter().find(|op| op.name == name),
            })
            .collect();
        let by_name = operations.iter().enumerate().map(|(index, operation)| (operation.name.clone(), index)).collect();
        let (api_version, xml_namespace) = (raw.metadata.api_version, raw.metadata.xml_namespace);
        Self { operations, by_name, shapes, api_version, xml_namespace }
    }

    /// By name.
    pub(crate) fn operation(&self, name: &str) -> Option<&Operation> {
        self.by_name.get(name).map(|index| &self.operations[*index])
    }

    /// All, by name.
    pub(crate) fn operations(&self) -> &[Operation] {
        &self.operations
    }

    pub(crate) fn shape(&self, id: ShapeId) -> &Shape {
        &self.shapes[id.0]
    }
}
