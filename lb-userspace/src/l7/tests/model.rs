//! Models for tests.

use crate::model::log::Logging;
use crate::model::{
    Affinity, Backend, Balance, Bind, BindTls, Frontend, FrontendKind, Global, HeaderCase, HttpFrontend, Limits, Model,
    OnStop, Ports, Pressure, Server, Track,
};
use lb_common::{Forward, Protocol};
use std::{net::SocketAddr, time::Duration};

const LONG: Duration = Duration::from_secs(20);

pub(crate) fn model(frontends: Vec<Frontend>, backends: Vec<Backend>) -> Model {
    let global = Global {
        interfaces: vec![],
        hash_key: [0, 0],
        user: None,
        control_socket: "/nowhere".into(),
        pin_dir: "/nowhere".into(),
        threads: 2,
        on_stop: OnStop::Detach,
        stop_timeout: LONG,
        metrics: None,
        flow_timeout_tcp: Duration::from_hours(1),
        flow_timeout_udp: Duration::from_mins(3),
        track_budget: 20_000,
    };
    Model { global, frontends, backends }
}

pub(crate) fn backend(name: &str, addresses: impl IntoIterator<Item = SocketAddr>) -> Backend {
    let server = |(index, address)| Server {
        name: format!("s{index}"),
        address,
        keeps_port: false,
        weight: 1,
        backup: false,
        cookie: None,
        limits: Limits::default(),
        slowstart: None,
        tls: None,
    };
    Backend {
        name: name.into(),
        balance: Balance::RoundRobin,
        forward: Forward::Direct,
        cookie: None,
        pressure: Pressure::default(),
        check: None,
        servers: addresses.into_iter().enumerate().map(server).collect(),
        gue_port: 6_080,
        sources: Vec::new(),
        affinity: Affinity::None,
        proto: crate::model::Proto::Http1,
        track: Track::Auto,
        transition: Duration::from_mins(5),
        timeout_connect: LONG,
        timeout_server: LONG,
        timeout_tunnel: None,
        send_proxy: None,
    }
}

pub(crate) fn http_frontend() -> HttpFrontend {
    HttpFrontend {
        rules: crate::model::Rules::default(),
        monitor: None,
        default_backend: Some(0),
        forwarded_for: true,
        abort_on_close: true,
        header_case: HeaderCase::Lower,
        timeout_request: LONG,
        timeout_keep_alive: LONG,
    }
}

pub(crate) fn frontend(name: &str, address: SocketAddr, kind: FrontendKind) -> Frontend {
    let bind = Bind {
        address,
        ports: Ports::One(address.port()),
        protocol: Protocol::Tcp,
        accept_proxy: vec![],
        certificates: vec![],
        tls: BindTls::default(),
    };
    Frontend { name: name.into(), binds: vec![bind], kind, log: Logging::default(), timeout_client: LONG }
}
