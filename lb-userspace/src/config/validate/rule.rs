//! Rules of frontends and backends: when each is looked at, and its condition.

mod action;
mod reach;

use super::names::{self, Names};
use crate::{
    config::{
        acl::{
            self, Known,
            condition::{self, Acls},
        },
        error::Diagnostic,
        file::Rule as Typed,
        read::{Knob, Named, OneOrMany},
        source::At,
        text::Text,
    },
    model::{
        Condition, Rule,
        acl::expression::Moment,
        rule::{Action, Admission, Route},
    },
};
use reach::Reach;

/// Where rules stand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stand {
    HttpFrontend,
    TcpFrontend,
    Backend,
}

impl Stand {
    /// When rules are looked at there; the first if they do not say it.
    const fn moments(self) -> &'static [Moment] {
        match self {
            Self::HttpFrontend => &[Moment::Request, Moment::Response, Moment::Connection],
            Self::TcpFrontend => &[Moment::Content, Moment::Connection],
            Self::Backend => &[Moment::Request, Moment::Response],
        }
    }

    const fn may_route(self) -> bool {
        !matches!(self, Self::Backend)
    }

    /// For messages: "`set_path` is not for responses".
    const fn what(self, when: Moment) -> &'static str {
        match (when, self) {
            (Moment::Connection, _) => "connections",
            (Moment::Content, _) => "what is only relayed",
            (Moment::Request, Self::Backend) => "requests that have their backend",
            (Moment::Request, Self::HttpFrontend | Self::TcpFrontend) => "requests",
            (Moment::Response, _) => "responses",
        }
    }
}

/// What rules are read with.
pub(super) struct Reading<'r, 'a> {
    stand: Stand,
    names: &'r Names<'r>,
    known: &'r Known<'r>,
    acls: Acls<'a>,
    /// When the rule is looked at that is being read.
    when: Moment,
    out: &'r mut Vec<Diagnostic>,
}

/// What one rule does.
enum Does {
    Admit(Admission),
    Act(Action),
    Go(Route),
}

/// All rules, by when they are looked at.
#[derive(Default)]
pub(super) struct Sorted {
    pub(super) connection: Vec<Rule<Admission>>,
    pub(super) content: Vec<Rule<Admission>>,
    pub(super) request: Vec<Rule<Action>>,
    pub(super) response: Vec<Rule<Action>>,
    pub(super) routes: Vec<Rule<Route>>,
}

impl<'r, 'a> Reading<'r, 'a> {
    /// Of what is named `acl.…`, for rules that stand there.
    pub(super) fn new(
        stand: Stand,
        typed: &'a Knob<Named<OneOrMany<Text>>>,
        (names, known): (&'r Names<'r>, &'r Known<'r>),
        out: &'r mut Vec<Diagnostic>,
    ) -> Self {
        let acls = acls(typed, known, out);
        Self { stand, names, known, acls, when: Moment::Request, out }
    }

