//! One AWS request from its body to its answer: service and operation, caller, input, handler, reply.

use std::io::Read as _;

use bytes::Bytes;
use hyper::body::Body as _;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use serde_json::{Value, json};

use super::context::Context;
use super::fault::Fault;
use super::identity::{self, Identity, Refused};
use super::model::{Operation, cbor, query, reply, validate, values, xml};
use super::service::{Input, Op, Protocol, Service};
use super::sigv4;
use crate::http::{Body, BodyError, collect};
use crate::{RawContext, Request, Response};

/// The largest body of an AWS call: PutLogEvents takes a megabyte of events, and JSON may double that.
const BODY_BYTES_MAX: usize = 4 << 20;
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// What a request asks for.
struct Call<'a> {
    protocol: Protocol,
    service: &'static Service,
    operation: &'static Operation,
    op: &'static Op,
    fields: Fields<'a>,
}

/// The form fields of a query request.
type Fields<'a> = &'a [(String, String)];

/// Answers a request of an AWS client, and says which operation it was.
pub(crate) async fn handle(cx: RawContext, request: Request) -> (Response, (&'static str, &'static str)) {
    let (parts, body) = request.into_parts();
    // Without a length it may be as long as is allowed.
    let length = body.size_hint().exact().and_then(|length| usize::try_from(length).ok()).unwrap_or(BODY_BYTES_MAX);
    let Some(_share) = cx.shared.buffered.share(length.min(BODY_BYTES_MAX)).await else {
        let busy = Fault::new(503, "ServiceUnavailable", "too many large requests at once; please try again");
        return (refuse(protocol_of(&parts), "", &busy, &cx), UNKNOWN);
    };
    let body = match collect(body, BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(error) => {
            let status = if matches!(error, BodyError::TooLarge { .. }) { 413 } else { 400 };
            return (
                refuse(protocol_of(&parts), "", &Fault::new(status, "RequestEntityTooLarge", error.to_string()), &cx),
                UNKNOWN,
            );
        }
    };
    let plain = match unpacked(&parts, &body) {
        Ok(plain) => plain,
        Err(fault) => return (refuse(protocol_of(&parts), "", &fault, &cx), UNKNOWN),
    };
    let has_fields = protocol_of(&parts) == Protocol::Query;
    let fields = if has_fields { fields_of(&parts, &plain) } else { Vec::new() };
    let call = match route(&parts, &fields) {
        Ok(call) => call,
        Err((protocol, fault)) => return (refuse(protocol, "", &fault, &cx), UNKNOWN),
    };
    let label = (call.service.signing_name, call.op.name);
    let answer = match identity::authenticate(&cx, &parts, &body, Some(call.service.signing_name)) {
        Ok(identity) => run(&cx, &call, identity, &plain).await,
        Err(refused) => Err(refusal(call.protocol, &refused)),
    };
    let response = match answer {
        Ok(reply) => write(&call, reply, &cx.request_id),
        Err(fault) => Err(fault),
    };
    let namespace = || call.service.model().xml_namespace.as_str();
    (response.unwrap_or_else(|fault| refuse(call.protocol, namespace(), &fault, &cx)), label)
}

const UNKNOWN: (&str, &str) = ("unknown", "unknown");

/// The body as it was before the client packed it, as SDKs do with what is large. Its signature is that of the packed one.
fn unpacked(parts: &Parts, body: &Bytes) -> Result<Bytes, Fault> {
    match parts.headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") => Ok(body.clone()),
        Some(b"gzip") => {
            let mut plain = Vec::new();
            let mut reader = flate2::read::MultiGzDecoder::new(&**body).take(BODY_BYTES_MAX as u64 + 1);
            reader.read_to_end(&mut plain).map_err(|_| unreadable())?;
            if plain.len() > BODY_BYTES_MAX {
                let text = format!("the body is larger than {BODY_BYTES_MAX} bytes");
                return Err(Fault::new(413, "RequestEntityTooLarge", text));
            }
            Ok(plain.into())
        }
        Some(_) => Err(Fault::new(415, "UnsupportedMediaType", "bodies are read plain or with gzip")),
    }
}

fn protocol_of(parts: &Parts) -> Protocol {
    if parts.headers.get(SMITHY).is_some_and(|name| name == RPC_V2_CBOR) {
        return Protocol::Cbor;
    }
    let is_json = parts.headers.contains_key(TARGET)
        || parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-amz-json"));
    if is_json { Protocol::Json } else { Protocol::Query }
}

