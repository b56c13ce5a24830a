//! `mode tcp`.

use super::{
    model::backend,
    proxy::{Proxy, SHORT, eventually, read_to_end, refusing},
};
use crate::model::{Backend, FrontendKind, TcpFrontend};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

fn proxy(backend: Backend) -> Proxy {
    Proxy::with(FrontendKind::Tcp(TcpFrontend::of(0)), vec![backend], |frontend| {
        frontend.timeout_client = SHORT * 4;
    })
}

/// A server that handles one connection.
async fn server<F: Future<Output = ()> + Send>(handle: impl FnOnce(TcpStream) -> F + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("accept");
        handle(stream).await;
    });
    address
}

#[tokio::test]
async fn a_client_that_has_ended_its_half_still_gets_the_answer() {
    let address = server(|mut stream| async move {
        let mut request = String::new();
        stream.read_to_string(&mut request).await.expect("the end of the client's half arrives");
        stream.write_all(request.to_uppercase().as_bytes()).await.expect("write");
    });
    let proxy = proxy(backend("db", [refusing(), address.await]));
    let mut client = proxy.connect().await;
    client.write_all(b"query").await.expect("write");
    client.shutdown().await.expect("shutdown");
    assert_eq!(read_to_end(&mut client).await, "QUERY");
    let counts = &proxy.frontend_live().counts;
    assert_eq!((counts.sum(|counts| &counts.bytes_in), counts.sum(|counts| &counts.bytes_out)), (5, 5));
}

#[tokio::test]
async fn a_server_that_has_ended_its_half_still_hears_the_client() {
    let (heard, hears) = tokio::sync::oneshot::channel();
    let address = server(|mut stream| async move {
        stream.write_all(b"bye").await.expect("write");
        stream.shutdown().await.expect("shutdown");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.expect("read");
        heard.send(rest).expect("test listens");
    });
    let proxy = proxy(backend("db", [address.await]));
    let mut client = proxy.connect().await;
    assert_eq!(read_to_end(&mut client).await, "bye");
    client.write_all(b"one more thing").await.expect("write");
    client.shutdown().await.expect("shutdown");
    assert_eq!(hears.await.expect("heard"), "one more thing");
    eventually("the connection is over", || proxy.threads.connections() == 0).await;
}

#[tokio::test]
async fn megabytes_come_through_unchanged_both_ways() {
    let address = server(|mut stream| async move {
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer).await.expect("echo");
    });
    let proxy = proxy(backend("db", [address.await]));
    let sent: Vec<u8> = (0_u32..1_000_000).flat_map(u32::to_le_bytes).collect();
    let client = proxy.connect().await;
    let (mut reader, mut writer) = client.into_split();
    let bytes = sent.clone();
    let sending = tokio::spawn(async move {
        writer.write_all(&bytes).await.expect("write");
        writer.shutdown().await.expect("shutdown");
    });
    let mut received = Vec::new();
    reader.read_to_end(&mut received).await.expect("read");
    sending.await.expect("sent");
    assert!(received == sent);
}

#[tokio::test]
async fn silence_ends_a_relay_but_movement_on_either_side_keeps_it() {
    let address = server(|mut stream| async move {
        for _ in 0..4 {
            tokio::time::sleep(SHORT * 2).await;
            stream.write_all(b".").await.expect("write");
        }
        stream.read_to_end(&mut Vec::new()).await.expect("read");
    });
    let mut backend = backend("db", [address.await]);
    backend.timeout_server = SHORT * 4;
    let proxy = proxy(backend);
    let start = tokio::time::Instant::now();
    let mut client = proxy.connect().await;
    assert_eq!(read_to_end(&mut client).await, "....");
    assert!(start.elapsed() >= SHORT * 11, "{:?}", start.elapsed());
}

#[tokio::test]
async fn whoever_is_left_alone_by_the_other_side_may_have_less_time() {
    for client_ends in [true, false] {
        let address = server(move |mut stream| async move {
            if client_ends {
                stream.read_to_end(&mut Vec::new()).await.expect("the end of the client's half arrives");
            } else {
                stream.shutdown().await.expect("shutdown");
            }
            // Says nothing more, nor closes.
            std::future::pending::<()>().await;
        });
        let backend = Backend { timeout_server_fin: Some(SHORT), ..backend("db", [address.await]) };
        let proxy = Proxy::with(FrontendKind::Tcp(TcpFrontend::of(0)), vec![backend], |frontend| {
            frontend.timeout_client_fin = Some(SHORT);
        });
        let start = tokio::time::Instant::now();
        let mut client = proxy.connect().await;
        if client_ends {
            client.shutdown().await.expect("shutdown");
        }
        assert_eq!(read_to_end(&mut client).await, "");
        eventually("the relay ends", || proxy.threads.connections() == 0).await;
        assert!(start.elapsed() >= SHORT && start.elapsed() < SHORT * 20, "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn no_server_closes_the_connection() {
    let proxy = proxy(backend("db", [refusing()]));
    let mut client = proxy.connect().await;
    assert_eq!(read_to_end(&mut client).await, "");
}
