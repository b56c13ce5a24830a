//! Seccomp: which system calls a process without rights may still make.
//!
//! What the worker needs is known, so it has a list, and nothing else: it opens nothing, starts nothing, listens nowhere.
//! Programs that check servers may need anything, so theirs is a list of what is refused. What is refused fails with EPERM.
//! A call of another architecture (32 bits) ends the process: its numbers mean something else.

use super::Hold;
use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter_all_threads, sock_filter,
};
use std::{collections::BTreeMap, env::consts::ARCH};
use tracing::{debug, warn};

/// Calls, and under which conditions each is meant; none: always.
type Rules = BTreeMap<c_long, Vec<SeccompRule>>;
/// An argument, counted from 0, and what it is compared with, by 32 bits.
type Condition = (u8, SeccompCmpOp, u64);
type Compiled<T> = Result<T, BackendError>;

/// From now on this process makes only the calls that the worker needs, which is process number `own`.
pub(super) fn keep_to_those_of_the_worker(own: u32) -> Hold {
    apply("the worker", programs_of_the_worker(own))
}

/// From now on this process, and what it starts, may not load programs into the kernel, look into other processes, mount, or
/// become somebody else by a namespace.
pub(super) fn refuse_those_of_no_check() {
    apply("the runner of checks", programs_of_checks());
}

fn apply(who: &str, programs: Compiled<[BpfProgram; 2]>) -> Hold {
    let applied = programs
        .map_err(seccompiler::Error::from)
        .and_then(|programs| programs.iter().try_for_each(|program| apply_filter_all_threads(program)));
    match applied {
        Ok(()) => {
            debug!(who, "system calls are filtered");
            Hold::Whole
        }
        Err(error) => {
            warn!(who, %error, "system calls are not filtered: this kernel cannot");
            Hold::None
        }
    }
}

fn programs_of_the_worker(own: u32) -> Compiled<[BpfProgram; 2]> {
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    // Who keeps to a list cannot ask for a further one, so it is the last.
    Ok([without_older_and_newer(), compile(of_the_worker(own)?, refused, SeccompAction::Allow)?])
}

fn programs_of_checks() -> Compiled<[BpfProgram; 2]> {
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    Ok([without_older_and_newer(), compile(of_no_check()?, SeccompAction::Allow, refused)?])
}

fn compile(rules: Rules, otherwise: SeccompAction, meant: SeccompAction) -> Compiled<BpfProgram> {
    SeccompFilter::new(rules, otherwise, meant, ARCH.try_into()?)?.try_into()
}

/// What the worker needs, on every architecture.
const OF_THE_WORKER: &[c_long] = &[
    // Descriptors that it has.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fstat,
    libc::SYS_memfd_create,
    libc::SYS_pipe2,
    libc::SYS_splice,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_futex,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_restart_syscall,
    // The network; not listen(2).
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_shutdown,
    // Memory.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    // Threads and their signals.
    libc::SYS_clone3,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_membarrier,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Who and when.
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_capget,
    libc::SYS_getrusage,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
];

/// The older forms that this architecture has besides.
#[cfg(target_arch = "x86_64")]
const OLDER: &[c_long] =
    &[libc::SYS_poll, libc::SYS_select, libc::SYS_epoll_wait, libc::SYS_dup2, libc::SYS_getrlimit, libc::SYS_time];
/// This one never had them.
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

/// What may be done to a map by its descriptor, and what is asked of it: `enum bpf_cmd` of uapi/linux/bpf.h. Not among them is
/// all that makes a map, a program or a link, pins one, or opens one that is pinned.
const MAP_COMMANDS: [u64; 9] = [
    1,  // BPF_MAP_LOOKUP_ELEM
    2,  // BPF_MAP_UPDATE_ELEM
    3,  // BPF_MAP_DELETE_ELEM
    4,  // BPF_MAP_GET_NEXT_KEY
    15, // BPF_OBJ_GET_INFO_BY_FD
    24, // BPF_MAP_LOOKUP_BATCH
    25, // BPF_MAP_LOOKUP_AND_DELETE_BATCH
    26, // BPF_MAP_UPDATE_BATCH
    27, // BPF_MAP_DELETE_BATCH
];

