//! What lines look like.

use super::*;
use crate::{
    l7::{log::captured::Captures, message::Fields},
    model::log::{
        Dialect,
        parse::{CLF, HTTPLOG, TCPLOG, UNIQUE_ID},
    },
};
use proptest::prelude::*;

/// Without the date, whose zone is that of the host.
fn undated(line: &str) -> String {
    let (before, rest) = line.split_once('[').expect("a date");
    let (date, after) = rest.split_once(']').expect("a date");
    assert!(date.starts_with("06/Feb/2009:") || date.starts_with("05/Feb/2009:"), "{date}");
    format!("{before}[]{after}")
}

#[test]
fn the_ready_made_formats_are_those_of_haproxy() {
    let mut record = record();
    assert_eq!(
        undated(&line(HTTPLOG, &record)),
        "10.0.1.2:33317 [] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/2/3/4/0 5/6 \
         \"GET /index.html?a=b HTTP/1.1\""
    );
    assert_eq!(
        undated(&line(CLF, &record)),
        "10.0.1.2 - - [] \"GET /index.html?a=b HTTP/1.1\" 200 2750 \"\" \"\" 33317 655 \"http-in\" \"static\" \"srv1\" 10 0 \
         30 69 109 ---- 1 2 3 4 0 5 6 \"\" \"\" "
    );
    record.times.response = None;
    record.request = None;
    record.status = None;
    record.retries = 3;
    record.redispatched = true;
    record.termination = Termination::new(Cause::ServerTimeout, Phase::Data);
    assert_eq!(
        undated(&line(TCPLOG, &record)),
        "10.0.1.2:33317 [] http-in static/srv1 0/30/109 2750 sD 1/2/3/4/+3 5/6"
    );
}

#[test]
fn what_was_not_reached_is_minus_one_and_what_was_no_request_has_no_captures() {
    let start = Instant::now();
    let client = "[2001:db8::1]:5".parse().expect("an address");
    let mut record = Record::new(start, UNIX_EPOCH + Duration::from_hours(48), client, client, "web");
    record.times.end = start + Duration::from_millis(400);
    record.termination = Termination::new(Cause::Client, Phase::Request);
    record.status = Some(400);
    let expected = "2001:db8::1 web web/<NOSRV> -1/-1/-1/-1/400 400 0 - - CR-- 0/0/0/0/0 0/0 \"<BADREQ>\"";
    let format = HTTPLOG.replace(":%cp [%tr]", "");
    let target = Target::Stdout;
    let mut logging = logging([log(target, &format)]);
    logging.capture_request = vec![capture("host")];
    assert_eq!(message(&logging, &record), format!("{expected}\n"));
    assert_eq!(line("%ST %HM %{+Q}HU %si %{+Q}si %sslv %{+Q}ID", &record), "400 <BADREQ> \"<BADREQ>\" - \"\" - \"\"");
    record.status = None;
    assert_eq!(line("%ST %TR %Td %Ti", &record), "-1 -1 -1 -1");
}

