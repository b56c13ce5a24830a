//! Errors of frontends and backends that do not fit each other.

use super::{Bundle, ConfigFile, assert_errors, assert_warnings, load, said};

#[test]
fn two_frontends_claim_one_address() {
    let text = r#"[frontend.a]
mode = "tcp"
bind = "*:80"
default_backend = "web"

[frontend.b]
mode = "http"
bind = ["10.0.0.1:80", "[::]:80"]
default_backend = "web"

[backend.web]
server = [{ name = "web1", address = "10.0.0.1:80" }]
"#;
    let expected = r#"error: `10.0.0.1:80` is taken already, by `*:80` of frontend `a`
 --> sluice.toml:8:9
  |
3 | bind = "*:80"
  |        ------ first here
...
8 | bind = ["10.0.0.1:80", "[::]:80"]
  |         ^^^^^^^^^^^^^ frontend `b`
"#;
    assert_errors(text, expected);
}

#[test]
fn modes_must_fit() {
    let text = r#"[frontend.relay]
mode = "tcp"
bind = [{ address = "*:53", protocol = "udp" }]
forwarded_for = true
default_backend = "web"

[backend.web]
mode = "http"
server = [{ name = "web1", address = "10.0.0.1:80" }]
"#;
    let expected = r#"error: mode `tcp` cannot serve udp
 --> sluice.toml:3:40
  |
3 | bind = [{ address = "*:53", protocol = "udp" }]
  |                                        ^^^^^
  |
  = help: udp is balanced by the kernel half: mode = "l4"

error: `forwarded_for` has no meaning in mode `tcp`
 --> sluice.toml:4:17
  |
4 | forwarded_for = true
  |                 ^^^^
  |
  = help: only mode `http` reads requests

error: frontend `relay` of mode `tcp` uses backend `web` of mode `http`
 --> sluice.toml:5:19
  |
5 | default_backend = "web"
  |                   ^^^^^
...
8 | mode = "http"
  |        ------ the mode of the backend
"#;
    assert_errors(text, expected);
}

#[test]
fn servers_are_told_apart() {
    assert_errors(SERVERS_ARE_TOLD_APART, SERVERS_ARE_TOLD_APART_REPORT);
}

const SERVERS_ARE_TOLD_APART: &str = r#"[frontend.www]
mode = "tcp"
bind = ["*:80", "*:81"]
default_backend = "web"

[[backend.web.server]]
name = "web1"
address = "10.0.0.1"
weight = 0

[[backend.web.server]]
name = "web1"
address = "10.0.0.2:80"
weight = 257

[[backend.web.server]]
nmae = "web 3"
address = "0.0.0.0:80"
"#;

const SERVERS_ARE_TOLD_APART_REPORT: &str = r#"error: `weight` must be from 1 to 256
 --> sluice.toml:9:10
  |
9 | weight = 0
  |          ^
  |
  = help: HAProxy's weight 0 is a state here, not a share: drain the server at run time

error: backend `web` has two servers named `web1`
  --> sluice.toml:12:8
   |
 7 | name = "web1"
   |        ------ first here
...
12 | name = "web1"
   |        ^^^^^^

error: `weight` must be from 1 to 256
  --> sluice.toml:14:10
   |
14 | weight = 257
   |          ^^^

error: a server needs a `name`
  --> sluice.toml:16:1
   |
16 | [[backend.web.server]]
   | ^^^^^^^^^^^^^^^^^^^^^^

error: unknown key `nmae` in a server
  --> sluice.toml:17:1
   |
17 | nmae = "web 3"
   | ^^^^
   |
   = help: did you mean `name`?

error: `0.0.0.0:80` is not the address of one machine
  --> sluice.toml:18:11
   |
18 | address = "0.0.0.0:80"
   |           ^^^^^^^^^^^^
   |
   = help: supported: "10.0.0.1:80", "[2001:db8::1]:80", "db1.example.com:80", and the same without a port
"#;

#[test]
fn checks_make_sense() {
    assert_errors(CHECKS_MAKE_SENSE, CHECKS_MAKE_SENSE_REPORT);
}

const CHECKS_MAKE_SENSE: &str = r#"[frontend.www]
mode = "http"
bind = "*:80"
default_backend = "web"

[backend.web]
check = { type = "http", path = "health", method = "GE T", expect = ["200-", 99], interval = "1ms", rise = 0, fall = "3", port = 70000 }
server = [{ name = "web1", address = "10.0.0.1:80" }]

