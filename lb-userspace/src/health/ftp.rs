//! The FTP check: the banner, TLS if it is begun there, a login if one is given, and an orderly end.

use super::{
    Finding,
    finding::{Step, quote},
    reply::{Lines, Reply, reply},
    wire::{Upgrade, Wire},
};
use crate::model::check::FtpCheck;

/// Goes on in `tls`, if given, once the server is ready.
pub(super) async fn probe(wire: &mut Wire, check: &FtpCheck, tls: Option<Upgrade<'_>>) -> Step<Finding> {
    // 120 is a reply too: it will be ready in some minutes.
    let banner = reply(wire, Lines::Free, "the banner").await?.of(2, "not ready")?;
    if let Some(tls) = tls {
        say(wire, "AUTH", "TLS").await?.of(2, "AUTH TLS")?;
        wire.start_tls(tls.connector, tls.name).await?;
    }
    if let Some(login) = &check.login {
        let mut answer = say(wire, "USER", &login.user).await?;
        if let (331, Some(password)) = (answer.code, &login.password) {
            answer = say(wire, "PASS", password.reveal()).await?;
        }
        answer.of(2, "refused login")?;
    }
    say(wire, "QUIT", "").await?.of(2, "QUIT")?;
    Ok(Finding::ok(quote(banner.text())))
}

async fn say(wire: &mut Wire, command: &str, argument: &str) -> Step<Reply> {
    let space = if argument.is_empty() { "" } else { " " };
    wire.send(format!("{command}{space}{argument}\r\n").as_bytes()).await?;
    reply(wire, Lines::Free, command).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        health::{Code, testing::ask},
        model::{Secret, check::Login},
    };
    use proptest::prelude::*;

    fn find(login: bool, answers: &[u8]) -> Finding {
        let login = login.then(|| Login { user: "probe".to_owned(), password: Some(Secret::new("s3cret")) });
        let check = FtpCheck { login, starttls: false };
        ask(answers, async |wire| probe(wire, &check, None).await)
    }

    const WHOLE: &str = "220-Welcome\r\n to this\r\n230 files\r\n220 ready\r\n331 password?\r\n230-You are\r\nin\r\n230 now\r\n221 Bye\r\n";

    #[test]
    fn a_banner_is_read_to_its_end_and_a_login_must_succeed() {
        assert_eq!(find(true, WHOLE.as_bytes()), Finding::ok("\"ready\""));
        assert_eq!(find(false, b"220 (vsFTPd 3.0.3)\r\n221 Goodbye.\r\n"), Finding::ok("\"(vsFTPd 3.0.3)\""));
        assert_eq!(find(true, b"220 a\r\n230 in\r\n221 b\r\n"), Finding::ok("\"a\""), "without a password");
        let wrong = find(true, b"220 a\r\n331 b\r\n530 Login incorrect.\r\n");
        assert_eq!(wrong.to_string(), "L7STS refused login: \"530 Login incorrect.\"");
        assert_eq!(find(false, b"421 Too many users\r\n").code, Code::L7Status);
        assert_eq!(find(false, b"120 in 3 minutes\r\n").code, Code::L7Status);
        for strange in ["", "220", "220-a\r\n", "SSH-2.0-x\r\n", "220 a\r\n", "22\r\n"] {
            assert_eq!(find(false, strange.as_bytes()).code, Code::L7Response, "{strange:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn nothing_cut_off_is_a_success_and_nothing_lasts(at in 0..WHOLE.len(), with in any::<u8>(), cut in 0..WHOLE.len()) {
            let mut mutated = WHOLE.as_bytes().to_vec();
            mutated[at] = with;
            find(true, &mutated);
            prop_assert_ne!(find(true, &WHOLE.as_bytes()[..cut]).code, Code::L7Ok);
        }
    }
}