/// The fields of the query and of a form body: a presigned call has them in the first, any other in the second.
fn fields_of(parts: &Parts, body: &[u8]) -> Vec<(String, String)> {
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    form_urlencoded::parse(query)
        .chain(form_urlencoded::parse(body))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

/// Finds service and operation: by the target for JSON, by the path for CBOR, by the signature's scope or the version for
/// the query protocol.
fn route<'a>(parts: &Parts, fields: Fields<'a>) -> Result<Call<'a>, (Protocol, Fault)> {
    let protocol = protocol_of(parts);
    let (service, name) = match (protocol, parts.headers.get(TARGET)) {
        (Protocol::Cbor, _) => by_path(parts.uri.path()).ok_or_else(|| (protocol, unknown_target()))?,
        (Protocol::Json, Some(target)) => by_target(target).ok_or_else(|| (protocol, unknown_target()))?,
        (Protocol::Json | Protocol::Query, _) => by_action(parts, fields).map_err(|fault| (protocol, fault))?,
    };
    let fault = |fault| (protocol, fault);
    let model = service.model();
    let operation = model.operation(name).ok_or_else(|| fault(unknown(protocol, name)))?;
    let op = operation.handler.ok_or_else(|| fault(not_there(protocol, service, name)))?;
    Ok(Call { protocol, service, operation, op, fields })
}

fn by_target(target: &HeaderValue) -> Option<(&'static Service, &str)> {
    let (prefix, name) = target.to_str().ok()?.rsplit_once('.')?;
    let service = crate::SERVICES.iter().find(|service| !prefix.is_empty() && service.target_prefix == prefix)?;
    Some((service, name))
}

/// As in `/service/GraniteServiceVersion20100801/operation/ListMetrics`.
fn by_path(path: &str) -> Option<(&'static Service, &str)> {
    let (prefix, name) = path.strip_prefix("/service/")?.split_once("/operation/")?;
    let mut speakers = crate::SERVICES.iter().filter(|service| service.speaks(Protocol::Cbor));
    Some((speakers.find(|service| service.target_prefix == prefix)?, name))
}

fn by_action<'a>(parts: &Parts, fields: Fields<'a>) -> Result<(&'static Service, &'a str), Fault> {
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let scope = sigv4::read(parts).ok().flatten().map(|claim| claim.service.into_owned());
    let Some(action) = field("Action") else {
        let is_known = |name: &String| crate::SERVICES.iter().any(|service| service.signing_name == name);
        let text = scope.filter(|scope| !is_known(scope)).map_or_else(
            || "there is no operation here: neither X-Amz-Target nor Action is given".to_owned(),
            |service| format!("requests of the service `{service}` are not understood yet"),
        );
        return Err(Fault::client("MissingAction", text));
    };
    let queries = || crate::SERVICES.iter().filter(|service| service.speaks(Protocol::Query));
    let service = match &scope {
        Some(scope) => queries().find(|service| service.signing_name == scope),
        None => queries().find(|service| Some(service.model().api_version.as_str()) == field("Version")),
    };
    let invalid = || {
        let of = scope.as_deref().map(|service| format!(" (service `{service}`)")).unwrap_or_default();
        Fault::client("InvalidAction", format!("The action {} is not valid for this web service.{of}", short(action)))
    };
    service.map(|service| (*service, action)).ok_or_else(invalid)
}

fn short(text: &str) -> String {
    text.chars().take(128).collect()
}

fn unknown_target() -> Fault {
    Fault::client("UnknownOperationException", "")
}

fn unknown(protocol: Protocol, name: &str) -> Fault {
    match protocol {
        Protocol::Json | Protocol::Cbor => unknown_target(),
        Protocol::Query => {
            Fault::client("InvalidAction", format!("The action {} is not valid for this web service.", short(name)))
        }
    }
}

fn not_there(protocol: Protocol, service: &Service, name: &str) -> Fault {
    let text = format!(
        "{name} of {} is not there yet in this version of Cove; `cove ops` lists what is",
        service.signing_name
    );
    match protocol {
        Protocol::Json | Protocol::Cbor => Fault::client("UnsupportedOperationException", text),
        // Several tools swallow exactly this code when they try what may be missing.
        Protocol::Query => Fault::client("InvalidAction", text),
    }
}

fn refusal(protocol: Protocol, refused: &Refused) -> Fault {
    match protocol {
        Protocol::Json | Protocol::Cbor => Fault::client(refused.json_code(), refused.to_string()),
        Protocol::Query => {
            let (code, status) = refused.query_code();
            Fault::new(status, code, refused.to_string())
        }
    }
}

async fn run(cx: &RawContext, call: &Call<'_>, identity: Identity, body: &[u8]) -> Result<Vec<u8>, Fault> {
    let shared = &cx.shared;
    shared.ensure_tenant(&identity.tenant).await.map_err(|error| {
        tracing::error!("cannot set a tenant up: {}", cove_base::error::chain(&error));
        Fault::new(503, "ServiceUnavailable", cove_base::error::chain(&error))
    })?;
    let model = call.service.model();
    let mut input = match call.protocol {
        Protocol::Json | Protocol::Cbor if body.is_empty() => json!({}),
        Protocol::Cbor => cove_model::cbor::decode(body, cove_model::cbor::Keys::Texts, values::VALUES_MAX)
            .map_err(|_| unreadable())?,
        Protocol::Json if values::too_many(body) => {
            let text = format!("the request has more than {} values", values::VALUES_MAX);
            return Err(Fault::client("SerializationException", text));
        }
        Protocol::Json => serde_json::from_slice(body).map_err(|_| unreadable())?,
        Protocol::Query => query::decode(model, call.operation.input, call.fields)?,
    };
    validate::validate(model, call.operation.input, &mut input, call.service.policy)?;
    let context = Context {
        store: shared.store.clone(),
        clock: shared.clock.clone(),
        tenant: identity.tenant,
        caller: identity.caller,
        registry: shared.registry.clone(),
        metrics: shared.cloudwatch.clone(),
        settings: shared.settings.clone(),
        request_id: cx.request_id.clone(),
        origin: cx.origin(),
        terminals: shared.terminals.clone(),
    };
    let answer = (call.op.run)(&context, Input(input)).await?;
    if cfg!(debug_assertions) || shared.settings.dev {
        check_reply(call, &answer)?;
    }
    Ok(answer)
}

