//! The lab itself, before anything is asked of the balancer: what these tests need, all others need too.

use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::{Connection, Flows, bulk, flood, ftp, seen, udp},
    lab::{CLIENT, CLIENT6, DEVICE, Family, Lab},
    origin::{Echo, Ftp, Listen, Nginx, ftp::LARGE},
    process::run,
    tools, wait,
    watch::Watch,
};
use std::{
    fs,
    net::{IpAddr, UdpSocket},
    path::Path,
    process::Command,
    time::Duration,
};

const SITE: Listen = Listen { site: "shop", port: 80, keep_alive: false };

#[test]
fn a_routed_request_passes_the_balancer_both_ways_and_is_logged_once() -> Result<()> {
    let lab = Lab::new()?;
    let web2 = lab.machine("web2")?;
    let nginx = Nginx::start(web2, lab.directory(), &[SITE])?;
    let watch = Watch::start(&lab.balancer, DEVICE, CLIENT, 80)?;

    let answer = Connection::open(&lab.client, (web2.address, 80).into())?.get("/")?;
    ensure!((answer.status, answer.server.as_str()) == (200, "web2"), "{answer:?}");
    let printed = run(lab.client.command("curl").args(["-sS", &format!("http://{}/", web2.address)]))?;
    ensure!(printed == "web2 shop\n", "{printed}");
    run(lab.client.command("curl").args(["-sS", &format!("http://{}/health", web2.address)]))?;

    ensure!(nginx.requests("shop")? == 2, "health checks are not logged, requests are");
    let seen = watch.stop()?;
    // Three TCP connections of at least eight packets each, which the stack routes in and out.
    ensure!(seen.of_client >= 48, "{seen:?}");
    Ok(())
}

#[test]
fn an_ipv6_flow_passes_the_balancer_both_ways() -> Result<()> {
    let lab = Lab::new()?;
    let web2 = lab.machine("web2")?;
    let _echo = Echo::start(web2, 7, lab.directory())?;
    let watch = Watch::start(&lab.balancer, DEVICE, CLIENT6, 7)?;
    let address = (web2.address6, 7).into();
    let mut flows = Flows::open(&lab.client, address, 10)?;
    flows.exchange("hello")?;
    let datagrams = udp::ask(&lab.client, address, 10)?;
    for seen in flows.seen().chain(&datagrams) {
        ensure!(seen.own == seen.there && seen.own.ip() == CLIENT6 && seen.server == "web2", "{seen:?}");
    }
    // At least eight packets a TCP connection and two a datagram, which the stack routes in and out.
    let seen = watch.stop()?;
    ensure!(seen.of_client >= 200, "{seen:?}");
    Ok(())
}

#[test]
fn a_server_answers_for_the_direct_vip_straight_to_the_client() -> Result<()> {
    let lab = Lab::new()?;
    let web1 = lab.machine("web1")?;
    let _echo = Echo::start(web1, 7, lab.directory())?;
    // In the balancer's place: the client addresses the server's Ethernet address itself.
    let ethernet = web1.namespace.ethernet_address("eth0")?.map(|byte| format!("{byte:02x}")).join(":");
    for family in Family::BOTH {
        let vip = family.direct_vip();
        lab.client.ip([format!("route add {vip} dev eth0"), format!("neigh add {vip} lladdr {ethernet} dev eth0")])?;
        let watch = Watch::start(&lab.balancer, DEVICE, family.client(), 7)?;

        let mut flows = Flows::open(&lab.client, (vip, 7).into(), 100)?;
        flows.exchange("hello")?;
        ensure!(flows.by_server() == [("web1".to_owned(), 100)].into());
        let datagrams = udp::ask(&lab.client, (vip, 7).into(), 100)?;
        ensure!(seen::by_server(&datagrams) == [("web1".to_owned(), 100)].into());
        let seen = watch.stop()?;
        ensure!(seen.of_client == 0, "the replies took the way through the balancer: {seen:?}");
    }
    Ok(())
}

/// What has no address of its own on the link is silent there, although servers answer for it.
#[test]
fn no_server_announces_the_direct_vips() -> Result<()> {
    let lab = Lab::new()?;
    for family in Family::BOTH {
        let (vip, own) = (family.direct_vip(), lab.machine("web1")?.own(family));
        lab.balancer.ip([format!("addr del {vip}/{} dev {DEVICE}", if family == Family::V4 { 32 } else { 128 })])?;
        lab.client.ip([format!("route add {vip} dev eth0"), format!("route add {own} dev eth0")])?;
        let ask = |address: IpAddr, answer: &str| {
            lab.client.run(|| UdpSocket::bind((family.client(), 0))?.send_to(b"?", (address, 9)))??;
            let who = || run(lab.client.command("ip").args(["neigh", "show", &address.to_string()]));
            wait::until(answer, Duration::from_secs(5), || Ok(who()?.contains(answer).then_some(())))
        };
        ask(own, "lladdr")?;
        // After three questions, a second apart, the kernel gives up.
        ask(vip, "FAILED")?;
    }
    Ok(())
}

