//! Which user the worker becomes.

use crate::worker::privileges::Identity;
use std::{fs, io};

/// The accounts tried when the configuration names none: the package's own, then the one that owns nothing.
const DEFAULTS: [&str; 2] = ["sluice", "nobody"];

/// No account for the worker.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The user database cannot be read.
    #[error("cannot read /etc/passwd")]
    Database(#[source] io::Error),
    /// `[global] user` names nobody.
    #[error("user `{0}` does not exist; create it (`useradd --system {0}`) or name another in `[global] user`")]
    Unknown(String),
    /// The worker would keep root's rights over files.
    #[error("user `{0}` is root; the worker must not be")]
    Root(String),
}

/// Looks up `wanted`, or the first default that exists.
pub fn identity(wanted: Option<&str>) -> Result<Identity, AccountError> {
    let database = fs::read_to_string("/etc/passwd").map_err(AccountError::Database)?;
    let name = wanted.or_else(|| DEFAULTS.into_iter().find(|name| find(&database, name).is_some()));
    let name = name.unwrap_or(DEFAULTS[0]);
    match find(&database, name) {
        None => Err(AccountError::Unknown(name.to_owned())),
        Some(Identity { uid: 0, .. }) => Err(AccountError::Root(name.to_owned())),
        Some(identity) => Ok(identity),
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
    fn root_and_strangers_are_refused() {
        assert!(matches!(identity(Some("root")), Err(AccountError::Root(_))));
        assert!(matches!(identity(Some("no such user")), Err(AccountError::Unknown(_))));
        assert_ne!(identity(None).unwrap().uid, 0);
    }
}