/// Names for threads and, by the allocator, for memory (PR_SET_VMA). Not: to be dumpable again.
const PRCTL: [u64; 2] = [number(libc::PR_SET_NAME), 0x5356_4d41];
const IOCTL: [u64; 4] = [libc::FIONBIO, libc::FIOCLEX, libc::FIONREAD, libc::TCGETS];
const FCNTL: [u64; 8] = [
    number(libc::F_DUPFD),
    number(libc::F_DUPFD_CLOEXEC),
    number(libc::F_GETFD),
    number(libc::F_SETFD),
    number(libc::F_GETFL),
    number(libc::F_SETFL),
    number(libc::F_ADD_SEALS),
    number(libc::F_GET_SEALS),
];
const FAMILIES: [u64; 3] = [number(libc::AF_UNIX), number(libc::AF_INET), number(libc::AF_INET6)];
const THREAD: u64 = number(libc::CLONE_THREAD);
/// `CLONE_NEW…`, of which each is refused. clone(2) does not know CLONE_NEWTIME.
const NAMESPACES: [u64; 7] = [
    number(libc::CLONE_NEWNS),
    number(libc::CLONE_NEWCGROUP),
    number(libc::CLONE_NEWUTS),
    number(libc::CLONE_NEWIPC),
    number(libc::CLONE_NEWUSER),
    number(libc::CLONE_NEWPID),
    number(libc::CLONE_NEWNET),
];
const EXECUTABLE: u64 = number(libc::PROT_EXEC);
/// The file is the descriptor, and no path.
const EMPTY_PATH: u64 = number(libc::AT_EMPTY_PATH);

fn of_the_worker(own: u32) -> Compiled<Rules> {
    use SeccompCmpOp::{Eq, MaskedEq};
    let own = u64::from(own);
    let mut rules: Rules = OF_THE_WORKER.iter().chain(OLDER).map(|call| (*call, Vec::new())).collect();
    rules.extend([
        (libc::SYS_bpf, one_of(0, MAP_COMMANDS)?),
        (libc::SYS_socket, one_of(0, FAMILIES)?),
        (libc::SYS_socketpair, one_of(0, [number(libc::AF_UNIX)])?),
        (libc::SYS_prctl, one_of(0, PRCTL)?),
        (libc::SYS_ioctl, one_of(1, IOCTL)?),
        (libc::SYS_fcntl, one_of(1, FCNTL)?),
        // No code that was not there at the start.
        (libc::SYS_mmap, vec![all_of([(2, MaskedEq(EXECUTABLE), 0)])?]),
        (libc::SYS_mprotect, vec![all_of([(2, MaskedEq(EXECUTABLE), 0)])?]),
        // Threads, and no process.
        (libc::SYS_clone, vec![all_of([(0, MaskedEq(THREAD), THREAD)])?]),
        (libc::SYS_tgkill, vec![all_of([(0, Eq, own)])?]),
        (libc::SYS_prlimit64, one_of(0, [0, own])?),
        (libc::SYS_newfstatat, vec![all_of([(3, MaskedEq(EMPTY_PATH), EMPTY_PATH)])?]),
        (libc::SYS_statx, vec![all_of([(2, MaskedEq(EMPTY_PATH), EMPTY_PATH)])?]),
    ]);
    Ok(rules)
}

/// What no program needs that checks a server.
const OF_NO_CHECK: &[c_long] = &[
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Other roots.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    // The machine.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_personality,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
];

/// `getaddrinfo` asks netlink which addresses there are.
const FAMILIES_OF_CHECKS: [u64; 4] =
    [number(libc::AF_UNIX), number(libc::AF_INET), number(libc::AF_INET6), number(libc::AF_NETLINK)];

fn of_no_check() -> Compiled<Rules> {
    use SeccompCmpOp::{MaskedEq, Ne};
    let mut rules: Rules = OF_NO_CHECK.iter().map(|call| (*call, Vec::new())).collect();
    let new = NAMESPACES.into_iter().map(|flag| all_of([(0, MaskedEq(flag), flag)]));
    rules.insert(libc::SYS_clone, new.collect::<Compiled<_>>()?);
    rules.insert(libc::SYS_socket, vec![all_of(FAMILIES_OF_CHECKS.map(|family| (0, Ne, family)))?]);
    Ok(rules)
}

/// clone3(2) hides its flags in memory, where no filter sees them: it is not there (ENOSYS), and the C library takes clone(2).
/// And no call has a number of the x32 ABI, which would be none of those that are refused.
fn without_older_and_newer() -> BpfProgram {
    const LOAD_NUMBER: u16 = code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS);
    const IF_EQUAL: u16 = code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K);
    const IF_AT_LEAST: u16 = code(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K);
    const RETURN: u16 = code(libc::BPF_RET | libc::BPF_K);
    const X32: u32 = 0x4000_0000; // __X32_SYSCALL_BIT
    let statement = |code, k| sock_filter { code, jt: 0, jf: 0, k };
    let unless = |code, k| sock_filter { code, jt: 0, jf: 1, k };
    let refuse = |error: i32| statement(RETURN, libc::SECCOMP_RET_ERRNO | error.unsigned_abs());
    vec![
        statement(LOAD_NUMBER, 0), // The first field of `struct seccomp_data`.
        unless(IF_EQUAL, u32::try_from(libc::SYS_clone3).unwrap_or(u32::MAX)),
        refuse(libc::ENOSYS),
        unless(IF_AT_LEAST, X32),
        refuse(libc::EPERM),
        statement(RETURN, libc::SECCOMP_RET_ALLOW),
    ]
}

