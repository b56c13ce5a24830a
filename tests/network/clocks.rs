//! The clock on the wall jumps: nothing but dates goes by it.

use crate::scene::{self, FAST_CHECK, SOON, WEBS};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::{Connection, Flows},
    lab::{Lab, NAT_VIP, PROXY_VIP},
    origin::{Echo, Listen, Nginx},
    sluice::{Manner, Sluice},
    wait,
};
use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use tokio::time::Instant;

const SITE: Listen = Listen { site: "web", port: 8080, keep_alive: true };

/// Debian's libfaketime.
fn library() -> Result<PathBuf> {
    let triples =
        fs::read_dir("/usr/lib")?.filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketime.so.1")));
    triples.into_iter().find(|path| path.exists()).context("missing: apt-get install faketime")
}

fn config(lab: &Lab, log: &Path) -> Result<String> {
    let web = format!(
        r#"
[frontend.web]
mode = "http"
bind = "{PROXY_VIP}:80"
default_backend = "web"
log = "file:{}"
[backend.web]
check = {FAST_CHECK}
{}"#,
        log.display(),
        lab.servers("web", &WEBS, 8080)?
    );
    Ok(scene::config(lab, "nat", &WEBS)? + &web)
}

#[test]
fn a_clock_that_jumps_moves_no_server_no_slot_and_no_timeout() -> Result<()> {
    let lab = Lab::new()?;
    let nginx = WEBS.iter().map(|name| Nginx::start(lab.machine(name)?, lab.directory(), &[SITE]));
    let _nginx = nginx.collect::<Result<Vec<_>>>()?;
    let echoes = WEBS.iter().map(|name| Echo::start(lab.machine(name)?, scene::PORT, lab.directory()));
    let mut echoes = echoes.collect::<Result<Vec<_>>>()?;
    let (clock, log) = (lab.directory().join("clock"), lab.directory().join("access.log"));
    let set = |offset: &str| -> Result<()> {
        let new = clock.with_extension("new");
        fs::write(&new, offset)?;
        Ok(fs::rename(new, &clock)?)
    };
    set("+0")?;
    let preload = format!("LD_PRELOAD={}", library()?.display());
    let file = format!("FAKETIME_TIMESTAMP_FILE={}", clock.display());
    let through = ["env", &preload, &file, "FAKETIME_DONT_FAKE_MONOTONIC=1", "FAKETIME_NO_CACHE=1"];
    let config = config(&lab, &log)?;
    // The library reads the file again and again, which the worker may not.
    let sluice = Sluice::start_as(
        &lab,
        &config,
        Manner { through: &through, arguments: &["--single-process"], ..Manner::default() },
    )?;
    let vip = (NAT_VIP, scene::PORT).into();
    let (mut flows, shares) = (Flows::open(&lab.client, vip, 100)?, sluice.maps()?.shares("echo")?);
    let mut kept = Connection::open(&lab.client, (PROXY_VIP, 80).into())?;
    ensure!(kept.get("/")?.status == 200);
    let before = sluice.status()?;
    for offset in ["+1h", "-1h", "+400d", "-400d", "+0"] {
        set(offset)?;
        thread::sleep(Duration::from_millis(700));
        ensure!(kept.get("/")?.status == 200, "{offset}: the kept connection");
        flows.exchange(offset)?;
        let status = sluice.status()?;
        ensure!(status.failovers.len() == before.failovers.len(), "{offset}: {:?}", status.failovers);
        ensure!(status.ring_rebuilds == before.ring_rebuilds, "{offset}: rings were rebuilt");
        ensure!(sluice.maps()?.shares("echo")? == shares, "{offset}");
    }
    // The jumps did reach the daemon: dates are all that goes by them.
    let years = wait::until("lines of the log", SOON, || {
        let text = fs::read_to_string(&log)?;
        let years: std::collections::BTreeSet<_> =
            text.lines().filter_map(|line| Some(line.split_once('[')?.1.get(7..11)?.to_owned())).collect();
        Ok((years.len() > 1).then_some(years))
    })
    .with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
    println!("the daemon's lines are of {years:?}");

    // Verdicts come in time whatever the clock shows.
    set("-400d")?;
    let begun = Instant::now();
    echoes.pop().context("an echo server")?.kill()?;
    sluice.wait_shares("echo", SOON, |shares| !shares.contains_key("web3"))?;
    println!("a server that died while the clock went back by 400 days was found within {:?}", begun.elapsed());
    ensure!(!sluice.log().contains("panicked at"), "{}", sluice.log());
    Ok(())
}
