use super::*;
use crate::finding::FindingKind;

fn read(text: &str) -> Report {
    read_report(text.as_bytes()).unwrap()
}

#[test]
fn trivy_tells_vulnerabilities_secrets_and_misconfigurations() {
    let report = read(
        r#"{"SchemaVersion":2,"ArtifactName":"app","Metadata":{"OS":{"Family":"debian","Name":"12.4"}},"Results":[
        {"Target":"app (debian 12.4)","Class":"os-pkgs","Type":"debian","Vulnerabilities":[{"VulnerabilityID":"CVE-2023-4911",
          "PkgName":"libc6","PkgIdentifier":{"PURL":"pkg:deb/debian/libc6@2.36-9"},"InstalledVersion":"2.36-9","FixedVersion":"2.36-9+deb12u3, 2.37",
          "Layer":{"Digest":"sha256:a","DiffID":"sha256:b"},"Severity":"HIGH","PrimaryURL":"https://avd.example/1","Title":"glibc: overflow",
          "Description":"A buffer overflow","CVSS":{"nvd":{"V3Vector":"CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H","V3Score":7.8}},
          "References":["https://avd.example/1","https://b.example"],"PublishedDate":"2023-10-03T18:15:10Z"}]},
        {"Target":"Python","Class":"lang-pkgs","Type":"python-pkg","Vulnerabilities":[{"VulnerabilityID":"CVE-1","PkgName":"six",
          "PkgPath":"usr/lib/six/METADATA","InstalledVersion":"1","Severity":"UNKNOWN"}]},
        {"Target":"/app/key","Class":"secret","Secrets":[{"RuleID":"private-key","Category":"AsymmetricPrivateKey","Severity":"CRITICAL",
          "Title":"Asymmetric Private Key","StartLine":3,"Match":"TOPSECRET","Code":{"Lines":[{"Content":"TOPSECRET"}]}}]},
        {"Target":"Dockerfile","Class":"config","Misconfigurations":[{"ID":"DS002","AVDID":"AVD-DS-0002","Title":"Image user","Message":"Specify",
          "Description":"Running as root","Resolution":"Add USER","Severity":"HIGH","Status":"FAIL"},{"ID":"DS003","Status":"PASS","Severity":"LOW"}]}]}"#,
    );
    let kinds: Vec<_> = report.findings.iter().map(|finding| (finding.id.as_str(), finding.kind)).collect();
    let (vulnerability, secret, wrong) =
        (FindingKind::Vulnerability, FindingKind::Secret, FindingKind::Misconfiguration);
    assert_eq!(
        kinds,
        [("private-key", secret), ("DS002", wrong), ("CVE-2023-4911", vulnerability), ("CVE-1", vulnerability)]
    );
    let glibc = &report.findings[2];
    assert_eq!((glibc.severity, glibc.score.map(Score::tenths)), (Severity::High, Some(78)));
    assert_eq!(
        (glibc.fixed_version.as_deref(), glibc.layer.as_str(), glibc.path.as_str()),
        (Some("2.36-9+deb12u3"), "sha256:a", "")
    );
    assert_eq!((glibc.manager.as_str(), glibc.references.len()), ("OS", 2));
    assert_eq!(
        (report.findings[3].path.as_str(), report.findings[3].severity),
        ("usr/lib/six/METADATA", Severity::Undefined)
    );
    assert_eq!((report.findings[0].path.as_str(), report.findings[0].line), ("app/key", 3));
    assert!(!serde_json::to_string(&report).unwrap().contains("TOPSECRET"), "secrets are not kept");
}

#[test]
fn what_trivy_0_59_wrote_is_the_same_in_both_of_its_forms() {
    let json = read(include_str!("../../../tests/corpus/scan-report/trivy-json"));
    let sarif = read(include_str!("../../../tests/corpus/scan-report/trivy-sarif"));
    let told = |report: &Report| {
        let findings = report.findings.iter();
        findings.map(|it| (it.kind, it.id.clone(), it.severity, it.path.clone())).collect::<Vec<_>>()
    };
    assert_eq!(told(&json), told(&sarif));
    assert_eq!(json.counts(), [0, 0, 2, 1, 2, 2]);
    let key = json.findings.iter().find(|finding| finding.id == "private-key").expect("a key lies in the image");
    assert_eq!((key.kind, key.path.as_str(), key.line), (FindingKind::Secret, "app/key.pem", 1));
    assert_eq!(sarif.scanner.version, "0.59.1");
}

