//! The command line: what was typed, and which verb does it. Verbs use the control socket or the pins, nothing else.

mod check;
mod client;
mod colour;
mod detach;
mod events;
mod explain;
mod flows;
mod import;
mod manual;
mod maps;
mod packet;
mod plan;
mod preflight;
mod ready;
mod ring;
mod run;
mod schema;
mod server;
mod status;
mod top;
mod upgrade;

use crate::{
    admin::{explain::frame::Flags, flows::Filter},
    channel::message::Part,
    config::{Diagnostics, Format, units},
    exit,
    l7::explain::Question,
    servers::{Admin, Weight},
};
use check::Manner;
use clap::{Args, Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
#[cfg(test)]
pub(crate) use manual::visible;
use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

/// A load balancer with an XDP half in the kernel and a TLS and HTTP half in userspace.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the daemon until it is told to stop (SIGTERM, SIGINT); SIGHUP reloads, SIGUSR2 upgrades
    Run {
        #[command(flatten)]
        config: Config,
        /// Run the part that faces the network as a thread, with all rights: for development
        #[arg(long)]
        single_process: bool,
        /// Take over from the daemon at the other end of standard input
        #[arg(long, hide = true)]
        take_over: bool,
        /// Undo everything and end with exit status 3, unless `sluice confirm` comes within this time after the start
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        confirm: Option<Duration>,
    },
    /// Check a configuration and show all its errors at once
    Check {
        #[command(flatten)]
        config: Config,
        /// One line an error, for editors: file:line:column: message
        #[arg(long, conflicts_with = "json")]
        short: bool,
        /// Print JSON: what was found, with its places
        #[arg(long)]
        json: bool,
        /// Say also what it asks of this machine's network, and how that falls short
        #[arg(long)]
        host: bool,
    },
    /// Say what a configuration asks of this machine, and how that falls short: one line each, with the command that mends it
    ///
    /// Interfaces, addresses, routes and MTU; what cards do by themselves (LRO, GRO, VLAN tags), their queues; rp_filter, forwarding
    /// and the compiler of BPF programs. To be asked on the machine, in the network namespace, that the daemon will run in.
    ///
    /// Exit status: 0: nothing, or only notes; 1: at least one warning, or it cannot be found out; 2: the command line is wrong.
    Preflight {
        #[command(flatten)]
        config: Config,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Explain what becomes of a request, or of a packet
    ///
    /// Of a request: every rule that it comes to, what each ACL sees, and which server it goes to, by the configuration on disk.
    /// Servers are taken to stand as the daemon says, if one answers; otherwise all take traffic.
    ///
    /// Of a packet (--packet, --pcap, --hex): VIP, slot, flow, server, next hop, verdict, the reason if it stops, and what changes
    /// in it. It is run, by BPF_PROG_TEST_RUN, through a copy of the program that the daemon has attached: with the maps as they
    /// are, and none of them is changed; what a CPU may still do (budgets) is what the one may that this runs on. That takes root,
    /// and a daemon that runs. Packets of a capture meet what those before
    /// them left, as if they came one after the other now.
    ///
    /// Nothing is sent to anybody.
    Explain {
        /// Path and query
        #[arg(value_name = "PATH", default_value = "/")]
        target: String,
        /// The `Host` field
        #[arg(long, value_name = "NAME")]
        host: Option<String>,
        /// Another field, as "Name: value"; as often as wanted
        #[arg(long = "header", value_name = "FIELD", value_parser = explain::parse_field)]
        fields: Vec<(String, String)>,
        /// The method
        #[arg(long, default_value = "GET")]
        method: String,
        /// The client's address, with or without port
        #[arg(long, value_name = "ADDRESS", default_value = "192.0.2.1", value_parser = explain::parse_client)]
        from: SocketAddr,
        /// Where it connects to, with the port; default: where the frontend listens
        #[arg(long, value_name = "ADDRESS")]
        to: Option<SocketAddr>,
        /// By TLS, and asking for this name
        #[arg(long, value_name = "NAME")]
        sni: Option<String>,
        /// Which frontend. Default: the one at `--to`, or the only one of mode `http`
        #[arg(long, value_name = "NAME")]
        frontend: Option<String>,
        #[command(flatten)]
        packets: Box<Packets>,
        #[command(flatten)]
        config: Config,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Make a configuration of HAProxy's one of ours
    ///
    /// It keeps comments and order, and says HAProxy's defaults where ours differ. What cannot be carried over, what changes, and
    /// what is good to know is named with file and line on standard error; what is left out stands in the result as a comment.
    /// `sluice check` takes the result, as far as the files are there that it names.
    Import {
        /// Files of HAProxy's, in the order in which it reads them; `-` is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Where the configuration is written, a file that is not there yet. Default: standard output
        #[arg(long, short = 'o', value_name = "FILE")]
        output: Option<PathBuf>,
        /// Print JSON: the differences, and without --output the configuration
        #[arg(long)]
        json: bool,
    },
    /// Take up the changed configuration, whole or not at all
    Reload {
        /// Only what changed of these files; the text of the configuration is not read again. A bad one is named and refused, the
        /// others are taken up
        #[arg(long, value_enum, value_name = "WHAT", conflicts_with = "confirm")]
        only: Option<Part>,
        /// Go back to the configuration that was confirmed last, unless `sluice confirm` comes within this time
        ///
        /// Another reload meanwhile does not confirm. A daemon that dies meanwhile, and is started again, begins with the
        /// configuration that was confirmed last.
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        confirm: Option<Duration>,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Say that what `run --confirm` or `reload --confirm` has begun works, and stays
    Confirm {
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Have another binary take over, without a connection refused or a packet lost
    ///
    /// It starts with the configuration as it is on disk. If it does not get ready, the running one goes on as before. Connections
    /// that are open stay with the old process, until they end, or for `hard_stop_after`. SIGUSR2 does the same.
    Upgrade {
        /// The new binary: an absolute path. Default: what is now where the running one was started from
        #[arg(long, value_name = "PATH")]
        binary: Option<PathBuf>,
        /// Go on even if the new binary needs other maps into which flows cannot be carried over
        #[arg(long)]
        drop_flows: bool,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Show what a reload would change, without doing it
    ///
    /// Compares a configuration with the one that runs: keys, files, addresses that are listened on, and what the kernel holds.
    /// What is removed is shown with the flows and connections that it has, and how long it may drain.
    Plan {
        #[command(flatten)]
        config: Config,
        /// Exit with 2 if something would change
        #[arg(long)]
        exit_code: bool,
        #[command(flatten)]
        daemon: Daemon,
        #[command(flatten)]
        pins: Pins,
    },
    /// Show how the daemon, its backends and servers stand
    Status {
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Watch rates and states in a terminal, and drain servers or take them out by a key
    ///
    /// It shows a row for each frontend, backend and server: state, weight, check, what came in a second of both halves, and the
    /// shares of rings. `?` says what keys do. Servers are changed as by `sluice server`, after a question. What the kernel half
    /// counts is read from the pins, which takes root.
    ///
    /// Exit status: 0: ended by `q`; 1: there is no daemon, or no terminal; 128 and its number: ended by a signal.
    Top {
        /// Time between two looks
        #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = parse_duration)]
        interval: Duration,
        /// Print rates of one interval, and end; with --json always so
        #[arg(long)]
        once: bool,
        #[command(flatten)]
        daemon: Daemon,
        #[command(flatten)]
        pins: Pins,
    },
    /// Show what has changed and why: servers, reloads, upgrades, the kernel half, and what was asked for
    Events {
        /// At most this many, the last ones
        #[arg(long, value_name = "N", default_value_t = 100)]
        last: usize,
        /// Only of this kind; may be given several times
        #[arg(long = "kind", value_name = "KIND", value_parser = clap::builder::PossibleValuesParser::new(crate::events::KINDS))]
        kinds: Vec<String>,
        /// Go on with those that come
        #[arg(long)]
        follow: bool,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Say whether the daemon is ready to be sent traffic, as a script that keepalived tracks
    ///
    /// It is, once it has confirmed a configuration, its program runs on its interfaces (for `l4` frontends), and each frontend
    /// has the quorum of its default backend, whose servers have been checked.
    Ready {
        /// Only this frontend; may be given several times. Default: all
        #[arg(long = "frontend", value_name = "NAME")]
        frontends: Vec<String>,
        /// Longest wait for the daemon
        #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
        timeout: Duration,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Show what the kernel holds: VIPs, servers, rings, counters, reasons
    Maps {
        #[command(flatten)]
        daemon: Daemon,
        #[command(flatten)]
        pins: Pins,
    },
    /// Show whose the slots of a ring are, and which of them change hands
    Ring {
        /// Only that of this backend
        backend: Option<String>,
        #[command(flatten)]
        daemon: Daemon,
        #[command(flatten)]
        pins: Pins,
    },
    /// Show the flows that the kernel remembers one by one
    Flows {
        /// Only those of this backend
        #[arg(long)]
        backend: Option<String>,
        /// Only those of this server: NAME, BACKEND/NAME or #ROW
        #[arg(long)]
        server: Option<String>,
        /// At most this many, those seen last
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        daemon: Daemon,
        #[command(flatten)]
        pins: Pins,
    },
    /// Change the administrative state of a server, or its weight
    Server {
        /// ready: takes traffic; drain: keeps what it has; maint: takes nothing; weight: takes another share
        #[arg(value_parser = parse_wish)]
        wish: Wish,
        /// Which, as BACKEND/NAME
        server: String,
        /// The weight: a number from 0 to 256, or a part of the configured one, from 0% to 25600%; 100% is that one again. Weight
        /// 0 is like drain
        weight: Option<Weight>,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Remove the program and its maps from the kernel, when no daemon runs
    Detach {
        #[command(flatten)]
        daemon: Daemon,
        #[command(flatten)]
        pins: Pins,
    },
    /// Print the JSON schema of the configuration, by which editors complete and check it
    ///
    /// Even Better TOML and taplo take it by a line at the top of a file: `#:schema /usr/share/sluice/sluice.schema.json`.
    Schema,
    /// Write man pages and completions of shells below a directory, for a package
    #[command(hide = true)]
    Manual {
        /// Where: `man` and `completions` are made there
        directory: PathBuf,
        /// The date of the pages
        #[arg(long, value_name = "YYYY-MM-DD")]
        date: String,
    },
    /// What `run` starts for the part that faces the network
    #[command(hide = true)]
    Worker {
        #[arg(long, requires = "gid")]
        uid: Option<u32>,
        #[arg(long, requires = "uid")]
        gid: Option<u32>,
    },
    /// What `run` starts for programs that check servers
    #[command(hide = true)]
    Runner {
        #[arg(long, requires = "gid")]
        uid: Option<u32>,
        #[arg(long, requires = "uid")]
        gid: Option<u32>,
    },
}

#[derive(Debug, Args)]
struct Config {
    /// The configuration: a file, or a directory of .toml files
    #[arg(long, short = 'f', value_name = "FILE", default_value = "/etc/sluice/sluice.toml")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct Daemon {
    /// The daemon's control socket
    #[arg(long, value_name = "FILE", default_value = "/run/sluice/sluice.sock")]
    socket: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Pins {
    /// Where the daemon pins its maps
    #[arg(long, value_name = "DIRECTORY", default_value = "/sys/fs/bpf/sluice")]
    pins: PathBuf,
}

/// What is asked about in place of a request.
#[derive(Debug, Args)]
struct Packets {
    /// Explain a packet: its protocol (tcp, udp or ping), who sends it, and to whom; addresses with ports, but for ping
    #[arg(
        long,
        num_args = 3,
        value_names = ["PROTOCOL", "FROM", "TO"],
        conflicts_with_all = ["pcap", "hex", "target", "host", "fields", "method", "from", "to", "sni", "frontend"]
    )]
    packet: Option<Vec<String>>,
    /// Explain the packets of a capture (pcap or pcapng; `-`: standard input), or the one of that number
    #[arg(
        long,
        value_name = "FILE[:N]",
        conflicts_with_all = ["hex", "target", "host", "fields", "method", "from", "to", "sni", "frontend"]
    )]
    pcap: Option<String>,
    /// Explain the frame whose bytes stand in a file in hexadecimal (`-`: standard input)
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["target", "host", "fields", "method", "from", "to", "sni", "frontend"]
    )]
    hex: Option<PathBuf>,
    /// Of a packet of TCP: its flags, such as syn, ack, fin+ack, rst
    #[arg(long, value_name = "FLAGS", default_value = "syn", requires = "packet")]
    flags: Flags,
    /// Where packets come in. Default: the only interface that the program is attached to
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    #[command(flatten)]
    pins: Pins,
}

/// What is wanted of a server.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Admin(Admin),
    Weight,
}

fn parse_wish(word: &str) -> Result<Wish, String> {
    match word {
        "ready" => Ok(Wish::Admin(Admin::Ready)),
        "drain" => Ok(Wish::Admin(Admin::Drain)),
        "maint" => Ok(Wish::Admin(Admin::Maint)),
        "weight" => Ok(Wish::Weight),
        _ => Err("one of ready, drain, maint, weight".to_owned()),
    }
}

/// No time at all would be no question.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration =
        units::duration(text).map_err(|error| format!("{error}; a duration is written as \"500ms\" or \"1s\""))?;
    if duration.is_zero() { Err("longer than nothing".to_owned()) } else { Ok(duration) }
}

/// What can be typed. The help of each verb ends with its exit statuses.
fn command() -> Command {
    let described = |verb: Command| {
        let statuses = exit::help(verb.get_name());
        verb.after_help(statuses)
    };
    Arguments::command().mut_subcommands(described)
}

/// Runs what the command line asks for.
pub fn main() -> ExitCode {
    let arguments = Arguments::from_arg_matches(&command().get_matches()).unwrap_or_else(|error| error.exit());
    let done = match arguments.verb {
        Verb::Run { config: Config { config }, single_process, take_over, confirm } => {
            run::run(config, single_process, take_over, confirm)
        }
        Verb::Manual { directory, date } => manual::run(&directory, &date),
        Verb::Worker { uid, gid } => run::worker(uid.zip(gid)),
        Verb::Runner { uid, gid } => run::runner(uid.zip(gid)),
        Verb::Check { config, short, json, host } => check::run(&config.config, Manner { short, json, host }),
        Verb::Schema => schema::run(),
        Verb::Preflight { config, json } => preflight::run(&config.config, json),
        Verb::Explain { packets, daemon, .. } if packets.is_some() => packet::run(&daemon, &packets),
        Verb::Explain { target, host, fields, method, from, to, sni, frontend, packets: _, config, daemon } => {
            let fields = host.map(|host| ("Host".to_owned(), host)).into_iter().chain(fields).collect();
            let question = Question { client: from, destination: to, sni, method, target, fields };
            explain::run(&daemon, &config.config, frontend.as_deref(), &question)
        }
        Verb::Import { files, output, json } => Ok(import::run(&files, output.as_deref(), json)),
        Verb::Reload { only, confirm, daemon } => server::reload(&daemon, only, confirm),
        Verb::Confirm { daemon } => server::confirm(&daemon),
        Verb::Plan { config, exit_code, daemon, pins } => plan::run(&daemon, &config.config, &pins.pins, exit_code),
        Verb::Upgrade { binary, drop_flows, daemon } => upgrade::run(&daemon, binary, drop_flows),
        Verb::Status { daemon } => status::run(&daemon),
        Verb::Top { interval, once, daemon, pins } => top::run(&daemon, &pins.pins, interval, once),
        Verb::Events { last, kinds, follow, daemon } => events::run(&daemon, last, &kinds, follow),
        Verb::Ready { frontends, timeout, daemon } => Ok(ready::run(&daemon, frontends, timeout)),
        Verb::Maps { daemon, pins } => maps::run(&daemon, &pins.pins),
        Verb::Ring { backend, daemon, pins } => ring::run(&daemon, &pins.pins, backend.as_deref()),
        Verb::Flows { backend, server, limit, daemon, pins } => {
            flows::run(&daemon, &pins.pins, &Filter { backend, server }, limit)
        }
        Verb::Server { wish, server, weight, daemon } => server::run(&daemon, &server, wish, weight),
        Verb::Detach { daemon, pins } => detach::run(&daemon, &pins.pins),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            // What is wrong with a configuration has its own layout, which a prefix would break.
            complain(&match error.downcast_ref::<Diagnostics>() {
                Some(diagnostics) => diagnostics.render(format_for_people()),
                None => format!("error: {error:#}"),
            });
            ExitCode::FAILURE
        }
    }
}

/// Prints for the reader of standard output, who may have gone away.
fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn format_for_people() -> Format {
    if colour::is_wanted() { Format::Colour } else { Format::Full }
}

/// Prints for the operator. Standard error that is closed is no reason to fail.
fn complain(text: &str) {
    let text = text.trim_end();
    if !text.is_empty() {
        _ = writeln!(io::stderr(), "{text}");
    }
}
