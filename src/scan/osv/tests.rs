use super::{Event, RecordFault, package_key, parse};

fn record(affected: &str) -> Vec<u8> {
    format!(r#"{{"id":"X-1","affected":[{affected}]}}"#).into_bytes()
}

#[test]
fn a_record_is_read_with_all_that_a_scan_needs() {
    let text = br#"{"id":"GHSA-1","modified":"2024-01-02T00:00:00Z","published":"2024-01-01T00:00:00Z",
        "aliases":["CVE-2024-1"],"upstream":["CVE-2024-2"],"summary":"bad","details":"very bad",
        "severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
        "database_specific":{"severity":"MODERATE"},"references":[{"type":"WEB","url":"https://a.example"}],
        "affected":[
            {"package":{"ecosystem":"PyPI","name":"Foo"},"versions":["1.0"],"ranges":[
                {"type":"GIT","repo":"r","events":[{"introduced":"0"}]},
                {"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1.2"},{"introduced":"2"},{"last_affected":"2.3"}]}]},
            {"package":{"ecosystem":"PyPI","name":"git-only"},"ranges":[{"type":"GIT","repo":"r","events":[{"introduced":"0"}]}]}]}"#;
    let (advisory, statements) = parse(text).unwrap().expect("not withdrawn");
    assert_eq!((advisory.id.as_str(), advisory.word.as_str()), ("GHSA-1", "MODERATE"));
    assert_eq!(advisory.aliases, ["CVE-2024-1", "CVE-2024-2"]);
    assert_eq!(advisory.references, ["https://a.example"]);
    assert_eq!(advisory.vectors.len(), 1);
    let [statement] = &statements[..] else { panic!("{statements:?}") };
    assert_eq!(statement.ranges.len(), 1);
    assert_eq!(statement.ranges[0].events[3], Event::LastAffected("2.3".to_owned()));
}

#[test]
fn a_withdrawn_record_says_nothing() {
    assert!(parse(br#"{"id":"X","withdrawn":"2024-01-01T00:00:00Z","affected":[]}"#).unwrap().is_none());
}

#[test]
fn what_a_record_misses_is_never_guessed() {
    assert!(matches!(parse(b"{"), Err(RecordFault::Json(_))));
    assert!(matches!(parse(br#"{"affected":[]}"#), Err(RecordFault::Id)));
    let bad = [
        r#"{"package":{"ecosystem":"PyPI"}}"#,
        r#"{"package":{"ecosystem":"PyPI","name":"a"},"ranges":7}"#,
        r#"{"package":{"ecosystem":"PyPI","name":"a"},"ranges":[{"type":"NEW","events":[]}]}"#,
        r#"{"package":{"ecosystem":"PyPI","name":"a"},"ranges":[{"type":"ECOSYSTEM","events":[{"begun":"1"}]}]}"#,
        r#"{"package":{"ecosystem":"PyPI","name":"a"},"versions":[1]}"#,
    ];
    for affected in bad {
        assert!(matches!(parse(&record(affected)), Err(RecordFault::Field { .. })), "{affected}");
    }
    assert!(parse(br#"{"id":"X","aliases":null,"details":5,"severity":{},"references":"x"}"#).unwrap().is_some());
}

#[test]
fn a_package_has_one_key_however_it_is_written() {
    assert_eq!(package_key("PyPI", "Zope.Interface_X--y"), "zope-interface-x-y");
    assert_eq!(package_key("NuGet", "Newtonsoft.Json"), "newtonsoft.json");
    assert_eq!(package_key("Debian:12", "Libc6"), "Libc6");
}
