//! Statements one by one.

use super::*;

/// A frontend and a backend around some statements.
fn site(front: &str, back: &str) -> String {
    format!(
        "defaults\n mode http\n timeout client 30s\n timeout connect 5s\n timeout server 30s\nfrontend f\n bind :80\n{front}\n \
         default_backend b\nbackend b\n{back}\n server s1 10.0.0.1:80\n"
    )
}

fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn comments_and_order_stay() {
    let text = whole(
        "# top\n\nglobal\n  # threads\n  nbthread 2 # two\n\n# all\ndefaults\n  mode http\n  timeout client 1m\n  \
         timeout connect 5s\n  timeout server 1m\n\n# site\nfrontend f\n  # where\n  bind :80 # clear\n  # who\n  acl a src 10.0.0.0/8\n  \
         # not\n  http-request deny if a # never\n  default_backend b\n\n# servers\nbackend b\n  server s 10.0.0.1:80 # one\n# end\n",
    );
    let order = [
        "# top",
        "[global]",
        "# threads",
        "threads = 2 # two",
        "# all",
        "[defaults]",
        "# site",
        "[frontend.f]",
        "# where",
        "bind = \"*:80\" # clear",
        "# who",
        "acl.a = ",
        "# not",
        "deny = 403 }] # never",
        "default_backend",
        "# servers",
        "[backend.b]",
        "server = [{ name = \"s\", address = \"10.0.0.1:80\" }] # one",
        "# end",
    ];
    let mut rest = text.as_str();
    for line in order {
        let (_, after) = rest.split_once(line).unwrap_or_else(|| panic!("{line}\n{text}"));
        rest = after;
    }
}

#[test]
fn what_ours_does_otherwise_by_default_is_said() {
    let text = whole(&site("", " cookie S insert indirect\n server s0 10.0.0.9:80 cookie x"));
    has(
        &text,
        &["forwarded_for = false", "abort_on_close = false", "redispatch = false", "timeout_http_request = \"30s\""],
    );
    let text = whole(&site(" option forwardfor", " option abortonclose\n option redispatch\n balance source"));
    has(&text, &["forwarded_for = true", "abort_on_close = true", "hash_type = \"map-based\""]);
    assert!(!text.contains("redispatch = false"));
}

#[test]
fn rules_of_all_kinds() {
    let text = whole(&site(
        " acl api path_beg /api/\n acl api hdr(host) -i api.example.com\n http-request set-header X-A \"a %[src] b\" if api or { path /x }\n \
         http-request redirect scheme https code 301 unless { ssl_fc }\n http-request return status 200 content-type text/plain string \"o k\" if { path /ok }\n \
         http-request deny deny_status 429 if { src 192.0.2.0/24 } !api\n http-request replace-path ^/v1/(.*) /\\1\n http-request set-var(txn.a) path,lower\n \
         http-response set-header X-B b\n http-response del-header Server\n tcp-request connection reject if { src 198.51.100.0/24 }\n \
         use_backend b if api\n redirect location /new if { path /old }\n capture request header Host len 32\n \
         http-request capture req.hdr(User-Agent) len 64\n monitor-uri /alive\n monitor fail if { nbsrv(b) lt 1 }\n \
         unique-id-header X-Id\n unique-id-format %{+X}o%ci_%Ts",
        " http-request deny if { path_beg /.git }",
    ));
    has(
        &text,
        &[
            "acl.api = [\n  \"path_beg /api/\",\n  \"hdr(host) -i api.example.com\",\n]",
            "{ if = \"api or { path /x }\", set_header = { name = \"X-A\", value = \"a %[src] b\" } }",
            "{ unless = \"{ ssl_fc }\", redirect = { scheme = \"https\", code = 301 } }",
            "return = { status = 200, content_type = \"text/plain\", string = \"o k\" }",
            "{ if = \"{ src 192.0.2.0/24 } !api\", deny = 429 }",
            "replace_path = { match = \"^/v1/(.*)\", with = '/\\1' }",
            "set_var = { name = \"txn.a\", value = \"path,lower\" }",
            "{ on = \"response\", del_header = \"Server\" }",
            "{ on = \"connection\", if = \"{ src 198.51.100.0/24 }\", reject = true }",
            "{ if = \"api\", use = \"b\" }",
            "monitor_fail = \"{ nbsrv(b) lt 1 }\"",
        ],
    );
}

