//! Hashed passwords, as crypt(5) writes them.

use sha_crypt::{PasswordHashRef, PasswordVerifier as _, ShaCrypt};
use std::ops::RangeInclusive;

/// Longest password that is hashed, in bytes: the time grows with the square of the length. libxcrypt's bound
/// (`CRYPT_MAX_PASSPHRASE_SIZE`, which counts the end of the string).
const LONGEST: usize = 511;

/// Longest salt: crypt(5) drops what is more, so that no hash has it.
const LONGEST_SALT: usize = 16;

/// Rounds that a hash may want; without any it is 5000. The format goes on to 999999999, some minutes: but each wrong password
/// holds a thread, with all its connections, for as long as they take, half a second at most that way.
const ROUNDS: RangeInclusive<u32> = 1_000..=1_000_000;

/// Whether a text is a hash that [`verifies`] can take. `Err`: what is wrong with it.
pub(crate) fn check(text: &str) -> Result<(), String> {
    let (rest, length, last) = match (text.strip_prefix("$5$"), text.strip_prefix("$6$")) {
        // The last character of a digest stands for what bits are left: four, or two.
        (Some(rest), _) => (rest, 43, "./0123456789ABCD"),
        (None, Some(rest)) => (rest, 86, "./01"),
        (None, None) => return Err("it begins neither with `$5$` nor with `$6$`".into()),
    };
    let mut fields: Vec<_> = rest.split('$').collect();
    if let Some(rounds) = fields.first().and_then(|field| field.strip_prefix("rounds=")) {
        let known = rounds.parse().is_ok_and(|number: u32| ROUNDS.contains(&number) && number.to_string() == rounds);
        if !known {
            return Err(format!("`rounds={rounds}` is not from {} to {}", ROUNDS.start(), ROUNDS.end()));
        }
        fields.remove(0);
    }
    let &[salt, digest] = fields.as_slice() else {
        return Err("it has not the form $6$SALT$HASH or $6$rounds=N$SALT$HASH".into());
    };
    let is_of = |text: &str, others: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c));
    if !(1..=LONGEST_SALT).contains(&salt.len()) || !is_of(salt, "./+=,-") {
        return Err(format!("its salt `{salt}` is not of 1 to {LONGEST_SALT} letters, digits, dots and slashes"));
    }
    if digest.len() != length {
        return Err(format!("its last part has {} characters, not {length}", digest.chars().count()));
    }
    if !is_of(digest, "./") || !digest.ends_with(|c| last.contains(c)) {
        return Err("its last part is no hash: that has letters, digits, dots and slashes".into());
    }
    Ok(())
}

/// Whether that is the password. Takes the time of the hash, but for passwords that are too long for any.
pub(crate) fn verifies(hash: &str, password: &[u8]) -> bool {
    password.len() <= LONGEST
        && PasswordHashRef::new(hash).is_ok_and(|hash| ShaCrypt::default().verify_password(password, hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `openssl passwd`, with the salt `saltsalt`.
    const HASHES: [&str; 2] = [
        "$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA",
        "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1",
    ];

    /// Of libxcrypt and of the library, of so many letters `a`.
    const LONG: [(usize, &str); 2] = [
        (
            511,
            "$6$rounds=1000$salt$lZ.wFK7OAdCcgvqIPhZyOij9xOymdmsD2RSyI29dHomGqgMZ9GKPsU9sDQoDKrlHKdS4ij3VGXJFyNkz/Tn4M0",
        ),
        (
            512,
            "$6$rounds=1000$salt$pkpJWSPWF7wZ0yJdrBGMQi.crLHPI9Zv5LgB4BOgM9FhhXvuUgFKvChon8hqgMbe5Q.IE8ubYoElZOd0fFETL0",
        ),
    ];

    #[test]
    fn what_openssl_hashes_is_verified() {
        for hash in HASHES {
            assert_eq!(check(hash), Ok(()));
            assert!(verifies(hash, b"secret") && !verifies(hash, b"Secret") && !verifies(hash, b""), "{hash}");
        }
    }

    #[test]
    fn a_password_that_is_longer_than_crypt_takes_is_not_hashed() {
        let verified = LONG.map(|(length, hash)| (check(hash), verifies(hash, "a".repeat(length).as_bytes())));
        assert_eq!(verified, [(Ok(()), true), (Ok(()), false)]);
    }

    #[test]
    fn what_can_never_be_right_is_no_hash_and_why() {
        let digest = "TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO";
        let with = |before: &str| format!("{before}${digest}1");
        assert_eq!(check(&with("$6$rounds=1000$a")), Ok(()));
        assert_eq!(check(&with("$6$rounds=1000000$0123456789abcdef")), Ok(()));
        let cases = [
            (String::new(), "neither with"),
            ("secret".into(), "neither with"),
            ("$1$x$y".into(), "neither with"),
            ("$y$j9T$x$y".into(), "neither with"),
            ("$6$".into(), "the form"),
            ("$6$salt".into(), "the form"),
            (with("$6$salt$more"), "the form"),
            ("$6$salt$short".into(), "has 5 characters, not 86"),
            (with("$5$salt"), "has 86 characters, not 43"),
            (with("$6$rounds=500$salt"), "from 1000 to 1000000"),
            (with("$6$rounds=999999999$salt"), "from 1000 to 1000000"),
            (with("$6$rounds=05000$salt"), "from 1000 to 1000000"),
            (with("$6$rounds=$salt"), "from 1000 to 1000000"),
            (with("$6$0123456789abcdefg"), "1 to 16"),
            (with("$6$"), "1 to 16"),
            (with("$6$sa_t"), "1 to 16"),
            (format!("$6$salt${digest}z"), "no hash"),
            (format!("$6$salt$_{}", &with("")[2..]), "no hash"),
        ];
        for (text, why) in cases {
            assert!(check(&text).is_err_and(|error| error.contains(why)), "{text}: {:?}", check(&text));
        }
    }
}
