//! The first file system: the program, what prepares the machine for it, and the libraries of both.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::cpio::Archive;
use crate::run::find;

/// The first process.
const INIT: &str = "tests/kernel/init.sh";
/// What the first process calls; the first is its interpreter.
const TOOLS: [&str; 5] = ["sh", "mount", "insmod", "ip", "setpriv"];
/// Where things are mounted.
const MOUNTS: [&str; 3] = ["/dev", "/proc", "/sys"];

/// An archive with the program as `/program` and the kernel module as `/veth.ko`, or with the suffix of its compression.
pub(super) fn of(workspace: &Path, program: &Path, module: &Path) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for mount in MOUNTS {
        archive.directory(Path::new(mount));
    }
    archive.file(Path::new("/init"), &read(&workspace.join(INIT))?);
    archive.file(&Path::new("/").join(module.file_name().context("no module")?), &read(module)?);
    put_program(&mut archive, Path::new("/program"), program)?;
    for tool in TOOLS {
        let path = find(tool).with_context(|| format!("no {tool} here"))?;
        put_program(&mut archive, &Path::new("/bin").join(tool), &path)?;
    }
    Ok(archive.finish())
}

/// Puts a program and its libraries in.
fn put_program(archive: &mut Archive, place: &Path, program: &Path) -> Result<()> {
    archive.file(place, &read(program)?);
    let listed = Command::new("ldd").arg(program).output().context("could not start ldd")?;
    ensure!(listed.status.success(), "ldd {}: {}", program.display(), String::from_utf8_lossy(&listed.stderr));
    for library in libraries(&String::from_utf8(listed.stdout)?) {
        archive.file(Path::new(library), &read(Path::new(library))?);
    }
    Ok(())
}

/// The paths in what `ldd` prints: `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, `/lib64/ld-linux.so (0x…)`.
fn libraries(listed: &str) -> impl Iterator<Item = &str> {
    listed.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_the_paths_that_ldd_found() {
        let listed = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f8f)\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x00007f8f)\n";
        let found: Vec<_> = libraries(listed).collect();
        assert_eq!(found, ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
    }
}