fn one_of<const N: usize>(argument: u8, values: [u64; N]) -> Compiled<Vec<SeccompRule>> {
    values.into_iter().map(|value| all_of([(argument, SeccompCmpOp::Eq, value)])).collect()
}

fn all_of<const N: usize>(conditions: [Condition; N]) -> Compiled<SeccompRule> {
    let condition =
        |(argument, compared, value)| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, compared, value);
    SeccompRule::new(conditions.into_iter().map(condition).collect::<Compiled<_>>()?)
}

/// A constant of the C library as a filter compares it.
const fn number(constant: i32) -> u64 {
    constant.unsigned_abs() as u64
}

/// Codes of instructions have 16 bits, whatever the C library makes of them.
const fn code(bits: u32) -> u16 {
    (bits & 0xffff) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::{
        io::Errno,
        net::{AddressFamily, SocketType, socket},
    };
    use std::{
        fs::File,
        io::{self, Write as _},
        net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
        process::Command,
        thread,
    };

    /// On a thread of its own, which the filters end with.
    fn under(programs: Compiled<[BpfProgram; 2]>, then: impl FnOnce() + Send + 'static) {
        let programs = programs.expect("programs");
        let held = thread::spawn(move || {
            programs.iter().try_for_each(|program| seccompiler::apply_filter(program)).expect("filters");
            then();
        });
        held.join().expect("no assertion failed");
    }

    fn is_refused<T>(result: io::Result<T>) -> bool {
        result.is_err_and(|error| error.raw_os_error() == Some(libc::EPERM))
    }

    fn socket_of(family: i32) -> Result<(), Errno> {
        let family = AddressFamily::from_raw(u16::try_from(family).expect("a family"));
        socket(family, SocketType::RAW, None).map(drop)
    }

    #[test]
    fn the_worker_talks_to_the_network_and_starts_threads_but_opens_and_starts_nothing() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        let mut file = tempfile::tempfile().expect("a file");
        under(programs_of_the_worker(std::process::id()), move || {
            let address = listener.local_addr().expect("an address");
            let mut client = TcpStream::connect(address).expect("a connection");
            let (server, _) = listener.accept().expect("a client");
            client.set_nonblocking(true).and_then(|()| client.write_all(b"x")).expect("written");
            drop(server);
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a datagram socket");
            file.write_all(b"a line").and_then(|()| file.metadata()).expect("what is open goes on");
            thread::Builder::new().name("named".to_owned()).spawn(|| ()).expect("a thread").join().expect("its end");
            drop(tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"));

            assert!(is_refused(File::open("/etc/passwd")) && is_refused(std::fs::metadata("/etc/passwd")));
            assert!(is_refused(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))), "it can listen");
            assert!(Command::new("/bin/true").spawn().is_err(), "it can start programs");
            assert!(is_refused(rustix::process::test_kill_process(rustix::process::getpid()).map_err(Into::into)));
            for family in [libc::AF_NETLINK, libc::AF_PACKET, libc::AF_ALG, libc::AF_VSOCK] {
                assert_eq!(socket_of(family), Err(Errno::PERM), "family {family}");
            }
            let dumpable = rustix::process::DumpableBehavior::Dumpable;
            assert!(is_refused(rustix::process::set_dumpable_behavior(dumpable).map_err(Into::into)));
        });
    }

    #[test]
    fn programs_that_check_start_others_and_read_files_but_do_not_change_the_machine() {
        under(programs_of_checks(), || {
            let output =
                Command::new("/bin/sh").args(["-c", "echo ran; cat /etc/hosts >/dev/null"]).output().expect("a shell");
            assert!(output.status.success() && output.stdout == b"ran\n", "{output:?}");
            assert_eq!(socket_of(libc::AF_ALG), Err(Errno::PERM));
            assert!(socket_of(libc::AF_NETLINK).is_ok(), "getaddrinfo asks it");
            assert!(is_refused(rustix::process::chroot("/").map_err(Into::into)));
            let output = Command::new("unshare").args(["--user", "true"]).output().expect("unshare");
            assert!(!output.status.success(), "it can make namespaces");
        });
    }
}
