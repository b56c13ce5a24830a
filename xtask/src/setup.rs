//! `setup`: what the build and the tests need, on a machine that has only Rust and a C compiler.
//!
//! Idempotent, and quick when all is there. With root and apt it installs; otherwise it prints what to type. The linker
//! of the kernel object needs no root: it is built into the target directory.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use lb_ebpf_build::{Compiler, Linker, Overrides, Places};

use crate::run::{cargo, find, is_root, run_aside};

/// A program, the package of Debian and Ubuntu that has it, and who asks for it.
struct Tool {
    program: &'static str,
    package: &'static str,
    purpose: &'static str,
}

const TOOLS: [Tool; 36] = [
    Tool { program: "cc", package: "gcc libc6-dev", purpose: "build" },
    Tool { program: "ip", package: "iproute2", purpose: "network tests" },
    Tool { program: "ethtool", package: "ethtool", purpose: "network tests" },
    Tool { program: "bpftool", package: "bpftool", purpose: "kernel tests" },
    Tool { program: "curl", package: "curl", purpose: "network tests" },
    Tool { program: "jq", package: "jq", purpose: "network tests" },
    Tool { program: "tcpdump", package: "tcpdump", purpose: "network tests" },
    Tool { program: "nginx", package: "nginx-light", purpose: "network tests" },
    Tool { program: "vsftpd", package: "vsftpd", purpose: "network tests" },
    Tool { program: "pg_ctlcluster", package: "postgresql", purpose: "network tests" },
    Tool { program: "mariadbd", package: "mariadb-server", purpose: "network tests" },
    Tool { program: "sshd", package: "openssh-server", purpose: "network tests" },
    Tool { program: "redis-server", package: "redis-server", purpose: "network tests" },
    Tool { program: "postfix", package: "postfix", purpose: "network tests" },
    Tool { program: "slapd", package: "slapd", purpose: "network tests" },
    Tool { program: "dnsmasq", package: "dnsmasq-base", purpose: "network tests" },
    Tool { program: GRPC, package: "python3-grpcio", purpose: "network tests" },
    Tool { program: PYMYSQL, package: "python3-pymysql", purpose: "network tests" },
    Tool { program: CRYPTOGRAPHY, package: "python3-cryptography", purpose: "network tests" },
    Tool { program: JSONSCHEMA, package: "python3-jsonschema", purpose: "tests" },
    Tool { program: "socat", package: "socat", purpose: "network tests" },
    Tool { program: "haproxy", package: "haproxy", purpose: "comparisons" },
    Tool { program: "promtool", package: "prometheus", purpose: "tests" },
    Tool { program: "hatop", package: "hatop", purpose: "network tests" },
    Tool { program: "prometheus-haproxy-exporter", package: "prometheus-haproxy-exporter", purpose: "network tests" },
    Tool { program: "chromium-headless-shell", package: "chromium-headless-shell", purpose: "network tests" },
    Tool { program: "keepalived", package: "keepalived", purpose: "network tests" },
    Tool { program: "systemd-analyze", package: "systemd", purpose: "network tests" },
    Tool { program: "dpkg-shlibdeps", package: "dpkg-dev", purpose: "network tests" },
    Tool { program: "logrotate", package: "logrotate", purpose: "network tests" },
    Tool { program: "mandoc", package: "mandoc", purpose: "network tests" },
    Tool { program: "faketime", package: "faketime", purpose: "network tests" },
    Tool { program: "nft", package: "nftables", purpose: "benchmarks" },
    Tool { program: "wrk", package: "wrk", purpose: "benchmarks" },
    Tool { program: "h2load", package: "nghttp2-client", purpose: "benchmarks" },
    Tool { program: "ping", package: "iputils-ping", purpose: "network tests" },
];

/// What only `test --kernels` needs; it is large.
const EMULATION: [Tool; 3] = [
    Tool { program: "qemu-system-x86_64", package: "qemu-system-x86", purpose: "kernels" },
    Tool { program: "insmod", package: "kmod", purpose: "kernels" },
    Tool { program: "setpriv", package: "util-linux", purpose: "kernels" },
];

/// What only `fuzz` needs: libFuzzer is C++.
const FUZZING: [Tool; 1] = [Tool { program: "c++", package: "g++", purpose: "fuzzing" }];

/// What only `package` needs.
const PACKAGING: [Tool; 4] = [
    Tool { program: "dpkg-deb", package: "dpkg", purpose: "packages" },
    Tool { program: "dpkg-shlibdeps", package: "dpkg-dev", purpose: "packages" },
    Tool { program: "strip", package: "binutils", purpose: "packages" },
    Tool { program: "gzip", package: "gzip", purpose: "packages" },
];

/// What apt installs for the kernel object where no compiler serves.
const COMPILER_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// Libraries where Debian has them.
const GRPC: &str = "/usr/lib/python3/dist-packages/grpc/__init__.py";
const PYMYSQL: &str = "/usr/lib/python3/dist-packages/pymysql/__init__.py";
const JSONSCHEMA: &str = "/usr/lib/python3/dist-packages/jsonschema/__init__.py";
const CRYPTOGRAPHY: &str = "/usr/lib/python3/dist-packages/cryptography/__init__.py";

/// What is not here yet.
#[derive(Default)]
pub(crate) struct Missing {
    packages: Vec<&'static str>,
    purposes: Vec<String>,
    compiler: bool,
    linker: bool,
    /// Components that rustup can add.
    components: bool,
}

