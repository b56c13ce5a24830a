//! A name server that says anything but the truth.

use anyhow::Result;
use lb_tests::{
    dns,
    lab::{BACKUP, Lab},
};
use std::{
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// What a hostile name server does with a question.
pub(super) type Lie = fn(&[u8]) -> Vec<Vec<u8>>;

/// An answer: flags, and records after the question's name, each good for no time at all.
fn answer(question: &[u8], flags: u16, records: &[(u16, &[u8])]) -> Vec<u8> {
    let word = |length: usize| u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    let mut bytes = question.get(..2).unwrap_or_default().to_vec();
    bytes.extend(flags.to_be_bytes());
    for count in [1, records.len(), 0, 0] {
        bytes.extend(word(count));
    }
    // What comes after it says how large an answer may be.
    bytes.extend(question.get(12..question.len() - 11).unwrap_or_default());
    for (kind, data) in records {
        bytes.extend([0xc0, 12]);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 0]);
        bytes.extend(word(data.len()));
        bytes.extend(*data);
    }
    bytes
}

fn address(question: &[u8], ip: [u8; 4]) -> Vec<Vec<u8>> {
    vec![answer(question, 0x8180, &[(1, &ip)])]
}

/// What each does, and what is told of it.
pub(super) const LIES: [(&str, Lie, &str); 9] = [
    (
        "another id",
        |question| {
            let mut bytes = answer(question, 0x8180, &[(1, &[10, 1, 1, 12])]);
            let id = bytes.get(1).copied().unwrap_or_default();
            bytes.splice(1..2, [id ^ 1]);
            vec![bytes]
        },
        "no name server answers",
    ),
    (
        "another question",
        |question| {
            let mut bytes = answer(question, 0x8180, &[(1, &[10, 1, 1, 12])]);
            bytes.splice(13..14, *b"x");
            vec![bytes]
        },
        "no name server answers",
    ),
    (
        "a flood",
        |question| vec![vec![0xff; 1_400]; 100].into_iter().chain([question.to_vec()]).collect(),
        "makes no sense",
    ),
    ("what is huge", |_| vec![vec![0x80; 40_000]], "no name server answers"),
    ("truncated, and no TCP", |question| vec![answer(question, 0x8380, &[])], "no name server can be reached"),
    ("an alias of itself", |question| vec![answer(question, 0x8180, &[(5, &[0xc0, 12])])], "makes no sense"),
    (
        "compression that goes round",
        |question| {
            let mut bytes = answer(question, 0x8180, &[(1, &[10, 1, 1, 12])]);
            let place = bytes.len() - 16;
            let here = u16::try_from(place).unwrap_or(u16::MAX) | 0xc000;
            bytes.splice(place..place + 2, here.to_be_bytes());
            vec![bytes]
        },
        "makes no sense",
    ),
    ("nobody's address", |question| address(question, [0, 0, 0, 0]), "0.0.0.0 is refused"),
    ("a group's address", |question| address(question, [224, 0, 0, 1]), "224.0.0.1 is refused"),
];

/// A name server that lies, at the machine's port 53.
pub(super) struct Liar {
    lie: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Liar {
    pub(super) fn start(lab: &Lab) -> Result<Self> {
        let machine = lab.machine(BACKUP)?;
        let socket = machine.namespace.run(|| UdpSocket::bind(dns::address(machine)))??;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let (lie, over) = (Arc::new(AtomicUsize::new(LIES.len())), Arc::new(AtomicBool::new(false)));
        let (told, ended) = (Arc::clone(&lie), Arc::clone(&over));
        let honest = lab.machine("web1")?.address.octets();
        let thread = thread::spawn(move || {
            let mut buffer = [0; 2_048];
            while !ended.load(Ordering::Relaxed) {
                let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
                let Some(question) = buffer.get(..length) else { continue };
                let is_four = question.get(length - 14) == Some(&1);
                let lie = LIES.get(told.load(Ordering::Relaxed));
                let answers = match lie {
                    Some((_, lie, _)) => lie(question),
                    None if is_four => address(question, honest),
                    None => vec![answer(question, 0x8180, &[])],
                };
                for answer in answers {
                    _ = socket.send_to(&answer, peer);
                }
            }
        });
        Ok(Self { lie, over, thread: Some(thread) })
    }

    /// Tells that lie from now on, or the truth.
    pub(super) fn tell(&self, lie: Option<usize>) {
        self.lie.store(lie.unwrap_or(LIES.len()), Ordering::Relaxed);
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}
