//! Hashed passwords, as crypt(5) writes them.

use sha_crypt::{PasswordHashRef, PasswordVerifier as _, ShaCrypt};

/// Whether a text is a hash that [`verifies`] can take.
pub(crate) fn is_hash(text: &str) -> bool {
    let known = text.starts_with("$5$") || text.starts_with("$6$");
    // That a hash is malformed shows when it is computed: with a round too many, or the salt of another alphabet.
    known && PasswordHashRef::new(text).is_ok()
}

/// Whether that is the password. Takes the time of the hash.
pub(crate) fn verifies(hash: &str, password: &[u8]) -> bool {
    PasswordHashRef::new(hash).is_ok_and(|hash| ShaCrypt::default().verify_password(password, hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `openssl passwd`, with the salt `saltsalt`.
    const HASHES: [&str; 2] = [
        "$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA",
        "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1",
    ];

    #[test]
    fn what_openssl_hashes_is_verified() {
        for hash in HASHES {
            assert!(is_hash(hash));
            assert!(verifies(hash, b"secret") && !verifies(hash, b"Secret") && !verifies(hash, b""), "{hash}");
        }
        for other in ["", "secret", "$1$x$y", "$6$", "$y$j9T$x$y"] {
            assert!(!is_hash(other), "{other}");
        }
    }
}
