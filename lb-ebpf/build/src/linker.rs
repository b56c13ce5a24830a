//! The linker of the kernel object: bpf-linker, which reads LLVM bitcode and writes BPF with BTF.
//!
//! It must know an LLVM at least as new as the compiler's. Order: the override, then the project's own in
//! `target/tools` (built against the very libLLVM of the compiler, so it matches by construction), then `PATH`.

use std::env;
use std::fmt;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::version::leading_number;
use crate::{Compiler, Error, Overrides, Places, Version, inner};

/// The release that [`Linker::install`] builds, and the oldest that serves.
pub const LINKER_VERSION: Version = Version { major: 0, minor: 13, patch: 0 };

/// Who decided on a linker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LinkerOrigin {
    /// `SLUICE_EBPF_LINKER`.
    Override,
    /// The project's own, in the target directory.
    Project,
    /// Found in `PATH`.
    Path,
}

/// A linker that serves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Linker {
    /// Who decided on it.
    pub origin: LinkerOrigin,
    /// The program.
    pub path: PathBuf,
    /// Its release.
    pub release: Version,
    /// The LLVM that it loads; `None` where it carries one inside, which cannot be seen from without.
    pub llvm: Option<u32>,
}

/// Why a linker does not serve.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LinkerRejection {
    /// It could not be read or started.
    Broken(String),
    /// It is older than [`LINKER_VERSION`].
    TooOld(Version),
    /// It loads an LLVM that is older than the compiler's.
    OlderLlvm(u32),
}

impl Linker {
    /// Chooses one for bitcode of the given LLVM. An override that does not serve is an error.
    pub fn choose(overrides: &Overrides, places: &Places, llvm: u32) -> Result<Self, Error> {
        let candidates = match &overrides.linker {
            Some(path) => vec![(LinkerOrigin::Override, path.clone())],
            None => candidates(places, llvm),
        };
        let mut rejected = Vec::new();
        for (origin, path) in candidates {
            match probe(&path, llvm) {
                Ok((release, llvm)) => return Ok(Self { origin, path, release, llvm }),
                Err(reason) => rejected.push((path, reason)),
            }
        }
        Err(Error::NoLinker { llvm, rejected })
    }

    /// Builds the project's own one against the libLLVM of `compiler`, in about a minute, and returns it.
    ///
    /// No LLVM development package is needed: the shared library that the compiler itself loads has the C interface,
    /// and bpf-linker needs no header.
    pub fn install(places: &Places, compiler: &Compiler) -> Result<Self, Error> {
        let llvm = compiler.llvm;
        if !(22..=23).contains(&llvm) {
            return Err(Error::LlvmUnknownToLinker { llvm });
        }
        let root = project_root(places, llvm);
        let prefix = root.join("llvm");
        link_library(&prefix.join("lib"), &library(compiler)?)?;
        let mut install = inner::clean_command(&compiler.cargo());
        install
            .env("RUSTC", compiler.rustc())
            .env("LLVM_PREFIX", &prefix)
            .env("CARGO_TARGET_DIR", root.join("build"))
            .envs(QUICK_BUILD)
            .args(["install", "bpf-linker", "--quiet", "--locked", "--force", "--no-default-features"])
            .arg(format!("--version=={LINKER_VERSION}"))
            .arg(format!("--features=llvm-{llvm}"))
            .arg("--root")
            .arg(&root);
        let status = install.status().map_err(|source| Error::Run { program: compiler.cargo(), source })?;
        if !status.success() {
            return Err(Error::InstallLinker);
        }
        // The program stays; what it was compiled from is not needed again. A leftover costs disk and nothing else.
        drop(fs::remove_dir_all(root.join("build")));
        Self::choose(&Overrides::default(), places, llvm)
    }
}

/// Nearly all of the linker's work is done inside LLVM, so the shell round it need not be optimized for minutes.
const QUICK_BUILD: [(&str, &str); 4] = [
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
];

/// One directory a version and LLVM: another compiler gets another linker beside it.
fn project_root(places: &Places, llvm: u32) -> PathBuf {
    places.target.join(format!("tools/bpf-linker-{LINKER_VERSION}-llvm-{llvm}"))
}

fn candidates(places: &Places, llvm: u32) -> Vec<(LinkerOrigin, PathBuf)> {
    let project = project_root(places, llvm).join("bin/bpf-linker");
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::split_paths(&path).map(|directory| directory.join("bpf-linker"));
    let path = path.map(|found| (LinkerOrigin::Path, found));
    [(LinkerOrigin::Project, project)].into_iter().chain(path).filter(|(_, path)| path.is_file()).collect()
}

fn probe(path: &Path, llvm: u32) -> Result<(Version, Option<u32>), LinkerRejection> {
    let broken = |error: std::io::Error| LinkerRejection::Broken(error.to_string());
    let loads = llvm_of(&fs::read(path).map_err(broken)?);
    let output = Command::new(path).arg("--version").output().map_err(broken)?;
    judge(&String::from_utf8_lossy(&output.stdout), loads, llvm)
}

/// Decides by what `bpf-linker --version` says and by the LLVM that it `loads`.
fn judge(said: &str, loads: Option<u32>, llvm: u32) -> Result<(Version, Option<u32>), LinkerRejection> {
    let release = said.trim().strip_prefix("bpf-linker ").and_then(Version::parse);
    let release = release.ok_or_else(|| LinkerRejection::Broken(format!("`--version` says {said:?}")))?;
    match loads {
        _ if release < LINKER_VERSION => Err(LinkerRejection::TooOld(release)),
        Some(older) if older < llvm => Err(LinkerRejection::OlderLlvm(older)),
        known => Ok((release, known)),
    }
}

