//! What can go wrong, and what to type then.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use crate::compiler::OLDEST;
use crate::{Candidate, LINKER_VERSION, LinkerRejection, Rejection};

/// Why there is no kernel object.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No toolchain serves.
    #[error("{}", no_compiler(rejected))]
    NoCompiler {
        /// Every toolchain that was found, and what it lacks.
        rejected: Vec<(Candidate, Rejection)>,
    },
    /// No linker serves.
    #[error("{}", no_linker(*llvm, rejected))]
    NoLinker {
        /// The LLVM of the compiler that was chosen.
        llvm: u32,
        /// Every linker that was found, and why it does not serve.
        rejected: Vec<(PathBuf, LinkerRejection)>,
    },
    /// The linker cannot be built against this compiler's LLVM.
    #[error("bpf-linker {LINKER_VERSION} can be built against LLVM 22 and 23, and the compiler has LLVM {llvm}")]
    LlvmUnknownToLinker {
        /// The LLVM of the compiler that was chosen.
        llvm: u32,
    },
    /// The compiler's LLVM is not there as a shared library.
    #[error("found no libLLVM.so.{llvm}* in {searched:?}; install a bpf-linker in PATH instead")]
    NoLibrary {
        /// The LLVM of the compiler that was chosen.
        llvm: u32,
        /// Where it was looked for.
        searched: Vec<PathBuf>,
    },
    /// `cargo install` of the linker failed; it has said why.
    #[error("could not build bpf-linker {LINKER_VERSION}, see above")]
    InstallLinker,
    /// The kernel source does not compile.
    #[error("the kernel object does not compile\n{diagnostics}")]
    Compile {
        /// The compiler's messages; empty when they were shown as they came.
        diagnostics: String,
    },
    /// A program could not be started.
    #[error("could not run {}: {source}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("could not read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("could not write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file is no object for the kernel.
    #[error("{} is not an ELF object for BPF", path.display())]
    NotAnObject {
        /// The file.
        path: PathBuf,
    },
}

fn no_compiler(rejected: &[(Candidate, Rejection)]) -> String {
    let mut text = format!("no compiler for the kernel object: it takes Rust {OLDEST} or later with rust-src");
    for (candidate, reason) in rejected {
        let _infallible = write!(text, "\n  {candidate} {reason}");
    }
    text.push_str(
        "\nOne of these provides it:\n  \
           rustup   rustup component add rust-src\n  \
           Debian   apt-get install rustc-web cargo-web rust-web-src\n  \
           Ubuntu   apt-get install rustup && rustup toolchain install stable --component rust-src\n  \
           Fedora   dnf install rust cargo rust-src\n\
         As root, `cargo xtask setup` does it.",
    );
    text
}

fn no_linker(llvm: u32, rejected: &[(PathBuf, LinkerRejection)]) -> String {
    let mut text = format!("no bpf-linker for the kernel object: the compiler writes bitcode of LLVM {llvm}");
    for (path, reason) in rejected {
        let _infallible = write!(text, "\n  {} {reason}", path.display());
    }
    text.push_str("\n`cargo xtask setup` builds a matching one in the target directory; it needs no root for that.");
    text
}