#[test]
fn every_alias_has_its_value() {
    let mut record = record();
    record.tls = Some(Tls { version: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256", sni: Some("a") });
    for (format, expected) in [
        ("%ci|%cp|%fi|%fp", "10.0.1.2|33317|10.0.0.9|8080"),
        ("%bi|%bp|%si|%sp", "10.0.0.1|40000|10.0.0.2|80"),
        ("%f|%ft|%b|%s", "http-in|http-in~|static|srv1"),
        ("%ST|%B|%U|%ts|%tsc", "200|2750|120|--|----"),
        ("%TR|%Tw|%Tc|%Tr|%Td|%Ta|%Tt|%Tu|%Th|%Ti|%Tq", "10|0|30|69|0|109|109|109|0|0|10"),
        ("%ac|%fc|%bc|%sc|%rc|%sq|%bq", "1|2|3|4|0|5|6"),
        (
            "%r|%HM|%HU|%HP|%HPO|%HQ|%HV",
            "GET /index.html?a=b HTTP/1.1|GET|/index.html?a=b|/index.html|/index.html|?a=b|HTTP/1.1",
        ),
        ("%ID|%rt|%sslv|%sslc", "an-id|15|TLSv1.3|TLS_AES_128_GCM_SHA256"),
        ("%T|%trg|%Ts|%ms", "06/Feb/2009:12:14:14 +0000|06/Feb/2009:12:14:14 +0000|1233922454|655"),
        ("%CC|%CS|%{+Q}CC", "-|-|\"\""),
        ("%{+X}ci|%{+X}cp|%{+X}Ts|%{+X}rt", "0A000102|8225|498C2996|000F"),
        ("%{+Q}ci|%{+Q}b|%{+Q}ft|%{+Q}cp", "\"10.0.1.2\"|\"static\"|\"http-in~\"|33317"),
        ("%hr|%hs|%hrl", "||"),
        ("a  %hr  %hs b%%", "a b%"),
    ] {
        assert_eq!(line(format, &record), expected, "{format}");
    }
    assert_eq!(line("%pid %H", &record).split(' ').next(), Some(std::process::id().to_string().as_str()));
    let uri = RequestLine { method: b"GET", target: b"http://a.b/c?d", version: Version::Http2 };
    record.request = Some(uri);
    assert_eq!(line("%HP %HPO %HQ %HV", &record), "http://a.b/c /c ?d HTTP/2.0");
    assert!(line(UNIQUE_ID, &record).starts_with("0A000102:8225_0A000009:1F90_498C2996_000F:"));
}

#[test]
fn times_before_the_request_are_not_active() {
    let mut record = record();
    let start = record.times.start;
    record.times.handshake = Some(start + Duration::from_millis(3));
    record.times.first_byte = Some(start + Duration::from_millis(8));
    assert_eq!(line("%Th|%Ti|%TR|%Tq|%Ta|%Tt|%Tu", &record), "3|5|2|10|101|109|104");
    let dates = line("%t|%tr", &record);
    assert!(dates.contains(".655|") && dates.ends_with(".663"), "{dates}");
}

#[test]
fn captured_fields_stand_in_braces_cut_and_escaped() {
    let fields: Fields =
        [("X-A", "first"), ("x-a", "a|{b}\"\u{e9}"), ("host", "0123456789abcdefghijklmnop")].into_iter().collect();
    let captures = [capture("host"), capture("none"), capture("X-a")];
    let captured = Captures::new(&captures).take(&fields);
    let mut logging = logging([log(Target::Udp("127.0.0.1:9".parse().expect("an address")), "%hr %hs %hrl")]);
    logging.capture_request = captures.to_vec();
    logging.capture_response = vec![capture("server"), capture("age")];
    let record = Record { request_fields: &captured, ..record() };
    let escaped = "a#7C#7Bb#7D#22#C3#A9";
    assert_eq!(
        message(&logging, &record),
        format!("{{0123456789abcdefghij||{escaped}}} {{|}} 0123456789abcdefghij - {escaped}")
    );
}

#[test]
fn a_line_too_long_is_cut_and_says_so() {
    let mut record = record();
    let target = vec![b'/'; 5_000];
    record.request = Some(RequestLine { method: b"GET", target: &target, version: Version::Http11 });
    let cut = line(HTTPLOG, &record);
    assert_eq!(cut.len(), 1_024);
    assert!(cut.ends_with("//..."));
    let object = line("json", &record);
    assert!(object.len() <= 1_024, "{}", object.len());
    let object: serde_json::Value = serde_json::from_str(&object).expect("JSON");
    assert_eq!((&object["truncated"], &object["status"]), (&true.into(), &200.into()));
}

#[test]
fn json_has_every_key_always_in_the_same_order() {
    let keys = |record: &Record<'_>| -> Vec<String> {
        let text = line("json", record);
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).expect("an object");
        let place = |key: &String| text.find(&format!("\"{key}\":"));
        let mut keys: Vec<_> = object.keys().cloned().collect();
        keys.sort_by_key(place);
        keys
    };
    let record = record();
    let bare = Record::new(record.times.start, record.date, record.client, record.local, "web");
    assert_eq!(keys(&record), keys(&bare));
    let mut logging = logging([log(Target::Stdout, "json")]);
    logging.targets[0].length = 4_096;
    logging.capture_request = vec![capture("user-agent"), capture("via")];
    let captured = Captures::new(&logging.capture_request).take(&[("user-agent", "a\"\n")].into_iter().collect());
    let record = Record { request_fields: &captured, ..record };
    let text = message(&logging, &record);
    assert!(text.ends_with("}\n") && text.lines().count() == 1, "{text}");
    let object: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for (key, expected) in [
        ("/frontend", "http-in".into()),
        ("/backend", "static".into()),
        ("/client_address", "10.0.1.2".into()),
        ("/client_port", 33_317.into()),
        ("/method", "GET".into()),
        ("/target", "/index.html?a=b".into()),
        ("/version", "HTTP/1.1".into()),
        ("/status", 200.into()),
        ("/termination", "----".into()),
        ("/connect_us", 30_000.into()),
        ("/handshake_us", 0.into()),
        ("/total_us", 109_000.into()),
        ("/bytes_to_client", 2_750.into()),
        ("/tls_version", serde_json::Value::Null),
        ("/request_headers/user-agent", "a\"\n".into()),
        ("/request_headers/via", serde_json::Value::Null),
        ("/response_headers", serde_json::Value::Object(serde_json::Map::new())),
        ("/truncated", false.into()),
        ("/id", "an-id".into()),
    ] {
        assert_eq!(object.pointer(key), Some(&expected), "{key}");
    }
}

