//! `option httpchk` and `http-check`.

use super::{Pair, Refused};
use crate::import::output::Value;

/// What is asked, and what is expected.
#[derive(Clone, Debug, Default)]
pub(super) struct Http {
    base: Request,
    steps: Vec<Step>,
    /// Of `http-check connect`.
    connect: Vec<Pair>,
    disable_on_404: bool,
    /// What there is to know.
    pub(super) notes: Vec<String>,
}

#[derive(Clone, Debug, Default)]
struct Request {
    method: Option<String>,
    path: Option<String>,
    version: Option<String>,
    host: Option<String>,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct Step {
    connect: bool,
    sends: Option<Request>,
    expect: Vec<Value>,
    /// Whether what is expected is one list of statuses.
    statuses: Option<Value>,
}

fn refused<T>(why: &str, help: &str) -> Result<T, Refused> {
    Err((why.to_owned(), help.to_owned()))
}

impl Http {
    /// `option httpchk [METHOD] [URI] [VERSION]`, the latter with fields behind it in old files.
    pub(super) fn request(&mut self, words: &[&str]) {
        self.base = Request::default();
        match words {
            [uri] => self.base.path = Some((*uri).to_owned()),
            [method, uri, rest @ ..] => {
                self.base.method = Some((*method).to_owned());
                self.base.path = Some((*uri).to_owned());
                let rest = rest.join(" ");
                let mut lines = rest.split("\r\n");
                self.base.version = lines.next().and_then(version);
                for line in lines.filter(|line| !line.is_empty()) {
                    if let Some((name, value)) = line.split_once(':') {
                        self.base.field(name.trim(), value.trim());
                    }
                }
            }
            [] => {}
        }
    }

    /// Whether there is an `http-check`.
    pub(super) fn says_something(&self) -> bool {
        !self.steps.is_empty() || self.disable_on_404
    }

    pub(super) fn statement(&mut self, words: &[&str]) -> Result<(), Refused> {
        match words {
            ["disable-on-404"] => self.disable_on_404 = true,
            ["send-state"] => return refused("servers are not told what is thought of them", ""),
            ["connect", rest @ ..] => self.connect(rest)?,
            ["send", rest @ ..] => {
                let request = Request::read(rest)?;
                let fresh = self.steps.last().is_none_or(|step| step.sends.is_some() || !step.expect.is_empty());
                if fresh {
                    self.steps.push(Step { connect: self.steps.is_empty(), ..Step::default() });
                }
                if let Some(step) = self.steps.last_mut() {
                    step.sends = Some(request);
                }
            }
            ["expect", rest @ ..] => self.expect(rest)?,
            [] | ["comment", ..] => {}
            [word, ..] => return refused(&format!("{word}: there is nothing like it in a check"), ""),
        }
        Ok(())
    }

    /// The first may say where; others only begin again.
    fn connect(&mut self, words: &[&str]) -> Result<(), Refused> {
        let first = self.steps.is_empty();
        let mut rest = words.iter();
        let mut pairs = Vec::new();
        let (mut tls, mut sni) = (false, None);
        while let Some(word) = rest.next() {
            let mut value = || rest.next().copied().unwrap_or_default();
            match *word {
                "default" | "linger" => {}
                "port" => match value().parse() {
                    Ok(port) => pairs.push(("port", Value::Int(port))),
                    Err(_) => return refused("this is no port that can be read here", ""),
                },
                "addr" => pairs.push(("address", Value::text(value()))),
                "send-proxy" => pairs.push(("send_proxy", Value::text("v1"))),
                "ssl" => tls = true,
                "sni" => sni = Some(value().to_owned()),
                "proto" => pairs.push(("proto", Value::text(value()))),
                "comment" => _ = value(),
                other => return refused(&format!("{other}: there is nothing like it in a check"), ""),
            }
        }
        if tls {
            let mut keys = vec![("verify", Value::text("none"))];
            keys.extend(sni.map(|name| ("sni", Value::Text(name))));
            pairs.push(("tls", Value::Map(keys)));
        }
        if !first && !pairs.is_empty() {
            return refused("all requests of a check go to the same place", "a check of type \"script\", or \"exec\"");
        }
        self.connect.extend(pairs);
        self.steps.push(Step { connect: true, ..Step::default() });
        Ok(())
    }

    fn expect(&mut self, words: &[&str]) -> Result<(), Refused> {
        let (mut not, mut rest) = (false, words);
        let (what, pattern) = loop {
            match rest {
                ["!", after @ ..] => (not, rest) = (true, after),
                [
                    "min-recv" | "comment" | "ok-status" | "error-status" | "tout-status" | "on-success" | "on-error"
                    | "status-code",
                    _,
                    after @ ..,
                ] => {
                    self.notes.push(format!(
                        "{}: codes and texts of a check are HAProxy's own",
                        rest.first().copied().unwrap_or_default()
                    ));
                    rest = after;
                }
                [what, pattern @ ..] => break (*what, pattern),
                [] => return refused("nothing is expected", ""),
            }
        };
        let (key, value) = match (what, pattern) {
            ("status", [list]) => ("status", statuses(list)),
            ("rstatus", [regex]) => ("rstatus", Value::text(*regex)),
            ("string", [text]) => ("string", Value::text(*text)),
            ("rstring", [regex]) => ("rstring", Value::text(*regex)),
            ("hdr", rest) => ("hdr", header(rest)?),
            ("fhdr", rest) => ("fhdr", header(rest)?),
            _ => {
                return refused(
                    "this cannot be expected of an answer",
                    "`status`, `rstatus`, `string`, `rstring`, `hdr`, `fhdr`",
                );
            }
        };
        if self.steps.is_empty() {
            self.steps.push(Step { connect: true, ..Step::default() });
        }
        let Some(step) = self.steps.last_mut() else { return Ok(()) };
        step.statuses = (key == "status" && !not && step.expect.is_empty()).then(|| value.clone());
        let mut pairs = Vec::new();
        if not {
            pairs.push(("not", Value::Bool(true)));
        }
        pairs.push((key, value));
        step.expect.push(Value::Map(pairs));
        Ok(())
    }

