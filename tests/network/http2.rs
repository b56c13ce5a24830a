//! HTTP/2 and gRPC by clients and servers that others have written.

use crate::{certificates::made, examples::wait_health, scene::SOON};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::grpc::grpc,
    lab::{Lab, PROXY_VIP},
    origin::{Grpc, Listen, Nginx},
    process, secret,
    sluice::Sluice,
    wait,
};
use std::{fs, net::SocketAddr};

const SERVERS: [&str; 2] = ["web1", "web2"];

fn config(lab: &Lab) -> Result<String> {
    Ok(format!(
        r#"
[frontend.grpc]
mode = "http"
bind = ["{PROXY_VIP}:50051", {{ address = "{PROXY_VIP}:443", tls = {{ certificates = "certs.pem" }} }}]
default_backend = "grpc"

[frontend.www]
mode = "http"
bind = ["{PROXY_VIP}:80", {{ address = "{PROXY_VIP}:8443", tls = {{ certificates = "certs.pem" }} }}]
default_backend = "web"

[backend.grpc]
proto = "h2"
check = {{ type = "tcp", interval = "100ms" }}
{}
[backend.web]
check = {{ type = "http", path = "/", interval = "100ms" }}
{}"#,
        lab.servers("grpc", &SERVERS, 50_051)?,
        lab.servers("web", &SERVERS, 8080)?
    ))
}

#[test]
fn grpc_and_nghttp_have_all_that_they_need() -> Result<()> {
    let lab = Lab::beside_others()?;
    let (certificate, with_key) = made("www.example.com")?;
    let trusted = lab.directory().join("trusted.crt");
    fs::write(&trusted, certificate)?;
    secret::keep(&lab.directory().join("certs.pem"), with_key)?;
    let start = |name| Grpc::start(lab.machine(name)?, 50_051, lab.directory());
    let [first, _second] = [start(SERVERS[0])?, start(SERVERS[1])?];
    let site = Listen { site: "web", port: 8080, keep_alive: true };
    let _nginx =
        SERVERS.map(|name| lab.machine(name).and_then(|machine| Nginx::start(machine, lab.directory(), &[site])));
    let sluice = Sluice::start(&lab, &config(&lab)?)?;
    let ask = |port, tls| {
        let met = grpc(&lab.client, SocketAddr::from((PROXY_VIP, port)), tls, lab.directory());
        met.with_context(|| format!("port {port}\n{}", sluice.log()))
    };

    let tls = Some((trusted.as_path(), "www.example.com"));
    ensure!(ask(50_051, None)? == SERVERS, "one connection, and each call finds its server");
    ensure!(ask(443, tls)? == SERVERS, "also through TLS");
    first.kill()?;
    wait_health(&sluice, "grpc", SERVERS[0], "down")?;
    ensure!(ask(50_051, None)? == [SERVERS[1]]);

    for url in [format!("http://{PROXY_VIP}/"), format!("https://{PROXY_VIP}:8443/")] {
        let told =
            process::run(lab.client.command("nghttp").args(["--verbose", "--null-out", "--no-verify-peer", &url]))?;
        ensure!(told.contains(":status: 200"), "{url}: {told}");
        let load = ["--requests=5000", "--clients=20", "--max-concurrent-streams=20", &url];
        let told = process::run(lab.client.command("h2load").args(load))?;
        ensure!(told.contains("5000 succeeded, 0 failed, 0 errored, 0 timeout"), "{url}: {told}");
    }
    wait::until("all connections to end", SOON, || Ok((sluice.status()?.connections == 0).then_some(())))?;
    Ok(())
}
