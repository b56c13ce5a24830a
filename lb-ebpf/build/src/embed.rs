//! What a build script does to have an object inside its package: build it, put it into `OUT_DIR`, and tell cargo when to
//! do so again.
#![expect(clippy::print_stdout, reason = "a build script speaks to cargo by printing")]

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::{Diagnostics, Error, Object, Overrides, Package, Places, VARIABLES, build};

/// Builds the object of `package` into `OUT_DIR`, under the package's name; an empty file with `SLUICE_EBPF_SKIP=1`.
pub fn embed(package: Package) -> Result<(), Error> {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let places = Places::of(&out);
    for source in package.sources() {
        for part in ["src", "Cargo.toml"] {
            println!("cargo::rerun-if-changed={}", places.workspace.join(source).join(part).display());
        }
    }
    for file in ["Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", places.workspace.join(file).display());
    }
    for variable in VARIABLES {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let embedded = out.join(package.name());
    match build(package, &places, &Overrides::from_environment(), Diagnostics::Kept)? {
        Object::Skipped => {
            println!("cargo::warning=built without {}, as SLUICE_EBPF_SKIP says", package.name());
            write(&embedded, &[])
        }
        Object::Given(path) => {
            println!("cargo::rerun-if-changed={}", path.display());
            println!("cargo::warning=the kernel object is {}, as SLUICE_EBPF_OBJECT says", path.display());
            copy(&path, &embedded)
        }
        Object::Compiled { path, warnings, .. } => {
            for warning in warnings {
                println!("cargo::warning={warning}");
            }
            copy(&path, &embedded)
        }
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    write(to, &fs::read(from).map_err(|source| Error::Read { path: from.to_path_buf(), source })?)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(|source| Error::Write { path: path.to_path_buf(), source })
}
