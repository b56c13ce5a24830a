//! Keys of session tickets. They outlive a reload, and the process if another binary takes over, so that clients resume after it;
//! and they are of one demand for client certificates each, because whoever resumes is not asked for a certificate again.
//!
//! A ticket is the name of a key, a nonce, and what AES-256-GCM makes of the session. Every six hours another key takes over, and
//! the one before still opens tickets for as long. rustls has the like, but gives its keys to nobody.

use crate::model::{Clients, Pem};
use arc_swap::ArcSwap;
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    digest::{self, SHA256},
};
use rustls::server::ProducesTickets;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
    time::{Duration, UNIX_EPOCH},
};

/// How long a key makes tickets, and then opens them.
const PERIOD: Duration = Duration::from_hours(6);
/// What clients are told: a ticket may be good for as long.
const LIFETIME: u32 = 12 * 60 * 60;
/// Bytes of the name of a key.
const NAME: usize = 16;

/// A demand for client certificates, digested: whom one believes, and whom no more. Another list of revoked certificates is
/// another demand: a session from before must not get past it.
type Demand = [u8; 32];

/// The keys in use; those that no bind uses any more go with the configuration that did.
static KEYS: LazyLock<Mutex<HashMap<Demand, Weak<Ticketer>>>> = LazyLock::new(Mutex::default);
/// Those of the process before, until a configuration is taken up: one that is refused takes none of them away.
static RECALLED: LazyLock<Mutex<HashMap<Demand, Kept>>> = LazyLock::new(Mutex::default);

/// The keys of a demand, for another process.
#[derive(Clone, Deserialize, Serialize)]
pub struct Kept {
    demand: Demand,
    period: u64,
    /// Name and secret of the one that makes tickets, and of the one before.
    keys: Vec<([u8; NAME], [u8; 32])>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("period", &self.period).finish_non_exhaustive()
    }
}

/// All keys in use.
pub(crate) fn kept() -> Vec<Kept> {
    let keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    keys.iter().filter_map(|(demand, keys)| Some(keys.upgrade()?.kept(*demand))).collect()
}

/// Goes on with these; to be told before a configuration is taken up.
pub(crate) fn recall(kept: Vec<Kept>) {
    let mut recalled = RECALLED.lock().unwrap_or_else(PoisonError::into_inner);
    recalled.extend(kept.into_iter().map(|kept| (kept.demand, kept)));
}

