//! Requests that no SDK makes: signatures, form fields, and inputs of every operation of every service, carried out on a
//! real store.

mod sample;
mod world;

use cove_base::Timestamp;
use cove_fuzz::{Fuzz, Rng};
use hyper::http::request::Parts;
use serde_json::{Value, json};

use super::model::{query, reply, validate};
use super::service::{Input, Protocol, Service};
use super::sigv4;
use world::World;

/// Of `testdata/botocore.json`.
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const NOW: Timestamp = Timestamp(1_795_382_240_000);

/// `METHOD TARGET\nNAME: VALUE\n…\n\nBODY`, as far as hyper would let it through.
fn request(input: &[u8]) -> Option<(Parts, Vec<u8>)> {
    let end = input.windows(2).position(|pair| pair == b"\n\n")?;
    let mut lines = input[..end].split(|byte| *byte == b'\n');
    let first = std::str::from_utf8(lines.next()?).ok()?;
    let (method, target) = first.split_once(' ')?;
    let mut request = hyper::Request::builder().method(method).uri(target);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        request = request.header(&line[..colon], line[colon + 1..].trim_ascii());
    }
    let (parts, ()) = request.body(()).ok()?.into_parts();
    Some((parts, input[end + 2..].to_vec()))
}

#[test]
fn fuzz_sigv4() {
    let tokens: [&[u8]; 16] = [
        b"AWS4-HMAC-SHA256",
        b"Credential=",
        b"SignedHeaders=host",
        b"Signature=",
        b"X-Amz-Algorithm=AWS4-HMAC-SHA256&",
        b"X-Amz-Expires=",
        b"X-Amz-Date=",
        b"/aws4_request",
        b"x-amz-date: ",
        b"%",
        b"%25",
        b"%ff",
        b"//../",
        b";",
        b", ",
        "\u{e9}".as_bytes(),
    ];
    Fuzz::new("sigv4").tokens(&tokens).run(|input| {
        let Some((parts, body)) = request(input) else { return "no HTTP".to_owned() };
        let keys = sigv4::SigningKeys::default();
        let checked = sigv4::read(&parts).and_then(|claim| match claim {
            Some(claim) => sigv4::verify(&parts, &body, &claim, &|| SECRET.to_owned(), &keys, NOW),
            None => Err(sigv4::Refused::Missing),
        });
        match checked {
            Ok(()) => "accepted".to_owned(),
            Err(refused) => {
                format!("{} {}", refused.json_code(), refused.to_string().chars().take(30).collect::<String>())
            }
        }
    });
}

fn services(protocol: Protocol) -> impl Iterator<Item = &'static Service> {
    crate::SERVICES.iter().copied().filter(move |service| service.speaks(protocol))
}

/// The same form fields for every operation that the query services have.
#[test]
fn fuzz_query() {
    let tokens: [&[u8]; 9] =
        [b"&", b"=", b".member.1", b".", b"Tags.member.2147483648.Key=", b"%", b"%00", b"+", b"1.1."];
    Fuzz::new("query").tokens(&tokens).memory(16 << 20).run(|input| {
        let fields: Vec<(String, String)> = form_urlencoded::parse(input).into_owned().collect();
        let mut outcome = String::new();
        for service in services(Protocol::Query) {
            let model = service.model();
            for operation in model.operations().iter().filter(|operation| operation.handler.is_some()) {
                let read = query::decode(model, operation.input, &fields).and_then(|mut value| {
                    validate::validate(model, operation.input, &mut value, service.policy).map(|()| value)
                });
                if let Err(fault) = read {
                    assert!(fault.status < 500, "{}: {}", operation.name, fault.message);
                    outcome.extend(fault.code.chars().take(3));
                }
            }
        }
        outcome
    });
}

/// `{"service": …, "operation": …, "input": …}`, carried out.
#[test]
fn fuzz_operations() {
    let world = World::new();
    let seeds = crate::SERVICES.iter().flat_map(|service| {
        let mut rng = Rng::new(1);
        service.ops.iter().map(move |op| written(service, op.name, &mut rng)).collect::<Vec<_>>()
    });
    let shape = |rng: &mut Rng, bytes: &mut Vec<u8>| {
        let service = crate::SERVICES[rng.below(crate::SERVICES.len())];
        let op = rng.pick(service.ops);
        *bytes = written(service, op.name, rng);
    };
    Fuzz::new("operations").json().shape(&shape).seeds(seeds.collect()).memory(64 << 20).run(|input| {
        let Ok(call) = serde_json::from_slice::<Value>(input) else { return "no JSON".to_owned() };
        let named = |field: &str| call[field].as_str().unwrap_or_default().to_owned();
        let found = crate::SERVICES.iter().find(|service| service.signing_name == named("service"));
        let Some(service) = found else { return "no service".to_owned() };
        let Some(operation) = service.model().operation(&named("operation")) else { return "no operation".to_owned() };
        let Some(op) = operation.handler else { return "not there".to_owned() };
        let mut value = call["input"].clone();
        if let Err(fault) = validate::validate(service.model(), operation.input, &mut value, service.policy) {
            assert!(fault.status < 500, "{}", fault.message);
            return format!("{} {}", op.name, fault.code);
        }
        match world.call(op, Input(value)) {
            Ok(answer) => {
                let answer: Value = serde_json::from_slice(&answer).unwrap();
                let kept = reply::validate_reply(service.model(), operation.output, &answer);
                assert!(kept.is_ok(), "{}: {}", op.name, kept.unwrap_err());
                format!("{} done", op.name)
            }
            Err(fault) => {
                assert!(fault.status < 500, "{}: {} {}", op.name, fault.code, fault.message);
                // The model accepted it, so the handler's struct must be able to hold it.
                assert!(fault.code != "SerializationException", "{}: {}", op.name, fault.message);
                format!("{} {} {}", op.name, fault.code, fault.message.len() / 16)
            }
        }
    });
}

fn written(service: &Service, operation: &str, rng: &mut Rng) -> Vec<u8> {
    let model = service.model();
    let input = model.operation(operation).and_then(|operation| operation.input);
    let input = input.map_or_else(|| json!({}), |shape| sample::value(model, shape, rng, 0));
    json!({ "service": service.signing_name, "operation": operation, "input": input }).to_string().into_bytes()
}
