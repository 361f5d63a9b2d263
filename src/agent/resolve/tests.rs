use cove_model::arn::Tenant;
use cove_model::fixture;
use cove_model::task::{Placement, TaskRole};
use cove_model::task_definition::{
    HostEntry, HostVolumeProperties, KeyValue, LinuxParameters, MountPoint, Tmpfs, Volume, VolumeFrom,
};

use super::*;

/// A bridge task of one container `app`.
pub(crate) fn task() -> Task {
    let fresh = fixture::task("0af1");
    Task {
        tenant: Tenant::new("000000000000", "eu-west-1"),
        placement: Placement { availability_zone: "eu-west-1a".into(), ..fresh.placement },
        network: TaskNetwork::Bridge { address: [172, 17, 0, 5].into() },
        containers: vec![app("app", true)],
        ..fresh
    }
}

/// A container of a task.
pub(crate) fn app(name: &str, essential: bool) -> Container {
    Container { essential, ..fixture::container(name) }
}

fn resolve(task: &Task, definition: &ContainerDefinition, volumes: Vec<Volume>) -> Result<Resolved, ResolveError> {
    resolve_among(task, std::slice::from_ref(definition), volumes, &BTreeMap::new())
}

/// The first of these containers.
fn resolve_among(
    task: &Task,
    definitions: &[ContainerDefinition],
    volumes: Vec<Volume>,
    image_volumes: &BTreeMap<String, Vec<String>>,
) -> Result<Resolved, ResolveError> {
    let document =
        TaskDefinitionDocument { container_definitions: definitions.to_vec(), volumes, ..Default::default() };
    let access = HostModeAccess { url: "http://127.0.0.1:4566/_cove/task/0af1/s".into(), token: "t".into() };
    let around = Surroundings {
        task,
        document: &document,
        volumes: Path::new("/data/volumes/0af1"),
        shared_volumes: Path::new("/data/shared-volumes/1.here"),
        image_volumes,
        logs: Path::new("/data/logs"),
        log_max_bytes: 1,
        endpoint: &Endpoint { inject: true, host_mode_url: "http://127.0.0.1:4566".into() },
        host_mode: Some(&access).filter(|_| task.network == TaskNetwork::Host),
        host: &HostLimits { cores: 2, nofile_hard: 1 << 20, hostname: "box".into() },
        resolv_conf: "search home\nnameserver 9.9.9.9\noptions edns0\n",
    };
    let image = ImageDefaults {
        env: vec!["A=image".into(), "B=image".into(), "AWS_REGION=".into()],
        cmd: vec!["run".into()],
        ..Default::default()
    };
    let rootfs = RootFilesystem { base: "/".into(), lower: vec![], upper: "u".into(), work: "w".into() };
    container(&around, &definitions[0], &task.containers[0], &image, rootfs)
}

fn file(resolved: &Resolved, name: &str) -> String {
    let found = resolved.files.iter().find(|(path, _)| path.ends_with(name));
    found.map(|(_, text)| text.clone()).unwrap()
}

#[test]
fn the_definition_beats_the_image_and_the_override_beats_both() {
    let pair = |name: &str, value: &str| KeyValue { name: Some(name.into()), value: Some(value.into()) };
    let mut task = task();
    task.overrides.container_overrides = vec![ContainerOverride {
        name: Some("app".into()),
        environment: vec![pair("C", "given")],
        ..Default::default()
    }];
    let definition = ContainerDefinition {
        environment: vec![pair("B", "definition"), pair("C", "definition")],
        ..Default::default()
    };
    let env = resolve(&task, &definition, vec![]).unwrap().spec.env;
    for line in ["A=image", "B=definition", "C=given", "AWS_ENDPOINT_URL=http://169.254.170.2"] {
        assert!(env.iter().any(|known| known == line), "{line} in {env:?}");
    }
    assert!(env[0].starts_with("PATH="));
    assert_eq!(env.iter().filter(|line| line.starts_with("B=")).count(), 1);
    // The image set one of the two region variables, so neither is added.
    assert!(!env.iter().any(|line| line.starts_with("AWS_DEFAULT_REGION=")));
}

#[test]
fn credentials_are_announced_only_with_a_task_role() {
    let mut task = task();
    let has = |task: &Task| {
        let env = resolve(task, &ContainerDefinition::default(), vec![]).unwrap().spec.env;
        env.iter().any(|line| line.starts_with("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/"))
    };
    assert!(!has(&task));
    task.task_role = Some(TaskRole { role_arn: "r".into(), credentials_id: "c".into(), access_key_id: "ASIA".into() });
    assert!(has(&task));
}

#[test]
fn a_bridge_task_asks_our_name_server_and_knows_its_own_name() {
    let definition = ContainerDefinition {
        extra_hosts: vec![
            HostEntry { hostname: Some("db".into()), ip_address: Some("10.0.0.1".into()) },
            HostEntry { hostname: Some("x\n6.6.6.6 bank".into()), ip_address: Some("10.0.0.1".into()) },
        ],
        ..Default::default()
    };
    let resolved = resolve(&task(), &definition, vec![]).unwrap();
    assert_eq!(resolved.spec.hostname.as_deref(), Some("3f0c2d4e1111"));
    assert_eq!(file(&resolved, "resolv.conf"), "nameserver 169.254.169.253\n");
    assert_eq!(file(&resolved, "hosts"), "127.0.0.1 localhost\n172.17.0.5 3f0c2d4e1111\n10.0.0.1 db\n");
}

