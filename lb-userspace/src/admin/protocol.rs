//! What the command line asks over the control socket: one line of JSON each way, one request a connection.

use super::runtime::command::find;
use crate::{
    channel::message::Part,
    events::Event,
    model::Secret,
    servers::{Admin, Weight},
};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// Longest request in bytes.
pub const REQUEST_LIMIT: usize = 64 << 10;

/// A verb and its arguments.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "verb", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// How things stand; answered by a [`Status`](super::status::Status).
    Status,
    /// Whether the daemon is ready for these frontends, or for all if none is named; answered by a
    /// [`Ready`](super::ready::Ready).
    Ready {
        /// Their names.
        frontends: Vec<String>,
    },
    /// Everything that is counted; answered by the text that a scraper reads.
    Metrics,
    /// The last events; answered by [`Events`].
    Events {
        /// Only those after that number. Of a number that there was not yet, all.
        after: u64,
        /// At most so many.
        most: usize,
    },
    /// Read the configuration again, or only a part of what it names; answered by a
    /// [`ReloadReport`](crate::channel::message::ReloadReport).
    Reload {
        /// `None`: all of it.
        #[serde(default)]
        only: Option<Part>,
    },
    /// Have another binary take over; answered by an [`UpgradeReport`](crate::channel::message::UpgradeReport).
    Upgrade {
        /// Which; absolute. `None`: what is now where the running one was started from.
        binary: Option<PathBuf>,
        /// Go on where flows cannot be carried into maps of another schema.
        drop_flows: bool,
    },
    /// The configuration that runs; answered by an [`Outline`](crate::config::outline::Outline).
    Outline,
    /// Read the configuration again, but go back to what was confirmed last unless it is confirmed in time; answered by a
    /// [`ReloadReport`](crate::channel::message::ReloadReport).
    Try {
        /// From the moment when it has been taken up.
        within: Duration,
    },
    /// What is on trial works; answered by a sentence.
    Confirm,
    /// Change the administrative state of a server; answered by a sentence.
    Server {
        /// The backend's name.
        backend: String,
        /// The server's name.
        server: String,
        /// What the operator wants.
        admin: Admin,
    },
    /// Give a server another weight; answered by a sentence.
    Weight {
        /// The backend's name.
        backend: String,
        /// The server's name.
        server: String,
        /// In place of the configured one.
        weight: Weight,
    },
    /// A command of the [runtime API](super::runtime); answered by what it answers, which is JSON if one of the words is `json`.
    Runtime {
        /// Its words.
        words: Vec<String>,
        /// The lines that came behind them. A private key may be among them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payload: Option<Secret>,
    },
}

impl Request {
    /// Whether only the owner of the daemon may ask this: because it changes something, or tells of the configuration.
    pub fn changes_something(&self) -> bool {
        match self {
            Self::Status | Self::Ready { .. } | Self::Metrics | Self::Events { .. } => false,
            Self::Runtime { words, .. } => find(words).is_some_and(|(verb, _)| verb.changes_something()),
            Self::Outline
            | Self::Reload { .. }
            | Self::Try { .. }
            | Self::Confirm
            | Self::Upgrade { .. }
            | Self::Server { .. }
            | Self::Weight { .. } => true,
        }
    }
}

/// The last events.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Events {
    /// Oldest first.
    pub events: Vec<Event>,
    /// The number of the newest that there is.
    pub newest: u64,
}

/// How an answer to what is no request of this version begins.
pub const NO_REQUEST: &str = "not a request";

/// The answer to a [`Request`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// What was asked for.
    Ok(serde_json::Value),
    /// Why not.
    Error(String),
}

impl Answer {
    /// Text that is JSON as what it says.
    #[must_use]
    pub fn parsed(self) -> Self {
        match self {
            Self::Ok(serde_json::Value::String(text)) => {
                Self::Ok(serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text)))
            }
            other @ (Self::Ok(_) | Self::Error(_)) => other,
        }
    }
}
