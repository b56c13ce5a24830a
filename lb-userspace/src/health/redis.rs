//! The Redis check (RESP 2): PING, behind a login, and the role.

use super::{
    Finding,
    finding::{Step, quote},
    wire::{LIMIT, Wire},
};
use crate::model::check::{RedisCheck, Role};

/// Logs in, pings and asks for the role, as far as `check` says.
pub(super) async fn probe(wire: &mut Wire, check: &RedisCheck) -> Step<Finding> {
    if let Some((user, password)) = check.login.as_ref().and_then(|login| Some((&login.user, login.password.as_ref()?)))
    {
        let words = [b"AUTH", user.as_bytes(), password.reveal().as_bytes()];
        let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
        wire.send(&command(&words)).await?;
        expect(wire, b"OK", "refused login").await?;
    }
    wire.send(&command(&[b"PING"])).await?;
    expect(wire, b"PONG", "not ready").await?;
    if check.role == Role::Any {
        return Ok(Finding::ok("PONG"));
    }
    Ok(Finding::ok(role(wire, check.role).await?))
}

/// A command as an array of bulk strings.
fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Waits for that simple string; an error of the server's is `what`.
async fn expect(wire: &mut Wire, wanted: &[u8], what: &str) -> Step<()> {
    let line = wire.line("the answer").await?;
    match line.split_first() {
        Some((b'+', said)) if said == wanted => Ok(()),
        Some((b'-', error)) => Err(Finding::refused(what, error)),
        Some(_) | None => Err(Finding::strange(format!("not an answer of Redis: {}", quote(&line)))),
    }
}

/// Asks whether the server is what is wanted of it.
async fn role(wire: &mut Wire, wanted: Role) -> Step<&'static str> {
    wire.send(&command(&[b"INFO", b"replication"])).await?;
    let line = wire.line("the role").await?;
    let length = match line.split_first() {
        Some((b'$', length)) => std::str::from_utf8(length).ok().and_then(|length| length.parse::<usize>().ok()),
        Some((b'-', error)) => return Err(Finding::refused("the role", error)),
        Some(_) | None => None,
    };
    let Some(length) = length.filter(|length| *length < LIMIT) else {
        return Err(Finding::strange(format!("not an answer of Redis: {}", quote(&line))));
    };
    let info = wire.exact(length, "the role").await?;
    match (field(&info, b"role"), wanted) {
        (Some(b"master"), Role::Any | Role::Primary) => Ok("master"),
        (Some(b"slave"), Role::Any) => Ok("replica"),
        (Some(b"slave"), Role::Replica) => match field(&info, b"master_link_status") {
            Some(b"up") => Ok("replica"),
            status => Err(Finding::refused("its link to the master", status.unwrap_or(b"unknown"))),
        },
        (Some(other), _) => Err(Finding::refused("its role", other)),
        (None, _) => Err(Finding::strange("no role in the answer")),
    }
}

/// The value of a field of INFO.
fn field<'a>(info: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut lines = info.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(b":"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        health::{Code, testing::ask},
        model::{CheckKind, Secret, check::Login},
    };

    fn find(role: Role, login: bool, answers: &str) -> Finding {
        let login = login.then(|| Login { user: String::new(), password: Some(Secret::new("s3cret")) });
        let check = RedisCheck { login, role };
        ask(answers.as_bytes(), async |wire| probe(wire, &check).await)
    }

    fn info(lines: &str) -> String {
        format!("+PONG\r\n${}\r\n{lines}\r\n", lines.len())
    }

    #[test]
    fn a_pong_is_enough_unless_more_is_asked_for() {
        assert_eq!(find(Role::Any, false, "+PONG\r\n"), Finding::ok("PONG"));
        assert_eq!(find(Role::Any, true, "+OK\r\n+PONG\r\n"), Finding::ok("PONG"));
        let loading = find(Role::Any, false, "-LOADING Redis is loading the dataset in memory\r\n");
        assert_eq!(loading.code, Code::L7Status);
        assert_eq!(loading.detail, "not ready: \"LOADING Redis is loading the dataset in memory\"");
        let wrong = find(Role::Any, true, "-WRONGPASS invalid username-password pair\r\n");
        assert_eq!((wrong.code, wrong.detail.starts_with("refused login")), (Code::L7Status, true));
        for strange in ["", "+PING\r\n", ":1\r\n", "220 hello\r\n", "+PONG"] {
            assert_eq!(find(Role::Any, false, strange).code, Code::L7Response, "{strange:?}");
        }
    }

    #[test]
    fn a_replica_must_have_its_master() {
        let (master, up) = (info("# Replication\r\nrole:master\r\n"), info("role:slave\r\nmaster_link_status:up\r\n"));
        let down = info("role:slave\r\nmaster_link_status:down\r\n");
        let code = |role, answers: &str| find(role, false, answers).code;
        assert_eq!([Role::Primary, Role::Replica].map(|role| code(role, &master)), [Code::L7Ok, Code::L7Status]);
        assert_eq!([Role::Primary, Role::Replica].map(|role| code(role, &up)), [Code::L7Status, Code::L7Ok]);
        assert_eq!(code(Role::Replica, &down), Code::L7Status);
        for strange in ["+PONG\r\n$99999999\r\n", "+PONG\r\n$-1\r\n", "+PONG\r\n$3\r\nabc\r\n", "+PONG\r\n$30\r\nrole:"]
        {
            assert_eq!(code(Role::Primary, strange), Code::L7Response, "{strange:?}");
        }
    }

    #[test]
    fn a_server_that_says_the_password_is_not_repeated() {
        let login = Login { user: String::new(), password: Some(Secret::new("s3cr\"et")) };
        let kind = CheckKind::Redis(RedisCheck { login: Some(login), role: Role::Any });
        let answer = b"-ERR unknown command 'AUTH', with args beginning with: 's3cr\"et'\r\n";
        let found = crate::health::holds::find(&kind, answer);
        assert_eq!(
            found.detail,
            "refused login: \"ERR unknown command \\'AUTH\\', with args beginning with: \\'***\\'\""
        );
    }

    #[test]
    fn words_go_as_they_are() {
        assert_eq!(command(&[b"AUTH", b"a\r\nb"]), b"*2\r\n$4\r\nAUTH\r\n$4\r\na\r\nb\r\n");
    }
}
