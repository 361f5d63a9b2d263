//! IAM: roles.

use crate::server::Server;

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

fn iam(server: &Server, parameters: &[(&str, &str)]) -> (u16, String) {
    server.query("iam", "2010-05-08", parameters)
}

fn create(server: &Server, name: &str, policy: &str) -> (u16, String) {
    let policy = ("AssumeRolePolicyDocument", policy);
    iam(
        server,
        &[
            ("Action", "CreateRole"),
            ("RoleName", name),
            policy,
            ("Description", "for tests"),
            ("MaxSessionDuration", "7200"),
        ],
    )
}

#[test]
fn a_role_survives_a_restart_until_it_is_deleted() {
    let mut server = Server::start();
    let (status, made) = create(&server, "app", TRUST);
    assert_eq!(status, 200, "{made}");
    server.kill_and_restart();
    let (status, shown) = iam(&server, &[("Action", "GetRole"), ("RoleName", "app")]);
    assert_eq!(status, 200);
    for part in [
        "<Arn>arn:aws:iam::000000000000:role/app</Arn>",
        "<Description>for tests</Description>",
        "<MaxSessionDuration>7200</MaxSessionDuration>",
        "<Path>/</Path>",
        "ecs-tasks.amazonaws.com",
        "<RoleId>AROA",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let (status, again) = create(&server, "APP", TRUST);
    assert_eq!(status, 409, "names differ by more than their case: {again}");
    assert!(again.contains("<Code>EntityAlreadyExists</Code>"));
    let listed = |server: &Server| iam(server, &[("Action", "ListRoles")]).1.contains("<RoleName>app</RoleName>");
    assert!(listed(&server));
    assert_eq!(iam(&server, &[("Action", "DeleteRole"), ("RoleName", "app")]).0, 200);
    server.kill_and_restart();
    assert!(!listed(&server));
    for action in ["GetRole", "DeleteRole"] {
        let (status, text) = iam(&server, &[("Action", action), ("RoleName", "app")]);
        assert_eq!(status, 404);
        assert!(text.contains("<Code>NoSuchEntity</Code>"), "{text}");
    }
}

#[test]
fn roles_are_listed_in_pages() {
    let mut server = Server::start();
    for name in ["a", "b", "c"] {
        assert_eq!(create(&server, name, TRUST).0, 200);
    }
    server.kill_and_restart();
    let (_, first) = iam(&server, &[("Action", "ListRoles"), ("MaxItems", "2")]);
    assert!(first.contains("<IsTruncated>true</IsTruncated>"), "{first}");
    let marker = first.split("<Marker>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let (_, rest) = iam(&server, &[("Action", "ListRoles"), ("Marker", &marker)]);
    let count = |text: &str| text.matches("<RoleName>").count();
    assert_eq!((count(&first), rest.contains("<IsTruncated>false</IsTruncated>")), (2, true), "{rest}");
    let (_, all) = iam(&server, &[("Action", "ListRoles")]);
    assert_eq!(count(&first) + count(&rest), count(&all));
    assert!(all.contains("<RoleName>ecsTaskExecutionRole</RoleName>"), "the usual roles are there: {all}");
}

#[test]
fn roles_that_iam_refuses_are_refused() {
    let server = Server::start();
    for (name, policy, code) in [
        ("app", "{", "MalformedPolicyDocument"),
        ("app", r#"{"Statement":[]}"#, "MalformedPolicyDocument"),
        ("a/b", TRUST, "ValidationError"),
        ("", TRUST, "ValidationError"),
    ] {
        let (status, text) = create(&server, name, policy);
        assert_eq!(status, 400, "{name}: {text}");
        assert!(text.contains(&format!("<Code>{code}</Code>")), "{name}: {text}");
    }
    let (status, text) =
        iam(&server, &[("Action", "AttachRolePolicy"), ("RoleName", "a"), ("PolicyArn", "arn:aws:iam::aws:policy/x")]);
    assert_eq!(status, 400);
    assert!(text.contains("<Code>InvalidAction</Code>"), "what is not there says so: {text}");
}
