//! MariaDB, and what it thinks of those who check it.

use super::{
    End::{Down, Up},
    QUICK, backend, backends, certificate, passwords, settled, up, verdict,
};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::sql,
    lab::{Lab, SERVER_GATEWAY},
    origin::MariaDb,
    sluice::Sluice,
    wait,
};
use std::{fs, net::TcpListener, time::Duration};

const DENIED: &str = "L7STS refused login, error 1045 (28000): \"Access denied for user ";

#[test]
fn a_check_of_mariadb_asks_what_it_is_told_to() -> Result<()> {
    let lab = Lab::beside_others()?;
    let machine = lab.machine("web1")?;
    let (certified, key, tls) = certificate(&lab)?;
    let file = |name: &str, pem: &str| {
        let path = lab.directory().join(name);
        fs::write(&path, pem)?;
        anyhow::Ok(path.display().to_string())
    };
    let certificate = format!("--ssl-cert={}", file("server.pem", &certified)?);
    let key = format!("--ssl-key={}", file("server.key", &key)?);
    let server = MariaDb::start_with(machine, lab.directory(), &["--skip-name-resolve", &certificate, &key])?;
    let secure = format!("create user secure@'%' identified by '{}' require ssl", sql::PASSWORD);
    server.admin(&format!("create user haproxy@'%'; {secure}"))?;
    let _mute = machine.namespace.run(|| TcpListener::bind((machine.address, 9)))??;
    let [right, wrong] = passwords(&lab)?;
    let check = |user: &str, more: &str| format!("type = \"mysql\", user = \"{user}\", {right}{more}");
    let blind = |user: &str, form: &str| format!("type = \"mysql\", user = \"{user}\", login = \"{form}\"");
    let (tls, stranger) = (format!(", {tls}"), format!(", {}", tls.replace("db.test", "other.test")));
    let who = ", database = \"app\", query = \"select 1, name from who\", expect = [\"web2\", \"web1\"]";
    let table = ", query = \"select * from app.nothing\"";
    let checked = [
        ("login", 3306, check("app", ""), Up),
        ("who", 3306, check("app", who), Up),
        ("encrypted", 3306, check("app", &tls), Up),
        ("secure", 3306, check("secure", &tls), Up),
        ("nopass", 3306, "type = \"mysql\", user = \"haproxy\"".to_owned(), Up),
        ("post41", 3306, blind("haproxy", "post-41"), Up),
        ("post80", 3306, blind("haproxy", "post-80"), Up),
        ("greeting", 3306, "type = \"mysql\"".to_owned(), Up),
        ("denied", 3306, format!("type = \"mysql\", user = \"app\", {wrong}"), Down(DENIED)),
        ("nobody", 3306, check("nobody", ""), Down(DENIED)),
        ("plain", 3306, check("secure", ""), Down(DENIED)),
        ("blind", 3306, blind("app", "post-41"), Down("L7STS refused, error 1045 (28000): \"Access denied for user ")),
        ("table", 3306, check("app", table), Down("L7STS refused query, error 1146 (42S02): \"Table ")),
        ("stranger", 3306, check("app", &stranger), Down("L6RSP the server's certificate")),
        ("mute", 9, check("app", ""), Down("L7TOUT waiting for the greeting")),
        ("closed", 10, check("app", ""), Down("L4CON connection refused")),
    ];
    let sluice = Sluice::start(&lab, &backends(machine, &checked))?;
    settled(&sluice, &checked)
}

