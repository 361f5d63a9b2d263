//! What the kernel cannot tell: small files in the run directory, one per router and task, and one for the host.
//!
//! Holds: a file is there before the first kernel object it speaks of and goes after the last one. Files are whole or
//! absent after `kill -9`; after a power cut they may be anything, but then the kernel's side is gone as well, and
//! what cannot be read is removed. A record of an older release is read: how records may change is said in
//! `src/shim/protocol.rs`.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use cove_base::paths::RunDir;
use cove_model::network::Cidr;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Attachment, NetworkError, NetworkId};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RouterRecord {
    pub(super) network: NetworkId,
    pub(super) cidr: Cidr,
    pub(super) slot: u16,
    /// The range that the slot counts in.
    pub(super) transit_range: Cidr,
    pub(super) mtu: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TaskRecord {
    pub(super) task_id: String,
    /// `None`: isolated.
    pub(super) attachment: Option<Attachment>,
    /// The router's end of the pair.
    pub(super) link: Option<i32>,
    /// Where its published ports lead on the host.
    pub(super) router: Option<Ipv4Addr>,
    pub(super) ports_mapped: bool,
    pub(super) host_route: bool,
    /// Everything of it is made.
    pub(super) whole: bool,
    /// Its router may have a table that loses packets of it.
    #[serde(default)]
    pub(super) lossy: bool,
}

impl TaskRecord {
    pub(super) fn new(task_id: &str, attachment: Option<Attachment>) -> Self {
        let task_id = task_id.to_owned();
        Self {
            task_id,
            attachment,
            link: None,
            router: None,
            ports_mapped: false,
            host_route: false,
            whole: false,
            lossy: false,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HostRecord {
    /// Forwarding was off before the first server of this machine turned it on.
    pub(super) forwarding_was_off: bool,
}

/// The directory of the files.
#[derive(Debug, Clone)]
pub(super) struct Records {
    root: PathBuf,
}

impl Records {
    pub(super) fn of(run_dir: &RunDir) -> Self {
        Self { root: run_dir.root().join("network") }
    }

    pub(super) fn write_router(&self, key: &str, record: &RouterRecord) -> Result<(), NetworkError> {
        self.write(&self.root.join("routers").join(format!("{key}.json")), record)
    }

    pub(super) fn write_task(&self, record: &TaskRecord) -> Result<(), NetworkError> {
        self.write(&self.root.join("tasks").join(format!("{}.json", record.task_id)), record)
    }

    pub(super) fn write_host(&self, record: HostRecord) -> Result<(), NetworkError> {
        self.write(&self.root.join("host.json"), &record)
    }

    pub(super) fn host(&self) -> HostRecord {
        read(&self.root.join("host.json")).unwrap_or_default()
    }

    pub(super) fn routers(&self) -> Result<Vec<RouterRecord>, NetworkError> {
        read_all(&self.root.join("routers"))
    }

    pub(super) fn tasks(&self) -> Result<Vec<TaskRecord>, NetworkError> {
        read_all(&self.root.join("tasks"))
    }

    pub(super) fn remove_router(&self, key: &str) -> Result<(), NetworkError> {
        remove(&self.root.join("routers").join(format!("{key}.json")))
    }

    pub(super) fn remove_task(&self, task_id: &str) -> Result<(), NetworkError> {
        remove(&self.root.join("tasks").join(format!("{task_id}.json")))
    }

    pub(super) fn remove_all(&self) -> Result<(), NetworkError> {
        match fs::remove_dir_all(&self.root) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(NetworkError::File { attempt: "remove", path: self.root.clone(), source })
            }
            _ => Ok(()),
        }
    }

    fn write<T: Serialize>(&self, path: &Path, record: &T) -> Result<(), NetworkError> {
        let temporary = path.with_extension("tmp");
        let failed = |source| NetworkError::File { attempt: "write", path: path.to_owned(), source };
        let bytes = serde_json::to_vec(record).map_err(|error| failed(error.into()))?;
        let write = || fs::write(&temporary, &bytes).and_then(|()| fs::rename(&temporary, path));
        match write() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(path.parent().unwrap_or(&self.root)).and_then(|()| write()).map_err(failed)
            }
            outcome => outcome.map_err(failed),
        }
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = fs::read(path).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn read_all<T: DeserializeOwned>(directory: &Path) -> Result<Vec<T>, NetworkError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(NetworkError::File { attempt: "list", path: directory.to_owned(), source }),
    };
    let mut records = Vec::new();
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        match read(&path) {
            Some(record) if path.extension().is_some_and(|extension| extension == "json") => records.push(record),
            _ => remove(&path)?,
        }
    }
    Ok(records)
}

fn remove(path: &Path) -> Result<(), NetworkError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(NetworkError::File { attempt: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// What the first release wrote. Tasks outlive an upgrade, so these stay readable; how they may change is said in
    /// `src/shim/protocol.rs`.
    const FIRST: [&str; 5] = [
        r#"{"network":{"Vpc":"vpc-0abc"},"cidr":"172.31.0.0/16","slot":3,"transit_range":"198.19.0.0/16","mtu":1500}"#,
        r#"{"network":"Bridge","cidr":"172.17.0.0/16","slot":0,"transit_range":"198.19.0.0/16","mtu":1500}"#,
        r#"{"task_id":"0af1","attachment":{"task_id":"0af1","network":"Bridge","cidr":"172.17.0.0/16","address":"172.17.0.5",
            "mac":[2,192,172,17,0,5],"security_groups":["sg-1"],"ports":[{"udp":true,"host_port":32768,"container_port":53}]},
            "link":7,"router":"198.19.0.1","ports_mapped":true,"host_route":true,"whole":true}"#,
        r#"{"task_id":"0af2","attachment":null,"link":null,"router":null,"ports_mapped":false,"host_route":false,"whole":true}"#,
        r#"{"forwarding_was_off":true}"#,
    ];

    #[test]
    fn records_of_the_first_release_are_read_and_written_as_they_were() {
        fn again<T: DeserializeOwned + Serialize>(text: &str) -> Value {
            let read: T = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
            serde_json::to_value(read).unwrap()
        }
        for (number, text) in FIRST.iter().enumerate() {
            let now = match number {
                0 | 1 => again::<RouterRecord>(text),
                2 | 3 => again::<TaskRecord>(text),
                _ => again::<HostRecord>(text),
            };
            let was: Value = serde_json::from_str(text).unwrap();
            for (name, value) in was.as_object().unwrap() {
                assert_eq!(&now[name], value, "{name} of {text}");
            }
        }
    }
}
