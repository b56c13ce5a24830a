//! One action of a rule, and what it needs.

use super::{Does, Reading};
use crate::{
    config::{
        acl::{fetches::variable_name, format, patterns::regex_error},
        error::Diagnostic,
        file::{Auth, NameValue, Redirect as TypedRedirect, Replace, Return as TypedReturn, Rule as Typed},
        read::Knob,
        source::{At, Span},
        suggest::{did_you_mean, listed},
        text::Text,
    },
    model::{
        acl::{converter::Pattern, expression::Moment},
        rule::{Action, Admission, Format, Redirect, Return, Route, Target},
    },
};
use regex::bytes::RegexBuilder;
use std::{collections::BTreeMap, sync::Arc};

impl Reading<'_, '_> {
    /// What a rule does; `None`: nothing that could be done there.
    pub(super) fn does(&mut self, At { value: typed, span }: &At<Typed>) -> Option<Does> {
        let given = [
            ("use", place(&typed.r#use), ROUTED),
            ("accept", place(&typed.accept), ADMITTED),
            ("reject", place(&typed.reject), ADMITTED),
            ("deny", place(&typed.deny), MESSAGES),
            ("tarpit", place(&typed.tarpit), REQUESTS),
            ("return", place(&typed.r#return), MESSAGES),
            ("redirect", place(&typed.redirect), MESSAGES),
            ("auth", place(&typed.auth), REQUESTS),
            ("set_header", place(&typed.set_header), MESSAGES),
            ("add_header", place(&typed.add_header), MESSAGES),
            ("del_header", place(&typed.del_header), MESSAGES),
            ("replace_header", place(&typed.replace_header), MESSAGES),
            ("replace_value", place(&typed.replace_value), MESSAGES),
            ("set_path", place(&typed.set_path), REQUESTS),
            ("replace_path", place(&typed.replace_path), REQUESTS),
            ("set_query", place(&typed.set_query), REQUESTS),
            ("set_uri", place(&typed.set_uri), REQUESTS),
            ("set_method", place(&typed.set_method), REQUESTS),
            ("set_status", place(&typed.set_status), RESPONSES),
            ("set_var", place(&typed.set_var), MESSAGES),
        ];
        let possible = given
            .iter()
            .filter(|(name, _, moments)| moments.contains(&self.when) && (*name != "use" || self.stand.may_route()));
        let help = format!("one of: {}", listed(possible.clone().map(|(name, ..)| *name)));
        let mut actions = given.iter().filter_map(|(name, at, _)| at.map(|at| (*name, at)));
        match (actions.next(), actions.next()) {
            (None, _) => {
                self.out.push(Diagnostic::error(*span, "a rule needs an action").help(help));
                return None;
            }
            (Some((first, _)), Some((second, at))) => {
                let error =
                    Diagnostic::error(at.unwrap_or(*span), format!("a rule has one action: `{first}` or `{second}`"));
                self.out.push(error.help("write two rules, which are applied in order"));
                return None;
            }
            (Some((name, at)), None) => {
                if !possible.clone().any(|(known, ..)| *known == name) {
                    let message = format!("`{name}` is not for {}", self.stand.what(self.when));
                    self.out.push(Diagnostic::error(at.unwrap_or(*span), message).help(help));
                    return None;
                }
            }
        }
        let go = || Some(self.route(typed.r#use.value()?)?.map(Does::Go));
        let does = Self::admission(typed).or_else(|| self.action(typed, *span)).or_else(go)?;
        does.map_err(|error| self.out.push(error)).ok()
    }

    fn admission(typed: &Typed) -> Option<Result<Does, Diagnostic>> {
        let switches = [("accept", &typed.accept, Admission::Accept), ("reject", &typed.reject, Admission::Reject)];
        let (name, at, admission) =
            switches.into_iter().find_map(|(name, knob, admission)| Some((name, knob.given()?, admission)))?;
        Some(if at.value {
            Ok(Does::Admit(admission))
        } else {
            let error = Diagnostic::error(at.span, format!("`{name} = false` says nothing"));
            Err(error.help(format!("write `{name} = true`, and when by `if` or `unless`")))
        })
    }

    fn action(&self, typed: &Typed, span: Span) -> Option<Result<Does, Diagnostic>> {
        let action = if let Some(status) = typed.deny.given() {
            page(status).map(Action::Deny)
        } else if let Some(status) = typed.tarpit.given() {
            page(status).map(Action::Tarpit)
        } else if let Some(what) = typed.r#return.given() {
            self.returned(&what.value, what.span).map(Action::Return)
        } else if let Some(what) = typed.redirect.given() {
            self.redirect(&what.value, what.span).map(Action::Redirect)
        } else if let Some(what) = typed.auth.given() {
            self.auth(&what.value, what.span)
        } else if let Some(status) = typed.set_status.given() {
            final_status(status).map(Action::SetStatus)
        } else if let Some(what) = typed.set_var.given() {
            self.set_variable(&what.value, what.span)
        } else {
            self.change(typed, span)?
        };
        Some(action.map(Does::Act))
    }

    fn change(&self, typed: &Typed, span: Span) -> Option<Result<Action, Diagnostic>> {
        let format = |knob: &Knob<Text>, action: fn(Format) -> Action| Some(self.format(knob.value()?).map(action));
        let named = |knob: &Knob<NameValue>, action: fn(Box<str>, Format) -> Action| {
            let NameValue { name, value } = knob.value()?;
            Some(
                required(name, "name", span)
                    .and_then(field_name)
                    .and_then(|name| Ok(action(name, self.format(required(value, "value", span)?)?))),
            )
        };
        let replace = |knob: &Knob<Replace>, elements| {
            let Replace { name, r#match, with } = knob.value()?;
            Some(required(name, "name", span).and_then(field_name).and_then(|name| {
                let regex = pattern(required(r#match, "match", span)?)?;
                Ok(Action::ReplaceHeader { name, regex, with: self.format(required(with, "with", span)?)?, elements })
            }))
        };
        let replace_path =
            || {
                let path = typed.replace_path.value()?;
                Some(required(&path.r#match, "match", span).and_then(pattern).and_then(|regex| {
                    Ok(Action::ReplacePath(regex, self.format(required(&path.with, "with", span)?)?))
                }))
            };
        named(&typed.set_header, Action::SetHeader)
            .or_else(|| named(&typed.add_header, Action::AddHeader))
            .or_else(|| Some(field_name(typed.del_header.value()?).map(Action::DelHeader)))
            .or_else(|| replace(&typed.replace_header, false))
            .or_else(|| replace(&typed.replace_value, true))
            .or_else(|| format(&typed.set_path, Action::SetPath))
            .or_else(replace_path)
            .or_else(|| format(&typed.set_query, Action::SetQuery))
            .or_else(|| format(&typed.set_uri, Action::SetUri))
            .or_else(|| format(&typed.set_method, Action::SetMethod))
    }

    /// `None`: a backend that does not exist, which was reported with all uses of backends.
    fn route(&self, text: &Text) -> Option<Result<Route, Diagnostic>> {
        if !format::has_values(text) {
            return self.names.find(&text.value).map(|backend| Ok(Route::Backend(backend)));
        }
        let names = self.known.backends.iter().zip(0..).map(|((name, _), index)| ((*name).to_owned(), index));
        let names = Arc::new(names.collect::<BTreeMap<_, _>>());
        Some(self.format(text).map(|format| Route::Named(format, names)))
    }

    fn format(&self, text: &Text) -> Result<Format, Diagnostic> {
        format::parse(text, self.known, self.when)
    }

    fn returned(&self, typed: &TypedReturn, span: Span) -> Result<Return, Diagnostic> {
        let status = match typed.status.given() {
            None => 200,
            Some(at) => final_status(at)?,
        };
        let body = match (typed.string.value(), typed.file.given()) {
            (Some(_), Some(file)) => {
                return Err(Diagnostic::error(file.span, "`return` has a `string` or a `file`, not both"));
            }
            (Some(string), None) => string.value.as_str(),
            (None, Some(file)) => self.known.file(&file.value.value, file.span)?,
            (None, None) => "",
        };
        let content_type = typed.content_type.value().map(|text| text.value.as_str().into());
        if content_type.is_none() && !body.is_empty() {
            return Err(
                Diagnostic::error(span, "`return` needs the `content_type` of its body").help("such as \"text/plain\"")
            );
        }
        Ok(Return { status, content_type, body: body.into() })
    }

    fn redirect(&self, typed: &TypedRedirect, span: Span) -> Result<Redirect, Diagnostic> {
        let target = match (typed.location.value(), typed.prefix.value(), typed.scheme.value()) {
            (Some(text), None, None) => Target::Location(self.format(text)?),
            (None, Some(text), None) => Target::Prefix(self.format(text)?),
            (None, None, Some(text)) => Target::Scheme(self.format(text)?),
            (_, _, _) => {
                return Err(Diagnostic::error(span, "`redirect` needs one of `location`, `prefix` and `scheme`"));
            }
        };
        if self.when == Moment::Response && !matches!(target, Target::Location(_)) {
            let error = Diagnostic::error(span, "a redirect instead of a response has a `location`");
            return Err(error.help("the request, which the others begin with, is gone when its response comes"));
        }
        let code = match typed.code.given() {
            None => 302,
            Some(at) => {
                [301, 302, 303, 307, 308].into_iter().find(|code| i64::from(*code) == at.value).ok_or_else(|| {
                    Diagnostic::error(at.span, format!("{} is no redirect", at.value)).help("301, 302, 303, 307 or 308")
                })?
            }
        };
        let cookie = match (typed.set_cookie.value(), typed.clear_cookie.value()) {
            (Some(text), None) => Some(format!("{text}; path=/;").into()),
            (None, Some(text)) => Some(format!("{text}; path=/; Max-Age=0;").into()),
            (None, None) => None,
            (Some(_), Some(text)) => {
                return Err(Diagnostic::error(text.span, "a redirect sets a cookie or clears one, not both"));
            }
        };
        let (drop_query, append_slash) = (typed.drop_query.or(false), typed.append_slash.or(false));
        Ok(Redirect { target, code, drop_query, append_slash, cookie, ignore_empty: typed.ignore_empty.or(false) })
    }

    fn auth(&self, typed: &Auth, span: Span) -> Result<Action, Diagnostic> {
        let name = required(&typed.userlist, "userlist", span)?;
        let found = self.known.userlists.get(name.value.as_str());
        let userlist = Arc::clone(found.ok_or_else(|| {
            let help = did_you_mean(&name.value, self.known.userlists.keys().copied());
            Diagnostic::error(name.span, format!("no userlist is called `{name}`")).maybe_help(help)
        })?);
        let realm = typed.realm.value().map_or(userlist.name.as_str(), |text| text.value.as_str());
        if realm.contains(['"', '\\', '\r', '\n']) {
            return Err(Diagnostic::error(
                place(&typed.realm).flatten().unwrap_or(span),
                "a realm has no quotes and no backslashes",
            ));
        }
        Ok(Action::Auth { realm: realm.into(), userlist })
    }

    fn set_variable(&self, typed: &NameValue, span: Span) -> Result<Action, Diagnostic> {
        let name = required(&typed.name, "name", span)?;
        let checked = variable_name(&name.value).map_err(|message| Diagnostic::error(name.span, message))?;
        let value = required(&typed.value, "value", span)?;
        Ok(Action::SetVariable(checked.into(), format::value(value, self.known, self.when)?))
    }
}

/// Whether a key is there, and where its value is.
#[expect(clippy::option_option, reason = "a faulty value has no place, and is there")]
fn place<T>(knob: &Knob<T>) -> Option<Option<Span>> {
    match knob {
        Knob::Absent => None,
        Knob::Faulty => Some(None),
        Knob::Given(at) => Some(Some(at.span)),
    }
}

fn required<'k>(knob: &'k Knob<Text>, key: &str, span: Span) -> Result<&'k Text, Diagnostic> {
    knob.value().ok_or_else(|| Diagnostic::error(span, format!("`{key}` is missing")))
}

/// RFC 9110 §5.1.
fn field_name(text: &Text) -> Result<Box<str>, Diagnostic> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if text.value.is_empty() || !text.value.chars().all(token) {
        return Err(Diagnostic::error(text.span, format!("`{text}` is not the name of a header")));
    }
    if ["content-length", "transfer-encoding", "connection"].iter().any(|own| text.value.eq_ignore_ascii_case(own)) {
        let error = Diagnostic::error(text.span, format!("`{text}` says how the message is carried"));
        return Err(error.help("it is written by the proxy alone"));
    }
    Ok(text.value.as_str().into())
}

fn pattern(text: &Text) -> Result<Pattern, Diagnostic> {
    let regex = RegexBuilder::new(&text.value).unicode(false).build();
    regex.map(Pattern).map_err(|error| regex_error(&error, text.span))
}

/// The status of a final response.
fn final_status(typed: &At<i64>) -> Result<u16, Diagnostic> {
    let status = u16::try_from(typed.value).ok().filter(|status| (200..=599).contains(status));
    let message = || format!("{} is no status from 200 to 599", typed.value);
    status.ok_or_else(|| Diagnostic::error(typed.span, message()))
}

/// A status that there is a page for.
fn page(status: &At<i64>) -> Result<u16, Diagnostic> {
    let found = PAGES.into_iter().find(|page| i64::from(*page) == status.value);
    found.ok_or_else(|| {
        let error = Diagnostic::error(status.span, format!("there is no page for status {}", status.value));
        error.help("403 for `deny` and 500 for `tarpit` are usual; `return` answers with any status")
    })
}

const PAGES: [u16; 21] =
    [200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 414, 421, 422, 425, 429, 431, 500, 501, 502, 503, 504];

/// When actions are possible.
const ADMITTED: &[Moment] = &[Moment::Connection, Moment::Content];
const ROUTED: &[Moment] = &[Moment::Content, Moment::Request];
const MESSAGES: &[Moment] = &[Moment::Request, Moment::Response];
const REQUESTS: &[Moment] = &[Moment::Request];
const RESPONSES: &[Moment] = &[Moment::Response];
