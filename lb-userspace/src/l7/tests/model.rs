//! Models for tests.

use crate::{
    model::{
        Backend, Balance, Cookie, Frontend, FrontendKind, Global, HeaderCase, HttpFrontend, Model, OnStop, Resolvers,
        Server, cookie::CookieMode, log::Logging,
    },
    plan::testing,
};
use lb_common::Protocol;
use std::{net::SocketAddr, time::Duration};

const LONG: Duration = Duration::from_secs(20);

pub(crate) fn model(frontends: Vec<Frontend>, backends: Vec<Backend>) -> Model {
    let global = Global {
        interfaces: vec![],
        hash_key: [0, 0],
        user: None,
        exec_checks: false,
        exec_user: None,
        control_socket: "/nowhere".into(),
        stats_sockets: Vec::new(),
        stats_pages: Vec::new(),
        pin_dir: "/nowhere".into(),
        threads: 2,
        max_connections: None,
        max_memory: None,
        on_stop: OnStop::Detach,
        stop_timeout: LONG,
        hard_stop_after: None,
        metrics: None,
        metrics_names: vec![crate::model::MetricNames::Sluice],
        event_logs: Vec::new(),
        flow_timeout_tcp: Duration::from_hours(1),
        flow_timeout_udp: Duration::from_mins(3),
        track_budget: 20_000,
        heartbeat_timeout: Duration::from_secs(10),
    };
    Model { global, resolvers: Resolvers::default(), frontends, backends, lists: Vec::new() }
}

pub(crate) fn backend(name: &str, addresses: impl IntoIterator<Item = SocketAddr>) -> Backend {
    let server =
        |(index, address)| Server { name: format!("s{index}"), address, ..testing::server("", "192.0.2.1:80") };
    Backend {
        balance: Balance::RoundRobin,
        check: None,
        timeout_connect: LONG,
        timeout_server: LONG,
        ..testing::backend(name, addresses.into_iter().enumerate().map(server).collect())
    }
}

/// A cookie named `SRV`, with all defaults.
pub(crate) fn cookie(mode: CookieMode) -> Cookie {
    Cookie {
        name: "SRV".into(),
        mode,
        indirect: false,
        nocache: false,
        postonly: false,
        preserve: false,
        maxidle: None,
        maxlife: None,
        attributes: String::new(),
        persist: false,
    }
}

pub(crate) fn http_frontend() -> HttpFrontend {
    HttpFrontend {
        rules: crate::model::Rules::default(),
        routes: Vec::new(),
        monitor: None,
        default_backend: Some(0),
        forwarded_for: true,
        abort_on_close: true,
        header_case: HeaderCase::Lower,
        timeout_request: LONG,
        timeout_keep_alive: LONG,
        timeout_tarpit: None,
    }
}

pub(crate) fn frontend(name: &str, address: SocketAddr, kind: FrontendKind) -> Frontend {
    let bind = testing::bind(&address.to_string(), Protocol::Tcp);
    Frontend {
        name: name.into(),
        binds: vec![bind],
        kind,
        admission: Vec::new(),
        log: Logging::default(),
        timeout_client: LONG,
        timeout_client_fin: None,
        drain_timeout: Duration::from_hours(1),
        maxconn: 0,
        errors: crate::model::ErrorFiles::default(),
        quorum: crate::model::Quorum::default(),
    }
}
