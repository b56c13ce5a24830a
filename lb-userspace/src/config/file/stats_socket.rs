//! Sockets for the runtime API beside the control socket.

use crate::{
    config::{
        read::{FromToml, Knob, Reader, Word, table},
        shape::Shape,
        source::At,
        text::Text,
    },
    model::Level,
};
use toml::{Spanned, de::DeValue};

table! {
    /// One of `stats_socket`.
    struct StatsSocket, "a stats socket" {
        /// Where it is. Required.
        path: Text,
        /// Who may connect, three octal digits as chmod(1) has them. It has this mode from when it is there on. Default: "600".
        mode: Text,
        /// Its group; its owner is who starts the daemon. Default: that of who starts the daemon.
        group: Text,
        /// What those may that can connect: `user`, `operator` or `admin`. Root and who started the daemon may do everything.
        /// Default: `operator`, as with HAProxy.
        level: Level,
    }
}

/// A stats socket is a table, or its path alone.
#[derive(Clone, Debug)]
pub(crate) struct StatsSocketForm(pub(crate) StatsSocket);

impl FromToml for StatsSocketForm {
    fn shape() -> Shape {
        Shape::Either(vec![Text::shape(), StatsSocket::shape()])
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        if value.get_ref().is_table() {
            return StatsSocket::from_toml(value, reader).map(Self);
        }
        let path = Text::from_toml(value, reader)?;
        let span = path.span;
        Some(Self(StatsSocket { path: Knob::Given(At { value: path, span }), ..StatsSocket::default() }))
    }
}

impl Word for Level {
    const WHAT: &'static str = "a level";
    const WORDS: &'static [(&'static str, Self)] =
        &[("user", Self::User), ("operator", Self::Operator), ("admin", Self::Admin)];
}
