//! Files through the proxy, by the example for them: passive FTP over a range of ports, SSH and scp.

use crate::examples::{adapted, noise};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::{
        ftp,
        ssh::{Keys, USER},
    },
    lab::{Family, Lab, NAT_VIP, SERVER_GATEWAY},
    origin::{
        Ftp, Ssh,
        ftp::{LARGE, TRANSFERS},
        ssh::PORT,
    },
    sluice::Sluice,
};
use std::{collections::BTreeSet, fs, net::IpAddr};

const EXAMPLE: &str = include_str!("../../lb-userspace/examples/ftp-proxied.toml");
const SERVERS: [&str; 2] = ["web1", "web2"];
const CLIENTS: u8 = 6;
const LENGTH: usize = 3_000_000;

#[test]
fn passive_ftp_lists_reads_and_writes_at_one_server_a_client() -> Result<()> {
    let lab = Lab::beside_others()?;
    let range = format!("{}-{}", TRANSFERS.start(), TRANSFERS.end());
    for family in Family::BOTH {
        let (clients, vip) = (lab.add_clients(family, CLIENTS)?, family.nat_vip());
        let start = |name| Ftp::start(lab.machine(name)?, vip, lab.directory());
        let servers = [start(SERVERS[0])?, start(SERVERS[1])?];
        let mut changes = vec![("50000-50010".to_owned(), range.clone())];
        if family == Family::V6 {
            changes.push((format!("{NAT_VIP}:"), format!("[{vip}]:")));
            for name in SERVERS {
                let machine = lab.machine(name)?;
                changes.push((format!("\"{}\"", machine.address), format!("\"[{}]\"", machine.address6)));
            }
        }
        let changes: Vec<_> = changes.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
        let mut sluice = Sluice::start(&lab, &adapted(EXAMPLE, &changes)?)?;
        let met = clients.iter().enumerate().map(|(number, client)| {
            let file = format!("{}-{number}", if family == Family::V4 { "four" } else { "six" });
            transfer(&lab, vip, *client, &file, &servers)
                .with_context(|| format!("client {client} of {vip}\n{}", sluice.log()))
        });
        let met: BTreeSet<_> = met.collect::<Result<_>>()?;
        ensure!(met.iter().eq(SERVERS), "{CLIENTS} clients met {met:?}");
        sluice.stop()?;
    }
    Ok(())
}

/// All that a client may want of the server that it meets, whose name is returned.
fn transfer(lab: &Lab, vip: IpAddr, client: IpAddr, file: &str, servers: &[Ftp; 2]) -> Result<String> {
    let client = client.to_string();
    let with = |more: &[&'static str]| [&["--interface", client.as_str()], more].concat();
    let read = |more: &[&'static str], file: &str| ftp::read(&lab.client, &with(more), vip, file);
    let own = read(&[], "who")?;
    // The server names an address too, and the client believes it.
    if vip.is_ipv4() {
        ensure!(read(&["--disable-epsv", "--no-ftp-skip-pasv-ip"], "who")? == own);
    }
    let listed = read(&[], "")?;
    ensure!(["who", "large", "incoming"].iter().all(|name| listed.contains(name)), "{listed}");
    ensure!(read(&[], "large")?.len() == LARGE);

    let (sent, back) = (lab.directory().join("sent"), lab.directory().join("back"));
    fs::write(&sent, noise(LENGTH))?;
    let (sent_name, back_name) = (sent.to_str().context("a name")?, back.to_str().context("a name")?);
    let place = format!("incoming/{file}");
    ftp::write(&lab.client, &with(&[]), vip, sent_name, &place)?;
    let own = own.trim().to_owned();
    for (name, server) in SERVERS.iter().zip(servers) {
        let arrived = fs::read(server.root().join(&place)).ok();
        let expected = (own == *name).then(|| noise(LENGTH));
        ensure!(arrived == expected, "at {name}: {:?} bytes", arrived.map(|bytes| bytes.len()));
    }
    ftp::read(&lab.client, &[&with(&[])[..], &["--output", back_name]].concat(), vip, &place)?;
    ensure!(fs::read(back)? == noise(LENGTH), "other bytes came back");
    Ok(own)
}

#[test]
fn ssh_runs_commands_and_scp_copies_files_both_ways() -> Result<()> {
    let lab = Lab::beside_others()?;
    let keys = Keys::make(lab.directory())?;
    let start = |name| Ssh::start(lab.machine(name)?, &keys, lab.directory());
    let servers = [start(SERVERS[0])?, start(SERVERS[1])?];
    let sluice = Sluice::start(&lab, &adapted(EXAMPLE, &[])?)?;
    let vip = IpAddr::V4(NAT_VIP);

    let mut met = BTreeSet::new();
    for _ in 0..4 {
        let answer = keys.ssh(&lab.client, vip, "cat who; id --name --user; echo $SSH_CONNECTION");
        let answer = answer.with_context(|| sluice.log())?;
        let [name, user, seen] = answer.lines().collect::<Vec<_>>()[..] else { anyhow::bail!("{answer}") };
        let [client, _, server, port] = seen.split(' ').collect::<Vec<_>>()[..] else { anyhow::bail!("{answer}") };
        ensure!(user == USER && client == SERVER_GATEWAY.to_string() && port == PORT.to_string(), "{answer}");
        ensure!(server == lab.machine(name)?.address.to_string(), "{answer}");
        met.insert(name.to_owned());
    }
    ensure!(met.iter().eq(SERVERS), "{met:?}");

    let (sent, back) = (lab.directory().join("sent"), lab.directory().join("back"));
    fs::write(&sent, noise(LENGTH))?;
    let (sent, back) = (sent.to_str().context("a name")?, back.to_str().context("a name")?);
    for name in ["once", "twice"] {
        keys.scp(&lab.client, vip, sent, &format!(":{name}"))?;
    }
    let homes = |name| servers.iter().filter_map(move |server| fs::read(server.home().join(name)).ok());
    for name in ["once", "twice"] {
        let arrived: Vec<_> = homes(name).collect();
        ensure!(arrived == [noise(LENGTH)], "{name}: at {} servers", arrived.len());
    }
    // Whichever it meets has it.
    for server in &servers {
        fs::copy(sent, server.home().join("there"))?;
    }
    keys.scp(&lab.client, vip, ":there", back)?;
    ensure!(fs::read(back)? == noise(LENGTH), "other bytes came back");
    Ok(())
}