#[test]
fn syslog_has_its_headers() {
    let framed = |dialect, record: &Record<'_>| {
        let mut logging = logging([log(Target::Udp("127.0.0.1:9".parse().expect("an address")), "%ST")]);
        logging.targets[0].framing = Framing::Syslog { dialect, facility: 16, level: 6, error_level: 3 };
        message(&logging, record)
    };
    let (record, pid) = (record(), std::process::id());
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let local = framed(Dialect::Local, &record);
    assert!(local.starts_with("<134>Feb  ") && local.ends_with(&format!(" sluice[{pid}]: 200")), "{local}");
    let with_host = framed(Dialect::Rfc3164, &record);
    assert!(with_host.ends_with(&format!(" {host} sluice[{pid}]: 200")), "{with_host}");
    let failed = Record { status: Some(503), ..record };
    let new = framed(Dialect::Rfc5424, &failed);
    assert!(new.starts_with("<131>1 2009-02-0") && new.ends_with(&format!(" {host} sluice {pid} - - 503")), "{new}");
}

#[test]
fn an_id_is_new_every_time_or_made_as_configured() {
    use crate::{l7::log::id::Ids, model::log::UniqueId};
    let mut pen = Pen::new(0);
    let ids = Ids::new(&UniqueId { header: "X-Id".to_owned(), format: None });
    let (one, other) = (ids.make(&mut pen, &record()), ids.make(&mut pen, &record()));
    assert_eq!((ids.header(), one.len()), ("X-Id", 32));
    assert!(one != other && one.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte)));
    let format = Some(Item::parse("%cp-%rt").expect("a format"));
    assert_eq!(Ids::new(&UniqueId { header: "X-Id".to_owned(), format }).make(&mut pen, &record()), b"33317-15");
}

proptest! {
    /// Whatever a client sends: it is one line, and printable.
    #[test]
    fn nobody_forges_a_line(
        method in proptest::collection::vec(any::<u8>(), 0..20),
        target in proptest::collection::vec(any::<u8>(), 0..300),
        value in proptest::collection::vec(any::<u8>(), 0..60),
        status in proptest::option::of(100_u16..600),
    ) {
        let fields: Fields = [("host", value.as_slice())].into_iter().collect();
        let captured = Captures::new(&[capture("host")]).take(&fields);
        let record = Record {
            request: Some(RequestLine { method: &method, target: &target, version: Version::Http11 }),
            id: Some(&value),
            status,
            request_fields: &captured,
            ..record()
        };
        for format in [HTTPLOG, TCPLOG, CLF, "%HM %HU %HP %HPO %HQ %ID %hrl %{+Q}hr", "json"] {
            let mut logging = logging([log(Target::Udp("127.0.0.1:9".parse().expect("an address")), format)]);
            logging.capture_request = vec![capture("host")];
            let message = message(&logging, &record);
            prop_assert!(!message.chars().any(char::is_control), "{message}");
            if format == "json" {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&message).is_ok(), "{message}");
            } else {
                prop_assert!(message.is_ascii());
            }
        }
    }
}
