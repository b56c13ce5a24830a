//! A text that may become a configuration, without the files that it names: for those who make one.

use super::{
    bundle::{self, Bundle, ConfigFile},
    document,
    source::Position,
    text, validate,
};
use crate::model::Secret;

/// Why a file has nothing: said of those that nobody has looked at.
const UNREAD: &str = "(not looked at)";

/// The errors of a text: where, what, and the way out. What other files have is not among them.
pub(crate) fn refusals(text: &str) -> Vec<(Position, String, Option<String>)> {
    let file = ConfigFile { path: String::new(), text: text.to_owned() };
    let environment = text::names(text).map(|name| (name.to_owned(), Secret::new("1"))).collect();
    let resolv_conf = Some("nameserver 127.0.0.1".to_owned());
    let mut bundle = Bundle { files: vec![file], environment, resolv_conf, cpus: 1, ..Bundle::default() };
    if let Ok((file, _)) = document::read(&bundle) {
        let unread = |name: &str| (name.to_owned(), Err(UNREAD.to_owned()));
        bundle.certificates = bundle::named_certificates(&file).into_iter().map(unread).collect();
        let empty = |name: &str| (name.to_owned(), Ok(Vec::new()));
        bundle.error_files = bundle::named_error_files(&file).into_iter().map(empty).collect();
        let texts = validate::wanted_texts(&file, &bundle).into_iter();
        bundle.texts = texts.map(|name| (name, Ok(Secret::new("")))).collect();
    }
    let Err(refused) = super::load(&bundle) else { return Vec::new() };
    let of_the_text = refused.iter().filter(|error| !error.message.ends_with(UNREAD));
    let said = of_the_text.filter_map(|error| {
        let (_, position) = refused.place(error)?;
        Some((position, error.message.clone(), error.help.clone()))
    });
    said.collect()
}
