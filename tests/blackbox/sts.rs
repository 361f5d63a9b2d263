//! STS.

use crate::server::Server;

#[test]
fn the_caller_is_told_who_it_is() {
    let mut server = Server::start();
    let ask = |server: &Server| server.query("sts", "2011-06-15", &[("Action", "GetCallerIdentity")]);
    let (status, text) = ask(&server);
    assert_eq!(status, 200);
    for part in ["<Account>000000000000</Account>", "<Arn>arn:aws:iam::000000000000:root</Arn>", "<RequestId>"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    server.kill_and_restart();
    assert_eq!(ask(&server).0, 200);
    // Twelve digits for a key id are the account.
    let scope = "AWS4-HMAC-SHA256 Credential=123456789012/20260101/eu-west-1/sts/aws4_request, SignedHeaders=host, Signature=00";
    let headers = [
        ("authorization", scope),
        ("x-amz-date", "20260101T000000Z"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let (status, body) = server.request("POST", "/", &headers, b"Action=GetCallerIdentity&Version=2011-06-15");
    let text = String::from_utf8_lossy(&body).into_owned();
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("<Account>123456789012</Account>"), "{text}");
}
