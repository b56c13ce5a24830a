//! Every command of the command line, with its options and exit statuses.

use super::markdown::{code, codes, table};
use crate::{cli, exit};
use clap::{Arg, ArgAction, Command};
use std::fmt::Write as _;

const HEAD: &str = "\
# Commands

What each command says of itself (`sluice COMMAND --help`, sluice-COMMAND(8)). Answers go to standard output; errors, warnings and what
`sluice check` finds go to standard error. With `--json` the answer is JSON; errors stay words. Colours are for terminals alone, and not
if `NO_COLOR` is set. Exit statuses of all commands:

";

/// The page.
pub(super) fn page() -> String {
    let mut command = cli::visible();
    command.build();
    let statuses =
        |verb: &str| table(["Status", "Meaning"], exit::of(verb).map(|(code, says)| [code.to_string(), says]));
    let mut text = HEAD.to_owned() + &statuses("");
    for verb in command.get_subcommands() {
        let name = verb.get_name();
        _ = write!(text, "## {}\n\n{}\n\n", code(&usage(verb)), about(verb));
        let arguments = verb.get_arguments().filter(|argument| !argument.is_hide_set() && argument.get_id() != "help");
        let rows: Vec<_> = arguments.map(row).collect();
        if !rows.is_empty() {
            text += &table(["Argument", "Default", "Meaning"], rows);
        }
        text += &statuses(name);
    }
    text.trim_end().to_owned() + "\n"
}

fn usage(verb: &Command) -> String {
    let usage = verb.clone().render_usage().to_string(); // It needs one that it may change.
    let usage = usage.trim_start_matches("Usage: ").split_whitespace().collect::<Vec<_>>().join(" ");
    if usage.starts_with("sluice ") { usage } else { format!("sluice {usage}") }
}

fn about(verb: &Command) -> String {
    verb.get_long_about().or_else(|| verb.get_about()).map(ToString::to_string).unwrap_or_default()
}

fn row(argument: &Arg) -> [String; 3] {
    let takes = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    let values = argument.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>();
    let value = if takes { values.join(" ") } else { String::new() };
    let long = argument.get_long().map(|long| format!("--{long}"));
    let short = argument.get_short().map(|short| format!("-{short}"));
    let names: Vec<_> = short.into_iter().chain(long).collect();
    let shown = format!("{} {value}", names.join(", "));
    let defaults = argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned());
    let defaults: Vec<_> = defaults.filter(|_| takes).collect();
    let help = argument.get_long_help().or_else(|| argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let words: Vec<_> = argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    let words = if takes && !words.is_empty() {
        format!(": {}", codes(words.iter().map(String::as_str)))
    } else {
        String::new()
    };
    [code(shown.trim()), codes(defaults.iter().map(String::as_str)), help + &words]
}

#[test]
fn every_command_has_its_options_and_statuses() {
    let page = page();
    for there in ["| `-f, --config FILE` | `/etc/sluice/sluice.toml` |", "| `--follow` |", "`sluice ready", "| 4 |"] {
        assert!(page.contains(there), "{there} is not in:\n{page}");
    }
    assert!(!page.contains("take-over") && !page.contains("sluice runner"), "{page}");
}
