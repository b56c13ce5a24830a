//! What can be shown without privileges: the proxy, on the loopback interface, in a single process.

use crate::report::Report;
use anyhow::{Context, Result, ensure};
use lb_tests::{
    binary,
    client::curl,
    origin::{Listen, Nginx},
    process::{self, Process},
};
use std::{fmt::Write, fs, net::TcpListener, path::Path, process::Command, time::Duration};

/// Requests before and after a server dies.
const REQUESTS: usize = 50;

/// Tells what can be told; an error ends it early and is in the report already.
pub(crate) fn tell(report: &mut Report) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path();
    let [web1, web2, frontend] = free_ports()?;
    let mut servers = report.step("two nginx servers on the loopback interface", || {
        let start =
            |name, port| Nginx::start_locally(name, directory, &[Listen { site: "web", port, keep_alive: true }]);
        Ok((vec![start("web1", web1)?, start("web2", web2)?], String::new()))
    })?;
    let config = directory.join("sluice.toml");
    fs::write(&config, text(directory, frontend, &[("web1", web1), ("web2", web2)])?)?;
    report.step("sluice check", || {
        process::run(Command::new(binary()?).arg("check").arg("--config").arg(&config))?;
        Ok(((), "the configuration is valid".to_owned()))
    })?;
    let url = format!("http://127.0.0.1:{frontend}/");
    let _sluice = report.step("sluice runs in a single process", || {
        let mut command = Command::new(binary()?);
        command.args(["run", "--single-process", "--config"]).arg(&config);
        let mut sluice = Process::spawn("sluice", &mut command, directory)?;
        sluice.ready(Duration::from_secs(10), || Ok(curl(Command::new("curl"), &[&url]).is_ok()))?;
        Ok((sluice, url.clone()))
    })?;
    report.check("requests are shared out", || {
        let (first, second) = count(&url)?;
        ensure!(first > 0 && second > 0, "web1 answered {first}, web2 {second}");
        Ok(format!("web1 ×{first}, web2 ×{second}"))
    });
    report.check("kill -9 of one server: no request fails", || {
        servers.pop().context("no server")?.kill()?;
        let (first, second) = count(&url)?;
        ensure!((first, second) == (REQUESTS, 0), "web1 answered {first}, web2 {second}");
        Ok(format!("web1 ×{first}"))
    });
    Ok(())
}

fn text(directory: &Path, frontend: u16, servers: &[(&str, u16)]) -> Result<String> {
    let mut text = format!(
        r#"[global]
control_socket = "{}"

[frontend.web]
mode = "http"
bind = [{{ address = "127.0.0.1:{frontend}" }}]
default_backend = "web"

[backend.web]
balance = "roundrobin"
check = {{ type = "http", path = "/health", expect = 200, interval = "200ms", rise = 2, fall = 2 }}
"#,
        directory.join("sluice.sock").display()
    );
    for (name, port) in servers {
        write!(text, "[[backend.web.server]]\nname = \"{name}\"\naddress = \"127.0.0.1:{port}\"\n")?;
    }
    Ok(text)
}

fn count(url: &str) -> Result<(usize, usize)> {
    let bodies = (0..REQUESTS).map(|_| curl(Command::new("curl"), &[url])).collect::<Result<Vec<_>>>()?;
    let of = |server: &str| bodies.iter().filter(|body| body.starts_with(server)).count();
    Ok((of("web1"), of("web2")))
}

/// Ports that were free a moment ago.
fn free_ports<const COUNT: usize>() -> Result<[u16; COUNT]> {
    let listeners: Vec<_> = (0..COUNT).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let ports = listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect::<Result<Vec<_>>>()?;
    ports.try_into().ok().context("as many ports as listeners")
}
