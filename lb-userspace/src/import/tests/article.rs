//! The eight fragments of "HAProxy Best Practices", and Debian's own files, where they are installed.

use super::*;
use std::fs;

/// What the fragment with ACLs routes to, which it does not show.
const ROUTED: &str = "
backend web_be
    mode http
    server web1 10.1.1.11:8080
backend api_be
    mode http
    server api1 10.1.1.11:8081
backend admin_be
    mode http
    server admin1 10.1.1.13:8082
";

#[test]
fn checks_of_web_servers_and_backups() {
    let text = whole(
        "backend my_app_be\nbalance roundrobin\noption tcp-check\nserver node1 10.1.1.10:8080 check\n\
         server node2 10.1.1.11:8080 check\n",
    );
    assert!(text.contains("balance = \"roundrobin\"\ncheck = { type = \"tcp\" }\nserver = ["), "{text}");

    let text = whole(
        "backend my_app_be\nbalance roundrobin\noption httpchk HEAD /health\nhttp-check expect status 200\n\
         server node1 10.1.1.10:8080 check\nserver node2 10.1.1.11:8080 check\n",
    );
    let check = "check = { type = \"http\", method = \"HEAD\", path = \"/health\", version = \"1.0\", expect = 200 }\n";
    assert!(text.contains(check), "{text}");

    let text = whole(
        "backend my_app_be\nbalance roundrobin\noption httpchk HEAD /health\nserver node1 10.1.1.10:8080 check\n\
         server node2 10.1.1.11:8080 check\nserver backup1 10.1.1.100:8080 check backup\n",
    );
    assert!(text.contains("{ name = \"backup1\", address = \"10.1.1.100:8080\", backup = true },"), "{text}");
}

#[test]
fn checks_of_files_and_databases() {
    let text = whole(
        "backend ftp_be\nmode tcp\nbalance roundrobin\noption tcp-check\ntcp-check expect string \"ProFTPD\"\n\
         server ftp1 10.1.1.10:21 check\nserver ftp2 10.1.1.11:21 check\n",
    );
    assert!(text.contains("check = { type = \"script\", steps = [{ expect = \"ProFTPD\" }] }\n"), "{text}");

    let text = whole(
        "backend mysql_be\nmode tcp\nbalance leastconn\noption mysql-check user haproxy-health\n\
         server mysql1 10.1.1.10:3306 check\nserver mysql2 10.1.1.11:3306 check\n",
    );
    let check = "check = { type = \"mysql\", login = \"post-41\", user = \"haproxy-health\" }\n";
    assert!(text.contains(check) && text.contains("balance = \"leastconn\""), "{text}");
}

#[test]
fn what_is_set_for_reloads() {
    let text = whole(
        "global\nnbthread 4\nmaxconn 100000\n\
         stats socket /run/haproxy/admin.sock mode 660 level admin expose-fd listeners\n\
         defaults\ntimeout client 60s\ntimeout server 60s\ntimeout connect 5s\noption redispatch\n",
    );
    for line in ["threads = 4", "max_connections = 100000", "timeout_client = \"1m\"", "timeout_connect = \"5s\""] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn routing_by_host_and_path() {
    let fragment = "frontend public\nbind *:443 ssl crt /etc/haproxy/certs/\nacl host_api hdr(host) -i api.example.com\n\
         acl host_web hdr(host) -i www.example.com\nacl path_admin path_beg /admin/\nuse_backend api_be if host_api\n\
         use_backend admin_be if host_web path_admin\ndefault_backend web_be\n";
    let text = whole(&format!("{fragment}{ROUTED}"));
    let expected = "[frontend.public]\nmode = \"http\"\n\
         bind = [{ address = \"*:443\", tls = { certificates = \"/etc/haproxy/certs/\" } }]\n\
         acl.host_api = \"hdr(host) -i api.example.com\"\nacl.host_web = \"hdr(host) -i www.example.com\"\n\
         acl.path_admin = \"path_beg /admin/\"\nrule = [\n  { if = \"host_api\", use = \"api_be\" },\n  \
         { if = \"host_web path_admin\", use = \"admin_be\" },\n]\ndefault_backend = \"web_be\"\n";
    assert!(text.starts_with(expected), "{text}");
    // Without the backends it is no configuration there either.
    assert_eq!(differing(fragment), [1, 6, 7, 8].map(|line| (line, Effect::Lost)));
}

#[test]
fn the_statistics_page() {
    let text = whole(
        "frontend stats\nbind 127.0.0.1:8404\nstats enable\nstats uri /stats\nstats refresh 10s\n\
         stats auth admin:strong-password-here\n",
    );
    let expected = "[stats_page.stats]\nbind = \"127.0.0.1:8404\"\nuri = \"/stats\"\nrefresh = \"10s\"\n\
         user = [{ name = \"admin\", insecure_password = \"strong-password-here\" }]\nrealm = \"HAProxy Statistics\"\n";
    assert_eq!(text, expected);
}

/// Each statement of theirs is there, or is named.
#[test]
fn debian_s_examples_convert_with_every_difference_named() {
    let mut files = vec!["/etc/haproxy/haproxy.cfg".into()];
    let examples = fs::read_dir("/usr/share/doc/haproxy/examples").into_iter().flatten().flatten();
    files.extend(examples.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "cfg")));
    for path in files.iter().filter(|path: &&std::path::PathBuf| path.exists()) {
        let text = fs::read_to_string(path).unwrap();
        let imported = imported(&text);
        let comments = text.lines().map(str::trim).filter(|line| line.starts_with('#') && line.len() > 1);
        for comment in comments {
            assert!(imported.text.contains(comment), "{}: {comment}\n{}", path.display(), imported.text);
        }
        assert!(
            imported.differences.iter().all(|found| found.line > 0 && !found.why.is_empty()),
            "{:#?}",
            imported.differences
        );
        assert_eq!(silent(&text, &imported), [""; 0], "{}", path.display());
    }
}

/// What was lost in silence: lines without which the result and the differences are the same.
fn silent(text: &str, imported: &Imported) -> Vec<String> {
    // They say what is so by itself.
    const USUAL: [&str; 5] =
        ["option redispatch", "option tcp-check", "option tcplog", "option httplog", "stats enable"];
    let full = |text: &str| text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let is_said = |(index, line): (usize, &str)| {
        let words = words::split(line).words;
        if words.is_empty() || !line.starts_with(char::is_whitespace) || USUAL.contains(&words.join(" ").as_str()) {
            return None;
        }
        let others = text.lines().enumerate().map(|(at, other)| if at == index { "" } else { other });
        let source = Source { path: "haproxy.cfg".to_owned(), text: others.collect::<Vec<_>>().join("\n") };
        let without = import(&[source]);
        let same = full(&without.text) == full(&imported.text) && without.differences == imported.differences;
        same.then(|| line.to_owned())
    };
    text.lines().enumerate().filter_map(is_said).collect()
}
