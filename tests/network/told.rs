//! What the daemon tells of itself while it runs: metrics that Prometheus' own tool finds nothing wrong with, and events with what
//! caused them.

use crate::scene::{FAST_CHECK, More, SOON, Scene, WEBS, Way};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::Connection,
    lab::{Family, Lab, PROXY_VIP},
    origin::{Listen, Nginx},
    process, wait,
};
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

const METRICS: &str = "127.0.0.1:9100";
/// The alert rules, and the dashboard.
const PACKAGED: [&str; 2] = ["lb-userspace/package/alerts.yml", "lb-userspace/package/dashboard.json"];

fn scene(lab_log: &Path) -> Result<Scene> {
    let global = format!(
        "metrics = \"{METRICS}\"\nmetrics_names = [\"sluice\", \"haproxy\"]\nevent_log = \"file:{}\"\n",
        lab_log.display()
    );
    Scene::of(Way::within("nat", Family::V4), &WEBS, More { global: &global, ..More::default() })
}

/// Puts a frontend of the proxy beside the other.
fn add_proxy(scene: &Scene, lab: &Lab) -> Result<()> {
    let text = fs::read_to_string(scene.sluice.config())?;
    let proxy = format!(
        "\n[frontend.public]\nmode = \"http\"\nbind = \"{PROXY_VIP}:80\"\ndefault_backend = \"web\"\n[backend.web]\nbalance = \
         \"roundrobin\"\ncheck = {FAST_CHECK}\n{}",
        lab.servers("web", &["web1"], 8080)?
    );
    fs::write(scene.sluice.config(), text + &proxy)?;
    scene.sluice.command(&["reload"])
}

fn scrape(scene: &Scene, fields: &[&str]) -> Result<String> {
    let mut command = scene.lab.balancer.command("curl");
    command.args(["--silent", "--fail", "--max-time", "5"]);
    for field in fields {
        command.args(["--header", field]);
    }
    process::run(command.arg(format!("http://{METRICS}/metrics")))
}

