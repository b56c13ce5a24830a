//! Landlock: what a process without rights may still do to files, ports and processes of others. The worker, which is given
//! all that it needs as descriptors, may do nothing.

use super::Hold;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, RestrictionStatus, Ruleset, RulesetAttr as _, RulesetError, RulesetStatus,
    Scope,
};
use tracing::{debug, info, warn};

/// What is taken: no later version of Landlock takes more, which might be too much.
const KNOWN: ABI = ABI::V6;

/// From now on the calling thread, and those that it starts, open no file, listen on no TCP port, and reach no abstract
/// socket and no process from outside. Where the kernel knows less of it, that is said, and the rest holds.
pub(super) fn close() -> Hold {
    match restrict() {
        Ok(RestrictionStatus { ruleset: RulesetStatus::FullyEnforced, .. }) => {
            debug!("Landlock holds the worker");
            Hold::Whole
        }
        Ok(RestrictionStatus { ruleset: RulesetStatus::PartiallyEnforced, landlock, .. }) => {
            info!(?landlock, "this kernel's Landlock knows less than all: the worker is held as far as it goes");
            Hold::Part
        }
        Ok(RestrictionStatus { ruleset: RulesetStatus::NotEnforced, landlock, .. }) => {
            warn!(?landlock, "this kernel has no Landlock: the worker is held by its user and its system calls alone");
            Hold::None
        }
        Err(error) => {
            warn!(%error, "Landlock cannot be used: the worker is held by its user and its system calls alone");
            Hold::None
        }
    }
}

fn restrict() -> Result<RestrictionStatus, RulesetError> {
    Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        // Sockets that listen are given; connections and datagrams leave from ports that the kernel chooses.
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::from_all(KNOWN))?
        .create()?
        .restrict_self()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::File, io::Write as _, net::TcpListener, net::TcpStream, thread};

    #[test]
    fn files_and_ports_are_out_of_reach_and_what_is_open_goes_on() {
        let mut open = tempfile::tempfile().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let held = thread::spawn(move || {
            let status = restrict().unwrap();
            if status.ruleset == RulesetStatus::NotEnforced {
                return; // A kernel without it.
            }
            for path in ["/etc/passwd", "/proc/self/status", "/dev/null", "/"] {
                assert!(File::open(path).is_err(), "{path} can be opened");
            }
            assert!(File::create("/tmp/sluice-made").is_err() && std::fs::read_dir("/tmp").is_err());
            open.write_all(b"a line").unwrap();
            TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            if status.ruleset == RulesetStatus::FullyEnforced {
                assert!(TcpListener::bind("127.0.0.1:0").is_err(), "it can listen");
            }
        });
        held.join().unwrap();
        File::open("/etc/passwd").unwrap();
    }
}
