//! SCRAM-SHA-256 (RFC 5802, RFC 7677): both sides prove that they know the password, and neither tells it.
//!
//! A password beyond ASCII must be as SASLprep leaves it, which passwords from a keyboard mostly are: it is taken as it is.

use super::message::unwilling;
use crate::{
    health::{
        Code, Finding,
        finding::{Step, quote},
    },
    model::Secret,
};
use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{cell::RefCell, collections::HashMap, net::SocketAddr, num::NonZeroU32, sync::Arc};
use tokio::{
    sync::Semaphore,
    task,
    time::{Instant, timeout_at},
};

/// The mechanism that is known here.
pub(super) const MECHANISM: &str = "SCRAM-SHA-256";
/// No channel binding, and no other name than the one of the session.
const HEADER: &str = "n,,";
/// Most rounds of hashing that a server may ask for: a hundred times PostgreSQL's own default and more.
const ROUNDS: u32 = 1_000_000;
/// Longest salt; PostgreSQL's have 16 bytes.
const SALT: usize = 256;
/// Hashed passwords that a thread remembers.
const REMEMBERED: usize = 4096;
thread_local! {
    /// Hashing takes milliseconds, or much more if a server wants that. It is done elsewhere, one password after the other, so
    /// that no server can take more than one CPU.
    static HASHING: Arc<Semaphore> = Arc::new(Semaphore::new(1));
    /// By server and user, what the password was hashed to last.
    static HASHED: RefCell<HashMap<(SocketAddr, String), Hashed>> = RefCell::default();
}

/// A password as a server wants it hashed.
struct Hashed {
    password: Secret,
    salt: Vec<u8>,
    rounds: NonZeroU32,
    hash: Hash,
}

type Hash = [u8; digest::SHA256_OUTPUT_LEN];

/// A login that has begun.
pub(super) struct Scram {
    nonce: String,
    /// What was said first, without the header.
    first: String,
}

/// What the server must say in the end.
pub(super) struct Expected(hmac::Key, Vec<u8>);

impl Scram {
    /// PostgreSQL knows the name from the session; RFC 5802 wants one.
    pub(super) fn new(user: &str, nonce: String) -> Self {
        Self { first: format!("n={user},r={nonce}"), nonce }
    }

    /// What is said first.
    pub(super) fn first(&self) -> String {
        format!("{HEADER}{}", self.first)
    }

    /// What the server asks for in return.
    pub(super) fn challenge(&self, said: &[u8]) -> Step<Challenge> {
        let challenge = std::str::from_utf8(said).ok().and_then(|said| self.parse(said));
        let challenge = challenge.ok_or_else(|| Finding::strange(format!("not SCRAM: {}", quote(said))))?;
        if challenge.rounds.get() > ROUNDS {
            return Err(unwilling(&format!("{} rounds of hashing: more than {ROUNDS}", challenge.rounds)));
        }
        Ok(challenge)
    }

    fn parse(&self, said: &str) -> Option<Challenge> {
        let mut fields = said.split(',');
        let nonce = fields.next()?.strip_prefix("r=")?;
        let salt = STANDARD.decode(fields.next()?.strip_prefix("s=")?).ok()?;
        let rounds = fields.next()?.strip_prefix("i=")?.parse().ok()?;
        // Ours, and something of its own: an answer to somebody else is none.
        let is_new = nonce.strip_prefix(self.nonce.as_str()).is_some_and(|own| !own.is_empty());
        (is_new && (1..=SALT).contains(&salt.len())).then(|| Challenge {
            said: said.to_owned(),
            nonce: nonce.to_owned(),
            salt,
            rounds,
        })
    }

    /// What is said last, and what must come back.
    pub(super) fn last(&self, challenge: &Challenge, hash: &Hash) -> (String, Expected) {
        let last = format!("c={},r={}", STANDARD.encode(HEADER), challenge.nonce);
        let all = [self.first.as_str(), &challenge.said, &last].join(",").into_bytes();
        let client = mac(hash, b"Client Key");
        let stored = digest::digest(&digest::SHA256, client.as_ref());
        let signature = mac(stored.as_ref(), &all);
        let proof: Vec<_> = client.as_ref().iter().zip(signature.as_ref()).map(|(one, other)| one ^ other).collect();
        let server = hmac::Key::new(hmac::HMAC_SHA256, mac(hash, b"Server Key").as_ref());
        (format!("{last},p={}", STANDARD.encode(proof)), Expected(server, all))
    }
}

/// What a server asks for.
pub(super) struct Challenge {
    said: String,
    nonce: String,
    salt: Vec<u8>,
    rounds: NonZeroU32,
}