/// Calls an operation as a client's request would, from inside the server: checked by the same model.
pub(crate) async fn call_inside(
    cx: &Context,
    service: &'static Service,
    name: &str,
    mut input: Value,
) -> Result<Value, Fault> {
    let operation = service.model().operation(name).and_then(|operation| Some((operation.input, operation.handler?)));
    let Some((shape, op)) = operation else { return Err(not_there(Protocol::Json, service, name)) };
    validate::validate(service.model(), shape, &mut input, service.policy)?;
    let answer = (op.run)(cx, Input(input)).await?;
    serde_json::from_slice(&answer).map_err(|_| Fault::internal())
}

fn unreadable() -> Fault {
    Fault::client("SerializationException", "Unexpected token received from parser")
}

/// A reply that breaks the model would break clients: better to fail here, where it shows.
fn check_reply(call: &Call<'_>, answer: &[u8]) -> Result<(), Fault> {
    let value: Value = serde_json::from_slice(answer).unwrap_or(Value::Null);
    reply::validate_reply(call.service.model(), call.operation.output, &value).map_err(|breach| {
        tracing::error!(service = call.service.signing_name, operation = call.op.name, "{breach}");
        Fault::new(500, "InternalFailure", breach.to_string())
    })
}

fn write(call: &Call<'_>, answer: Vec<u8>, request_id: &str) -> Result<Response, Fault> {
    match call.protocol {
        // An operation without output is answered with an empty body, as AWS does.
        Protocol::Json if call.operation.output.is_none() => Ok(response(200, json_of(call.service), Vec::new())),
        Protocol::Json => Ok(response(200, json_of(call.service), answer)),
        Protocol::Cbor => {
            let value: Value = serde_json::from_slice(&answer).map_err(|_| Fault::internal())?;
            Ok(in_cbor(200, cbor::encode(call.service.model(), call.operation.output, &value)))
        }
        Protocol::Query => {
            let value: Value = serde_json::from_slice(&answer).map_err(|_| Fault::internal())?;
            let text = xml::reply(call.service.model(), call.operation, &value, request_id);
            Ok(response(200, XML, text.into_bytes()))
        }
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");
const JSON_1_0: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.0");
const CBOR: HeaderValue = HeaderValue::from_static("application/cbor");
const SMITHY: HeaderName = HeaderName::from_static("smithy-protocol");
const RPC_V2_CBOR: HeaderValue = HeaderValue::from_static("rpc-v2-cbor");
/// Where clients of a service that once spoke the query protocol find the old code of an error.
const QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");
const XML: HeaderValue = HeaderValue::from_static("text/xml");

/// The version of the JSON protocol that the service speaks.
fn json_of(service: &Service) -> HeaderValue {
    if service.speaks(Protocol::Cbor) { JSON_1_0 } else { JSON }
}

fn in_cbor(status: u16, body: Vec<u8>) -> Response {
    let mut response = response(status, CBOR, body);
    response.headers_mut().insert(SMITHY, RPC_V2_CBOR);
    response
}

fn response(status: u16, kind: HeaderValue, body: Vec<u8>) -> Response {
    let builder = hyper::Response::builder().status(status).header(CONTENT_TYPE, kind);
    builder.body(Body::full(body)).expect("a status and constant headers make a response")
}

fn refuse(protocol: Protocol, namespace: &str, fault: &Fault, cx: &RawContext) -> Response {
    let document = || {
        let mut body = fault.details.clone();
        body.insert("__type".into(), Value::from(&*fault.code));
        if !fault.message.is_empty() {
            body.insert("message".into(), Value::from(fault.message.as_str()));
        }
        Value::Object(body)
    };
    let mut response = match protocol {
        Protocol::Json => response(fault.status, JSON, document().to_string().into_bytes()),
        Protocol::Cbor => {
            let mut body = Vec::new();
            cbor::plain(&document(), &mut body);
            in_cbor(fault.status, body)
        }
        Protocol::Query => {
            return response(fault.status, XML, xml::error(namespace, fault, &cx.request_id).into_bytes());
        }
    };
    if let Ok(code) = HeaderValue::from_str(&fault.code) {
        response.headers_mut().insert(ERROR_TYPE, code);
    }
    if protocol == Protocol::Cbor || fault.query_code.is_some() {
        let error = format!("{};{}", fault.old_code(), fault.blamed());
        if let Ok(error) = HeaderValue::from_str(&error) {
            response.headers_mut().insert(QUERY_ERROR, error);
        }
    }
    response
}
