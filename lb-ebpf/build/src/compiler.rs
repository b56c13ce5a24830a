//! The compiler of the kernel object: any Rust that is new enough and has the source of `core` beside it.
//!
//! Order: the override, then rustup's toolchains (the one in use first, nightly last), then the system's. Stable
//! compilers serve: `RUSTC_BOOTSTRAP=1`, set for the inner cargo alone, lets them build `core`.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::version::leading_number;
use crate::{Error, Overrides, Version};

/// The oldest that the workspace compiles with, `major.minor`.
pub(crate) const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");

/// Who decided on a toolchain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// `SLUICE_EBPF_TOOLCHAIN`.
    Override,
    /// Rustup, under this name.
    Rustup(String),
    /// The system's packages.
    System,
}

/// A directory that looks like a toolchain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Candidate {
    /// Who put it there.
    pub origin: Origin,
    /// What `rustc --print sysroot` would say.
    pub root: PathBuf,
}

/// Why a candidate does not serve.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Rejection {
    /// It has no `bin/rustc` or no `bin/cargo`; the path that is missing.
    Missing(PathBuf),
    /// It is without the source of `core`.
    NoSource,
    /// It is older than the workspace needs.
    TooOld(Version),
    /// `rustc -vV` failed or said nothing that can be read.
    Unreadable(String),
}

/// A toolchain that can build the kernel object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Compiler {
    /// Who decided on it.
    pub origin: Origin,
    /// What `rustc --print sysroot` would say.
    pub root: PathBuf,
    /// Its release.
    pub release: Version,
    /// The major version of the LLVM whose bitcode it writes.
    pub llvm: u32,
}

impl Compiler {
    /// Chooses one. An override that does not serve is an error: whoever set it does not want another.
    pub fn choose(overrides: &Overrides) -> Result<Self, Error> {
        let candidates = match &overrides.toolchain {
            Some(root) => vec![Candidate { origin: Origin::Override, root: root.clone() }],
            None => candidates(),
        };
        pick(candidates, probe)
    }

    /// Its cargo.
    pub fn cargo(&self) -> PathBuf {
        self.root.join("bin/cargo")
    }

    /// Its rustc.
    pub fn rustc(&self) -> PathBuf {
        self.root.join("bin/rustc")
    }
}

/// The first candidate that serves, or what is wrong with each.
fn pick(
    candidates: Vec<Candidate>,
    probe: impl Fn(&Path) -> Result<(Version, u32), Rejection>,
) -> Result<Compiler, Error> {
    let mut rejected = Vec::new();
    for candidate in candidates {
        match probe(&candidate.root) {
            Ok((release, llvm)) => {
                return Ok(Compiler { origin: candidate.origin, root: candidate.root, release, llvm });
            }
            Err(reason) => rejected.push((candidate, reason)),
        }
    }
    Err(Error::NoCompiler { rejected })
}

/// All toolchains of this machine, in the order of preference.
fn candidates() -> Vec<Candidate> {
    let rustup =
        env::var_os("RUSTUP_HOME").map(PathBuf::from).or_else(|| env::home_dir().map(|home| home.join(".rustup")));
    let mut named = rustup.map_or_else(Vec::new, |home| entries(&home.join("toolchains"), ""));
    let in_use = env::var("RUSTUP_TOOLCHAIN").unwrap_or_default();
    named.sort_by_key(|(name, _)| (*name != in_use, name.starts_with("nightly"), name.clone()));

    // Ubuntu keeps versioned compilers in directories of their own: `/usr/lib/rust-1.95`.
    let mut system = entries(Path::new("/usr/lib"), "rust-");
    system.sort_by(|one, other| other.cmp(one));
    let roots = ["/usr/local", "/usr"].map(PathBuf::from).into_iter();
    let roots = roots.filter(|root| root.join("bin/rustc").exists());

    named
        .into_iter()
        .map(|(name, root)| Candidate { origin: Origin::Rustup(name), root })
        .chain(
            roots
                .chain(system.into_iter().map(|(_, root)| root))
                .map(|root| Candidate { origin: Origin::System, root }),
        )
        .collect()
}

/// The directories in `parent` whose names begin with `prefix`; none where `parent` cannot be read.
fn entries(parent: &Path, prefix: &str) -> Vec<(String, PathBuf)> {
    let read = fs::read_dir(parent).into_iter().flatten().flatten();
    read.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, path)| name.starts_with(prefix) && path.is_dir())
        .collect()
}