[backend.other]
check = { type = "tcp", path = "/", timeout = "5" }
server = [{ name = "web1", address = "10.0.0.1:80" }]
"#;

const CHECKS_MAKE_SENSE_REPORT: &str = r#"error: `health` cannot be the path of a request
 --> sluice.toml:7:33
  |
7 | check = { type = "http", path = "health", method = "GE T", expect = ["200-", 99], interval = "1ms", rise = 0, fall = "3", port = 70000 }
  |                                 ^^^^^^^^
  |
  = help: a path begins with a slash; spaces, `#`, `<`, `>` and others are written as `%20`, `%23` …

error: `GE T` cannot be the method of a request
 --> sluice.toml:7:52
  |
7 | check = { type = "http", path = "health", method = "GE T", expect = ["200-", 99], interval = "1ms", rise = 0, fall = "3", port = 70000 }
  |                                                    ^^^^^^

error: this is no status code from 100 to 599, nor a range of them
 --> sluice.toml:7:70
  |
7 | check = { type = "http", path = "health", method = "GE T", expect = ["200-", 99], interval = "1ms", rise = 0, fall = "3", port = 70000 }
  |                                                                      ^^^^^^
  |
  = help: such as 200, "200-399" or [200, 204]

error: this is no status code from 100 to 599, nor a range of them
 --> sluice.toml:7:78
  |
7 | check = { type = "http", path = "health", method = "GE T", expect = ["200-", 99], interval = "1ms", rise = 0, fall = "3", port = 70000 }
  |                                                                              ^^
  |
  = help: such as 200, "200-399" or [200, 204]

error: `interval` must be from 10ms to 365d
 --> sluice.toml:7:94
  |
7 | check = { type = "http", path = "health", method = "GE T", expect = ["200-", 99], interval = "1ms", rise = 0, fall = "3", port = 70000 }
  |                                                                                              ^^^^^

error: `rise` must be from 1 to 1000
 --> sluice.toml:7:108
  |
7 | check = { type = "http", path = "health", method = "GE T", expect = ["200-", 99], interval = "1ms", rise = 0, fall = "3", port = 70000 }
  |                                                                                                            ^

error: `fall`: expected an integer, found a string
 --> sluice.toml:7:118
  |
7 | check = { type = "http", path = "health", method = "GE T", expect = ["200-", 99], interval = "1ms", rise = 0, fall = "3", port = 70000 }
  |                                                                                                                      ^^^

error: `port` must be from 1 to 65535
 --> sluice.toml:7:130
  |
7 | check = { type = "http", path = "health", method = "GE T", expect = ["200-", 99], interval = "1ms", rise = 0, fall = "3", port = 70000 }
  |                                                                                                                                  ^^^^^

error: `path` has no meaning in a check of type `tcp`
  --> sluice.toml:11:25
   |
11 | check = { type = "tcp", path = "/", timeout = "5" }
   |                         ^^^^
   |
   = help: checks have it whose type is: `http`, `exec`

error: a duration needs a unit
  --> sluice.toml:11:47
   |
11 | check = { type = "tcp", path = "/", timeout = "5" }
   |                                               ^^^
   |
   = help: say the unit: "5ms" or "5s"
"#;

#[test]
fn warnings_do_not_keep_a_configuration_from_loading() {
    assert_warnings(
        WARNINGS_DO_NOT_KEEP_A_CONFIGURATION_FROM_LOADING,
        WARNINGS_DO_NOT_KEEP_A_CONFIGURATION_FROM_LOADING_REPORT,
    );
}

const WARNINGS_DO_NOT_KEEP_A_CONFIGURATION_FROM_LOADING: &str = r#"[frontend.www]
mode = "http"
bind = "*:80"
default_backend = "web"
acl.a = "path_beg admin"
acl.b = "hdr(host) x -i y"
rule = [{ if = "b", use = "web" }]

[backend.web]
server = [{ name = "web1", address = "10.0.0.1:80" }]
forward = "nat"
check = { type = "tcp", interval = "1s", timeout = "2s" }

[backend.spare]
server = [{ name = "a", address = "10.0.0.1:80" }, { name = "b", address = "10.0.0.1:80" }]
"#;