#[test]
fn a_host_mode_task_keeps_the_hosts_names() {
    let mut task = task();
    task.network = TaskNetwork::Host;
    let resolved = resolve(&task, &ContainerDefinition::default(), vec![]).unwrap();
    assert_eq!(resolved.spec.hostname, None);
    assert_eq!(file(&resolved, "resolv.conf"), "search home\nnameserver 9.9.9.9\noptions edns0\n");
    let searching = ContainerDefinition { dns_search_domains: vec!["lan".into()], ..Default::default() };
    let searched = resolve(&task, &searching, vec![]).unwrap();
    assert_eq!(file(&searched, "resolv.conf"), "search lan\nnameserver 9.9.9.9\n");
    assert!(resolved.spec.env.contains(&"AWS_ENDPOINT_URL=http://127.0.0.1:4566".to_owned()));
    let has = |env: &[String], start: &str| env.iter().any(|line| line.starts_with(start));
    assert!(has(&resolved.spec.env, "ECS_CONTAINER_METADATA_URI_V4=http://127.0.0.1:4566/_cove/task/0af1/s/v4/3f0c"));
    assert!(!has(&resolved.spec.env, "AWS_CONTAINER_"), "no role, no credentials");
    task.task_role = Some(TaskRole { role_arn: "r".into(), credentials_id: "c".into(), access_key_id: "ASIA".into() });
    let env = resolve(&task, &ContainerDefinition::default(), vec![]).unwrap().spec.env;
    let full = "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:4566/_cove/task/0af1/s/v2/credentials/c";
    assert!(has(&env, full) && has(&env, "AWS_CONTAINER_AUTHORIZATION_TOKEN=t"), "{env:?}");
    assert!(!has(&env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), "it would win over the full one");
}

#[test]
fn a_volume_without_source_path_is_a_directory_of_the_task() {
    let volume = |name: &str, path: Option<&str>| Volume {
        name: Some(name.into()),
        host: Some(HostVolumeProperties { source_path: path.map(str::to_owned) }),
        ..Default::default()
    };
    let point = |name: &str, path: &str| MountPoint {
        source_volume: Some(name.into()),
        container_path: Some(path.into()),
        read_only: None,
    };
    let definition =
        ContainerDefinition { mount_points: vec![point("../x", "/a"), point("host", "/b")], ..Default::default() };
    let resolved = resolve(&task(), &definition, vec![volume("host", Some("/srv")), volume("../x", None)]).unwrap();
    assert_eq!(resolved.directories, [PathBuf::from("/data/volumes/0af1/1"), PathBuf::from("/srv")]);
    let definition = ContainerDefinition { mount_points: vec![point("none", "/a")], ..Default::default() };
    assert_eq!(resolve(&task(), &definition, vec![]).unwrap_err(), ResolveError::UnknownVolume("none".into()));
}

#[test]
fn a_volume_of_the_image_is_a_directory_of_the_task_unless_something_is_mounted_there() {
    let named = Volume { name: Some("v".into()), host: Some(HostVolumeProperties::default()), ..Default::default() };
    let point = |path: &str| MountPoint {
        source_volume: Some("v".into()),
        container_path: Some(path.into()),
        read_only: Some(true),
    };
    let app = ContainerDefinition {
        name: Some("app".into()),
        mount_points: vec![point("/own/")],
        volumes_from: vec![VolumeFrom { source_container: Some("other".into()), read_only: Some(true) }],
        linux_parameters: Some(LinuxParameters {
            tmpfs: vec![Tmpfs { container_path: Some("/scratch".into()), ..Default::default() }],
            ..Default::default()
        }),
        ..Default::default()
    };
    // It lends what it has itself borrowed, and the two may ask each other.
    let other = ContainerDefinition {
        name: Some("other".into()),
        mount_points: vec![point("/shared")],
        volumes_from: vec![VolumeFrom { source_container: Some("app".into()), read_only: None }],
        ..Default::default()
    };
    let of = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
    let image_volumes = BTreeMap::from([
        ("app".to_owned(), of(&["/", "/a/../data", "/lent", "/own", "/scratch/", "/shared", "relative"])),
        ("other".to_owned(), of(&["/data", "/lent"])),
    ]);
    let got = resolve_among(&task(), &[app, other], vec![named], &image_volumes).unwrap();
    let root = PathBuf::from("/data/volumes/0af1");
    let seen: Vec<(&str, PathBuf, bool)> =
        got.spec.mounts.iter().map(|bind| (bind.destination.as_str(), bind.source.clone(), bind.read_only)).collect();
    let wanted = [
        ("/own", root.join("0"), true),
        ("/shared", root.join("0"), true),
        ("/data", root.join("image.1.0"), true),
        ("/lent", root.join("image.1.1"), true),
        ("/relative", root.join("image.0.6"), false),
    ];
    assert_eq!(seen[..wanted.len()], wanted);
    // Only its own: what is lent begins with the content of the container that lends it.
    let filled: Vec<&str> = got.fills.iter().map(|fill| fill.path.as_str()).collect();
    assert_eq!(filled, ["/own", "/relative"]);
}
