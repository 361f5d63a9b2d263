//! CloudWatch: metrics that clients put, alarms on them, and what becomes of both when the server is killed.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::server::{Server, assert_refused, until, with};

#[allow(clippy::disallowed_methods, reason = "a client of the server has no clock of its")]
fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn put(server: &Server, value: f64) {
    let dimensions = json!([{"Name": "Queue", "Value": "a"}]);
    let datum = json!({"MetricName": "Depth", "Dimensions": dimensions, "Value": value, "Unit": "Count", "StorageResolution": 1});
    server.monitoring("PutMetricData", &json!({"Namespace": "App", "MetricData": [datum]})).unwrap();
}

fn alarm() -> Value {
    json!({
        "AlarmName": "deep", "AlarmDescription": "too much to do", "Namespace": "App", "MetricName": "Depth",
        "Dimensions": [{"Name": "Queue", "Value": "a"}], "Statistic": "Maximum", "Period": 10, "EvaluationPeriods": 1,
        "Threshold": 5.0, "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "ignore",
        "AlarmActions": ["arn:aws:sns:us-east-1:000000000000:pager"], "Tags": [{"Key": "team", "Value": "a"}],
    })
}

fn deep(server: &Server) -> Value {
    let shown = server.monitoring("DescribeAlarms", &json!({"AlarmNames": ["deep"]})).unwrap();
    assert_eq!(shown["CompositeAlarms"], json!([]));
    shown["MetricAlarms"][0].clone()
}

