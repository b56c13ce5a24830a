//! `lab-echo NAME ADDRESS…`: an echo server for the lab, TCP and UDP on each address. A TCP connection is greeted with a
//! line: the server's name, a space, and the client's address and port as the server sees them. A UDP datagram comes back
//! with the same and another space before it.

use anyhow::{Context, Result};
use std::{
    env,
    io::{Write, stdout},
    net::SocketAddr,
};
use tokio::{
    io::{AsyncWriteExt, copy, split},
    net::{TcpListener, TcpSocket, TcpStream, UdpSocket},
    runtime::Builder,
};

/// Connections that may wait to be accepted: a test opens thousands at once.
const BACKLOG: u32 = 16_384;

fn main() -> Result<()> {
    Builder::new_current_thread().enable_io().build()?.block_on(serve())
}

async fn serve() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let name = arguments.next().context("usage: lab-echo NAME ADDRESS…")?;
    let mut running = Vec::new();
    for argument in arguments {
        let address: SocketAddr = argument.parse().with_context(|| argument.clone())?;
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        running.push(tokio::spawn(accept(socket.listen(BACKLOG)?, name.clone())));
        running.push(tokio::spawn(answer(UdpSocket::bind(address).await?, name.clone())));
    }
    stdout().write_all(b"ready\n")?;
    for task in running {
        task.await??;
    }
    Ok(())
}

async fn accept(listener: TcpListener, name: String) -> Result<()> {
    loop {
        let (stream, client) = listener.accept().await?;
        let greeting = format!("{name} {client}\n");
        // A connection that breaks is the client's to notice.
        tokio::spawn(async move { echo(stream, &greeting).await.ok() });
    }
}

async fn echo(stream: TcpStream, greeting: &str) -> Result<()> {
    stream.set_nodelay(true)?;
    let (mut from, mut to) = split(stream);
    to.write_all(greeting.as_bytes()).await?;
    copy(&mut from, &mut to).await?;
    Ok(())
}

async fn answer(socket: UdpSocket, name: String) -> Result<()> {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let (length, client) = socket.recv_from(&mut buffer).await?;
        let datagram = buffer.get(..length).unwrap_or_default();
        let reply = [format!("{name} {client} ").as_bytes(), datagram].concat();
        socket.send_to(&reply, client).await?;
    }
}