#[test]
fn a_check_of_mariadb_follows_it_through_all_that_may_happen() -> Result<()> {
    let lab = Lab::beside_others()?;
    let machine = lab.machine("web1")?;
    let server = MariaDb::start(machine, lab.directory())?;
    let [right, _] = passwords(&lab)?;
    let login = format!("type = \"mysql\", user = \"app\", {right}");
    let writable = format!("{login}, query = \"SELECT @@global.read_only\", expect = \"0\"");
    let checked = [("login", 3306, login, Up), ("writable", 3306, writable, Up)];
    let sluice = Sluice::start(&lab, &backends(machine, &checked))?;
    settled(&sluice, &checked)?;

    server.admin("set global read_only = 1")?;
    verdict(&sluice, "writable", "down", "L7STS another answer to the query: \"1\"")?;
    up(&sluice, "login")?;
    server.admin("set global read_only = 0")?;
    verdict(&sluice, "writable", "up", "L7OK \"0\"")?;

    server.admin("alter user app@'%' account lock")?;
    let locked = "L7STS refused login, error 4151 (HY000): \"Access denied, this account is locked\"";
    verdict(&sluice, "login", "down", locked)?;
    server.admin("alter user app@'%' account unlock")?;
    verdict(&sluice, "login", "up", "MariaDB")?;

    server.freeze()?;
    verdict(&sluice, "login", "down", "L7TOUT waiting for the greeting")?;
    server.thaw()?;
    verdict(&sluice, "login", "up", "MariaDB")?;

    // What it says to the balancer gets lost.
    machine.namespace.ip([format!("route add blackhole {SERVER_GATEWAY}/32")])?;
    verdict(&sluice, "login", "down", "L4TOUT")?;
    machine.namespace.ip([format!("route del blackhole {SERVER_GATEWAY}/32")])?;
    verdict(&sluice, "login", "up", "MariaDB")?;

    server.kill()?;
    verdict(&sluice, "login", "down", "L4CON connection refused")?;
    let _again = MariaDb::start(machine, lab.directory())?;
    verdict(&sluice, "login", "up", "MariaDB")
}

/// It refuses a host of which ten connections broke off in a row; the control shows that it does.
#[test]
fn a_thousand_checks_leave_no_trace_in_mariadbs_counts() -> Result<()> {
    let lab = Lab::beside_others()?;
    let machine = lab.machine("web1")?;
    let server = MariaDb::start_with(machine, lab.directory(), &["--max-connect-errors=10"])?;
    let [right, _] = passwords(&lab)?;
    let config = |keys: &str| {
        let check = format!("type = \"mysql\", {keys}");
        backend(0, "db", (machine, 3306), &check).replace(QUICK, "interval = \"10ms\", timeout = \"3s\"")
    };
    let asked = format!("user = \"app\", {right}, query = \"SELECT @@global.read_only\", expect = \"0\"");
    let count = |name: &str| -> Result<u64> {
        let said = server.admin(&format!("show global status like '{name}'"))?;
        said.split_whitespace().nth(1).and_then(|count| count.parse().ok()).context(said)
    };
    let aborted = || anyhow::Ok([count("Aborted_clients")?, count("Aborted_connects")?]);
    let sluice = Sluice::start(&lab, &config(&asked))?;
    up(&sluice, "db")?;
    let (before, begun) = (aborted()?, count("Connections")?);
    // Each question of ours is one of them.
    let enough = || Ok((count("Connections")? >= begun + 1_100).then_some(()));
    let mut asked_for = 0_u64;
    wait::until("a thousand checks", Duration::from_mins(2), || {
        asked_for += 1;
        std::thread::sleep(Duration::from_millis(500));
        enough()
    })?;
    ensure!(aborted()? == before, "{before:?} became {:?}", aborted()?);
    let checks = count("Connections")? - begun - asked_for;
    ensure!(checks >= 1_000, "{checks} checks");
    up(&sluice, "db")?;
    println!("{checks} checks, aborted {before:?} before and after");

    sluice.write_config(&lab, &config("login = \"greeting\""))?;
    sluice.command(&["reload"])?;
    verdict(&sluice, "db", "down", "error 1129: \"Host ")?;
    sluice.write_config(&lab, &config(&asked))?;
    sluice.command(&["reload"])?;
    server.admin("flush hosts")?;
    up(&sluice, "db")
}
