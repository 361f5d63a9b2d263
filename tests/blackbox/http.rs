//! What holds for every request: who may send it, what it may be, and that nothing breaks the server.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::server::{PATIENCE, Server, assert_refused};

fn identity(server: &Server, headers: &[(&str, &str)]) -> u16 {
    let form = [("content-type", "application/x-www-form-urlencoded")];
    server.request("POST", "/", &[&form, headers].concat(), b"Action=GetCallerIdentity&Version=2011-06-15").0
}

#[test]
fn web_pages_and_foreign_names_do_not_get_in() {
    let server = Server::start();
    let own = format!("http://127.0.0.1:{}", server.port);
    assert_eq!(identity(&server, &[]), 200);
    assert_eq!(identity(&server, &[("origin", &own)]), 200);
    assert_eq!(identity(&server, &[("host", "localhost:4566")]), 200);
    for headers in [
        [("origin", "https://evil.example")],
        [("origin", "null")],
        [("sec-fetch-site", "cross-site")],
        [("host", "evil.example")],
        [("host", "127.0.0.1.evil.example:4566")],
    ] {
        assert_eq!(identity(&server, &headers), 403, "{headers:?}");
        for path in ["/_cove/health", "/_cove/metrics", "/_cove/v1/info", "/v2/"] {
            assert_eq!(server.request("GET", path, &headers, b"").0, 403, "{path} {headers:?}");
        }
    }
    let open = server.exchange(
        "OPTIONS",
        "/",
        &[("origin", "https://evil.example"), ("access-control-request-method", "POST")],
        b"",
    );
    assert_eq!((open.status, open.header("access-control-allow-origin")), (403, ""));
}

#[test]
fn health_and_metrics_are_served() {
    let server = Server::start();
    let health = server.exchange("GET", "/_cove/health", &[], b"");
    assert_eq!(serde_json::from_slice::<Value>(&health.body).unwrap()["status"], "ok");
    assert!(!health.header("x-amzn-requestid").is_empty(), "every answer has a request id");
    let local: Value = serde_json::from_slice(&server.exchange("GET", "/_localstack/health", &[], b"").body).unwrap();
    assert_eq!(local["services"]["ecs"], "running");
    server.ecs("ListClusters", &json!({})).unwrap();
    assert!(server.ecs("ListClusters", &json!({"maxResults": 0})).is_err());
    let metrics = server.exchange("GET", "/_cove/metrics", &[], b"").text();
    for (class, count) in [("2xx", 1), ("4xx", 1)] {
        let line =
            format!("cove_requests_total{{service=\"ecs\",operation=\"ListClusters\",class=\"{class}\"}} {count}");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
}

/// Strict clients, such as Go's, break off at a body that follows the answer to a HEAD.
#[test]
fn an_answer_to_head_has_no_body_over_http2_either() {
    let server = Server::start();
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let field = |index: u8, value: &str| [&[index, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
    // Names by their place in HPACK's static table: authority 1, method 2, path 4; 0x86 is scheme http as a whole.
    let head = [field(1, "localhost"), field(2, "HEAD"), field(4, "/v2/none/manifests/1"), vec![0x86]].concat();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    // END_STREAM and END_HEADERS on stream 1.
    let headers = [0, 0, u8::try_from(head.len()).unwrap(), 1, 5, 0, 0, 0, 1];
    stream.write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..], &headers, &head].concat()).unwrap();
    loop {
        let mut frame = [0; 9];
        stream.read_exact(&mut frame).unwrap();
        let mut payload = vec![0; usize::from(frame[1]) << 8 | usize::from(frame[2])];
        stream.read_exact(&mut payload).unwrap();
        if frame[8] == 1 {
            assert_eq!((frame[3], frame[4] & 1), (1, 1), "a head that ends the stream: {frame:?}");
            break;
        }
    }
}

