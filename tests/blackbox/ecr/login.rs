//! Login tokens.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::server::Server;

#[test]
fn a_login_token_opens_its_own_tenant_only() {
    let mut server = Server::start_strict();
    let ready = server.request("GET", "/v2/", &[], b"");
    assert_eq!(ready.0, 401, "without a login nobody reads");
    let root = server.root_key();
    let answer = server.signed(
        &root,
        "ecr",
        "POST",
        "/",
        &[("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken")],
        b"{}",
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    let data = &answer["authorizationData"][0];
    assert_eq!(data["proxyEndpoint"], format!("http://127.0.0.1:{}", server.port));
    let token = data["authorizationToken"].as_str().unwrap();
    let login = format!("Basic {token}");
    server.kill_and_restart();
    let get = |path: &str, login: &str| server.request("GET", path, &[("authorization", login)], b"").0;
    assert_eq!(get("/v2/", &login), 200, "it outlives the server");
    let plain = String::from_utf8(STANDARD.decode(token).unwrap()).unwrap();
    assert!(plain.starts_with("AWS:"));
    let forged = format!("Basic {}", STANDARD.encode(format!("{plain}x")));
    assert_eq!(get("/v2/", &forged), 401);
    assert_eq!(get("/v2/_catalog", &login), 200);
}

#[test]
fn a_token_for_other_registries_is_the_callers_own() {
    let server = Server::start();
    let ids = json!({"registryIds": ["000000000000", "222222222222"]});
    let answer = server.ecr("GetAuthorizationToken", &ids).unwrap();
    let data = answer["authorizationData"].as_array().unwrap();
    assert_eq!(data.len(), 2, "one for each registry: {answer}");
    server.ecr("CreateRepository", &json!({"repositoryName": "mine"})).unwrap();
    for one in data {
        let login = format!("Basic {}", one["authorizationToken"].as_str().unwrap());
        let host = "222222222222.dkr.ecr.us-east-1.amazonaws.com";
        let at = |host: &str| {
            let headers = [("authorization", login.as_str()), ("host", host)];
            server.exchange("GET", "/v2/mine/tags/list", &headers, b"").status
        };
        let own = format!("127.0.0.1:{}", server.port);
        assert_eq!((at(&own), at(host)), (200, 404), "it opens what the caller may see, and nothing else");
    }
}
