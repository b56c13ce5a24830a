//! `sluice manual`: man pages of the verbs and of the configuration, and completions for shells, for whoever makes a package.
//! They are made of what the command line and the reference configuration say anyway.

mod reference;

use super::Arguments;
use crate::exit;
use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use reference::escape;
use std::{fs, path::Path, process::ExitCode};

/// The reference configuration, of which sluice.toml(5) is made.
const REFERENCE: &str = include_str!("../../examples/sluice.toml");

/// What clap does not know, for sluice(8).
const MORE: &str = r"
.SH SIGNALS
.TP
.B SIGTERM, SIGINT
Stop: open connections may end within \fBstop_timeout\fR; a second one cuts them.
.TP
.B SIGHUP
Reload, as \fBsluice reload\fR does.
.TP
.B SIGUSR1
Open the files of access logs again, after they were rotated.
.SH ENVIRONMENT
.TP
.B RUST_LOG
What the daemon prints about itself: error, warn, info (the default), debug.
.TP
.B NOTIFY_SOCKET, WATCHDOG_USEC
Set by a service manager that wants to hear how the daemon stands; see
.BR sd_notify (3).
.SH FILES
.TP
.I /etc/sluice/sluice.toml
The configuration.
.TP
.I /run/sluice/sluice.sock
The control socket.
.TP
.I /sys/fs/bpf/sluice
Maps and links of the half in the kernel.
";

/// Writes `man/` and `completions/` below a directory. `date` is that of the pages.
pub(super) fn run(directory: &Path, date: &str) -> anyhow::Result<ExitCode> {
    let (pages, completions) = (directory.join("man"), directory.join("completions"));
    for directory in [&pages, &completions] {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    for (name, page) in all_pages(date)? {
        fs::write(pages.join(&name), page).with_context(|| format!("cannot write {name}"))?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut visible(), "sluice", &completions)
            .with_context(|| format!("cannot write completions for {shell}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The command line without the verbs that are not for people.
pub(crate) fn visible() -> Command {
    let all = Arguments::command();
    let verbs: Vec<_> = all.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned().collect();
    let command = Command::new("sluice").version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true);
    command.about(all.get_about().cloned().unwrap_or_default()).subcommand_required(true).subcommands(verbs)
}

fn all_pages(date: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut command = visible();
    command.build();
    let names: Vec<_> = command.get_subcommands().map(|verb| format!("sluice-{}", verb.get_name())).collect();
    let mut pages =
        vec![("sluice.8".to_owned(), page(command.clone(), date, &format!("{MORE}{}{}", statuses(""), see(&names)))?)];
    for verb in command.get_subcommands() {
        let name = format!("sluice-{}", verb.get_name());
        let verb = verb.clone().version(env!("CARGO_PKG_VERSION")).display_name(&name);
        let more = statuses(verb.get_name()) + &see(&["sluice".to_owned()]);
        pages.push((format!("{name}.8"), page(verb, date, &more)?));
    }
    pages.push(("sluice.toml.5".to_owned(), reference::page(REFERENCE, date)));
    Ok(pages)
}

fn page(command: Command, date: &str, more: &str) -> anyhow::Result<String> {
    let has_verbs = command.has_subcommands();
    let man = Man::new(command).section("8").date(date).source(source()).manual("Sluice");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_verbs {
        man.render_subcommands_section(&mut page)?;
    }
    // Before possible values it breaks the line twice, which mandoc complains about.
    Ok(String::from_utf8(page)?.replace("\n.br\n\n.br\n", "\n.br\n") + more.trim_start_matches('\n'))
}

/// What a page says about its origin.
fn source() -> String {
    format!("sluice {}", env!("CARGO_PKG_VERSION"))
}

/// The exit statuses of a verb; of none: of all that say nothing else.
fn statuses(verb: &str) -> String {
    let lines: Vec<_> =
        exit::of(verb).map(|(code, meaning)| format!(".TP\n.B {code}\n{}\n", escape(&meaning))).collect();
    format!(".SH EXIT STATUS\n{}", lines.concat())
}

fn see(verbs: &[String]) -> String {
    let pages: Vec<_> = verbs.iter().map(|name| format!(".BR {name} (8),\n")).collect();
    format!(".SH SEE ALSO\n{}.BR sluice.toml (5)\n", pages.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page_and_no_page_is_of_a_hidden_one() {
        let pages = all_pages("2026-01-01").unwrap();
        let verbs = Arguments::command();
        for verb in verbs.get_subcommands() {
            let name = format!("sluice-{}.8", verb.get_name());
            let page = pages.iter().find(|(page, _)| *page == name);
            assert_eq!(page.is_some(), !verb.is_hide_set(), "{name}");
            assert!(page.is_none_or(|(_, page)| page.contains(".SH EXIT STATUS\n.TP\n.B 0\n")), "{name}");
            let options = verb.get_arguments().filter(|argument| page.is_some() && !argument.is_hide_set());
            for option in options.filter_map(clap::Arg::get_long) {
                assert!(page.unwrap().1.contains(&option.replace('-', "\\-")), "{name} does not say --{option}");
            }
        }
        let main = &pages.iter().find(|(name, _)| name == "sluice.8").unwrap().1;
        assert!(main.contains("sluice\\-reload(8)") && !main.contains("runner"), "{main}");
    }

    #[test]
    fn completions_know_the_verbs() {
        let directory = tempfile::tempdir().unwrap();
        run(directory.path(), "2026-01-01").unwrap();
        for file in ["sluice.bash", "_sluice", "sluice.fish"] {
            let text = fs::read_to_string(directory.path().join("completions").join(file)).unwrap();
            assert!(text.contains("reload") && !text.contains("runner"), "{file}");
        }
    }
}
