//! PostgreSQL, a standby of it, and what it thinks of those who check it.

use super::{
    End::{Down, Up},
    backend, backends, certificate, passwords, settled, up, verdict,
};
use anyhow::{Result, ensure};
use lb_tests::{
    client::sql,
    lab::{Lab, Machine},
    origin::Postgres,
    sluice::Sluice,
};
use std::net::TcpListener;

const DENIED: &str = "L7STS refused login: \"FATAL 28P01 password authentication failed for user ";
const SILENT: &str = "L7TOUT waiting for the answer to the login";

fn ask(on: &Machine, statements: &[&str]) -> Result<String> {
    sql::psql(&on.namespace, on.address.into(), statements)
}

/// Users who log in by other ways.
fn make_users(on: &Machine) -> Result<()> {
    let password = sql::PASSWORD;
    let statements = [
        format!("create role clear login password '{password}'"),
        "create role trusted login".to_owned(),
        "set password_encryption = 'md5'".to_owned(),
        format!("create role md5 login password '{password}'"),
    ];
    ask(on, &statements.each_ref().map(String::as_str)).map(drop)
}

#[test]
fn a_check_of_postgresql_asks_what_it_is_told_to() -> Result<()> {
    let lab = Lab::beside_others()?;
    let machine = lab.machine("web1")?;
    let server = Postgres::start(machine, lab.directory())?;
    make_users(machine)?;
    let _mute = machine.namespace.run(|| TcpListener::bind((machine.address, 9)))??;
    let (certified, key, tls) = certificate(&lab)?;
    let [right, wrong] = passwords(&lab)?;
    let with = |user: &str, file: &str, more: &str| {
        format!("type = \"pgsql\", user = \"{user}\", database = \"postgres\", {file}{more}")
    };
    let check = |user: &str, more: &str| with(user, &right, more);
    let tls = format!(", {tls}");
    let clear = "L7STS the server wants the password in clear text";
    let mut checked = vec![
        ("login", 5432, check("app", ""), Up),
        ("md5", 5432, check("md5", ""), Up),
        ("trusted", 5432, check("trusted", ""), Up),
        ("allowed", 5432, check("clear", ", clear_password = true"), Up),
        ("primary", 5432, check("app", ", role = \"primary\""), Up),
        ("who", 5432, check("app", ", query = \"select 1, name from who\", expect = \"web1\""), Up),
        ("startup", 5432, "type = \"pgsql\", user = \"haproxy\", login = \"startup\"".to_owned(), Up),
        ("denied", 5432, with("app", &wrong, ""), Down(DENIED)),
        ("md5denied", 5432, with("md5", &wrong, ""), Down(DENIED)),
        ("clear", 5432, check("clear", ""), Down(clear)),
        ("replica", 5432, check("app", ", role = \"replica\""), Down("L7STS its role: \"primary\"")),
        (
            "table",
            5432,
            check("app", ", query = \"select * from nothing\""),
            Down("L7STS refused query: \"ERROR 42P01 "),
        ),
        (
            "nodb",
            5432,
            format!("type = \"pgsql\", user = \"app\", {right}"),
            Down("L7STS refused login: \"FATAL 3D000 "),
        ),
        ("mute", 9, check("app", ""), Down(SILENT)),
        ("encrypted", 5432, check("app", &tls), Down("L6RSP the server has no TLS")),
        ("cleartls", 5432, check("clear", &tls), Down("L6RSP the server has no TLS")),
    ];
    let sluice = Sluice::start(&lab, &backends(machine, &checked))?;
    settled(&sluice, &checked)?;

    server.kill()?;
    let _again = Postgres::start_again(machine, lab.directory(), Some((&certified, &key)))?;
    for (name, _, _, end) in &mut checked {
        if name.ends_with("tls") || *name == "encrypted" {
            *end = Up;
        }
    }
    let lasting: Vec<_> = checked.into_iter().filter(|(_, _, _, end)| matches!(end, Up)).collect();
    settled(&sluice, &lasting)
}

#[test]
fn a_check_of_postgresql_follows_it_through_all_that_may_happen() -> Result<()> {
    let lab = Lab::beside_others()?;
    let (machine, other) = (lab.machine("web1")?, lab.machine("web2")?);
    let server = Postgres::start(machine, lab.directory())?;
    let standby = Postgres::follow(other, lab.directory(), machine)?;
    let [right, _] = passwords(&lab)?;
    let check =
        |role: &str| format!("type = \"pgsql\", user = \"app\", database = \"postgres\", {right}, role = \"{role}\"");
    let checked = [
        ("login", 5432, check("any"), Up),
        ("primary", 5432, check("primary"), Up),
        ("replica", 5432, check("replica"), Down("L7STS its role: \"primary\"")),
    ];
    let mut config = backends(machine, &checked);
    config += &backend(90, "otherreplica", (other, 5432), &check("replica"));
    config += &backend(91, "otherprimary", (other, 5432), &check("primary"));
    let sluice = Sluice::start(&lab, &config)?;
    settled(&sluice, &checked)?;
    up(&sluice, "otherreplica")?;
    verdict(&sluice, "otherprimary", "down", "L7STS its role: \"replica\"")?;

    server.freeze()?;
    verdict(&sluice, "login", "down", SILENT)?;
    server.thaw()?;
    verdict(&sluice, "login", "up", "L7OK ready")?;
    up(&sluice, "primary")?;
    let log = server.log();
    for abuse in ["unexpected EOF", "could not receive data", "incomplete startup packet"] {
        ensure!(!log.contains(abuse), "{abuse}:\n{log}");
    }

    server.kill()?;
    verdict(&sluice, "login", "down", "L4CON connection refused")?;
    ask(other, &["select pg_promote()"])?;
    verdict(&sluice, "otherprimary", "up", "L7OK primary")?;
    verdict(&sluice, "otherreplica", "down", "L7STS its role: \"primary\"")?;
    let _again = Postgres::start_again(machine, lab.directory(), None)?;
    verdict(&sluice, "login", "up", "L7OK ready")?;
    standby.kill()?;
    verdict(&sluice, "otherprimary", "down", "L4CON connection refused")
}
