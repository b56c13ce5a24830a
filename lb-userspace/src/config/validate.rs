//! From what the operator typed to a [`Model`], where the nouns meet: every rule is checked, whatever else is wrong.
//!
//! A faulty value gets a stand-in and is reported, so that the rest can still be checked; a model with stand-ins never
//! leaves [`load`](super::load).

mod agent;
mod backend;
mod bind;
mod check;
mod cookie;
mod error_file;
mod event_log;
mod failover;
mod frontend;
mod global;
mod kernel;
mod lint;
mod log;
mod names;
mod pressure;
mod quorum;
mod range;
mod resolvers;
mod stats_page;
mod stats_socket;
mod rule;
mod tls;
mod track;

use super::{
    acl::Known,
    bundle::Bundle,
    error::Diagnostic,
    file::{Backend, BindForm, Defaults, File, Frontend, Mode, User},
    read::{Knob, OneOrMany},
    source::{At, Span},
};
use crate::{
    crypt,
    model::{
        Model, Ports,
        userlist::{Password, Userlist},
    },
};
use names::Names;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A table under the name that the operator gave it.
type Entry<T> = (At<String>, T);

/// One place where a frontend names a backend, or gives a format that may; or, of a fallback, where it names the other.
#[derive(Clone, Copy)]
struct Use<'a> {
    /// Index of the backend.
    backend: usize,
    frontend: &'a str,
    /// `None`: a faulty one, or one of several, with which nothing can be said about how the backend is used; but it is.
    mode: Option<Mode>,
    /// Where the backend is named.
    span: Span,
    /// Where the frontend listens.
    binds: &'a [At<BindForm>],
}

impl Use<'_> {
    /// The ports that the frontend listens on.
    fn ports(&self) -> impl Iterator<Item = Ports> {
        self.binds.iter().filter_map(|bind| Some(bind.value.0.address.value()?.ports))
    }
}

/// The files that ACLs and rules name.
pub(crate) fn wanted_texts(file: &File, bundle: &Bundle) -> BTreeSet<String> {
    let mut wanted = BTreeSet::new();
    model(file, bundle, &mut wanted, &mut Vec::new());
    wanted
}

/// Whether a server is known by its name.
pub(crate) fn has_host_names(file: &File) -> bool {
    !resolvers::names(file.backend.value().into_iter().flat_map(|named| &named.0)).is_empty()
}

/// The model that `file` describes. What is wrong goes to `out`; with errors there, the model is not to be used.
pub(crate) fn validate(file: &File, bundle: &Bundle, out: &mut Vec<Diagnostic>) -> Model {
    model(file, bundle, &mut BTreeSet::new(), out)
}

fn model(file: &File, bundle: &Bundle, wanted: &mut BTreeSet<String>, out: &mut Vec<Diagnostic>) -> Model {
    let no_defaults = Defaults::default();
    let defaults = file.defaults.value().unwrap_or(&no_defaults);
    let frontends: Vec<&Entry<Frontend>> = names::sorted("frontend", file.frontend.value(), out);
    let backends: Vec<&Entry<Backend>> = names::sorted("backend", file.backend.value(), out);
    let names = Names::new(&backends);
    let mut uses = uses(&frontends, &names, out);
    let by_format = uses_by_format(&frontends, &backends, &uses);
    uses.extend(by_format);
    failover::add_uses(&backends, &names, &mut uses);
    warn_of_unused(&backends, &uses, out);
    bind::check_conflicts(&frontends, out);
    let userlists = userlists(file, out);
    let known = known(&frontends, &backends, userlists, bundle);
    let mut model = Model {
        global: global::global(file.global.value(), bundle.cpus, out),
        resolvers: resolvers::resolvers(file, &resolvers::names(backends.iter().copied()), bundle, out),
        frontends: frontends
            .iter()
            .map(|entry| frontend::frontend(entry, &names, &known, defaults, bundle, out))
            .collect(),
        backends: backends
            .iter()
            .enumerate()
            .map(|(index, entry)| {
                let uses: Vec<_> = uses.iter().filter(|used| used.backend == index).collect();
                backend::backend(entry, &uses, (&names, &known), defaults, bundle, out)
            })
            .collect(),
        lists: Vec::new(),
    };
    model.lists = known.lists();
    model.global.stats_pages = stats_page::stats_pages(file, &model.frontends, out);
    if !model.global.exec_checks {
        check::refuse_programs(backends.iter().filter_map(|(_, backend)| backend.check.value()), out);
    }
    failover::check(&backends, &uses, &model.backends, out);
    track::resolve(&backends, &mut model.backends, out);
    for (index, backend) in model.backends.iter_mut().enumerate() {
        backend.pressure.is_asked_for_load = known.is_asked_for_load(index);
    }
    wanted.extend(known.wanted.into_inner());
    quorum::quorums(&frontends, &mut model, out);
    lint::lint(&frontends, &backends, &uses, out);
    kernel::check(file, &frontends, &backends, &names, out);
    // With other errors this would often be their consequence. Who writes an empty table means it.
    let serves = file.frontend.value().is_some() || !model.global.stats_pages.is_empty();
    if !serves && !out.iter().any(Diagnostic::is_error) {
        let error = Diagnostic::error(Span::default(), "no frontend: nothing would be served");
        out.push(error.help("begin with `[frontend.NAME]`, `mode`, `bind` and `default_backend`; an empty `[frontend]` says that this is meant"));
    }
    model
}

/// The userlists by name.
fn userlists<'a>(file: &'a File, out: &mut Vec<Diagnostic>) -> BTreeMap<&'a str, Arc<Userlist>> {
    let lists = names::sorted("userlist", file.userlist.value(), out).into_iter();
    let list = lists.map(|(name, typed)| {
        let users = users(&typed.user, out);
        (name.value.as_str(), Arc::new(Userlist { name: name.value.clone(), users }))
    });
    list.collect()
}

