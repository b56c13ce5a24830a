//! The reaper: removes what a lab leaves behind, however its program ends.
//!
//! A shell that waits for the end of its input. The other end of that pipe is held by the program alone, so the input
//! ends with it: after a normal end, a panic, Ctrl-C, and `kill -9` alike. Everything of a lab bears the lab's name,
//! hence the name is all the reaper needs to know.

use crate::process;
use anyhow::{Context, Result};
use std::{
    fs,
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Where labs keep their files, each in a directory of its name; it is removed last, so it tells which labs are left.
const DIRECTORY: &str = "/run/sluice-lab";

/// `$1` is the name of the lab. Only processes inside its namespaces are killed.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
read -r word
[ "$word" = keep ] && exit 0
for path in /run/netns/"$1"-*; do
    [ -e "$path" ] || continue
    ip netns pids "${path##*/}" | xargs --no-run-if-empty kill -9 2>/dev/null
    ip netns delete "${path##*/}"
done
rm -rf "/sys/fs/bpf/$1" "/sys/fs/bpf/$1"-* "/run/sluice-lab/$1"
"#;

/// The shell. Dropping this makes it do its work, and waits for it.
#[derive(Debug)]
pub(crate) struct Reaper(Child);

impl Reaper {
    /// Makes the directory of the lab and starts to watch over it.
    pub(crate) fn start(lab: &str) -> Result<(Self, PathBuf)> {
        let directory = Path::new(DIRECTORY).join(lab);
        fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        // A process group of its own: Ctrl-C at the terminal must not reach it.
        let child = command(lab).stdin(Stdio::piped()).process_group(0).spawn().context("starting the reaper")?;
        Ok((Self(child), directory))
    }

    /// Leaves everything as it is.
    pub(crate) fn keep(mut self) -> Result<()> {
        self.0.stdin.take().context("the reaper has no input")?.write_all(b"keep\n")?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It has nothing to tell; what it could not remove, the next lab removes.
        drop(self.0.wait());
    }
}

/// Removes the lab of that name, whoever made it. No error if there is none.
pub fn remove(lab: &str) -> Result<()> {
    process::run(&mut command(lab)).map(drop)
}

/// Removes the labs whose programs were killed together with their reapers.
pub(crate) fn remove_abandoned() -> Result<()> {
    let Ok(entries) = fs::read_dir(DIRECTORY) else { return Ok(()) };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let owner = name.split('-').nth(1).and_then(|pid| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            remove(&name)?;
        }
    }
    Ok(())
}

fn command(lab: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "reaper", lab]).stdin(Stdio::null());
    command
}
