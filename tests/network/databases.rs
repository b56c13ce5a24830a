//! Databases behind `tcp` frontends, by the example for them: real servers, asked by their own clients.

use crate::{
    examples::{QUICK, adapted, noise, wait_health},
    scene::SOON,
};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::sql,
    lab::{CLIENT, Lab, NAT_VIP, SERVER_GATEWAY},
    origin::{MariaDb, Postgres},
    sluice::Sluice,
    wait,
};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    net::{IpAddr, TcpStream},
    path::PathBuf,
};

const EXAMPLE: &str = include_str!("../../lb-userspace/examples/databases.toml");
const VIP: IpAddr = IpAddr::V4(NAT_VIP);
const SERVERS: [&str; 2] = ["web1", "web2"];

/// Rows of a table, in the form that both databases read and write: some megabytes.
struct Rows {
    file: PathBuf,
    text: String,
    count: usize,
    /// Characters of the second column.
    length: usize,
}

impl Rows {
    fn make(lab: &Lab) -> Result<Self> {
        const COUNT: usize = 40_000;
        const WIDTH: usize = 64;
        let mut text = String::new();
        for (number, noise) in noise(COUNT * WIDTH).chunks(WIDTH).enumerate() {
            write!(text, "{number}\t")?;
            noise.iter().try_for_each(|byte| write!(text, "{byte:02x}"))?;
            text.push('\n');
        }
        let file = lab.directory().join("rows");
        fs::write(&file, &text)?;
        Ok(Self { file, text, count: COUNT, length: COUNT * WIDTH * 2 })
    }
}

/// While another client has a connection, all that come and go meet the server that it has not.
fn the_least_busy(lab: &Lab, sluice: &Sluice, port: u16, ask: impl Fn() -> Result<String>) -> Result<()> {
    let busy = lab.client.run(|| TcpStream::connect((VIP, port)))??;
    let ask = |_| {
        // Those before it take a moment to end.
        wait::until("the others to end", SOON, || Ok((sluice.status()?.connections == 1).then_some(())))?;
        ask()
    };
    let met = (0..4).map(ask).collect::<Result<BTreeSet<_>>>()?;
    drop(busy);
    ensure!(met.len() == 1, "beside a connection that stays: {met:?}");
    Ok(())
}

#[test]
fn postgresql_takes_logins_queries_and_megabytes() -> Result<()> {
    let lab = Lab::beside_others()?;
    let start = |name| Postgres::start(lab.machine(name)?, lab.directory());
    let [first, _second] = [start(SERVERS[0])?, start(SERVERS[1])?];
    let sluice = Sluice::start(&lab, &adapted(EXAMPLE, &[QUICK])?)?;
    let ask = |statements: &[&str]| {
        sql::psql(&lab.client, VIP, statements).with_context(|| format!("{statements:?}\n{}", sluice.log()))
    };

    let who = || ask(&["select name || ' ' || host(inet_client_addr()) from who"]);
    let met = (0..4).map(|_| who()).collect::<Result<BTreeSet<_>>>()?;
    ensure!(met == SERVERS.map(|name| format!("{name} {SERVER_GATEWAY}\n")).into(), "{met:?}");
    let refused = sql::psql_with(&lab.client, VIP, "wrong", &["select 1"]).expect_err("another password");
    ensure!(format!("{refused:#}").contains("password authentication failed"), "{refused:#}");
    the_least_busy(&lab, &sluice, 5432, who)?;

    let (rows, back) = (Rows::make(&lab)?, lab.directory().join("back"));
    let counted = ask(&[
        "create table load (n int, line text)",
        &format!("\\copy load from '{}'", rows.file.display()),
        "select count(*), sum(length(line)) from load",
        &format!("\\copy (select * from load order by n) to '{}'", back.display()),
    ])?;
    ensure!(counted == format!("{}|{}\n", rows.count, rows.length), "{counted}");
    ensure!(fs::read_to_string(back)? == rows.text, "other rows came back");

    first.kill()?;
    wait_health(&sluice, "postgres_be", "postgres1", "down")?;
    for _ in 0..3 {
        ensure!(who()?.starts_with(SERVERS[1]));
    }
    Ok(())
}

#[test]
fn mariadb_takes_logins_queries_and_megabytes_and_may_be_told_who_the_client_is() -> Result<()> {
    let lab = Lab::beside_others()?;
    let start = |name| MariaDb::start(lab.machine(name)?, lab.directory());
    let [first, _second] = [start(SERVERS[0])?, start(SERVERS[1])?];
    let sluice = Sluice::start(&lab, &adapted(EXAMPLE, &[QUICK])?)?;
    let ask = |statements: &[&str]| {
        sql::mariadb(&lab.client, VIP, statements).with_context(|| format!("{statements:?}\n{}", sluice.log()))
    };

    let who = || ask(&["select concat(name, ' ', user()) from who"]);
    let seen = |client: IpAddr| -> BTreeSet<_> {
        SERVERS.iter().map(|name| format!("{name} {}@{client}\n", sql::USER)).collect()
    };
    let met = (0..4).map(|_| who()).collect::<Result<BTreeSet<_>>>()?;
    ensure!(met == seen(SERVER_GATEWAY.into()), "{met:?}");
    let refused = sql::mariadb_with(&lab.client, VIP, "wrong", &["select 1"]).expect_err("another password");
    ensure!(format!("{refused:#}").contains("Access denied"), "{refused:#}");
    the_least_busy(&lab, &sluice, 3306, who)?;

    let rows = Rows::make(&lab)?;
    let answer = ask(&[
        "create table rows_of_it (n int primary key, line text)",
        &format!("load data local infile '{}' into table rows_of_it", rows.file.display()),
        "select count(*), sum(length(line)) from rows_of_it",
        "select * from rows_of_it order by n",
    ])?;
    let (counted, back) = answer.split_once('\n').context("two answers")?;
    ensure!(counted == format!("{}\t{}", rows.count, rows.length), "{counted}");
    ensure!(back == rows.text, "other rows came back");

    sluice.write_config(&lab, &adapted(EXAMPLE, &[QUICK, ("# send_proxy", "send_proxy")])?)?;
    sluice.command(&["reload"])?;
    let met = (0..4).map(|_| who()).collect::<Result<BTreeSet<_>>>()?;
    ensure!(met == seen(CLIENT.into()), "{met:?}");

    first.kill()?;
    wait_health(&sluice, "mysql_be", "mysql1", "down")?;
    for _ in 0..3 {
        ensure!(who()?.starts_with(SERVERS[1]));
    }
    Ok(())
}
