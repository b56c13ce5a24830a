//! What a reload would do, told beforehand, and reloads of files alone.

use crate::{
    certificates::made,
    reloads::{SITE, Scenario, config},
    scene::FAST_CHECK,
};
use anyhow::{Result, ensure};
use lb_tests::{
    client::Connection,
    lab::{Lab, PROXY_VIP},
    origin::Nginx,
    secret,
    sluice::{Sluice, complaint},
};
use std::fs;

#[test]
fn a_plan_tells_what_the_reload_then_does() -> Result<()> {
    let mut scenario = Scenario::start()?;
    let (lab, sluice) = (&scenario.lab, &scenario.sluice);
    let (path, pins) = (sluice.config().display().to_string(), lab.pins().display().to_string());
    let plan = |more: &[&str]| sluice.cli(&[&["plan", "--config", &path, "--pins", &pins], more].concat());
    let output = plan(&["--exit-code"])?;
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success() && shown == "nothing would change\n", "{shown}{}", complaint(&output));
    sluice.write_config(lab, &config(lab, 1)?)?;
    secret::keep(&lab.directory().join("certs/b.pem"), made("b.test")?.1)?;
    let output = plan(&["--exit-code"])?;
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code() == Some(2), "{shown}{}", complaint(&output));
    let lines = [
        "+ backend more1",
        "+ frontend more",
        "+ bind more 192.0.2.30:8081/tcp",
        "- server fast/web3",
        "~ frontend.web.maxconn: 10000 → 10001",
        "~ certificate certs/b.pem: new",
        "~ ring fast: ",
        "kernel: ",
    ];
    for line in lines {
        ensure!(shown.lines().any(|shown| shown.starts_with(line)), "no {line:?} in\n{shown}");
    }
    ensure!(sluice.status()?.frontends.iter().all(|it| it.name != "more"), "it did it");
    sluice.write_config(lab, "[frontend.web]\nmode = 3\n")?;
    ensure!(plan(&[])?.status.code() == Some(1), "a broken one");
    scenario.reload(1)?;
    let output = plan(&["--exit-code"])?;
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "nothing is left to do: {shown}{}", complaint(&output));
    scenario.sluice.stop()
}

#[test]
fn files_alone_are_taken_up_and_broken_ones_are_named() -> Result<()> {
    let lab = Lab::beside_others()?;
    let _nginx = Nginx::start(lab.machine("web1")?, lab.directory(), &[SITE])?;
    let list = lab.directory().join("hosts.lst");
    fs::write(&list, "refused.test\n")?;
    let bad = lab.directory().join("networks.lst");
    fs::write(&bad, "203.0.113.0/24\n")?;
    let config = format!(
        r#"
[frontend.web]
mode = "http"
bind = "{PROXY_VIP}:80"
acl.refused = "hdr(host) -f hosts.lst"
acl.away = "src -f networks.lst"
rule = [{{ if = "refused", deny = 403 }}, {{ if = "away", deny = 404 }}]
default_backend = "web"
[backend.web]
check = {FAST_CHECK}
{}"#,
        lab.servers("web", &["web1"], 8080)?
    );
    let mut sluice = Sluice::start(&lab, &config)?;
    let status =
        |host: &str| Connection::open(&lab.client, (PROXY_VIP, 80).into())?.host(host).get("/").map(|it| it.status);
    ensure!((status("refused.test")?, status("new.test")?) == (403, 200));
    // The text is half edited, one list is good, one is not.
    fs::write(sluice.config(), "[frontend.web\n")?;
    fs::write(&list, "refused.test\nnew.test\n")?;
    fs::write(&bad, "203.0.113.0/99\n")?;
    let output = sluice.cli(&["reload", "--only", "files"])?;
    ensure!(output.status.code() == Some(1) && complaint(&output).contains("networks.lst"), "{}", complaint(&output));
    ensure!((status("refused.test")?, status("new.test")?) == (403, 403), "the good one is there");
    fs::write(&bad, "203.0.113.0/24\n198.51.100.0/24\n")?;
    sluice.command(&["reload", "--only", "files"])?;
    ensure!((status("refused.test")?, status("other.test")?) == (403, 404), "the client is away");
    sluice.command(&["reload", "--only", "certificates"])?;
    ensure!(sluice.cli(&["reload"])?.status.code() == Some(1), "the text is still half edited");
    sluice.stop()
}
