//! `sluice top`: rates and states of both halves in a terminal, in the manner of hatop.
//!
//! What is shown, and what keys do to it, is pure ([`rows`], [`state`], [`screen`]); here are the terminal, the daemon and the clock.

mod rows;
mod screen;
mod state;

use super::{
    Daemon,
    client::{ask, ask_within},
    maps::loaded,
    print,
    status::{lines, table},
};
use crate::{
    admin::{kernel::KernelReport, protocol::Request, status::Status},
    dataplane::{
        counters::KernelCounters,
        heartbeat::{HeartbeatMap, Pulse},
        maps::KernelMaps,
        writer::MapWriter,
    },
    exit::Exit,
};
use anyhow::bail;
use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::{Hide, Show},
        event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};
use rows::{Kind, Row, Sample, short};
use state::{Deed, Key, Top, Wanted};
use std::{
    env,
    io::{self, IsTerminal as _, Stdout},
    panic,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::spawn_blocking,
    time::{Instant, sleep_until},
};

/// Longest wait for the daemon; what is on the screen stays meanwhile, and keys do what they do.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon the thread that reads keys notices that nobody wants them any more.
const TYPING: Duration = Duration::from_millis(100);

/// Where to look.
#[derive(Clone, Debug)]
struct Source {
    socket: PathBuf,
    pins: PathBuf,
    began: Instant,
}

pub(super) fn run(daemon: &Daemon, pins: &Path, interval: Duration, once: bool) -> anyhow::Result<ExitCode> {
    let source = Source { socket: daemon.socket.clone(), pins: pins.to_owned(), began: Instant::now() };
    let first = source.look()?;
    if once || daemon.json {
        thread::sleep(interval);
        let rows = source.look()?.rows(Some(&first));
        print(&if daemon.json { serde_json::to_string_pretty(&rows)? } else { render(&rows) })?;
        return Ok(ExitCode::SUCCESS);
    }
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        bail!("`sluice top` needs a terminal; elsewhere there is `sluice top --once`, also with --json");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(watch(source, Top::new(first, interval)));
    // The thread that reads keys may be within a read for a moment.
    runtime.shutdown_background();
    ended
}

impl Source {
    /// How things stand now.
    fn look(&self) -> anyhow::Result<Sample> {
        let status: Status = ask_within(&self.socket, &Request::Status, PATIENCE)?;
        let kernel = if status.interfaces.is_empty() { None } else { self.kernel(&status).ok() };
        Ok(Sample { at: self.began.elapsed(), status, kernel })
    }

    fn kernel(&self, status: &Status) -> anyhow::Result<KernelReport> {
        let pins = loaded(&self.pins)?;
        let tables = KernelMaps::open(&pins)?.read()?;
        let totals = KernelCounters::open(&pins)?.totals(&tables)?;
        let pulse = HeartbeatMap::open(&pins)?.read().unwrap_or_else(|_unread| Pulse::default());
        Ok(KernelReport::new(&tables, &totals, pulse, Some(status)))
    }

    /// Does to a server what was asked for; what the daemon says to that.
    fn carry_out(&self, Deed { backend, server, admin }: Deed) -> String {
        let done = ask::<String>(&self.socket, &Request::Server { backend, server, admin });
        done.unwrap_or_else(|error| format!("error: {error:#}"))
    }
}

/// The terminal while it is ours. Dropped, it is as it was.
struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    fn take() -> anyhow::Result<Self> {
        enable_raw_mode()?;
        // From here on it is given back, whatever happens.
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        let taken = execute!(io::stdout(), EnterAlternateScreen, Hide);
        let terminal = taken.and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        Ok(Self(terminal.inspect_err(|_| give_back())?))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Of a terminal that is gone there is nothing to give back.
fn give_back() {
    drop(execute!(io::stdout(), LeaveAlternateScreen, Show));
    drop(disable_raw_mode());
}

/// Until `q` or a signal.
async fn watch(source: Source, mut top: Top) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let mut screen = Screen::take()?;
    let mut typed = typing();
    // The daemon is asked on another thread: it may be slow.
    let (looks, mut looked) = unbounded_channel();
    let (deeds, mut done) = unbounded_channel();
    let (mut next, mut looking) = (Instant::now() + top.interval.min(Duration::from_secs(1)), false);
    loop {
        screen.0.draw(|frame| screen::draw(frame, &top, plain))?;
        let wanted = tokio::select! {
            key = typed.recv() => match key {
                Some(Typed::Key(key)) => top.press(key),
                Some(Typed::Other) => Wanted::Nothing,
                None => Wanted::End,
            },
            exit = signals.next() => return Ok(exit.into()),
            Some(sample) = looked.recv() => {
                looking = false;
                next = Instant::now() + top.interval;
                match sample {
                    Ok(sample) => top.looked(sample),
                    Err(error) => top.message = Some(format!("error: {error:#}")),
                }
                Wanted::Nothing
            }
            Some(message) = done.recv() => {
                top.message = Some(message);
                Wanted::Look
            }
            () = sleep_until(next), if !looking && !top.paused => Wanted::Look,
        };
        match wanted {
            Wanted::Nothing => {}
            Wanted::End => return Ok(ExitCode::SUCCESS),
            Wanted::Look if looking => {}
            Wanted::Look => {
                looking = true;
                let (source, looks) = (source.clone(), looks.clone());
                // Whoever waits for it has gone only if all of this ends.
                drop(spawn_blocking(move || drop(looks.send(source.look()))));
            }
            Wanted::Do(deed) => {
                let (source, deeds) = (source.clone(), deeds.clone());
                drop(spawn_blocking(move || drop(deeds.send(source.carry_out(deed)))));
            }
        }
    }
}

