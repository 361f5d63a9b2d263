//! The forms of an answer: what a client of each protocol reads an error from.

use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Value;

use super::fault::Fault;
use super::model::{cbor, xml};
use super::service::{Protocol, Service};
use crate::Response;
use crate::http::Body;

pub(super) const XML: HeaderValue = HeaderValue::from_static("text/xml");
pub(super) const SMITHY: HeaderName = HeaderName::from_static("smithy-protocol");
pub(super) const RPC_V2_CBOR: HeaderValue = HeaderValue::from_static("rpc-v2-cbor");
const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");
const JSON_1_0: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.0");
const REST_JSON: HeaderValue = HeaderValue::from_static("application/json");
const CBOR: HeaderValue = HeaderValue::from_static("application/cbor");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
/// Where clients of a service that once spoke the query protocol find the old code of an error.
const QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");

/// How an error is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    /// Of a service that speaks CBOR too.
    Json10,
    Cbor,
    /// The document's namespace says whose it is; empty when nobody's.
    Query(&'static str),
    /// A service whose operations are paths, in JSON.
    RestJson,
    /// The same in XML.
    RestXml,
}

impl Form {
    /// What the service's clients read, or those of an unknown one.
    pub(super) fn of(protocol: Protocol, service: Option<&'static Service>) -> Self {
        match protocol {
            Protocol::Json if service.is_some_and(|service| service.speaks(Protocol::Cbor)) => Self::Json10,
            Protocol::Json => Self::Json,
            Protocol::Cbor => Self::Cbor,
            Protocol::Query => Self::Query(service.map_or("", |service| service.model().xml_namespace.as_str())),
        }
    }

    /// The error as an answer.
    pub(super) fn refuse(self, fault: &Fault, request_id: &str) -> Response {
        let mut response = match self {
            Self::Json => response(fault.status, JSON, document(fault).to_string().into_bytes()),
            Self::Json10 => response(fault.status, JSON_1_0, document(fault).to_string().into_bytes()),
            Self::RestJson => response(fault.status, REST_JSON, document(fault).to_string().into_bytes()),
            Self::Cbor => {
                let mut body = Vec::new();
                cbor::plain(&document(fault), &mut body);
                in_cbor(fault.status, body)
            }
            Self::Query(namespace) => {
                return response(fault.status, XML, xml::error(namespace, fault, request_id).into_bytes());
            }
            Self::RestXml => return response(fault.status, XML, xml::bare_error(fault, request_id).into_bytes()),
        };
        if let Ok(code) = HeaderValue::from_str(&fault.code) {
            response.headers_mut().insert(ERROR_TYPE, code);
        }
        if self == Self::Cbor || fault.query_code.is_some() {
            let error = format!("{};{}", fault.old_code(), fault.blamed());
            if let Ok(error) = HeaderValue::from_str(&error) {
                response.headers_mut().insert(QUERY_ERROR, error);
            }
        }
        response
    }
}

fn document(fault: &Fault) -> Value {
    let mut body = fault.details.clone();
    body.insert("__type".into(), Value::from(&*fault.code));
    if !fault.message.is_empty() {
        body.insert("message".into(), Value::from(fault.message.as_str()));
    }
    Value::Object(body)
}

/// The version of the JSON protocol that the service speaks.
pub(super) fn json_of(service: &Service) -> HeaderValue {
    if service.speaks(Protocol::Cbor) { JSON_1_0 } else { JSON }
}

pub(super) fn in_cbor(status: u16, body: Vec<u8>) -> Response {
    let mut response = response(status, CBOR, body);
    response.headers_mut().insert(SMITHY, RPC_V2_CBOR);
    response
}

pub(super) fn response(status: u16, kind: HeaderValue, body: Vec<u8>) -> Response {
    let builder = hyper::Response::builder().status(status).header(CONTENT_TYPE, kind);
    builder.body(Body::full(body)).expect("a status and constant headers make a response")
}
