//! `lab-confined`: what somebody could do who had taken over a process of the daemon.
//!
//! - `lab-confined worker UID GID PINS` gives up its rights as the worker does, with the worker's maps in hand, and then tries
//!   what the worker must not: a line each, with the number of the error, or `done`.
//! - `lab-confined trace UID GID PID` becomes that user and tries to trace a process.
#![expect(unsafe_code, reason = "system calls that nobody has a wrapper for, because nobody should make them")]
#![expect(clippy::print_stdout, reason = "the answers")]

use anyhow::{Context as _, Result, bail};
use lb_userspace::{
    dataplane::{handed::WorkerMaps, maps::KernelMaps, pins::Pins, rings::RingMaps, writer::MapWriter as _},
    worker::privileges::{Identity, confine_worker, drop_all, keep_memory_private},
};
use libc::{c_int, c_long};
use std::{
    env,
    fs::File,
    io,
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    process::Command,
};

/// Calls with their first arguments; the others are 0. None of them would do anything where it is allowed.
const CALLS: &[(&str, c_long, [c_int; 2])] = &[
    ("execve", libc::SYS_execve, [0, 0]),
    ("execveat", libc::SYS_execveat, [-1, 0]),
    ("fork", libc::SYS_clone, [libc::SIGCHLD, 0]),
    ("namespace by clone", libc::SYS_clone, [libc::CLONE_NEWUSER | libc::SIGCHLD, 0]),
    ("clone3", libc::SYS_clone3, [0, 0]),
    ("unshare", libc::SYS_unshare, [libc::CLONE_NEWUSER, 0]),
    ("setns", libc::SYS_setns, [-1, 0]),
    ("ptrace", libc::SYS_ptrace, [0xff, 0]),
    ("process_vm_readv", libc::SYS_process_vm_readv, [-1, 0]),
    ("process_vm_writev", libc::SYS_process_vm_writev, [-1, 0]),
    ("pidfd_open", libc::SYS_pidfd_open, [-1, 0]),
    ("kill", libc::SYS_kill, [1, 0]),
    ("mount", libc::SYS_mount, [0, 0]),
    ("umount", libc::SYS_umount2, [0, 0]),
    ("pivot_root", libc::SYS_pivot_root, [0, 0]),
    ("chroot", libc::SYS_chroot, [0, 0]),
    ("init_module", libc::SYS_init_module, [0, 0]),
    ("finit_module", libc::SYS_finit_module, [-1, 0]),
    ("delete_module", libc::SYS_delete_module, [0, 0]),
    ("kexec_load", libc::SYS_kexec_load, [0, 0]),
    ("perf_event_open", libc::SYS_perf_event_open, [0, 0]),
    ("userfaultfd", libc::SYS_userfaultfd, [-1, 0]),
    ("io_uring_setup", libc::SYS_io_uring_setup, [0, 0]),
    ("keyctl", libc::SYS_keyctl, [-1, 0]),
    ("add_key", libc::SYS_add_key, [0, 0]),
    ("request_key", libc::SYS_request_key, [0, 0]),
    ("open_by_handle_at", libc::SYS_open_by_handle_at, [-1, 0]),
    ("name_to_handle_at", libc::SYS_name_to_handle_at, [-1, 0]),
    ("personality", libc::SYS_personality, [-1, 0]),
    ("seccomp", libc::SYS_seccomp, [-1, 0]),
    ("dumpable", libc::SYS_prctl, [libc::PR_SET_DUMPABLE, 1]),
    ("netlink", libc::SYS_socket, [libc::AF_NETLINK, libc::SOCK_RAW]),
    ("packet", libc::SYS_socket, [libc::AF_PACKET, libc::SOCK_RAW]),
    ("alg", libc::SYS_socket, [libc::AF_ALG, libc::SOCK_SEQPACKET]),
    ("vsock", libc::SYS_socket, [libc::AF_VSOCK, libc::SOCK_STREAM]),
    ("map create", libc::SYS_bpf, [0, 0]),
    ("program load", libc::SYS_bpf, [5, 0]),
    ("pin", libc::SYS_bpf, [6, 0]),
    ("open a pin", libc::SYS_bpf, [7, 0]),
    ("program attach", libc::SYS_bpf, [8, 0]),
    ("program detach", libc::SYS_bpf, [9, 0]),
    ("program by id", libc::SYS_bpf, [13, 0]),
    ("map by id", libc::SYS_bpf, [14, 0]),
    ("BTF load", libc::SYS_bpf, [18, 0]),
    ("map freeze", libc::SYS_bpf, [22, 0]),
    ("link create", libc::SYS_bpf, [28, 0]),
    ("link update", libc::SYS_bpf, [29, 0]),
    ("link by id", libc::SYS_bpf, [30, 0]),
    ("link detach", libc::SYS_bpf, [34, 0]),
];

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [what, uid, gid, target] = arguments.as_slice() else {
        bail!("usage: lab-confined worker UID GID PINS, or lab-confined trace UID GID PID");
    };
    let identity = Identity { uid: uid.parse()?, gid: gid.parse()? };
    match what.as_str() {
        "worker" => worker(identity, &Pins::new(target)),
        "trace" => {
            drop_all(identity)?;
            let (seize, pid): (c_long, c_long) = (0x4206, target.parse()?); // PTRACE_SEIZE
            tell("trace", call(libc::SYS_ptrace, [seize, pid]));
            tell("read its memory", File::open(format!("/proc/{target}/mem")).map(drop));
            tell("read its environment", std::fs::read(format!("/proc/{target}/environ")).map(drop));
            Ok(())
        }
        other => bail!("{other} is nothing that this does"),
    }
}

fn worker(identity: Identity, pins: &Pins) -> Result<()> {
    // As the supervisor hands them over.
    let maps = WorkerMaps::open(pins, &RingMaps::open(pins)?)?;
    drop_all(identity)?;
    keep_memory_private()?;
    confine_worker();

    for (name, number, [first, second]) in CALLS {
        tell(name, call(*number, [c_long::from(*first), c_long::from(*second)]));
    }
    tell("program", Command::new("/bin/true").spawn().map(drop));
    tell("listen", TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map(drop));
    let pinned = pins.map("VIPS4").display().to_string();
    for path in ["/etc/passwd", "/etc/shadow", "/etc/resolv.conf", "/proc/self/status", &pinned] {
        tell(&format!("open {path}"), File::open(path).map(drop));
    }

    // What it is there for.
    tell("datagrams", UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map(drop));
    let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, 1))
        .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    tell("connections", if refused { Ok(()) } else { Err(io::ErrorKind::Other.into()) });
    let held = KernelMaps::open(&maps)?.read().context("the maps cannot be read by their descriptors")?;
    println!("servers in the maps: {}", held.servers.len());
    Ok(())
}

fn tell(name: &str, tried: io::Result<()>) {
    match tried {
        Ok(()) => println!("{name}: done"),
        Err(error) => println!("{name}: {}", error.raw_os_error().unwrap_or_default()),
    }
}

fn call(number: c_long, [first, second]: [c_long; 2]) -> io::Result<()> {
    const NOTHING: c_long = 0;
    // SAFETY: none of these reads or writes memory of ours, or does anything, with arguments that are null or name nothing;
    // the child of one that forks ends at once.
    let result = unsafe { libc::syscall(number, first, second, NOTHING, NOTHING, NOTHING, NOTHING) };
    match result {
        0 if number == libc::SYS_clone => std::process::exit(0),
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
