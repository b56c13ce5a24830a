//! `sluice check`: a configuration and all its errors, without running it.

use super::{complain, format_for_people, print};
use crate::{
    config::{self, Format},
    model::{FrontendKind, Model},
};
use std::{collections::BTreeSet, io, net::UdpSocket, path::Path, process::ExitCode};

pub(super) fn run(path: &Path, short: bool) -> anyhow::Result<ExitCode> {
    let format = if short { Format::Short } else { format_for_people() };
    let bundle = config::collect(path)?;
    let loaded = match config::load(&bundle) {
        Ok(loaded) => loaded,
        Err(diagnostics) => {
            complain(&diagnostics.render(format));
            return Ok(ExitCode::FAILURE);
        }
    };
    complain(&loaded.warnings.render(format));
    for line in preflight(&loaded.model) {
        complain(&line);
    }
    let Model { frontends, backends, .. } = &loaded.model;
    let servers: usize = backends.iter().map(|backend| backend.servers.len()).sum();
    print(&format!(
        "{}: {} frontends, {} backends, {servers} servers",
        path.display(),
        frontends.len(),
        backends.len()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// What this machine lacks for the configuration. None of it is an error: a floating IP may be on the other balancer.
fn preflight(model: &Model) -> Vec<String> {
    let mut lines = Vec::new();
    let kernel = model.frontends.iter().filter(|frontend| matches!(frontend.kind, FrontendKind::L4(_)));
    let vips: BTreeSet<_> = kernel.flat_map(|frontend| &frontend.binds).map(|bind| bind.address.ip()).collect();
    for vip in vips {
        let absent = UdpSocket::bind((vip, 0)).is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable);
        if absent {
            lines.push(format!("note: this machine does not have the VIP {vip}; packets for it must be routed here"));
        }
    }
    if model.needs_kernel() {
        let missing = model.global.interfaces.iter().filter(|name| !Path::new("/sys/class/net").join(name).exists());
        lines.extend(missing.map(|name| format!("warning: this machine has no interface `{name}`")));
    }
    lines
}
