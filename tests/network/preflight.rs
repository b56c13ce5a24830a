//! `sluice preflight` on a machine that is made worse step by step.

use crate::scene::{self, More, WEBS, Way};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    binary,
    lab::{DEVICE, Family, Lab},
    sluice::{complaint, complete},
};
use std::fs;

/// Of a finding: its severity, and the command that mends it.
type Told = (String, String);

/// The exit status, and all findings.
fn found(lab: &Lab, forward: &'static str) -> Result<(Option<i32>, Vec<Told>)> {
    let config = scene::config_of(lab, Way::within(forward, Family::V4), &WEBS, More::default())?;
    let path = lab.directory().join("sluice.toml");
    fs::write(&path, complete(lab, &config))?;
    let output = lab.balancer.command(binary()?).args(["preflight", "--json", "--config"]).arg(&path).output()?;
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).with_context(|| complaint(&output))?;
    let text = |finding: &serde_json::Value, key: &str| {
        finding.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    };
    let found = found.as_array().context("a list")?.iter().map(|one| (text(one, "severity"), text(one, "mend")));
    Ok((output.status.code(), found.collect()))
}

#[test]
fn what_is_wrong_is_told_with_the_command_that_mends_it() -> Result<()> {
    let lab = Lab::beside_others()?;
    lab.balancer.sysctl("net.ipv4.ip_forward", "1")?;
    let (status, fits) = found(&lab, "nat")?;
    ensure!(status == Some(0) && fits.iter().all(|(severity, _)| severity == "note"), "{fits:?}");
    let peer = "at the other end: ethtool -K PEER gro on tx off";
    ensure!(fits.iter().any(|(_, mend)| mend == peer), "the program runs on a veth: {fits:?}");
    // Servers of nat go out through this machine.
    lab.balancer.sysctl("net.ipv4.ip_forward", "0")?;
    let (status, found_now) = found(&lab, "nat")?;
    ensure!(status == Some(0) && found_now.len() == fits.len() + 1, "{found_now:?}");
    ensure!(found_now.iter().any(|(_, mend)| mend == "sysctl -w net.ipv4.ip_forward=1"), "{found_now:?}");
    // A tunnel that is too narrow, and an interface that is down.
    let (status, narrow) = found(&lab, "ipip")?;
    ensure!(status == Some(1) && narrow.first().is_some_and(|(severity, _)| severity == "warning"), "{narrow:?}");
    lab.balancer.ip([format!("link set {DEVICE} down")])?;
    let (status, down) = found(&lab, "nat")?;
    let mend = ("warning".to_owned(), format!("ip link set {DEVICE} up"));
    ensure!(status == Some(1) && down.contains(&mend), "{down:?}");
    Ok(())
}
