//! What the developer decided by environment variables; all of it is optional.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// Every variable read here, for `cargo::rerun-if-env-changed`.
pub const VARIABLES: [&str; 4] = [SKIP, OBJECT, TOOLCHAIN, LINKER];

const SKIP: &str = "SLUICE_EBPF_SKIP";
const OBJECT: &str = "SLUICE_EBPF_OBJECT";
const TOOLCHAIN: &str = "SLUICE_EBPF_TOOLCHAIN";
const LINKER: &str = "SLUICE_EBPF_LINKER";
/// Cargo sets it for the build script of a package that has the feature, and builds anew when that changes.
const LOG: &str = "CARGO_FEATURE_KERNEL_LOG";

/// Decisions that come before every search.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Overrides {
    /// `SLUICE_EBPF_SKIP=1`: build no object. The daemon then refuses to load one.
    pub skip: bool,
    /// `SLUICE_EBPF_OBJECT=FILE`: take this finished object.
    pub object: Option<PathBuf>,
    /// `SLUICE_EBPF_TOOLCHAIN=DIRECTORY`: the compiler with `bin/rustc`, `bin/cargo` and its source below it, as
    /// `rustc --print sysroot` says.
    pub toolchain: Option<PathBuf>,
    /// `SLUICE_EBPF_LINKER=FILE`: this bpf-linker.
    pub linker: Option<PathBuf>,
    /// Cargo's feature `kernel-log` of the package being built: an object that logs, for debugging.
    pub log: bool,
}

impl Overrides {
    /// Reads the variables of this process.
    pub fn from_environment() -> Self {
        Self::read(|name| env::var_os(name))
    }

    /// An empty variable is an unset one, and `SLUICE_EBPF_SKIP=0` does not skip.
    fn read(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        Self {
            skip: set(SKIP).is_some_and(|value| value != "0"),
            object: set(OBJECT).map(PathBuf::from),
            toolchain: set(TOOLCHAIN).map(PathBuf::from),
            linker: set(LINKER).map(PathBuf::from),
            log: set(LOG).is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_zero_decide_nothing() {
        let read = Overrides::read(|name| match name {
            SKIP => Some("0".into()),
            OBJECT => Some("".into()),
            _ => None,
        });
        assert_eq!(read, Overrides::default());
    }

    #[test]
    fn each_variable_reaches_its_field() {
        let read = Overrides::read(|name| Some(name.into()));
        assert!(read.skip);
        assert_eq!(read.object, Some(OBJECT.into()));
        assert_eq!(read.toolchain, Some(TOOLCHAIN.into()));
        assert_eq!(read.linker, Some(LINKER.into()));
        assert!(read.log);
    }
}
