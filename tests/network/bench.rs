//! The benches, shortly: not for the figures, but so that all that they compare goes on answering.

use anyhow::{Context, Result, ensure};
use lb_tests::{binary, turn::Turn};
use serde_json::Value;
use std::process::Command;

/// One round of a bench, and what it measured.
fn one_round(bench: &str) -> Result<Value> {
    let _turn = Turn::alone();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args([bench, "--rounds=1", "--seconds=1", "--json=-"]).env("SLUICE_BIN", binary()?);
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn the_bench_measures_every_way_to_a_server() -> Result<()> {
    let result = one_round("e2e")?;
    let ways = result["ways"].as_array().context("no ways")?;
    let names: Vec<_> = ways.iter().filter_map(|way| way["name"].as_str()).collect();
    for name in ["no balancer", "direct", "nat", "ipip", "gue", "fullnat", "nftables", "HAProxy"] {
        ensure!(names.contains(&name), "{name} is missing: {names:?}");
    }
    let fastest = ways.iter().filter_map(|way| way["requests_per_second"]["median"].as_f64()).fold(0.0, f64::max);
    ensure!(fastest > 1_000.0, "{result:#}");
    Ok(())
}

#[test]
fn the_bench_measures_every_kind_of_work_of_the_proxy() -> Result<()> {
    let result = one_round("proxy")?;
    let rows = result["rows"].as_array().context("no rows")?;
    let of = |name: &str| rows.iter().filter(|row| row["balancer"] == name).count();
    ensure!([of("Sluice"), of("HAProxy"), of("nginx")] == [6, 6, 5], "{result:#}");
    for row in rows {
        let cost = row["cpu_microseconds_per_request"]["median"].as_f64().context("no cost")?;
        ensure!(cost > 1.0, "a request costs nothing: {row:#}");
    }
    ensure!(result["tls"] == "TLSv1_3 TLS13_AES_128_GCM_SHA256 X25519", "{}", result["tls"]);
    ensure!(result["idle_tls"].as_array().is_some_and(|idle| idle.len() == 3), "{result:#}");
    Ok(())
}
