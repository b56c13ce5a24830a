//! An agent beside a server: a program that says in HAProxy's words how the server is. A thread of the test, on the machine's network.

use crate::lab::{Family, Machine};
use anyhow::{Context, Result};
use std::{
    io::Write as _,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

/// An agent, which says the same to all who ask. Ends with the process.
#[derive(Clone, Debug)]
pub struct Agent(Arc<Mutex<String>>);

impl Agent {
    /// Starts one on a port of the machine's own address, IPv4, that says this line.
    pub fn start(machine: &Machine, port: u16, line: &str) -> Result<Self> {
        let address = SocketAddr::new(machine.own(Family::V4), port);
        let listener = machine.namespace.run(|| TcpListener::bind(address))?.with_context(|| address.to_string())?;
        let said = Arc::new(Mutex::new(line.to_owned()));
        let agent = Self(Arc::clone(&said));
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let line = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // Who asked may be gone by now, which is no concern of the next.
                stream.write_all(format!("{line}\n").as_bytes()).unwrap_or_default();
            }
        });
        Ok(agent)
    }

    /// Says something else from now on.
    pub fn say(&self, line: &str) {
        line.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
