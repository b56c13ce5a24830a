//! How many servers: a number, or a part of all.

use crate::config::{
    error::Diagnostic,
    read::{FromToml, Reader},
    shape::Shape,
    text::Text,
};
use toml::{Spanned, de::DeValue};

/// As typed: `2` or `"50%"`. Its range is a question for `validate`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Amount {
    /// So many.
    Servers(i64),
    /// So many of a hundred.
    Percent(u8),
}

impl Amount {
    /// Of `all`, rounded up.
    pub(crate) fn of(self, all: usize) -> i64 {
        match self {
            Self::Servers(servers) => servers,
            Self::Percent(percent) => i64::try_from((all * usize::from(percent)).div_ceil(100)).unwrap_or(i64::MAX),
        }
    }
}

impl FromToml for Amount {
    fn shape() -> Shape {
        Shape::Either(vec![Shape::Integer, Shape::text("a percentage", "(100|[0-9]{1,2})%")])
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        if value.get_ref().as_str().is_none() {
            if value.get_ref().as_integer().is_some() {
                return i64::from_toml(value, reader).map(Self::Servers);
            }
            reader.expected("a number of servers, or a percentage such as \"50%\"", value);
            return None;
        }
        let text = Text::from_toml(value, reader)?;
        let percent = text.value.strip_suffix('%').and_then(|number| number.parse().ok());
        let found = percent.filter(|percent| *percent <= 100).map(Self::Percent);
        if found.is_none() {
            let error = Diagnostic::error(text.span, format!("`{text}` is not a percentage from \"0%\" to \"100%\""));
            reader.error(error.help("a number of servers is written without quotes"));
        }
        found
    }
}