/// Names and passwords of a list.
fn users(typed: &Knob<Vec<At<User>>>, out: &mut Vec<Diagnostic>) -> Vec<(String, Password)> {
    let mut users: Vec<(String, Password)> = Vec::new();
    for At { value: user, span } in typed.value().into_iter().flatten() {
        let (Some(known), Some(password)) = (user.name.value(), password(user, *span, out)) else {
            if user.name.is_absent() {
                out.push(Diagnostic::error(*span, "a user needs a `name`"));
            }
            continue;
        };
        if users.iter().any(|(name, _)| *name == known.value) || known.value.contains(':') {
            let message = format!("`{known}` is given twice, or has a colon: names have none");
            out.push(Diagnostic::error(known.span, message));
        }
        users.push((known.value.clone(), password));
    }
    users
}

/// `None`: there is none that could be used, which is reported.
fn password(user: &User, span: Span, out: &mut Vec<Diagnostic>) -> Option<Password> {
    match (user.password.given(), user.insecure_password.value()) {
        (Some(hash), None) => {
            let text = &hash.value.value;
            if let Err(why) = crypt::check(text) {
                let message = format!("this is no hashed password that can be verified: {why}");
                let error = Diagnostic::error(hash.span, message);
                out.push(error.help("as `openssl passwd -6` prints it: $6$SALT$HASH, or $5$SALT$HASH"));
                return None;
            }
            Some(Password::Crypt(text.clone()))
        }
        (None, Some(clear)) => Some(Password::Clear(clear.value.clone())),
        (None, None) => {
            if user.password.is_absent() && user.insecure_password.is_absent() {
                out.push(Diagnostic::error(span, "a user needs a `password` or an `insecure_password`"));
            }
            None
        }
        (Some(hash), Some(_)) => {
            out.push(Diagnostic::error(hash.span, "a user has `password` or `insecure_password`, not both"));
            None
        }
    }
}

/// What expressions may name.
fn known<'a>(
    frontends: &[&'a Entry<Frontend>],
    backends: &[&'a Entry<Backend>],
    userlists: BTreeMap<&'a str, Arc<Userlist>>,
    bundle: &'a Bundle,
) -> Known<'a> {
    let servers = |backend: &'a Backend| {
        let servers = backend.server.value().into_iter().flatten();
        servers.map(|server| server.value.name.value().map_or("", |name| name.value.as_str())).collect()
    };
    Known {
        backends: backends.iter().map(|(name, backend)| (name.value.as_str(), servers(backend))).collect(),
        frontends: frontends.iter().map(|(name, _)| name.value.as_str()).collect(),
        userlists,
        files: &bundle.texts,
        wanted: RefCell::default(),
        asked_for_load: RefCell::default(),
        lists: RefCell::default(),
    }
}

/// Every place where a frontend names a backend that exists; names that do not exist are reported.
fn uses<'a>(frontends: &[&'a Entry<Frontend>], names: &Names<'_>, out: &mut Vec<Diagnostic>) -> Vec<Use<'a>> {
    let mut uses = Vec::new();
    for (name, frontend) in frontends {
        for text in frontend::references(frontend) {
            let Some(backend) = names.find(&text.value) else {
                out.push(names.unknown(&name.value, text));
                continue;
            };
            uses.push(Use { backend, ..used(name, frontend, text.span) });
        }
    }
    uses
}

/// A frontend's use of some backend, at that place.
fn used<'a>(name: &'a At<String>, frontend: &'a Frontend, span: Span) -> Use<'a> {
    let binds = frontend.bind.value().map_or(&[][..], |OneOrMany(binds)| binds);
    Use { backend: 0, frontend: &name.value, mode: frontend.mode.value().copied(), span, binds }
}

/// The frontends that may use a backend which no frontend names: those with a format that gives the name. Not those of another
/// mode than the backend says: such a format may well never give it. Of a backend that says none, the mode is known only where
/// all of these frontends have the same.
fn uses_by_format<'a>(
    frontends: &[&'a Entry<Frontend>],
    backends: &[&Entry<Backend>],
    named: &[Use<'_>],
) -> Vec<Use<'a>> {
    let by_format = || {
        let frontends = frontends.iter().filter(|(_, frontend)| frontend.mode.value() != Some(&Mode::L4));
        frontends.filter_map(|(name, frontend)| Some(used(name, frontend, frontend::formats(frontend).next()?.span)))
    };
    let is_named = |index: usize| named.iter().any(|used| used.backend == index);
    let unnamed = backends.iter().enumerate().filter(|(index, _)| !is_named(*index));
    let uses = unnamed.flat_map(|(backend, (_, typed))| {
        let own = typed.mode.value();
        let may = |used: &Use<'_>| own.is_none() || used.mode.is_none() || used.mode.as_ref() == own;
        let first = by_format().find(may).and_then(|used| used.mode);
        let mode = first.filter(|first| by_format().filter(may).all(|used| used.mode == Some(*first)));
        by_format().filter(may).map(move |used| Use { backend, mode, ..used }).collect::<Vec<_>>()
    });
    uses.collect()
}

fn warn_of_unused(backends: &[&Entry<Backend>], uses: &[Use<'_>], out: &mut Vec<Diagnostic>) {
    let unused = backends.iter().enumerate().filter(|(index, _)| uses.iter().all(|used| used.backend != *index));
    for (_, (name, _)) in unused {
        out.push(Diagnostic::warning(name.span, format!("no frontend uses backend `{}`", name.value)));
    }
}
