//! Keys of session tickets. They outlive a reload, so that clients resume after it; and they are of one demand for client
//! certificates each, because whoever resumes is not asked for a certificate again.

use crate::model::{Clients, Pem};
use rustls::{crypto::aws_lc_rs, server::ProducesTickets};
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};

/// A demand for client certificates: whom one believes, and whom no more. Another list of revoked certificates is another
/// demand: a session from before must not get past it.
type Demand = Option<(Vec<Pem>, Vec<Pem>, bool)>;

/// The keys in use; those that no bind uses any more go with the configuration that did.
static KEYS: LazyLock<Mutex<HashMap<Demand, Weak<dyn ProducesTickets>>>> = LazyLock::new(Mutex::default);

/// The keys for such clients. `None`: no randomness for them.
pub(super) fn ticketer(clients: Option<&Clients>) -> Option<Arc<dyn ProducesTickets>> {
    let demand = clients.map(|clients| (clients.authorities.clone(), clients.revoked.clone(), clients.required));
    let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    keys.retain(|_, keys| keys.strong_count() > 0);
    if let Some(ticketer) = keys.get(&demand).and_then(Weak::upgrade) {
        return Some(ticketer);
    }
    let ticketer = aws_lc_rs::Ticketer::new().ok()?;
    keys.insert(demand, Arc::downgrade(&ticketer));
    Some(ticketer)
}
