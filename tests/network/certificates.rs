//! Certificates that change under a running daemon.

use crate::scene::{FAST_CHECK, SOON};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    lab::{Lab, PROXY_VIP},
    origin::{Listen, Nginx},
    process, secret,
    sluice::Sluice,
    wait,
};
use std::{fs, thread, time::Duration};

const SITE: Listen = Listen { site: "web", port: 8080, keep_alive: true };
/// Until a changed file is served.
const RENEWED: Duration = Duration::from_secs(2);

/// Certificate for a name, and both it and its key.
pub(crate) fn made(name: &str) -> Result<(String, String)> {
    let made = rcgen::generate_simple_self_signed([name.to_owned()])?;
    Ok((made.cert.pem(), made.cert.pem() + &made.signing_key.serialize_pem()))
}

/// The same, of which the time is over.
pub(crate) fn expired(name: &str) -> Result<(String, String)> {
    let mut params = rcgen::CertificateParams::new([name.to_owned()])?;
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2019, 1, 1), rcgen::date_time_ymd(2020, 1, 1));
    let key = rcgen::KeyPair::generate()?;
    let made = params.self_signed(&key)?;
    Ok((made.pem(), made.pem() + &key.serialize_pem()))
}

/// The certificate that openssl gets, as the lines of its PEM file.
pub(crate) fn served(lab: &Lab) -> Result<String> {
    let script = format!("openssl s_client -connect {PROXY_VIP}:443 -servername a.test </dev/null 2>&1");
    let shown = process::run(lab.client.command("sh").args(["-c", &script]))?;
    let (_, rest) = shown.split_once("-----BEGIN CERTIFICATE-----").context("no certificate")?;
    let (body, _) = rest.split_once("-----END").context("no end")?;
    Ok(body.split_whitespace().collect())
}

pub(crate) fn body(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with("-----")).collect()
}

#[test]
fn changed_certificates_are_served_within_two_seconds_and_broken_ones_are_not() -> Result<()> {
    let lab = Lab::beside_others()?;
    let _nginx = Nginx::start(lab.machine("web1")?, lab.directory(), &[SITE])?;
    let certs = lab.directory().join("certs");
    fs::create_dir_all(&certs)?;
    let ((first, first_file), (second, second_file)) = (made("a.test")?, made("a.test")?);
    let file = certs.join("a.pem");
    secret::keep(&file, &first_file)?;
    let config = format!(
        r#"
[frontend.web]
mode = "http"
bind = [{{ address = "{PROXY_VIP}:443", tls = {{ certificates = "certs" }} }}]
default_backend = "web"
[backend.web]
check = {FAST_CHECK}
{}"#,
        lab.servers("web", &["web1"], 8080)?
    );
    let mut sluice = Sluice::start(&lab, &config)?;
    wait::until("the first certificate", SOON, || Ok((served(&lab)? == body(&first)).then_some(())))?;
    // As certbot and others do: a new file moved over the old one.
    let beside = certs.join(".new");
    secret::keep(&beside, &second_file)?;
    fs::rename(&beside, &file)?;
    wait::until("the second certificate", RENEWED, || Ok((served(&lab)? == body(&second)).then_some(())))?;
    fs::write(&file, "broken")?;
    thread::sleep(RENEWED);
    ensure!(served(&lab)? == body(&second), "the one before goes on");
    ensure!(sluice.log().contains("a.pem: no certificate in it"), "{}", sluice.log());
    sluice.stop()
}
