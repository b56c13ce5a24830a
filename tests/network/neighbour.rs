//! Clients on a link of the balancer's that it has no neighbour entry for: the stack never sees what XDP sends them, so
//! only the daemon can have them asked for. Each costs a packet, never a connection.

use crate::scene::{SOON, Scene};
use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    client::Flows,
    lab::{CLIENT, DEVICE, GATEWAY, Lab},
    netns::Namespace,
    process, wait,
};
use socket2::{Domain, Socket, Type};
use std::{
    fs,
    io::Read as _,
    iter,
    net::{Ipv4Addr, UdpSocket},
    thread,
    time::Duration,
};
use tokio::time::Instant;

/// One server: all of a test's packets pass the same two machines.
const SERVER: [&str; 1] = ["web1"];

/// A client that lost its SYN or its SYN-ACK tries again after a second (RFC 6298 §2.1).
const FIRST_CONNECTION: Duration = Duration::from_millis(1_500);
/// A lost segment is repeated after 200 ms at the least, and after 400 ms if that is lost too.
const ONE_RETRANSMISSION: Duration = Duration::from_millis(550);

/// The client knows the balancer for good, and so never introduces itself by asking for it.
fn start() -> Result<Scene> {
    let scene = Scene::start("nat", &SERVER, "")?;
    let Lab { client, balancer, .. } = &scene.lab;
    let mac = balancer.ethernet_address(DEVICE)?.map(|byte| format!("{byte:02x}")).join(":");
    client.ip([format!("neigh replace {GATEWAY} lladdr {mac} nud permanent dev eth0")])?;
    Ok(scene)
}

/// The balancer forgets the client, as when the kernel collects the entry.
fn forget(scene: &Scene) -> Result<()> {
    scene.lab.balancer.ip([format!("neigh del {CLIENT} dev {DEVICE}")])?;
    wait::until("the client to be forgotten", SOON, || Ok((!known(&scene.lab)?).then_some(())))
}

/// Whether the balancer's kernel has the client's Ethernet address.
fn known(lab: &Lab) -> Result<bool> {
    let shown = process::run(lab.balancer.command("ip").args(["neigh", "show", &CLIENT.to_string()]))?;
    Ok(shown.contains("lladdr"))
}

fn lost(scene: &Scene) -> Result<u64> {
    Ok(scene.sluice.maps()?.stopped("no_next_hop"))
}

/// Segments that a machine has sent again.
fn repeated(machine: &Namespace) -> Result<u64> {
    let counters = machine.run(|| fs::read_to_string("/proc/thread-self/net/snmp"))??;
    let mut lines = counters.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next().context("no TCP")?, lines.next().context("no values")?);
    let at = names.split(' ').position(|name| name == "RetransSegs").context("not counted")?;
    Ok(values.split(' ').nth(at).context("no value")?.parse()?)
}

#[test]
fn the_first_connection_of_a_client_that_was_never_met_succeeds() -> Result<()> {
    let scene = start()?;
    forget(&scene)?;
    let before = lost(&scene)?;
    let begun = Instant::now();
    let mut flows = Flows::open(&scene.lab.client, scene.vip, 1)?;
    flows.exchange("pleased to meet you")?;
    let took = begun.elapsed();
    let lost = lost(&scene)? - before;
    println!("a first connection: {took:?}, {lost} packets lost");
    ensure!(lost > 0, "nothing was lost: this test proves nothing");
    ensure!(took < FIRST_CONNECTION, "after {took:?}");
    scene.over()
}

#[test]
fn a_connection_goes_on_when_the_kernel_forgets_its_client() -> Result<()> {
    let scene = start()?;
    let machines = [&scene.lab.client, &scene.lab.machine(SERVER[0])?.namespace];
    let mut flows = Flows::open(&scene.lab.client, scene.vip, 1)?;
    flows.exchange("before")?;
    for round in 1..=5 {
        forget(&scene)?;
        let (lost_before, repeated_before) = (lost(&scene)?, machines.map(repeated));
        let begun = Instant::now();
        flows.exchange("and after")?;
        let took = begun.elapsed();
        let lost = lost(&scene)? - lost_before;
        println!("round {round}: {took:?}, {lost} packets lost");
        ensure!(lost > 0, "nothing was lost: this test proves nothing");
        ensure!(took < ONE_RETRANSMISSION, "after {took:?}");
        for (machine, before) in machines.into_iter().zip(repeated_before) {
            let repeated = repeated(machine)? - before?;
            ensure!(repeated <= 1, "{} sent {repeated} segments again", machine.name());
        }
        ensure!(known(&scene.lab)?, "the kernel was not made to ask");
    }
    scene.over()
}

/// Past the three questions that the kernel asks by itself, a second apart: from then on each question is one of ours.
#[test]
fn a_client_that_never_answers_is_asked_for_once_a_second() -> Result<()> {
    const SILENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 99);
    const FOR: Duration = Duration::from_secs(6);
    let scene = start()?;
    let client = &scene.lab.client;
    client.ip([format!("addr add {SILENT}/32 dev eth0")])?;
    client.sysctl("net.ipv4.conf.all.arp_ignore", "8")?;
    let questions = client.run(|| Socket::new(Domain::PACKET, Type::RAW, Some(ARP.into())))??;
    questions.set_nonblocking(true)?;
    let (begun, before) = (Instant::now(), lost(&scene)?);
    let socket = client.run(|| UdpSocket::bind((SILENT, 0)))??;
    while begun.elapsed() < FOR {
        socket.send_to(b"silence", scene.vip)?;
        thread::sleep(Duration::from_millis(5));
    }
    // Counted at once: more are asked while we look at anything else.
    let asked = iter::from_fn(|| next_frame(&questions)).filter(|frame| asks_for(frame, SILENT)).count() as u64;
    let within = begun.elapsed();
    let lost = lost(&scene)? - before;
    println!("{lost} replies lost, {asked} questions in {within:?}");
    ensure!(lost > 500, "only {lost} replies lost");
    ensure!((4..=within.as_secs() + 1).contains(&asked), "{asked} questions for one client in {within:?}");
    scene.over()
}

/// What waits in a socket that does not block.
fn next_frame(mut socket: &Socket) -> Option<[u8; 64]> {
    let mut frame = [0; 64];
    socket.read(&mut frame).ok().map(|_length| frame)
}

/// Whether an Ethernet frame is an ARP request for this address (RFC 826: operation 1; target after 24 octets).
fn asks_for(frame: &[u8; 64], machine: Ipv4Addr) -> bool {
    frame[20..22] == [0, 1] && frame[38..42] == machine.octets()
}

/// `ETH_P_ARP` of linux/if_ether.h, in network byte order, as a packet socket wants it.
const ARP: i32 = 0x0806_u16.to_be() as i32;