#[test]
fn passwords_are_asked_for_by_the_list_that_the_condition_names() {
    let text = whole(&format!(
        "userlist staff\n user a insecure-password geheim\n{}",
        site(
            " acl ok http_auth(staff)\n http-request auth realm Staff unless ok\n http-request auth if !{ http_auth(staff) }",
            ""
        )
    ));
    has(
        &text,
        &["{ unless = \"ok\", auth = { realm = \"Staff\", userlist = \"staff\" } }", "auth = { userlist = \"staff\" }"],
    );
}

#[test]
fn servers_say_what_ours_says_of_backends() {
    let cfg = |servers: &str| {
        format!(
            "frontend f\n mode tcp\n bind :1\n timeout client 1s\n default_backend b\nbackend b\n mode tcp\n timeout connect 1s\n timeout server 1s\n{servers}"
        )
    };
    let text = whole(&cfg(
        " default-server check inter 1s fall 5 on-marked-down shutdown-sessions\n server a 10.0.0.1:1 weight 10 maxconn 20 slowstart 30s send-proxy-v2\n \
         server b db.example.com:1 backup send-proxy-v2 resolve-prefer ipv4\n server-template t 2 10.0.1.1:5 send-proxy-v2",
    ));
    has(
        &text,
        &[
            "check = { type = \"tcp\", interval = \"1s\", fall = 5 }",
            "on_marked_down = \"shutdown-sessions\"",
            "send_proxy = \"v2\"",
            "{ name = \"a\", address = \"10.0.0.1:1\", weight = 10, maxconn = 20, slowstart = \"30s\" }",
            "{ name = \"b\", address = \"db.example.com:1\", backup = true, resolve_prefer = \"ipv4\" }",
            "{ name = \"t2\", address = \"10.0.1.1:5\" }",
        ],
    );
    let different = " server a 10.0.0.1:1 check inter 1s\n server b 10.0.0.2:1 check inter 1s\n server c 10.0.0.3:1 check inter 3s\n server d 10.0.0.4:1\n server e 10.0.0.5:1 weight 0\n server g 10.0.0.6:1 check inter 1s bogus";
    let found = differing(&cfg(different));
    assert_eq!(found, [(12, Effect::Changed), (13, Effect::Changed), (14, Effect::Lost), (15, Effect::Lost)]);
}

#[test]
fn tls_both_ways() {
    let text = whole(&format!(
        "global\n ca-base /ca\n crt-base /crt\n ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets\n{}",
        site(
            " bind [::]:443 v4v6 ssl crt site.pem crt /other alpn h2,http/1.1 ca-file c.pem verify optional strict-sni",
            " server a 10.0.0.9:443 ssl verify none check\n server b 10.0.0.8:443 ssl ca-file @system-ca sni str(b.example.com) check",
        )
    ).replace(" server s1 10.0.0.1:80\n", ""));
    has(
        &text,
        &[
            "{ address = \"[::]:443\", tls = { certificates = [\"/crt/site.pem\", \"/other\"], alpn = [\"h2\", \"http/1.1\"], \
         client_ca = \"/ca/c.pem\", verify = \"optional\", strict_sni = true, min_version = \"TLSv1.2\", tickets = false } },\n  \
         { address = \"*:443\"",
            "tls = { verify = \"none\" }",
            "tls = { ca = \"system\", sni = \"b.example.com\" }",
        ],
    );
}