    /// All rules.
    pub(super) fn rules(&mut self, typed: &Knob<Vec<At<Typed>>>) -> Sorted {
        let mut rules = Sorted::default();
        let mut reach = Reach::default();
        for rule in typed.value().into_iter().flatten() {
            self.when = self.moment(&rule.value.on);
            let condition = self.condition(&rule.value.r#if, &rule.value.unless);
            let does = self.does(rule);
            let (Some(condition), Some(does)) = (condition, does) else { continue };
            let kind = (self.when, matches!(does, Does::Go(_)));
            self.out.extend(reach.next(kind, condition.as_ref(), does.decides(), rule.span));
            let always = condition.is_none();
            match does {
                Does::Admit(action) => {
                    let of = if self.when == Moment::Connection { &mut rules.connection } else { &mut rules.content };
                    of.push(Rule { condition, action });
                }
                Does::Act(action) => {
                    let of = if self.when == Moment::Response { &mut rules.response } else { &mut rules.request };
                    of.push(Rule { condition, action });
                }
                Does::Go(action) => {
                    if always && matches!(action, Route::Backend(_)) {
                        let error = Diagnostic::error(rule.span, "a rule needs `if` or `unless`");
                        self.out.push(error.help("what always holds is the `default_backend`"));
                    }
                    rules.routes.push(Rule { condition, action });
                }
            }
        }
        rules
    }

    /// Warns of ACLs that nothing has named. To be called last.
    pub(super) fn warn_of_unused(self) {
        for (name, span) in self.acls.unused() {
            self.out.push(Diagnostic::warning(span, format!("no rule uses ACL `{name}`")));
        }
    }

    /// When a rule is looked at.
    fn moment(&mut self, typed: &Knob<Moment>) -> Moment {
        let possible = self.stand.moments();
        let usual = possible.first().copied().unwrap_or(Moment::Request);
        let Some(at) = typed.given() else { return usual };
        if possible.contains(&at.value) {
            return at.value;
        }
        let (message, help) = match (self.stand, at.value) {
            (Stand::Backend, _) => ("a backend has only requests and responses", "such rules stand in its frontends"),
            (Stand::TcpFrontend, _) => ("a `tcp` frontend reads no messages", "`on` is \"connection\" or \"content\""),
            (Stand::HttpFrontend, _) => ("what an `http` frontend reads are requests", "leave out `on`"),
        };
        self.out.push(Diagnostic::error(at.span, message).help(help));
        usual
    }

    /// `None`: a faulty one. `Some(None)`: there is none.
    #[expect(clippy::option_option, reason = "none, and none that can be used, are not the same")]
    fn condition(&mut self, r#if: &Knob<Text>, unless: &Knob<Text>) -> Option<Option<Condition>> {
        let (text, negated) = match (r#if, unless) {
            (Knob::Given(text), Knob::Absent) => (text, false),
            (Knob::Absent, Knob::Given(text)) => (text, true),
            (Knob::Given(_), Knob::Given(unless)) => {
                let error = Diagnostic::error(unless.span, "a rule has `if` or `unless`, not both");
                self.out.push(error.help("negate a single ACL with `!`"));
                return None;
            }
            (Knob::Absent, Knob::Absent) => return Some(None),
            (Knob::Faulty, _) | (_, Knob::Faulty) => return None,
        };
        let condition = condition::parse(&text.value, &mut self.acls, self.known, self.when, self.out);
        let condition = condition.map_err(|errors| self.out.extend(errors)).ok()?;
        Some(Some(Condition { negated, ..condition }))
    }

    /// A condition about requests that is a knob of its own.
    pub(super) fn stated(&mut self, knob: &Knob<Text>) -> Option<Condition> {
        self.when = Moment::Request;
        self.condition(knob, &Knob::Absent).flatten()
    }
}

impl Does {
    /// Whether nothing of its kind comes after it, if it is done.
    const fn decides(&self) -> bool {
        match self {
            Self::Admit(_) | Self::Go(_) => true,
            Self::Act(action) => matches!(action, Action::Deny(_) | Action::Tarpit(_) | Action::Return(_)),
        }
    }
}

/// `acl.…` of a frontend or backend.
fn acls<'a>(typed: &'a Knob<Named<OneOrMany<Text>>>, known: &Known<'_>, out: &mut Vec<Diagnostic>) -> Acls<'a> {
    let mut acls = Acls::default();
    for (name, OneOrMany(expressions)) in typed.value().into_iter().flat_map(|Named(acls)| acls) {
        names::check("ACL", &name.value, name.span, out);
        if expressions.is_empty() {
            out.push(Diagnostic::error(
                name.span,
                format!("ACL `{}` has no expression and would never hold", name.value),
            ));
        }
        let mut parsed = Vec::new();
        for expression in expressions {
            match acl::parse(&expression.value, known, out) {
                Ok(acl) => parsed.push(acl),
                Err(error) => out.push(error),
            }
        }
        acls.insert(&name.value, name.span, parsed);
    }
    acls
}