#[test]
fn what_the_balancer_transmits_by_xdp_arrives_on_the_wire() -> Result<()> {
    let lab = Lab::new()?;
    tools::attach(tools::Program::Transmit, &lab.balancer, DEVICE, lab.name())?;
    let received = || -> Result<u64> {
        let path = "/sys/class/net/balancer/statistics/rx_packets";
        // `ip netns exec`, for once: it mounts the /sys of the namespace.
        Ok(run(Command::new("ip").args(["netns", "exec", lab.switch.name(), "cat", path]))?.trim().parse()?)
    };
    let before = received()?;
    // Nobody has this address, so the client asks for it with broadcasts, which the balancer throws back.
    lab.client.run(|| UdpSocket::bind("0.0.0.0:0")?.send_to(b"?", "198.51.100.99:9"))??;
    let what = "a frame from XDP at the far end of the balancer's cable";
    wait::until(what, Duration::from_secs(3), || Ok((received()? > before).then_some(())))
}

#[test]
fn a_server_learns_what_the_link_to_a_far_client_takes() -> Result<()> {
    const MTU: u32 = 1400;
    let lab = Lab::new()?;
    let far = lab.add_far_client(MTU)?;
    let web1 = lab.machine("web1")?;
    let _echo = Echo::start(web1, 7, lab.directory())?;
    for family in Family::BOTH {
        let (server, far_client) = (web1.own(family), family.far());
        let back = || bulk::path_mtu(&web1.namespace, server, far_client);
        ensure!(back()? == 1500, "known before anybody said it");
        bulk::transfer(&far.client, (server, 7).into(), 1_000_000)?;
        ensure!(back()? == MTU, "{family:?}: the server was not told");
        ensure!(bulk::path_mtu(&far.client, far_client, server)? == 1500, "the other way is as wide as all");
    }
    Ok(())
}

/// As clients of FTP do it: each transfer is a connection of its own.
#[test]
fn a_file_is_read_by_ftp_both_ways_to_ask_for_it() -> Result<()> {
    let lab = Lab::new()?;
    let web1 = lab.machine("web1")?;
    for family in Family::BOTH {
        let own = web1.own(family);
        let _ftp = Ftp::start(web1, own, lab.directory())?;
        for arguments in [&[][..], &["--disable-epsv", "--no-ftp-skip-pasv-ip"]] {
            ensure!(ftp::read(&lab.client, arguments, own, "who")? == "web1\n");
            ensure!(ftp::read(&lab.client, arguments, own, "large")?.len() == LARGE);
        }
    }
    Ok(())
}

#[test]
fn a_flood_of_syns_arrives() -> Result<()> {
    let lab = Lab::new()?;
    for family in Family::BOTH {
        let received = || -> Result<u64> {
            let path = "/proc/thread-self/net/dev";
            let lines = lab.balancer.run(|| fs::read_to_string(path))??;
            let line =
                lines.lines().find_map(|line| line.trim().strip_prefix(&format!("{DEVICE}:"))).context("no device")?;
            Ok(line.split_whitespace().nth(1).context("no count")?.parse()?)
        };
        let before = received()?;
        let time = Duration::from_millis(200);
        let sent = flood::syns(&lab.client, (family.nat_vip(), 7).into(), time)?;
        let arrived = received()? - before;
        println!("{family:?}: {sent} SYNs in {time:?}, {arrived} frames arrived");
        ensure!(sent > 2_000 && arrived * 10 > sent * 9, "{sent} sent, {arrived} arrived");
    }
    Ok(())
}

#[test]
fn nothing_is_left_of_a_lab_that_was_dropped() -> Result<()> {
    let lab = Lab::new()?;
    let web1 = lab.machine("web1")?;
    let _nginx = Nginx::start(web1, lab.directory(), &[SITE])?;
    let (name, directory, namespace) = (lab.name().to_owned(), lab.directory().to_owned(), web1.namespace.path());
    ensure!(directory.exists() && namespace.exists());
    drop(lab);
    ensure!(!directory.exists() && !namespace.exists());
    for entry in fs::read_dir(Path::new("/run/netns"))? {
        let left = entry?.file_name().to_string_lossy().into_owned();
        ensure!(!left.starts_with(&name), "{left} is left");
    }
    Ok(())
}
