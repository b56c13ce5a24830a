//! The servers: one nginx that answers with 128 bytes and logs nothing; and the socket that access logs go to.

use anyhow::{Context, Result};
use lb_tests::{lab::Lab, process::Process};
use std::{
    fmt::Write,
    fs,
    net::{SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

/// The server of the backend that the rule chooses; it refuses requests without X-Forwarded-For.
pub(super) const API: &str = "127.0.0.1:9001";
/// The server of the default backend, which refuses everything: requests that come here have missed the rule.
pub(super) const WEB: &str = "127.0.0.1:9002";
/// The server of TCP mode.
pub(super) const RELAYED: &str = "127.0.0.1:9003";

/// Bytes of an answer's body.
pub(super) const BODY: usize = 128;

pub(super) struct Origin {
    _nginx: Process,
    log: UdpSocket,
}

impl Origin {
    /// Starts it in the lab's balancer, by a thread that is there.
    pub(super) fn start(lab: &Lab) -> Result<Self> {
        let directory = lab.directory().join("origin");
        fs::create_dir_all(&directory)?;
        let path = directory.join("nginx.conf");
        fs::write(&path, configuration()?)?;
        let mut command = lab.balancer.command("nginx");
        command.args(["-p", &format!("{}/", directory.display()), "-e", "errors", "-c"]).arg(&path);
        let mut nginx = Process::spawn("origin", &mut command, lab.directory())?;
        nginx.ready(Duration::from_secs(5), || Ok(TcpStream::connect(RELAYED).is_ok()))?;
        // Nobody reads it: what does not fit is dropped by the kernel, at once and for all alike.
        Ok(Self { _nginx: nginx, log: UdpSocket::bind("127.0.0.1:0").context("a socket for access logs")? })
    }

    /// Where access logs go, by UDP.
    pub(super) fn log(&self) -> Result<SocketAddr> {
        Ok(self.log.local_addr()?)
    }
}

/// What every nginx here starts with. The paths are below its own directory, and nothing is written to any.
pub(super) fn nginx_preamble() -> Result<String> {
    let mut text = String::from(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nworker_rlimit_nofile 20000;\nevents { worker_connections 8192; }\n\
         http {\nkeepalive_requests 1000000000;\nkeepalive_timeout 120s;\n",
    );
    for scratch in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(text, "{scratch}_temp_path {scratch};")?;
    }
    Ok(text)
}

fn configuration() -> Result<String> {
    let body = "x".repeat(BODY);
    Ok(format!(
        "{}access_log off;\ndefault_type text/plain;\n\
         server {{ listen {API}; if ($http_x_forwarded_for = \"\") {{ return 400; }} location / {{ return 200 {body}; }} }}\n\
         server {{ listen {WEB}; location / {{ return 503; }} }}\n\
         server {{ listen {RELAYED}; location / {{ return 200 {body}; }} }}\n}}\n",
        nginx_preamble()?
    ))
}
