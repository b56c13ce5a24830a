//! What the daemon tells of itself: names of metrics, and logs of events.

use super::{model, said};
use crate::model::{
    MetricNames,
    log::{Dialect, EventFormat, EventLog, Framing, Target},
};

fn text(global: &str) -> String {
    format!("frontend = {{}}\n[global]\n{global}\n")
}

#[test]
fn metrics_have_our_names_unless_others_are_asked_for() {
    let names = |global: &str| model(&text(global)).global.metrics_names;
    assert_eq!(names(""), [MetricNames::Sluice]);
    assert_eq!(names("metrics = \"127.0.0.1:1\"\nmetrics_names = \"haproxy\""), [MetricNames::Haproxy]);
    let both = names("metrics = \"127.0.0.1:1\"\nmetrics_names = [\"haproxy\", \"sluice\"]");
    assert_eq!(both, [MetricNames::Haproxy, MetricNames::Sluice]);
}

#[test]
fn names_that_say_nothing_are_refused() {
    let of = |names: &str| said(&text(&format!("metrics = \"127.0.0.1:1\"\nmetrics_names = {names}")));
    assert_eq!(of("[]"), ["`metrics_names` must name at least one: `sluice` or `haproxy`"]);
    assert_eq!(of("[\"sluice\", \"sluice\"]"), ["these names are asked for twice"]);
    assert_eq!(of("\"nginx\""), ["`nginx` is not whose names metrics may have"]);
    assert_eq!(said(&text("metrics_names = \"haproxy\"")), ["`metrics_names` has no effect without `metrics`"]);
}

#[test]
fn events_go_where_they_are_sent_as_json_unless_words_are_wanted() {
    let logs = |log: &str| model(&text(&format!("event_log = {log}"))).global.event_logs;
    assert_eq!(model(&text("")).global.event_logs, []);
    let file = Target::File("/var/log/e.log".into());
    let plain = EventLog { target: file, format: EventFormat::Json, framing: Framing::Raw, length: 4_096 };
    assert_eq!(logs("\"file:/var/log/e.log\""), [plain]);
    let all = "[{ to = \"unix:/dev/log\", format = \"text\" }, { to = \"udp:192.0.2.1:514\", framing = \"rfc5424\", facility = \
               \"daemon\", level = \"info\", error_level = \"err\", length = 512 }]";
    let syslog = |dialect, facility, level, error_level| Framing::Syslog { dialect, facility, level, error_level };
    let [local, far] = &logs(all)[..] else { panic!("two logs") };
    assert_eq!((local.format, local.framing), (EventFormat::Text, syslog(Dialect::Local, 16, 5, 4)));
    assert_eq!((far.framing, far.length), (syslog(Dialect::Rfc5424, 3, 6, 3), 512));
}

#[test]
fn what_is_wrong_with_an_event_log_is_said() {
    let of = |log: &str| said(&text(&format!("event_log = {log}")));
    assert_eq!(of("{ format = \"json\" }"), ["an event log needs `to`: where lines go"]);
    assert_eq!(of("\"file:events.log\""), ["lines cannot be logged to `file:events.log`"]);
    assert_eq!(of("[\"stdout\", \"stdout\"]"), ["events go to `stdout` twice"]);
    assert_eq!(of("{ to = \"stdout\", level = \"info\" }"), ["`level` has no meaning in lines that are `raw`"]);
    assert_eq!(of("{ to = \"stdout\", format = \"httplog\" }"), ["`httplog` is not a format of events"]);
    assert_eq!(of("{ to = \"stdout\", length = 511 }"), ["`length` must be from 512 to 65535"]);
    assert_eq!(of("{ to = \"stdout\", size = 1 }"), ["unknown key `size` in an event log"]);
}
