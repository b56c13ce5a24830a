//! Which users the worker and the runner of checks become.

use crate::worker::privileges::Identity;
use std::{fs, io};

/// The accounts tried when the configuration names none: the package's own, then the one that owns nothing.
const DEFAULTS: [&str; 2] = ["sluice", "nobody"];
/// The same for programs that check servers.
const DEFAULTS_OF_CHECKS: [&str; 2] = ["sluice-exec", "nobody"];

/// No account.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The user database cannot be read.
    #[error("cannot read /etc/passwd or /etc/group")]
    Database(#[source] io::Error),
    /// The key of `[global]` names nobody.
    #[error("user `{0}` does not exist; create it (`useradd --system {0}`) or name another in `[global] {1}`")]
    Unknown(String, &'static str),
    /// The same of a group.
    #[error("group `{0}` of a stats socket does not exist")]
    Group(String),
    /// It would keep root's rights over files.
    #[error("user `{0}` is root, which `[global] {1}` must not be")]
    Root(String, &'static str),
    /// A program could do to the worker what the worker can.
    #[error(
        "user `{0}` is the worker's, and programs that check servers need another: create one (`useradd --system \
         sluice-exec`) or name it in `[global] exec_user`"
    )]
    Shared(String),
}

/// Looks up `wanted`, or the first default that exists.
pub fn identity(wanted: Option<&str>) -> Result<Identity, AccountError> {
    Ok(look_up(wanted, &DEFAULTS, "user")?.0)
}

/// Who runs programs that check servers: `wanted`, or the first default that exists, and not `worker`.
pub fn of_checks(wanted: Option<&str>, worker: Identity) -> Result<Identity, AccountError> {
    match look_up(wanted, &DEFAULTS_OF_CHECKS, "exec_user")? {
        (identity, name) if identity.uid == worker.uid => Err(AccountError::Shared(name)),
        (identity, _) => Ok(identity),
    }
}

/// The number of a group, by name or itself.
pub(super) fn group_id(name: &str) -> Result<u32, AccountError> {
    let database = fs::read_to_string("/etc/group").map_err(AccountError::Database)?;
    // group(5): `name:password:gid:…`.
    let named = database.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(())?;
        fields.nth(1)?.parse().ok()
    });
    named.or_else(|| name.parse().ok()).ok_or_else(|| AccountError::Group(name.to_owned()))
}

fn look_up(wanted: Option<&str>, defaults: &[&str], key: &'static str) -> Result<(Identity, String), AccountError> {
    let database = fs::read_to_string("/etc/passwd").map_err(AccountError::Database)?;
    let name = wanted.or_else(|| defaults.iter().copied().find(|name| find(&database, name).is_some()));
    let name = name.or_else(|| defaults.first().copied()).unwrap_or_default().to_owned();
    match find(&database, &name) {
        None => Err(AccountError::Unknown(name, key)),
        Some(Identity { uid: 0, .. }) => Err(AccountError::Root(name, key)),
        Some(identity) => Ok((identity, name)),
    }
}

/// passwd(5): `name:password:uid:gid:…`.
fn find(database: &str, name: &str) -> Option<Identity> {
    database.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(())?;
        let mut number = |skip| fields.nth(skip)?.parse().ok();
        Some(Identity { uid: number(1)?, gid: number(0)? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_passwd_lines() {
        let database = "root:x:0:0:root:/root:/bin/sh\nbroken\nsluice2:x:7:8::/:\nsluice:x:998:997::/nonexistent:/usr/sbin/nologin\n";
        assert_eq!(find(database, "sluice"), Some(Identity { uid: 998, gid: 997 }));
        assert_eq!(find(database, "slui"), None);
        assert_eq!(find(database, "broken"), None);
    }

    #[test]
    fn groups_of_sockets_are_named_or_numbered() {
        assert_eq!((group_id("root").unwrap(), group_id("4712").unwrap()), (0, 4712));
        assert!(matches!(group_id("no such group"), Err(AccountError::Group(_))));
    }

    #[test]
    fn root_and_strangers_are_refused() {
        assert!(matches!(identity(Some("root")), Err(AccountError::Root(..))));
        assert!(matches!(identity(Some("no such user")), Err(AccountError::Unknown(..))));
        assert_ne!(identity(None).unwrap().uid, 0);
        let worker = identity(Some("nobody")).unwrap();
        assert!(matches!(of_checks(Some("root"), worker), Err(AccountError::Root(_, "exec_user"))));
        assert!(matches!(of_checks(Some("nobody"), worker), Err(AccountError::Shared(_))));
        assert_eq!(of_checks(Some("daemon"), worker).unwrap(), identity(Some("daemon")).unwrap());
    }
}
