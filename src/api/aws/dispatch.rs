//! One AWS request from its body to its answer: service and operation, caller, input, handler, reply.

use std::io::Read as _;

use bytes::Bytes;
use hyper::body::Body as _;
use hyper::header::{CONTENT_ENCODING, HeaderValue};
use hyper::http::request::Parts;
use serde_json::{Value, json};

use super::context::Context;
use super::fault::Fault;
use super::form::{Form, XML, in_cbor, json_of, response};
use super::identity::{self, Identity, Refused};
use super::model::{cbor, query, reply, validate, values, xml};
use super::route::{self, Call, fields_of, not_there, protocol_of};
use super::service::{Input, Protocol, Service};
use crate::http::{BodyError, collect};
use crate::{ListenerKind, RawContext, Request, Response};

/// The largest body of an AWS call: PutLogEvents takes a megabyte of events, and JSON may double that.
const BODY_BYTES_MAX: usize = 4 << 20;
/// That of UploadLayerPart: a part of at most 20 MiB in base64, and its names.
const PART_BODY_BYTES_MAX: usize = 28 << 20;

/// Answers a request of an AWS client, and says which operation it was.
pub(crate) async fn handle(cx: RawContext, request: Request) -> (Response, (&'static str, &'static str)) {
    let (parts, body) = request.into_parts();
    if let Some(lost) = route::lost_before_its_body(&parts) {
        return (lost.form.refuse(&lost.fault, &cx.request_id), UNKNOWN);
    }
    let protocol = protocol_of(&parts);
    let turned_away = |fault: &Fault| (Form::of(protocol, None).refuse(fault, &cx.request_id), UNKNOWN);
    let most = largest_body(&parts);
    // Without a length it may be as long as is allowed.
    let length = body.size_hint().exact().and_then(|length| usize::try_from(length).ok()).unwrap_or(most);
    let buffered = match cx.listener {
        ListenerKind::Public { .. } => &cx.shared.buffered,
        ListenerKind::Task { .. } => &cx.shared.buffered_of_tasks,
    };
    let Some(_share) = buffered.share(cx.peer.ip(), length.min(most)).await else {
        let busy = Fault::new(503, "ServiceUnavailable", "too many large requests at once; please try again");
        return turned_away(&busy);
    };
    let body = match collect(body, most).await {
        Ok(body) => body,
        Err(error) => {
            let status = if matches!(error, BodyError::TooLarge { .. }) { 413 } else { 400 };
            return turned_away(&Fault::new(status, "RequestEntityTooLarge", error.to_string()));
        }
    };
    let plain = match unpacked(&parts, &body, most) {
        Ok(plain) => plain,
        Err(fault) => return turned_away(&fault),
    };
    let fields = if protocol == Protocol::Query { fields_of(&parts, &plain) } else { Vec::new() };
    let call = match route::route(&parts, &fields) {
        Ok(call) => call,
        Err(lost) => return (lost.form.refuse(&lost.fault, &cx.request_id), UNKNOWN),
    };
    let label = (call.service.signing_name, call.op.name);
    let answer = match identity::authenticate(&cx, &parts, &body, Some(call.service.signing_name)) {
        Ok(identity) => run(&cx, &call, identity, &plain).await,
        Err(refused) => Err(refusal(call.protocol, &refused)),
    };
    let response = answer.and_then(|reply| write(&call, reply, &cx.request_id));
    let form = || Form::of(call.protocol, Some(call.service));
    (response.unwrap_or_else(|fault| form().refuse(&fault, &cx.request_id)), label)
}

const UNKNOWN: (&str, &str) = ("unknown", "unknown");

fn largest_body(parts: &Parts) -> usize {
    let is_part = |target: &HeaderValue| target.as_bytes().ends_with(b".UploadLayerPart");
    if parts.headers.get(route::TARGET).is_some_and(is_part) { PART_BODY_BYTES_MAX } else { BODY_BYTES_MAX }
}

/// The body as it was before the client packed it, as SDKs do with what is large. Its signature is that of the packed one.
fn unpacked(parts: &Parts, body: &Bytes, most: usize) -> Result<Bytes, Fault> {
    match parts.headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") => Ok(body.clone()),
        Some(b"gzip") => {
            let mut plain = Vec::new();
            let mut reader = flate2::read::MultiGzDecoder::new(&**body).take(most as u64 + 1);
            reader.read_to_end(&mut plain).map_err(|_| unreadable())?;
            if plain.len() > most {
                let text = format!("the body is larger than {most} bytes");
                return Err(Fault::new(413, "RequestEntityTooLarge", text));
            }
            Ok(plain.into())
        }
        Some(_) => Err(Fault::new(415, "UnsupportedMediaType", "bodies are read plain or with gzip")),
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
