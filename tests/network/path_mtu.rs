//! Packets that do not fit: who is told, by whom, and that transfers go on (RFC 1191, RFC 8201).

use crate::scene::{More, PORT, SOON, Scene, WEBS, Way};
use anyhow::{Context, Result, ensure};
use lb_tests::{
    client::{
        Flows,
        bulk::{self, Unfragmented},
    },
    lab::{DEVICE, Family, SERVER_GATEWAY, SERVER_GATEWAY6},
    netns::Namespace,
    process,
    tunnel::Tunnel,
    wait,
};
use rustix::io::Errno;
use std::{collections::BTreeSet, iter, ops::RangeInclusive};

/// What all links of the lab take.
const LINK: usize = 1_500;
const MEGABYTES: usize = 3_000_000;

/// The router complains to the VIP about what a server sent. The balancer knows whose packet that was.
#[test]
fn a_server_learns_that_the_way_to_its_client_is_narrow() -> Result<()> {
    const NARROW: u32 = 1_400;
    let mut scene = Scene::of(Way::within("direct", Family::V4), &WEBS, More::default())?;
    let far = scene.lab.add_far_client(NARROW)?;
    for way in
        ["direct", "nat", "ipip", "fullnat"].into_iter().flat_map(|of| Family::BOTH.map(|on| Way::within(of, on)))
    {
        scene.turn(way, More::default())?;
        // With `direct` and `ipip` servers take the same way back.
        far.forget_path_mtus(&scene.lab)?;
        let before = scene.sluice.maps()?.noted("icmp_forwarded");
        let mut met = BTreeSet::new();
        // Which server a connection meets is chance: that all of them miss one is none to reckon with.
        for _ in 0..60 {
            if met.len() == WEBS.len() {
                break;
            }
            let seen = bulk::transfer(&far.client, scene.vip, 200_000).with_context(|| format!("{way:?}"))?;
            met.insert(seen.server);
        }
        ensure!(met.iter().eq(WEBS), "{way:?}: met {met:?}");
        for server in WEBS {
            let machine = scene.lab.machine(server)?;
            let from = if way.translates() { machine.own(way.servers) } else { scene.vip.ip() };
            let to = if way.forward == "fullnat" { way.servers.pool() } else { way.vip.far() };
            let mtu = bulk::path_mtu(&machine.namespace, from, to)?;
            ensure!(mtu == NARROW, "{way:?}: {server} believes in {mtu}");
        }
        let forwarded = scene.sluice.maps()?.noted("icmp_forwarded");
        ensure!(
            forwarded >= before + WEBS.len() as u64,
            "{way:?}: {before} errors were forwarded before, now {forwarded}"
        );
    }
    scene.over()
}

/// The tunnel's header takes room that the client does not know of. The balancer tells it.
#[test]
fn a_client_learns_what_the_tunnel_takes() -> Result<()> {
    for way in ["ipip", "gue"].into_iter().flat_map(Way::tunnels) {
        let header = if way.servers == Family::V4 { 20 } else { 40 };
        let fits = LINK - header - if way.tunnel() == Some(Tunnel::Gue) { 8 } else { 0 };
        // A new one each time: by a reload the client's packets would go on to the servers of the way before, which leave.
        let scene = Scene::of(way, &WEBS, More::default())?;
        learns(&scene, way.vip, fits).with_context(|| format!("{way:?}"))?;
        scene.over()?;
    }
    Ok(())
}

/// The route to the servers takes less than the link to the client.
#[test]
fn a_client_learns_that_the_way_to_the_servers_is_narrow() -> Result<()> {
    const NARROW: usize = 1_300;
    let mut scene = Scene::of(Way::within("direct", Family::V4), &WEBS, More::default())?;
    for family in Family::BOTH {
        let own = family.choose(SERVER_GATEWAY, SERVER_GATEWAY6);
        for server in WEBS {
            let address = scene.lab.machine(server)?.own(family);
            scene.lab.balancer.ip([format!("route add {address} dev {DEVICE} src {own} mtu {NARROW}")])?;
        }
    }
    for way in ["direct", "nat", "fullnat"].into_iter().flat_map(|of| Family::BOTH.map(|on| Way::within(of, on))) {
        scene.turn(way, More::default())?;
        wait::until("the daemon to notice", SOON, || learns(&scene, way.vip, NARROW).map(Some))
            .with_context(|| format!("{way:?}"))?;
    }
    scene.over()
}

/// By TCP, which goes on, and by UDP, which is refused what does not fit from then on.
fn learns(scene: &Scene, family: Family, fits: usize) -> Result<()> {
    let client = &scene.lab.client;
    scene.lab.forget_path_mtus()?;
    bulk::transfer(client, scene.vip, MEGABYTES)?;
    let known = bulk::path_mtu(client, family.client(), scene.vip.ip())?;
    ensure!(known as usize == fits, "the client believes in {known}, not in {fits}");

    scene.lab.forget_path_mtus()?;
    let datagrams = Unfragmented::open(client, scene.vip)?;
    datagrams.send(LINK).context("nobody has said anything yet")?;
    wait::until("the client to be told", SOON, || {
        let refused =
            datagrams.send(LINK).is_err_and(|error| error.raw_os_error() == Some(Errno::MSGSIZE.raw_os_error()));
        Ok(refused.then_some(()))
    })?;
    ensure!(datagrams.send(fits + 1).is_err(), "{} bytes are let through", fits + 1);
    let known = bulk::path_mtu(client, family.client(), scene.vip.ip())?;
    datagrams.send(fits).with_context(|| format!("{fits} bytes fit, the client was told {known}"))?;
    datagrams.receive()?;
    ensure!(scene.sluice.maps()?.stopped("told_too_big") > 0, "not counted");
    Ok(())
}

/// What fits is said in the SYN already, both ways.
#[test]
fn connections_agree_on_the_segments_that_the_frontend_says() -> Result<()> {
    /// 1,000, of which timestamps take twelve bytes in every segment.
    const SEGMENTS: RangeInclusive<u32> = 988..=1_000;
    let more = More { frontend: "mss = 1000", ..More::default() };
    let mut scene = Scene::of(Way::within("nat", Family::V4), &WEBS, more)?;
    for family in Family::BOTH {
        scene.turn(Way::within("nat", family), more)?;
        let flows = Flows::open(&scene.lab.client, scene.vip, 30)?;
        ensure!(flows.by_server().keys().eq(WEBS));
        let servers = scene.lab.machines.iter().filter(|machine| WEBS.contains(&machine.name));
        let ends = iter::once((&scene.lab.client, "dport")).chain(servers.map(|machine| (&machine.namespace, "sport")));
        for (machine, port) in ends {
            let segments = segments(machine, port)?;
            let right = !segments.is_empty() && segments.iter().all(|segment| SEGMENTS.contains(segment));
            ensure!(right, "{family:?}: {} sends segments of {segments:?}", machine.name());
        }
        bulk::transfer(&scene.lab.client, scene.vip, MEGABYTES)?;
    }
    scene.over()
}

/// The largest segment that a machine sends, for each of its connections to or from the port.
fn segments(machine: &Namespace, port: &str) -> Result<Vec<u32>> {
    let filter = format!("{port} = :{PORT}");
    let shown = process::run(machine.command("ss").args(["-Htin", "state", "established", &filter]))?;
    let words = shown.split_whitespace().filter_map(|word| word.strip_prefix("mss:"));
    words.map(|number| Ok(number.parse()?)).collect()
}
