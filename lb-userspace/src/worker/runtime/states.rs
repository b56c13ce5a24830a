//! `show servers state`: HAProxy's form, version 1, which its `load-server-state-from-file` and many tools read.

use super::{Running, Said, word};
use crate::{
    model::{Backend, Server},
    servers::{Admin, Health, Standing},
    worker::rows::numbered_backends,
};
use std::fmt::Write as _;
use tokio::time::Instant;

const HEADER: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight \
                      srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state \
                      srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl \
                      srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n";

impl Running {
    /// The backend of that name, or all, with HAProxy's numbers.
    pub(super) fn numbered(&self, rest: &[String]) -> Result<Vec<(u32, &Backend)>, String> {
        let (model, name) = (&self.halves.model, word(rest, 0));
        let found: Vec<_> =
            numbered_backends(model).filter(|(_, backend)| name.is_empty() || backend.name == name).collect();
        if found.is_empty() && !name.is_empty() { Err("Can't find backend.".to_owned()) } else { Ok(found) }
    }

    pub(super) fn show_servers_state(&self, rest: &[String], now: Instant) -> Said {
        let mut text = HEADER.to_owned();
        for (iid, backend) in self.numbered(rest)? {
            for (sid, server) in (1_usize..).zip(&backend.servers) {
                let line = self.server_state(backend, server, now);
                // Writing to a string does not fail.
                _ = writeln!(text, "{iid} {} {sid} {} {line}", backend.name, server.name);
            }
        }
        Ok(text)
    }

    fn server_state(&self, backend: &Backend, server: &Server, now: Instant) -> String {
        let identity = server.identity(&backend.name);
        let registry = &self.halves.registry;
        let standing = registry.standing(identity);
        let weight = registry.weight(identity, server.weight);
        let since = self.history.server(identity).map_or(0, |spell| spell.age(now));
        let known = self.verdicts.known(identity);
        let code = known.and_then(|known| known.last).map(|last| last.finding.code.name());
        let checks = server.check(backend).is_some();
        let (status, result) = check_numbers(checks, code);
        let counter = known.map_or(0, |known| known.health);
        let check_state = match checks {
            true if self.verdicts.rests(identity) => CONFIGURED,
            true => CONFIGURED | ENABLED,
            false => 0,
        };
        let agent_state = match server.agent() {
            Some(_) if self.verdicts.agent_rests(identity) => CONFIGURED | AGENT,
            Some(_) => CONFIGURED | ENABLED | AGENT,
            None => 0,
        };
        let (ip, port) = (server.address.ip(), server.address.port());
        let (op, admin) = (op_state(standing), admin_state(standing));
        let fqdn = server.host.as_ref().map_or("-", |host| &*host.name);
        let tls = u8::from(server.tls.is_some());
        let agent_port = server.agent().map_or(0, |agent| agent.port);
        format!(
            "{ip} {op} {admin} {weight} {} {since} {status} {result} {counter} {check_state} {agent_state} 0 0 {fqdn} \
             {port} - {tls} 0 - - {agent_port}",
            server.weight
        )
    }
}

const CONFIGURED: u32 = 0x02;
const ENABLED: u32 = 0x04;
const AGENT: u32 = 0x10;

/// HAProxy's `SRV_ST_*`: stopped, running, stopping.
fn op_state(standing: Standing) -> u8 {
    match (standing.keeps_existing(), standing.health == Health::Stopping) {
        (false, _) => 0,
        (true, true) => 3,
        (true, false) => 2,
    }
}

/// HAProxy's `SRV_ADMF_*`: maintenance, drain, and no address.
fn admin_state(standing: Standing) -> u8 {
    let wanted = match standing.admin {
        Admin::Ready => 0x00,
        Admin::Drain => 0x08,
        Admin::Maint => 0x01,
    };
    wanted | if standing.health == Health::Unresolved { 0x20 } else { 0 }
}

/// HAProxy's `HCHK_STATUS_*` and `CHK_RES_*` of the last probe.
fn check_numbers(checks: bool, code: Option<&str>) -> (u8, u8) {
    const FAILED: u8 = 2;
    const PASSED: u8 = 3;
    const CONDITIONALLY: u8 = 4;
    match code {
        None if checks => (1, 0),
        Some("SOCKERR") => (5, 0),
        Some("L4OK") => (6, PASSED),
        Some("L4TOUT") => (7, FAILED),
        Some("L4CON") => (8, FAILED),
        Some("L6OK") => (9, PASSED),
        Some("L6TOUT") => (10, FAILED),
        Some("L6RSP") => (11, FAILED),
        Some("L7TOUT") => (12, FAILED),
        Some("L7RSP") => (13, FAILED),
        Some("L7OK") => (15, PASSED),
        Some("L7OKC") => (16, CONDITIONALLY),
        Some("L7STS") => (17, FAILED),
        Some("PROCERR") => (18, FAILED),
        Some("PROCTOUT") => (19, FAILED),
        Some("PROCOK") => (20, PASSED),
        None | Some(_) => (1, 0),
    }
}
