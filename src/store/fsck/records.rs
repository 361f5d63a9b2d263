//! Records by themselves: readable, of this version, under their own key, and their documents.

use std::collections::HashSet;
use std::fs;
use std::io;

use super::{Check, Repair};
use crate::database::{EVENTS_TREE, decode_event, read_failed};
use crate::document::Documents;
use crate::error::StoreError;
use crate::record::{Header, Kind};
use crate::schema::KINDS;
use crate::table::View;

/// sled's own name for the tree that holds the schema's number.
const DEFAULT_TREE: &[u8] = b"__sled__default";
const SET_ASIDE: &str = "take the record out; its bytes go to `set-aside/`";

/// Loads what is good into the view, and reports the rest.
pub(super) fn check(check: &mut Check<'_>, db: &sled::Db, view: &mut View) -> Result<(), StoreError> {
    let documents = Documents::open(&check.data.documents());
    let mut named = HashSet::new();
    for kind in KINDS {
        let tree = db.open_tree(kind.tree).map_err(read_failed)?;
        for entry in &tree {
            let (key, value) = entry.map_err(read_failed)?;
            check.report.records += 1;
            one(check, &documents, kind, (&key, &value), view, &mut named);
        }
    }
    events(check, db)?;
    unknown_trees(check, db);
    leftover_documents(check, &named)
}

fn one(
    check: &mut Check<'_>,
    documents: &Documents,
    kind: &'static Kind,
    (raw_key, value): (&[u8], &[u8]),
    view: &mut View,
    named: &mut HashSet<String>,
) {
    let key = String::from_utf8_lossy(raw_key).into_owned();
    let shown = format!("record `{}` of `{}`", key.replace('\0', "/"), kind.tree);
    let aside = Repair::SetRecordAside { tree: kind.tree, key: raw_key.to_vec() };
    let header = serde_json::from_slice::<Header>(value);
    if let Ok(Header { doc: Some(digest), .. }) = &header {
        named.insert(digest.clone());
    }
    if let Some(version) = header.as_ref().ok().map(|header| header.v).filter(|version| *version != kind.version) {
        let text = format!("{shown} has version {version}, this one reads {}", kind.version);
        return check.beyond_repair("record-version", text, "use the version of Cove that wrote it");
    }
    let table = view.erased_mut(kind.number);
    let loaded = table.load(&key, value);
    let document = match loaded {
        Ok(header) => header.doc,
        Err(error) => return check.repairable("record-unreadable", format!("{shown}: {error}"), SET_ASIDE, aside),
    };
    if let Some(digest) = document {
        check.report.documents += 1;
        let content = match documents.read(&digest) {
            Ok(content) => content,
            Err(error) => {
                let text = format!("{shown} is lost: {}", cove_base::error::chain(&error));
                check.repairable("document-bad", text, SET_ASIDE, aside);
                let path = check.data.documents().join(&digest);
                if path.exists() {
                    check.repairs.push(Repair::SetFileAside(path));
                }
                return;
            }
        };
        if let Err(error) = table.load_document(&key, &content) {
            return check.repairable("record-unreadable", format!("{shown}: {error}"), SET_ASIDE, aside);
        }
    }
    if !table.has_own_key(&key) {
        table.forget(&key);
        check.repairable("record-key", format!("{shown} stands under a key that is not its own"), SET_ASIDE, aside);
    }
}

fn events(check: &mut Check<'_>, db: &sled::Db) -> Result<(), StoreError> {
    for entry in &db.open_tree(EVENTS_TREE).map_err(read_failed)? {
        let (key, value) = entry.map_err(read_failed)?;
        if decode_event(&value).is_err() || key.len() != 8 {
            let delete = Repair::DeleteRecord { tree: EVENTS_TREE, key: key.to_vec() };
            check.repairable("event-unreadable", "an entry of the event log cannot be read", "remove it", delete);
        }
    }
    Ok(())
}

fn unknown_trees(check: &mut Check<'_>, db: &sled::Db) {
    for name in db.tree_names() {
        let known = KINDS.iter().any(|kind| kind.tree.as_bytes() == &*name)
            || &*name == EVENTS_TREE.as_bytes()
            || &*name == DEFAULT_TREE;
        if !known {
            let text = format!("tree `{}` is none of this version", String::from_utf8_lossy(&name));
            check.beyond_repair("tree-unknown", text, "harmless; the version of Cove that wrote it knows it");
        }
    }
}

fn leftover_documents(check: &mut Check<'_>, named: &HashSet<String>) -> Result<(), StoreError> {
    let directory = check.data.documents();
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::file("read", directory)(error)),
    };
    for entry in entries {
        let path = entry.map_err(StoreError::file("read", &directory))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !named.contains(name) {
            let text = format!("document `{name}` belongs to no record");
            check.repairable("document-leftover", text, "remove it", Repair::RemoveFile(path));
        }
    }
    Ok(())
}
