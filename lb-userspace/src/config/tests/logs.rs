//! Access logs: what they become, and what is wrong with them.

use super::{assert_errors, assert_warnings, model, said};
use crate::model::log::{
    Capture, Dialect, Format, Framing, Item, Log, Logging, Target,
    parse::{CLF, HTTPLOG, TCPLOG},
};

/// A frontend with these keys, and `[defaults]` with those.
fn frontend(mode: &str, keys: &str, defaults: &str) -> String {
    format!(
        "[defaults]\n{defaults}\n[frontend.a]\nmode = \"{mode}\"\nbind = \"*:80\"\ndefault_backend = \"b\"\n{keys}\n[backend.b]\nserver = [{{ name = \"s\", address = \"10.0.0.1:80\" }}]\n"
    )
}

fn logging(mode: &str, keys: &str, defaults: &str) -> Logging {
    model(&frontend(mode, keys, defaults)).frontends.remove(0).log
}

fn items(format: &str) -> Format {
    Format::Items(Item::parse(format).expect("a format"))
}

#[test]
fn a_target_alone_has_the_defaults_of_its_kind_and_of_the_mode() {
    let syslog = Framing::Syslog { dialect: Dialect::Local, facility: 16, level: 6, error_level: 6 };
    let targets =
        |mode| logging(mode, "log = [\"udp:[2001:db8::1]:514\", \"unix:/dev/log\", \"file:/a/b\", \"stdout\"]", "");
    let found: Vec<_> = targets("http").targets;
    let shown: Vec<_> = found.iter().map(|log| (log.target.to_string(), log.framing)).collect();
    let expected = [
        ("udp:[2001:db8::1]:514", syslog),
        ("unix:/dev/log", syslog),
        ("file:/a/b", Framing::Raw),
        ("stdout", Framing::Raw),
    ];
    assert!(shown.iter().map(|(target, framing)| (target.as_str(), *framing)).eq(expected), "{shown:?}");
    assert!(found.iter().all(|log| log.format == items(HTTPLOG) && log.length == 1_024));
    assert!(targets("tcp").targets.iter().all(|log| log.format == items(TCPLOG)));
    assert_eq!(logging("http", "", ""), Logging::default(), "nothing by default");
}

#[test]
fn every_knob_of_a_log_counts() {
    let keys = "log = { to = \"stdout\", format = \"json\", framing = \"rfc5424\", facility = \"daemon\", level = \"notice\", error_level = \"err\", length = 9000 }\nlog_skip = [\"null\", \"normal\"]\ncapture_request = [\"Host\", { name = \"cookie\", length = 9, secret = true }]\ncapture_response = \"age\"\nunique_id = \"x-id\"";
    let found = logging("http", keys, "");
    let framing = Framing::Syslog { dialect: Dialect::Rfc5424, facility: 3, level: 5, error_level: 3 };
    assert_eq!(found.targets, [Log { target: Target::Stdout, format: Format::Json, framing, length: 9_000 }]);
    assert!(found.skip_null && found.skip_normal);
    let capture = |name: &str, length| Capture { name: name.to_owned(), length };
    assert_eq!(found.capture_request, [capture("Host", 64), capture("cookie", 9)]);
    assert_eq!(found.capture_response, [capture("age", 64)]);
    assert_eq!(found.unique_id.map(|id| (id.header, id.format)), Some(("x-id".to_owned(), None)));
    let own = logging("tcp", "log = { to = \"stdout\", format = \"%ci %{+Q}s\" }", "").targets.remove(0);
    assert_eq!(own.format, items("%ci %{+Q}s"));
    let clf = logging("http", "log = { to = \"stdout\", format = \"clf\" }", "").targets.remove(0);
    assert_eq!(clf.format, items(CLF));
    let json = logging("http", "log = { to = \"stdout\", format = \"json\" }", "").targets.remove(0);
    assert_eq!(json.length, 4_096);
}

#[test]
fn what_is_inherited_fits_the_mode_and_can_be_taken_back() {
    let defaults = "log = { to = \"stdout\", format = \"httplog\" }\nlog_skip = \"null\"";
    let inherited = logging("tcp", "", defaults);
    assert_eq!((&inherited.targets[0].format, inherited.skip_null), (&items(TCPLOG), true));
    assert_eq!(logging("http", "log = []\nlog_skip = []", defaults), Logging::default());
}

#[test]
fn each_fault_has_its_place() {
    assert_errors(FAULTS, FAULTS_REPORT);
}

const FAULTS: &str = r#"[frontend.www]
mode = "http"
bind = "*:80"
default_backend = "web"
log = [
  { to = "/dev/log" },
  { to = "udp:localhost" },
  { to = "stdout", format = "%ci %{+Q}xyz %[src]", facility = "mail" },
  { to = "unix:/dev/log", format = "htplog" },
  { format = "json" },
]
capture_request = ["a b"]
unique_id = { header = "x-id", format = "%ci-%ST" }

[backend.web]
server = [{ name = "web1", address = "10.0.0.1:80" }]
"#;

const FAULTS_REPORT: &str = r#"error: lines cannot be logged to `/dev/log`
 --> sluice.toml:6:10
  |
