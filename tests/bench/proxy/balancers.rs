//! Those that take part, with the same features on: one ACL that routes, X-Forwarded-For, counters, an access log by UDP;
//! one thread; connections to servers kept and shared.

use super::{
    origin::{API, RELAYED, WEB, nginx_preamble},
    tls::{CIPHER, Tls},
    usage::{self, Usage},
    work::Work,
};
use anyhow::Result;
use lb_tests::{binary, lab::Lab, process::Process, sluice::complete};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const PLAIN: u16 = 8080;
const TLS: u16 = 8443;
const RELAY: u16 = 9000;

/// What switches Sluice's access log on, as keys of its frontends, with `{log}` where the target stands. Empty: the report
/// says that there is none.
const SLUICE_ACCESS_LOG: &str = "log = { to = \"udp:{log}\" }";

/// Whether Sluice writes an access log, as the others do.
pub(super) const SLUICE_LOGS: bool = !SLUICE_ACCESS_LOG.is_empty();

/// Where it happens.
pub(super) struct Site<'a> {
    pub(super) lab: &'a Lab,
    pub(super) tls: &'a Tls,
    /// Where access logs go.
    pub(super) log: SocketAddr,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Program {
    Sluice,
    Haproxy(PathBuf),
    Nginx,
}

/// One of those that take part.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) program: Program,
    /// An address of its own, so that all can run side by side.
    address: Ipv4Addr,
}

impl Kind {
    /// Sluice and HAProxy first.
    pub(super) fn all(other_haproxy: Option<&Path>) -> Vec<Self> {
        let kind = |name, program, last| Self { name, program, address: Ipv4Addr::new(127, 0, 0, last) };
        let other = other_haproxy.map(|path| kind("other HAProxy", Program::Haproxy(path.to_owned()), 14));
        [
            kind("Sluice", Program::Sluice, 11),
            kind("HAProxy", Program::Haproxy("haproxy".into()), 12),
            kind("nginx", Program::Nginx, 13),
        ]
        .into_iter()
        .chain(other)
        .collect()
    }

    /// Whether it can do this. Debian has nginx's TCP mode in a package of its own.
    pub(super) fn does(&self, work: Work) -> bool {
        self.program != Program::Nginx || work != Work::Tcp
    }

    /// What it says that it is.
    pub(super) fn version(&self) -> Option<String> {
        match &self.program {
            Program::Sluice => Some(format!("Sluice {}", env!("CARGO_PKG_VERSION"))),
            Program::Haproxy(path) => crate::version(path),
            Program::Nginx => crate::version("nginx"),
        }
    }

    fn configuration(&self, site: &Site<'_>) -> Result<String> {
        match self.program {
            Program::Sluice => Ok(self.sluice(site)),
            Program::Haproxy(_) => Ok(self.haproxy(site)),
            Program::Nginx => self.nginx(site),
        }
    }

    fn sluice(&self, site: &Site<'_>) -> String {
        let (address, pem) = (self.address, site.tls.pem.display());
        let log = SLUICE_ACCESS_LOG.replace("{log}", &site.log.to_string());
        let config = format!(
            r#"threads = 1
[frontend.public]
mode = "http"
bind = ["{address}:{PLAIN}", {{ address = "{address}:{TLS}", tls = {{ certificates = "{pem}" }} }}]
acl.api = "path_beg /api/"
forwarded_for = true
default_backend = "web"
{log}
[[frontend.public.rule]]
if = "api"
use = "api"

[frontend.relay]
mode = "tcp"
bind = ["{address}:{RELAY}"]
default_backend = "relayed"
{log}
[backend.api]
server = [{{ name = "s", address = "{API}" }}]

[backend.web]
server = [{{ name = "s", address = "{WEB}" }}]

[backend.relayed]
server = [{{ name = "s", address = "{RELAYED}" }}]
"#
        );
        complete(site.lab, &config)
    }

