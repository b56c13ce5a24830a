//! One server behind two VIPs: its replies do not tell which of them they are for, so every flow is remembered.

use crate::scene::{FAST_CHECK, PORT, SOON, WEBS};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::{Flows, seen, udp},
    lab::{Family, Lab},
    origin::Echo,
    sluice::Sluice,
};
use std::{fs, net::SocketAddr};

const FLOWS: usize = 100;
/// The second VIP of each address.
const OTHER: u16 = 8008;

/// Which ports the client has for each. To a server, what it sends from one port to both is one connection.
const OWN: [&str; 2] = ["20000 39999", "40000 59999"];

/// Has the client open sockets at such ports alone.
fn ports_of(lab: &Lab, ports: &str) -> Result<()> {
    lab.client.run(|| fs::write("/proc/sys/net/ipv4/ip_local_port_range", ports))??;
    Ok(())
}

fn config(lab: &Lab, family: Family) -> Result<String> {
    let bind = |port| {
        let vip = SocketAddr::new(family.nat_vip(), port);
        format!("{{ address = \"{vip}\" }}, {{ address = \"{vip}\", protocol = \"udp\" }}")
    };
    Ok(format!(
        r#"
[frontend.echo]
mode = "l4"
bind = [{}, {}]
default_backend = "echo"
[backend.echo]
forward = "nat"
track = "full"
check = {FAST_CHECK}
{}"#,
        bind(PORT),
        bind(OTHER),
        lab.servers_of(family, "echo", &WEBS, PORT)?
    ))
}

#[test]
fn a_reply_comes_from_the_vip_that_was_asked() -> Result<()> {
    let lab = Lab::new()?;
    let _echoes = WEBS.map(|name| Echo::start(lab.machine(name)?, PORT, lab.directory()));
    let sluice = Sluice::start(&lab, &config(&lab, Family::V4)?)?;
    for family in Family::BOTH {
        sluice.write_config(&lab, &config(&lab, family)?)?;
        sluice.command(&["reload"])?;
        sluice.wait_shares("echo", SOON, |shares| shares.keys().eq(WEBS))?;
        let vips = [PORT, OTHER].map(|port| SocketAddr::new(family.nat_vip(), port));
        let mut flows = Vec::new();
        for (vip, ports) in vips.into_iter().zip(OWN) {
            ports_of(&lab, ports)?;
            let flow = Flows::open(&lab.client, vip, FLOWS).with_context(|| format!("no connections to {vip}"))?;
            flows.push(flow);
        }
        for ((vip, ports), flows) in vips.into_iter().zip(OWN).zip(&mut flows) {
            ports_of(&lab, ports)?;
            // UDP wants each reply from the very VIP that it asked.
            let datagrams = udp::ask(&lab.client, vip, FLOWS)?;
            flows.exchange("beside those to the other")?;
            for met in [flows.by_server(), seen::by_server(&datagrams)] {
                ensure!(met.keys().eq(WEBS), "{vip}: {met:?}");
            }
            for seen in flows.seen().chain(&datagrams) {
                ensure!(seen.own == seen.there, "{vip}: {seen:?}");
            }
        }
    }
    Ok(())
}
