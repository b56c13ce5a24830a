//! Checks of type `http`.

use crate::{
    config::{
        acl::patterns::regex_error,
        error::Diagnostic,
        file::{ExpectHeader, ExpectKeys, Expectation, HeaderMatch, HttpKeys, HttpStepKeys, Statuses},
        read::{Knob, Named, OneOrMany},
        source::{At, Span},
        text::Text,
    },
    model::{
        Proto,
        acl::converter::Pattern,
        check::{Expect, Expected, ExpectedHeader, HttpCheck, HttpStep, HttpVersion, Matching},
    },
};
use regex::bytes::RegexBuilder;

/// Longest body of a request, HAProxy's `tune.bufsize`.
const BODY: usize = 16 << 10;
/// Most steps.
const STEPS: usize = 16;

pub(super) fn check(typed: &HttpKeys, out: &mut Vec<Diagnostic>) -> HttpCheck {
    let HttpKeys { method, path, host, version, headers, body, expect, steps, proto, disable_on_404 } = typed;
    if let (Some(Proto::Http2), Some(version)) = (proto.value(), version.given()) {
        out.push(Diagnostic::error(version.span, "`version` has no meaning with `proto = \"h2\"`"));
    }
    let request = Request { method, path, host, version, headers, body, expect };
    let base = request.over(HttpStep::default(), out);
    let proto = proto.value().copied();
    let disable_on_404 = disable_on_404.or(false);
    let Some(At { value: typed, span }) = steps.given() else {
        request.check_answer(&base, None, out);
        return HttpCheck { proto, steps: vec![base], disable_on_404 };
    };
    if typed.is_empty() || typed.len() > STEPS {
        out.push(Diagnostic::error(*span, format!("`steps` are 1 to {STEPS}")));
    }
    if let Some(first) = typed.first().and_then(|step| step.value.connect.given()).filter(|connect| !connect.value) {
        out.push(Diagnostic::error(first.span, "before the first step there is no connection to go on with"));
    }
    let mut steps: Vec<_> = typed.iter().map(|step| step_of(step, base.clone(), out)).collect();
    if steps.is_empty() {
        steps.push(base);
    }
    HttpCheck { proto, steps, disable_on_404 }
}

fn step_of(At { value: typed, span }: &At<HttpStepKeys>, base: HttpStep, out: &mut Vec<Diagnostic>) -> HttpStep {
    let HttpStepKeys { method, path, host, version, headers, body, expect, connect } = typed;
    let request = Request { method, path, host, version, headers, body, expect };
    let step = HttpStep { connect: connect.or(true), ..request.over(base, out) };
    request.check_answer(&step, Some(*span), out);
    step
}

/// What a check and a step have in common.
struct Request<'a> {
    method: &'a Knob<Text>,
    path: &'a Knob<Text>,
    host: &'a Knob<Text>,
    version: &'a Knob<HttpVersion>,
    headers: &'a Knob<Named<OneOrMany<Text>>>,
    body: &'a Knob<Text>,
    expect: &'a Knob<OneOrMany<Expectation>>,
}

impl Request<'_> {
    /// What it says, and else what is in `base`.
    fn over(&self, base: HttpStep, out: &mut Vec<Diagnostic>) -> HttpStep {
        if let Some(long) = self.body.value().filter(|body| body.value.len() > BODY) {
            out.push(Diagnostic::error(long.span, format!("`body` has more than {BODY} bytes")));
        }
        HttpStep {
            connect: true,
            method: text(self.method, "method", is_token, out).unwrap_or(base.method),
            path: text(self.path, "path", is_path, out).unwrap_or(base.path),
            host: host(self.host, out).or(base.host),
            version: self.version.or(base.version),
            headers: self.headers.value().map_or(base.headers, |headers| fields(headers, out)),
            body: self.body.value().map_or(base.body, |text| text.value.clone()),
            expect: expected(self.expect, out).unwrap_or(base.expect),
        }
    }

    /// Whether the answer to `step`, which stands at `place`, can have what is expected of it.
    fn check_answer(&self, step: &HttpStep, place: Option<Span>, out: &mut Vec<Diagnostic>) {
        let wants_body =
            step.expect.iter().any(|expect| matches!(expect.what, Expected::Body(_) | Expected::BodyRegex(_)));
        let place = self.expect.given().map(|at| at.span).or(place);
        if let Some(span) = place.filter(|_| wants_body && step.method == "HEAD") {
            let error = Diagnostic::error(span, "the answer to HEAD has no body: the check could never pass");
            out.push(error.help("method = \"GET\""));
        }
    }
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

/// Whether it is a path, perhaps with a query, of which nothing is lost in any version of HTTP.
fn is_path(text: &str) -> bool {
    let said = text.parse::<http::uri::PathAndQuery>();
    text.starts_with('/') && text.chars().all(|c| c.is_ascii_graphic()) && said.is_ok_and(|said| said == text)
}

pub(super) fn host(knob: &Knob<Text>, out: &mut Vec<Diagnostic>) -> Option<String> {
    text(knob, "host", |text| text.parse::<http::uri::Authority>().is_ok(), out)
}

pub(super) fn text(
    knob: &Knob<Text>,
    key: &str,
    fits: impl Fn(&str) -> bool,
    out: &mut Vec<Diagnostic>,
) -> Option<String> {
    let text = knob.value()?;
    if !fits(&text.value) {
        let error = Diagnostic::error(
            text.span,
            format!("`{}` cannot be the {key} of a request", text.to_string().escape_default()),
        );
        out.push(error.maybe_help((key == "path").then(|| {
            "a path begins with a slash; spaces, `#`, `<`, `>` and others are written as `%20`, `%23` …".to_owned()
        })));
    }
    Some(text.value.clone())
}

