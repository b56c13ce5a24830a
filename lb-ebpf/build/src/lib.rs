//! How the kernel objects are built: the choice of compiler and linker, and the build itself.
//!
//! The build scripts of the daemon and of the tests call [`embed()`], so that an ordinary `cargo build` has the objects
//! inside; `cargo xtask build-ebpf`, which says what was chosen and why, and `cargo xtask check`, for the warnings, call
//! [`build`].
//!
//! An object is Rust for a target without a ready-made `core`, so the compiler must carry its own source, and the
//! linker must read the bitcode that this compiler writes. Reading order: [`Overrides`] (what the developer decided),
//! [`Compiler`], [`Linker`], then the inner cargo.

mod version;
mod overrides;
mod compiler;
mod linker;
mod inner;
mod embed;
mod error;

use std::fs;
use std::path::{Path, PathBuf};

pub use compiler::{Candidate, Compiler, Origin, Rejection};
pub use embed::embed;
pub use error::Error;
pub use linker::{LINKER_VERSION, Linker, LinkerOrigin, LinkerRejection};
pub use overrides::{Overrides, VARIABLES};
pub use version::Version;

/// Where things lie: the source, and the directory that may be written.
#[derive(Clone, Debug)]
pub struct Places {
    /// The root of the workspace.
    pub workspace: PathBuf,
    /// The target directory of the workspace; `ebpf/` and `tools/` in it are ours.
    pub target: PathBuf,
}

impl Places {
    /// Finds them for a process of this workspace's build, `inside` being a path that cargo made for it: `OUT_DIR` of a
    /// build script, or its own executable.
    ///
    /// The target directory is the nearest one above that cargo has tagged, else `target/` of the workspace, so that
    /// the build script and the developer commands agree on it wherever `CARGO_TARGET_DIR` points.
    pub fn of(inside: &Path) -> Self {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let workspace = package.ancestors().nth(2).unwrap_or(package).to_path_buf();
        let tagged = inside.ancestors().find(|directory| directory.join("CACHEDIR.TAG").is_file());
        let target = tagged.map_or_else(|| workspace.join("target"), Path::to_path_buf);
        Self { workspace, target }
    }
}

/// What is built: a package whose program of the same name is an object for the kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Package {
    /// The balancer; the object that ships.
    Balancer,
    /// Programs for tests and benches.
    Tools,
}

impl Package {
    /// The package's name, its program's, and that of the object.
    pub fn name(self) -> &'static str {
        match self {
            Self::Balancer => "lb-ebpf",
            Self::Tools => "lb-ebpf-tools",
        }
    }

    /// What it is made of beside `Cargo.toml` and `Cargo.lock`: packages, from the root of the workspace.
    fn sources(self) -> &'static [&'static str] {
        match self {
            Self::Balancer => &["lb-ebpf", "lb-common"],
            Self::Tools => &["lb-ebpf/tools"],
        }
    }

    /// What the developer decided about this package: a finished object, and one that logs, are the balancer's.
    fn overrides(self, overrides: &Overrides) -> Overrides {
        match self {
            Self::Balancer => overrides.clone(),
            Self::Tools => Overrides { object: None, log: false, ..overrides.clone() },
        }
    }
}

/// What becomes of the inner compiler's messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Diagnostics {
    /// They go to the terminal as they come.
    Shown,
    /// They are kept: warnings in [`Object::Compiled`], errors in [`Error::Compile`].
    Kept,
}

/// The kernel object, or why there is none.
#[derive(Clone, Debug)]
pub enum Object {
    /// `SLUICE_EBPF_SKIP` is set: documentation and editors need none.
    Skipped,
    /// `SLUICE_EBPF_OBJECT` names a finished one.
    Given(PathBuf),
    /// Compiled here.
    Compiled {
        /// The object file.
        path: PathBuf,
        /// What compiled it.
        compiler: Compiler,
        /// What linked it.
        linker: Linker,
        /// One line each, `file:line:column: message`; empty with [`Diagnostics::Shown`].
        warnings: Vec<String>,
    },
}

/// Builds the object of a package, or takes the one that the overrides name.
pub fn build(
    package: Package,
    places: &Places,
    overrides: &Overrides,
    diagnostics: Diagnostics,
) -> Result<Object, Error> {
    let overrides = &package.overrides(overrides);
    if overrides.skip {
        return Ok(Object::Skipped);
    }
    if let Some(path) = &overrides.object {
        check_object(path)?;
        return Ok(Object::Given(path.clone()));
    }
    let compiler = Compiler::choose(overrides)?;
    let linker = Linker::choose(overrides, places, compiler.llvm)?;
    let warnings = inner::compile(package, places, &compiler, &linker, overrides.log, diagnostics)?;
    let path = inner::object_path(package, places, overrides.log);
    check_object(&path)?;
    Ok(Object::Compiled { path, compiler, linker, warnings })
}

/// Refuses what is not an ELF object for BPF: a wrong path in an override would otherwise be found only at load time.
fn check_object(path: &Path) -> Result<(), Error> {
    let bytes = fs::read(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
    if is_bpf_object(&bytes) { Ok(()) } else { Err(Error::NotAnObject { path: path.to_path_buf() }) }
}

/// ELF magic, 64 bit, little endian, and `EM_BPF` (247) as the machine.
fn is_bpf_object(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF\x02\x01") && bytes.get(18..20) == Some(&[247, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_another_machine_is_refused() {
        let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
        elf.resize(64, 0);
        elf[18] = 247;
        assert!(is_bpf_object(&elf));
        elf[18] = 62; // x86-64
        assert!(!is_bpf_object(&elf));
        assert!(!is_bpf_object(b""));
    }

    #[test]
    fn skip_wins_over_a_given_object() {
        let overrides = Overrides { skip: true, object: Some(PathBuf::from("/nowhere")), ..Overrides::default() };
        let places = Places::of(Path::new("/nowhere"));
        assert!(matches!(build(Package::Balancer, &places, &overrides, Diagnostics::Kept), Ok(Object::Skipped)));
    }

    #[test]
    fn a_given_object_is_the_balancers_and_not_another_packages() {
        let given = Overrides { object: Some(PathBuf::from("/nowhere")), log: true, ..Overrides::default() };
        assert_eq!(Package::Balancer.overrides(&given), given);
        assert_eq!(Package::Tools.overrides(&given), Overrides::default());
    }

    #[test]
    fn a_given_object_that_is_missing_is_an_error_and_not_a_fallback() {
        let overrides = Overrides { object: Some(PathBuf::from("/nowhere")), ..Overrides::default() };
        let places = Places::of(Path::new("/nowhere"));
        assert!(matches!(build(Package::Balancer, &places, &overrides, Diagnostics::Kept), Err(Error::Read { .. })));
    }
}
