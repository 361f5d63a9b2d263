//! Managed instances: capacity providers whose instances are made for tasks.

use serde_json::{Value, json};

use super::WAITING;
use crate::server::{AwsError, Server, assert_refused, texts, until, with};

const ROLE: &str = "arn:aws:iam::000000000000:role/ecsInfrastructureRole";
const PROFILE: &str = "arn:aws:iam::000000000000:instance-profile/ecsInstanceRole";

/// What a provider of instances with two vCPUs says, with a member of its launch template in another way.
fn settings(server: &Server, over: &Value) -> Value {
    let network = server.network()["awsvpcConfiguration"].clone();
    let template = json!({"ec2InstanceProfileArn": PROFILE,
        "networkConfiguration": {"subnets": network["subnets"], "securityGroups": network["securityGroups"]},
        "instanceRequirements": {"vCpuCount": {"min": 2, "max": 2}, "memoryMiB": {"min": 0}}});
    json!({"infrastructureRoleArn": ROLE, "instanceLaunchTemplate": with(&template, over),
        "propagateTags": "CAPACITY_PROVIDER", "infrastructureOptimization": {"scaleInAfter": 1}})
}

/// The provider `mi` of the default cluster.
fn create(server: &Server, over: &Value) -> Result<Value, AwsError> {
    let tags = json!([{"key": "team", "value": "a"}]);
    let input = json!({"name": "mi", "cluster": "default", "managedInstancesProvider": settings(server, over),
        "tags": tags});
    server.ecs("CreateCapacityProvider", &input)
}

fn describe(server: &Server) -> Value {
    let named = json!({"capacityProviders": ["mi"], "cluster": "default"});
    server.ecs("DescribeCapacityProviders", &named).unwrap()["capacityProviders"][0].clone()
}

fn put(server: &Server, providers: &Value, strategy: &Value) -> Result<Value, AwsError> {
    let input = json!({"cluster": "default", "capacityProviders": providers,
        "defaultCapacityProviderStrategy": strategy});
    server.ecs("PutClusterCapacityProviders", &input)
}

fn register(server: &Server) {
    let main = json!({"name": "main", "image": server.busybox(), "memory": 64, "stopTimeout": 2,
        "command": ["sh", "-c", WAITING]});
    let definition = json!({"family": "a", "containerDefinitions": [main],
        "requiresCompatibilities": ["MANAGED_INSTANCES"]});
    let made = server.ecs("RegisterTaskDefinition", &definition).unwrap();
    assert_eq!(made["taskDefinition"]["networkMode"], "awsvpc", "their own interfaces unless they say otherwise");
}

fn run(server: &Server, count: u32) -> Vec<Value> {
    let strategy = json!([{"capacityProvider": "mi", "weight": 1}]);
    let input = json!({"taskDefinition": "a", "count": count, "capacityProviderStrategy": strategy,
        "networkConfiguration": server.network()});
    let run = server.ecs("RunTask", &input).unwrap();
    assert_eq!(run["failures"], json!([]));
    run["tasks"].as_array().unwrap().clone()
}

/// Those that `mi` has.
fn instances(server: &Server) -> Vec<Value> {
    let listed = server.ecs("ListContainerInstances", &json!({})).unwrap();
    let named = json!({"containerInstances": texts(&listed["containerInstanceArns"]), "include": ["TAGS"]});
    let all = server.ecs("DescribeContainerInstances", &named).unwrap()["containerInstances"].clone();
    all.as_array().unwrap().iter().filter(|it| it["capacityProviderName"] == "mi").cloned().collect()
}

fn stop(server: &Server, tasks: &[Value]) {
    for task in tasks {
        let arn = task["taskArn"].as_str().unwrap();
        server.ecs("StopTask", &json!({"task": arn})).unwrap();
        server.wait_task(arn, "STOPPED");
    }
}