#[test]
fn grype_tells_the_cve_behind_an_advisory() {
    let report = read(
        r#"{"matches":[{"vulnerability":{"id":"GHSA-1","dataSource":"https://github.example/GHSA-1","severity":"High","urls":["https://u.example"],
          "cvss":[{"version":"3.1","vector":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H","metrics":{"baseScore":7.5}}],
          "fix":{"versions":["2.11.3"],"state":"fixed"}},
          "relatedVulnerabilities":[{"id":"CVE-2020-28493","description":"ReDoS in jinja2\nmore","cvss":[]}],
          "artifact":{"name":"Jinja2","version":"2.4.1","type":"python","locations":[{"path":"/usr/lib/METADATA","layerID":"sha256:a"}],"purl":"pkg:pypi/Jinja2@2.4.1"}}],
          "distro":{"name":"debian","version":"12"},"descriptor":{"name":"grype","version":"0.80.0"}}"#,
    );
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!((finding.id.as_str(), &finding.aliases[..]), ("CVE-2020-28493", &["GHSA-1".to_owned()][..]));
    assert_eq!((finding.title.as_str(), finding.manager.as_str()), ("ReDoS in jinja2", "PYTHONPKG"));
    assert_eq!((finding.path.as_str(), finding.layer.as_str()), ("usr/lib/METADATA", "sha256:a"));
    assert_eq!((finding.fixed_version.as_deref(), finding.score.map(Score::tenths)), (Some("2.11.3"), Some(75)));
    assert_eq!((report.scanner.version.as_str(), report.distribution.unwrap().id.as_str()), ("0.80.0", "debian"));
}

const SARIF: &str = r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"Trivy","version":"0.59.1","rules":[
    {"id":"CVE-1","shortDescription":{"text":"bad"},"fullDescription":{"text":"very bad"},"helpUri":"https://h.example",
      "properties":{"security-severity":"9.8","tags":["vulnerability","security","CRITICAL"]}},
    {"id":"aws-key","shortDescription":{"text":"AWS key"},"properties":{"tags":["secret"]}}]}},
    "results":[{"ruleId":"CVE-1","ruleIndex":0,"level":"error","message":{"text":"Package: curl\nInstalled Version: 7.1\nVulnerability CVE-1\nSeverity: CRITICAL\nFixed Version: 7.2"},
      "locations":[{"physicalLocation":{"artifactLocation":{"uri":"app/x"},"region":{"startLine":5}}}]},
      {"ruleId":"aws-key","level":"error","message":{"text":"Secret AKIA"}},
      {"ruleId":"other","kind":"pass","message":{"text":"fine"}},
      {"ruleId":"known","suppressions":[{"kind":"external"}],"message":{"text":"accepted"}}]}]}"#;

#[test]
fn sarif_tells_results_with_their_rules() {
    let report = read(SARIF);
    let [first, second] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!((first.id.as_str(), first.package.as_str(), first.version.as_str()), ("CVE-1", "curl", "7.1"));
    assert_eq!((first.fixed_version.as_deref(), first.severity, first.line), (Some("7.2"), Severity::Critical, 5));
    assert_eq!(
        (second.kind, second.severity, second.description.as_str()),
        (FindingKind::Secret, Severity::High, "AWS key")
    );
    assert_eq!(report.scanner.name, "Trivy");
}

#[test]
fn cyclonedx_tells_what_affects_which_component() {
    let report = read(
        r#"{"bomFormat":"CycloneDX","specVersion":"1.5","metadata":{"tools":{"components":[{"name":"trivy","version":"0.59"}]}},
        "components":[{"bom-ref":"c1","type":"application","name":"app","components":[{"bom-ref":"pkg:npm/a@1","type":"library","group":"@s","name":"a","version":"1",
          "purl":"pkg:npm/%40s/a@1","properties":[{"name":"aquasecurity:trivy:FilePath","value":"app/package-lock.json"}]}]}],
        "vulnerabilities":[{"id":"CVE-1","source":{"url":"https://s.example"},"ratings":[{"source":{"name":"nvd"},"severity":"medium","method":"CVSSv31",
          "vector":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],"description":"bad","recommendation":"upgrade",
          "affects":[{"ref":"urn:cdx:x/1#pkg:npm/a@1","versions":[{"version":"1","status":"affected"}]}]},
          {"id":"CVE-2","affects":[{"ref":"c1"}],"analysis":{"state":"not_affected"}}]}"#,
    );
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!(
        (finding.package.as_str(), finding.version.as_str(), finding.path.as_str()),
        ("@s/a", "1", "app/package-lock.json")
    );
    assert_eq!((finding.severity, finding.score.map(Score::tenths)), (Severity::Medium, Some(98)));
    assert_eq!((finding.manager.as_str(), finding.remediation.as_str()), ("NPM", "upgrade"));
}