6 |   { to = "/dev/log" },
  |          ^^^^^^^^^^
  |
  = help: one of "udp:ADDRESS:PORT", "unix:PATH", "file:PATH" and "stdout"

error: lines cannot be logged to `udp:localhost`
 --> sluice.toml:7:10
  |
7 |   { to = "udp:localhost" },
  |          ^^^^^^^^^^^^^^^
  |
  = help: an address and a port: "udp:192.0.2.1:514"

error: nothing called `%xyz` can be logged
 --> sluice.toml:8:34
  |
8 |   { to = "stdout", format = "%ci %{+Q}xyz %[src]", facility = "mail" },
  |                                  ^^^^^^^^
  |
  = help: a literal `%` is written `%%`

error: expressions cannot be logged yet
 --> sluice.toml:8:43
  |
8 |   { to = "stdout", format = "%ci %{+Q}xyz %[src]", facility = "mail" },
  |                                           ^^^^^^
  |
  = help: header fields can: name them in `capture_request` or `capture_response`, and log %hr or %hs

error: `facility` has no meaning in lines that are `raw`
 --> sluice.toml:8:63
  |
8 |   { to = "stdout", format = "%ci %{+Q}xyz %[src]", facility = "mail" },
  |                                                               ^^^^^^
  |
  = help: framing = "rfc5424" puts lines into messages of syslog

error: `htplog` is not a format of lines
 --> sluice.toml:9:36
  |
9 |   { to = "unix:/dev/log", format = "htplog" },
  |                                    ^^^^^^^^
  |
  = help: did you mean `httplog`?

error: a log needs `to`: where lines go
  --> sluice.toml:10:3
   |
10 |   { format = "json" },
   |   ^^^^^^^^^^^^^^^^^^^
   |
   = help: such as to = "unix:/dev/log"

error: `a b` cannot be the name of a header field
  --> sluice.toml:12:20
   |
12 | capture_request = ["a b"]
   |                    ^^^^^

error: `%ST` is not known when a request begins
  --> sluice.toml:13:41
   |
13 | unique_id = { header = "x-id", format = "%ci-%ST" }
   |                                         ^^^^^^^^^
"#;

#[test]
fn what_cannot_be_is_refused() {
    for (mode, keys, expected) in [
        ("http", "log = [\"stdout\", { to = \"stdout\", format = \"json\" }]", "`stdout` is logged to twice"),
        ("http", "log = \"file:access.log\"", "lines cannot be logged to `file:access.log`"),
        ("http", "log = { to = \"stdout\", length = 10 }", "`length` must be from 80 to 65535"),
        ("http", "log = { to = \"stdout\", format = \"json\", length = 1024 }", "`length` must be from 2048 to 65535"),
        ("http", "log = { to = \"stdout\", format = \"%{+Z}r\" }", "`+Z` is not a flag"),
        ("http", "log = { to = \"stdout\", format = \"a%\\tb\" }", "a control character would break the line"),
        ("http", "log = { to = \"stdout\", format = \"%{+Q\" }", "`%{` without `}`"),
        ("tcp", "log = { to = \"stdout\", format = \"httplog\" }", "`httplog` has no meaning in mode `tcp`"),
        ("tcp", "log = \"stdout\"\ncapture_request = \"host\"", "`capture_request` has no meaning in mode `tcp`"),
        ("tcp", "unique_id = \"x-id\"", "`unique_id` has no meaning in mode `tcp`"),
        ("http", "log = \"stdout\"\ncapture_request = [\"host\", \"Host\"]", "`Host` is captured twice"),
        ("http", "log = \"stdout\"\ncapture_response = { length = 3 }", "a capture needs a `name`"),
        ("http", "unique_id = { format = \"%ci\" }", "`unique_id` needs a `header`"),
        ("http", "log_skip = \"errors\"", "`errors` is not something to skip"),
    ] {
        let said = said(&frontend(mode, keys, ""));
        assert!(said.iter().any(|line| line == expected), "{keys}: {said:?}");
    }
}

#[test]
fn a_fault_of_the_defaults_is_said_once() {
    let text = frontend("http", "", "log = \"nowhere\"")
        .replace("[backend.b]", "[frontend.c]\nmode = \"http\"\nbind = \"*:81\"\ndefault_backend = \"b\"\n[backend.b]");
    assert_eq!(said(&text), ["lines cannot be logged to `nowhere`"]);
}

#[test]
fn secrets_and_useless_captures_are_warned_of() {
    let text = r#"[frontend.www]
mode = "http"
bind = "*:80"
default_backend = "web"
log = "stdout"
capture_request = ["host", "Authorization"]

[backend.web]
server = [{ name = "web1", address = "10.0.0.1:80" }]
"#;
    let expected = r#"warning: whoever reads the log can act as the clients whose `Authorization` is in it
 --> sluice.toml:6:28
  |
6 | capture_request = ["host", "Authorization"]
  |                            ^^^^^^^^^^^^^^^
  |
  = help: if that is meant: secret = true
"#;
    assert_warnings(text, expected);
    let useless = said(&frontend("http", "capture_response = \"age\"", ""));
    assert_eq!(useless, ["without a `log` nothing is captured"]);
}