fn fields(Named(typed): &Named<OneOrMany<Text>>, out: &mut Vec<Diagnostic>) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    for (name, OneOrMany(values)) in typed {
        let own = ["host", "content-length", "transfer-encoding", "connection"];
        if !is_token(&name.value) {
            let message = format!("`{}` cannot be the name of a header", name.value.escape_default());
            out.push(Diagnostic::error(name.span, message));
        } else if own.iter().any(|own| name.value.eq_ignore_ascii_case(own)) {
            let error = Diagnostic::error(name.span, format!("`{}` comes by itself", name.value));
            let is_host = name.value.eq_ignore_ascii_case("host");
            out.push(error.maybe_help(is_host.then(|| "the check has a key for it: `host`".to_owned())));
        }
        for At { value, span } in values {
            if value.value.chars().any(|c| c.is_ascii_control() && c != '\t') {
                out.push(Diagnostic::error(*span, "the value of a header has no control characters"));
            }
            fields.push((name.value.clone(), value.value.trim().to_owned()));
        }
    }
    fields
}

fn expected(knob: &Knob<OneOrMany<Expectation>>, out: &mut Vec<Diagnostic>) -> Option<Vec<Expect>> {
    let At { value: OneOrMany(typed), span } = knob.given()?;
    if typed.is_empty() {
        out.push(Diagnostic::error(*span, "`expect` names nothing that could be expected"));
        return None;
    }
    let mut statuses = Vec::new();
    let mut others = Vec::new();
    for At { value, span } in typed {
        match value {
            Expectation::Statuses(Statuses { first, last }) => statuses.extend(*first..=*last),
            Expectation::Keys(keys) => others.extend(expect(keys, *span, out)),
        }
    }
    let statuses = (!statuses.is_empty()).then(|| Expect::status(statuses));
    Some(statuses.into_iter().chain(others).collect())
}

fn expect(typed: &ExpectKeys, span: Span, out: &mut Vec<Diagnostic>) -> Option<Expect> {
    let ExpectKeys { not, status, rstatus, string, rstring, hdr, fhdr } = typed;
    let absent = [
        status.is_absent(),
        rstatus.is_absent(),
        string.is_absent(),
        rstring.is_absent(),
        hdr.is_absent(),
        fhdr.is_absent(),
    ];
    if absent.iter().filter(|absent| !**absent).count() != 1 {
        let error = Diagnostic::error(span, "one thing is expected at a time");
        out.push(error.help("`status`, `rstatus`, `string`, `rstring`, `hdr` or `fhdr`; more of them in an array"));
        return None;
    }
    if let Some(empty) = string.value().filter(|text| text.value.is_empty()) {
        out.push(Diagnostic::error(empty.span, "every body contains that"));
    }
    let what = if let Some(At { value: OneOrMany(statuses), span }) = status.given() {
        if statuses.is_empty() {
            out.push(Diagnostic::error(*span, "`status` names none"));
        }
        Expected::Status(
            statuses.iter().flat_map(|At { value: Statuses { first, last }, .. }| *first..=*last).collect(),
        )
    } else if let Some(text) = rstatus.value() {
        Expected::StatusRegex(pattern(text, false, out)?)
    } else if let Some(text) = string.value() {
        Expected::Body(text.value.clone())
    } else if let Some(text) = rstring.value() {
        Expected::BodyRegex(pattern(text, false, out)?)
    } else {
        let whole = fhdr.value().is_some();
        Expected::Header(header(hdr.given().or_else(|| fhdr.given())?, whole, out)?)
    };
    Some(Expect { not: not.or(false), what })
}

fn header(typed: &At<ExpectHeader>, whole: bool, out: &mut Vec<Diagnostic>) -> Option<ExpectedHeader> {
    let ExpectHeader { name, name_match, value, value_match } = &typed.value;
    if name.is_absent() {
        out.push(Diagnostic::error(typed.span, "a header has a `name`"));
    }
    if let (true, Some(lonely)) = (value.is_absent(), value_match.given()) {
        out.push(Diagnostic::error(lonely.span, "`value_match` has no effect without `value`"));
    }
    Some(ExpectedHeader {
        name: matching(name.value()?, name_match.or(HeaderMatch::Str), true, out)?,
        value: match value.value() {
            Some(text) => Some(matching(text, value_match.or(HeaderMatch::Str), false, out)?),
            None => None,
        },
        whole,
    })
}

fn matching(text: &Text, how: HeaderMatch, folds: bool, out: &mut Vec<Diagnostic>) -> Option<Matching> {
    let literal = || text.value.clone();
    Some(match how {
        HeaderMatch::Str => Matching::Exact(literal()),
        HeaderMatch::Beg => Matching::Prefix(literal()),
        HeaderMatch::End => Matching::Suffix(literal()),
        HeaderMatch::Sub => Matching::Contains(literal()),
        HeaderMatch::Reg => Matching::Regex(pattern(text, folds, out)?),
    })
}

/// Over bytes; `folds`: regardless of case.
fn pattern(text: &Text, folds: bool, out: &mut Vec<Diagnostic>) -> Option<Pattern> {
    let regex = RegexBuilder::new(&text.value).unicode(false).case_insensitive(folds).build();
    regex.map(Pattern).map_err(|error| out.push(regex_error(&error, text.span))).ok()
}