impl Missing {
    /// Looks at this machine; starts a few programs and changes nothing.
    pub(crate) fn here(places: &Places) -> Self {
        let mut missing = Self::default();
        for tool in TOOLS.iter().filter(|tool| find(tool.program).is_none()) {
            missing.packages.extend(tool.package.split(' '));
            missing.purposes.push(format!("{} ({})", tool.program, tool.purpose));
        }
        let overrides = Overrides::from_environment();
        if overrides.skip || overrides.object.is_some() {
            // The object is not built here, so neither compiler nor linker is needed.
        } else if let Ok(compiler) = Compiler::choose(&overrides) {
            missing.linker = Linker::choose(&overrides, places, compiler.llvm).is_err();
        } else {
            missing.compiler = true;
            missing.linker = true;
            missing.packages.extend(COMPILER_PACKAGES);
            missing.purposes.push("a Rust compiler with rust-src (kernel object)".to_owned());
        }
        if missing.linker {
            missing.purposes.push("bpf-linker (kernel object)".to_owned());
        }
        if !(has_component("fmt") && has_component("clippy")) {
            missing.purposes.push("rustfmt and clippy (check)".to_owned());
            missing.components = find("rustup").is_some();
            if !missing.components {
                missing.packages.extend(["rustfmt-web", "rust-web-clippy"]);
            }
        }
        missing
    }

    /// What is missing, for whom; one line.
    pub(crate) fn summary(&self) -> String {
        self.purposes.join(", ")
    }

    /// Whether everything is here.
    pub(crate) fn is_nothing(&self) -> bool {
        self.purposes.is_empty()
    }
}

/// Makes the machine ready for the command that was asked for. What only root may install is not fatal to others: the
/// command may do without, and says so if it cannot.
pub(crate) fn prepare(places: &Places) -> Result<()> {
    if Missing::here(places).is_nothing() {
        return Ok(());
    }
    match setup(places) {
        Err(error) if !is_root() => {
            eprintln!("setup: {error:#}; going on without");
            Ok(())
        }
        done => done,
    }
}

/// Makes the machine ready to emulate others.
pub(crate) fn prepare_emulation() -> Result<()> {
    prepare_with(&EMULATION)
}

/// Makes the machine ready to fuzz.
pub(crate) fn prepare_fuzzing() -> Result<()> {
    prepare_with(&FUZZING)
}

/// Makes the machine ready to make packages.
pub(crate) fn prepare_packaging() -> Result<()> {
    prepare_with(&PACKAGING)
}

fn prepare_with(tools: &[Tool]) -> Result<()> {
    let missing = tools.iter().filter(|tool| find(tool.program).is_none());
    let packages: Vec<_> = missing.map(|tool| tool.package).collect();
    if packages.is_empty() { Ok(()) } else { apt(&packages) }
}

/// Makes the machine ready, or says what is left to do and fails.
pub(crate) fn setup(places: &Places) -> Result<()> {
    let missing = Missing::here(places);
    if missing.is_nothing() {
        eprintln!("setup: all is here");
        return Ok(());
    }
    eprintln!("setup: missing {}", missing.summary());
    // What needs no root comes first, so that without root as much as possible is done.
    if missing.components {
        run_aside(Command::new("rustup").args(["component", "add", "rustfmt", "clippy"]))?;
    }
    if missing.linker && !missing.compiler {
        install_linker(places)?;
    }
    if !missing.packages.is_empty() {
        install_packages(&missing)?;
    }
    if missing.linker && missing.compiler {
        install_linker(places)?;
    }
    let left = Missing::here(places);
    if !left.is_nothing() {
        bail!("still missing: {}", left.summary());
    }
    eprintln!("setup: done");
    Ok(())
}

fn has_component(subcommand: &str) -> bool {
    cargo().args([subcommand, "--version"]).output().is_ok_and(|output| output.status.success())
}

fn install_linker(places: &Places) -> Result<()> {
    let compiler = Compiler::choose(&Overrides::from_environment())?;
    eprintln!("setup: building bpf-linker for {compiler}; takes a minute or two, once");
    eprintln!("setup: {}", Linker::install(places, &compiler)?);
    Ok(())
}

fn install_packages(missing: &Missing) -> Result<()> {
    if missing.compiler && find("apt-get").is_none() {
        // Our own error has the commands for every system.
        Compiler::choose(&Overrides::from_environment())?;
    }
    apt(&missing.packages)
}

/// Installs packages, or brings them up to date. The lists are fetched first: by old ones apt finds a compiler that is too
/// old for the kernel object, and installs it without a word.
fn apt(packages: &[&str]) -> Result<()> {
    let typed = format!("apt-get update && apt-get install --no-install-recommends {}", packages.join(" "));
    if find("apt-get").is_none() {
        bail!("this system has no apt-get; install what these packages of Debian have: {}", packages.join(" "));
    }
    if !is_root() {
        bail!("as root, either of these goes on from here:\n  {typed}\n  cargo xtask setup");
    }
    let _quiet = NoServices::declare()?;
    run_aside(apt_get().arg("update"))?;
    run_aside(apt_get().args(["install", "--yes", "--no-install-recommends"]).args(packages))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet");
    command
}

/// Debian starts a service as soon as it is installed, and a web server on port 80 is not what a developer asked for.
/// While this lives, the system's own policy file says no.
struct NoServices {
    ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn declare() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        let written = fs::write(POLICY, "#!/bin/sh\nexit 101\n");
        written.and_then(|()| fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))).context(POLICY)?;
        Ok(Self { ours: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours && fs::remove_file(POLICY).is_err() {
            eprintln!("setup: could not remove {POLICY}; while it is there, no service starts on installation");
        }
    }
}
