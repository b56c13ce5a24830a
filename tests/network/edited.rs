//! What operators change over the runtime API while traffic runs: lists of ACLs and maps, certificates, and single connections.

use crate::{
    certificates::{body, made, served},
    scene::{FAST_CHECK, SOON},
};
use anyhow::{Result, ensure};
use lb_tests::{
    client::Connection,
    lab::{Lab, PROXY_VIP},
    origin::{Listen, Nginx},
    process, secret,
    sluice::Sluice,
    wait,
};
use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
};

const SITE: Listen = Listen { site: "web", port: 8080, keep_alive: true };

/// What is answered to this over the control socket, without its last line.
fn say(lab: &Lab, line: &str) -> Result<String> {
    let mut stream = UnixStream::connect(lab.directory().join("sluice.sock"))?;
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(format!("{line}\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}

/// The status of a request, and the field that a map has given it.
fn asked(lab: &Lab, path: &str) -> Result<String> {
    let url = format!("http://{PROXY_VIP}{path}");
    process::run(lab.client.command("curl").args([
        "-sS",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %header{x-team}",
        &url,
    ]))
}

#[test]
fn lists_certificates_and_connections_change_under_traffic() -> Result<()> {
    let lab = Lab::beside_others()?;
    let _nginx = Nginx::start(lab.machine("web1")?, lab.directory(), &[SITE])?;
    let ((first, first_file), (second, second_file)) = (made("a.test")?, made("a.test")?);
    let file = lab.directory().join("a.pem");
    secret::keep(&file, &first_file)?;
    fs::write(lab.directory().join("blocked.lst"), "# paths\n/secret\n")?;
    fs::write(lab.directory().join("teams.map"), "/one red\n/two blue\n")?;
    let config = format!(
        r#"
[frontend.www]
mode = "http"
bind = [{{ address = "{PROXY_VIP}:80" }}, {{ address = "{PROXY_VIP}:443", tls = {{ certificates = "{}" }} }}]
acl.blocked = "path_beg -f blocked.lst"
rule = [
  {{ if = "blocked", deny = 403 }},
  {{ set_var = {{ name = "txn.team", value = "path,map(teams.map,none)" }} }},
  {{ on = "response", set_header = {{ name = "x-team", value = "%[var(txn.team)]" }} }},
]
default_backend = "web"
[backend.web]
check = {FAST_CHECK}
{}"#,
        file.display(),
        lab.servers("web", &["web1"], 8080)?
    );
    let mut sluice = Sluice::start(&lab, &config)?;
    lists(&lab)?;
    connections(&lab)?;
    refused(&lab)?;
    certificates(&lab, &file.display().to_string(), [(&first, &first_file), (&second, &second_file)])?;
    ensure!(!sluice.log().contains("PRIVATE KEY"), "a key is in the log:\n{}", sluice.log());
    // Another reading of the files has the last word.
    sluice.command(&["reload"])?;
    ensure!(asked(&lab, "/secret")?.starts_with("403"), "the file still has it");
    ensure!(served(&lab)? == body(&first));
    sluice.stop()
}

fn lists(lab: &Lab) -> Result<()> {
    ensure!(asked(lab, "/secret")? == "403 " && asked(lab, "/one")? == "200 red");
    let shown = say(lab, "show acl")?;
    ensure!(shown.contains("\n0 (blocked.lst) pattern loaded from file 'blocked.lst' used by acl."), "{shown}");
    let shown = say(lab, "show map")?;
    ensure!(shown.contains("\n1 (teams.map) ") && shown.ends_with("entry_cnt=2"), "{shown}");
    for (line, answer) in [
        ("show acl #0", "0x2 /secret"),
        ("show acl #1", "Unknown ACL identifier. Please use #<id> or <file>."),
        ("add acl blocked.lst /hidden", ""),
        ("del acl #0 /secret", ""),
        ("del acl #0 /secret", "Key not found."),
        ("get acl blocked.lst /hidden/x", "type=beg, case=sensitive, match=yes, idx=tree, pattern=\"/hidden\""),
        ("add acl blocked.lst", "'add acl' expects two parameters: ACL identifier and pattern."),
        ("set map teams.map /one green", ""),
        ("set map teams.map /none green", "entry not found."),
        ("add map teams.map /three very dark", ""),
        ("add map teams.map <<\n/four a\n/five b\n", ""),
        ("add map teams.map <<\n/six\n", "Missing value for key '/six'."),
        (
            "get map #1 /two",
            "type=str, case=sensitive, found=yes, idx=tree, key=\"/two\", value=\"blue\", type=\"str\"",
        ),
        ("del map #1 #0x2", ""),
        ("show map #1", "0x1 /one green\n0x3 /three very dark\n0x4 /four a\n0x5 /five b"),
    ] {
        let said = say(lab, line)?;
        ensure!(said == answer, "{line}: {said}");
    }
    for (path, expected) in [
        ("/secret", "200 none"),
        ("/hidden/x", "403 "),
        ("/one", "200 green"),
        ("/two", "200 none"),
        ("/three", "200 very dark"),
        ("/five", "200 b"),
    ] {
        let got = asked(lab, path)?;
        ensure!(got == expected, "{path}: {got}");
    }
    ensure!(say(lab, "clear acl blocked.lst")?.is_empty() && asked(lab, "/hidden/x")? == "200 none");
    Ok(())
}

fn connections(lab: &Lab) -> Result<()> {
    let mut kept = Connection::open(&lab.client, (PROXY_VIP, 80).into())?;
    let mut other = Connection::open(&lab.client, (PROXY_VIP, 80).into())?;
    ensure!(kept.get("/")?.status == 200 && kept.get("/")?.status == 200 && other.get("/")?.status == 200);
    let lines = say(lab, "show sess")?;
    let line = lines.lines().find(|line| line.ends_with("calls=2")).unwrap_or(&lines);
    ensure!(line.contains(" fe=www be=web srv=web1 ") && line.contains(": proto=tcpv4 src="), "{lines}");
    let (id, _) = line.split_once(':').unwrap_or_default();
    let details = say(lab, &format!("show sess {id}"))?;
    ensure!(details.contains("  backend=web\n  server=web1\n  requests=2") && details.starts_with(id), "{details}");
    ensure!(say(lab, "shutdown session 0x1")? == "No such session (use 'show sess').");
    ensure!(say(lab, &format!("shutdown session {id}"))?.is_empty());
    ensure!(kept.get("/").is_err() && other.get("/")?.status == 200, "it alone is cut");
    ensure!(!say(lab, "show sess")?.contains(id));
    Ok(())
}

fn refused(lab: &Lab) -> Result<()> {
    ensure!(say(lab, "show errors")?.ends_with("] : 0"));
    let url = format!("http://{PROXY_VIP}/");
    let curl = ["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Bad Name: x", &url];
    ensure!(process::run(lab.client.command("curl").args(curl))? == "400");
    let shown = say(lab, "show errors www")?;
    ensure!(
        shown.contains("frontend www (#2): invalid request: ") && shown.contains(" Bad Name: x\\r\\n\n"),
        "{shown}"
    );
    Ok(())
}

fn certificates(lab: &Lab, file: &str, pairs: [(&String, &String); 2]) -> Result<()> {
    let [(first, _), (second, second_file)] = pairs;
    ensure!(served(lab)? == body(first));
    ensure!(say(lab, "show ssl cert")? == format!("# filename\n{file}"));
    let shown = say(lab, &format!("show ssl cert {file}"))?;
    ensure!(shown.contains("Status: Used\n") && shown.contains("Subject Alternative Name: DNS:a.test\n"), "{shown}");
    let set = |pem: &str| say(lab, &format!("set ssl cert {file} <<\n{}\n", pem.trim_end()));
    ensure!(set(first)?.contains("no private key in it"), "a chain alone is no certificate to serve");
    ensure!(set(second_file)? == format!("Transaction created for certificate {file}!"));
    ensure!(served(lab)? == body(first), "nothing is committed yet");
    let pending = say(lab, &format!("show ssl cert *{file}"))?;
    ensure!(pending.contains("Status: Unused") && !pending.contains("PRIVATE"), "{pending}");
    ensure!(say(lab, &format!("commit ssl cert {file}"))? == format!("Committing {file}.\nSuccess!"));
    wait::until("the second certificate", SOON, || Ok((served(lab)? == body(second)).then_some(())))?;
    ensure!(say(lab, &format!("abort ssl cert {file}"))? == "No ongoing transaction!");
    Ok(())
}
