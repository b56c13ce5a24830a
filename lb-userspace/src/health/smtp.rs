//! The SMTP check: the banner, a greeting, TLS if it is begun there, and an orderly end.

use super::{
    Finding,
    finding::{Step, quote},
    reply::{Lines, reply},
    wire::{Upgrade, Wire},
};
use crate::model::check::SmtpCheck;

/// Greets the server once its banner is complete, since some send the first line of it alone to see who speaks too early;
/// goes on in `tls`, if given, and greets it again.
pub(super) async fn probe(wire: &mut Wire, check: &SmtpCheck, tls: Option<Upgrade<'_>>) -> Step<Finding> {
    let banner = reply(wire, Lines::Marked, "the banner").await?.of(2, "not ready")?;
    hello(wire, check).await?;
    if let Some(tls) = tls {
        say(wire, b"STARTTLS\r\n", "STARTTLS").await?;
        wire.start_tls(tls.connector, tls.name).await?;
        hello(wire, check).await?;
    }
    say(wire, b"QUIT\r\n", "QUIT").await?;
    Ok(Finding::ok(quote(banner.text())))
}

async fn hello(wire: &mut Wire, check: &SmtpCheck) -> Step<()> {
    let word = check.hello.word();
    say(wire, format!("{word} {}\r\n", check.domain).as_bytes(), word).await
}

/// Says that, and wants it to be done.
async fn say(wire: &mut Wire, command: &[u8], what: &str) -> Step<()> {
    wire.send(command).await?;
    reply(wire, Lines::Marked, what).await?.of(2, what)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        health::{Code, testing::ask},
        model::check::Hello,
    };
    use proptest::prelude::*;

    fn find(answers: &[u8]) -> Finding {
        let check = SmtpCheck { hello: Hello::Extended, domain: "lb.test".to_owned(), starttls: false };
        ask(answers, async |wire| probe(wire, &check, None).await)
    }

    const WHOLE: &str = "220-mx.test waits\r\n220 mx.test ESMTP Postfix\r\n250-mx.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n221 2.0.0 Bye\r\n";

    #[test]
    fn replies_of_many_lines_are_read_to_their_end() {
        assert_eq!(find(WHOLE.as_bytes()), Finding::ok("\"mx.test ESMTP Postfix\""));
        assert_eq!(find(b"220 a\r\n250\r\n221\r\n"), Finding::ok("\"a\""));
        assert_eq!(find(b"220\n250 b\n221 c\n"), Finding::ok("\"\""), "some end lines as Unix does");
    }

    #[test]
    fn what_it_refuses_is_told_from_what_is_no_smtp() {
        let busy = find(b"421 4.3.2 too many connections\r\n");
        assert_eq!(busy.to_string(), "L7STS not ready: \"421 4.3.2 too many connections\"");
        assert_eq!(find(b"554-go\r\n554 away\r\n").code, Code::L7Status);
        assert_eq!(find(b"220 a\r\n502 5.5.2 what?\r\n").to_string(), "L7STS EHLO: \"502 5.5.2 what?\"");
        assert_eq!(find(b"220 a\r\n250 b\r\n421 c\r\n").to_string(), "L7STS QUIT: \"421 c\"");
        for strange in [
            "",
            "220",
            "220-a\r\n",
            "220-a\r\n250 b\r\n",
            "2200 a\r\n",
            "+20 a\r\n",
            "099 a\r\n",
            "600 a\r\n",
            "SSH-2.0-OpenSSH_9.2\r\n",
            "220-a\r\nb\r\n",
            "\u{e9}\u{e9} x\r\n",
        ] {
            assert_eq!(find(strange.as_bytes()).code, Code::L7Response, "{strange:?}");
        }
    }

    #[test]
    fn a_reply_without_end_is_left() {
        let endless = "220-more\r\n".repeat(10_000);
        assert_eq!(find(endless.as_bytes()).detail, "the banner: longer than 16384 bytes");
        assert!(find(&b"2".repeat(40_000)).detail.contains("a line longer than"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn no_answer_is_taken_for_a_success_that_is_none(at in 0..WHOLE.len(), with in any::<u8>(), cut in 0..WHOLE.len()) {
            let mut mutated = WHOLE.as_bytes().to_vec();
            mutated[at] = with;
            // However it is changed, it ends; and what is cut off is no success.
            find(&mutated);
            prop_assert_ne!(find(&WHOLE.as_bytes()[..cut]).code, Code::L7Ok);
        }

        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            find(&bytes);
        }
    }
}
