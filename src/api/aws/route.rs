//! Finds what a request asks for: by the target for JSON, by the path for CBOR, by the signature's scope or the version for
//! the query protocol.
//!
//! In: the head of a request and its form fields. Out: service and operation, or why there is none.
//!
//! Holds: who asks for what is not there reads its name and where to see what is, in the form that its own protocol has.

use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Parts;

use super::fault::Fault;
use super::form::{Form, RPC_V2_CBOR, SMITHY};
use super::model::Operation;
use super::service::{Op, Protocol, Service};
use super::sigv4;

pub(super) const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
/// How much of a name that a client made up is said back to it.
const NAME_CHARS_MAX: usize = 128;
/// The services, by their names in signatures, that speak XML without an operation's name. Others do so in JSON.
const REST_XML: [&str; 3] = ["s3", "cloudfront", "route53"];
/// How every refusal of this kind ends.
const SEE: &str = "`cove ops` lists what is";

/// What a request asks for.
pub(super) struct Call<'a> {
    pub(super) protocol: Protocol,
    pub(super) service: &'static Service,
    pub(super) operation: &'static Operation,
    pub(super) op: &'static Op,
    pub(super) fields: Fields<'a>,
}

/// The form fields of a query request.
pub(super) type Fields<'a> = &'a [(String, String)];

/// Why a request is for nothing that is here, and how its client reads that.
pub(super) struct Lost {
    pub(super) form: Form,
    pub(super) fault: Fault,
}

pub(super) fn protocol_of(parts: &Parts) -> Protocol {
    if parts.headers.get(SMITHY).is_some_and(|name| name == RPC_V2_CBOR) {
        return Protocol::Cbor;
    }
    let is_json = parts.headers.contains_key(TARGET)
        || parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-amz-json"));
    if is_json { Protocol::Json } else { Protocol::Query }
}

/// The fields of the query and of a form body: a presigned call has them in the first, any other in the second.
pub(super) fn fields_of(parts: &Parts, body: &[u8]) -> Vec<(String, String)> {
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    form_urlencoded::parse(query)
        .chain(form_urlencoded::parse(body))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

/// A request of a service whose operations are paths: none of these is there. Its body may be as large as an object of S3,
/// so it is refused before that is read.
pub(super) fn lost_before_its_body(parts: &Parts) -> Option<Lost> {
    let may_have_fields = parts.uri.path() == "/" && parts.method == Method::POST;
    let has_action =
        || form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).any(|it| it.0 == "Action");
    if protocol_of(parts) != Protocol::Query || may_have_fields || has_action() {
        return None;
    }
    by_paths(parts)
}

/// Finds service and operation.
pub(super) fn route<'a>(parts: &Parts, fields: Fields<'a>) -> Result<Call<'a>, Lost> {
    let protocol = protocol_of(parts);
    let (service, name) = match (protocol, parts.headers.get(TARGET)) {
        (Protocol::Cbor, _) => by_path(parts)?,
        (Protocol::Json, Some(target)) => by_target(parts, target)?,
        (Protocol::Json | Protocol::Query, _) => by_action(parts, fields)?,
    };
    let known = service.model().operation(name);
    match known.and_then(|operation| Some((operation, operation.handler?))) {
        Some((operation, op)) => Ok(Call { protocol, service, operation, op, fields }),
        None => {
            let fault =
                if known.is_some() { not_there(protocol, service, name) } else { unknown(protocol, service, name) };
            Err(Lost { form: Form::of(protocol, Some(service)), fault })
        }
    }
}

fn by_target<'a>(parts: &Parts, target: &'a HeaderValue) -> Result<(&'static Service, &'a str), Lost> {
    let text = target.to_str().unwrap_or_default();
    let (prefix, name) = text.rsplit_once('.').unwrap_or(("", text));
    let found = crate::SERVICES.iter().find(|service| !prefix.is_empty() && service.target_prefix == prefix);
    found.map(|service| (*service, name)).ok_or_else(|| no_service(parts, Protocol::Json, name, "target", text))
}

/// As in `/service/GraniteServiceVersion20100801/operation/ListMetrics`.
fn by_path(parts: &Parts) -> Result<(&'static Service, &str), Lost> {
    let path = parts.uri.path();
    let named = path.strip_prefix("/service/").and_then(|rest| rest.split_once("/operation/"));
    let (prefix, name) = named.unwrap_or(("", path));
    let mut speakers = crate::SERVICES.iter().filter(|service| service.speaks(Protocol::Cbor));
    let found = speakers.find(|service| service.target_prefix == prefix);
    found.map(|service| (*service, name)).ok_or_else(|| no_service(parts, Protocol::Cbor, name, "path", path))
}