#[test]
fn managed_instances_are_made_for_tasks_and_go_when_idle_across_restarts() {
    let mut server = Server::start();
    let made = create(&server, &json!({})).unwrap()["capacityProvider"].clone();
    assert_eq!((&made["type"], &made["cluster"]), (&json!("MANAGED_INSTANCES"), &json!("default")));
    put(&server, &json!([]), &json!([{"capacityProvider": "mi", "weight": 1}])).unwrap();
    server.kill_and_restart();
    let shown = describe(&server);
    assert_eq!((&shown["status"], &shown["updateStatus"]), (&json!("ACTIVE"), &json!("CREATE_COMPLETE")));
    assert_eq!(shown["managedInstancesProvider"], settings(&server, &json!({})));
    assert_eq!(shown["autoScalingGroupProvider"], Value::Null);

    register(&server);
    assert_eq!(instances(&server).len(), 0, "nothing is made before it is needed");
    let tasks = run(&server, 2);
    for task in &tasks {
        assert_eq!((&task["capacityProviderName"], &task["launchType"]), (&json!("mi"), &json!("MANAGED_INSTANCES")));
        server.wait_task(task["taskArn"].as_str().unwrap(), "RUNNING");
    }
    assert_ne!(tasks[0]["availabilityZone"], tasks[1]["availabilityZone"], "spread over zones");
    let before = instances(&server);
    assert_eq!(before.len(), 2);
    assert_eq!(before[0]["tags"], json!([{"key": "team", "value": "a"}]));
    let shown = server.cove(&["fleet"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("managed by mi"), "{shown:?}");
    let managed = [
        ("Action", "DescribeInstances"),
        ("Filter.1.Name", "operator.principal"),
        ("Filter.1.Value.1", "ecs.amazonaws.com"),
        ("Filter.2.Name", "tag:team"),
        ("Filter.2.Value.1", "a"),
    ];
    let (status, xml) = server.query("ec2", "2016-11-15", &managed);
    assert_eq!((status, crate::ec2::texts(&xml, "instanceId").len()), (200, 2), "{xml}");
    let network = server.network()["awsvpcConfiguration"]["subnets"].clone();
    let (wanted, subnets) = (texts(&network), crate::ec2::texts(&xml, "subnetId"));
    assert!(subnets.len() == 2 && subnets.iter().all(|id| wanted.contains(&id.as_str())), "{xml}");

    let deleted = server.ecs("DeleteCapacityProvider", &json!({"capacityProvider": "mi", "cluster": "default"}));
    assert_refused(deleted, "ClientException", "in use by the default capacity provider strategy");
    put(&server, &json!(["FARGATE"]), &json!([])).unwrap();
    let deleted = server.ecs("DeleteCapacityProvider", &json!({"capacityProvider": "mi"}));
    assert_refused(deleted, "ClientException", "in use by a task");
    let delete_cluster = server.ecs("DeleteCluster", &json!({"cluster": "default"}));
    assert!(delete_cluster.is_err());

    server.kill_and_restart();
    let arns = |all: &[Value]| -> Vec<String> {
        all.iter().map(|it| it["containerInstanceArn"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(arns(&instances(&server)), arns(&before));
    stop(&server, &tasks[..1]);
    until("the idle one goes", || (instances(&server).len() == 1).then_some(()));
    assert_eq!(server.describe_task(tasks[1]["taskArn"].as_str().unwrap())["lastStatus"], "RUNNING");

    let given = json!({"infrastructureRoleArn": ROLE, "instanceLaunchTemplate": {},
        "infrastructureOptimization": {"scaleInAfter": -1}});
    let update = json!({"name": "mi", "cluster": "default", "managedInstancesProvider": given});
    let updated = server.ecs("UpdateCapacityProvider", &update).unwrap();
    assert_eq!(updated["capacityProvider"]["updateStatus"], "UPDATE_COMPLETE");
    server.kill_and_restart();
    stop(&server, &tasks[1..]);
    let shown = describe(&server)["managedInstancesProvider"].clone();
    assert_eq!(shown["infrastructureOptimization"], json!({"scaleInAfter": -1}));
    assert_eq!(shown["instanceLaunchTemplate"]["ec2InstanceProfileArn"], PROFILE);
    assert_eq!(instances(&server).len(), 1, "it may be idle for ever");

    server.ecs("DeleteCapacityProvider", &json!({"capacityProvider": "mi", "cluster": "default"})).unwrap();
    server.kill_and_restart();
    until("its instances go with it", || (instances(&server).is_empty()).then_some(()));
    let named = json!({"capacityProviders": ["mi"]});
    let shown = server.ecs("DescribeCapacityProviders", &named).unwrap();
    assert_eq!(shown["capacityProviders"][0]["status"], "INACTIVE");
    let clusters = server.ecs("DescribeClusters", &json!({})).unwrap();
    assert_eq!(clusters["clusters"][0]["capacityProviders"], json!(["FARGATE"]));
}

#[test]
fn a_service_grows_on_managed_instances_with_their_daemon() {
    let mut server = Server::start();
    create(&server, &json!({})).unwrap();
    let first = json!({"name": "first", "image": server.busybox(), "memory": 8, "cpu": 16, "essential": false,
        "command": ["sleep", "2"]});
    let main = json!({"name": "main", "image": server.busybox(), "memory": 8, "cpu": 16, "stopTimeout": 2,
        "command": ["sh", "-c", WAITING], "dependsOn": [{"containerName": "first", "condition": "SUCCESS"}]});
    let definition = json!({"family": "watch", "containerDefinitions": [first, main]});
    let made = server.ecs("RegisterDaemonTaskDefinition", &definition).unwrap();
    let provider = describe(&server)["capacityProviderArn"].clone();
    let daemon = json!({"daemonName": "watch", "daemonTaskDefinitionArn": made["daemonTaskDefinitionArn"],
        "capacityProviderArns": [provider]});
    let daemon = server.ecs("CreateDaemon", &daemon).unwrap();
    register(&server);
    let strategy = json!([{"capacityProvider": "mi", "weight": 1}]);
    let service = json!({"serviceName": "web", "taskDefinition": "a", "desiredCount": 1,
        "capacityProviderStrategy": strategy, "networkConfiguration": server.network()});
    server.ecs("CreateService", &service).unwrap();
    let (of_service, of_daemon) = (json!({"serviceName": "web"}), json!({"daemonName": "watch"}));
    let wait = |server: &Server| {
        until("the service and its daemon run together", || {
            let (own, daemons) = (running(server, &of_service), running(server, &of_daemon));
            let place = |it: &Value| it["containerInstanceArn"].as_str().unwrap().to_owned();
            (own.len() == 1 && daemons.len() == 1 && place(&own[0]) == place(&daemons[0]))
                .then(|| (own[0].clone(), daemons[0].clone()))
        })
    };
    let (own, task) = wait(&server);
    let started = |it: &Value| it["startedAt"].as_f64().unwrap();
    assert!(started(&own) >= started(&task), "the daemon comes first: {own} {task}");
    assert_eq!((&task["capacityProviderName"], &task["launchType"]), (&json!("mi"), &json!("MANAGED_INSTANCES")));
    server.kill_and_restart();
    wait(&server);

    // Another revision takes the instance along: service and daemon meet again on one that was made for them.
    let next = server.ecs("RegisterDaemonTaskDefinition", &definition).unwrap()["daemonTaskDefinitionArn"].clone();
    let update = json!({"daemonArn": daemon["daemonArn"], "daemonTaskDefinitionArn": next,
        "capacityProviderArns": [provider]});
    let deployment = server.ecs("UpdateDaemon", &update).unwrap()["deploymentArn"].clone();
    until("the deployment has replaced the instance", || {
        let named = json!({"daemonDeploymentArns": [deployment]});
        let shown = server.ecs("DescribeDaemonDeployments", &named).unwrap();
        (shown["daemonDeployments"][0]["status"] == "SUCCESSFUL").then_some(())
    });
    let (moved, task) = wait(&server);
    assert_eq!(task["taskDefinitionArn"], next);
    assert_ne!(moved["containerInstanceArn"], own["containerInstanceArn"]);
    until("the old instance is gone", || (instances(&server).len() == 1).then_some(()));
    let delete = json!({"service": "web", "force": true});
    server.ecs("DeleteService", &delete).unwrap();
    until("an instance with its daemon alone is idle", || instances(&server).is_empty().then_some(()));
    until("nothing is left of the daemon there", || running(&server, &of_daemon).is_empty().then_some(()));
    let delete = json!({"capacityProvider": "mi"});
    assert_refused(server.ecs("DeleteCapacityProvider", &delete), "ClientException", "in use by a daemon");
    server.ecs("DeleteDaemon", &json!({"daemonArn": daemon["daemonArn"]})).unwrap();
    until("the provider is free", || server.ecs("DeleteCapacityProvider", &delete).ok());
}

/// RUNNING tasks that a listing finds.
fn running(server: &Server, of: &Value) -> Vec<Value> {
    let listed = server.ecs("ListTasks", of).unwrap();
    if texts(&listed["taskArns"]).is_empty() {
        return Vec::new();
    }
    let all = server.ecs("DescribeTasks", &json!({"tasks": listed["taskArns"]})).unwrap()["tasks"].clone();
    all.as_array().unwrap().iter().filter(|it| it["lastStatus"] == "RUNNING").cloned().collect()
}

/// The settings of UpdateCapacityProvider, with a member in another way.
fn update(server: &Server, over: &Value) {
    let given = with(&json!({"infrastructureRoleArn": ROLE, "instanceLaunchTemplate": {}}), over);
    let input = json!({"name": "mi", "cluster": "default", "managedInstancesProvider": given});
    server.ecs("UpdateCapacityProvider", &input).unwrap();
}

#[test]
fn a_managed_instance_goes_with_its_daemon_unless_repair_is_off() {
    let mut server = Server::start();
    create(&server, &json!({})).unwrap();
    let main = json!({"name": "main", "image": server.busybox(), "memory": 8, "cpu": 16, "stopTimeout": 2,
        "command": ["sh", "-c", WAITING]});
    let definition = json!({"family": "watch", "containerDefinitions": [main]});
    let made = server.ecs("RegisterDaemonTaskDefinition", &definition).unwrap();
    let daemon = json!({"daemonName": "watch", "daemonTaskDefinitionArn": made["daemonTaskDefinitionArn"],
        "capacityProviderArns": ["mi"]});
    let daemon = server.ecs("CreateDaemon", &daemon).unwrap();
    register(&server);
    let service = json!({"serviceName": "web", "taskDefinition": "a", "desiredCount": 1,
        "capacityProviderStrategy": [{"capacityProvider": "mi", "weight": 1}],
        "networkConfiguration": server.network()});
    server.ecs("CreateService", &service).unwrap();
    let (of_service, of_daemon) = (json!({"serviceName": "web"}), json!({"daemonName": "watch"}));
    let place = |it: &Value| it["containerInstanceArn"].as_str().unwrap().to_owned();
    let meet = |server: &Server, but: &str| {
        until("the service and its daemon run together", || {
            let (own, daemons) = (running(server, &of_service), running(server, &of_daemon));
            let is_new = daemons.iter().all(|it| it["taskArn"] != but);
            (own.len() == 1 && daemons.len() == 1 && place(&own[0]) == place(&daemons[0]) && is_new)
                .then(|| (own[0].clone(), daemons[0].clone()))
        })
    };
    let health = |server: &Server, instance: &str| {
        let named = json!({"containerInstances": [instance], "include": ["CONTAINER_INSTANCE_HEALTH"]});
        server.ecs("DescribeContainerInstances", &named).unwrap()["containerInstances"][0]["healthStatus"].clone()
    };
    let (own, task) = meet(&server, "");
    let of_its_daemon = json!({"overallStatus": "OK", "details": [{"type": "DAEMON", "status": "OK"}]});
    assert_eq!(health(&server, &place(&own)), of_its_daemon);

    server.ecs("StopTask", &json!({"task": task["taskArn"]})).unwrap();
    server.kill_and_restart();
    let (moved, next) = meet(&server, task["taskArn"].as_str().unwrap());
    assert_ne!(place(&moved), place(&own), "the instance went with its daemon");
    until("the old instance is gone", || (instances(&server).len() == 1).then_some(()));

    update(&server, &json!({"autoRepairConfiguration": {"actionsStatus": "DISABLED"}}));
    server.ecs("StopTask", &json!({"task": next["taskArn"]})).unwrap();
    server.kill_and_restart();
    let (stayed, _) = meet(&server, next["taskArn"].as_str().unwrap());
    assert_eq!(stayed["taskArn"], moved["taskArn"], "now its daemon is started again where it was");
    server.ecs("DeleteService", &json!({"service": "web", "force": true})).unwrap();
    server.ecs("DeleteDaemon", &json!({"daemonArn": daemon["daemonArn"]})).unwrap();
}

#[test]
fn a_smaller_managed_instance_comes_in_place_of_an_underused_one_across_restarts() {
    let mut server = Server::start();
    let network = server.network()["awsvpcConfiguration"].clone();
    let over = json!({"networkConfiguration": {"subnets": [network["subnets"][0]]},
        "instanceRequirements": {"vCpuCount": {"min": 2, "max": 4}, "memoryMiB": {"min": 0},
            "networkBandwidthGbps": {"min": 0.7}, "baselineEbsBandwidthMbps": {"min": 600},
            "onDemandMaxPricePercentageOverLowestPrice": 100},
        "storageConfiguration": {"storageSizeGiB": 100}});
    create(&server, &over).unwrap();
    let shown = describe(&server)["managedInstancesProvider"]["instanceLaunchTemplate"].clone();
    assert_eq!(shown["storageConfiguration"], json!({"storageSizeGiB": 100}));
    update(&server, &json!({"infrastructureOptimization": {"scaleInAfter": -1}}));
    let main = json!({"name": "main", "image": server.busybox(), "memory": 16, "cpu": 1024, "stopTimeout": 2,
        "command": ["sh", "-c", WAITING]});
    let definition = json!({"family": "a", "containerDefinitions": [main], "networkMode": "none",
        "requiresCompatibilities": ["MANAGED_INSTANCES"]});
    server.ecs("RegisterTaskDefinition", &definition).unwrap();
    let service = json!({"serviceName": "web", "taskDefinition": "a", "desiredCount": 4,
        "capacityProviderStrategy": [{"capacityProvider": "mi", "weight": 1}]});
    server.ecs("CreateService", &service).unwrap();
    let of_service = json!({"serviceName": "web"});
    until("four run", || (running(&server, &of_service).len() == 4).then_some(()));
    let cpu = |it: &Value| {
        let all = it["registeredResources"].as_array().unwrap().iter().find(|one| one["name"] == "CPU").cloned();
        all.unwrap()["integerValue"].as_i64().unwrap()
    };
    let [large] = &instances(&server)[..] else { panic!("{:?}", instances(&server)) };
    assert_eq!(cpu(large), 4096);
    server.ecs("UpdateService", &json!({"service": "web", "desiredCount": 1})).unwrap();
    until("one runs", || (running(&server, &of_service).len() == 1).then_some(()));
    update(&server, &json!({"infrastructureOptimization": {"scaleInAfter": 1}}));
    server.kill_and_restart();
    until("its task has moved to a smaller one", || {
        let (tasks, there) = (running(&server, &of_service), instances(&server));
        assert!(!tasks.is_empty(), "it never stops running");
        (there.len() == 1
            && cpu(&there[0]) == 2048
            && tasks[0]["containerInstanceArn"] == there[0]["containerInstanceArn"])
            .then_some(())
    });
    server.kill_and_restart();
    let there = instances(&server);
    assert_eq!((there.len(), cpu(&there[0])), (1, 2048));
    server.ecs("DeleteService", &json!({"service": "web", "force": true})).unwrap();
}

#[test]
fn managed_instances_that_ecs_refuses_are_refused() {
    let server = Server::start();
    let (client, parameter) = ("ClientException", "InvalidParameterException");
    let unsupported = "UnsupportedFeatureException";
    let wants = |wanted: Value| json!({"instanceRequirements": wanted});
    let size = json!({"vCpuCount": {"min": 1}, "memoryMiB": {"min": 1}});
    for (over, code, text) in [
        (json!({"ec2InstanceProfileArn": "x"}), parameter, "instance profile ARN"),
        (json!({"networkConfiguration": {"subnets": []}}), parameter, "subnets can not be empty."),
        (json!({"networkConfiguration": {"subnets": ["subnet-0"]}}), parameter, "does not exist"),
        (json!({"fipsEnabled": true}), unsupported, "fipsEnabled (no cryptography here is validated for FIPS)"),
        (json!({"capacityOptionType": "RESERVED"}), unsupported, "capacityOptionType RESERVED (capacity cannot be"),
        (wants(with(&size, &json!({"networkBandwidthGbps": {"min": 2.0, "max": 1.0}}))), parameter, "networkBandwidth"),
        (wants(with(&size, &json!({"networkBandwidthGbps": {"min": 500.0}}))), unsupported, "no instance type"),
        (
            wants(with(&size, &json!({"maxSpotPriceAsPercentageOfOptimalOnDemandPrice": 50}))),
            unsupported,
            "maxSpotPriceAsPercentageOfOptimalOnDemandPrice (there is no Spot market",
        ),
        (wants(json!({"vCpuCount": {"min": 3, "max": 2}, "memoryMiB": {"min": 1}})), parameter, "vCpuCount"),
        (wants(with(&size, &json!({"allowedInstanceTypes": ["c8g.large"]}))), unsupported, "no instance type"),
        (
            wants(with(&size, &json!({"allowedInstanceTypes": ["m5.*"], "excludedInstanceTypes": ["c5.*"]}))),
            parameter,
            "both allowedInstanceTypes",
        ),
    ] {
        assert_refused(create(&server, &over), code, text);
    }
    let with_cluster = |over: Value| {
        let input =
            json!({"name": "mi", "cluster": "default", "managedInstancesProvider": settings(&server, &json!({}))});
        server.ecs("CreateCapacityProvider", &with(&input, &over))
    };
    assert_refused(with_cluster(json!({"cluster": "none"})), "ClusterNotFoundException", "");
    assert_refused(with_cluster(json!({"cluster": null})), parameter, "cluster parameter is required");
    let group = json!({"autoScalingGroupProvider": {"autoScalingGroupArn": "blue"}});
    assert_refused(with_cluster(group), parameter, "Only one of");
    let other = json!({"managedInstancesProvider": with(&settings(&server, &json!({})),
        &json!({"infrastructureRoleArn": "none"}))});
    assert_refused(with_cluster(other), parameter, "infrastructure role");
    let idle = json!({"managedInstancesProvider": with(&settings(&server, &json!({})),
        &json!({"infrastructureOptimization": {"scaleInAfter": 3601}}))});
    assert_refused(with_cluster(idle), parameter, "scaleInAfter");

    create(&server, &json!({})).unwrap();
    assert_refused(create(&server, &json!({})), client, "already exists");
    let group = json!({"name": "mi", "autoScalingGroupProvider": {"managedDraining": "ENABLED"}});
    assert_refused(server.ecs("UpdateCapacityProvider", &group), parameter, "type of a capacity provider");
    server.ecs("CreateCluster", &json!({"clusterName": "second"})).unwrap();
    let input = json!({"cluster": "second", "capacityProviders": ["mi"], "defaultCapacityProviderStrategy": []});
    assert_refused(
        server.ecs("PutClusterCapacityProviders", &input),
        parameter,
        "Cannot associate Managed Instances capacity provider to clusters using this API.",
    );
    let foreign = json!({"capacityProvider": "mi", "cluster": "second"});
    assert_refused(server.ecs("DeleteCapacityProvider", &foreign), client, "does not exist");
    with_cluster(json!({"cluster": "second", "name": "own"})).unwrap();
    let delete = server.ecs("DeleteCluster", &json!({"cluster": "second"}));
    assert_refused(delete, client, "while Cluster Scoped Capacity Providers are attached to the cluster.");
    let mixed = json!([{"capacityProvider": "mi", "weight": 1}, {"capacityProvider": "FARGATE", "weight": 1}]);
    assert_refused(put(&server, &json!(["FARGATE"]), &mixed), parameter, "cannot contain a mix");
    let main = json!({"name": "main", "image": "x", "memory": 16});
    let bridge = json!({"family": "b", "containerDefinitions": [main], "networkMode": "bridge",
        "requiresCompatibilities": ["MANAGED_INSTANCES"]});
    assert_refused(server.ecs("RegisterTaskDefinition", &bridge), client, "only support network modes");
    let plain = json!({"family": "b", "containerDefinitions": [main], "networkMode": "none"});
    server.ecs("RegisterTaskDefinition", &plain).unwrap();
    let strategy = json!([{"capacityProvider": "mi", "weight": 1}]);
    let input = json!({"taskDefinition": "b", "capacityProviderStrategy": strategy,
        "placementStrategy": [{"type": "random"}]});
    assert_refused(server.ecs("RunTask", &input), parameter, "Placement strategies are not supported");
    let daemon = json!({"serviceName": "d", "taskDefinition": "b", "capacityProviderStrategy": strategy,
        "schedulingStrategy": "DAEMON"});
    assert_refused(server.ecs("CreateService", &daemon), parameter, "using the DAEMON scheduling strategy");
    server.ecs("DeleteCapacityProvider", &json!({"capacityProvider": "mi"})).unwrap();
}
