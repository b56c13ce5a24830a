//! A real vsftpd for anonymous clients. FTP opens a second connection for each transfer, to a port that the server names on
//! the first one, so both must reach the same server.

use crate::{lab::Machine, process::Process};
use anyhow::Result;
use std::{
    fs,
    net::{IpAddr, TcpStream},
    ops::RangeInclusive,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// The ports of control connections and of transfers that the server begins.
pub const CONTROL: RangeInclusive<u16> = 20..=21;
/// The ports that servers name for transfers.
pub const TRANSFERS: RangeInclusive<u16> = 40_000..=40_099;

/// A vsftpd on a machine of the lab, on all its addresses. The file `who` has the machine's name, `large` is of [`LARGE`]
/// bytes, and in the directory `incoming` clients may write.
#[derive(Debug)]
pub struct Ftp {
    root: PathBuf,
    #[expect(dead_code, reason = "runs as long as this value lives")]
    process: Process,
}

/// Bytes of the large file.
pub const LARGE: usize = 2_000_000;

impl Ftp {
    /// Starts it for clients that come to that address: one of IPv4 is what it names them as its own.
    pub fn start(machine: &Machine, vip: IpAddr, directory: &Path) -> Result<Self> {
        let directory = directory.join(format!("ftp-{}", machine.name));
        let (root, empty) = (directory.join("root"), directory.join("empty"));
        let incoming = root.join("incoming");
        // It refuses to serve from a directory that its clients may write to.
        for (made, mode) in [(&root, 0o555), (&empty, 0o555), (&incoming, 0o777)] {
            fs::create_dir_all(made)?;
            fs::set_permissions(made, fs::Permissions::from_mode(mode))?;
        }
        fs::write(root.join("who"), format!("{}\n", machine.name))?;
        fs::write(root.join("large"), vec![b'.'; LARGE])?;
        let file = directory.join("vsftpd.conf");
        fs::write(&file, configuration(vip, &root, &empty))?;
        let mut process = Process::spawn("vsftpd", machine.namespace.command("vsftpd").arg(&file), &directory)?;
        let own = (machine.address, *CONTROL.end());
        process.ready(Duration::from_secs(5), || machine.namespace.run(|| Ok(TcpStream::connect(own).is_ok()))?)?;
        Ok(Self { root, process })
    }

    /// Where its files are.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

fn configuration(vip: IpAddr, root: &Path, empty: &Path) -> String {
    // With a socket for both families it forgets the address that it should name.
    let listen = if vip.is_ipv4() {
        format!("listen=YES\nlisten_ipv6=NO\npasv_address={vip}\n")
    } else {
        "listen=NO\nlisten_ipv6=YES\n".to_owned()
    };
    let (root, empty, lowest, highest) = (root.display(), empty.display(), TRANSFERS.start(), TRANSFERS.end());
    format!(
        "{listen}background=NO\nlisten_port=21\n\
         anonymous_enable=YES\nlocal_enable=NO\nno_anon_password=YES\nanon_root={root}\nsecure_chroot_dir={empty}\n\
         write_enable=YES\nanon_upload_enable=YES\nanon_umask=022\n\
         pasv_enable=YES\npasv_min_port={lowest}\npasv_max_port={highest}\n\
         seccomp_sandbox=NO\nisolate=NO\nisolate_network=NO\nconnect_from_port_20=YES\n"
    )
}