const WARNINGS_DO_NOT_KEEP_A_CONFIGURATION_FROM_LOADING_REPORT: &str = r#"warning: no rule uses ACL `a`
 --> sluice.toml:5:5
  |
5 | acl.a = "path_beg admin"
  |     ^

warning: no path begins with `admin`
 --> sluice.toml:5:19
  |
5 | acl.a = "path_beg admin"
  |                   ^^^^^
  |
  = help: a path begins with a slash

warning: `-i` is compared literally here
 --> sluice.toml:6:22
  |
6 | acl.b = "hdr(host) x -i y"
  |                      ^^
  |
  = help: flags come before the first pattern

warning: no l4 frontend uses backend `web`: `forward` has no effect
  --> sluice.toml:11:11
   |
11 | forward = "nat"
   |           ^^^^^

warning: a probe may take 2s, but the next is due after 1s
  --> sluice.toml:12:52
   |
12 | check = { type = "tcp", interval = "1s", timeout = "2s" }
   |                                                    ^^^^
   |
   = help: a dead server is found later than `interval` and `fall` suggest

warning: no frontend uses backend `spare`
  --> sluice.toml:14:10
   |
14 | [backend.spare]
   |          ^^^^^

warning: backend `spare` has two servers with this address
  --> sluice.toml:15:76
   |
15 | server = [{ name = "a", address = "10.0.0.1:80" }, { name = "b", address = "10.0.0.1:80" }]
   |                                   ------------- first here                 ^^^^^^^^^^^^^
   |
   = help: to give a server a larger share, use `weight`
"#;

/// A frontend for each mode that has a format for the name of its backend, and one backend with these lines that none names.
fn by_format(modes: &[&str], backend: &str) -> String {
    let frontend = |(index, mode): (usize, &&str)| {
        let value = if *mode == "http" { "req.hdr(x-to)" } else { "req.ssl_sni" };
        format!(
            "[frontend.f{index}]\nmode = \"{mode}\"\nbind = \"*:808{index}\"\ndefault_backend = \"{mode}_be\"\n\
             rule = [{{ if = \"TRUE\", use = \"%[{value}]\" }}]\n[backend.{mode}_be]\nmode = \"{mode}\"\n\
             server = [{{ name = \"s\", address = \"10.0.0.1:80\" }}]\n"
        )
    };
    let frontends: String = modes.iter().enumerate().map(frontend).collect();
    format!("{frontends}[backend.web]\n{backend}\nserver = [{{ name = \"s\", address = \"10.0.0.2\" }}]\n")
}

#[test]
fn a_format_that_gives_the_name_uses_the_backends_that_no_frontend_names() {
    let errors = |modes: &[&str], backend: &str| said(&by_format(modes, backend));
    let no_rules = "frontend `f0` of mode `tcp` has no messages that rules could look at";
    let cases: [(&[&str], &str, &[&str]); 8] = [
        (&["http"], "", &[]),
        (&["http"], "mode = \"http\"", &[]),
        (&["http"], "forward = \"nat\"", &["no l4 frontend uses backend `web`: `forward` has no effect"]),
        (&["http"], "mode = \"tcp\"", &["no frontend uses backend `web`"]),
        (&["tcp"], "rule = [{ del_header = \"x\" }]", &[no_rules]),
        (&["tcp"], "balance = \"uri\"", &["frontend `f0` of mode `tcp` has no requests to hash"]),
        // One of both may never name it.
        (&["tcp", "http"], "rule = [{ del_header = \"x\" }]\nbalance = \"uri\"", &[]),
        (&["tcp", "http"], "mode = \"http\"\nrule = [{ del_header = \"x\" }]", &[]),
    ];
    for (modes, backend, expected) in cases {
        assert_eq!(errors(modes, backend), expected, "{modes:?} {backend}");
    }
    let pages = "errorfile = { 503 = \"/dev/null\" }";
    let file = vec![ConfigFile { path: "sluice.toml".to_owned(), text: by_format(&["tcp", "http"], pages) }];
    let error_files = [("/dev/null".to_owned(), Ok(Vec::new()))].into();
    let loaded = load(&Bundle { files: file, error_files, ..Bundle::default() }).expect("no errors");
    let web = loaded.model.backend("web").expect("the backend");
    assert_eq!((web.errors.len(), web.servers[0].address.port()), (1, 8080));
    assert!(loaded.warnings.iter().next().is_none(), "{}", loaded.warnings);
}
