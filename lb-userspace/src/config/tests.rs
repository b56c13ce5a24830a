//! What the operator gets: models, or errors word for word.

mod bundle;
mod kernel;
mod model;
mod rules;
mod syntax;
mod traffic;
mod values;

use super::{Format, parse};

/// `text` is refused with exactly the errors `expected`.
fn assert_errors(text: &str, expected: &str) {
    match parse(text) {
        Ok(loaded) => panic!("no error, but {loaded:?}"),
        Err(errors) => assert_eq!(errors.render(Format::Full), expected, "got:\n{errors}"),
    }
}

/// `text` is accepted with exactly the warnings `expected`.
fn assert_warnings(text: &str, expected: &str) {
    let warnings = parse(text).expect("a configuration that can be used").warnings;
    assert_eq!(warnings.render(Format::Full), expected, "got:\n{warnings}");
}
