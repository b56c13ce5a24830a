//! The inner cargo: one more build, for the kernel, inside the build of the daemon.
//!
//! It has a target directory of its own, so it never waits for the lock that the outer cargo holds, and none of the
//! outer cargo's variables, which would aim it at the host.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Compiler, Diagnostics, Error, Linker, Package, Places};

const TARGET: &str = "bpfel-unknown-none";

/// `[profile.ebpf]` of the root manifest.
const PROFILE: &str = "ebpf";

/// The instruction set: 32-bit arithmetic and atomics with a result; every kernel since 5.12 has it.
const PROCESSOR: &str = "v3";

/// Where the inner cargo puts the object.
pub(crate) fn object_path(package: Package, places: &Places, log: bool) -> PathBuf {
    target_directory(places, log).join(TARGET).join(PROFILE).join(package.name())
}

/// The object that logs has a directory of its own, so that neither takes the other's place.
fn target_directory(places: &Places, log: bool) -> PathBuf {
    places.target.join(if log { "ebpf-log" } else { "ebpf" })
}

/// Compiles an object; returns the warnings that were kept.
pub(crate) fn compile(
    package: Package,
    places: &Places,
    compiler: &Compiler,
    linker: &Linker,
    log: bool,
    diagnostics: Diagnostics,
) -> Result<Vec<String>, Error> {
    let mut command = clean_command(&compiler.cargo());
    command
        .current_dir(&places.workspace)
        .env("RUSTC", compiler.rustc())
        .env("RUSTC_BOOTSTRAP", "1") // a stable compiler builds `core`; the host's crates must not see this
        .env("CARGO_ENCODED_RUSTFLAGS", flags(places, compiler, linker))
        .args(["build", "--locked", "-Zbuild-std=core"])
        .args([format!("--package={}", package.name()), format!("--bin={}", package.name())])
        .args([format!("--target={TARGET}"), format!("--profile={PROFILE}")])
        .arg("--target-dir")
        .arg(target_directory(places, log))
        .args(log.then_some("--features=log"))
        .stdout(Stdio::null());
    let failed = |source| Error::Run { program: compiler.cargo(), source };
    match diagnostics {
        Diagnostics::Shown => {
            let status = command.status().map_err(failed)?;
            if status.success() { Ok(Vec::new()) } else { Err(Error::Compile { diagnostics: String::new() }) }
        }
        Diagnostics::Kept => {
            let output = command.arg("--quiet").output().map_err(failed)?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() { Ok(warnings(&said)) } else { Err(Error::Compile { diagnostics: said }) }
        }
    }
}

/// The flags in cargo's encoding, which keeps paths with spaces whole and overrules every other source of flags.
/// Paths of this machine stay out of the object: the same source gives the same bytes elsewhere.
fn flags(places: &Places, compiler: &Compiler, linker: &Linker) -> String {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo"))).unwrap_or_default();
    let source = compiler.root.join("lib/rustlib/src/rust");
    let resolved = fs::canonicalize(&source).unwrap_or_else(|_| source.clone()); // Debian's is a link
    [
        format!("-Clinker={}", linker.path.display()),
        "-Clink-arg=--btf".to_owned(),
        // Headers lie at any address in a frame; without this their fields are read byte by byte.
        "-Clink-arg=--cpu-features=+allows-misaligned-mem-access".to_owned(),
        format!("-Ctarget-cpu={PROCESSOR}"),
        format!("--remap-path-prefix={}=/cargo", home.display()),
        format!("--remap-path-prefix={}=/rust", source.display()),
        format!("--remap-path-prefix={}=/rust", resolved.display()),
        format!("--remap-path-prefix={}=/sluice", places.workspace.display()),
    ]
    .join("\u{1f}")
}

/// A command without what an outer cargo or rustup has set for its own purposes.
pub(crate) fn clean_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if !is_inherited(&name) {
            command.env_remove(name);
        }
    }
    // The toolchain's own programs come first, not rustup's proxies; a wrapper in the user's configuration knows
    // nothing of this target.
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = program.parent().map(Path::to_path_buf).into_iter().chain(env::split_paths(&path));
    if let Ok(path) = env::join_paths(directories) {
        command.env("PATH", path);
    }
    command.env("CARGO_BUILD_RUSTC_WRAPPER", "");
    command
}

/// Whether a variable of the outer build means the same to the inner one: the user's settings do, cargo's do not.
fn is_inherited(name: &OsStr) -> bool {
    const SETTINGS: [&str; 7] = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTR", // REGISTRY_…, REGISTRIES_…
        "CARGO_SOURCE_",
        "CARGO_TERM_",
        "RUSTUP_HOME",
    ];
    const OUTER: [&str; 4] = ["CARGO", "RUST", "DEP_", "CLIPPY_"];
    const OUTER_WHOLE: [&str; 11] = [
        "OUT_DIR",
        "TARGET",
        "HOST",
        "PROFILE",
        "OPT_LEVEL",
        "DEBUG",
        "NUM_JOBS",
        "MAKEFLAGS",
        "MFLAGS",
        "LD_LIBRARY_PATH",
        "__CARGO_DEFAULT_LIB_METADATA",
    ];
    let name = name.to_string_lossy();
    SETTINGS.iter().any(|setting| name.starts_with(setting))
        || !(OUTER.iter().any(|prefix| name.starts_with(prefix)) || OUTER_WHOLE.contains(&name.as_ref()))
}

/// The warnings in a compiler's messages, one line each. Cargo's own summaries name no place and are left out.
fn warnings(said: &str) -> Vec<String> {
    let mut lines = said.lines().peekable();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let place = lines.peek().and_then(|next| next.trim_start().strip_prefix("--> "));
        if let (Some(message), Some(place)) = (line.strip_prefix("warning: "), place) {
            found.push(format!("{place}: {message}"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_build_does_not_reach_the_inner_one() {
        for name in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTUP_TOOLCHAIN",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "CARGO_FEATURE_X",
            "CLIPPY_ARGS",
            "TARGET",
            "MAKEFLAGS",
        ] {
            assert!(!is_inherited(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn the_users_settings_do() {
        for name in ["HOME", "CARGO_HOME", "CARGO_NET_OFFLINE", "CARGO_REGISTRIES_X_TOKEN", "https_proxy", "TARGETS"] {
            assert!(is_inherited(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn a_warning_is_one_line_with_its_place() {
        let said = "warning: unused variable: `flow`\n  --> lb-ebpf/src/main.rs:16:5\n   |\n16 |     let flow\n\n\
                    warning: `lb-ebpf` (bin \"lb-ebpf\") generated 1 warning\n";
        assert_eq!(warnings(said), ["lb-ebpf/src/main.rs:16:5: unused variable: `flow`"]);
    }
}
