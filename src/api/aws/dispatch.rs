//! One AWS request from its body to its answer: service and operation, caller, input, handler, reply.

use bytes::Bytes;
use hyper::body::Body as _;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use serde_json::{Value, json};

use super::context::Context;
use super::fault::Fault;
use super::identity::{self, Identity, Refused};
use super::model::{Operation, query, reply, validate, values, xml};
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
    let fields = if parts.headers.contains_key(TARGET) { Vec::new() } else { fields_of(&parts, &body) };
    let call = match route(&parts, &fields) {
        Ok(call) => call,
        Err((protocol, fault)) => return (refuse(protocol, "", &fault, &cx), UNKNOWN),
    };
    let label = (call.service.signing_name, call.op.name);
    let answer = match identity::authenticate(&cx, &parts, &body, Some(call.service.signing_name)) {
        Ok(identity) => run(&cx, &call, identity, &body).await,
        Err(refused) => Err(refusal(call.service.protocol, &refused)),
    };
    let response = match answer {
        Ok(reply) => write(&call, reply, &cx.request_id),
        Err(fault) => Err(fault),
    };
    let namespace = || call.service.model().xml_namespace.as_str();
    (response.unwrap_or_else(|fault| refuse(call.service.protocol, namespace(), &fault, &cx)), label)
}

const UNKNOWN: (&str, &str) = ("unknown", "unknown");

fn protocol_of(parts: &Parts) -> Protocol {
    let is_json = parts.headers.contains_key(TARGET)
        || parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-amz-json"));
    if is_json { Protocol::Json } else { Protocol::Query }
}

/// The fields of the query and of a form body: a presigned call has them in the first, any other in the second.
fn fields_of(parts: &Parts, body: &Bytes) -> Vec<(String, String)> {
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    form_urlencoded::parse(query)
        .chain(form_urlencoded::parse(body))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

/// Finds service and operation: by the target for JSON, by the signature's scope or the version for the query protocol.
fn route<'a>(parts: &Parts, fields: Fields<'a>) -> Result<Call<'a>, (Protocol, Fault)> {
    let (service, name) = match parts.headers.get(TARGET) {
        Some(target) => by_target(target).ok_or_else(|| (Protocol::Json, unknown_target()))?,
        None => by_action(parts, fields).map_err(|fault| (protocol_of(parts), fault))?,
    };
    let fault = |fault| (service.protocol, fault);
    let model = service.model();
    let operation = model.operation(name).ok_or_else(|| fault(unknown(service, name)))?;
    let op = operation.handler.ok_or_else(|| fault(not_there(service, name)))?;
    Ok(Call { service, operation, op, fields })
}

fn by_target(target: &HeaderValue) -> Option<(&'static Service, &str)> {
    let (prefix, name) = target.to_str().ok()?.rsplit_once('.')?;
    let service = crate::SERVICES.iter().find(|service| !prefix.is_empty() && service.target_prefix == prefix)?;
    Some((service, name))
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
    let queries = || crate::SERVICES.iter().filter(|service| service.protocol == Protocol::Query);
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

fn unknown(service: &Service, name: &str) -> Fault {
    match service.protocol {
        Protocol::Json => unknown_target(),
        Protocol::Query => {
            Fault::client("InvalidAction", format!("The action {} is not valid for this web service.", short(name)))
        }
    }
}

fn not_there(service: &Service, name: &str) -> Fault {
    let text = format!(
        "{name} of {} is not there yet in this version of Cove; `cove ops` lists what is",
        service.signing_name
    );
    match service.protocol {
        Protocol::Json => Fault::client("UnsupportedOperationException", text),
        // Several tools swallow exactly this code when they try what may be missing.
        Protocol::Query => Fault::client("InvalidAction", text),
    }
}

fn refusal(protocol: Protocol, refused: &Refused) -> Fault {
    match protocol {
        Protocol::Json => Fault::client(refused.json_code(), refused.to_string()),
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
    let mut input = match call.service.protocol {
        Protocol::Json if body.is_empty() => json!({}),
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
        settings: shared.settings.clone(),
        request_id: cx.request_id.clone(),
        origin: cx.origin(),
    };
    let answer = (call.op.run)(&context, Input(input)).await?;
    if cfg!(debug_assertions) || shared.settings.dev {
        check_reply(call, &answer)?;
    }
    Ok(answer)
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
    match call.service.protocol {
        // An operation without output is answered with an empty body, as AWS does.
        Protocol::Json if call.operation.output.is_none() => Ok(response(200, JSON, Vec::new())),
        Protocol::Json => Ok(response(200, JSON, answer)),
        Protocol::Query => {
            let value: Value = serde_json::from_slice(&answer).map_err(|_| Fault::internal())?;
            let text = xml::reply(call.service.model(), call.operation, &value, request_id);
            Ok(response(200, XML, text.into_bytes()))
        }
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");
const XML: HeaderValue = HeaderValue::from_static("text/xml");

fn response(status: u16, kind: HeaderValue, body: Vec<u8>) -> Response {
    let builder = hyper::Response::builder().status(status).header(CONTENT_TYPE, kind);
    builder.body(Body::full(body)).expect("a status and constant headers make a response")
}

fn refuse(protocol: Protocol, namespace: &str, fault: &Fault, cx: &RawContext) -> Response {
    match protocol {
        Protocol::Json => {
            let mut body = fault.details.clone();
            body.insert("__type".into(), Value::from(&*fault.code));
            if !fault.message.is_empty() {
                body.insert("message".into(), Value::from(fault.message.as_str()));
            }
            let mut response = response(fault.status, JSON, Value::Object(body).to_string().into_bytes());
            if let Ok(code) = HeaderValue::from_str(&fault.code) {
                response.headers_mut().insert(ERROR_TYPE, code);
            }
            response
        }
        Protocol::Query => response(fault.status, XML, xml::error(namespace, fault, &cx.request_id).into_bytes()),
    }
}