/// Operations of the table that are there: service, name, protocol.
fn operations() -> Vec<(String, String)> {
    let listed = std::process::Command::new(env!("CARGO_BIN_EXE_cove")).args(["ops", "--json"]).output().unwrap();
    let rows: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let there = rows.as_array().unwrap().iter().filter(|row| row["state"] != "missing");
    there
        .map(|row| (row["service"].as_str().unwrap().to_owned(), row["operation"].as_str().unwrap().to_owned()))
        .collect()
}

/// The part of `X-Amz-Target` before the dot, for services that have one.
fn target(service: &str) -> Option<&'static str> {
    match service {
        "ecs" => Some("AmazonEC2ContainerServiceV20141113"),
        "ecr" => Some("AmazonEC2ContainerRegistry_V20150921"),
        "logs" => Some("Logs_20140328"),
        _ => None,
    }
}

#[test]
fn no_operation_breaks_at_empty_or_garbage_input() {
    let server = Server::start();
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let bodies: [&[u8]; 12] = [
        b"", b"{}", b"null", b"[]", b"\"x\"", b"{", b"\xff\xfe\x00", b"7", deep.as_bytes(),
        br#"{"cluster":7,"tasks":"x","repositoryName":[],"logGroupName":{},"taskDefinition":true,"attributes":[null],"resourceArn":1}"#,
        br#"{"cluster":"\u0000","tasks":["\u0000"],"repositoryName":"\ud83d\ude00","logGroupName":"\u0000","logStreamName":"","taskDefinition":":::","resourceArn":"arn:","family":"","clusters":[""],"imageIds":[{}],"nextToken":"\u0000","maxResults":-1}"#,
        br#"{"cluster":"arn:aws:ecs:::","tasks":["arn:aws:ecs:us-east-1:000000000000:task/"],"containerInstances":["arn:aws:ecs:us-east-1:000000000000:container-instance//"],"repositoryName":"../..","taskDefinition":"a:99999999999999999999","containerDefinitions":[{}],"maxResults":9223372036854775807,"limit":-9223372036854775808}"#,
    ];
    let listed = operations();
    assert!(listed.len() > 60, "{}", listed.len());
    for (service, operation) in &listed {
        for body in bodies {
            let answer = match target(service) {
                Some(prefix) => {
                    let target = format!("{prefix}.{operation}");
                    server.exchange(
                        "POST",
                        "/",
                        &[("x-amz-target", &target), ("content-type", "application/x-amz-json-1.1")],
                        body,
                    )
                }
                None => {
                    let scope = format!(
                        "AWS4-HMAC-SHA256 Credential=t/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=00"
                    );
                    let form = [format!("Action={operation}&").as_bytes(), body].concat();
                    let headers = [
                        ("authorization", scope.as_str()),
                        ("x-amz-date", "20260101T000000Z"),
                        ("content-type", "application/x-www-form-urlencoded"),
                    ];
                    server.exchange("POST", "/", &headers, &form)
                }
            };
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            assert!(
                (200..500).contains(&answer.status),
                "{service} {operation} {shown}: {} {}",
                answer.status,
                answer.text()
            );
            if target(service).is_some() && answer.status != 200 {
                let error: Value = serde_json::from_slice(&answer.body).unwrap();
                assert!(error["__type"].is_string(), "{service} {operation} {shown}: {error}");
            }
        }
    }
    let metrics = server.exchange("GET", "/_cove/metrics", &[], b"").text();
    let panics = metrics.lines().find(|line| line.starts_with("cove_panics_total")).unwrap_or_default();
    assert!(panics.is_empty() || panics.ends_with(" 0"), "{panics}");
}

#[test]
fn what_is_not_known_says_so() {
    let server = Server::start();
    assert_refused(
        server.ecs("FlyToTheMoon", &json!({})),
        "UnknownOperationException",
        "ecs has no operation FlyToTheMoon",
    );
    assert_refused(server.logs("AssociateKmsKey", &json!({})), "UnsupportedOperationException", "is not there yet");
    let call = |target: &str| server.request("POST", "/", &[("x-amz-target", target)], b"{}");
    assert_eq!(call("Nobody.Knows").0, 400);
    assert_eq!(call("noDot").0, 400);
    let (status, text) = server.query("sts", "2011-06-15", &[("Action", "Dance")]);
    assert_eq!(status, 400);
    assert!(text.contains("<Code>InvalidAction</Code>"), "{text}");
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/favicon.ico"),
        ("DELETE", "/"),
        ("GET", "/_cove/v1/nothing"),
        ("PUT", "/_cove/v1/info"),
    ] {
        let (status, body) = server.request(method, path, &[], b"");
        assert!((400..500).contains(&status), "{method} {path}: {status} {}", String::from_utf8_lossy(&body));
    }
}