/// A configuration was taken up: whoever needs keys of the process before has them.
pub(crate) fn taken_up() {
    RECALLED.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// The keys for such clients. `None`: no randomness for them.
pub(super) fn ticketer(clients: Option<&Clients>) -> Option<Arc<dyn ProducesTickets>> {
    let demand = demand(clients);
    let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    keys.retain(|_, keys| keys.strong_count() > 0);
    if let Some(ticketer) = keys.get(&demand).and_then(Weak::upgrade) {
        return Some(ticketer);
    }
    let known = RECALLED.lock().unwrap_or_else(PoisonError::into_inner).get(&demand).and_then(Keys::recalled);
    let ticketer = Arc::new(Ticketer::new(known.or_else(|| Keys::new(period(), None))?));
    keys.insert(demand, Arc::downgrade(&ticketer));
    Some(ticketer)
}

fn demand(clients: Option<&Clients>) -> Demand {
    let mut context = digest::Context::new(&SHA256);
    let mut add = |files: &[Pem]| {
        context.update(&files.len().to_le_bytes());
        for Pem { pem, .. } in files {
            context.update(&pem.len().to_le_bytes());
            context.update(pem.as_bytes());
        }
    };
    if let Some(Clients { authorities, revoked, required }) = clients {
        add(authorities);
        add(revoked);
        context.update(&[u8::from(*required)]);
    }
    context.finish().as_ref().try_into().unwrap_or_default()
}

/// Which one now is.
fn period() -> u64 {
    UNIX_EPOCH.elapsed().unwrap_or_default().as_secs() / PERIOD.as_secs()
}

#[derive(Debug)]
struct Ticketer {
    keys: ArcSwap<Keys>,
    turning: Mutex<()>,
}

#[derive(Debug)]
struct Keys {
    /// Since when they are.
    period: u64,
    now: Arc<Key>,
    before: Option<Arc<Key>>,
}

struct Key {
    name: [u8; NAME],
    secret: [u8; 32],
    cipher: RandomizedNonceKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    fn random() -> Option<Arc<Self>> {
        let (mut name, mut secret) = ([0; NAME], [0; 32]);
        aws_lc_rs::rand::fill(&mut name).ok()?;
        aws_lc_rs::rand::fill(&mut secret).ok()?;
        Self::of(name, secret)
    }

    fn of(name: [u8; NAME], secret: [u8; 32]) -> Option<Arc<Self>> {
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &secret).ok()?;
        Some(Arc::new(Self { name, secret, cipher }))
    }

    fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = plain.to_vec();
        let nonce = self.cipher.seal_in_place_append_tag(Aad::from(&self.name), &mut sealed).ok()?;
        Some([&self.name, nonce.as_ref().as_slice(), &sealed].concat())
    }

    fn open(&self, nonce: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut plain = sealed.to_vec();
        let length = self.cipher.open_in_place(nonce, Aad::from(&self.name), &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

impl Keys {
    fn new(period: u64, before: Option<Arc<Key>>) -> Option<Self> {
        Some(Self { period, now: Key::random()?, before })
    }

    fn recalled(kept: &Kept) -> Option<Self> {
        let mut keys = kept.keys.iter().filter_map(|(name, secret)| Key::of(*name, *secret));
        Some(Self { period: kept.period, now: keys.next()?, before: keys.next() })
    }
}

impl Ticketer {
    fn new(keys: Keys) -> Self {
        Self { keys: ArcSwap::from_pointee(keys), turning: Mutex::default() }
    }

    /// The keys of a period, or of a later one where the clock was set back.
    fn keys_of(&self, period: u64) -> Arc<Keys> {
        let keys = self.keys.load_full();
        if keys.period >= period {
            return keys;
        }
        let _turning = self.turning.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = self.keys.load_full();
        if keys.period >= period {
            return keys;
        }
        // Older ones than that of the period before open nothing any more.
        let before = (keys.period + 1 == period).then(|| Arc::clone(&keys.now));
        let Some(next) = Keys::new(period, before).map(Arc::new) else { return keys };
        self.keys.store(Arc::clone(&next));
        next
    }

    fn kept(&self, demand: Demand) -> Kept {
        let keys = self.keys.load();
        let all = std::iter::once(&keys.now).chain(&keys.before);
        Kept { demand, period: keys.period, keys: all.map(|key| (key.name, key.secret)).collect() }
    }

    fn open(&self, ticket: &[u8], period: u64) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(NAME)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let keys = self.keys_of(period);
        let mut all = std::iter::once(&keys.now).chain(&keys.before);
        all.find(|key| key.name == name)?.open(nonce, sealed)
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys_of(period()).now.seal(plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(ticket, period())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticketer_of(period: u64) -> Ticketer {
        Ticketer::new(Keys::new(period, None).expect("keys"))
    }

    #[test]
    fn a_ticket_is_opened_for_two_periods_and_by_the_next_process() {
        let first = ticketer_of(10);
        let ticket = first.keys_of(10).now.seal(b"session").expect("a ticket");
        let text = serde_json::to_string(&first.kept([7; 32])).expect("text");
        let kept: Kept = serde_json::from_str(&text).expect("what was written");
        assert!(!format!("{kept:?}").contains("keys"), "secrets are not for logs");
        for ticketer in [first, Ticketer::new(Keys::recalled(&kept).expect("keys"))] {
            for (period, opens) in [(10, true), (11, true), (9, true), (12, false)] {
                let opened = ticketer.open(&ticket, period);
                assert_eq!(opened.as_deref(), opens.then_some(&b"session"[..]), "{period}");
            }
        }
    }

    #[test]
    fn keys_of_the_process_before_stay_until_a_configuration_is_taken_up() {
        let pem = |pem: &str| Pem { pem: pem.into(), path: "revoked".into() };
        let clients = Clients { authorities: Vec::new(), revoked: vec![pem("of this test")], required: true };
        let kept = ticketer_of(period()).kept(demand(Some(&clients)));
        let ticket = Keys::recalled(&kept).expect("keys").now.seal(b"session").expect("a ticket");
        recall(vec![kept]);
        let opens = || ticketer(Some(&clients)).expect("keys").decrypt(&ticket).is_some();
        assert!(opens(), "a configuration is prepared, and refused");
        assert!(opens(), "the next one");
        taken_up();
        assert!(!opens(), "nobody uses them any more");
    }

    #[test]
    fn who_slept_for_several_periods_begins_anew() {
        let ticketer = ticketer_of(10);
        let ticket = ticketer.keys_of(10).now.seal(b"session").expect("a ticket");
        assert_eq!(ticketer.open(&ticket, 12), None);
        assert!(ticketer.keys.load().before.is_none());
    }

    #[test]
    fn what_was_changed_or_cut_is_no_ticket() {
        let ticketer = ticketer_of(10);
        let ticket = ticketer.keys_of(10).now.seal(b"session").expect("a ticket");
        assert_ne!(ticketer.keys_of(10).now.seal(b"session").as_ref(), Some(&ticket), "the same nonce twice");
        for index in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[index] ^= 1;
            assert_eq!(ticketer.open(&changed, 10), None, "{index}");
            assert_eq!(ticketer.open(&ticket[..index], 10), None, "{index}");
        }
        assert_eq!(ticketer_of(10).open(&ticket, 10), None, "of another process");
    }
}
