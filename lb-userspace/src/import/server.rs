//! `server`, `default-server` and `server-template`.

use super::{
    Effect, Import, advice,
    backend::Back,
    output::{Item, Value},
    statement::Statement,
    time::time,
    tls::below,
};

/// A key and its value.
pub(super) type Pair = (&'static str, Value);

/// What a server says of its backend and of checks, where ours are of all servers.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) at: Statement,
    pub(super) name: String,
    pub(super) checked: bool,
    pub(super) tracks: bool,
    /// `proto`, `send_proxy`, `on_marked_down`, `on_marked_up`.
    pub(super) of_backend: Vec<Pair>,
    /// `interval`, `rise` and so on.
    pub(super) of_check: Vec<Pair>,
}

/// The words of one server being read.
#[derive(Debug, Default)]
struct Reading {
    pairs: Vec<Pair>,
    of_backend: Vec<Pair>,
    of_check: Vec<Pair>,
    agent: Vec<Pair>,
    tls: Tls,
    checked: bool,
    agent_check: bool,
    /// Why it cannot take traffic.
    idle: Option<&'static str>,
}

/// TLS to a server.
#[derive(Clone, Debug, Default)]
struct Tls {
    on: bool,
    checks: bool,
    verify_none: bool,
    ca: Option<String>,
    crl: Option<String>,
    certificate: Option<String>,
    sni: Option<String>,
    check_sni: Option<String>,
    verify_host: Option<String>,
    alpn: Option<String>,
    min_version: Option<String>,
}

fn set(pairs: &mut Vec<Pair>, key: &'static str, value: Value) {
    pairs.retain(|(known, _)| *known != key);
    pairs.push((key, value));
}

impl Import {
    pub(super) fn server(&mut self, back: &mut Back, at: &Statement) {
        let words = at.words();
        let (names, address, params) = match words.as_slice() {
            ["server", name, address, params @ ..] => (vec![(*name).to_owned()], *address, params),
            ["server-template", prefix, numbers, address, params @ ..] => match template(prefix, numbers) {
                Some(names) => (names, *address, params),
                None => {
                    return self.lost(&mut back.table, at, "this is no number of servers, 1 to 1024", "such as 1-8");
                }
            },
            _ => return self.lost(&mut back.table, at, "a server has a name and an address", ""),
        };
        let mut item = Item::comment(at);
        let mut reading = Reading::default();
        reading.tls.verify_none = self.global.verify_none;
        let mut all = self.global.server_options.clone();
        all.extend(back.default_server.iter().cloned().chain(params.iter().map(|&word| word.to_owned())));
        self.parameters(&mut reading, &mut item, at, &all);
        let address = address.strip_prefix("ipv4@").or_else(|| address.strip_prefix("ipv6@")).unwrap_or(address);
        if let Some(why) = reading.idle {
            let help = "put it in and say: sluice server drain BACKEND/SERVER, or maint";
            return self.lost(&mut back.table, at, why, help);
        }
        self.reading_tls(&mut reading, &mut item, at);
        if reading.agent_check {
            set(&mut reading.pairs, "agent", Value::Map(std::mem::take(&mut reading.agent)));
        }
        if reading.checked && !reading.pairs.iter().any(|(key, _)| *key == "track") {
            let quiet = Statement { before: Vec::new(), after: None, ..at.clone() };
            back.table.reserve("check", &quiet);
        }
        let tracks = reading.pairs.iter().any(|(key, _)| *key == "track");
        for (index, name) in names.into_iter().enumerate() {
            let mut pairs = vec![("name", Value::text(name.as_str())), ("address", Value::text(address))];
            pairs.extend(reading.pairs.iter().cloned());
            let (before, after) =
                if index == 0 { (item.before.clone(), item.after.clone()) } else { (Vec::new(), None) };
            let of = Item::of(at, Value::Map(pairs));
            back.table.row("server", Item { before, after, ..of });
            back.servers.push(Server {
                at: at.clone(),
                name,
                checked: reading.checked,
                tracks,
                of_backend: reading.of_backend.clone(),
                of_check: reading.of_check.clone(),
            });
        }
    }

    /// TLS of traffic, and of checks that say it for themselves.
    fn reading_tls(&mut self, reading: &mut Reading, item: &mut Item, at: &Statement) {
        if reading.tls.on {
            let tls = self.server_tls(item, at, &reading.tls);
            set(&mut reading.pairs, "tls", tls);
        }
        if reading.checked && (reading.tls.checks && !reading.tls.on || reading.tls.check_sni.is_some()) {
            let mut tls = reading.tls.clone();
            tls.sni = tls
                .check_sni
                .take()
                .or(tls.sni)
                .map(|name| if name.contains('(') { name } else { format!("str({name})") });
            let tls = self.server_tls(item, at, &tls);
            set(&mut reading.of_check, "tls", tls);
        }
    }

