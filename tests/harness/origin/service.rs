//! Real servers of many kinds, for what checks find at them. Each runs in a PID namespace of its own, so that all its
//! processes can be stopped at once, and end with it.

use crate::{
    lab::Machine,
    process::{Process, run},
};
use anyhow::{Context as _, Result};
use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Password of all that have one.
pub const PASSWORD: &str = "s3cret";
/// Name of those who have it, where names are needed.
pub const USER: &str = "probe";
/// The same as LDAP writes it.
pub const USER_DN: &str = "cn=probe,dc=test";
/// The name that the servers with TLS have a certificate of, made by [`certificate`].
pub const NAME: &str = "www.test";

/// What is served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Program {
    /// A Redis, port 6379.
    Redis,
    /// One that follows that of the same machine, port 6380.
    RedisReplica,
    /// vsftpd, port 21, for anonymous clients.
    Vsftpd,
    /// Postfix, port 25; postscreen, which sends the first line of its banner a second before the second, port 26.
    Postfix,
    /// OpenSSH, port 22.
    OpenSsh,
    /// OpenLDAP's server, port 389.
    Slapd,
    /// nginx in TLS, port 443.
    NginxTls,
    /// dnsmasq, port 53, which knows `known.test`.
    Dnsmasq,
}

/// A server on a machine of the lab, at its address of IPv4.
#[derive(Debug)]
pub struct Service {
    process: Process,
    /// What it writes beside what it prints.
    log: PathBuf,
}

const START: Duration = Duration::from_secs(20);

impl Service {
    /// Starts it; the certificate of [`NAME`] is in `certificate.pem` and `key.pem` of `directory`. Started again, it goes on
    /// with the same logs.
    pub fn start(program: Program, machine: &Machine, directory: &Path) -> Result<Self> {
        let own = directory.join(format!("{program:?}"));
        fs::create_dir_all(&own)?;
        let mut command = machine.namespace.command("unshare");
        command.args(["--pid", "--fork", "--kill-child=KILL", "--mount-proc"]);
        arguments(&mut command, program, machine, directory, &own)?;
        let process = Process::spawn("service", &mut command, &own)?;
        let mut service = Self { process, log: own.join("log") };
        let port = program.port();
        service.process.ready(START, || {
            let tcp = machine.namespace.run(|| fs::read_to_string("/proc/thread-self/net/tcp"))??;
            let udp = machine.namespace.run(|| fs::read_to_string("/proc/thread-self/net/udp"))??;
            let wanted = format!(":{port:04X}");
            let is_open = |table: &str, wanted_state: &str| {
                let rows = table.lines().map(|line| line.split_whitespace().skip(1).step_by(2).take(2));
                rows.filter_map(|mut fields| Some((fields.next()?, fields.next()?)))
                    .any(|(own, state)| own.ends_with(&wanted) && state == wanted_state)
            };
            // Listening, of TCP; bound, of UDP.
            Ok(is_open(&tcp, "0A") || is_open(&udp, "07"))
        })?;
        Ok(service)
    }