#[test]
fn harbor_tells_vulnerabilities() {
    let report = read(
        r#"{"generated_at":"2024-01-01T00:00:00Z","artifact":{"digest":"sha256:a"},"scanner":{"name":"Trivy","vendor":"Aqua Security","version":"0.59"},
        "severity":"Low","vulnerabilities":[{"id":"CVE-2017-8283","package":"dpkg","version":"1.17.27","fix_version":"1.18.0","severity":"Low",
        "description":"dpkg-source","links":["https://t.example"],"preferred_cvss":{"score_v3":9.8,"vector_v3":"CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H","score_v2":0}}]}"#,
    );
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!((finding.id.as_str(), finding.severity, finding.cvss.len()), ("CVE-2017-8283", Severity::Low, 1));
    assert_eq!(finding.fixed_version.as_deref(), Some("1.18.0"));
    let empty = read(r#"{"generated_at":"x","scanner":{},"vulnerabilities":null}"#);
    assert!(empty.findings.is_empty());
}

#[test]
fn what_is_no_report_of_a_scan_that_succeeded_is_an_error() {
    let error = |text: &str| read_report(text.as_bytes()).unwrap_err();
    assert!(matches!(error(""), ReportError::Json(_)) && matches!(error("[]"), ReportError::Unknown));
    assert!(matches!(error(r#"{"vulnerabilities":[]}"#), ReportError::Unknown));
    assert!(matches!(error(r#"{"bomFormat":"CycloneDX","components":[]}"#), ReportError::Inventory));
    assert!(matches!(error(r#"{"version":"2.1.0","runs":[]}"#), ReportError::Failed));
    assert!(matches!(error(r#"{"version":"2.1.0","runs":[{"tool":{},"results":null}]}"#), ReportError::Failed));
    let failed = SARIF.replace(r#""results":["#, r#""invocations":[{"executionSuccessful":false}],"results":["#);
    assert!(matches!(error(&failed), ReportError::Failed));
    assert!(matches!(error(r#"{"SchemaVersion":2,"Results":{}}"#), ReportError::Field("Results")));
    assert!(matches!(
        error(r#"{"SchemaVersion":2,"Results":[{"Vulnerabilities":[{"PkgName":"a"}]}]}"#),
        ReportError::Field("VulnerabilityID")
    ));
    assert!(matches!(error(r#"{"matches":[{"vulnerability":{"id":"x"}}]}"#), ReportError::Field("name")));
    assert!(matches!(read_report(&vec![b' '; REPORT_MAX_BYTES + 1]), Err(ReportError::TooLarge)));
}

#[test]
fn reports_have_one_order_and_nothing_twice() {
    let flaw = |id: &str, severity: &str| {
        format!(r#"{{"VulnerabilityID":"{id}","PkgName":"a","InstalledVersion":"1","Severity":"{severity}"}}"#)
    };
    let list = [flaw("B", "LOW"), flaw("A", "LOW"), flaw("C", "HIGH"), flaw("A", "LOW")].join(",");
    let report = read(&format!(
        r#"{{"SchemaVersion":2,"Results":[{{"Target":"t","Class":"os-pkgs","Vulnerabilities":[{list}]}}]}}"#
    ));
    let ids: Vec<&str> = report.findings.iter().map(|finding| finding.id.as_str()).collect();
    assert_eq!(ids, ["C", "A", "B"]);
}

#[test]
fn a_flood_is_an_error() {
    let flaw = r#"{"VulnerabilityID":"C","PkgName":"a"}"#;
    let list = vec![flaw; FINDINGS_MAX + 1].join(",");
    let text = format!(r#"{{"SchemaVersion":2,"Results":[{{"Vulnerabilities":[{list}]}}]}}"#);
    assert!(matches!(read_report(text.as_bytes()), Err(ReportError::TooMany)));
    let affected = vec![r#"{"ref":"c"}"#; 45_000].join(",");
    let long = "x".repeat(8000);
    let flaw = format!(r#"{{"id":"C","description":"{long}","affects":[{affected}]}}"#);
    let text = format!(r#"{{"bomFormat":"CycloneDX","vulnerabilities":[{flaw}]}}"#);
    assert!(matches!(read_report(text.as_bytes()), Err(ReportError::TooMany)));
}
