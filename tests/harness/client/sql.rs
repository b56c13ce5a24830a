//! Questions to databases, by the clients that come with them.

use crate::{netns::Namespace, origin::grpc::PYTHON, process};
use anyhow::Result;
use std::{fs, net::IpAddr, path::Path};

/// Who asks.
pub const USER: &str = "app";
/// What proves it.
pub const PASSWORD: &str = "not the usual one";
/// What is asked, of MariaDB.
pub const DATABASE: &str = "app";

/// Asks PostgreSQL, each statement by itself but all on one connection; what it answers, without decoration.
pub fn psql(client: &Namespace, server: IpAddr, statements: &[&str]) -> Result<String> {
    psql_with(client, server, PASSWORD, statements)
}

/// The same with another password.
pub fn psql_with(client: &Namespace, server: IpAddr, password: &str, statements: &[&str]) -> Result<String> {
    let mut command = client.command("psql");
    command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
    command.args([format!("--host={server}"), format!("--username={USER}"), "--dbname=postgres".to_owned()]);
    command.args(statements.iter().map(|statement| format!("--command={statement}")));
    command.env("PGPASSWORD", password).env("PGCONNECT_TIMEOUT", "5");
    process::run(&mut command)
}

/// Asks MariaDB, all statements on one connection; what it answers, without decoration.
pub fn mariadb(client: &Namespace, server: IpAddr, statements: &[&str]) -> Result<String> {
    mariadb_with(client, server, PASSWORD, statements)
}

/// The same with another password.
pub fn mariadb_with(client: &Namespace, server: IpAddr, password: &str, statements: &[&str]) -> Result<String> {
    let mut command = client.command("mariadb");
    command.args(["--no-defaults", "--batch", "--raw", "--skip-column-names", "--local-infile=1"]);
    command.args([format!("--host={server}"), format!("--user={USER}"), format!("--password={password}")]);
    command.args(["--connect-timeout=5", &format!("--database={DATABASE}"), "--execute", &statements.join("; ")]);
    process::run(&mut command)
}

/// How a client of MySQL logs in.
#[derive(Clone, Copy, Debug)]
pub struct As<'a> {
    /// Who.
    pub user: &'a str,
    /// What proves it.
    pub password: &'a str,
    /// In TLS, by this authority.
    pub tls: Option<&'a Path>,
}

/// What the server's table `who` says, asked by the library of MariaDB.
pub fn mariadb_as(client: &Namespace, server: IpAddr, login: As<'_>) -> Result<String> {
    let mut command = client.command("mariadb");
    command.args(["--no-defaults", "--batch", "--raw", "--skip-column-names", "--execute=select name from who"]);
    command.args([
        format!("--host={server}"),
        format!("--user={}", login.user),
        format!("--password={}", login.password),
    ]);
    match login.tls {
        Some(authority) => command.arg("--ssl").arg(format!("--ssl-ca={}", authority.display())),
        None => command.arg("--skip-ssl"),
    };
    process::run(&mut command)
}

/// The same, asked by PyMySQL.
pub fn pymysql(client: &Namespace, server: IpAddr, login: As<'_>, directory: &Path) -> Result<String> {
    let script = directory.join("pymysql-client.py");
    fs::write(&script, include_str!("sql/client.py"))?;
    let mut command = client.command(PYTHON);
    command.arg("-B").arg(script).args([&server.to_string(), "3306", login.user, login.password]).args(login.tls);
    process::run(&mut command)
}