/// What promtool says to the text of a scrape.
fn promtool(text: &str) -> Result<String> {
    let mut command = Command::new("promtool");
    let command =
        command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("promtool")?;
    child.stdin.take().context("its input")?.write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

#[test]
fn a_running_daemon_exports_what_alerts_and_dashboard_name_and_promtool_is_silent() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let scene = scene(&directory.path().join("events.log"))?;
    let site = Listen { site: "web", port: 8080, keep_alive: true };
    let _nginx = Nginx::start(scene.lab.machine("web1")?, scene.lab.directory(), &[site])?;
    add_proxy(&scene, &scene.lab)?;
    let web = "sluice_backend_servers_available{backend=\"web\"}";
    wait::until("the server to be up", SOON, || Ok(value(&scrape(&scene, &[])?, web).filter(|up| *up > 0.0)))?;
    let mut client = Connection::open(&scene.lab.client, (PROXY_VIP, 80).into())?;
    for _ in 0..3 {
        ensure!(client.get("/")?.status == 200);
    }
    let text = wait::until("three responses", SOON, || {
        let text = scrape(&scene, &[])?;
        let counted = value(&text, "sluice_backend_responses_total{backend=\"web\",code=\"2xx\"}");
        Ok((counted == Some(3.0)).then_some(text))
    })?;
    let said = promtool(&text)?;
    ensure!(said.is_empty(), "{said}\n{text}");
    let open = scrape(&scene, &["Accept: application/openmetrics-text;version=1.0.0"])?;
    ensure!(open.ends_with("# EOF\n"), "{open}");
    for (series, expected) in [
        ("sluice_frontend_responses_total{frontend=\"public\",code=\"2xx\"}", 3.0),
        ("haproxy_frontend_http_responses_total{proxy=\"public\",code=\"2xx\"}", 3.0),
        ("haproxy_server_status{proxy=\"web\",server=\"web1\",state=\"UP\"}", 1.0),
        ("sluice_interface_attached{", f64::NAN),
        ("sluice_sandbox_level{mechanism=\"rights\"}", 2.0),
        ("sluice_sandbox_level{mechanism=\"seccomp\"}", 2.0),
        ("sluice_events_total{event=\"reload\"}", 1.0),
        ("sluice_config_generation{}", 2.0),
    ] {
        let found = value(&text, series);
        ensure!(found == Some(expected) || (expected.is_nan() && text.contains(series)), "{series} {found:?}\n{text}");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for file in PACKAGED {
        let named = fs::read_to_string(root.join(file))?;
        let words = named.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in words.filter(|word| word.starts_with("sluice_")) {
            ensure!(
                text.contains(&format!("\n{name}{{")) || text.contains(&format!("# TYPE {name} ")),
                "{file}: {name}\n{text}"
            );
        }
    }
    scene.over()
}

/// The lines of the event log of that kind.
fn events(log: &Path, kind: &str) -> Result<Vec<Value>> {
    let text = fs::read_to_string(log)?;
    let lines: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>().context(text.clone())?;
    Ok(lines.into_iter().filter(|line| line["event"] == kind).collect())
}

fn wait_for(log: &Path, kind: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
    let what = format!("an event of {kind}");
    let found = wait::until(&what, SOON, || Ok(events(log, kind)?.into_iter().find(&is_it)));
    found.with_context(|| fs::read_to_string(log).unwrap_or_default())
}

#[test]
fn what_changes_is_in_the_event_log_with_what_caused_it() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let log = directory.path().join("events.log");
    let mut scene = scene(&log)?;
    wait_for(&log, "start", |event| event["process"] == "supervisor")?;
    wait_for(&log, "attach", |event| event["interface"].is_string())?;

    scene.lose("web2")?;
    let down = wait_for(&log, "server", |event| event["to"] == "down")?;
    ensure!(down["backend"] == "echo" && down["server"] == "web2" && down["from"] == "up", "{down}");
    ensure!(down["left"] == 2 && down["servers"] == 3 && down["level"] == "warning", "{down}");
    ensure!(down["reason"].as_str().is_some_and(|reason| reason.contains("L4CON")), "{down}");
    ensure!(down["lasted_s"].is_u64(), "{down}");
    scene.regain("web2")?;
    wait_for(&log, "server", |event| event["to"] == "up" && event["from"] == "down")?;

    scene.sluice.command(&["server", "drain", "echo/web1"])?;
    let asked = wait_for(&log, "asked", |event| event["request"].as_str().is_some_and(|it| it.contains("Drain")))?;
    ensure!(asked["uid"] == 0 && asked["pid"].as_u64().is_some_and(|pid| pid > 0), "{asked}");
    wait_for(&log, "admin", |event| event["to"] == "drain" && event["from"] == "ready" && event["by"] == "operator")?;

    let text = fs::read_to_string(scene.sluice.config())?;
    fs::write(scene.sluice.config(), text.replace("[backend.echo]", "[backend.echo]\ntransition = \"4m\""))?;
    scene.sluice.command(&["reload"])?;
    let reload = wait_for(&log, "reload", |event| event["generation"] == 2)?;
    ensure!(reload["changed"] == "backend.echo.transition" && reload["level"] == "info", "{reload}");
    fs::write(scene.sluice.config(), text.replace("[backend.echo]", "[backend.echo]\nnonsense = 1"))?;
    ensure!(!scene.sluice.cli(&["reload"])?.status.success());
    wait_for(&log, "reload", |event| event["error"].as_str().is_some_and(|error| error.contains("nonsense")))?;

    // Of a worker that dies the next one knows what the supervisor noted, and writes none of it twice.
    let before = fs::read_to_string(&log)?.lines().count();
    kill_process(scene.sluice.status()?.worker()?, Signal::KILL)?;
    wait_for(&log, "worker", |event| event["how"].is_string())?;
    ensure!(events(&log, "start")?.len() == 1 && fs::read_to_string(&log)?.lines().count() > before);
    let shown = wait::until("the next worker", SOON, || {
        let output = scene.sluice.cli(&["events", "--json"])?;
        Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
    })?;
    for kind in ["start", "attach", "reload", "worker"] {
        ensure!(shown.contains(&format!("\"event\":\"{kind}\"")), "no {kind} in:\n{shown}");
    }
    let words = scene.sluice.cli(&["events", "--kind", "reload", "--last", "1"])?;
    let words = String::from_utf8_lossy(&words.stdout).into_owned();
    ensure!(words.lines().count() == 1 && words.contains(" error reload: configuration refused"), "{words}");
    ensure!(scene.sluice.log().contains("server changed"), "the daemon's own log has lost it");
    scene.over()
}