#[test]
fn a_service_that_is_not_there_says_so_in_its_own_form() {
    let server = Server::start();
    let scope = |service: &str| {
        format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=00"
        )
    };
    let send = |method: &str, path: &str, service: &str, more: &[(&str, &str)], body: &str| {
        let scope = scope(service);
        let signed = [("authorization", scope.as_str()), ("x-amz-date", "20260101T000000Z")];
        let answer = server.exchange(method, path, &[&signed, more].concat(), body.as_bytes());
        assert!(answer.text().contains("`cove ops` lists what is"), "{}", answer.text());
        answer
    };
    let table = "in this version of Cove, so ListTables is not; `cove ops` lists what is";

    let target = [("x-amz-target", "DynamoDB_20120810.ListTables"), ("content-type", "application/x-amz-json-1.0")];
    let answer = send("POST", "/", "dynamodb", &target, "{}");
    let error: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status, &error["__type"]), (400, &json!("UnknownOperationException")));
    assert_eq!(error["message"], format!("the service `dynamodb` is not there {table}"));
    let unsigned = server.exchange("POST", "/", &target, b"{}");
    assert!(
        unsigned.text().contains("a service with the target `DynamoDB_20120810.ListTables`"),
        "{}",
        unsigned.text()
    );

    let cbor = [("smithy-protocol", "rpc-v2-cbor"), ("content-type", "application/cbor")];
    let answer = send("POST", "/service/Tables/operation/ListTables", "tables", &cbor, "");
    assert_eq!((answer.status, answer.header("content-type")), (400, "application/cbor"));
    assert!(answer.text().contains("the service `tables` is not there"), "{}", answer.text());

    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answer = send("POST", "/", "elasticloadbalancing", &form, "Action=DescribeLoadBalancers&Version=2015-12-01");
    let text = "<Code>InvalidAction</Code><Message>The action DescribeLoadBalancers is not valid for this web service: \
                the service `elasticloadbalancing` is not there in this version of Cove;";
    assert!(answer.status == 400 && answer.text().contains(text), "{}", answer.text());
    let answer = send("POST", "/", "ec2", &form, "Action=CreateFleet&Version=2016-11-15");
    let text = "<Response><Errors><Error><Code>InvalidAction</Code><Message>The action CreateFleet is not valid for this \
                web service: ec2 does not have it in this version of Cove;";
    assert!(answer.status == 400 && answer.text().starts_with(text), "{}", answer.text());

    let answer = send("GET", "/2015-03-31/functions/", "lambda", &[], "");
    let error: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status, answer.header("x-amzn-errortype")), (404, "UnknownOperationException"));
    let text = "the service `lambda` is not there in this version of Cove, so GET /2015-03-31/functions/ is not;";
    assert!(error["message"].as_str().unwrap().starts_with(text), "{error}");

    let chunked = [("content-encoding", "aws-chunked")];
    for (method, path, more) in [("GET", "/", &[][..]), ("PUT", "/bucket/key", &chunked)] {
        let answer = send(method, path, "s3", more, "");
        let text = format!(
            "<Error><Code>NotImplemented</Code><Message>the service `s3` is not there in this version of \
                            Cove, so {method} {path} is not;"
        );
        assert!(answer.status == 501 && answer.text().starts_with(&text), "{}", answer.text());
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_and_the_server_goes_on() {
    let server = Server::start();
    let large = vec![b' '; 5 << 20];
    let target = ("x-amz-target", "AmazonEC2ContainerServiceV20141113.ListClusters");
    assert_eq!(server.request("POST", "/", &[target], &large).0, 413);
    assert_eq!(server.request("POST", "/_cove/v1/images/builtin", &[], &large[..1 << 20]).0, 413);
    server.ecs("ListClusters", &json!({})).unwrap();
}

#[test]
fn only_signatures_that_are_right_in_time_and_for_the_service_count() {
    let server = Server::start_strict();
    let key = server.root_key();
    let list = [("x-amz-target", "AmazonEC2ContainerServiceV20141113.ListClusters")];
    let good = server.signed(&key, "ecs", "POST", "/", &list, b"{}");
    assert_eq!(good.status, 200, "{}", good.text());
    let code = |answer: crate::server::Answer| {
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        (answer.status, body["__type"].as_str().unwrap().to_owned())
    };
    let wrong = crate::sign::Key { secret: "wrong".to_owned(), ..key.clone() };
    assert_eq!(
        code(server.signed(&wrong, "ecs", "POST", "/", &list, b"{}")),
        (400, "InvalidSignatureException".to_owned())
    );
    let stranger = crate::sign::Key { id: "AKIDSTRANGER".to_owned(), ..key.clone() };
    assert_eq!(code(server.signed(&stranger, "ecs", "POST", "/", &list, b"{}")).1, "UnrecognizedClientException");
    assert_eq!(code(server.signed(&key, "ecr", "POST", "/", &list, b"{}")).1, "InvalidSignatureException");
    assert_eq!(code(server.exchange("POST", "/", &list, b"{}")).1, "MissingAuthenticationTokenException");
    let scope = [("authorization", "Bearer x"), list[0]];
    assert_eq!(code(server.exchange("POST", "/", &scope, b"{}")).1, "IncompleteSignatureException");
    for path in ["/_cove/v1/info", "/_cove/v1/doctor"] {
        assert_eq!(server.request("GET", path, &[], b"").0, 403, "{path}");
    }
    assert_eq!(server.request("POST", "/_cove/v1/down", &[], b"").0, 403);
    assert_eq!(server.request("GET", "/_cove/health", &[], b"").0, 200);
}

#[test]
fn a_presigned_request_is_good_until_it_expires() {
    let server = Server::start_strict();
    let key = server.root_key();
    let query = "Action=GetCallerIdentity&Version=2011-06-15";
    let good = server.presigned(&key, "sts", query, 0);
    let answer = server.exchange("GET", &good, &[], b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("arn:aws:iam::000000000000:root"));
    let tampered = good.replace("GetCallerIdentity", "GetSessionToken");
    assert_ne!(server.exchange("GET", &tampered, &[], b"").status, 200);
    let changed = good.replace("X-Amz-Expires=60", "X-Amz-Expires=61");
    assert_eq!(server.exchange("GET", &changed, &[], b"").status, 403);
    let late = server.presigned(&key, "sts", query, 3600);
    let answer = server.exchange("GET", &late, &[], b"");
    assert_eq!(answer.status, 403, "{}", answer.text());
}

#[test]
fn tenants_do_not_see_each_other() {
    let server = Server::start();
    server.ecs("CreateCluster", &json!({"clusterName": "mine"})).unwrap();
    let list = |account: &str, region: &str| {
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential={account}/20260101/{region}/ecs/aws4_request, SignedHeaders=host, Signature=00"
        );
        let headers = [
            ("authorization", scope.as_str()),
            ("x-amz-date", "20260101T000000Z"),
            ("x-amz-target", "AmazonEC2ContainerServiceV20141113.ListClusters"),
        ];
        server.exchange("POST", "/", &headers, b"{}").text()
    };
    assert!(list("000000000000", "us-east-1").contains("cluster/mine"));
    for (account, region) in [("123456789012", "us-east-1"), ("000000000000", "eu-west-1")] {
        let seen = list(account, region);
        assert!(!seen.contains("mine") && seen.contains(&format!("{region}:{account}:cluster/default")), "{seen}");
    }
}