#[test]
fn checks_of_all_kinds() {
    let check = |lines: &str| {
        let text = imported(&format!("backend b\n{lines}\n server a 10.0.0.1:1 check\n")).text;
        let line = text.lines().find(|line| line.starts_with("check = ")).map(str::to_owned);
        line.unwrap_or_else(|| panic!("{text}"))
    };
    for (lines, expected) in [
        (" option httpchk", "type = \"http\", method = \"OPTIONS\", version = \"1.0\" }"),
        (
            " option httpchk GET /h HTTP/1.1\\r\\nHost:\\ www\n timeout check 1s",
            "method = \"GET\", path = \"/h\", host = \"www\", timeout = \"1s\" }",
        ),
        (
            " option httpchk\n http-check send meth GET uri / ver HTTP/1.1 hdr Host a.b hdr X 1\n http-check expect ! rstring bad\n http-check disable-on-404",
            "host = \"a.b\", headers = { X = \"1\" }, expect = { not = true, rstring = \"bad\" }, disable_on_404 = true }",
        ),
        (
            " option httpchk\n http-check connect\n http-check send meth GET uri /a\n http-check expect status 200,204\n http-check send meth GET uri /b\n http-check expect status 200-399",
            "steps = [{ method = \"GET\", path = \"/a\", version = \"1.0\", expect = [200, 204] }, { connect = false, method = \"GET\"",
        ),
        (
            " option tcp-check\n tcp-check connect port 6379 linger\n tcp-check send PING\\r\\n comment ping\n tcp-check expect min-recv 5 rstring ^\\+PONG",
            r#"steps = [{ connect = { port = 6379, linger = true } }, { send = "PING\r\n", comment = "ping" }, { expect_regex = '^\+PONG', min_recv = 5 }] }"#,
        ),
        (" option mysql-check", "type = \"mysql\", login = \"greeting\" }"),
        (" option pgsql-check user p", "type = \"pgsql\", login = \"startup\", user = \"p\" }"),
        (" option redis-check", "type = \"redis\" }"),
        (" option ldap-check", "type = \"ldap\" }"),
        (" option smtpchk EHLO a.b", "type = \"smtp\", hello = \"EHLO\", domain = \"a.b\" }"),
        (" option ssl-hello-chk", "type = \"tls\", tls = { verify = \"none\" } }"),
    ] {
        let found = check(lines);
        assert!(found.ends_with(expected) || found.contains(expected), "{found}\n{expected}");
    }
    let text = whole(
        "global\n external-check\nbackend b\n option external-check\n external-check command /c\n external-check path /p\n server a 10.0.0.1:1 check",
    );
    has(&text, &["exec_checks = true", "check = { type = \"exec\", command = \"/c\", path = \"/p\" }"]);
}

#[test]
fn logs_go_where_they_went() {
    let text = whole(
        "global\n log 192.0.2.1 local1\n log /dev/log local2 notice\ndefaults\n log global\n mode http\n option httplog\n option dontlognull\n \
         timeout client 1s\n timeout connect 1s\n timeout server 1s\nfrontend a\n bind :1\n default_backend b\nfrontend c\n bind :2\n \
         log-format \"%ci %ST\"\n default_backend b\nfrontend d\n bind :3\n no log\n log stdout format raw local0\n option log-separate-errors\n \
         default_backend b\nbackend b\n server s 10.0.0.1:1\n",
    );
    has(
        &text,
        &[
            "[defaults]\nlog = [{ to = \"udp:192.0.2.1:514\", facility = \"local1\" }]",
            "log = [{ to = \"udp:192.0.2.1:514\", format = \"%ci %ST\", facility = \"local1\" }]",
            "log = \"stdout\"",
            "log_skip = \"null\"",
        ],
    );
}