fn history(server: &Server, kind: &str) -> Vec<String> {
    let input = json!({"AlarmName": "deep", "HistoryItemType": kind, "ScanBy": "TimestampAscending"});
    let shown = server.monitoring("DescribeAlarmHistory", &input).unwrap();
    let items = shown["AlarmHistoryItems"].as_array().unwrap();
    items.iter().map(|item| item["HistorySummary"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_alarm_lives_and_dies_across_restarts() {
    let mut server = Server::start();
    server.monitoring("PutMetricAlarm", &alarm()).unwrap();
    server.kill_and_restart();
    let made = deep(&server);
    assert_eq!(made["StateValue"], "INSUFFICIENT_DATA");
    for member in
        ["AlarmDescription", "Threshold", "Period", "Statistic", "TreatMissingData", "AlarmActions", "Dimensions"]
    {
        assert_eq!(made[member], alarm()[member], "{member}");
    }
    let arn = made["AlarmArn"].as_str().unwrap().to_owned();
    assert_eq!(arn, "arn:aws:cloudwatch:us-east-1:000000000000:alarm:deep");
    // By data: each put reaches back one period, so one of them is in an evaluated one.
    let alarmed = until("ALARM", || {
        put(&server, 9.0);
        Some(deep(&server)).filter(|alarm| alarm["StateValue"] == "ALARM")
    });
    assert!(alarmed["StateReason"].as_str().unwrap().contains("9.0"), "{alarmed}");
    server.kill_and_restart();
    assert_eq!(deep(&server)["StateValue"], "ALARM", "a state survives its data");
    // By hand.
    let set = json!({"AlarmName": "deep", "StateValue": "OK", "StateReason": "seen to"});
    server.monitoring("SetAlarmState", &set).unwrap();
    server.monitoring("DisableAlarmActions", &json!({"AlarmNames": ["deep"]})).unwrap();
    server.monitoring("TagResource", &json!({"ResourceARN": arn, "Tags": [{"Key": "x", "Value": "y"}]})).unwrap();
    server.monitoring("UntagResource", &json!({"ResourceARN": arn, "TagKeys": ["team"]})).unwrap();
    server.kill_and_restart();
    let now = deep(&server);
    assert_eq!(
        (&now["StateValue"], &now["StateReason"], &now["ActionsEnabled"]),
        (&json!("OK"), &json!("seen to"), &json!(false))
    );
    let tags = server.monitoring("ListTagsForResource", &json!({"ResourceARN": arn})).unwrap();
    assert_eq!(tags["Tags"], json!([{"Key": "x", "Value": "y"}]));
    server.monitoring("EnableAlarmActions", &json!({"AlarmNames": ["deep"]})).unwrap();
    // A new configuration keeps state and tags.
    server.monitoring("PutMetricAlarm", &with(&alarm(), &json!({"Threshold": 7.0}))).unwrap();
    let of_metric = json!({"Namespace": "App", "MetricName": "Depth", "Dimensions": alarm()["Dimensions"]});
    let found = server.monitoring("DescribeAlarmsForMetric", &of_metric).unwrap();
    assert_eq!(
        (&found["MetricAlarms"][0]["Threshold"], &found["MetricAlarms"][0]["StateValue"]),
        (&json!(7.0), &json!("OK"))
    );
    assert_eq!(
        history(&server, "StateUpdate"),
        ["Alarm updated from INSUFFICIENT_DATA to ALARM", "Alarm updated from ALARM to OK"]
    );
    assert_eq!(history(&server, "Action").len(), 1, "what the action of the ALARM came to");
    server.monitoring("DeleteAlarms", &json!({"AlarmNames": ["deep", "never there"]})).unwrap();
    server.kill_and_restart();
    assert_eq!(deep(&server), Value::Null);
    assert_eq!(history(&server, "ConfigurationUpdate").last().unwrap(), "Alarm \"deep\" deleted");
    assert_refused(server.monitoring("SetAlarmState", &set), "ResourceNotFound", "deep");
    let events = String::from_utf8(server.cove(&["events", "--json", "-n", "1000"]).stdout).unwrap();
    let changes: Vec<Value> = events
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &Value| event["detail-type"] == "CloudWatch Alarm State Change")
        .collect();
    let states: Vec<&str> = changes.iter().map(|event| event["detail"]["state"]["value"].as_str().unwrap()).collect();
    assert_eq!(states, ["ALARM", "OK"]);
    assert_eq!(changes[0]["resources"][0], arn);
}

#[test]
fn an_alarm_that_cannot_be_is_refused_in_words() {
    let server = Server::start();
    let refused = |over: Value, code: &str, words: &str| {
        assert_refused(server.monitoring("PutMetricAlarm", &with(&alarm(), &over)), code, words);
    };
    refused(json!({"Period": 45}), "ValidationError", "10, 20, 30 or a multiple of 60");
    refused(json!({"DatapointsToAlarm": 2}), "ValidationError", "must not exceed");
    refused(json!({"TreatMissingData": "perhaps"}), "ValidationError", "notBreaching");
    refused(json!({"ExtendedStatistic": "p90"}), "InvalidParameterCombinationException", "mutually exclusive");
    refused(json!({"Statistic": null}), "MissingRequiredParameterException", "Statistic");
    refused(json!({"Period": 3600, "EvaluationPeriods": 25}), "ValidationError", "more than a day");
    refused(json!({"AlarmActions": ["pager"]}), "InvalidParameterValueException", "arn");
    refused(
        json!({"ComparisonOperator": "LessThanLowerThreshold"}),
        "InvalidParameterValueException",
        "not carried out",
    );
    assert_eq!(deep(&server), Value::Null);
}

#[test]
fn metrics_are_put_listed_and_read_in_every_protocol() {
    let mut server = Server::start();
    put(&server, 1.0);
    put(&server, 3.0);
    let metric = json!([{"Namespace": "App", "MetricName": "Depth", "Dimensions": [{"Name": "Queue", "Value": "a"}]}]);
    let filter = json!({"Namespace": "App", "Dimensions": [{"Name": "Queue"}], "RecentlyActive": "PT3H"});
    assert_eq!(server.monitoring("ListMetrics", &filter).unwrap()["Metrics"], metric);
    let (start, end) = (now_secs() - 600, now_secs() + 60);
    let mut wish = json!({"StartTime": start, "EndTime": end, "Period": 3600, "Statistics": ["Sum", "SampleCount"],
        "ExtendedStatistics": ["p50"]});
    wish = with(&wish, &metric[0]);
    let got = server.monitoring("GetMetricStatistics", &wish).unwrap();
    let points = got["Datapoints"].as_array().unwrap();
    let sum: f64 = points.iter().map(|point| point["Sum"].as_f64().unwrap()).sum();
    assert_eq!((sum, &points[0]["Unit"], got["Label"].as_str()), (4.0, &json!("Count"), Some("Depth")));
    assert!(points[0]["ExtendedStatistics"]["p50"].is_number(), "{got}");
    let stat = json!({"Metric": metric[0], "Period": 3600, "Stat": "Maximum"});
    let queries = json!({"MetricDataQueries": [{"Id": "m1", "MetricStat": stat}], "StartTime": start, "EndTime": end});
    let data = server.monitoring("GetMetricData", &queries).unwrap();
    assert_eq!(data["MetricDataResults"][0]["Values"][0], 3.0);
    assert_eq!(data["MetricDataResults"][0]["StatusCode"], "Complete");
    let (status, xml) = server.query("monitoring", "2010-08-01", &[("Action", "ListMetrics"), ("Namespace", "App")]);
    assert!(status == 200 && xml.contains("<MetricName>Depth</MetricName>"), "{xml}");
    // {} in CBOR.
    let headers =
        [("smithy-protocol", "rpc-v2-cbor"), ("content-type", "application/cbor"), ("accept", "application/cbor")];
    let path = "/service/GraniteServiceVersion20100801/operation/ListMetrics";
    let answer = server.exchange("POST", path, &headers, &[0xa0]);
    assert_eq!((answer.status, answer.header("smithy-protocol")), (200, "rpc-v2-cbor"));
    assert!(answer.text().contains("MetricName") && answer.text().contains("Depth"));
    let broken = server.exchange("POST", path, &headers, &[0xa1, 0x00]);
    assert_eq!((broken.status, broken.header("x-amzn-query-error")), (400, "SerializationException;Sender"));
    let both = json!([{"MetricName": "x", "Value": 1, "StatisticValues": {"SampleCount": 1, "Sum": 1, "Minimum": 1, "Maximum": 1}}]);
    let refused = server.monitoring("PutMetricData", &json!({"Namespace": "App", "MetricData": both}));
    assert_refused(refused, "InvalidParameterCombinationException", "mutually exclusive");
    let old = json!([{"MetricName": "x", "Value": 1, "Timestamp": now_secs() - 90_000}]);
    let refused = server.monitoring("PutMetricData", &json!({"Namespace": "App", "MetricData": old}));
    assert_refused(refused, "InvalidParameterValueException", "last day");
    for round in 0..3 {
        // Data points are on disk a moment after they were acknowledged.
        let directory = server.home().join("data/metrics");
        until("both are written", || {
            let read = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path()).unwrap_or_default();
            let text: String = std::fs::read_dir(&directory).unwrap().flatten().map(read).collect();
            (text.matches("Depth").count() == 2 + round).then_some(())
        });
        server.kill_and_restart();
        let got = server.monitoring("GetMetricStatistics", &wish).unwrap();
        let all = got["Datapoints"].as_array().unwrap();
        let sum: f64 = all.iter().map(|point| point["SampleCount"].as_f64().unwrap()).sum();
        assert_eq!(sum as usize, 2 + round, "each once: {got}");
        put(&server, 5.0);
    }
}
