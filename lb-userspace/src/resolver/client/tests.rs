//! Name servers on real sockets, honest ones and others.

use super::*;
use std::{cell::Cell, collections::BTreeSet, time::Duration};
use tokio::{net::TcpListener, task::LocalSet, time::Instant};

/// What a name server does with a question: any number of datagrams.
type Act = Rc<dyn Fn(&[u8]) -> Vec<Vec<u8>>>;

/// An answer to a question: flags, and records after a compressed name.
fn answer(question: &[u8], flags: u16, records: &[(u16, &[u8])]) -> Vec<u8> {
    let end = question.len() - 11;
    let mut bytes = question[..2].to_vec();
    for word in [flags, 1, u16::try_from(records.len()).expect("few"), 0, 0] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend(&question[12..end]);
    for (kind, data) in records {
        bytes.extend([0xc0, 12]);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 9]);
        bytes.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
        bytes.extend(*data);
    }
    bytes
}

/// Whether IPv4 addresses are asked for.
fn asks_four(question: &[u8]) -> bool {
    question[question.len() - 14] == 1
}

fn good(question: &[u8]) -> Vec<u8> {
    let four: &[(u16, &[u8])] = &[(1, &[10, 0, 0, 1])];
    answer(question, 0x8180, if asks_four(question) { four } else { &[] })
}

/// Sockets of both kinds at the same port.
async fn both() -> (UdpSocket, TcpListener) {
    loop {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        if let Ok(listener) = TcpListener::bind(socket.local_addr().expect("an address")).await {
            return (socket, listener);
        }
    }
}

/// Serves over UDP, and over TCP if told what to say there.
async fn serve(act: Act, tcp: Option<Act>) -> SocketAddr {
    let (socket, listener) = both().await;
    let address = socket.local_addr().expect("an address");
    if let Some(act) = tcp {
        tokio::task::spawn_local(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let length = stream.read_u16().await.expect("a length");
                let mut question = vec![0; length.into()];
                stream.read_exact(&mut question).await.expect("a question");
                for answer in act(&question) {
                    stream.write_all(&answer).await.expect("written");
                }
            }
        });
    }
    tokio::task::spawn_local(async move {
        let mut buffer = [0; 2_048];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            for datagram in act(&buffer[..length]) {
                socket.send_to(&datagram, peer).await.expect("sent");
            }
        }
    });
    address
}

async fn ask(nameservers: Vec<SocketAddr>) -> Result<Vec<String>, Failure> {
    let resolvers = Resolvers { timeout_retry: Duration::from_millis(100), ..Resolvers::asking(nameservers) };
    let question = Question { name: "db.internal".into(), first: Family::V6, either: true };
    let begun = Instant::now();
    let ended = resolve(&Rc::new(resolvers), &question).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    ended.map(|found| {
        assert_eq!(found.ttl, Duration::from_secs(9));
        found.addresses.iter().map(ToString::to_string).collect()
    })
}

fn act(act: impl Fn(&[u8]) -> Vec<Vec<u8>> + 'static) -> Act {
    Rc::new(act)
}

async fn local<T>(test: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(test).await
}

/// What an honest one has.
fn four() -> Vec<String> {
    vec!["10.0.0.1".to_owned()]
}

#[tokio::test]
async fn the_family_that_is_preferred_comes_first_and_the_other_if_there_is_none() {
    local(async {
        assert_eq!(ask(vec![serve(act(|question| vec![good(question)]), None).await]).await, Ok(four()));
        let both = act(|question| {
            let record: (u16, &[u8]) = if asks_four(question) { (1, &[10, 0, 0, 1]) } else { (28, &[1; 16]) };
            vec![answer(question, 0x8180, &[record])]
        });
        assert_eq!(ask(vec![serve(both, None).await]).await, Ok(vec!["101:101:101:101:101:101:101:101".to_owned()]));
        let none = act(|question| vec![answer(question, 0x8180, &[])]);
        assert_eq!(ask(vec![serve(none, None).await]).await, Err(Failure::NoAddress));
    })
    .await;
}

