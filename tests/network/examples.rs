//! The examples of the proxy with real clients and servers. The lab has their addresses, so little has to be changed.

use crate::certificates::made;
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::{Connection, Load, curl},
    lab::{BACKUP, CLIENT, Family, Lab, PROXY_VIP},
    origin::{
        Listen, Nginx,
        nginx::{self, More},
    },
    process, secret,
    sluice::Sluice,
    wait,
};
use std::{collections::BTreeSet, fs, iter, time::Duration};

/// Checks that see a change at once, also a server that takes connections and does not answer.
pub(crate) const QUICK: (&str, &str) = ("interval = \"2s\"", "interval = \"100ms\", timeout = \"1s\"");

/// Longest wait for such a check.
const VERDICT: Duration = Duration::from_secs(10);

/// Bytes that nothing on the way may take for its own.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    iter::repeat_with(|| random.u8(..)).take(length).collect()
}

/// An example as it runs in a lab, with these texts replaced. Its `[global]` table goes on with that of the lab.
pub(crate) fn adapted(example: &str, changes: &[(&str, &str)]) -> Result<String> {
    let mut text = example.replace("[global]\n", "");
    for (from, to) in changes {
        ensure!(text.contains(from), "nothing to replace: {from}");
        text = text.replace(from, to);
    }
    Ok(text)
}

/// Waits for a verdict.
pub(crate) fn wait_health(sluice: &Sluice, backend: &str, server: &str, health: &str) -> Result<()> {
    let found = || Ok((sluice.status()?.server(backend, server)?.health == health).then_some(()));
    wait::until(&format!("{server} to be {health}"), VERDICT, found)
}

/// The first words of what several requests for a URL get.
fn met(lab: &Lab, url: &str, arguments: &[&str]) -> Result<BTreeSet<String>> {
    let answers = curl(lab.client.command("curl"), &[arguments, &[url; 6]].concat())?;
    Ok(answers.lines().filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect())
}

