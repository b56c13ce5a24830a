//! Authentication: whether a request carries name and password of a user (HTTP Basic, RFC 7617).

use crate::{
    crypt,
    model::userlist::{Password, Userlist},
};
use aws_lc_rs::{hmac, rand};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{cell::RefCell, collections::HashSet, sync::LazyLock};

/// Passwords that a thread remembers as right.
const REMEMBERED: usize = 1024;

thread_local! {
    /// Hashed passwords that were right: a hash takes milliseconds, and clients send theirs with every request. Each is kept as
    /// a tag under a key that nobody else has.
    static RIGHT: RefCell<HashSet<[u8; 32]>> = RefCell::default();
}

static KEY: LazyLock<Option<hmac::Key>> =
    LazyLock::new(|| hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new()).ok());

/// The user whose name and password the field `authorization` of a request carries; `None`: it is nobody's.
pub(crate) fn user<'a>(list: &'a Userlist, authorization: &[u8]) -> Option<&'a str> {
    let (name, password) = credentials(authorization)?;
    let is_right = is_user(list, &name, &password, crypt::verifies);
    let known = list.users.iter().find(|(known, _)| is_right && known.as_bytes() == name);
    known.map(|(known, _)| known.as_str())
}

/// Whether one of the users has that name and password; `verifies` hashes.
fn is_user(list: &Userlist, name: &[u8], password: &[u8], verifies: impl Fn(&str, &[u8]) -> bool) -> bool {
    let kept = list.users.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, kept)| kept);
    if let Some(Password::Crypt(hash)) = kept {
        return remembered(hash, password, || verifies(hash, password));
    }
    if matches!(kept, Some(Password::Clear(clear)) if is_same(clear, password)) {
        return true;
    }
    // Whatever is wrong takes the time of a hash, so that the time does not tell which names there are.
    let hash = list.users.iter().find_map(|(_, kept)| match kept {
        Password::Crypt(hash) => Some(hash),
        Password::Clear(_) => None,
    });
    if let Some(hash) = hash {
        verifies(hash, password);
    }
    false
}

fn credentials(authorization: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, encoded) = authorization.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim_ascii()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some((decoded.get(..colon)?.to_vec(), decoded.get(colon + 1..)?.to_vec()))
}

/// Every byte is looked at, so that the time does not tell how many are right.
fn is_same(clear: &str, typed: &[u8]) -> bool {
    let differ = clear.bytes().zip(typed).fold(0, |differ, (one, other)| differ | (one ^ other));
    clear.len() == typed.len() && differ == 0
}

/// Whether a password is right, which is found out once for each that is.
fn remembered(hash: &str, typed: &[u8], verify: impl FnOnce() -> bool) -> bool {
    let Some(key) = &*KEY else { return verify() };
    let tag = hmac::sign(key, &[hash.as_bytes(), b"\0", typed].concat());
    let Ok(tag) = <[u8; 32]>::try_from(tag.as_ref()) else { return verify() };
    RIGHT.with_borrow_mut(|right| {
        if right.contains(&tag) {
            return true;
        }
        let is_right = verify();
        if is_right {
            if right.len() >= REMEMBERED {
                right.clear();
            }
            right.insert(tag);
        }
        is_right
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_right_password_is_hashed_once_and_a_wrong_one_each_time() {
        let mut count = 0;
        for (typed, is_right) in [(&b"secret"[..], true), (b"wrong", false), (b"secret", true), (b"wrong", false)] {
            let verify = || {
                count += 1;
                is_right
            };
            assert_eq!(remembered("$6$x", typed, verify), is_right);
        }
        assert_eq!(count, 3);
        assert!(!remembered("$6$y", b"secret", || false), "of another hash");
    }

    #[test]
    fn whatever_is_wrong_costs_one_hash_where_there_are_hashes() {
        let (hashed, clear) = (|| Password::Crypt("$6$z".into()), || Password::Clear("pass".into()));
        let list = |users: Vec<(&str, Password)>| {
            let users = users.into_iter().map(|(name, password)| (name.into(), password)).collect();
            Userlist { name: "list".into(), users }
        };
        let mixed = list(vec![("clear", clear()), ("hashed", hashed()), ("other", hashed())]);
        let open = list(vec![("clear", clear())]);
        let cases = [
            (&mixed, "hashed", "wrong", false, 1),
            (&mixed, "nobody", "wrong", false, 1),
            (&mixed, "nobody", "right", false, 1),
            (&mixed, "clear", "wrong", false, 1),
            (&mixed, "clear", "pass", true, 0),
            (&mixed, "other", "right", true, 1),
            (&open, "clear", "wrong", false, 0),
            (&open, "nobody", "wrong", false, 0),
        ];
        for (list, name, typed, is_right, hashes) in cases {
            let count = Cell::new(0);
            let verifies = |_: &str, typed: &[u8]| {
                count.set(count.get() + 1);
                typed == b"right"
            };
            let found = is_user(list, name.as_bytes(), typed.as_bytes(), verifies);
            assert_eq!((found, count.get()), (is_right, hashes), "{name} {typed}");
        }
    }
}
