//! The statistics page as people see it, in a real browser, and as tools read it. With `SLUICE_SCREENSHOTS=DIRECTORY` what the
//! browser shows is kept there.

use crate::scene::{self, FAST_CHECK, SOON};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::{Connection, Flows},
    lab::{Family, Lab, PROXY_VIP},
    origin::{Echo, Listen, Nginx},
    process::{self, Process},
    sluice::Sluice,
    wait,
};
use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

const SITE: Listen = Listen { site: "web", port: 8080, keep_alive: true };
const BROWSER: &str = "chromium-headless-shell";
const PAGE: &str = "127.0.0.1:8404";
const EXPORTER: &str = "127.0.0.1:9102";
/// A scheme of colours, as the browser counts them.
const DARK: u8 = 0;
const LIGHT: u8 = 1;

/// Both halves, and a page for an operator whose password is `secret`.
fn balancer(lab: &Lab) -> Result<Sluice> {
    let config = format!(
        r#"{}
[frontend.www]
mode = "http"
bind = ["{PROXY_VIP}:80"]
default_backend = "web"
[backend.web]
balance = "roundrobin"
check = {FAST_CHECK}
{}
[stats_page.operators]
bind = "{PAGE}"
refresh = "10s"
admin = true
node = "lb1"
user = [{{ name = "operator", insecure_password = "secret" }}]
"#,
        scene::config(lab, "nat", &["web1", "web2"])?,
        lab.servers("web", &["web1", "web2", "web3"], SITE.port)?,
    );
    Sluice::start(lab, &config)
}

/// What a browser shows of an address: the document as it understands it, and a picture of that name.
fn browse(lab: &Lab, url: &str, (width, height): (u32, u32), colours: u8, picture: &str) -> Result<(String, PathBuf)> {
    let directory = env::var_os("SLUICE_SCREENSHOTS").map_or_else(|| lab.directory().to_owned(), PathBuf::from);
    let picture = directory.join(format!("{picture}.png"));
    let mut command = lab.balancer.command(BROWSER);
    command.args([
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--no-first-run",
        "--disable-background-networking",
    ]);
    command.arg(format!("--user-data-dir={}", lab.directory().join("browser").display()));
    command.arg(format!("--blink-settings=preferredColorScheme={colours}"));
    command.arg(format!("--window-size={width},{height}"));
    command.arg(format!("--screenshot={}", picture.display())).args(["--dump-dom", url]);
    Ok((process::run(&mut command)?, picture))
}

/// Width and height of a picture, if it shows something.
fn size(picture: &Path) -> Result<(u32, u32)> {
    let bytes = fs::read(picture)?;
    ensure!(bytes.starts_with(b"\x89PNG") && bytes.len() > 10_000, "{} bytes of no picture", bytes.len());
    let number = |at: usize| {
        let digits = bytes.get(at..at + 4).and_then(|digits| <[u8; 4]>::try_from(digits).ok());
        digits.map(u32::from_be_bytes).context("a size")
    };
    Ok((number(16)?, number(20)?))
}

/// The address of the page for somebody who says that password.
fn address(password: &str) -> String {
    format!("http://operator:{password}@{PAGE}/stats")
}

/// What the page answers to a form, as a browser sends it from that site.
fn send(lab: &Lab, origin: &str, site: &str, form: &str) -> Result<String> {
    let mut command = lab.balancer.command("curl");
    command.args(["--silent", "--show-error", "--include", "--data", form, "--header", &format!("Origin: {origin}")]);
    process::run(command.args(["--header", &format!("Sec-Fetch-Site: {site}"), &address("secret")]))
}

/// What is wanted of the first server.
fn wanted(sluice: &Sluice) -> Result<String> {
    let status = sluice.status()?;
    let web = status.backends.iter().find(|backend| backend.name == "web").context("a backend")?;
    Ok(web.servers.first().context("a server")?.admin.clone())
}

