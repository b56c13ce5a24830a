//! Authentication: whether a request carries name and password of a user (HTTP Basic, RFC 7617).

use crate::{
    crypt,
    l7::message::Request,
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

/// Whether the request carries name and password of one of the users.
pub(in crate::l7) fn authenticated(list: &Userlist, request: &Request) -> bool {
    credentials(request).is_some_and(|(name, password)| {
        list.users.iter().any(|(known, kept)| known.as_bytes() == name && kept.is(&password))
    })
}

fn credentials(request: &Request) -> Option<(Vec<u8>, Vec<u8>)> {
    let header = request.fields.get("authorization")?;
    let (scheme, encoded) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim_ascii()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some((decoded.get(..colon)?.to_vec(), decoded.get(colon + 1..)?.to_vec()))
}

impl Password {
    fn is(&self, typed: &[u8]) -> bool {
        match self {
            // Every byte is looked at, so that the time does not tell how many are right.
            Self::Clear(clear) => {
                let differ = clear.bytes().zip(typed).fold(0, |differ, (one, other)| differ | (one ^ other));
                clear.len() == typed.len() && differ == 0
            }
            Self::Crypt(hash) => remembered(hash, typed, || crypt::verifies(hash, typed)),
        }
    }
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
}
