//! How many bytes.

use crate::config::{
    error::Diagnostic,
    read::{FromToml, Reader},
    shape::Shape,
    text::Text,
    units::{self, UnitError},
};
use toml::{Spanned, de::DeValue};

/// As typed, with its unit: `"512MiB"`. Its range is a question for `validate`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Size(pub(crate) u64);

impl FromToml for Size {
    fn shape() -> Shape {
        Shape::text("a size with its unit", "[0-9]+(B|k|KiB|kB|M|MiB|MB|G|GiB|GB)")
    }

    fn from_toml(value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        if let Some(number) = value.get_ref().as_integer() {
            let error = Diagnostic::error(reader.span(value), "a size needs a unit");
            reader.error(error.help(format!("say the unit: \"{number}MiB\" or \"{number}B\"")));
            return None;
        }
        let text = Text::from_toml(value, reader)?;
        let error = match units::size(&text.value) {
            Ok(bytes) => return Some(Self(bytes)),
            Err(UnitError::NoUnit) => Diagnostic::error(text.span, "a size needs a unit")
                .help(format!("say the unit: \"{text}MiB\" or \"{text}B\"")),
            Err(error) => Diagnostic::error(text.span, format!("`{text}` is not a size: {error}"))
                .help("a size is a whole number and `B`, `KiB`, `MiB` or `GiB`, such as \"512MiB\""),
        };
        reader.error(error);
        None
    }
}
