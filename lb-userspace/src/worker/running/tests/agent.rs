//! Agents for tests: they say what they are told to.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
};

/// An agent. Ends with the process.
pub(super) struct Speaker {
    pub(super) address: SocketAddr,
    /// What it says, without the end of the line, and how often it has said so. `None`: it hangs up without a word.
    says: Arc<Mutex<(Option<&'static str>, usize)>>,
}

impl Speaker {
    pub(super) fn start(line: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let says = Arc::new(Mutex::new((line, 0)));
        let shared = Arc::clone(&says);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut said = shared.lock().unwrap();
                // Whoever asked may be gone, which is no concern of the next.
                if let (Some(line), Ok(mut stream)) = (said.0, stream) {
                    stream.write_all(format!("{line}\n").as_bytes()).unwrap_or_default();
                }
                said.1 += 1;
            }
        });
        Self { address, says }
    }

    /// Says something else from now on.
    pub(super) fn say(&self, line: Option<&'static str>) {
        *self.says.lock().unwrap() = (line, 0);
    }

    /// How often it was asked since it began to say that.
    pub(super) fn asked(&self) -> usize {
        self.says.lock().unwrap().1
    }
}
