//! Checks of databases that log in: real servers, in every state that a balancer should see.

mod mariadb;
mod mysql8;
mod pgsql;

use crate::{certificates::made, scene::SOON};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::sql,
    lab::{Lab, Machine, NAT_VIP, PROXY_VIP},
    origin::MariaDb,
    secret,
    sluice::Sluice,
    wait,
};
use std::{fmt::Write as _, fs, time::Duration};

/// Longest wait for a verdict: of a server that does not answer, two timeouts.
const VERDICT: Duration = Duration::from_secs(20);
/// Sees a change at once, also that a server takes connections and does not answer.
const QUICK: &str = "interval = \"200ms\", timeout = \"3s\", rise = 2, fall = 2";
/// Who answers in TLS.
const NAME: &str = "db.test";

/// What a check finds in the end.
#[derive(Clone, Copy, Debug)]
enum End {
    Up,
    /// For a reason with these words.
    Down(&'static str),
}

/// A backend by its name, port and the keys of its check, and how its only server ends up.
type Checked<'a> = (&'a str, u16, String, End);

/// A backend of one server with that check.
fn backend(number: u16, name: &str, server: (&Machine, u16), check: &str) -> String {
    let (machine, port) = server;
    format!(
        "[frontend.{name}]\nmode = \"tcp\"\nbind = \"{PROXY_VIP}:{}\"\ndefault_backend = \"{name}\"\n\n\
         [backend.{name}]\nmode = \"tcp\"\ncheck = {{ {check}, {QUICK} }}\n\
         server = [{{ name = \"{}\", address = \"{}:{port}\" }}]\n\n",
        10_000 + number,
        machine.name,
        machine.address
    )
}

/// All of them, on that machine.
fn backends(machine: &Machine, checked: &[Checked<'_>]) -> String {
    (0..).zip(checked).map(|(number, (name, port, check, _))| backend(number, name, (machine, *port), check)).collect()
}

/// Waits until all end up as they should.
fn settled(sluice: &Sluice, checked: &[Checked<'_>]) -> Result<()> {
    checked.iter().try_for_each(|(name, _, _, end)| match end {
        End::Up => up(sluice, name),
        End::Down(words) => verdict(sluice, name, "down", words),
    })?;
    ensure!(!sluice.log().contains(sql::PASSWORD), "the password is in the log");
    Ok(())
}

/// Waits until a backend's only server is up.
fn up(sluice: &Sluice, name: &str) -> Result<()> {
    let is_up = || {
        let status = sluice.status()?;
        let of = status.backends.iter().find(|of| of.name == name).context("no such backend")?;
        Ok(of.servers.iter().all(|server| server.health == "up").then_some(()))
    };
    wait::until(&format!("{name} to be up"), VERDICT, is_up).with_context(|| sluice.log())
}

/// Waits until the last change of a backend's only server was to `to`, for a reason with these words.
fn verdict(sluice: &Sluice, backend: &str, to: &str, words: &str) -> Result<()> {
    let last = || anyhow::Ok(sluice.status()?.failovers.into_iter().rfind(|change| change.backend == backend));
    let is_it = || Ok(last()?.filter(|change| change.to == to && change.reason.contains(words)).map(drop));
    let reached = wait::until(&format!("{backend} to be {to} because of {words}"), VERDICT, is_it);
    reached.with_context(|| format!("last: {:?}\n{}", last(), sluice.log()))
}

/// Files with passwords, as keys of a check: the right one and another.
fn passwords(lab: &Lab) -> Result<[String; 2]> {
    let written = |name: &str, password: &str| {
        let path = lab.directory().join(name);
        secret::keep(&path, format!("{password}\n"))?;
        anyhow::Ok(format!("password_file = \"{}\"", path.display()))
    };
    Ok([written("right", sql::PASSWORD)?, written("wrong", "another")?])
}

/// Certificate and key of a server, and the key of a check that believes it.
fn certificate(lab: &Lab) -> Result<(String, String, String)> {
    let (certificate, with_key) = made(NAME)?;
    let path = lab.directory().join("authority.pem");
    fs::write(&path, &certificate)?;
    let key = with_key.strip_prefix(&certificate).context("a key")?.to_owned();
    Ok((certificate, key, format!("tls = {{ ca = \"{}\", sni = \"{NAME}\" }}", path.display())))
}

/// The port of a server is open and its users log in, but the check's cannot.
#[test]
fn a_login_that_is_refused_leaves_ring_and_proxy_alike() -> Result<()> {
    let lab = Lab::beside_others()?;
    let names = ["web1", "web2"];
    let start = |name| MariaDb::start(lab.machine(name)?, lab.directory());
    let [first, second] = [start(names[0])?, start(names[1])?];
    for server in [&first, &second] {
        server.admin(&format!("create user checker@'%' identified by '{}'", sql::PASSWORD))?;
    }
    let [right, _] = passwords(&lab)?;
    let mut config = String::new();
    for (name, mode, address) in [("ring", "l4", NAT_VIP), ("proxy", "tcp", PROXY_VIP)] {
        writeln!(config, "[frontend.{name}]\nmode = \"{mode}\"\nbind = \"{address}:3306\"\ndefault_backend = \"db\"")?;
    }
    writeln!(config, "[backend.db]\nbalance = \"maglev\"\nforward = \"nat\"")?;
    writeln!(config, "check = {{ type = \"mysql\", user = \"checker\", {right}, {QUICK} }}")?;
    config += &lab.servers("db", &names, 3306)?;
    let sluice = Sluice::start(&lab, &config)?;
    let only = |servers: &[&str]| {
        sluice.wait_shares("db", SOON, |shares| shares.keys().eq(servers.iter()))?;
        for vip in [NAT_VIP, PROXY_VIP] {
            for _ in 0..6 {
                let met = sql::mariadb(&lab.client, vip.into(), &["select name from who"])?;
                ensure!(servers.contains(&met.trim()), "{vip} leads to {met}");
            }
        }
        anyhow::Ok(())
    };
    only(&names)?;
    first.admin("alter user checker@'%' account lock")?;
    verdict(&sluice, "db", "down", "L7STS refused login, error 4151")?;
    only(&names[1..])?;
    first.admin("alter user checker@'%' account unlock")?;
    verdict(&sluice, "db", "up", "L7OK")?;
    only(&names)
}