/// What comes from the terminal.
enum Typed {
    Key(Key),
    /// Another size, or what means nothing: the screen is drawn again.
    Other,
}

/// Reads the terminal on a thread of its own.
fn typing() -> UnboundedReceiver<Typed> {
    let (keys, typed) = unbounded_channel();
    thread::spawn(move || {
        while !keys.is_closed() {
            let read = event::poll(TYPING).and_then(|there| if there { event::read().map(Some) } else { Ok(None) });
            match read {
                Ok(None) => {}
                Ok(Some(event)) => drop(keys.send(key(&event).map_or(Typed::Other, Typed::Key))),
                Err(_) => return, // the terminal is gone
            }
        }
    });
    typed
}

fn key(event: &Event) -> Option<Key> {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press | KeyEventKind::Repeat, .. }) = event else {
        return None;
    };
    if modifiers.contains(KeyModifiers::CONTROL) {
        return (*code == KeyCode::Char('c')).then_some(Key::Interrupt);
    }
    let known = [
        (KeyCode::Up, Key::Up),
        (KeyCode::Down, Key::Down),
        (KeyCode::PageUp, Key::PageUp),
        (KeyCode::PageDown, Key::PageDown),
        (KeyCode::Home, Key::Home),
        (KeyCode::End, Key::End),
        (KeyCode::Enter, Key::Enter),
        (KeyCode::Esc, Key::Escape),
        (KeyCode::Backspace, Key::Backspace),
    ];
    if let KeyCode::Char(letter) = code {
        return Some(Key::Char(*letter));
    }
    known.into_iter().find(|(known, _)| known == code).map(|(_, key)| key)
}

/// What would end this process and leave the terminal as it is.
struct Signals([(Exit, Signal); 4]);

impl Signals {
    fn new() -> io::Result<Self> {
        let of = |exit: Exit, kind| Ok::<_, io::Error>((exit, signal(kind)?));
        Ok(Self([
            of(Exit::HungUp, SignalKind::hangup())?,
            of(Exit::Interrupted, SignalKind::interrupt())?,
            of(Exit::Quit, SignalKind::quit())?,
            of(Exit::Terminated, SignalKind::terminate())?,
        ]))
    }

    /// How the next one ends this.
    async fn next(&mut self) -> Exit {
        let [hangup, interrupt, quit, terminate] = &mut self.0;
        tokio::select! {
            _ = hangup.1.recv() => hangup.0,
            _ = interrupt.1.recv() => interrupt.0,
            _ = quit.1.recv() => quit.0,
            _ = terminate.1.recv() => terminate.0,
        }
    }
}

/// The rows as a table.
fn render(rows: &[Row]) -> String {
    const NUMBERS: [&str; 8] = ["WEIGHT", "SHARE", "OPEN", "NEW/s", "ERR/s", "IN/s", "OUT/s", "PKT/s"];
    let heads = ["NAME", "STATE", "WEIGHT", "SHARE", "OPEN", "NEW/s", "ERR/s", "IN/s", "OUT/s", "PKT/s", "LAST CHECK"];
    let mut shown = table(heads, &NUMBERS);
    shown.add_rows(rows.iter().map(|row| {
        let name = match (row.id.kind, &row.id.backend) {
            (Kind::Server, Some(backend)) => format!("{backend}/{}", row.id.name),
            (Kind::Frontend | Kind::Backend | Kind::Server, _) => row.id.name.clone(),
        };
        let rates = row.rates;
        [
            name,
            row.state.clone(),
            row.weight.map(|weight| weight.to_string()).unwrap_or_default(),
            row.share.map(|share| format!("{:.1}%", share * 100.0)).unwrap_or_default(),
            row.open.to_string(),
            short(rates.connections),
            short(rates.errors),
            short(rates.bytes_in),
            short(rates.bytes_out),
            short(rates.packets),
            row.check.clone(),
        ]
    }));
    lines(&shown)
}

#[cfg(test)]
mod tests;
