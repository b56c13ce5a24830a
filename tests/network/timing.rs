//! How soon a server that fails gets nothing more, from either half.

use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::Connection,
    lab::{Lab, NAT_VIP, PROXY_VIP},
    origin::{Listen, Nginx},
    sluice::Sluice,
};
use std::{
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const SITE: Listen = Listen { site: "web", port: 80, keep_alive: false };
const INTERVAL: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_millis(400);
const FALL: u32 = 3;
/// Times that a server fails in each way, at another moment of the interval each time.
const TIMES: u32 = 5;

fn config(lab: &Lab) -> Result<String> {
    let (interval, timeout) = (INTERVAL.as_millis(), TIMEOUT.as_millis());
    Ok(format!(
        r#"
[frontend.packets]
mode = "l4"
bind = "{NAT_VIP}:80"
default_backend = "web"
[frontend.requests]
mode = "http"
bind = "{PROXY_VIP}:80"
default_backend = "web"
[backend.web]
balance = "maglev"
forward = "nat"
check = {{ type = "http", path = "/health", interval = "{interval}ms", timeout = "{timeout}ms", rise = 1, fall = {FALL} }}
{}"#,
        lab.servers("web", &["web1", "web2"], 80)?,
    ))
}

/// From `began` until both halves had the verdict on web2, which must have fallen after that.
fn until_down(sluice: &Sluice, began: SystemTime) -> Result<Duration> {
    sluice.wait_shares("web", Duration::from_secs(10), |shares| shares.keys().eq(["web1"]))?;
    let down =
        sluice.status()?.failovers.into_iter().rev().find(|change| change.server == "web2").context("no change")?;
    ensure!(down.to == "down", "{down:?}");
    let at = UNIX_EPOCH + Duration::from_micros(down.at_us);
    at.duration_since(began).context("it fell too early")
}

fn worst(name: &str, took: &[Duration], bound: Duration) -> Result<()> {
    let worst = took.iter().max().copied().unwrap_or_default();
    println!("{name}: out of ring and pool after {took:?}; the bound is {bound:?}");
    ensure!(worst <= bound, "{name}: {worst:?}, later than {bound:?}");
    Ok(())
}

#[test]
fn a_server_that_is_killed_or_hangs_is_out_of_both_halves_in_time() -> Result<()> {
    let lab = Lab::new()?;
    let start = |name: &'static str| Nginx::start(lab.machine(name)?, lab.directory(), &[SITE]);
    let (_first, mut second) = (start("web1")?, start("web2")?);
    let sluice = Sluice::start(&lab, &config(&lab)?)?;
    let (mut killed, mut hung) = (Vec::new(), Vec::new());
    for time in 0..TIMES {
        let back = |sluice: &Sluice| {
            sluice.wait_shares("web", Duration::from_secs(10), |shares| shares.len() == 2)?;
            thread::sleep(INTERVAL * 2 + INTERVAL * time / TIMES);
            anyhow::Ok(())
        };
        back(&sluice)?;
        let began = SystemTime::now();
        second.kill()?;
        killed.push(until_down(&sluice, began)?);
        // Both halves at once: neither sends anything there any more.
        for vip in [NAT_VIP, PROXY_VIP] {
            for _ in 0..5 {
                let answer = Connection::open(&lab.client, (vip, 80).into())?.get("/")?;
                ensure!((answer.status, answer.server.as_str()) == (200, "web1"), "{answer:?}");
            }
        }
        second = start("web2")?;
        back(&sluice)?;
        let began = SystemTime::now();
        second.freeze()?;
        hung.push(until_down(&sluice, began)?);
        second.thaw()?;
    }
    worst("killed", &killed, Duration::from_millis(1_550))?;
    worst("hung", &hung, (INTERVAL + TIMEOUT) * FALL)
}
