//! A backup server steps in when no other is left, behind the kernel half and behind the proxy, and steps back.

use crate::scene::SOON;
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::Connection,
    lab::{BACKUP, Lab, NAT_VIP, PROXY_VIP},
    netns::Namespace,
    origin::{Listen, Nginx},
    sluice::Sluice,
    wait,
};
use std::{collections::BTreeMap, net::Ipv4Addr};

const SITE: Listen = Listen { site: "web", port: 80, keep_alive: false };
const ALL: [&str; 3] = ["web1", "web2", BACKUP];

fn config(lab: &Lab) -> Result<String> {
    let check = r#"{ type = "http", path = "/health", expect = 200, interval = "100ms", rise = 2, fall = 2 }"#;
    Ok(format!(
        r#"
[frontend.packets]
mode = "l4"
bind = [{{ address = "{NAT_VIP}:80" }}]
default_backend = "packets"
[frontend.requests]
mode = "http"
bind = [{{ address = "{PROXY_VIP}:80" }}]
default_backend = "requests"
[backend.packets]
balance = "maglev"
forward = "nat"
check = {check}
{}
[backend.requests]
balance = "roundrobin"
check = {check}
{}"#,
        lab.servers("packets", &ALL, 80)?,
        lab.servers("requests", &ALL, 80)?,
    ))
}

#[test]
fn the_backup_serves_both_halves_only_while_all_others_are_down() -> Result<()> {
    let lab = Lab::new()?;
    let start = |name: &'static str| Ok((name, Nginx::start(lab.machine(name)?, lab.directory(), &[SITE])?));
    let mut servers: BTreeMap<_, _> = ALL.into_iter().map(start).collect::<Result<_>>()?;
    let sluice = Sluice::start(&lab, &config(&lab)?)?;
    ensure!(sluice.maps()?.shares("packets")?.keys().eq(["web1", "web2"]), "the backup takes traffic in good times");

    for last in ["web1", "web2"] {
        servers.remove(last).context("runs")?.kill()?;
    }
    sluice.wait_shares("packets", SOON, |shares| shares.keys().eq([BACKUP]))?;
    wait::until("the proxy to turn to the backup", SOON, || {
        Ok((asks(&lab.client, PROXY_VIP)? == BACKUP).then_some(()))
    })?;
    for vip in [NAT_VIP, PROXY_VIP] {
        for _ in 0..20 {
            ensure!(asks(&lab.client, vip)? == BACKUP);
        }
    }

    servers.extend([start("web2")?]);
    sluice.wait_shares("packets", SOON, |shares| shares.keys().eq(["web2"]))?;
    wait::until("the proxy to turn back", SOON, || Ok((asks(&lab.client, PROXY_VIP)? == "web2").then_some(())))?;
    ensure!(asks(&lab.client, NAT_VIP)? == "web2");
    Ok(())
}

fn asks(client: &Namespace, vip: Ipv4Addr) -> Result<String> {
    let answer = Connection::open(client, (vip, 80).into())?.get("/")?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(answer.server)
}
