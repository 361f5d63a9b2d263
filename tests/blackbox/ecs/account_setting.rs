//! Account settings.

use serde_json::json;

use crate::server::{Server, assert_refused};

#[test]
fn account_settings_are_layered_and_survive_a_restart() {
    let mut server = Server::start();
    let put = json!({"name": "containerInsights", "value": "enhanced"});
    server.ecs("PutAccountSettingDefault", &put).unwrap();
    let own = json!({"name": "awsvpcTrunking", "value": "enabled"});
    server.ecs("PutAccountSetting", &own).unwrap();
    server.kill_and_restart();

    let effective = |server: &Server, name: &str| {
        let input = json!({"effectiveSettings": true, "name": name});
        server.ecs("ListAccountSettings", &input).unwrap()["settings"][0]["value"].as_str().unwrap().to_owned()
    };
    assert_eq!(effective(&server, "containerInsights"), "enhanced");
    assert_eq!(effective(&server, "awsvpcTrunking"), "enabled");
    assert_eq!(effective(&server, "taskLongArnFormat"), "enabled");
    let own = server.ecs("ListAccountSettings", &json!({})).unwrap();
    assert_eq!(own["settings"].as_array().unwrap().len(), 2, "root's are the account's: {own}");
    let cluster = server.ecs("CreateCluster", &json!({"clusterName": "new"})).unwrap();
    assert_eq!(cluster["cluster"]["settings"][0]["value"], "enhanced", "new clusters take the setting");

    let gone = server.ecs("DeleteAccountSetting", &json!({"name": "awsvpcTrunking"})).unwrap();
    assert_eq!(gone["setting"]["value"], "disabled", "what holds from now on");
    server.kill_and_restart();
    assert_eq!(effective(&server, "awsvpcTrunking"), "disabled");
    let set = |operation: &str, value: &str| {
        server.ecs(operation, &json!({"name": "containerInsights", "value": value})).unwrap();
        effective(&server, "containerInsights")
    };
    assert_eq!(set("PutAccountSetting", "enabled"), "enabled");
    assert_eq!(set("PutAccountSettingDefault", "disabled"), "disabled", "the later call wins");
}

#[test]
fn account_settings_come_in_pages_and_bad_values_are_refused() {
    let server = Server::start();
    let first = server.ecs("ListAccountSettings", &json!({"effectiveSettings": true})).unwrap();
    assert_eq!(first["settings"].as_array().unwrap().len(), 10);
    let rest = json!({"effectiveSettings": true, "nextToken": first["nextToken"]});
    assert_eq!(server.ecs("ListAccountSettings", &rest).unwrap()["settings"].as_array().unwrap().len(), 1);
    for (name, value) in [("containerInsights", "loud"), ("taskLongArnFormat", "off"), ("guardDutyActivate", "on")] {
        let put = server.ecs("PutAccountSetting", &json!({"name": name, "value": value}));
        assert_refused(put, "InvalidParameterException", name);
    }
    let short = server.ecs("PutAccountSettingDefault", &json!({"name": "taskLongArnFormat", "value": "disabled"}));
    assert_refused(short, "InvalidParameterException", "You can no longer disable Long Arn settings");
    let certified = server.ecs("PutAccountSetting", &json!({"name": "fargateFIPSMode", "value": "enabled"}));
    assert_refused(certified, "InvalidParameterException", "not FIPS 140 certified");
    let role = "arn:aws:iam::000000000000:role/app";
    let wait = json!({"name": "fargateTaskRetirementWaitPeriod", "value": "14", "principalArn": role});
    assert_refused(server.ecs("PutAccountSetting", &wait), "InvalidParameterException", "root user");
    let unknown = server.ecs("PutAccountSetting", &json!({"name": "nope", "value": "on"}));
    assert_refused(unknown, "InvalidParameterException", "enum value set");
}