    fn parameters(&mut self, reading: &mut Reading, item: &mut Item, at: &Statement, params: &[String]) {
        let mut rest = params.iter().map(String::as_str);
        while let Some(word) = rest.next() {
            if reading.flag(word)
                || reading.valued(word, &mut rest, (self.global.ca_base.as_ref(), self.global.crt_base.as_ref()))
            {
                continue;
            }
            let said = advice::server(word);
            // Of `default-server` it is said at the servers that have it.
            self.unused_option(item, at, word, said);
            if WITH_VALUE.contains(&word) {
                rest.next();
            }
        }
    }

    /// `tls` of a server or a check.
    fn server_tls(&mut self, item: &mut Item, at: &Statement, tls: &Tls) -> Value {
        let mut pairs = Vec::new();
        if tls.verify_none {
            pairs.push(("verify", Value::text("none")));
        } else {
            pairs.extend(tls.ca.as_ref().map(|ca| ("ca", Value::text(ca.as_str()))));
            pairs.extend(tls.crl.as_ref().map(|crl| ("crl", Value::text(crl.as_str()))));
        }
        let asked = tls.sni.as_deref().map(sni);
        let name = match (&tls.verify_host, asked) {
            (Some(host), Some(Some(name))) if name != *host && name != "host" => {
                self.changed(item, at, "the name that is asked for is the one that is verified");
                Some(name)
            }
            (Some(host), _) => Some(host.clone()),
            (None, Some(Some(name))) => Some(name),
            (None, Some(None)) => {
                self.changed(item, at, "the server is asked for the name that the request has, or for a fixed one");
                None
            }
            (None, None) => {
                if !tls.verify_none {
                    self.changed(item, at, "the certificate must have the name of the request: `sni` says another one");
                }
                None
            }
        };
        pairs.extend(name.map(|name| ("sni", Value::Text(name))));
        pairs.extend(tls.alpn.as_ref().map(|alpn| ("alpn", Value::texts(alpn.split(',')))));
        pairs.extend(tls.certificate.as_ref().map(|file| ("certificate", Value::text(file.as_str()))));
        pairs.extend(tls.min_version.as_ref().map(|version| ("min_version", Value::text(version.as_str()))));
        Value::Map(pairs)
    }

    pub(super) fn changed(&mut self, item: &mut Item, at: &Statement, why: &str) {
        item.before.push(format!("# changed: {why}"));
        self.differs(Effect::Changed, at, why, "");
    }
}

/// The name that `sni` asks for: "host" is that of the request.
fn sni(expression: &str) -> Option<String> {
    if let Some(name) = expression.strip_prefix("str(").and_then(|rest| rest.strip_suffix(')')) {
        return Some(name.to_owned());
    }
    let of_request = ["req.hdr(host)", "hdr(host)", "ssl_fc_sni", "var(txn.host)"];
    of_request
        .iter()
        .any(|known| {
            expression.eq_ignore_ascii_case(known) || expression.to_ascii_lowercase().starts_with(&format!("{known},"))
        })
        .then(|| "host".to_owned())
}

/// The names of a template's servers: `srv 1-3` has three.
fn template(prefix: &str, numbers: &str) -> Option<Vec<String>> {
    let (first, last) = numbers.split_once('-').unwrap_or(("1", numbers));
    let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && last - first < 1_024).then(|| (first..=last).map(|number| format!("{prefix}{number}")).collect())
}

impl Reading {
    /// A word without a value; whether it is one.
    fn flag(&mut self, word: &str) -> bool {
        match word {
            "check" => self.checked = true,
            "no-check" => self.checked = false,
            "backup" => set(&mut self.pairs, "backup", Value::Bool(true)),
            "no-backup" => self.pairs.retain(|(key, _)| *key != "backup"),
            "ssl" => self.tls.on = true,
            "no-ssl" => self.tls.on = false,
            "check-ssl" => self.tls.checks = true,
            "no-check-ssl" => self.tls.checks = false,
            "no-verifyhost" => self.tls.verify_host = None,
            "send-proxy" => set(&mut self.of_backend, "send_proxy", Value::text("v1")),
            "send-proxy-v2" | "send-proxy-v2-ssl" | "send-proxy-v2-ssl-cn" => {
                set(&mut self.of_backend, "send_proxy", Value::text("v2"));
            }
            "no-send-proxy" | "no-send-proxy-v2" => self.of_backend.retain(|(key, _)| *key != "send_proxy"),
            // A check of its own address has none otherwise.
            "check-send-proxy" => {
                let of_traffic = self.of_backend.iter().find(|(key, _)| *key == "send_proxy");
                let version = of_traffic.map_or_else(|| Value::text("v1"), |(_, version)| version.clone());
                set(&mut self.of_check, "send_proxy", version);
            }
            "agent-check" => self.agent_check = true,
            "no-agent-check" => self.agent_check = false,
            "disabled" => self.idle = Some("a server takes traffic when it stands here"),
            "enabled" => self.idle = None,
            "force-tlsv13" | "no-tlsv12" => self.tls.min_version = Some("TLSv1.3".to_owned()),
            _ => return false,
        }
        true
    }

