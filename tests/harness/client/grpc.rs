//! A real gRPC client, of Google's library: unary calls, streams both ways, metadata, trailers, statuses, deadlines, megabytes.
//! What exactly, `grpc/client.py` says.

use crate::{netns::Namespace, origin::grpc::PYTHON, process};
use anyhow::Result;
use std::{fs, net::SocketAddr, path::Path};

/// Does all that gRPC has, on one connection, in clear text or believing that certificate of that name. The servers that it has
/// met, by name.
pub fn grpc(
    client: &Namespace,
    server: SocketAddr,
    tls: Option<(&Path, &str)>,
    directory: &Path,
) -> Result<Vec<String>> {
    let script = directory.join("client.py");
    fs::write(&script, include_str!("grpc/client.py"))?;
    let mut command = client.command(PYTHON);
    command.arg("-B").arg(script).arg(server.to_string());
    if let Some((certificate, name)) = tls {
        command.arg(certificate).arg(name);
    }
    let met = process::run(&mut command)?;
    Ok(met.split_whitespace().map(str::to_owned).collect())
}