fn by_action<'a>(parts: &Parts, fields: Fields<'a>) -> Result<(&'static Service, &'a str), Lost> {
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let Some(action) = field("Action") else {
        return Err(by_paths(parts).unwrap_or_else(|| {
            let text = "there is no operation here: neither X-Amz-Target nor Action is given";
            Lost { form: Form::of(protocol_of(parts), None), fault: Fault::client("MissingAction", text) }
        }));
    };
    let version = field("Version").unwrap_or_default();
    let scope = scope(parts);
    let mut queries = crate::SERVICES.iter().filter(|service| service.speaks(Protocol::Query));
    let found = match &scope {
        Some(scope) => queries.find(|service| service.signing_name == scope),
        None => queries.find(|service| service.model().api_version == version),
    };
    found
        .map(|service| (*service, action))
        .ok_or_else(|| no_service(parts, Protocol::Query, action, "version", version))
}

/// The service that the request was signed for.
fn scope(parts: &Parts) -> Option<String> {
    sigv4::read(parts).ok().flatten().map(|claim| claim.service.into_owned())
}

fn is_known(scope: &str) -> bool {
    crate::SERVICES.iter().any(|service| service.signing_name == scope)
}

/// Nobody's operation: the service goes by the name in the signature, else by what the request has in its place.
fn no_service(parts: &Parts, protocol: Protocol, name: &str, place: &str, text: &str) -> Lost {
    let service = match scope(parts) {
        Some(scope) if is_known(&scope) => format!("a service `{scope}` with the {place} `{}`", short(text)),
        Some(scope) => format!("the service `{}`", short(&scope)),
        None => format!("a service with the {place} `{}`", short(text)),
    };
    let name = short(name);
    let fault = match protocol {
        Protocol::Json | Protocol::Cbor => Fault::client(
            "UnknownOperationException",
            format!("{service} is not there in this version of Cove, so {name} is not; {SEE}"),
        ),
        Protocol::Query => Fault::client("InvalidAction", invalid(&name, &format!("{service} is not there in"))),
    };
    Lost { form: Form::of(protocol, None), fault }
}

/// Why the service that the request was signed for, whose operations are paths, is not there.
fn by_paths(parts: &Parts) -> Option<Lost> {
    let service = scope(parts).filter(|scope| !is_known(scope))?;
    let text = format!(
        "the service `{}` is not there in this version of Cove, so {} {} is not; {SEE}",
        short(&service),
        parts.method,
        short(parts.uri.path())
    );
    // S3's code and status of what it does not do itself.
    let in_xml = || Lost { form: Form::RestXml, fault: Fault::new(501, "NotImplemented", text.clone()) };
    let in_json = || Lost { form: Form::RestJson, fault: Fault::new(404, "UnknownOperationException", text.clone()) };
    Some(if REST_XML.contains(&service.as_str()) { in_xml() } else { in_json() })
}

/// AWS's sentence and what it leaves out: several tools look for the code, some for its words.
fn invalid(name: &str, because: &str) -> String {
    format!("The action {name} is not valid for this web service: {because} this version of Cove; {SEE}")
}

/// An operation that the service's model does not have.
fn unknown(protocol: Protocol, service: &Service, name: &str) -> Fault {
    let (name, of) = (short(name), service.signing_name);
    match protocol {
        Protocol::Json | Protocol::Cbor => Fault::client(
            "UnknownOperationException",
            format!("{of} has no operation {name} in this version of Cove; {SEE}"),
        ),
        Protocol::Query => Fault::client("InvalidAction", invalid(&name, &format!("{of} does not have it in"))),
    }
}

/// An operation that the service's model has and its table does not.
pub(super) fn not_there(protocol: Protocol, service: &Service, name: &str) -> Fault {
    let of = service.signing_name;
    match protocol {
        Protocol::Json | Protocol::Cbor => Fault::client(
            "UnsupportedOperationException",
            format!("{name} of {of} is not there yet in this version of Cove; {SEE}"),
        ),
        // Several tools swallow exactly this code when they try what may be missing.
        Protocol::Query => Fault::client("InvalidAction", invalid(name, &format!("it is not there yet in {of} of"))),
    }
}

fn short(text: &str) -> String {
    text.chars().take(NAME_CHARS_MAX).collect()
}