    /// Everything that it printed and logged.
    pub fn log(&self) -> String {
        self.process.log() + &fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Stops all of it in mid-air: its ports take connections, and nobody answers.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Undoes [`freeze`](Self::freeze).
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// SIGKILL to all of it.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let parent = self.process.pid().as_raw_nonzero();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
        let first = children.split_whitespace().next().context("nothing runs")?;
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let own = namespace(first).context("no namespace")?;
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if let Some(pid) = name.parse().ok().and_then(Pid::from_raw)
                && namespace(&name).as_ref() == Some(&own)
            {
                match kill_process(pid, signal) {
                    // It ended by itself.
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

impl Program {
    /// The lowest port that it serves.
    pub const fn port(self) -> u16 {
        match self {
            Self::Redis => 6379,
            Self::RedisReplica => 6380,
            Self::Vsftpd => 21,
            Self::Postfix => 25,
            Self::OpenSsh => 22,
            Self::Slapd => 389,
            Self::NginxTls => 443,
            Self::Dnsmasq => 53,
        }
    }
}

/// Makes the certificate of [`NAME`], which is its own authority.
pub fn certificate(directory: &Path) -> Result<()> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    fs::write(directory.join("certificate.pem"), made.cert.pem())?;
    fs::write(directory.join("key.pem"), made.signing_key.serialize_pem())?;
    Ok(())
}

/// What is run, with its files in `own`.
fn arguments(command: &mut Command, program: Program, machine: &Machine, directory: &Path, own: &Path) -> Result<()> {
    let file = own.join("configuration");
    fs::write(&file, configuration(program, machine, directory, own))?;
    match program {
        Program::Redis | Program::RedisReplica => {
            command.arg("redis-server").arg(&file);
        }
        Program::Vsftpd => {
            // It refuses to serve from a directory that its clients may write to.
            let root = own.join("root");
            fs::create_dir_all(&root)?;
            fs::set_permissions(&root, fs::Permissions::from_mode(0o555))?;
            // As the first process of its namespace it ends by itself now and then.
            command.args(["sh", "-c", "while :; do vsftpd \"$0\"; sleep 0.1; done"]).arg(&file);
        }
        Program::Postfix => {
            for made in ["conf", "spool", "data"] {
                fs::create_dir_all(own.join(made))?;
            }
            run(Command::new("chown").arg("postfix").arg(own.join("data")))?;
            fs::rename(file, own.join("conf/main.cf"))?;
            fs::write(own.join("conf/master.cf"), MAIL)?;
            command.args(["postfix", "-c"]).arg(own.join("conf")).arg("start-fg");
        }
        Program::OpenSsh => {
            let key = own.join("host");
            if !key.exists() {
                run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key))?;
            }
            fs::create_dir_all("/run/sshd")?;
            command.args(["/usr/sbin/sshd", "-D", "-e", "-f"]).arg(&file);
        }
        Program::Slapd => {
            let place = format!("ldap://{}:{}", machine.address, program.port());
            // 256: connections, operations and results.
            command.args(["slapd", "-d", "256", "-h", &place, "-f"]).arg(&file);
        }
        Program::NginxTls => {
            command.args(["nginx", "-e"]).arg(own.join("log")).arg("-c").arg(&file);
        }
        Program::Dnsmasq => {
            command.args(["dnsmasq", "--keep-in-foreground", "-C"]).arg(&file);
        }
    }
    Ok(())
}

fn configuration(program: Program, machine: &Machine, directory: &Path, own: &Path) -> String {
    let (address, port) = (machine.address, program.port());
    let (place, shared) = (own.display(), directory.display());
    let redis = || {
        format!("bind {address}\nport {port}\nsave \"\"\nrequirepass {PASSWORD}\nmasterauth {PASSWORD}\ndir {place}\n")
    };
    match program {
        Program::Redis => redis(),
        Program::RedisReplica => format!("{}replicaof {address} {}\n", redis(), Program::Redis.port()),
        Program::Vsftpd => format!(
            "listen=YES\nlisten_ipv6=NO\nlisten_address={address}\nlisten_port={port}\nbackground=NO\n\
             anonymous_enable=YES\nlocal_enable=NO\nanon_root={place}/root\nsecure_chroot_dir={place}/root\n\
             seccomp_sandbox=NO\nisolate=NO\nisolate_network=NO\n"
        ),
        Program::Postfix => format!(
            "compatibility_level = 3.6\nqueue_directory = {place}/spool\ndata_directory = {place}/data\n\
             myhostname = mail.test\ninet_interfaces = {address}\ninet_protocols = ipv4\nmydestination =\n\
             mynetworks = 127.0.0.0/8\nalias_maps =\nlocal_recipient_maps =\nsmtpd_peername_lookup = no\n\
             maillog_file = {place}/log\nmaillog_file_prefixes = {shared}\n\
             smtpd_tls_cert_file = {shared}/certificate.pem\nsmtpd_tls_key_file = {shared}/key.pem\n\
             smtpd_tls_security_level = may\npostscreen_greet_wait = 1s\npostscreen_greet_banner = wait\n\
             postscreen_cache_map =\npostscreen_access_list =\n"
        ),
        Program::OpenSsh => {
            format!("Port {port}\nListenAddress {address}\nHostKey {place}/host\nPidFile none\nUsePAM no\n")
        }
        Program::Slapd => format!(
            "include /etc/ldap/schema/core.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {place}/pid\n\
             TLSCertificateFile {shared}/certificate.pem\nTLSCertificateKeyFile {shared}/key.pem\ndatabase mdb\n\
             maxsize 10485760\nsuffix \"dc=test\"\nrootdn \"{USER_DN}\"\nrootpw {PASSWORD}\ndirectory {place}\n"
        ),
        Program::NginxTls => format!(
            "daemon off;\nerror_log {place}/log info;\npid {place}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n\
             server {{\nlisten {address}:{port} ssl;\nssl_certificate {shared}/certificate.pem;\n\
             ssl_certificate_key {shared}/key.pem;\nreturn 200;\n}}\n}}\n"
        ),
        Program::Dnsmasq => format!(
            "no-resolv\nno-hosts\nbind-interfaces\nlisten-address={address}\nuser=root\nlog-facility=-\n\
             address=/known.test/192.0.2.1\npid-file={place}/pid\n"
        ),
    }
}

/// The services of Postfix that receive.
const MAIL: &str = "\
25 inet n - n - - smtpd
26 inet n - n - 1 postscreen
smtpd pass - - n - - smtpd
tlsproxy unix - - n - 0 tlsproxy
dnsblog unix - - n - 0 dnsblog
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
";
