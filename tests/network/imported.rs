//! The fragments of "HAProxy Best Practices" in one file of HAProxy's: real clients get the same answers by HAProxy itself and by
//! Sluice with what `sluice import` makes of it.

use crate::certificates::made;
use anyhow::{Context, Result, ensure};
use lb_tests::{
    binary,
    client::curl,
    lab::{BACKUP, Lab, Machine, PROXY_VIP},
    origin::{Listen, Nginx},
    process::{self, Process},
    secret,
    sluice::{Sluice, complaint},
    wait,
};
use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    thread,
    time::Duration,
};

/// Longest wait for a verdict.
const VERDICT: Duration = Duration::from_secs(10);

/// The article's lines as they stand there, but for names that it uses three times, paths, and how often servers are checked.
const CONFIG: &str = r#"# What the article has, in one file.
global
    nbthread 4
    maxconn 4000
    stats socket {directory}/haproxy.sock mode 660 level admin expose-fd listeners

defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 5s
    option redispatch
    default-server inter 200 fastinter 100 rise 1 fall 1

frontend public
    bind *:443 ssl crt {directory}/certs/
    acl host_api hdr(host) -i api.example.com
    acl host_web hdr(host) -i www.example.com
    acl path_admin path_beg /admin/
    use_backend api_be if host_api
    use_backend admin_be if host_web path_admin
    default_backend web_be

# Not of the article: rules, which everybody has.
frontend plain
    bind *:80
    option forwardfor
    http-request redirect scheme https code 301 if { hdr(host) -i www.example.com }
    http-request deny deny_status 429 if { path_beg /deny }
    http-request return status 200 content-type text/plain string "all \"well\"" if { path /ok }
    http-request set-header X-Who "%[src]" if { path /who }
    http-response set-header X-Marked "by %[status]"
    use_backend nobody_be if { path /nobody }
    use_backend tcp_be if { path /tcp }
    default_backend my_app_be

backend tcp_be
    balance roundrobin
    option tcp-check
    server node1 10.1.1.11:8080 check
    server node2 10.1.1.12:8080 check

backend web_be
    balance roundrobin
    option httpchk HEAD /health
    http-check expect status 200
    server node1 10.1.1.11:8080 check
    server node2 10.1.1.12:8080 check

backend my_app_be
    balance roundrobin
    option httpchk HEAD /health
    server node1 10.1.1.11:8080 check
    server node2 10.1.1.12:8080 check
    server backup1 10.1.1.100:8080 check backup

backend api_be
    server api1 10.1.1.13:8080 check

backend admin_be
    server admin1 10.1.1.100:8080 check

backend nobody_be
    server nobody 10.1.1.13:9 check

listen ftp
    mode tcp
    bind *:21
    balance roundrobin
    option tcp-check
    tcp-check expect string "ProFTPD"
    server ftp1 10.1.1.11:21 check
    server ftp2 10.1.1.12:21 check

listen mysql
    mode tcp
    bind *:3306
    balance leastconn
    option mysql-check user haproxy-health
    server mysql1 10.1.1.11:3306 check
    server mysql2 10.1.1.12:3306 check

frontend stats
    bind 127.0.0.1:8404
    stats enable
    stats uri /stats
    stats refresh 10s
    stats auth admin:strong-password-here
"#;

/// A server that greets, and once it has heard something says something else, and leaves.
fn speaks(machine: &Machine, port: u16, greeting: Vec<u8>, answer: Vec<u8>) -> Result<()> {
    let listener = machine.namespace.run(|| TcpListener::bind((machine.address, port)))??;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (greeting, answer) = (greeting.clone(), answer.clone());
            thread::spawn(move || {
                let greeted = stream.write_all(&greeting).and_then(|()| stream.read(&mut [0; 512]));
                greeted.and_then(|_| stream.write_all(&answer))
            });
        }
    });
    Ok(())
}

/// A packet of MySQL.
fn packet(number: u8, payload: &[u8]) -> Vec<u8> {
    let [first, second, third, ..] = payload.len().to_le_bytes();
    [&[first, second, third, number], payload].concat()
}

