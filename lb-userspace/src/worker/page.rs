//! What scrapers and readers of statistics pages meet, and what a page is made from, gathered as one moment.

use super::{Worker, history::Key, naming::Naming, rows::proxied_backends, running::Running};
use crate::{
    admin::{
        self,
        kernel::KernelReport,
        page::{Look, Seen},
    },
    dataplane::heartbeat::Pulse,
};
use std::{
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    rc::Rc,
    time::UNIX_EPOCH,
};
use tokio::{task::spawn_local, time::Instant};
use tracing::debug;

impl Worker {
    /// Answers scrapers there.
    pub(super) fn serve_metrics(&mut self, socket: OwnedFd) {
        let serve = admin::metrics::serve(TcpListener::from(socket), self.requests.clone());
        self.doors.push(spawn_local(serve).abort_handle());
    }

    /// Serves a statistics page there.
    pub(super) fn serve_page(&mut self, address: SocketAddr, socket: OwnedFd) {
        let serve = admin::page::serve(TcpListener::from(socket), address, Rc::clone(&self.desk));
        self.doors.push(spawn_local(serve).abort_handle());
    }

    /// Somebody looks at a statistics page.
    pub(super) fn look(&mut self, look: Look) {
        // Without a configuration there is nothing to see; who waits is told by the end of its line.
        let Some(running) = self.running.as_mut().filter(|running| running.confirmed > 0) else { return };
        if let Some(scans) = &mut running.scans {
            scans.ask(&running.halves.model);
        }
        if look.send(running.seen(&self.naming, Instant::now())).is_err() {
            debug!("nobody looks any more");
        }
    }
}

impl Running {
    /// Everything that a page shows.
    pub(super) fn seen(&mut self, naming: &Naming, now: Instant) -> Seen {
        let rows = self.rows(now);
        let status = self.status(naming);
        let tables = self.halves.tables();
        let totals = self.counters.as_ref().and_then(|counters| counters.totals(tables).ok());
        let kernel = totals.map(|totals| KernelReport::new(tables, &totals, Pulse::default(), Some(&status)));
        let (model, proxied) = (&self.halves.model, proxied_backends(&self.halves.model));
        let kernel_only = |name: &String| {
            let place = model.backends.iter().position(|backend| backend.name == *name);
            place.is_some_and(|place| !proxied.contains(&place))
        };
        let kernel_only = model.kernel_backends().map(|backend| backend.name.clone()).filter(kernel_only).collect();
        let trail = |key: Key| -> Vec<u32> {
            self.history.course(&key).map(|course| course.trail().collect()).unwrap_or_default()
        };
        let mut trails = Vec::new();
        for frontend in &model.frontends {
            let key = (frontend.name.clone(), "FRONTEND".to_owned());
            trails.push((key, trail(Key::Frontend(frontend.name.clone()))));
        }
        for backend in &model.backends {
            let key = |service: &str| (backend.name.clone(), service.to_owned());
            trails.push((key("BACKEND"), trail(Key::Backend(backend.name.clone()))));
            let servers = backend.servers.iter();
            trails.extend(servers.map(|of| (key(&of.name), trail(Key::Server(of.identity(&backend.name))))));
        }
        let trails = trails.into_iter().collect();
        let at_us = u64::try_from(UNIX_EPOCH.elapsed().unwrap_or_default().as_micros()).unwrap_or(u64::MAX);
        Seen { rows, status, kernel, kernel_only, trails, uptime: self.history.uptime(now), at_us }
    }
}