/// The major version in the name of the libLLVM that a program loads: `libLLVM.so.22.1` or `libLLVM-14.so.1`.
fn llvm_of(program: &[u8]) -> Option<u32> {
    ["libLLVM.so.", "libLLVM-"].into_iter().find_map(|name| {
        let mut names = program.windows(name.len() + 2).filter(|bytes| bytes.starts_with(name.as_bytes()));
        names.find_map(|bytes| leading_number(std::str::from_utf8(bytes).ok()?.strip_prefix(name)?))
    })
}

/// The shared LLVM that the compiler loads. Rustup keeps it in the toolchain, distributions among their libraries.
fn library(compiler: &Compiler) -> Result<PathBuf, Error> {
    let llvm = compiler.llvm;
    let machine = format!("lib/{}-linux-gnu", env::consts::ARCH);
    let unversioned = ["lib", "lib64", machine.as_str()].map(|name| compiler.root.join(name));
    let versioned = [format!("/usr/lib/llvm-{llvm}/lib"), format!("/usr/lib64/llvm{llvm}/lib")].map(PathBuf::from);
    // Ubuntu's versioned compilers are in /usr/lib/rust-N, their LLVM is the system's.
    let system = ["/usr/lib64".into(), PathBuf::from("/usr").join(&machine)];
    let searched: Vec<PathBuf> = unversioned.into_iter().chain(versioned).chain(system).collect();
    let prefix = format!("libLLVM.so.{llvm}.");
    let found = searched.iter().find_map(|directory| {
        let files = fs::read_dir(directory).into_iter().flatten().flatten();
        files.map(|file| file.path()).find(|path| name_of(path).starts_with(&prefix))
    });
    found.ok_or(Error::NoLibrary { llvm, searched })
}

/// Puts the library where bpf-linker's build looks for it: under the name that the linker asks for, and under its own,
/// which the finished program loads.
fn link_library(directory: &Path, library: &Path) -> Result<(), Error> {
    let failed = |source| Error::Write { path: directory.to_path_buf(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    for name in ["libLLVM.so", &name_of(library)] {
        let link = directory.join(name);
        if link.is_symlink() {
            fs::remove_file(&link).map_err(failed)?;
        }
        symlink(library, &link).map_err(failed)?;
    }
    Ok(())
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

impl fmt::Display for Linker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.origin {
            LinkerOrigin::Override => "SLUICE_EBPF_LINKER",
            LinkerOrigin::Project => "the project's own",
            LinkerOrigin::Path => "found in PATH",
        };
        write!(formatter, "bpf-linker {}", self.release)?;
        match self.llvm {
            Some(llvm) => write!(formatter, " (LLVM {llvm})")?,
            None => write!(formatter, " (LLVM inside)")?,
        }
        write!(formatter, ", {why}: {}", self.path.display())
    }
}

impl fmt::Display for LinkerRejection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(reason) => write!(formatter, "does not work: {reason}"),
            Self::TooOld(release) => {
                write!(formatter, "is {release}, {LINKER_VERSION} or later is needed")
            }
            Self::OlderLlvm(llvm) => write!(formatter, "reads bitcode of LLVM {llvm} only"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linker_with_an_older_llvm_than_the_compiler_is_refused() {
        assert_eq!(judge("bpf-linker 0.13.0\n", Some(21), 22), Err(LinkerRejection::OlderLlvm(21)));
        assert!(judge("bpf-linker 0.13.0\n", Some(22), 22).is_ok());
        assert!(judge("bpf-linker 0.13.1\n", Some(23), 22).is_ok());
        assert!(judge("bpf-linker 0.13.0\n", None, 22).is_ok());
    }

    #[test]
    fn an_old_linker_and_another_program_are_refused() {
        let old = Version { major: 0, minor: 12, patch: 4 };
        assert_eq!(judge("bpf-linker 0.12.4", None, 22), Err(LinkerRejection::TooOld(old)));
        assert!(matches!(judge("GNU ld 2.40", None, 22), Err(LinkerRejection::Broken(_))));
    }

    #[test]
    fn the_llvm_of_a_program_is_the_library_it_names() {
        assert_eq!(llvm_of(b"\0libLLVM.so.22.1\0libc.so.6\0"), Some(22));
        assert_eq!(llvm_of(b"\0libLLVM.so.22.1-rust-1.95.0-stable\0"), Some(22));
        assert_eq!(llvm_of(b"libLLVM-not-this libLLVM-14.so.1"), Some(14));
        assert_eq!(llvm_of(b"libLLVM.so.2"), None, "a name that is cut short is no name");
        assert_eq!(llvm_of(b""), None);
    }

    #[test]
    fn without_a_linker_the_error_says_which_llvm_and_what_to_type() {
        let text = Error::NoLinker { llvm: 22, rejected: Vec::new() }.to_string();
        assert!(text.contains("LLVM 22") && text.contains("cargo xtask setup"), "{text}");
    }

    #[test]
    fn an_override_that_does_not_work_is_an_error_and_not_a_fallback() {
        let overrides = Overrides { linker: Some("/nowhere".into()), ..Overrides::default() };
        let result = Linker::choose(&overrides, &Places::of(Path::new("/")), 22);
        assert!(matches!(result, Err(Error::NoLinker { rejected, .. }) if rejected.len() == 1));
    }
}