    /// The keys of the check.
    pub(super) fn pairs(&self) -> Vec<Pair> {
        let mut pairs = match self.steps.as_slice() {
            [] => self.base.pairs(),
            [step] => step.pairs(&self.base),
            steps => {
                let steps = steps.iter().map(|step| {
                    let mut pairs = step.pairs(&self.base);
                    if !step.connect {
                        pairs.insert(0, ("connect", Value::Bool(false)));
                    }
                    Value::Map(pairs)
                });
                vec![("steps", Value::List(steps.collect()))]
            }
        };
        if self.disable_on_404 {
            pairs.push(("disable_on_404", Value::Bool(true)));
        }
        pairs.extend(self.connect.iter().cloned());
        pairs
    }
}

impl Step {
    fn pairs(&self, base: &Request) -> Vec<Pair> {
        let mut pairs = self.sends.as_ref().map_or_else(|| base.pairs(), |own| own.over(base).pairs());
        match (&self.statuses, self.expect.as_slice()) {
            (_, []) => {}
            (Some(statuses), _) => pairs.push(("expect", statuses.clone())),
            (None, [one]) => pairs.push(("expect", one.clone())),
            (None, several) => pairs.push(("expect", Value::List(several.to_vec()))),
        }
        pairs
    }
}

impl Request {
    fn read(words: &[&str]) -> Result<Self, Refused> {
        let mut request = Self::default();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let mut value = || rest.next().map(|&word| word.to_owned());
            match *word {
                "meth" => request.method = value(),
                "uri" => request.path = value(),
                "ver" => request.version = value().as_deref().and_then(version),
                "body" => request.body = value(),
                "comment" => _ = value(),
                "hdr" => {
                    let (name, text) = (value().unwrap_or_default(), value().unwrap_or_default());
                    if text.contains("%[") {
                        return refused("fields of a check are the same for all servers", "");
                    }
                    request.field(&name, &text);
                }
                _ => {
                    return refused(
                        "requests of a check are the same for all servers",
                        "`uri` and `body` without values",
                    );
                }
            }
        }
        Ok(request)
    }

    fn field(&mut self, name: &str, value: &str) {
        if name.eq_ignore_ascii_case("host") {
            self.host = Some(value.to_owned());
        } else if !name.eq_ignore_ascii_case("connection") {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
    }

    /// What it does not say, `base` does.
    fn over(&self, base: &Self) -> Self {
        let own = self.clone();
        Self {
            method: own.method.or_else(|| base.method.clone()),
            path: own.path.or_else(|| base.path.clone()),
            version: own.version.or_else(|| base.version.clone()),
            host: own.host.or_else(|| base.host.clone()),
            headers: if own.headers.is_empty() { base.headers.clone() } else { own.headers },
            body: own.body.or_else(|| base.body.clone()),
        }
    }

    fn pairs(&self) -> Vec<Pair> {
        let mut pairs = vec![("method", Value::text(self.method.as_deref().unwrap_or("OPTIONS")))];
        pairs.extend(self.path.as_ref().filter(|path| *path != "/").map(|path| ("path", Value::text(path.as_str()))));
        if self.version.as_deref() != Some("1.1") {
            pairs.push(("version", Value::text("1.0")));
        }
        pairs.extend(self.host.as_ref().map(|host| ("host", Value::text(host.as_str()))));
        if !self.headers.is_empty() {
            pairs.push(("headers", Value::Fields(self.headers.clone())));
        }
        pairs.extend(self.body.as_ref().map(|body| ("body", Value::text(body.as_str()))));
        pairs
    }
}

/// `HTTP/1.1` as `1.1`.
fn version(text: &str) -> Option<String> {
    text.strip_prefix("HTTP/").map(str::to_owned)
}

/// `200,300-399`.
fn statuses(list: &str) -> Value {
    let one = |text: &str| text.parse().map_or_else(|_| Value::text(text), Value::Int);
    let mut all: Vec<_> = list.split(',').map(one).collect();
    match (all.len(), all.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            all.extend(last);
            Value::List(all)
        }
    }
}

/// `name [-m METHOD] NAME [value [-m METHOD] VALUE]`.
fn header(words: &[&str]) -> Result<Value, Refused> {
    let mut pairs = Vec::new();
    let mut rest = words;
    while let [what @ ("name" | "value"), after @ ..] = rest {
        let (text, matching) = if *what == "name" { ("name", "name_match") } else { ("value", "value_match") };
        let (method, after) = match after {
            ["-m", method, after @ ..] => (Some(*method), after),
            _ => (None, after),
        };
        let [typed, after @ ..] = after else { return refused("it is not understood", "") };
        pairs.push((text, Value::text(*typed)));
        pairs.extend(method.map(|method| (matching, Value::text(method))));
        rest = after;
    }
    if !rest.is_empty() || pairs.is_empty() {
        return refused("fields are compared with fixed texts", "hdr name NAME value VALUE");
    }
    Ok(Value::Map(pairs))
}
