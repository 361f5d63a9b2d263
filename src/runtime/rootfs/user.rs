//! Who a container runs as: `uid`, `name`, `uid:gid`, `name:group`, by the image's own etc/passwd and etc/group.
//!
//! In: a root and the text of an image or task definition. Out: numbers and a home directory, as Docker finds them.
//! Holds: no NSS, no file outside the root; lines that make no sense are skipped.

use std::path::Path;

use super::error::{Result, RootfsError};
use super::names::read_in_root;

/// Far above any image's; a bound on memory.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// What Docker accepts.
const ID_MAX: u32 = i32::MAX.cast_unsigned();
/// The kernel's NGROUPS_MAX.
const GROUPS_MAX: usize = 65_536;

/// A resolved user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// `/` when the user has no entry.
    pub home: String,
}

/// Looks `user` up beneath `rootfs`; empty is root.
///
/// # Errors
/// When a name is not in the image's files, or those cannot be read.
pub fn lookup_user(rootfs: &Path, user: &str) -> Result<User> {
    let passwd = read_in_root(rootfs, "etc/passwd", FILE_BYTES_MAX)?.unwrap_or_default();
    let group = read_in_root(rootfs, "etc/group", FILE_BYTES_MAX)?.unwrap_or_default();
    resolve(&String::from_utf8_lossy(&passwd), &String::from_utf8_lossy(&group), user)
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

pub(super) fn resolve(passwd: &str, group: &str, user: &str) -> Result<User> {
    let (name, group_name) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group).filter(|group| !group.is_empty())),
        None => (user, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let number = numeric(name)?;
    let account = passwd.lines().filter_map(account).find(|one| one.name == name || Some(one.uid) == number);
    let (uid, gid, home) = match (&account, number) {
        (Some(found), _) => (found.uid, found.gid, found.home),
        (None, Some(uid)) => (uid, 0, "/"),
        (None, None) => return Err(RootfsError::NoSuchUser(name.to_owned())),
    };
    let home = if home.starts_with('/') { home.to_owned() } else { "/".to_owned() };
    let (gid, groups) = match (group_name, account) {
        (Some(group_name), _) => (group_id(group, group_name)?, Vec::new()),
        (None, Some(account)) => (gid, memberships(group, account.name)),
        (None, None) => (gid, Vec::new()),
    };
    Ok(User { uid, gid, groups, home })
}

/// `None` for a name.
fn numeric(text: &str) -> Result<Option<u32>> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse() {
        Ok(id) if id <= ID_MAX => Ok(Some(id)),
        Ok(_) | Err(_) => Err(RootfsError::IdOutOfRange(text.to_owned())),
    }
}

fn account(line: &str) -> Option<Account<'_>> {
    let mut fields = line.trim().split(':');
    let (name, _password) = (fields.next()?, fields.next()?);
    let (uid, gid) = (id(fields.next()?)?, id(fields.next()?)?);
    let home = fields.nth(1).unwrap_or("/");
    Some(Account { name, uid, gid, home })
}

fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id <= ID_MAX)
}

/// Name, id and members.
fn group_line(line: &str) -> Option<(&str, u32, &str)> {
    let mut fields = line.trim().split(':');
    let (name, _password) = (fields.next()?, fields.next()?);
    Some((name, id(fields.next()?)?, fields.next().unwrap_or("")))
}

fn group_id(file: &str, wanted: &str) -> Result<u32> {
    let number = numeric(wanted)?;
    let found = file.lines().filter_map(group_line).find(|(name, id, _)| *name == wanted || Some(*id) == number);
    found.map(|(_, id, _)| id).or(number).ok_or_else(|| RootfsError::NoSuchGroup(wanted.to_owned()))
}

fn memberships(file: &str, name: &str) -> Vec<u32> {
    let mine = |(_, id, members): (&str, u32, &str)| members.split(',').any(|member| member == name).then_some(id);
    file.lines().filter_map(group_line).filter_map(mine).take(GROUPS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nbad line\napp:x:1000:1001::/home/app:\nbig:x:99999999999:1::/:\n";
    const GROUP: &str = "root:x:0:\nwheel:x:10:root,app\nvideo:x:27:app\n";

    fn found(user: &str) -> Option<(u32, u32, Vec<u32>, String)> {
        resolve(PASSWD, GROUP, user).ok().map(|user| (user.uid, user.gid, user.groups, user.home))
    }

    #[test]
    fn users_are_found_as_docker_finds_them() {
        assert_eq!(found(""), Some((0, 0, vec![10], "/root".into())));
        assert_eq!(found("app"), Some((1000, 1001, vec![10, 27], "/home/app".into())));
        assert_eq!(found("1000"), Some((1000, 1001, vec![10, 27], "/home/app".into())));
        assert_eq!(found("app:video"), Some((1000, 27, vec![], "/home/app".into())));
        assert_eq!(found("5:7"), Some((5, 7, vec![], "/".into())));
        assert_eq!(found("5"), Some((5, 0, vec![], "/".into())));
        for wrong in ["nobody", "app:nogroup", "4294967295", "-1", "big", "bad line"] {
            assert_eq!(found(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_image_without_the_files_has_only_numbers() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(lookup_user(dir.path(), "").unwrap().uid, 0);
        assert!(lookup_user(dir.path(), "root").is_err());
    }
}