fn greeting(name: &str) -> Vec<u8> {
    let version = format!("8.0-{name}\0");
    packet(0, &[b"\x0a", version.as_bytes(), &[0; 40]].concat())
}

/// The first line that a port of the VIP says, or what it begins with.
fn line(lab: &Lab, port: u16) -> Result<String> {
    let stream = lab.client.run(|| TcpStream::connect((PROXY_VIP, port)))??;
    stream.set_read_timeout(Some(VERDICT))?;
    let mut line = Vec::new();
    BufReader::new(stream).take(20).read_until(b'\n', &mut line)?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// What is asked of the VIP, by HTTP/1.1.
fn ask(lab: &Lab, arguments: &[&str]) -> Result<String> {
    let names = ["www", "api"].map(|name| format!("{name}.example.com:443:{PROXY_VIP}"));
    let common = ["--no-fail", "--include", "--insecure", "--http1.1", "--resolve", &names[0], "--resolve", &names[1]];
    curl(lab.client.command("curl"), &[&common, arguments].concat())
}

/// How the statistics page answers: its status, and the fields that say who may see it, and when to ask again.
fn statistics(lab: &Lab, who: &str, target: &str) -> Result<Vec<String>> {
    let mut command = lab.balancer.command("curl");
    command.args(["--silent", "--include", &format!("http://127.0.0.1:8404{target}")]);
    if !who.is_empty() {
        command.args(["--user", who]);
    }
    let answer = process::run(&mut command)?.to_ascii_lowercase();
    let is_meant = |line: &&str| ["http/", "refresh:", "www-authenticate:"].iter().any(|start| line.starts_with(start));
    // HAProxy speaks HTTP/1.1 there too, and names the reason.
    Ok(answer.lines().map(str::trim_end).filter(is_meant).map(str::to_owned).collect())
}

/// An answer without what is of the moment, and regardless of the order of fields: its lines, sorted.
fn lasting(answer: &str) -> Vec<String> {
    let of_the_moment = ["date:", "last-modified:", "etag:", "keep-alive:", "connection:", "x-request"];
    let lines = answer.lines().map(|line| line.trim_end().to_owned());
    let lasting = lines.filter(|line| !of_the_moment.iter().any(|name| line.to_ascii_lowercase().starts_with(name)));
    let mut lasting: Vec<_> = lasting.collect();
    lasting.sort();
    lasting
}

/// The servers that answer for a URL, as they say who they are.
fn met(lab: &Lab, url: &str, arguments: &[&str]) -> Result<BTreeSet<String>> {
    let answers = (0..6).map(|_| ask(lab, &[arguments, &[url]].concat()));
    answers.map(|answer| Ok(answer?.lines().last().context("a body")?.to_owned())).collect()
}

/// What clients get while all servers are there, and while those of the application do not answer.
fn all_answers(lab: &Lab, nodes: &[Nginx]) -> Result<Vec<Vec<String>>> {
    let plain = format!("http://{PROXY_VIP}");
    let mut all = Vec::new();
    // A database that refuses the login is not met, nor a server that is another one.
    wait::until("the verdicts", VERDICT, || {
        let said = [21, 3306].map(|port| (0..4).map(|_| line(lab, port)).collect::<Result<BTreeSet<_>>>());
        let [ftp, mysql] = said;
        let (ftp, mysql) = (ftp?, mysql?);
        let alone = ftp.len() == 1 && mysql.len() == 1 && ask(lab, &[&format!("{plain}/nobody")])?.contains("503");
        Ok(alone.then(|| all.push(ftp.into_iter().chain(mysql).collect())))
    })?;
    for (arguments, path) in [
        (&[][..], "/who"),
        (&[], "/ok"),
        (&[], "/denied"),
        (&["--request", "OPTIONS"], "/deny"),
        (&[], "/nobody"),
        (&["--header", "Host: www.example.com"], "/a?b=c"),
        (&["--header", "X-Forwarded-For: 192.0.2.99"], "/x"),
        (&["--data", "some=words"], "/"),
    ] {
        let answer = ask(lab, &[arguments, &[&format!("{plain}{path}")]].concat())?;
        // Whoever answers of several.
        let steady = |line: &String| !["web1", "web2"].iter().any(|name| line.contains(name));
        all.push(lasting(&answer).into_iter().filter(steady).collect());
    }
    for url in ["https://api.example.com/", "https://api.example.com/admin/", "https://www.example.com/admin/users"] {
        all.push(lasting(&ask(lab, &[url])?));
    }
    for (who, target) in [("admin:strong-password-here", "/stats"), ("admin:wrong", "/stats;csv"), ("", "/stats")] {
        all.push(statistics(lab, who, target)?);
    }
    for url in ["https://www.example.com/", "https://www.example.com/administration"] {
        all.push(met(lab, url, &[])?.into_iter().collect());
    }
    all.push(met(lab, &format!("{plain}/"), &[])?.into_iter().collect());
    all.push(met(lab, &format!("{plain}/tcp"), &[])?.into_iter().collect());
    // They take connections still, as the kernel does for them: a check by TCP alone sees nothing.
    nodes.iter().try_for_each(Nginx::freeze)?;
    let backup = wait::until("the backup", VERDICT, || {
        let answer = ask(lab, &["--max-time", "1", &format!("{plain}/")]).unwrap_or_default();
        Ok(answer.contains(BACKUP).then_some(answer))
    })?;
    all.push(lasting(&backup));
    all.push(lasting(&ask(lab, &["https://www.example.com/"])?));
    nodes.iter().try_for_each(Nginx::thaw)?;
    Ok(all)
}

#[test]
fn clients_get_the_same_of_haproxy_and_of_what_is_imported_from_it() -> Result<()> {
    const SITE: Listen = Listen { site: "app", port: 8080, keep_alive: true };
    let lab = Lab::beside_others()?;
    let start = |name| Nginx::start(lab.machine(name)?, lab.directory(), &[SITE]);
    let nodes = [start("web1")?, start("web2")?];
    let _others = [start("web3")?, start(BACKUP)?];
    let (first, second) = (lab.machine("web1")?, lab.machine("web2")?);
    speaks(first, 21, b"220 ProFTPD ready\r\n".to_vec(), Vec::new())?;
    speaks(second, 21, b"220 another\r\n".to_vec(), Vec::new())?;
    speaks(first, 3306, greeting("first"), packet(2, b"\0\0\0\x02\0\0\0"))?;
    speaks(second, 3306, greeting("second"), packet(2, b"\xff\x15\x04#28000denied"))?;
    let certs = lab.directory().join("certs");
    fs::create_dir_all(&certs)?;
    for host in ["api.example.com", "www.example.com"] {
        secret::keep(&certs.join(format!("{host}.pem")), made(host)?.1)?;
    }
    let file = lab.directory().join("haproxy.cfg");
    fs::write(&file, CONFIG.replace("{directory}", &lab.directory().display().to_string()))?;

    let mut haproxy = lab.balancer.command("haproxy");
    let mut haproxy = Process::spawn("haproxy", haproxy.arg("-db").arg("-f").arg(&file), lab.directory())?;
    haproxy.ready(VERDICT, || lab.client.run(|| TcpStream::connect((PROXY_VIP, 80)).is_ok()))?;
    let theirs = all_answers(&lab, &nodes).with_context(|| haproxy.log())?;
    haproxy.kill()?;

    let output = Command::new(binary()?).arg("import").arg(&file).output()?;
    let named = String::from_utf8_lossy(&output.stderr);
    let lost: Vec<_> =
        named.lines().filter(|line| line.contains(": not carried over: ") || line.contains(": changed: ")).collect();
    ensure!(lost.is_empty() && output.status.success(), "{}", complaint(&output));
    // The lab says where the daemon is asked.
    let text = String::from_utf8(output.stdout)?;
    let text: Vec<_> = text.lines().filter(|line| !line.starts_with("control_socket") && *line != "[global]").collect();
    let sluice = Sluice::start(&lab, &text.join("\n"))?;
    let ours = all_answers(&lab, &nodes).with_context(|| sluice.log())?;
    for (theirs, ours) in theirs.iter().zip(&ours) {
        ensure!(theirs == ours, "HAProxy: {theirs:#?}\nSluice: {ours:#?}\n{}", sluice.log());
    }
    ensure!(theirs.len() == ours.len() && ours.len() == 21);
    Ok(())
}