fn names<const COUNT: usize>(names: [&str; COUNT]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[test]
fn web_asks_the_application_itself_and_has_a_backup() -> Result<()> {
    const SITE: Listen = Listen { site: "app", port: 8080, keep_alive: true };
    let lab = Lab::beside_others()?;
    let start = |name| Nginx::start(lab.machine(name)?, lab.directory(), &[SITE]);
    let (first, second, _backup) = (start("web1")?, start("web2")?, start(BACKUP)?);
    let sluice = Sluice::start(&lab, &adapted(include_str!("../../lb-userspace/examples/web.toml"), &[QUICK])?)?;
    let urls = [format!("http://{PROXY_VIP}/"), format!("http://[{}]/", Family::V6.proxy_vip())];
    let meets = |expected: BTreeSet<String>| {
        urls.iter().try_for_each(|url| {
            let met = met(&lab, url, &[])?;
            ensure!(met == expected, "{url}: {met:?}, not {expected:?}\n{}", sluice.log());
            Ok(())
        })
    };
    let health = |server, health| wait_health(&sluice, "my_app_be", server, health);
    meets(names(["web1", "web2"]))?;

    // It takes connections still, as the kernel does for it.
    first.freeze()?;
    health("node1", "down")?;
    meets(names(["web2"]))?;
    first.thaw()?;
    health("node1", "up")?;
    meets(names(["web1", "web2"]))?;

    first.kill()?;
    second.kill()?;
    health("node1", "down")?;
    health("node2", "down")?;
    meets(names([BACKUP]))?;
    let _second = start("web2")?;
    health("node2", "up")?;
    meets(names(["web2"]))
}

#[test]
fn routing_decides_by_host_and_path_behind_tls() -> Result<()> {
    let site = |site, port| Listen { site, port, keep_alive: true };
    let lab = Lab::beside_others()?;
    let start = |name, sites: &[Listen]| Nginx::start(lab.machine(name)?, lab.directory(), sites);
    let _servers = [
        start("web1", &[site("web", 8080), site("api", 8081)])?,
        start("web2", &[site("web", 8080), site("api", 8081)])?,
        start("web3", &[site("admin", 8082)])?,
    ];
    let (certs, hosts) = (lab.directory().join("certs"), ["www.example.com", "api.example.com"]);
    fs::create_dir_all(&certs)?;
    let mut believed = String::new();
    for host in hosts {
        let (certificate, with_key) = made(host)?;
        secret::keep(&certs.join(format!("{host}.pem")), with_key)?;
        believed += &certificate;
    }
    let authorities = lab.directory().join("believed.pem");
    fs::write(&authorities, believed)?;
    let example = include_str!("../../lb-userspace/examples/routing.toml");
    let config = adapted(example, &[("certificates = \"/etc/sluice/certs\"", "certificates = \"certs\"")])?;
    let sluice = Sluice::start(&lab, &config)?;

    let resolved: Vec<_> =
        hosts.iter().flat_map(|host| [80, 443].map(|port| format!("{host}:{port}:{PROXY_VIP}"))).collect();
    let resolved = resolved.iter().flat_map(|line| ["--resolve", line]);
    let authorities = authorities.to_str().context("a name")?;
    let common: Vec<_> = ["--cacert", authorities].into_iter().chain(resolved).collect();
    let ask = |arguments: &[&str]| {
        let answer = curl(lab.client.command("curl"), &[&common, arguments].concat());
        answer.with_context(|| format!("{arguments:?}\n{}", sluice.log()))
    };
    for (url, site) in [
        ("https://www.example.com/", "web"),
        ("https://www.example.com/administration", "web"),
        ("https://www.example.com/admin/users", "admin"),
        ("https://api.example.com/", "api"),
        ("https://api.example.com/admin/", "api"),
    ] {
        let answer = ask(&[url])?;
        ensure!(answer.trim_end().ends_with(&format!(" {site}")), "{url}: {answer}");
    }
    let odd = ask(&["--header", "Host: API.Example.com", "https://api.example.com/"])?;
    ensure!(odd.trim_end().ends_with(" api"), "{odd}");
    let version = ask(&["--write-out", "%{http_version}", "https://www.example.com/"])?;
    ensure!(version.ends_with("\n2"), "{version}");
    let redirected = ask(&["--write-out", "%{http_code} %{redirect_url}", "http://www.example.com/a?b=c"])?;
    ensure!(redirected.ends_with("301 https://www.example.com/a?b=c"), "{redirected}");
    let followed = ask(&["--location", "http://api.example.com/"])?;
    ensure!(followed.trim_end().ends_with(" api"), "{followed}");
    Ok(())
}

#[test]
fn tls_passthrough_leaves_all_bytes_to_the_servers() -> Result<()> {
    const LENGTH: usize = 4_000_000;
    const URL: &str = "https://www.example.com/";
    let site = |port| Listen { site: "tls", port, keep_alive: true };
    let lab = Lab::beside_others()?;
    let large = lab.directory().join("large");
    fs::write(&large, noise(LENGTH))?;
    let (mut servers, mut believed) = (Vec::new(), String::new());
    for (name, host) in [("web1", "www.example.com"), ("web2", "www.example.com"), ("web3", "git.example.com")] {
        let (certificate, with_key) = made(host)?;
        let file = lab.directory().join(format!("{name}.pem"));
        fs::write(&file, with_key)?;
        fs::write(lab.directory().join(format!("{name}.crt")), &certificate)?;
        believed += &certificate;
        let (file, root) = (file.display(), lab.directory().display());
        let directives = format!(
            "ssl_certificate {file}; ssl_certificate_key {file}; add_header X-Client $proxy_protocol_addr always; \
             location = /large {{ root {root}; }}"
        );
        for (port, listen) in [(8443, "ssl http2"), (9443, "ssl http2 proxy_protocol")] {
            let directory = lab.directory().join(port.to_string());
            let more = More { listen, directives: &directives };
            servers.push(Nginx::start_with(lab.machine(name)?, &directory, &[site(port)], more)?);
        }
    }
    fs::write(lab.directory().join("all.crt"), believed)?;
    let example = include_str!("../../lb-userspace/examples/tls-passthrough.toml");
    let sluice = Sluice::start(&lab, &adapted(example, &[])?)?;

    let resolved = ["www.example.com", "git.example.com"].map(|host| format!("{host}:443:{PROXY_VIP}"));
    let ask = |believed: &str, arguments: &[&str]| {
        let believed = lab.directory().join(believed).display().to_string();
        let common = ["--resolve", &resolved[0], "--resolve", &resolved[1], "--cacert", &believed];
        curl(lab.client.command("curl"), &[&common, arguments].concat())
    };
    let mut met = BTreeSet::new();
    for _ in 0..4 {
        let answer = ask("all.crt", &["--write-out", "%{http_version}", URL])?;
        let name = answer.split(' ').next().context("a name")?.to_owned();
        ensure!(answer.ends_with("\n2"), "the servers speak HTTP/2: {answer}");
        met.insert(name);
    }
    ensure!(met == names(["web1", "web2"]), "{met:?}");
    for _ in 0..3 {
        let answer = ask("all.crt", &["https://git.example.com/"])?;
        ensure!(answer.starts_with("web3 "), "by the name that it asks for: {answer}");
    }
    for _ in 0..2 {
        let back = lab.directory().join("back");
        ask("all.crt", &["--output", back.to_str().context("a name")?, &format!("{URL}large")])?;
        ensure!(fs::read(back)? == fs::read(&large)?, "other bytes came than were sent");
    }
    // The certificate is the server's own: who believes one server alone meets that one or none.
    let alone: Vec<_> = (0..4).map(|_| ask("web1.crt", &[URL])).collect();
    let (met, refused): (Vec<_>, Vec<_>) = alone.into_iter().partition(Result::is_ok);
    ensure!(met.len() == 2 && met.into_iter().flatten().all(|answer| answer.starts_with("web1 ")));
    ensure!(refused.into_iter().filter_map(Result::err).all(|error| format!("{error:#}").contains("certificate")));

    let told = adapted(example, &[("# send_proxy", "send_proxy"), (":8443\"", ":9443\"")])?;
    sluice.write_config(&lab, &told)?;
    sluice.command(&["reload"])?;
    let answer = ask("all.crt", &["--include", URL])?;
    ensure!(answer.contains(&format!("\r\nx-client: {CLIENT}\r\n")), "{answer}");
    Ok(())
}

#[test]
fn reload_goes_on_with_everything_and_a_server_that_is_gone_costs_no_request() -> Result<()> {
    const SITE: Listen = Listen { site: "web", port: 8080, keep_alive: true };
    let lab = Lab::beside_others()?;
    let start = |name| Nginx::start(lab.machine(name)?, lab.directory(), &[SITE]);
    let (first, _second) = (start("web1")?, start("web2")?);
    let config = adapted(include_str!("../../lb-userspace/examples/reload.toml"), &[])?;
    let sluice = Sluice::start(&lab, &config)?;
    let sockets = process::run(lab.balancer.command("ss").args(["-Hltn", "sport = :80"]))?;
    ensure!(sockets.lines().count() == 4, "one a thread: {sockets}");

    let address = (PROXY_VIP, 80).into();
    let mut kept = Connection::open(&lab.client, address)?;
    ensure!(kept.get("/")?.status == 200);
    let load = Load::start(&lab.client, address);
    for round in 0..6 {
        // Each other time there is another frontend, and another timeout.
        let other = "[frontend.more]\nmode = \"http\"\nbind = \"*:81\"\ndefault_backend = \"web_be\"\n";
        let changed = config.replace("timeout_server = \"60s\"", "timeout_server = \"50s\"") + "\n" + other;
        sluice.write_config(&lab, if round % 2 == 0 { &changed } else { &config })?;
        sluice.command(&["reload"])?;
    }
    let exchanges = load.stop()?;
    let failed: Vec<_> = exchanges.iter().filter_map(|exchange| exchange.result.as_ref().err()).collect();
    ensure!(exchanges.len() > 20 && failed.is_empty(), "of {} requests: {failed:?}", exchanges.len());
    ensure!(kept.get("/")?.status == 200, "the connection from before");
    ensure!(sluice.status()?.generation == 7);

    // The address is another frontend's from now on.
    let (load, web2) = (Load::start(&lab.client, address), lab.directory().join("web2"));
    let before = nginx::requests(&web2, "web")?;
    sluice.write_config(&lab, &config.replace("[frontend.www]", "[frontend.site]"))?;
    sluice.command(&["reload"])?;
    wait::until("more requests", VERDICT, || Ok((nginx::requests(&web2, "web")? > before + 50).then_some(())))?;
    let exchanges = load.stop()?;
    let failed: Vec<_> = exchanges.iter().filter_map(|exchange| exchange.result.as_ref().err()).collect();
    ensure!(failed.is_empty(), "of {} requests: {failed:?}", exchanges.len());

    // The check needs some seconds to find out.
    first.kill()?;
    for _ in 0..20 {
        let answer = Connection::open(&lab.client, address)?.get("/")?;
        ensure!((answer.status, answer.server.as_str()) == (200, "web2"), "{answer:?}");
    }
    ensure!(sluice.status()?.server("web_be", "web1")?.health == "up", "these were found out by the requests alone");
    Ok(())
}