    /// `http-reuse always`, because by default HAProxy opens a connection to a server for the first request of each client.
    fn haproxy(&self, site: &Site<'_>) -> String {
        let Self { address, .. } = self;
        let (log, pem) = (site.log, site.tls.pem.display());
        format!(
            "global\n nbthread 1\n maxconn 8000\n log {log} local0\n ssl-default-bind-ciphersuites {CIPHER}\n\
             defaults\n mode http\n log global\n option httplog\n http-reuse always\n timeout connect 5s\n \
             timeout client 2m\n timeout server 2m\n timeout http-keep-alive 2m\n\
             frontend public\n bind {address}:{PLAIN}\n bind {address}:{TLS} ssl crt {pem} alpn h2,http/1.1\n \
             option forwardfor\n acl api path_beg /api/\n use_backend api if api\n default_backend web\n\
             frontend relay\n mode tcp\n option tcplog\n bind {address}:{RELAY}\n default_backend relayed\n\
             backend api\n server s {API}\nbackend web\n server s {WEB}\n\
             backend relayed\n mode tcp\n server s {RELAYED}\n"
        )
    }

    fn nginx(&self, site: &Site<'_>) -> Result<String> {
        let Self { address, .. } = self;
        let (log, pem) = (site.log, site.tls.pem.display());
        Ok(format!(
            "{}access_log syslog:server={log} combined;\nproxy_http_version 1.1;\nproxy_set_header Connection \"\";\n\
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
             upstream api {{ server {API}; keepalive 256; keepalive_requests 1000000000; }}\n\
             upstream web {{ server {WEB}; keepalive 256; }}\n\
             server {{ listen {address}:{PLAIN}; listen {address}:{TLS} ssl http2;\n\
             ssl_certificate {pem}; ssl_certificate_key {pem}; ssl_protocols TLSv1.3;\n\
             ssl_conf_command Ciphersuites {CIPHER};\n\
             location /api/ {{ proxy_pass http://api; }} location / {{ proxy_pass http://web; }} }}\n}}\n",
            nginx_preamble()?
        ))
    }
}

/// One that runs.
pub(super) struct Balancer<'a> {
    pub(super) kind: &'a Kind,
    process: Process,
}

impl<'a> Balancer<'a> {
    /// Starts it, on the CPU of the calling thread; returns when it takes connections.
    pub(super) fn start(kind: &'a Kind, site: &Site<'_>) -> Result<Self> {
        let directory = site.lab.directory().join(kind.address.to_string());
        fs::create_dir_all(&directory)?;
        let path = directory.join("configuration");
        fs::write(&path, kind.configuration(site)?)?;
        let mut command = kind.command(site, &directory, &path)?;
        // Programs of OpenSSL are told the cipher by their own configuration; the group by this.
        site.tls.restrict(&mut command);
        let process = Process::spawn(kind.name, &mut command, &directory)?;
        let mut balancer = Self { kind, process };
        let relay = if kind.does(Work::Tcp) { balancer.relay() } else { balancer.tls() };
        let ends = [balancer.plain(), balancer.tls(), relay];
        balancer
            .process
            .ready(Duration::from_secs(15), || Ok(ends.iter().all(|end| TcpStream::connect(end).is_ok())))?;
        Ok(balancer)
    }

    pub(super) fn plain(&self) -> SocketAddr {
        (self.kind.address, PLAIN).into()
    }

    pub(super) fn tls(&self) -> SocketAddr {
        (self.kind.address, TLS).into()
    }

    /// TCP mode.
    pub(super) fn relay(&self) -> SocketAddr {
        (self.kind.address, RELAY).into()
    }

    /// What its processes have taken until now.
    pub(super) fn usage(&self) -> Result<Usage> {
        usage::of(self.process.pid())
    }
}

impl Kind {
    fn command(&self, site: &Site<'_>, directory: &Path, configuration: &Path) -> Result<Command> {
        let run = |program: &Path| site.lab.balancer.command(program);
        Ok(match &self.program {
            Program::Sluice => {
                let mut command = run(&binary()?);
                command.arg("run").arg("--config").arg(configuration);
                command
            }
            Program::Haproxy(path) => {
                let mut command = run(path);
                command.args(["-db", "-f"]).arg(configuration);
                command
            }
            Program::Nginx => {
                let mut command = run(Path::new("nginx"));
                command.args(["-p", &format!("{}/", directory.display()), "-e", "errors", "-c"]).arg(configuration);
                command
            }
        })
    }
}
