//! Exit: how commands end, for scripts. Every exit status of every command stands here, and nowhere else: help, man pages and the
//! reference are made of it.

use std::{collections::BTreeMap, process::ExitCode};

/// Declares the ways to end: status, the command that ends so (none: any), and what it means there.
macro_rules! exits {
    ($($name:ident = $code:literal, $of:literal, $meaning:literal;)*) => {
        /// A way to end.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Exit {
            $(#[doc = $meaning] $name,)*
        }

        impl Exit {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The status.
            pub const fn code(self) -> u8 {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// The command that ends so; empty: any.
            pub const fn command(self) -> &'static str {
                match self {
                    $(Self::$name => $of,)*
                }
            }

            /// What that means.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)*
                }
            }
        }
    };
}

exits! {
    Done = 0, "", "done";
    Failed = 1, "", "failed, and standard error says why";
    Misused = 2, "", "the command line is wrong";
    Stopped = 0, "run", "stopped as it was told to";
    Unconfirmed = 3, "run", "nobody confirmed the configuration within `--confirm`, and all of it is undone";
    Fine = 0, "check", "the configuration can be used; there may be warnings and notes";
    Faulty = 1, "check", "it has errors, or cannot be read";
    Explained = 0, "explain", "explained, whatever the outcome";
    Unexplained = 1, "explain", "it cannot be: the configuration has errors, nothing listens there, or no program is attached";
    Suited = 0, "preflight", "nothing is wrong with this machine, but for notes";
    Unsuited = 1, "preflight", "there are warnings, or it cannot be looked at";
    Left = 0, "top", "left by `q`";
    Unwatched = 1, "top", "there is no terminal, or the daemon cannot be asked";
    HungUp = 129, "top", "ended by SIGHUP; the terminal is as it was, as it is after the other signals";
    Interrupted = 130, "top", "ended by SIGINT";
    Quit = 131, "top", "ended by SIGQUIT";
    Terminated = 143, "top", "ended by SIGTERM";
    Whole = 0, "import", "all of it means the same";
    Differs = 1, "import", "there are differences, and the result is written all the same";
    Unwritten = 2, "import", "it could not be read or written, or the command line is wrong";
    Refused = 1, "reload", "not all was taken up, or the daemon cannot be asked; what was before goes on";
    HandedOver = 0, "upgrade", "the other binary has taken over";
    GoesOn = 1, "upgrade", "the running one goes on, and the reason is printed";
    Never = 4, "upgrade", "likewise, and it will never hand over to this one, because it is of a version that knows no upgrade, or \
        hands over otherwise: only a restart is left";
    Possible = 0, "plan", "it could be reloaded";
    Impossible = 1, "plan", "it could not, or the daemon cannot be asked";
    WouldChange = 2, "plan", "with `--exit-code`: it could, and something would change; or the command line is wrong";
    Ready = 0, "ready", "it is ready";
    NotReady = 1, "ready", "it is not, and one line says why";
    CannotAsk = 2, "ready", "the daemon is not there, is stopping or does not answer in time, there is no such frontend, or the \
        command line is wrong";
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The statuses of a command and what they mean, in their order; of none: what holds for all that say nothing else.
pub fn of(command: &str) -> impl Iterator<Item = (u8, String)> {
    // What a command says of a status comes after, and in place of, what all say.
    let said = Exit::ALL.iter().filter(|exit| exit.command().is_empty());
    let own = Exit::ALL.iter().filter(|exit| !command.is_empty() && exit.command() == command);
    let all: BTreeMap<_, _> = said.chain(own).map(|exit| (exit.code(), exit.meaning().to_owned())).collect();
    all.into_iter()
}

/// The same as text below a command's help.
pub fn help(command: &str) -> String {
    let lines: Vec<_> = of(command).map(|(code, meaning)| format!("\n  {code}  {meaning}")).collect();
    format!("Exit status:{}", lines.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;
    use std::{collections::BTreeSet, fs, path::Path};

    #[test]
    fn every_status_is_of_a_command_and_of_one_meaning() {
        let verbs = cli::visible();
        let mut seen = BTreeSet::new();
        for exit in Exit::ALL {
            let command = exit.command();
            assert!(command.is_empty() || verbs.get_subcommands().any(|verb| verb.get_name() == command), "{command}");
            assert!(seen.insert((command, exit.code())), "{command} has {} twice", exit.code());
        }
        assert_eq!(of("flows").map(|(code, _)| code).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(of("ready").map(|(_, meaning)| meaning).next().as_deref(), Some("it is ready"));
    }

    fn without_a_place_here(directory: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                without_a_place_here(&path, found);
            } else if !path.ends_with("exit.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let bare = text.split("ExitCode::from(").skip(1).filter(|rest| !rest.starts_with("Exit::"));
                found.extend(bare.map(|_| path.display().to_string()));
            }
        }
    }

    #[test]
    fn no_command_ends_by_a_status_that_is_not_documented() {
        let mut found = Vec::new();
        without_a_place_here(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        assert!(found.is_empty(), "say it by `Exit`, in exit.rs: {found:?}");
    }
}
