//! What runs: the lab with echo servers and nginx on three machines, and the daemon before them with both halves.

use anyhow::{Context, Result};
use lb_tests::{
    lab::{Lab, NAT_VIP, PROXY_VIP},
    origin::{Echo, Listen, Nginx, service},
    secret,
    sluice::Sluice,
};
use std::{collections::BTreeMap, fs, net::SocketAddr};

pub(crate) const WEBS: [&str; 3] = ["web1", "web2", "web3"];
const WEB: Listen = Listen { site: "web", port: 8080, keep_alive: true };
/// Of the echo servers, of the VIP of the kernel half, and of the frontend of mode `tcp`.
const ECHO: u16 = 7_007;

/// Lab, servers, daemon.
pub(crate) struct Site {
    pub(crate) sluice: Sluice,
    pub(crate) lab: Lab,
    echoes: BTreeMap<&'static str, Echo>,
    webs: BTreeMap<&'static str, Nginx>,
}

/// How a configuration differs from the first one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Variant {
    First,
    /// With another frontend and backend of each half.
    More,
    /// With other weights.
    Weights,
    /// Without the last server.
    Fewer,
    /// Wrong: refused.
    Broken,
}

impl Site {
    pub(crate) fn start() -> Result<Self> {
        let lab = Lab::new()?;
        service::certificate(lab.directory())?;
        let pem = |name| fs::read_to_string(lab.directory().join(name));
        secret::keep(&lab.directory().join("site.pem"), pem("certificate.pem")? + &pem("key.pem")?)?;
        let echoes = WEBS.into_iter().map(|name| Ok((name, echo(&lab, name)?))).collect::<Result<_>>()?;
        let webs = WEBS.into_iter().map(|name| Ok((name, web(&lab, name)?))).collect::<Result<_>>()?;
        let sluice = Sluice::start(&lab, &config(&lab, Variant::First)?)?;
        Ok(Self { sluice, lab, echoes, webs })
    }

    /// The VIP of the kernel half: echo servers, TCP and UDP.
    pub(crate) fn kernel() -> SocketAddr {
        (NAT_VIP, ECHO).into()
    }

    /// The same servers through the proxy.
    pub(crate) fn relay() -> SocketAddr {
        (PROXY_VIP, ECHO).into()
    }

    /// nginx through the proxy.
    pub(crate) fn web() -> SocketAddr {
        (PROXY_VIP, 80).into()
    }

    /// The same over TLS.
    pub(crate) fn encrypted() -> SocketAddr {
        (PROXY_VIP, 443).into()
    }

    /// Has the daemon take up another configuration. Whether it did.
    pub(crate) fn reload(&self, variant: Variant) -> Result<bool> {
        self.sluice.write_config(&self.lab, &config(&self.lab, variant)?)?;
        Ok(self.sluice.cli(&["reload"])?.status.success())
    }

    /// SIGKILL to both servers of a machine.
    pub(crate) fn lose(&mut self, name: &'static str) -> Result<()> {
        self.echoes.remove(name).context("it is gone already")?.kill()?;
        self.webs.remove(name).context("it is gone already")?.kill()
    }

    /// Starts both servers of a machine again.
    pub(crate) fn regain(&mut self, name: &'static str) -> Result<()> {
        self.echoes.insert(name, echo(&self.lab, name)?);
        self.webs.insert(name, web(&self.lab, name)?);
        Ok(())
    }

    /// Stops the web server of a machine in mid-air.
    pub(crate) fn freeze(&self, name: &'static str) -> Result<()> {
        self.webs.get(name).context("it is gone")?.freeze()
    }

    /// Undoes [`freeze`](Self::freeze).
    pub(crate) fn thaw(&self, name: &'static str) -> Result<()> {
        self.webs.get(name).context("it is gone")?.thaw()
    }

    /// Ends the daemon, which must be a clean end.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.sluice.stop()
    }
}

fn echo(lab: &Lab, name: &str) -> Result<Echo> {
    Echo::start(lab.machine(name)?, ECHO, lab.directory())
}

fn web(lab: &Lab, name: &str) -> Result<Nginx> {
    Nginx::start(lab.machine(name)?, lab.directory(), &[WEB])
}

fn config(lab: &Lab, variant: Variant) -> Result<String> {
    let names = if variant == Variant::Fewer { &WEBS[..2] } else { &WEBS };
    let (web, echo) = (lab.servers("web", names, WEB.port)?, lab.servers("echo", names, ECHO)?);
    let weight = if variant == Variant::Weights { 50 } else { 100 };
    let weigh = |servers: String| servers.replace("name = \"web1\"", &format!("name = \"web1\"\nweight = {weight}"));
    let more = match variant {
        Variant::More => {
            let (web, kernel) = (lab.servers("more", names, WEB.port)?, lab.servers("even_more", names, WEB.port)?);
            format!(
                "[frontend.more]\nmode = \"http\"\nbind = \"{PROXY_VIP}:81\"\ndefault_backend = \"more\"\n\
                 [backend.more]\n{web}\
                 [frontend.even_more]\nmode = \"l4\"\nbind = \"{NAT_VIP}:{}\"\ndefault_backend = \"even_more\"\n\
                 [backend.even_more]\nbalance = \"maglev\"\nforward = \"nat\"\n{kernel}",
                WEB.port
            )
        }
        Variant::Broken => "[frontend.broken]\nmode = \"htpt\"\n".to_owned(),
        Variant::First | Variant::Weights | Variant::Fewer => String::new(),
    };
    let (kernel, relay, plain, encrypted) = (Site::kernel(), Site::relay(), Site::web(), Site::encrypted());
    Ok(format!(
        r#"hash_key = "73616c7420616e642070657070657221"
[frontend.kernel]
mode = "l4"
bind = [{{ address = "{kernel}" }}, {{ address = "{kernel}", protocol = "udp" }}]
default_backend = "echo"
[frontend.relay]
mode = "tcp"
bind = "{relay}"
default_backend = "echo"
[frontend.web]
mode = "http"
bind = [{{ address = "{plain}" }}, {{ address = "{encrypted}", tls = {{ certificates = "site.pem" }} }}]
acl.far = "path_beg /far"
default_backend = "web"
[[frontend.web.rule]]
if = "far"
use = "web"
[backend.echo]
balance = "maglev"
forward = "nat"
transition = "10s"
check = {{ type = "tcp", interval = "300ms", rise = 2, fall = 2 }}
{}
[backend.web]
check = {{ type = "http", path = "/health", expect = 200, interval = "300ms", rise = 2, fall = 2 }}
{}
{more}"#,
        weigh(echo),
        weigh(web),
    ))
}
