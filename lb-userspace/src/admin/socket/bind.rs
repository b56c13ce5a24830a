//! Bind: sockets of the file system, which have their rights from the beginning.

use rustix::{fs::Mode, process::Gid};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    ffi::OsStr,
    io,
    os::unix::{fs::lchown, net::UnixListener as StdListener},
    path::Path,
};

/// Who may connect to a socket, as the file system has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rights {
    /// chmod(2).
    pub mode: u32,
    /// Its group; `None`: that of who makes it.
    pub group: Option<u32>,
}

impl Rights {
    /// Those of the control socket: nobody but its owner and root, so that nobody else can keep the operator waiting. [`serve`](super::serve)
    /// looks at the peer's credentials besides.
    pub const OWNER: Self = Self { mode: 0o600, group: None };
}

/// Clients that wait to be accepted.
const BACKLOG: i32 = 1_024;

/// Makes the listening socket at `path`, in place of one that a dead daemon left there. It is there from the beginning as it is to
/// be: until then it has another name.
pub fn bind(path: &Path, rights: Rights) -> io::Result<StdListener> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket is there")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut before = path.as_os_str().to_owned();
    before.push(".new");
    let is_left = |found: std::fs::Metadata| found.file_type().is_socket();
    if std::fs::symlink_metadata(&before).is_ok_and(is_left) {
        std::fs::remove_file(&before)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // What is bound then has at most that, whatever the umask: nobody else can connect meanwhile.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    socket.bind(&SockAddr::unix(&before)?)?;
    let named = || {
        socket.listen(BACKLOG)?;
        rights.group.map_or(Ok(()), |group| give_to_group(&before, group))?;
        std::fs::set_permissions(&before, std::fs::Permissions::from_mode(rights.mode))?;
        std::fs::rename(&before, path)
    };
    if let Err(error) = named() {
        std::fs::remove_file(&before)?;
        return Err(error);
    }
    socket.set_nonblocking(true)?;
    Ok(StdListener::from(socket))
}

/// Gives a file of ours to a group. Its members may: this thread is one for a moment, since the right to give to any group is not kept.
fn give_to_group(path: &OsStr, group: u32) -> io::Result<()> {
    let before = rustix::process::getegid();
    if before.as_raw() == group {
        return lchown(path, None, Some(group));
    }
    rustix::thread::set_thread_res_gid(None, Gid::from_raw(group), None)?;
    let given = lchown(path, None, Some(group));
    rustix::thread::set_thread_res_gid(None, before, None)?;
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_daemon_left_is_replaced_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sluice.sock");
        drop(bind(&path, Rights::OWNER).unwrap());
        bind(&path, Rights { mode: 0o640, ..Rights::OWNER }).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o7777, 0o640);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "it has had another name");
        let file = directory.path().join("sluice.toml");
        std::fs::write(&file, "precious").unwrap();
        assert_eq!(bind(&file, Rights::OWNER).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    }
}
