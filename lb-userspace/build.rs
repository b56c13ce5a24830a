//! Puts the kernel object into the daemon: an ordinary `cargo build` makes both.
//!
//! The object lands in `OUT_DIR/lb-ebpf`; it is empty with `SLUICE_EBPF_SKIP=1`, which `dataplane::object` refuses.
#![expect(clippy::print_stderr, reason = "cargo shows it when the build fails")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use lb_ebpf_build::{Diagnostics, Error, Object, Overrides, Places, VARIABLES};

/// What the object is made of, from the root of the workspace.
const SOURCES: [&str; 6] =
    ["lb-ebpf/src", "lb-ebpf/Cargo.toml", "lb-common/src", "lb-common/Cargo.toml", "Cargo.toml", "Cargo.lock"];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Error> {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let places = Places::of(&out);
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", places.workspace.join(source).display());
    }
    for variable in VARIABLES {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let embedded = out.join("lb-ebpf");
    match lb_ebpf_build::build(&places, &Overrides::from_environment(), Diagnostics::Kept)? {
        Object::Skipped => {
            println!("cargo::warning=built without the kernel object, as SLUICE_EBPF_SKIP says");
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