#[test]
fn a_browser_shows_both_halves_what_fails_and_obeys_nobody_elses_forms() -> Result<()> {
    let lab = Lab::beside_others()?;
    let start = |name| Nginx::start(lab.machine(name)?, lab.directory(), &[SITE]);
    let (_first, second, _third) = (start("web1")?, start("web2")?, start("web3")?);
    let echo = |name| Echo::start(lab.machine(name)?, scene::PORT, lab.directory());
    let _echoes = (echo("web1")?, echo("web2")?);
    let mut sluice = balancer(&lab)?;
    let vip = (Family::V4.nat_vip(), scene::PORT).into();
    let mut flows = Flows::open(&lab.client, vip, 20)?;
    flows.exchange("hello")?;
    for _ in 0..30 {
        ensure!(Connection::open(&lab.client, (PROXY_VIP, 80).into())?.get("/")?.status == 200);
    }
    let (page, picture) = browse(&lab, &address("secret"), (1400, 1000), LIGHT, "wide-light")?;
    ensure!(size(&picture)? == (1400, 1000));
    for part in ["<title>lb1 · Sluice</title>", "10.1.1.11:8080", ">30</td>", "5<small>/5</small>", "3 of 3 up", "L4OK"]
    {
        ensure!(page.contains(part), "{part} is not in:\n{page}");
    }
    let token = page.split_once("name=\"token\" value=\"").and_then(|(_, rest)| rest.split_once('"'));
    let token = token.context("a token")?.0.to_owned();

    // Somebody else's page, which has got hold of the token even, and whose visitor is known to us.
    let evil = lab.directory().join("evil.html");
    let form = format!(
        "<form method=post action='{}'><input name=token value='{token}'><input name=b value=web><input name=s value=web1>\
         <input name=action value=maint></form><script>document.forms[0].submit()</script>",
        address("secret")
    );
    fs::write(&evil, form)?;
    let (refused, _) = browse(&lab, &format!("file://{}", evil.display()), (1400, 400), LIGHT, "elsewhere")?;
    ensure!(refused.contains("this does not come from the statistics page"), "{refused}");
    let (own, elsewhere) = (format!("http://{PAGE}"), "http://evil.example");
    let form = format!("token={token}&b=web&s=web1&action=maint");
    ensure!(send(&lab, elsewhere, "cross-site", &form)?.starts_with("HTTP/1.1 403 "));
    ensure!(send(&lab, &own, "same-origin", &form.replace(&token, "AAAA"))?.starts_with("HTTP/1.1 403 "));
    ensure!(wanted(&sluice)? == "ready");
    let done = send(&lab, &own, "same-origin", &form)?;
    ensure!(done.starts_with("HTTP/1.1 303 ") && done.contains("location: /stats;st=DONE"), "{done}");
    ensure!(wanted(&sluice)? == "maint");

    second.kill()?;
    let down = |text: &str| text.contains("class=\"state down\">DOWN");
    let down = wait::until("a server that is down", SOON, || {
        let page = process::run(lab.balancer.command("curl").args(["--silent", &address("secret")]))?;
        Ok(down(&page).then_some(page))
    })?;
    ensure!(down.contains("L4CON") && down.contains("web2"), "{down}");
    let shown = address("secret") + ";st=DONE";
    let (page, picture) = browse(&lab, &shown, (390, 3_000), DARK, "narrow-dark")?;
    ensure!(size(&picture)?.0 == 390);
    for part in ["class=\"state down\">DOWN", "class=\"state maint\">MAINT", "Action processed successfully."] {
        ensure!(page.contains(part), "{part} is not in:\n{page}");
    }
    let (refused, _) = browse(&lab, &address("wrong"), (390, 400), LIGHT, "refused")?;
    ensure!(!refused.contains("web1"), "{refused}");
    if scene::is_long() || env::var_os("SLUICE_SCREENSHOTS").is_some() {
        browse(&lab, &shown, (1400, 1000), DARK, "wide-dark")?;
        browse(&lab, &shown, (390, 3_000), LIGHT, "narrow-light")?;
        browse(&lab, &shown, (1000, 1_200), LIGHT, "middle-light")?;
    }
    drop(flows);
    sluice.stop()
}

#[test]
fn haproxys_exporter_reads_the_page() -> Result<()> {
    let lab = Lab::beside_others()?;
    let _nginx = Nginx::start(lab.machine("web1")?, lab.directory(), &[SITE])?;
    let sluice = balancer(&lab)?;
    let mut command = lab.balancer.command("prometheus-haproxy-exporter");
    command.arg(format!("--haproxy.scrape-uri={};csv", address("secret")));
    command.arg(format!("--web.listen-address={EXPORTER}"));
    let mut exporter = Process::spawn("exporter", &mut command, lab.directory())?;
    let scrape =
        || process::run(lab.balancer.command("curl").args(["-sS", "--fail", &format!("http://{EXPORTER}/metrics")]));
    let lines = [
        "haproxy_up 1",
        "haproxy_exporter_csv_parse_failures_total 0",
        "haproxy_server_up{backend=\"web\",server=\"web1\"} 1",
        "haproxy_server_up{backend=\"web\",server=\"web2\"} 0",
        "haproxy_backend_up{backend=\"web\"} 1",
    ];
    let is_all = |scraped: &String| lines.iter().all(|line| scraped.lines().any(|known| known == *line));
    wait::until("the exporter", SOON, || Ok(scrape().ok().filter(is_all)))
        .with_context(|| scrape().unwrap_or_default())?;
    exporter.kill()?;

    // What is said of the page in the file counts from a reload on, and an upgrade hands its socket on.
    let csv = |password: &str| {
        let url = address(password) + ";csv";
        process::run(lab.balancer.command("curl").args(["--silent", "--max-time", "3", "--fail", &url]))
    };
    let text = fs::read_to_string(sluice.config())?;
    fs::write(sluice.config(), text.replace("\"secret\"", "\"another\""))?;
    sluice.command(&["reload"])?;
    ensure!(csv("secret").is_err() && csv("another")?.starts_with("# pxname,svname"));
    sluice.command(&["upgrade"])?;
    let answered = wait::until("the page of the new daemon", SOON, || Ok(csv("another").ok()))?;
    ensure!(answered.contains("\nweb,web1,"), "{answered}");
    let new = rustix::process::Pid::from_raw(sluice.status()?.pid).context("a process")?;
    rustix::process::kill_process(new, rustix::process::Signal::TERM)?;
    wait::until("the end of the new daemon", Duration::from_secs(10), || Ok(csv("another").is_err().then_some(())))
}
