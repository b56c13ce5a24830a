//! What most scenarios start with: echo servers behind an `l4` frontend.

use anyhow::{Context, Result, ensure};
use lb_tests::{
    lab::{DIRECT_VIP, Lab, NAT_VIP},
    origin::Echo,
    sluice::Sluice,
};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

/// The port of the echo servers and of the VIP before them.
pub(crate) const PORT: u16 = 7007;

/// A check that gives a server up after 200 ms.
pub(crate) const FAST_CHECK: &str = r#"{ type = "tcp", interval = "100ms", rise = 2, fall = 2 }"#;

/// Longest wait for a change that the check above decides.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// Servers that take part unless the others are down.
pub(crate) const WEBS: [&str; 3] = ["web1", "web2", "web3"];

/// A lab with echo servers on some of its machines, and the daemon before them. The backend is called `echo`.
pub(crate) struct Scene {
    pub(crate) sluice: Sluice,
    pub(crate) echoes: BTreeMap<&'static str, Echo>,
    pub(crate) vip: SocketAddr,
    pub(crate) lab: Lab,
    over: bool,
}

impl Drop for Scene {
    /// Of a scenario that failed, the daemon's log is worth reading; in a moment it is gone.
    fn drop(&mut self) {
        if !self.over {
            println!("The daemon's log:\n{}", self.sluice.log());
        }
    }
}

impl Scene {
    /// Starts all of it. `forward` is `nat` or `direct`; `global` are further keys of the `[global]` table.
    pub(crate) fn start(forward: &str, servers: &[&'static str], global: &str) -> Result<Self> {
        let lab = Lab::new()?;
        let echoes = servers.iter().map(|name| Ok((*name, start_echo(&lab, name)?))).collect::<Result<_>>()?;
        let sluice = Sluice::start(&lab, &(global.to_owned() + &config(&lab, forward, servers)?))?;
        Ok(Self { sluice, echoes, vip: (vip(forward), PORT).into(), lab, over: false })
    }

    /// The end of a scenario in which all held; the daemon must not have panicked on the way.
    pub(crate) fn over(mut self) -> Result<()> {
        ensure!(!self.sluice.log().contains("panicked at"), "something in the daemon panicked");
        self.over = true;
        Ok(())
    }

    /// SIGKILL to the echo server of a machine, and waits until the ring does without it.
    pub(crate) fn lose(&mut self, server: &str) -> Result<()> {
        self.echoes.remove(server).context("no such server")?.kill()?;
        self.sluice.wait_shares("echo", SOON, |shares| !shares.contains_key(server)).map(drop)
    }

    /// Starts the echo server of a machine, and waits until the ring has it.
    pub(crate) fn regain(&mut self, server: &'static str) -> Result<()> {
        self.echoes.insert(server, start_echo(&self.lab, server)?);
        self.sluice.wait_shares("echo", SOON, |shares| shares.contains_key(server)).map(drop)
    }
}

/// Frontend and backend `echo`, TCP and UDP.
pub(crate) fn config(lab: &Lab, forward: &str, servers: &[&str]) -> Result<String> {
    let vip = vip(forward);
    Ok(format!(
        r#"
[frontend.echo]
mode = "l4"
bind = [{{ address = "{vip}:{PORT}" }}, {{ address = "{vip}:{PORT}", protocol = "udp" }}]
default_backend = "echo"

[backend.echo]
balance = "maglev"
forward = "{forward}"
check = {FAST_CHECK}
{}"#,
        lab.servers("echo", servers, PORT)?
    ))
}

fn vip(forward: &str) -> Ipv4Addr {
    if forward == "direct" { DIRECT_VIP } else { NAT_VIP }
}

fn start_echo(lab: &Lab, name: &str) -> Result<Echo> {
    Echo::start(lab.machine(name)?, PORT, lab.directory())
}
