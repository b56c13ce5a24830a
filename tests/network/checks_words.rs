//! Checks at real servers: what each finds while all is well, with a wrong password, at a server that hangs, that is gone,
//! that takes connections and is mute, and that is back. And what the servers' logs say of being asked all the time.

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    lab::{Lab, Machine},
    origin::{
        Service,
        service::{self, NAME, PASSWORD, Program, USER, USER_DN},
    },
    secret,
    sluice::Sluice,
    wait,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io,
    net::TcpListener,
    thread,
    time::Duration,
};

/// A check of a server.
struct Row {
    /// The name of its backend.
    name: &'static str,
    program: Program,
    port: u16,
    /// Keys of the check.
    keys: &'static str,
    /// The keys with another password, or in another role; and what is found then.
    wrong: Option<(&'static str, &'static str)>,
    /// What is found at a server that hangs, where the kernel goes on taking connections.
    hangs: &'static str,
    /// What is found where nobody has the port.
    gone: &'static str,
}

const ROW: Row =
    Row { name: "", program: Program::Redis, port: 0, keys: "", wrong: None, hangs: "L7TOUT", gone: "L4CON" };

const ROWS: &[Row] = &[
    Row {
        name: "redis",
        port: 6379,
        keys: r#"type = "redis", password_file = "right", role = "master""#,
        wrong: Some((r#"type = "redis", password_file = "wrong""#, "L7STS refused login")),
        ..ROW
    },
    Row {
        name: "replica",
        program: Program::RedisReplica,
        port: 6380,
        keys: r#"type = "redis", password_file = "right", role = "replica""#,
        wrong: Some((r#"type = "redis", password_file = "right", role = "master""#, "L7STS its role")),
        ..ROW
    },
    Row {
        name: "script",
        port: 6379,
        keys: r#"type = "script", steps = [{ connect = { linger = true } }, { send = "AUTH s3cret\r\n" }, { expect = "+OK" }, { send = "PING\r\n" }, { expect = "+PONG" }]"#,
        wrong: Some((
            r#"type = "script", steps = [{ send = "AUTH wr0ng\r\n" }, { expect = "+OK", min_recv = 1 }]"#,
            "L7RSP TCPCHK did not match content '+OK' at step 2",
        )),
        ..ROW
    },
    Row {
        name: "ftp",
        program: Program::Vsftpd,
        port: 21,
        keys: r#"type = "ftp", user = "anonymous", password_file = "right""#,
        ..ROW
    },
    Row {
        name: "smtp",
        program: Program::Postfix,
        port: 25,
        keys: r#"type = "smtp", hello = "EHLO", domain = "lb.test""#,
        ..ROW
    },
    Row {
        name: "starttls",
        program: Program::Postfix,
        port: 25,
        keys: r#"type = "smtp", starttls = true, tls = { ca = "certificate.pem", sni = "www.test" }"#,
        wrong: Some((
            r#"type = "smtp", starttls = true, tls = { ca = "certificate.pem", sni = "other.test" }"#,
            "L6RSP the server's certificate",
        )),
        ..ROW
    },
    Row { name: "postscreen", program: Program::Postfix, port: 26, keys: r#"type = "smtp", interval = "2s""#, ..ROW },
    Row { name: "ssh", program: Program::OpenSsh, port: 22, keys: r#"type = "ssh""#, ..ROW },
    Row {
        name: "ldap",
        program: Program::Slapd,
        port: 389,
        keys: r#"type = "ldap", bind_dn = "cn=probe,dc=test", password_file = "right""#,
        wrong: Some((
            r#"type = "ldap", bind_dn = "cn=probe,dc=test", password_file = "wrong""#,
            "L7STS refused: result 49 (invalidCredentials)",
        )),
        ..ROW
    },
    Row { name: "anonymous", program: Program::Slapd, port: 389, keys: r#"type = "ldap""#, ..ROW },
    Row {
        name: "ldap_tls",
        program: Program::Slapd,
        port: 389,
        keys: r#"type = "ldap", starttls = true, tls = { ca = "certificate.pem", sni = "www.test" }"#,
        ..ROW
    },
    Row {
        name: "tls",
        program: Program::NginxTls,
        port: 443,
        keys: r#"type = "tls", tls = { ca = "certificate.pem", sni = "www.test" }"#,
        wrong: Some((
            r#"type = "tls", tls = { ca = "certificate.pem", sni = "other.test" }"#,
            "L6RSP the server's certificate",
        )),
        hangs: "L6TOUT",
        ..ROW
    },
    Row {
        name: "dns",
        program: Program::Dnsmasq,
        port: 53,
        keys: r#"type = "dns", name = "known.test""#,
        wrong: Some((r#"type = "dns", name = "unknown.example""#, "L7STS REFUSED")),
        hangs: "L4TOUT",
        ..ROW
    },
    Row {
        name: "udp",
        program: Program::Dnsmasq,
        port: 53,
        keys: r#"type = "udp", send_binary = "123401000001000000000000056b6e6f776e04746573740000010001", expect_binary = "c0000201""#,
        hangs: "L4TOUT",
        ..ROW
    },
];

/// Words in the log of a server that is asked badly, but for those of the wrong passwords.
const ABUSE: [&str; 12] = [
    "lost connection",
    "improper command",
    "PREGREET",
    "HANGUP",
    "reset by",
    "Connection reset",
    "kex_exchange_identification",
    "invalid format",
    "peer closed connection",
    "connection lost",
    "Protocol error",
    "too many",
];

fn config(machine: &Machine, keys: impl Fn(&Row) -> &'static str) -> Result<String> {
    let mut text = String::new();
    for (row, port) in ROWS.iter().zip(9_001..) {
        let (name, keys, address) = (row.name, keys(row), machine.address);
        let interval = if keys.contains("interval") { "" } else { "interval = \"300ms\", " };
        write!(
            text,
            "\n[frontend.{name}]\nmode = \"tcp\"\nbind = \"127.0.0.1:{port}\"\ndefault_backend = \"{name}\"\n\
             [backend.{name}]\ncheck = {{ {keys}, {interval}timeout = \"1500ms\", rise = 1, fall = 2 }}\n\
             server = [{{ name = \"s\", address = \"{address}:{}\" }}]\n",
            row.port
        )?;
    }
    Ok(text)
}

/// Waits until all of them are that, and until the log has for each why.
fn wait_all<'a>(
    sluice: &Sluice,
    rows: impl Iterator<Item = &'a Row>,
    health: &str,
    reason: impl Fn(&Row) -> &'static str,
    since: usize,
) -> Result<()> {
    for row in rows {
        let name = row.name;
        let is_so = || Ok((sluice.status()?.server(name, "s")?.health == health).then_some(()));
        wait::until(&format!("{name} to be {health}"), Duration::from_secs(15), is_so)
            .with_context(|| format!("{:?}", sluice.status().map(|status| status.server(name, "s").cloned())))
            .with_context(|| sluice.log().get(since..).unwrap_or_default().to_owned())?;
        let log = sluice.log();
        let backend = format!("\"{name}\"");
        let lines: Vec<_> = log
            .get(since..)
            .unwrap_or_default()
            .lines()
            .filter(|line| line.contains("server changed") && line.contains(&backend))
            .collect();
        let wanted = reason(row);
        ensure!(
            wanted.is_empty() || lines.iter().any(|line| line.contains(wanted)),
            "{name}: no \"{wanted}\" in {lines:#?}"
        );
    }
    Ok(())
}

/// What the servers log of their checks is no complaint.
fn complain_not(services: &BTreeMap<String, Service>) -> Result<()> {
    for (program, service) in services {
        let log = service.log();
        let bad: Vec<_> = log.lines().filter(|line| ABUSE.iter().any(|word| line.contains(word))).collect();
        ensure!(bad.is_empty(), "{program} complains of its checks: {bad:#?}");
        if program == "OpenSsh" {
            let is_gentle = |line: &str| line.contains("Connection closed by") && line.contains("[preauth]");
            let harsh: Vec<_> =
                log.lines().filter(|line| !line.starts_with("Server listening") && !is_gentle(line)).collect();
            ensure!(harsh.is_empty(), "a probe is one line: {harsh:#?}");
        }
        println!("{program}: {} lines, the last: {}", log.lines().count(), log.lines().last().unwrap_or_default());
    }
    Ok(())
}

#[test]
fn each_check_finds_its_server_well_refused_hung_gone_mute_and_back() -> Result<()> {
    let lab = Lab::beside_others()?;
    let machine = lab.machine("web1")?;
    secret::keep(&lab.directory().join("right"), PASSWORD)?;
    secret::keep(&lab.directory().join("wrong"), "wr0ng")?;
    ensure!((USER, USER_DN, NAME) == ("probe", "cn=probe,dc=test", "www.test"), "the table has them");
    service::certificate(lab.directory())?;
    let start = |program| Service::start(program, machine, lab.directory());
    let start_all = || {
        let programs: BTreeMap<_, _> = ROWS.iter().map(|row| (format!("{:?}", row.program), row.program)).collect();
        let start = |(name, program)| Ok((name, start(program)?));
        programs.into_iter().map(start).collect::<Result<BTreeMap<_, _>>>()
    };
    let mut services = start_all()?;
    let right = config(machine, |row| row.keys)?;
    let sluice = Sluice::start(&lab, &right)?;
    let log = || sluice.log().len();
    wait_all(&sluice, ROWS.iter(), "up", |_| "", 0)?;

    // Long enough to see what the servers log of it.
    thread::sleep(Duration::from_secs(5));
    complain_not(&services)?;

    let mut since = log();
    sluice.write_config(&lab, &config(machine, |row| row.wrong.map_or(row.keys, |(keys, _)| keys))?)?;
    sluice.command(&["reload"])?;
    let refused = || ROWS.iter().filter(|row| row.wrong.is_some());
    wait_all(&sluice, refused(), "down", |row| row.wrong.map_or("", |(_, found)| found), since)?;
    wait_all(&sluice, ROWS.iter().filter(|row| row.wrong.is_none()), "up", |_| "", 0)?;
    sluice.write_config(&lab, &right)?;
    sluice.command(&["reload"])?;
    wait_all(&sluice, ROWS.iter(), "up", |_| "", 0)?;

    since = log();
    services.values().try_for_each(Service::freeze)?;
    wait_all(&sluice, ROWS.iter(), "down", |row| row.hangs, since)?;
    services.values().try_for_each(Service::thaw)?;
    wait_all(&sluice, ROWS.iter(), "up", |_| "", 0)?;

    // A replica that has no master any more is one that follows nobody.
    since = log();
    services.remove("Redis").context("a Redis")?.kill()?;
    let replica = || ROWS.iter().filter(|row| row.name == "replica");
    wait_all(&sluice, replica(), "down", |_| "L7STS its link to the master", since)?;
    services.insert("Redis".to_owned(), start(Program::Redis)?);
    wait_all(&sluice, ROWS.iter(), "up", |_| "", 0)?;

    since = log();
    services.into_values().try_for_each(Service::kill)?;
    wait_all(&sluice, ROWS.iter(), "down", |row| row.gone, since)?;

    // Somebody else has the ports, and says nothing: that is no reason to come back.
    let ports: BTreeSet<_> = ROWS.iter().map(|row| row.port).collect();
    let address = machine.address;
    let listen = || ports.iter().map(|port| TcpListener::bind((address, *port))).collect::<io::Result<Vec<_>>>();
    let mute = machine.namespace.run(listen)??;
    thread::sleep(Duration::from_secs(4));
    for row in ROWS {
        ensure!(sluice.status()?.server(row.name, "s")?.health == "down", "{} is up, at a mute one", row.name);
    }
    drop(mute);

    let _services = start_all()?;
    wait_all(&sluice, ROWS.iter(), "up", |_| "", 0)
}
