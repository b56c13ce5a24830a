//! Scripts against servers in memory, and the same scripts by HAProxy and by us.

mod haproxy;

use super::*;
use crate::{
    health::testing::{ask, prober},
    model::CheckKind,
};
use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;

/// The script of these steps.
fn script(steps: &str) -> ScriptCheck {
    let prober = prober("127.0.0.1:1".parse().unwrap(), &format!("{{ type = \"script\", steps = {steps} }}"));
    let CheckKind::Script(script) = prober.target.check.kind else { panic!("another check") };
    script
}

/// What a script of one connection finds at a server that says all that and hangs up.
fn find(steps: &str, answers: &[u8]) -> Finding {
    let script = script(steps);
    ask(answers, async |wire| {
        converse(wire, &script.connections[0].steps).await?;
        Ok(passed(&script, false))
    })
}

#[test]
fn what_is_expected_may_be_anywhere_and_in_pieces() {
    let found = |steps, answers: &[u8]| find(steps, answers).to_string();
    assert_eq!(found(r#"[{ expect = "PONG" }]"#, b"so: PONG."), "L7OK (tcp-check)");
    assert_eq!(found(r#"[{ expect = "PONG" }, { expect_regex = "^so" }]"#, b"so: PONG."), "L7OK (tcp-check)");
    let missed = found(r#"[{ send = "PING" }, { expect = "PONG", comment = "ready" }]"#, b"-LOADING");
    assert_eq!(missed, "L7RSP TCPCHK did not match content 'PONG' at step 2 comment: ready");
    let empty = found(r#"[{ send = "PING" }, { expect = "PONG", comment = "ready" }]"#, b"");
    assert_eq!(empty, "L7RSP TCPCHK got an empty response at step 2 comment: 'ready'");
}

#[test]
fn a_status_and_words_of_ones_own() {
    let steps =
        r#"[{ expect = "a", on_success = "fine", ok_status = "L7OKC", on_error = "no a", error_status = "L7STS" }]"#;
    assert_eq!(find(steps, b"a").to_string(), "L7OKC fine");
    assert_eq!(find(steps, b"b").to_string(), "L7STS no a");
}

#[test]
fn more_than_the_buffer_is_not_waited_for() {
    let mut flood = vec![b'x'; 20 << 10];
    flood.extend_from_slice(b"PONG");
    assert_eq!(find(r#"[{ expect = "PONG" }]"#, &flood).code, Code::L7Response);
    assert_eq!(find(r#"[{ expect_binary_regex = "^(78)+$" }]"#, &flood).code, Code::L7Ok);
}

#[test]
fn a_long_answer_is_not_looked_at_for_each_of_its_bytes() {
    let looks = std::iter::successors(Some(1), |looked_at| Some(enough(*looked_at)).filter(|_| *looked_at < LIMIT));
    assert!(looks.count() < SHORT + 40);
}

/// A server that sends the rest of a long answer byte by byte, and slowly, is understood at once.
#[tokio::test(start_paused = true)]
async fn what_is_expected_is_seen_when_it_came_however_slowly() {
    let (mut server, client) = tokio::io::duplex(LIMIT);
    let deadline = Instant::now() + Duration::from_mins(1);
    let mut wire = Wire::new(client, "192.0.2.1:80".parse().unwrap(), deadline);
    server.write_all(&[b'x'; 8_000]).await.unwrap();
    let saying = async {
        for byte in b" ready " {
            tokio::time::sleep(Duration::from_secs(1)).await;
            server.write_all(&[*byte]).await.unwrap();
        }
        std::future::pending::<()>().await;
    };
    let (begin, script) = (Instant::now(), script(r#"[{ expect = "ready" }]"#));
    tokio::select! {
        () = saying => {}
        said = converse(&mut wire, &script.connections[0].steps) => said.unwrap(),
    }
    assert!(begin.elapsed() < Duration::from_millis(6_100), "{:?}", begin.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_answer_is_decided_alike_however_it_is_cut(answer in proptest::collection::vec(any::<u8>(), 0..300)) {
        for steps in [
            r#"[{ expect = "ab" }]"#,
            r#"[{ expect_regex = "a.*b" }, { not = true, expect = "zz" }]"#,
            r#"[{ not = true, expect_binary_regex = "^(..)*0D0A" }]"#,
        ] {
            // Without `min_recv`, which makes what came first final.
            let found = find(steps, &answer);
            prop_assert!(matches!(found.code, Code::L7Ok | Code::L7Response), "{found}");
        }
    }
}
