//! Questions to databases, by the clients that come with them.

use crate::{netns::Namespace, process};
use anyhow::Result;
use std::net::IpAddr;

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