impl Challenge {
    /// The password as the server wants it hashed, from memory if that is the same as last time.
    pub(super) async fn hash(&self, whose: (SocketAddr, &str), password: &Secret, deadline: Instant) -> Step<Hash> {
        let whose = (whose.0, whose.1.to_owned());
        let is_it =
            |hashed: &&Hashed| (&hashed.password, &hashed.salt, hashed.rounds) == (password, &self.salt, self.rounds);
        if let Some(hash) = HASHED.with_borrow(|all| all.get(&whose).filter(is_it).map(|hashed| hashed.hash)) {
            return Ok(hash);
        }
        let (password, salt, rounds) = (password.clone(), self.salt.clone(), self.rounds);
        let hashing = async {
            let turn = HASHING.with(Arc::clone).acquire_owned().await.ok()?;
            let hashing = task::spawn_blocking(move || {
                let mut hash = Hash::default();
                let secret = password.reveal().as_bytes();
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, secret, &mut hash);
                drop(turn);
                Hashed { password, salt, rounds, hash }
            });
            hashing.await.ok()
        };
        let Ok(hashed) = timeout_at(deadline, hashing).await else {
            return Err(Finding::new(Code::L7Timeout, format!("hashing the password {rounds} times")));
        };
        // Only a runtime that ends does not hash.
        let hashed = hashed.ok_or_else(|| Finding::new(Code::SocketError, "hashing was given up"))?;
        let hash = hashed.hash;
        HASHED.with_borrow_mut(|all| {
            if all.len() >= REMEMBERED {
                all.clear();
            }
            all.insert(whose, hashed);
        });
        Ok(hash)
    }
}

impl Expected {
    /// Whether the server knows the password too.
    pub(super) fn verify(&self, said: &[u8]) -> Step<()> {
        let Self(key, all) = self;
        let signature = said.strip_prefix(b"v=").and_then(|signature| STANDARD.decode(signature).ok());
        let Some(signature) = signature else { return Err(Finding::strange(format!("not SCRAM: {}", quote(said)))) };
        hmac::verify(key, all, &signature).map_err(|_other| unwilling("whoever answers does not know the password"))
    }
}

/// One that was never used.
pub(super) fn nonce() -> Step<String> {
    let mut bytes = [0; 18];
    // Fixed in tests: canned answers must begin with it.
    if !cfg!(any(test, fuzzing)) {
        rand::fill(&mut bytes).map_err(|_unspecified| Finding::new(Code::SocketError, "no random number"))?;
    }
    Ok(STANDARD.encode(bytes))
}

fn mac(key: &[u8], bytes: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5432);

    /// The example of RFC 7677.
    #[test]
    fn a_login_is_as_in_the_rfc() {
        let scram = Scram::new("user", "rOprNGfwEbeRWgbNEkqO".to_owned());
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge = scram.challenge(SERVER_FIRST.as_bytes()).unwrap();
        let hash = run(async { challenge.hash((SERVER, "user"), &Secret::new("pencil"), soon()).await }).unwrap();
        let (last, expected) = scram.last(&challenge, &hash);
        assert_eq!(
            last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(expected.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(()));
        let other = expected.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=");
        assert_eq!(other.unwrap_err().code, Code::L7Response, "bits that nobody reads are set");
        let other = expected.verify(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert_eq!(other.unwrap_err().detail, "whoever answers does not know the password");
        assert_eq!(expected.verify(b"e=invalid-proof").unwrap_err().code, Code::L7Response);
    }

    #[test]
    fn a_password_is_hashed_once_for_a_server() {
        let hash = |user: &str, password: &str, salt: &str, rounds: u32| {
            let scram = Scram::new("", "n".to_owned());
            let said = format!("r=nm,s={},i={rounds}", STANDARD.encode(salt));
            let challenge = scram.challenge(said.as_bytes()).unwrap();
            run(async { challenge.hash((SERVER, user), &Secret::new(password), soon()).await }).unwrap()
        };
        let first = hash("app", "one", "salt", 1000);
        HASHED.with_borrow_mut(|all| {
            let kept = all.get_mut(&(SERVER, "app".to_owned())).unwrap();
            assert_eq!(kept.hash, first);
            kept.hash = [7; 32];
        });
        assert_eq!(hash("app", "one", "salt", 1000), [7; 32], "it was hashed again");
        for (user, password, salt, rounds) in
            [("app", "two", "salt", 1000), ("app", "one", "tlas", 1000), ("app", "one", "salt", 1001)]
        {
            assert_ne!(hash(user, password, salt, rounds), [7; 32], "{password} {salt} {rounds}");
        }
        assert_eq!(hash("other", "one", "salt", 1000), first);
        assert_eq!(hash("app", "one", "salt", 1000), first);
    }

    #[test]
    fn a_server_cannot_ask_for_more_than_is_bounded_nor_repeat_what_it_heard() {
        let scram = Scram::new("", "nonce".to_owned());
        let code = |said: &str| scram.challenge(said.as_bytes()).err().map(|found| found.code);
        assert_eq!(code("r=nonce+,s=c2FsdA==,i=1"), None);
        assert_eq!(code("r=nonce+,s=c2FsdA==,i=1000000,x=later"), None);
        assert_eq!(code("r=nonce+,s=c2FsdA==,i=1000001"), Some(Code::L7Status));
        let long = format!("r=nonce+,s={},i=1", STANDARD.encode([0; SALT + 1]));
        let strange = [
            "",
            "r=nonce,s=c2FsdA==,i=1",
            "r=other+,s=c2FsdA==,i=1",
            "r=nonce+,s=c2FsdA==,i=0",
            "r=nonce+,s=c2FsdA==,i=-1",
            "r=nonce+,s=c2FsdA==,i=99999999999",
            "r=nonce+,s=,i=1",
            "r=nonce+,s=?,i=1",
            "r=nonce+",
            &long,
        ];
        for said in strange {
            assert_eq!(code(said), Some(Code::L7Response), "{said}");
        }
    }
}
