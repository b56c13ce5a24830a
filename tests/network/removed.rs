//! What a reload removes goes on with what it has, for a while.

use crate::scene::{self, FAST_CHECK, More, SOON, Scene, WEBS, Way, is_long};
use anyhow::{Result, ensure};
use lb_tests::{
    client::{Connection, Flows, WebSocket},
    lab::{Family, Lab, PROXY_VIP},
    origin::{Listen, Nginx, websocket},
    sluice::Sluice,
    wait,
};
use std::{net::TcpStream, thread, time::Duration};
use tokio::time::Instant;

const SITE: Listen = Listen { site: "web", port: 8080, keep_alive: true };
const SOCKETS: u16 = 9001;

/// Speaks on all flows for that long, so that none is silent for longer than a transition.
fn speak(flows: &mut Flows, time: Duration, when: &str) -> Result<()> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        flows.exchange(when)?;
        thread::sleep(Duration::from_millis(300));
    }
    Ok(())
}

#[test]
fn flows_of_a_server_that_is_removed_go_on_also_without_the_daemon_and_not_for_ever() -> Result<()> {
    let forwards: &[&'static str] = if is_long() { &["nat", "direct", "ipip", "fullnat"] } else { &["nat", "direct"] };
    for forward in forwards {
        let way = Way::within(forward, Family::V4);
        let more = |bound: &'static str| More { backend: bound, ..More::default() };
        let long = more("transition = \"2s\"\ndrain_timeout = \"1h\"");
        let mut scene = Scene::of(way, &WEBS, long)?;
        let mut flows = Flows::open(&scene.lab.client, scene.vip, 200)?;
        let had = flows.by_server();
        ensure!(had.len() == 3, "{had:?}");
        let fewer = scene::config_of(&scene.lab, way, &["web1", "web3"], long)?;
        scene.sluice.write_config(&scene.lab, &fewer)?;
        scene.sluice.command(&["reload"])?;
        speak(&mut flows, Duration::from_secs(4), "after web2 was removed")?;
        let new = Flows::open(&scene.lab.client, scene.vip, 60)?;
        ensure!(new.by_server().keys().eq(["web1", "web3"]), "{:?}", new.by_server());
        let leaving = wait::until("the flows to be counted", Duration::from_secs(12), || {
            let status = scene.sluice.status()?;
            let one = status.leaving.into_iter().find(|it| it.name == "echo/web2" && it.flows > 0);
            if one.is_none() {
                flows.exchange("while they are counted")?;
            }
            Ok(one)
        })?;
        ensure!(leaving.kind == "server" && (3_000..=3_600).contains(&leaving.within), "{leaving:?}");
        println!("{forward}: web2 leaves with {} of {} flows remembered", leaving.flows, had["web2"]);

        // The daemon is killed and comes back: it finds who leaves in the maps.
        scene.sluice.kill()?;
        speak(&mut flows, Duration::from_secs(1), "while no daemon runs")?;
        scene.sluice.start_again(&scene.lab)?;
        speak(&mut flows, Duration::from_secs(3), "after a new daemon has taken over")?;
        ensure!(
            scene.sluice.status()?.leaving.iter().any(|it| it.name.is_empty()),
            "{:?}",
            scene.sluice.status()?.leaving
        );

        // It comes back, and goes for a short time.
        let short = more("transition = \"2s\"\ndrain_timeout = \"4s\"");
        for servers in [&WEBS[..], &["web1", "web3"]] {
            let config = scene::config_of(&scene.lab, way, servers, short)?;
            scene.sluice.write_config(&scene.lab, &config)?;
            scene.sluice.command(&["reload"])?;
            speak(&mut flows, Duration::from_secs(1), "after it came back")?;
        }
        let (mut gone, mut others) = flows.split("web2");
        wait::until("its time to be over", Duration::from_secs(20), || {
            others.exchange("while its time runs out")?;
            Ok(gone.exchange("while its time runs out").is_err().then_some(()))
        })?;
        ensure!(scene.sluice.status()?.leaving.is_empty(), "{:?}", scene.sluice.status()?.leaving);
        others.exchange("after its time was over")?;
        scene.over()?;
    }
    Ok(())
}

#[test]
fn flows_stay_where_they_are_when_a_frontend_gets_another_backend() -> Result<()> {
    let scene =
        Scene::of(Way::within("nat", Family::V4), &WEBS, More { backend: "transition = \"3s\"", ..More::default() })?;
    let blue = scene::config(&scene.lab, "nat", &["web1", "web2"])?;
    scene.sluice.write_config(&scene.lab, &blue)?;
    scene.sluice.command(&["reload"])?;
    scene.sluice.wait_shares("echo", SOON, |shares| shares.keys().eq(["web1", "web2"]))?;
    let mut flows = Flows::open(&scene.lab.client, scene.vip, 150)?;
    let green = scene::config(&scene.lab, "nat", &["web3"])?
        .replace("backend.echo", "backend.green")
        .replace("default_backend = \"echo\"", "default_backend = \"green\"");
    scene.sluice.write_config(&scene.lab, &green)?;
    scene.sluice.command(&["reload"])?;
    speak(&mut flows, Duration::from_secs(5), "after the backend was exchanged")?;
    ensure!(Flows::open(&scene.lab.client, scene.vip, 30)?.by_server().keys().eq(["web3"]));
    flows.exchange("at the end")?;
    scene.over()
}

#[test]
fn connections_of_a_removed_vip_go_on_also_without_the_daemon_and_not_for_ever() -> Result<()> {
    let forwards: &[&'static str] = if is_long() { &["nat", "direct", "ipip", "fullnat"] } else { &["nat"] };
    for forward in forwards {
        let way = Way::within(forward, Family::V4);
        let more = |time: &'static str| More { backend: time, ..More::default() };
        let mut scene = Scene::of(way, &WEBS, more("drain_timeout = \"1h\""))?;
        let mut flows = Flows::open(&scene.lab.client, scene.vip, 100)?;
        let taken = |scene: &Scene| {
            let connect = || TcpStream::connect_timeout(&scene.vip, Duration::from_millis(300));
            Ok::<_, anyhow::Error>(scene.lab.client.run(connect)?.is_ok())
        };
        // Another frontend may be left, or none.
        for rest in [proxied(&scene.lab, false)?, "[frontend]\n".to_owned()] {
            scene.sluice.write_config(&scene.lab, &rest)?;
            scene.sluice.command(&["reload"])?;
            speak(&mut flows, Duration::from_secs(1), "after the frontend was removed")?;
            ensure!(!taken(&scene)?, "a new connection was taken");
            scene.sluice.kill()?;
            speak(&mut flows, Duration::from_secs(1), "while no daemon runs")?;
            scene.sluice.start_again(&scene.lab)?;
            speak(&mut flows, Duration::from_secs(1), "after a new daemon has taken over")?;
            let leaving = scene.sluice.status()?.leaving;
            ensure!(leaving.iter().any(|it| it.kind == "vip" && it.within > 3_000), "{leaving:?}");
            // It comes back with all that it had.
            let again = scene::config_of(&scene.lab, way, &WEBS, more("drain_timeout = \"3s\""))?;
            scene.sluice.write_config(&scene.lab, &again)?;
            scene.sluice.command(&["reload"])?;
            scene.sluice.wait_shares("echo", SOON, |shares| shares.keys().eq(WEBS))?;
            flows.exchange("after it came back")?;
            ensure!(taken(&scene)? && scene.sluice.status()?.leaving.is_empty());
        }
        scene.sluice.write_config(&scene.lab, "[frontend]\n")?;
        scene.sluice.command(&["reload"])?;
        flows.exchange("when it leaves for a short time")?;
        wait::until("its time to be over", SOON, || {
            Ok(flows.exchange("while its time runs out").is_err().then_some(()))
        })?;
        wait::until("all of it to be gone", SOON, || {
            let (status, maps) = (scene.sluice.status()?, scene.sluice.maps()?);
            Ok((status.leaving.is_empty() && maps.vips.is_empty()).then_some(()))
        })?;
        scene.over()?;
    }
    Ok(())
}

fn proxied(lab: &Lab, more: bool) -> Result<String> {
    let servers = lab.servers("sockets", &["web1"], SOCKETS)?;
    let (web, check) = (lab.servers("web", if more { &["web1", "web2"] } else { &["web2"] }, 8080)?, FAST_CHECK);
    let frontend = format!(
        "[frontend.sockets]\nmode = \"http\"\nbind = \"{PROXY_VIP}:8000\"\ndefault_backend = \"sockets\"\n\
         drain_timeout = \"3s\"\n[backend.sockets]\ncheck = {check}\n{servers}\n"
    );
    let rule = if more { "acl.socket = \"path /socket\"\nrule = [{ if = \"socket\", use = \"other\" }]\n" } else { "" };
    let other = format!(
        "[backend.other]\ncheck = {check}\ndrain_timeout = \"3s\"\n{}",
        lab.servers("other", &["web1"], SOCKETS)?
    );
    Ok(format!(
        "[defaults]\ntimeout_tunnel = \"1h\"\n[frontend.web]\nmode = \"http\"\nbind = \"{PROXY_VIP}:80\"\n\
         default_backend = \"web\"\n{rule}[backend.web]\ncheck = {check}\n{web}\n{}",
        if more { frontend + &other } else { String::new() }
    ))
}

#[test]
fn connections_of_removed_frontends_and_servers_go_on_and_not_for_ever() -> Result<()> {
    let lab = Lab::new()?;
    let _nginx =
        ["web1", "web2"].map(|name| lab.machine(name).and_then(|it| Nginx::start(it, lab.directory(), &[SITE])));
    websocket::serve(lab.machine("web1")?, SOCKETS)?;
    let mut sluice = Sluice::start(&lab, &proxied(&lab, true)?)?;
    let mut of_frontend = WebSocket::open(&lab.client, (PROXY_VIP, 8000).into(), 5)?;
    let mut of_server = WebSocket::open(&lab.client, (PROXY_VIP, 80).into(), 4)?;
    let mut kept = Connection::open(&lab.client, (PROXY_VIP, 80).into())?;
    ensure!(kept.get("/")?.status == 200);
    sluice.write_config(&lab, &proxied(&lab, false)?)?;
    sluice.command(&["reload"])?;
    let removed = Instant::now();
    for socket in of_frontend.iter_mut().chain(&mut of_server) {
        socket.say("after the reload")?;
    }
    ensure!(Connection::open(&lab.client, (PROXY_VIP, 8000).into()).is_err(), "the address is closed");
    ensure!(kept.get("/")?.server == "web2", "the next request goes by the new configuration");
    let leaving = sluice.status()?.leaving;
    let of = |name: &str| leaving.iter().find(|it| it.name == name).map(|it| it.connections);
    ensure!(of("sockets") == Some(5) && of("other/web1") == Some(4) && of("sockets/web1") == Some(5), "{leaving:?}");
    wait::until("their time to be over", SOON, || {
        Ok(of_frontend.iter_mut().chain(&mut of_server).all(WebSocket::is_over).then_some(()))
    })?;
    let took = removed.elapsed();
    println!("tunnels of what was removed ended {took:.1?} after it, 3 s were allowed");
    ensure!(took > Duration::from_millis(2_500), "too early");
    wait::until("nothing to leave any more", SOON, || Ok(sluice.status()?.leaving.is_empty().then_some(())))?;
    ensure!(kept.get("/")?.status == 200);
    sluice.stop()
}
