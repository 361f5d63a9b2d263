//! What clients ask of daemons: made, given another revision, deleted.

use cove_base::ids::random_u64;
use cove_model::daemon::{Daemon, DaemonAlarms, DaemonConfiguration, DaemonRevision};
use cove_store::Tx;

use super::super::setting::{self, CLUSTER, FAMILIES, Family, MANAGED, PROVIDER, tenant};
use super::super::world::World;
use crate::daemons::{begin, retire};
use crate::deploy::digits;

const NAMES: [&str; 2] = ["eye", "ear"];
/// What they run: without a network, with a health check, often failing.
const OWN: [Family; 3] = [FAMILIES[3], FAMILIES[4], FAMILIES[5]];
const ON: [&[&str]; 3] = [&[PROVIDER], &[MANAGED], &[PROVIDER, MANAGED]];

impl World {
    /// Somebody asks something of some daemon.
    pub(in super::super) fn somebody_asks_of_daemons(&mut self) {
        let daemons = self.daemons();
        if daemons.is_empty() || self.dice.one_in(6) {
            return self.create_daemon();
        }
        let daemon = (*daemons[self.dice.roll(daemons.len())]).clone();
        match self.dice.roll(8) {
            _ if !daemon.is_active() => {}
            0 => self.delete_daemon(daemon),
            _ => self.update_daemon(daemon),
        }
    }

    /// CreateDaemon; under the name of one that is gone too.
    pub(in super::super) fn create_daemon(&mut self) {
        let known = self.daemons();
        let Some(name) = NAMES.into_iter().find(|name| known.iter().all(|it| it.name != *name)) else { return };
        let configuration = self.daemon_configuration();
        let mut daemon = Daemon::new(tenant(), CLUSTER, name, configuration, self.now);
        let (family, providers) = self.daemon_workload();
        self.tell(|| format!("create {daemon:?} of {} on {providers:?}", family.0));
        self.write(|tx| deploy(tx, &mut daemon, &family, providers));
    }

    /// UpdateDaemon with another revision.
    pub(super) fn update_daemon(&mut self, mut daemon: Daemon) {
        let (family, providers) = self.daemon_workload();
        if self.dice.one_in(3) {
            daemon.configuration = self.daemon_configuration();
        }
        self.tell(|| format!("update daemon {} to {} on {providers:?}", daemon.name, family.0));
        self.write(|tx| deploy(tx, &mut daemon, &family, providers));
    }

    /// DeleteDaemon.
    fn delete_daemon(&mut self, mut daemon: Daemon) {
        self.tell(|| format!("delete daemon {}", daemon.name));
        self.write(|tx| retire(tx, &mut daemon));
    }

    fn daemon_workload(&mut self) -> (Family, Vec<String>) {
        let on = self.dice.pick(&ON);
        (self.dice.pick(&OWN), on.iter().map(|name| (*name).to_owned()).collect())
    }

    fn daemon_configuration(&mut self) -> DaemonConfiguration {
        let alarms = DaemonAlarms { alarm_names: vec![setting::ALARM.into()], enable: true };
        let configuration = DaemonConfiguration {
            drain_percent: Some(self.dice.pick(&[0.0, 25.0, 50.0, 100.0])),
            alarms: self.dice.one_in(4).then_some(alarms),
            bake_time_in_minutes: Some(self.dice.pick(&[0, 0, 2])),
        };
        configuration.check().unwrap();
        configuration
    }
}

/// As the API makes it.
fn deploy(tx: &mut Tx<'_>, daemon: &mut Daemon, family: &Family, providers: Vec<String>) {
    let mut template = setting::template(family);
    template.group = daemon.group();
    let revision = DaemonRevision::new(daemon, &digits(random_u64()), template, providers, tx.now());
    begin(tx, daemon, revision);
}