/// Looks at a toolchain; asks its rustc only where the files are there.
fn probe(root: &Path) -> Result<(Version, u32), Rejection> {
    for program in ["bin/rustc", "bin/cargo"] {
        let path = root.join(program);
        if !path.is_file() {
            return Err(Rejection::Missing(path));
        }
    }
    if !root.join("lib/rustlib/src/rust/library/Cargo.lock").is_file() {
        return Err(Rejection::NoSource);
    }
    let output = Command::new(root.join("bin/rustc")).arg("-vV").output();
    let output = output.map_err(|error| Rejection::Unreadable(error.to_string()))?;
    judge(&String::from_utf8_lossy(&output.stdout))
}

/// Reads release and LLVM from what `rustc -vV` says.
fn judge(verbose: &str) -> Result<(Version, u32), Rejection> {
    let field = |name: &str| verbose.lines().find_map(|line| line.strip_prefix(name));
    let read = |name: &str| field(name).and_then(Version::parse);
    let (Some(release), Some(llvm)) = (read("release: "), read("LLVM version: ")) else {
        return Err(Rejection::Unreadable(verbose.trim().to_owned()));
    };
    let minor = OLDEST.split('.').nth(1).and_then(leading_number).unwrap_or(0);
    if release < (Version { major: 1, minor, patch: 0 }) {
        return Err(Rejection::TooOld(release));
    }
    Ok((release, llvm.major))
}

impl fmt::Display for Candidate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = self.root.display();
        match &self.origin {
            Origin::Override => write!(formatter, "SLUICE_EBPF_TOOLCHAIN={root}"),
            Origin::Rustup(name) => write!(formatter, "rustup toolchain {name}"),
            Origin::System => write!(formatter, "the system's Rust in {root}"),
        }
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Candidate { origin: self.origin.clone(), root: self.root.clone() };
        write!(formatter, "rustc {} (LLVM {}), {found}", self.release, self.llvm)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(formatter, "has no {}", path.display()),
            Self::NoSource => {
                write!(formatter, "is without rust-src, the source of the standard library")
            }
            Self::TooOld(release) => {
                write!(formatter, "is Rust {release}, {OLDEST} or later is needed")
            }
            Self::Unreadable(said) => write!(formatter, "`rustc -vV` gave no version: {said}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)\nbinary: rustc\n\
                          release: 1.96.0\nLLVM version: 22.1.8\n";

    fn candidate(name: &str) -> Candidate {
        Candidate { origin: Origin::Rustup(name.into()), root: PathBuf::from(name) }
    }

    #[test]
    fn the_first_that_serves_is_taken() {
        let release = Version { major: 1, minor: 96, patch: 0 };
        let compiler = pick(vec![candidate("bare"), candidate("full"), candidate("later")], |root| {
            if root == Path::new("bare") { Err(Rejection::NoSource) } else { Ok((release, 22)) }
        })
        .unwrap();
        assert_eq!(compiler.root, Path::new("full"));
    }

    #[test]
    fn when_none_serves_the_error_names_every_one_and_the_ways_out() {
        let error = pick(vec![candidate("one"), candidate("two")], |_| Err(Rejection::NoSource)).unwrap_err();
        let text = error.to_string();
        for expected in ["one", "two", "rust-src", "Debian", "Ubuntu", "Fedora", "rustup component add", "xtask setup"]
        {
            assert!(text.contains(expected), "{expected} is not in: {text}");
        }
    }

    #[test]
    fn release_and_llvm_are_read_from_the_verbose_version() {
        assert_eq!(judge(DEBIAN), Ok((Version { major: 1, minor: 96, patch: 0 }, 22)));
        assert_eq!(
            judge(&DEBIAN.replace("release: 1.96", "release: 1.63")),
            Err(Rejection::TooOld(Version { major: 1, minor: 63, patch: 0 }))
        );
        assert!(matches!(judge("segmentation fault"), Err(Rejection::Unreadable(_))));
    }

    #[test]
    fn a_directory_without_a_compiler_is_no_toolchain() {
        let missing = PathBuf::from("/nowhere/bin/rustc");
        assert_eq!(probe(Path::new("/nowhere")), Err(Rejection::Missing(missing)));
    }
}
