//! Small models for the tests of the planner and the registry.

use crate::model::{
    Affinity, Backend, Balance, Bind, BindTls, Check, Frontend, FrontendKind, Global, L4Frontend, Limits, Model,
    OnStop, Ports, Pressure, Resolvers, Server, Track,
};
use lb_common::{Forward, Protocol};
use std::{net::SocketAddr, time::Duration};

pub(crate) fn server(name: &str, address: &str) -> Server {
    Server {
        name: name.to_owned(),
        address: address.parse().unwrap(),
        host: None,
        keeps_port: false,
        weight: 1,
        backup: false,
        cookie: None,
        limits: Limits::default(),
        keeping: crate::model::Keeping::default(),
        slowstart: None,
        agent: None,
        tls: None,
        track: None,
    }
}

/// Servers `web1` to `web{count}`, at addresses of their own.
pub(crate) fn servers(count: usize) -> Vec<Server> {
    (1..=count).map(|n| server(&format!("web{n}"), &format!("10.1.{}.{}:8080", n / 256, n % 256))).collect()
}

/// A `direct` backend with a check.
pub(crate) fn backend(name: &str, servers: Vec<Server>) -> Backend {
    Backend {
        name: name.to_owned(),
        balance: Balance::Maglev,
        forward: Forward::Direct,
        rules: crate::model::Rules::default(),
        cookie: None,
        pressure: Pressure::default(),
        check: Some(Check::default()),
        servers,
        allbackups: false,
        failover: crate::model::Failover::default(),
        gue_port: 6_080,
        sources: Vec::new(),
        affinity: Affinity::None,
        proto: crate::model::Proto::Http1,
        track: Track::Auto,
        transition: Duration::from_mins(5),
        drain_timeout: Duration::from_hours(1),
        timeout_connect: Duration::from_secs(5),
        timeout_server: Duration::from_mins(1),
        timeout_tunnel: None,
        timeout_server_fin: None,
        reuse: crate::model::Reuse::Safe,
        errors: crate::model::ErrorFiles::default(),
        send_proxy: None,
    }
}

pub(crate) fn bind(address: &str, protocol: Protocol) -> Bind {
    let address: SocketAddr = address.parse().unwrap();
    Bind {
        address,
        ports: Ports::One(address.port()),
        protocol,
        accept_proxy: Vec::new(),
        certificates: Vec::new(),
        tls: BindTls::default(),
    }
}

/// A model of these backends; each pair is an `l4` frontend of one bind and the name of its backend.
pub(crate) fn model(mut backends: Vec<Backend>, frontends: Vec<(Bind, &str)>) -> Model {
    backends.sort_by(|a, b| a.name.cmp(&b.name));
    let frontend = |(number, (bind, name)): (usize, (Bind, &str))| Frontend {
        name: format!("frontend{number}"),
        binds: vec![bind],
        kind: FrontendKind::L4(L4Frontend::of(backends.iter().position(|backend| backend.name == name).unwrap())),
        admission: Vec::new(),
        log: crate::model::log::Logging::default(),
        timeout_client: Duration::from_mins(1),
        timeout_client_fin: None,
        drain_timeout: Duration::from_hours(1),
        maxconn: 0,
        errors: crate::model::ErrorFiles::default(),
        quorum: crate::model::Quorum::default(),
    };
    let frontends = frontends.into_iter().enumerate().map(frontend).collect();
    let global = Global {
        interfaces: vec!["eth0".to_owned()],
        hash_key: [0, 0],
        user: None,
        exec_checks: false,
        exec_user: None,
        control_socket: "/run/sluice/sluice.sock".into(),
        stats_sockets: Vec::new(),
        stats_pages: Vec::new(),
        pin_dir: "/sys/fs/bpf/sluice".into(),
        threads: 1,
        max_connections: None,
        max_memory: None,
        on_stop: OnStop::Detach,
        stop_timeout: Duration::from_secs(30),
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
