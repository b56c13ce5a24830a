//! One backend behind both halves. Its backup server steps in when no other is left, and steps back; a verdict that the
//! ring shows has reached the proxy already.

use crate::scene::SOON;
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::Connection,
    lab::{BACKUP, Lab, NAT_VIP, PROXY_VIP},
    netns::Namespace,
    origin::{Listen, Nginx},
    sluice::Sluice,
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
default_backend = "web"
[frontend.requests]
mode = "http"
bind = [{{ address = "{PROXY_VIP}:80" }}]
default_backend = "web"
[backend.web]
balance = "maglev"
forward = "nat"
check = {check}
{}"#,
        lab.servers("web", &ALL, 80)?,
    ))
}

#[test]
fn the_backup_serves_both_halves_only_while_all_others_are_down() -> Result<()> {
    let lab = Lab::new()?;
    let start = |name: &'static str| Ok((name, Nginx::start(lab.machine(name)?, lab.directory(), &[SITE])?));
    let mut servers: BTreeMap<_, _> = ALL.into_iter().map(start).collect::<Result<_>>()?;
    let sluice = Sluice::start(&lab, &config(&lab)?)?;
    ensure!(sluice.maps()?.shares("web")?.keys().eq(["web1", "web2"]), "the backup takes traffic in good times");

    for last in ["web1", "web2"] {
        servers.remove(last).context("runs")?.kill()?;
    }
    sluice.wait_shares("web", SOON, |shares| shares.keys().eq([BACKUP]))?;
    for vip in [NAT_VIP, PROXY_VIP] {
        for _ in 0..20 {
            ensure!(asks(&lab.client, vip)? == BACKUP);
        }
    }

    servers.extend([start("web2")?]);
    sluice.wait_shares("web", SOON, |shares| shares.keys().eq(["web2"]))?;
    for vip in [NAT_VIP, PROXY_VIP] {
        ensure!(asks(&lab.client, vip)? == "web2");
    }
    Ok(())
}

fn asks(client: &Namespace, vip: Ipv4Addr) -> Result<String> {
    let answer = Connection::open(client, (vip, 80).into())?.get("/")?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(answer.server)
}
