//! The logins of MySQL 8: the server is the lab's own, so that others must say first that it is one.

use super::{
    End::{Down, Up},
    backends, certificate, passwords, settled,
};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::sql::{self, As},
    lab::{Lab, Machine},
    origin::Mysql8,
    sluice::Sluice,
};
use std::{collections::BTreeSet, path::Path};

/// Two clients, which know the server of Oracle and have nothing in common, log in in every way.
fn is_one(lab: &Lab, machine: &Machine, authority: &Path) -> Result<()> {
    let address = machine.address.into();
    let ask = |login: As<'_>| {
        [sql::pymysql(&lab.client, address, login, lab.directory()), sql::mariadb_as(&lab.client, address, login)]
    };
    for user in ["cold", "app", "switched", "sha256"] {
        for tls in [None, Some(authority)] {
            let login = As { user, password: sql::PASSWORD, tls };
            for answer in ask(login) {
                ensure!(answer? == "lab-8\n", "{login:?}");
            }
            let wrong = As { password: "another", ..login };
            for answer in ask(wrong) {
                let refused = format!("{:#}", answer.err().with_context(|| format!("{wrong:?}"))?);
                ensure!(refused.contains("Access denied"), "{refused}");
            }
        }
    }
    Ok(())
}

/// What the server saw of clients who may log in, and who may not.
const WAYS: [&str; 8] = [
    "cold sealed clear",
    "cold whole tls",
    "app fast clear",
    "app fast tls",
    "switched native clear",
    "sha256 sealed clear",
    "sha256 whole tls",
    "app refused proof",
];
/// And of what not both clients do.
const MORE: [&str; 5] =
    ["clear clear tls", "clear clear clear", "empty nothing clear", "cold refused whole", "cold refused sealed"];

#[test]
fn the_logins_of_mysql_8_are_known_in_every_way() -> Result<()> {
    const DENIED: &str = "L7STS refused login, error 1045 (28000): \"Access denied for user ";
    let lab = Lab::beside_others()?;
    let machine = lab.machine("web1")?;
    let (certified, key, tls) = certificate(&lab)?;
    let server = Mysql8::start(machine, lab.directory(), &format!("{certified}{key}"))?;
    is_one(&lab, machine, &lab.directory().join("authority.pem"))?;
    let proof = server.logins();
    ensure!(WAYS.iter().all(|way| proof.contains(way)), "{proof}");

    let [right, wrong] = passwords(&lab)?;
    let check = |user: &str, more: &str| format!("type = \"mysql\", user = \"{user}\", {right}{more}");
    let denied = |user: &str, more: &str| format!("type = \"mysql\", user = \"{user}\", {wrong}{more}");
    let (tls, query) = (format!(", {tls}"), ", query = \"SELECT name\", expect = \"lab-8\"");
    let checked = [
        ("cold", 3306, check("cold", query), Up),
        ("coldtls", 3306, check("cold", &tls), Up),
        ("fast", 3306, check("app", query), Up),
        ("fasttls", 3306, check("app", &tls), Up),
        ("switched", 3306, check("switched", ""), Up),
        ("sha256", 3306, check("sha256", ""), Up),
        ("sha256tls", 3306, check("sha256", &tls), Up),
        ("cleartls", 3306, check("clear", &tls), Up),
        ("clearallowed", 3306, check("clear", ", clear_password = true"), Up),
        ("empty", 3306, "type = \"mysql\", user = \"empty\"".to_owned(), Up),
        ("clear", 3306, check("clear", ""), Down("L7STS the server wants the password in clear text")),
        ("denied", 3306, denied("app", ""), Down(DENIED)),
        ("deniedtls", 3306, denied("cold", &tls), Down(DENIED)),
        ("deniedsealed", 3306, denied("cold", ""), Down(DENIED)),
        ("other", 3306, check("app", &query.replace('8', "9")), Down("L7STS another answer to the query: \"lab-8\"")),
    ];
    let sluice = Sluice::start(&lab, &backends(machine, &checked))?;
    settled(&sluice, &checked)?;
    let logins = server.logins();
    let of_checks: BTreeSet<_> = logins.lines().skip(proof.lines().count()).collect();
    for way in WAYS.iter().chain(&MORE) {
        ensure!(of_checks.contains(way), "{way}: {of_checks:?}");
    }
    Ok(())
}
