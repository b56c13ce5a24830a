//! Scenarios on a real network of namespaces, with the real daemon. Each lays out a lab of its own.
//!
//! Most measure time and fill this computer's cores, and run alone; those that wait more than they work run beside each other
//! ([`lb_tests::turn`]): `cargo test -p lb-tests --features network --test network -- --test-threads=2 --nocapture`.
//! With `SLUICE_LONG=1` those that have a long form run it: more changes of rings, longer floods, both families.
#![expect(clippy::print_stdout, reason = "measured times are part of the result")]

mod scene;
mod terminal;

mod lab;
mod wires;
mod direct;
mod nat;
mod forwards;
mod two_vips;
mod fragments;
mod path_mtu;
mod ping;
mod explained;
mod preflight;
mod ftp;
mod vlan;
mod neighbour;
mod backup;
mod bench;
mod failover;
mod fallback;
mod flapping;
mod marked_down;
mod refused;
mod observe;
mod told;
mod changes;
mod drained;
mod edited;
mod agents;
mod flood;
mod reload;
mod reloads;
mod removed;
mod planned;
mod bad_configs;
mod trial;
mod stalls;
mod exhaustion;
mod clocks;
mod restart;
mod upgrade;
mod crash;
mod device;
mod stop;
mod capabilities;
mod package;
mod privileges;
mod verbs;
mod certificates;
mod names;
mod control;
mod runtime_api;
mod stats_page;
mod top;
mod exec;
mod access_log;
mod examples;
mod guides;
mod imported;
mod keepalived;
mod quorum;
mod databases;
mod checks_sql;
mod checks_words;
mod http2;
mod checks_web;
mod transfers;
mod timing;
mod many;
