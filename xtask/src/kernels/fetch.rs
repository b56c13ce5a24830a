//! Fetches a kernel of Debian by apt, from the mirror that this machine uses already, without a trace in apt's own state:
//! nothing is installed, and neither sources nor lists change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use super::Kernel;
use crate::run::{run_aside, show};

/// The package of the newest kernel in a suite.
const LATEST: &str = "linux-image-amd64";
/// Whose signature the suite must have.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// What is taken of the package: the kernel, and the module for the second interface of the tests.
const TAKEN: [&str; 2] = ["*/vmlinuz-*", "*/kernel/drivers/net/veth.ko*"];

/// A kernel's files.
pub(super) struct Files {
    pub(super) image: PathBuf,
    /// Maybe compressed.
    pub(super) module: PathBuf,
}

/// The kernel's files below `directory`, fetched unless they are there. Remove the directory to have a newer kernel.
pub(super) fn fetch(kernel: &Kernel, directory: &Path) -> Result<Files> {
    if !directory.exists() {
        let unfinished = directory.with_file_name(format!("{}.unfinished", kernel.series));
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        fs::create_dir_all(unfinished.join("files"))?;
        Apt::new(kernel, &unfinished)?.unpack_latest(&unfinished)?;
        fs::rename(unfinished.join("files"), directory)?;
        fs::remove_dir_all(&unfinished)?;
    }
    let find = |prefix: &str| -> Result<PathBuf> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                return Ok(entry.path());
            }
        }
        bail!("no {prefix}* in {}; remove it to fetch the kernel again", directory.display())
    };
    Ok(Files { image: find("vmlinuz-")?, module: find("veth.ko")? })
}

/// An apt that knows one suite, and has its state in a directory of its own.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn new(kernel: &Kernel, directory: &Path) -> Result<Self> {
        let state = directory.join("apt");
        fs::create_dir_all(state.join("lists/partial"))?;
        let sources = state.join("sources.list");
        fs::write(&sources, format!("deb [signed-by={KEYRING}] {} {} main\n", mirror()?, kernel.suite))?;
        let options = vec![
            format!("Dir::State={}", state.display()),
            format!("Dir::Cache={}", state.join("cache").display()),
            format!("Dir::Etc::SourceList={}", sources.display()),
            "Dir::Etc::SourceParts=-".to_owned(),
            "APT::Update::Error-Mode=any".to_owned(),
            "APT::Sandbox::User=root".to_owned(), // the target directory may be closed to others
        ];
        Ok(Self { options })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(self.options.iter().flat_map(|option| ["-o", option]));
        command
    }

    /// Fetches the newest kernel into the directory, and leaves what is needed of it in `files` there.
    fn unpack_latest(&self, directory: &Path) -> Result<()> {
        run_aside(self.command("apt-get").args(["--quiet", "update"]))?;
        let depends = output(self.command("apt-cache").args(["depends", LATEST]))?;
        let package = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
        let package = package.with_context(|| format!("{LATEST} depends on nothing:\n{depends}"))?;
        run_aside(self.command("apt-get").args(["--quiet", "download", package]).current_dir(directory))?;
        let archive = fs::read_dir(directory)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .context("apt-get has downloaded nothing")?;
        unpack(&archive, &directory.join("files"))
    }
}

/// Where this machine gets its own Debian from.
fn mirror() -> Result<String> {
    let release = fs::read_to_string("/etc/os-release").context("/etc/os-release")?;
    let own = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).unwrap_or_default();
    let format = "$(ORIGIN) $(CODENAME) $(REPO_URI)";
    let targets = output(Command::new("apt-get").args(["indextargets", "--format", format, "Created-By: Packages"]))?;
    let wanted = format!("Debian {own} ");
    let mirror = targets.lines().find_map(|line| line.strip_prefix(&wanted));
    Ok(mirror.context("apt has no lists of Debian; `apt-get update` fetches them")?.to_owned())
}

/// Takes the files out of the package, without their directories.
fn unpack(archive: &Path, into: &Path) -> Result<()> {
    let mut reading = Command::new("dpkg-deb").arg("--fsys-tarfile").arg(archive).stdout(Stdio::piped()).spawn()?;
    let content = reading.stdout.take().context("dpkg-deb has no output")?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--wildcards", "--transform=s,.*/,,"]).args(TAKEN).current_dir(into);
    run_aside(tar.stdin(content))?;
    ensure!(reading.wait()?.success(), "dpkg-deb failed");
    Ok(())
}

fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command.output().with_context(|| format!("could not start `{shown}`"))?;
    ensure!(output.status.success(), "`{shown}` failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
