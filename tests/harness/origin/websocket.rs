//! A server of WebSockets that says what it is told, for as long as the client wants.

use crate::{
    client::websocket::{ACCEPT, KEY},
    lab::Machine,
};
use anyhow::{Context, Result, ensure};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

/// Serves on a port of a machine until this program ends: a thread, and one for each client.
pub fn serve(machine: &Machine, port: u16) -> Result<()> {
    let listener = machine.namespace.run(|| TcpListener::bind((machine.address, port)))??;
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // How it ends is the client's business.
            thread::spawn(move || drop(echo(stream)));
        }
    });
    Ok(())
}

fn echo(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        ensure!(reader.read_line(&mut head)? > 0);
    }
    ensure!(head.to_ascii_lowercase().contains("upgrade: websocket") && head.contains(KEY), "{head:?}");
    let accept = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    );
    stream.write_all(accept.as_bytes())?;
    loop {
        let mut start = [0; 6];
        reader.read_exact(&mut start)?;
        let [kind, length, mask @ ..] = start;
        let mut body = vec![0; usize::from(length & 0x7f)];
        reader.read_exact(&mut body)?;
        body.iter_mut().zip(mask.into_iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        let length = u8::try_from(body.len()).context("one frame")?;
        stream.write_all(&[&[kind, length][..], &body].concat())?;
    }
}