#[test]
fn every_proxy_has_what_the_defaults_before_it_say() {
    let text = whole(
        "defaults\n mode tcp\n timeout client 1s\n timeout connect 1s\n timeout server 1s\nlisten a\n bind :1\n server s 10.0.0.1:1\n\
         defaults\n mode http\n timeout client 2s\n timeout connect 2s\n timeout server 2s\nlisten b\n bind :2\n timeout server 9s\n server s 10.0.0.1:1\n",
    );
    has(
        &text,
        &[
            "[frontend.a]\nmode = \"tcp\"\ntimeout_client = \"1s\"",
            "[backend.a]\nmode = \"tcp\"\ntimeout_connect = \"1s\"\ntimeout_server = \"1s\"",
            "[frontend.b]\nmode = \"http\"\ntimeout_client = \"2s\"",
            "timeout_server = \"9s\"",
        ],
    );
}

#[test]
fn variables_of_the_environment_stay_variables() {
    let text = whole("listen a\n bind \"${ADDRESS}:80\"\n server s \"$SERVER:80\" cookie 'a${b}'\n");
    has(&text, &["\"${ADDRESS}:80\"", "address = \"${SERVER}:80\", cookie = \"a$${b}\""]);
}

#[test]
fn what_there_is_not_is_named_with_its_line() {
    let found = differing(&format!(
        "{}peers p\n peer a 10.0.0.1:1\n",
        site(
            " reqadd X-A:\\ b\n stick-table type ip size 1k\n http-request track-sc0 src\n http-request deny if { sc_http_req_rate(0) gt 5 }\n \
             compression algo gzip\n option nonsense\n nonsense\n bind /run/x.sock\n acl a nonsense(1) b\n http-request deny if a\n \
             http-request set-header X \"%[path,lua.f]\"\n tcp-request content accept",
            " block if TRUE\n balance nonsense\n retries many\n timeout server soon\n server x 10.0.0.1:80 disabled",
        )
    ));
    let lines: Vec<_> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 22, 23, 24, 25, 26, 28]);
}

#[test]
fn conditions_of_files_are_not_guessed() {
    let found = differing(".if defined(X)\nlisten a\n bind :1\n.endif\nlisten b\n bind :2\n server s 10.0.0.1:1\n");
    assert_eq!(found, [1, 2, 3, 4].map(|line| (line, Effect::Lost)));
}

#[test]
fn what_only_shows_statistics_is_a_page_and_what_serves_clients_is_not() {
    let text = whole(
        "# For operators.\nlisten admin\n bind 10.0.0.1:1936,127.0.0.1:1936\n mode http\n timeout client 5s\n stats enable # on\n \
         stats realm Our\\ LB\n stats refresh 5\n stats hide-version\n stats show-node lb1\n stats admin if TRUE\n \
         stats auth a:b:c\n stats auth d:e\n",
    );
    let expected = "# For operators.\n[stats_page.admin]\nbind = [\n  \"10.0.0.1:1936\",\n  \"127.0.0.1:1936\",\n]\n";
    assert!(text.starts_with(expected), "{text}");
    has(
        &text,
        &[
            "# on\n",
            "realm = \"Our LB\"\n",
            "refresh = \"5s\"\n",
            "hide_version = true\n",
            "node = \"lb1\"\n",
            "admin = true\n",
            "{ name = \"a\", insecure_password = \"b:c\" },\n  { name = \"d\", insecure_password = \"e\" },",
            "uri = \"/haproxy?stats\"\n",
        ],
    );
    let lost = |lines: &[usize]| lines.iter().map(|line| (*line, Effect::Lost)).collect::<Vec<_>>();
    let page = "frontend s\n bind :1\n mode http\n stats enable\n";
    let rules =
        " http-request use-service prometheus-exporter if { path /metrics }\n stats scope x\n bind :2 ssl crt /a\n";
    assert_eq!(differing(&format!("{page}{rules}")), lost(&[5, 6, 7]));
    assert_eq!(differing(&format!("{page} stats admin if LOCALHOST\n")), [(5, Effect::Changed)]);
    let serves = format!("{page} default_backend b\nbackend b\n mode http\n server s 10.0.0.1:1\n");
    assert_eq!(differing(&serves), lost(&[4]));
    assert!(imported(&serves).text.contains("[frontend.s]"));
}