    /// A word with a value; whether it is one.
    fn valued<'w>(
        &mut self,
        word: &str,
        rest: &mut impl Iterator<Item = &'w str>,
        (ca, crt): (Option<&String>, Option<&String>),
    ) -> bool {
        let known = VALUED.iter().find(|(theirs, ..)| *theirs == word);
        if let Some((_, key, place, kind)) = known {
            let typed = rest.next().unwrap_or_default();
            let value = match kind {
                Kind::Number => typed.parse().map_or_else(|_| Value::text(typed), Value::Int),
                Kind::Time => Value::Text(time(typed).unwrap_or_else(|| typed.to_owned())),
                Kind::Text => Value::text(typed),
            };
            if *key == "weight" {
                self.idle = (value == Value::Int(0)).then_some("weight 0 is a state here, not a share");
            }
            let pairs = match place {
                Place::Server => &mut self.pairs,
                Place::Backend => &mut self.of_backend,
                Place::Check => &mut self.of_check,
                Place::Agent => &mut self.agent,
            };
            set(pairs, key, value);
            return true;
        }
        let field = match word {
            "verify" => {
                self.tls.verify_none = rest.next() == Some("none");
                return true;
            }
            "ca-file" | "crl-file" | "crt" => {
                let file = rest.next().unwrap_or_default();
                let (field, base) = match word {
                    "ca-file" => (&mut self.tls.ca, ca),
                    "crl-file" => (&mut self.tls.crl, ca),
                    _ => (&mut self.tls.certificate, crt),
                };
                *field = Some(if file == "@system-ca" { "system".to_owned() } else { below(base, file) });
                return true;
            }
            "sni" => &mut self.tls.sni,
            "check-sni" => &mut self.tls.check_sni,
            "verifyhost" => &mut self.tls.verify_host,
            "alpn" => &mut self.tls.alpn,
            "ssl-min-ver" => &mut self.tls.min_version,
            _ => return false,
        };
        *field = rest.next().map(str::to_owned);
        true
    }
}

#[derive(Clone, Copy)]
enum Place {
    Server,
    Backend,
    Check,
    Agent,
}

#[derive(Clone, Copy)]
enum Kind {
    Number,
    Time,
    Text,
}

/// HAProxy's word, our key, where that stands, and what it has.
const VALUED: [(&str, &str, Place, Kind); 30] = [
    ("weight", "weight", Place::Server, Kind::Number),
    ("cookie", "cookie", Place::Server, Kind::Text),
    ("maxconn", "maxconn", Place::Server, Kind::Number),
    ("minconn", "minconn", Place::Server, Kind::Number),
    ("maxqueue", "maxqueue", Place::Server, Kind::Number),
    ("pool-max-conn", "pool_max_conn", Place::Server, Kind::Number),
    ("pool-purge-delay", "pool_purge_delay", Place::Server, Kind::Time),
    ("slowstart", "slowstart", Place::Server, Kind::Time),
    ("track", "track", Place::Server, Kind::Text),
    ("resolve-prefer", "resolve_prefer", Place::Server, Kind::Text),
    ("resolve-opts", "resolve_opts", Place::Server, Kind::Text),
    ("proto", "proto", Place::Backend, Kind::Text),
    ("on-marked-down", "on_marked_down", Place::Backend, Kind::Text),
    ("on-marked-up", "on_marked_up", Place::Backend, Kind::Text),
    ("inter", "interval", Place::Check, Kind::Time),
    ("fastinter", "fast_interval", Place::Check, Kind::Time),
    ("downinter", "down_interval", Place::Check, Kind::Time),
    ("rise", "rise", Place::Check, Kind::Number),
    ("fall", "fall", Place::Check, Kind::Number),
    ("port", "port", Place::Check, Kind::Number),
    ("addr", "address", Place::Check, Kind::Text),
    ("observe", "observe", Place::Check, Kind::Text),
    ("error-limit", "error_limit", Place::Check, Kind::Number),
    ("on-error", "on_error", Place::Check, Kind::Text),
    ("init-state", "init_state", Place::Check, Kind::Text),
    ("check-proto", "proto", Place::Check, Kind::Text),
    ("agent-port", "port", Place::Agent, Kind::Number),
    ("agent-addr", "address", Place::Agent, Kind::Text),
    ("agent-inter", "interval", Place::Agent, Kind::Time),
    ("agent-send", "send", Place::Agent, Kind::Text),
];

/// Words that are followed by a value, of those that nothing comes of.
const WITH_VALUE: [&str; 21] = [
    "id",
    "init-addr",
    "resolvers",
    "resolve-net",
    "max-reuse",
    "pool-low-conn",
    "redir",
    "source",
    "usesrc",
    "socks4",
    "namespace",
    "tcp-ut",
    "ws",
    "log-proto",
    "ciphers",
    "ciphersuites",
    "ssl-max-ver",
    "proxy-v2-options",
    "sigalgs",
    "curves",
    "check-alpn",
];
