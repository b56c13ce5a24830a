//! `bench e2e`, shortly: not for the figures, but so that every way stays open to requests.

use anyhow::{Context, Result, ensure};
use lb_tests::binary;
use std::process::Command;

#[test]
fn the_bench_measures_every_way_to_a_server() -> Result<()> {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_bench"));
    bench.args(["e2e", "--rounds=1", "--seconds=1", "--json=-"]).env("SLUICE_BIN", binary()?);
    let output = bench.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let ways = result["ways"].as_array().context("no ways")?;
    let names: Vec<_> = ways.iter().filter_map(|way| way["name"].as_str()).collect();
    for name in ["no balancer", "direct", "nat", "ipip", "gue", "fullnat", "nftables", "HAProxy"] {
        ensure!(names.contains(&name), "{name} is missing: {names:?}");
    }
    let fastest = ways.iter().filter_map(|way| way["requests_per_second"]["median"].as_f64()).fold(0.0, f64::max);
    ensure!(fastest > 1_000.0, "{result:#}");
    Ok(())
}