#[tokio::test]
async fn what_does_not_fit_the_question_is_passed_over() {
    local(async {
        let forged = act(|question| {
            let mut wrong_id = answer(question, 0x8180, &[(1, &[6, 6, 6, 6])]);
            wrong_id[0] ^= 1;
            let mut wrong_name = answer(question, 0x8180, &[(1, &[6, 6, 6, 6])]);
            wrong_name[13] = b'x';
            vec![wrong_id, wrong_name, Vec::new(), vec![0; 1_400], question.to_vec(), good(question)]
        });
        assert_eq!(ask(vec![serve(forged, None).await]).await, Ok(four()));
        let flood = act(|question| vec![vec![0xff; 12]; STRAYS + 1].into_iter().chain([good(question)]).collect());
        assert_eq!(ask(vec![serve(flood, None).await]).await, Err(Failure::Malformed), "it is given up");
    })
    .await;
}

#[tokio::test]
async fn one_that_is_silent_dead_or_wrong_is_made_up_for_by_another() {
    local(async {
        let silent = serve(act(|_| Vec::new()), None).await;
        let dead = UdpSocket::bind("127.0.0.1:0").await.expect("a socket").local_addr().expect("an address");
        let failing = serve(act(|question| vec![answer(question, 0x8182, &[])]), None).await;
        let unknown = serve(act(|question| vec![answer(question, 0x8183, &[])]), None).await;
        let garbage = serve(act(|question| vec![answer(question, 0x8180, &[(1, &[1])])]), None).await;
        let honest = serve(act(|question| vec![good(question)]), None).await;
        assert_eq!(ask(vec![silent, dead, failing, garbage]).await, Err(Failure::Code(2)));
        assert_eq!(ask(vec![silent]).await, Err(Failure::Timeout));
        assert_eq!(ask(vec![dead]).await, Err(Failure::Unreachable));
        assert_eq!(ask(vec![garbage]).await, Err(Failure::Malformed));
        assert_eq!(ask(vec![silent, unknown]).await, Err(Failure::NoName));
        assert_eq!(ask(vec![dead, garbage, honest]).await, Ok(four()));
    })
    .await;
}

#[tokio::test]
async fn a_question_that_gets_lost_is_asked_again() {
    local(async {
        let asked = Rc::new(Cell::new(0));
        let count = Rc::clone(&asked);
        let lossy = act(move |question| {
            count.set(count.get() + 1);
            if count.get() % 2 == 1 { Vec::new() } else { vec![good(question)] }
        });
        assert_eq!(ask(vec![serve(lossy, None).await]).await, Ok(four()));
        assert_eq!(asked.get(), 4, "twice a family");
    })
    .await;
}

#[tokio::test]
async fn what_does_not_fit_a_datagram_is_fetched_over_tcp() {
    local(async {
        let truncated = || act(|question| vec![answer(question, 0x8380, &[])]);
        let framed = |message: Vec<u8>| {
            let length = u16::try_from(message.len()).expect("a message");
            [length.to_be_bytes().to_vec(), message].concat()
        };
        let many: BTreeSet<[u8; 4]> = (0..200).map(|last| [10, 0, 0, last]).collect();
        let full = act(move |question| {
            let records: Vec<(u16, &[u8])> = many.iter().map(|ip| (1, &ip[..])).collect();
            vec![framed(answer(question, 0x8180, if asks_four(question) { &records } else { &[] }))]
        });
        assert_eq!(ask(vec![serve(truncated(), Some(full)).await]).await.map(|all| all.len()), Ok(200));
        let again = act(move |question| vec![framed(answer(question, 0x8380, &[]))]);
        assert_eq!(ask(vec![serve(truncated(), Some(again)).await]).await, Err(Failure::Malformed));
        let short = act(|_| vec![vec![0xff, 0xff, 0]]);
        assert_eq!(ask(vec![serve(truncated(), Some(short)).await]).await, Err(Failure::Unreachable));
        assert_eq!(ask(vec![serve(truncated(), None).await]).await, Err(Failure::Unreachable), "nobody listens");
    })
    .await;
}
