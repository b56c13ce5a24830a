//! What changes the configuration itself, until the next reload: addresses of servers, and limits of clients.

use super::{Running, Said, Worker, number, server, word};
use crate::{
    health::Outcome,
    model::{Model, Server, server::NOWHERE},
    worker::edits::{Change, Edits},
};
use std::{net::IpAddr, num::NonZeroU16, sync::Arc};
use tokio::{sync::mpsc, time::Instant};
use tracing::info;

/// Most connections of clients that may be said.
const MOST: i64 = 10_000_000;

impl Worker {
    /// `set server <backend>/<server> addr <ip> [port <port>]`.
    pub(super) async fn move_server(&mut self, rest: &[String]) -> anyhow::Result<Said> {
        let Some(running) = &self.running else { return Ok(Err("the daemon is starting".to_owned())) };
        let found = match server(&running.configured, word(rest, 0)) {
            Ok((backend, server)) => (backend.name.clone(), server.clone()),
            Err(error) => return Ok(Err(error)),
        };
        let (backend, known) = found;
        let typed = word(rest, 2);
        if typed.is_empty() {
            return Ok(Err("set server <b>/<s> addr requires an address and optionally a port.".to_owned()));
        }
        if known.host.is_some() {
            return Ok(Err("the address of this server comes from its host name.".to_owned()));
        }
        // Whether the kernel half can reach a server there without mixing up replies, only a whole configuration says.
        if running.configured.kernel_backends().any(|kernel| kernel.name == backend) {
            return Ok(Err("a server of an l4 frontend gets another address by the configuration alone.".to_owned()));
        }
        let Some(ip) = typed.parse::<IpAddr>().ok().filter(|ip| *ip != NOWHERE) else {
            return Ok(Err(format!("Invalid addr '{typed}'{BY}")));
        };
        let (mut address, mut what) = (known.address, Vec::new());
        if ip == address.ip() {
            what.push("no need to change the addr".to_owned());
        } else {
            what.push(format!("IP changed from '{}' to '{ip}'", address.ip()));
            address.set_ip(ip);
        }
        if word(rest, 3) == "port" {
            match word(rest, 4).parse::<NonZeroU16>().map(NonZeroU16::get) {
                Ok(port) if port == address.port() => what.push("no need to change the port".to_owned()),
                Ok(port) => {
                    what.push(format!("port changed from '{}' to '{port}'", address.port()));
                    address.set_port(port);
                }
                Err(_not_one) => {
                    let typed = word(rest, 4);
                    return Ok(Err(format!("problem converting port '{typed}' to an int{BY}")));
                }
            }
        }
        if address != known.address {
            let change = Change::Address { backend: backend.clone(), server: known.name.clone(), address };
            let said = running.halves.registry.said_of(known.identity(&backend));
            if let Err(error) = self.change(change).await? {
                return Ok(Err(error));
            }
            let moved = Server { address, ..known.clone() };
            if let Some(running) = &mut self.running {
                running.halves.registry.say_again(&moved, &backend, said);
                let model = Arc::clone(&running.halves.model);
                let backends: Vec<_> = model.backend(&backend).into_iter().collect();
                running.standings_changed(&model, &backends);
            }
            info!(backend, server = known.name, %address, "a server has another address");
        }
        Ok(Ok(format!("{}{BY}", what.join(", "))))
    }

    /// `set maxconn frontend <frontend> <value>`.
    pub(super) async fn limit_frontend(&mut self, rest: &[String]) -> anyhow::Result<Said> {
        let Some(running) = &self.running else { return Ok(Err("the daemon is starting".to_owned())) };
        let name = word(rest, 0).to_owned();
        if name.is_empty() {
            return Ok(Err("A frontend name is expected.".to_owned()));
        }
        if !running.configured.frontends.iter().any(|frontend| frontend.name == name) {
            return Ok(Err("No such frontend.".to_owned()));
        }
        let limit = match limit(word(rest, 1)) {
            Ok(limit) => limit,
            Err(error) => return Ok(Err(error)),
        };
        Ok(self.change(Change::Frontend { name, limit }).await?.map(|()| String::new()))
    }

    /// `set maxconn global <value>`.
    pub(super) async fn limit_all(&mut self, rest: &[String]) -> anyhow::Result<Said> {
        let limit = match limit(word(rest, 0)) {
            Ok(limit) => limit,
            Err(error) => return Ok(Err(error)),
        };
        Ok(self.change(Change::All(limit)).await?.map(|()| String::new()))
    }

    /// Changes one thing of what is configured.
    async fn change(&mut self, change: Change) -> anyhow::Result<Result<(), String>> {
        let Some(running) = &self.running else { return Ok(Ok(())) };
        let mut configured = Model::clone(&running.configured);
        let edits = running.edits.changed(change, &mut configured);
        self.take_up_edits((edits, configured), Running::readdress).await
    }

    /// Serves what is configured now by one of the ways to do so; whole or not at all.
    pub(super) async fn take_up_edits(
        &mut self,
        (edits, configured): (Edits, Model),
        serve: impl FnOnce(&mut Running, &Arc<Model>, &mpsc::Sender<Outcome>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Result<(), String>> {
        let (Some(running), now) = (&mut self.running, Instant::now()) else { return Ok(Ok(())) };
        let configured = Arc::new(configured);
        let (model, chosen) = self.naming.addressed(&configured, now);
        if let Err(error) = serve(running, &model, &self.outcomes) {
            return Ok(Err(format!("{error:#}")));
        }
        (running.configured, running.edits) = (configured, edits);
        running.has_moved = true;
        self.naming.given(chosen, now);
        self.follow_addresses().await?;
        Ok(Ok(()))
    }
}

/// How HAProxy says who changed it.
const BY: &str = " by 'stats socket command'";

/// A limit; 0: any number. HAProxy takes what is no number for 0.
fn limit(text: &str) -> Result<u32, String> {
    if text.is_empty() {
        return Err("Expects an integer value.".to_owned());
    }
    match number(text) {
        value @ 0..=MOST => Ok(u32::try_from(value).unwrap_or(u32::MAX)),
        _ => Err("Value out of range.".to_owned()),
    }
}
