//! What supervisor and worker say to each other. Descriptors travel beside a message, in the order named here.

use crate::events::Event;
use crate::model::Level;
use lb_common::RingId;
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// From the supervisor, which has the rights, to the worker, which has none.
#[derive(Debug, Deserialize, Serialize)]
pub enum ToWorker {
    /// The planner's maps and the counters; descriptors: as named.
    Maps(Vec<String>),
    /// The right to write those maps, which nobody else has while this is open; one descriptor.
    Writing,
    /// The kernel half goes: all of it that was given is let go of. Comes while a configuration runs, or is about to run, that
    /// does without.
    DropKernel,
    /// The two halves of a ring; one descriptor.
    RingMap {
        /// Which.
        ring: RingId,
    },
    /// Listening sockets of an address; descriptors: one a thread, in the order of the threads. Where they do not fit one
    /// message, the next one goes on.
    Listeners {
        /// Where they listen.
        address: SocketAddr,
    },
    /// Files of access logs, opened to append to; descriptors: one a file, in the order of the paths. Where they do not fit
    /// one message, the next one goes on.
    LogFiles {
        /// Which.
        paths: Vec<PathBuf>,
        /// They were opened again: lines go on in these at once. Otherwise they are for the configuration that comes next.
        again: bool,
    },
    /// The control socket or a stats socket, listening; one descriptor.
    ControlSocket {
        /// The user that started the daemon, who may change things beside root.
        owner: u32,
        /// What the others may who can connect.
        others: Level,
    },
    /// The metrics socket, listening; one descriptor.
    MetricsSocket,
    /// The socket of a statistics page, listening; one descriptor.
    PageSocket {
        /// Where it listens.
        address: SocketAddr,
    },
    /// A line to the [runner](crate::runner), for programs that check servers; one descriptor. Another one takes the place
    /// of the one before.
    Runner,
    /// Run with this configuration; all it needs was sent before. Answered by [`ToSupervisor::Configured`]. Descriptor:
    /// a memory file with the [`Bundle`](crate::config::Bundle).
    Configure {
        /// Counts the configurations of the supervisor, from 1.
        generation: u64,
        /// The supervisor's process, for status reports.
        supervisor: u32,
        /// How the kernel half runs, for status reports.
        interfaces: Vec<Interface>,
    },
    /// How the kernel half runs has changed, for status reports.
    Interfaces(Vec<Interface>),
    /// Rows of `NEXT_HOPS` for the addresses asked for by the [`ToSupervisor::Watch`] of that number; descriptor: a memory file with a
    /// [`NextHops`](crate::plan::desired::NextHops).
    NextHops {
        /// That of the question.
        number: u64,
    },
    /// What the worker before this one has handed over by [`ToSupervisor::Addresses`]; descriptor: that memory file. Comes before
    /// the first configuration.
    Addresses,
    /// How a reload that was asked for by [`ToSupervisor::Reload`] ended; descriptor: a memory file with a
    /// [`ReloadReport`].
    Reloaded,
    /// Say that you live, by [`ToSupervisor::Pong`].
    Ping {
        /// For the answer.
        number: u64,
        /// Servers are to be counted: somebody reads the numbers.
        count: bool,
    },
    /// What the worker of another binary knew; descriptor: what that has sent by [`ToSupervisor::Held`]. Comes before the first
    /// configuration.
    State,
    /// Judge and write nothing from now on, until the next configuration: another binary is about to take over. Answered by
    /// [`ToSupervisor::Held`].
    Hold,
    /// How an upgrade that was asked for by [`ToSupervisor::Upgrade`] ended; descriptor: a memory file with a
    /// [`UpgradeReport`].
    Upgraded,
    /// The answer to a [`ToSupervisor::Confirm`].
    Confirmed {
        /// Whether there was anything to confirm.
        was_on_trial: bool,
    },
    /// The supervisor has noted this.
    Event {
        /// What.
        event: Event,
        /// A worker before this one was told, and has written it.
        again: bool,
    },
    /// Drain and exit.
    Stop {
        /// Connections that are then still open are cut.
        within: Duration,
    },
    /// Drain and exit, and accept nothing any more: the worker of another binary has the same sockets. Descriptor: a memory file
    /// with the addresses that it does not have; what waits there is accepted.
    Retire {
        /// Connections that are then still open are cut. `None`: never.
        within: Option<Duration>,
    },
}

/// From the worker to the supervisor. The supervisor does nothing for the worker beyond these.
#[derive(Debug, Deserialize, Serialize)]
pub enum ToSupervisor {
    /// The end of a [`ToWorker::Configure`].
    Configured {
        /// Which.
        generation: u64,
        /// Why not, if not; then the configuration before it goes on.
        error: Option<String>,
    },
    /// Keep next hops for exactly these addresses; descriptor: a memory file with a list of them.
    Watch {
        /// For the answer, [`ToWorker::NextHops`].
        number: u64,
    },
    /// Make the maps of these rings; answered by a [`ToWorker::RingMap`] each.
    CreateRings(Vec<RingId>),
    /// Keep this for the worker that comes after this one, unread; descriptor: a memory file with the addresses that servers
    /// which are known by their names have.
    Addresses,
    /// The answer to a [`ToWorker::Ping`]: the worker's loop turns.
    Pong {
        /// That of the question.
        number: u64,
        /// Servers that can serve, if they are counted.
        up: usize,
        /// All servers, if they are counted.
        servers: usize,
    },
    /// Read the configuration again, or only a part of what it names; answered by one [`ToWorker::Reloaded`], in the order of
    /// asking.
    Reload {
        /// `None`: all of it.
        only: Option<Part>,
    },
    /// Read all of the configuration again, but go back to what was confirmed last unless a [`Confirm`](Self::Confirm) comes in
    /// time; answered as a [`Reload`](Self::Reload).
    Try {
        /// From the moment when it has been taken up.
        within: Duration,
    },
    /// What is on trial works; answered by one [`ToWorker::Confirmed`], in the order of asking.
    Confirm,
    /// Have another binary take over; answered by one [`ToWorker::Upgraded`], in the order of asking.
    Upgrade {
        /// Which. `None`: what is now where the running one was started from.
        binary: Option<PathBuf>,
        /// Go on where flows cannot be carried into maps of another schema.
        drop_flows: bool,
    },
    /// Nothing is judged or written any more. Descriptor: a memory file with the [`State`](crate::worker::state::State).
    Held,
}

/// What can be read again without the configuration itself.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Certificates with their keys and staples, authorities, revocation lists
    Certificates,
    /// What ACLs, maps, answers and error pages are read from
    Files,
}

/// How the kernel half runs on an interface.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// `native` or `generic`; `none` while it cannot run there.
    pub mode: String,
    /// Whether the program of a daemon before us was found and taken over.
    pub adopted: bool,
    /// Why `none`: the interface is gone, or someone else's program came before ours.
    pub error: Option<String>,
}

/// How an upgrade ended.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct UpgradeReport {
    /// Whether the other binary has taken over.
    pub done: bool,
    /// Errors, or warnings, as the operator should read them.
    pub report: String,
    /// No upgrade leads from the one to the other: their protocols differ.
    #[serde(default)]
    pub never: bool,
}

/// How a reload ended.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ReloadReport {
    /// Whether the new configuration runs.
    pub done: bool,
    /// Errors, or warnings, as the operator should read them.
    pub report: String,
}
