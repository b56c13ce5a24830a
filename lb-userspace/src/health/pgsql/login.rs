//! Login to PostgreSQL: whatever it asks for, until it is ready for a query.

use super::{
    message::{Messages, complaint, not_pgsql, number, startup, unwilling},
    scram::{Expected, MECHANISM, Scram, nonce},
};
use crate::{
    health::{
        Code, Finding,
        finding::{Step, quote},
        wire::Upgrade,
    },
    model::{Secret, check::SqlLogin},
};
use md5::{Digest as _, Md5};

/// What asks for TLS.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// What the server logs shows who asked.
const NAME: &str = "sluice";

/// How far the login is.
enum State {
    /// Nothing was proved.
    Begun,
    /// A password was sent, of which no answer but yes or no is left.
    Sent,
    /// SCRAM has begun.
    Scram(Scram),
    /// Our proof was sent: the server's must come.
    Proved(Box<Expected>),
    /// The server is in.
    Done,
}

/// Logs in, in TLS if there is an `upgrade`.
pub(super) async fn login(messages: &mut Messages<'_>, login: &SqlLogin, upgrade: Option<Upgrade<'_>>) -> Step<()> {
    if let Some(upgrade) = upgrade {
        start_tls(messages, upgrade).await?;
    }
    let user = &login.login.user;
    let database = login.database.as_deref().map(|name| ("database", name));
    let settings: Vec<_> =
        [("user", user.as_str())].into_iter().chain(database).chain([("application_name", NAME)]).collect();
    messages.wire.send(&startup(&settings)).await?;
    let client = Client { login, may_be_clear: upgrade.is_some() || login.clear_password };
    let mut state = State::Begun;
    loop {
        let (letter, body) = messages.read("the answer to the login").await?;
        match (letter, &state) {
            (b'R', State::Begun | State::Sent | State::Scram(_) | State::Proved(_)) => {
                state = client.step(messages, state, &body).await?;
            }
            (b'Z', State::Done) => return Ok(()),
            (b'E', _) => return Err(complaint("refused login", &body)),
            // Settings, a key to cancel by, notices, and that we are of another version than the newest.
            (b'S' | b'K' | b'N' | b'v', _) => {}
            (_, _) => return Err(not_pgsql(&[&[letter], &*body].concat())),
        }
    }
}

async fn start_tls(messages: &mut Messages<'_>, Upgrade { connector, name }: Upgrade<'_>) -> Step<()> {
    messages.wire.send(&SSL_REQUEST).await?;
    let answer = messages.wire.exact(1, "whether there is TLS").await?;
    match *answer {
        [b'S'] => messages.wire.start_tls(connector, name).await.map(drop),
        [b'N'] => Err(Finding::new(Code::L6Response, "the server has no TLS")),
        _ => Err(Finding::new(Code::L6Response, format!("neither TLS nor none: {}", quote(&answer)))),
    }
}

/// Who logs in.
struct Client<'c> {
    login: &'c SqlLogin,
    /// The password may go in clear text, which the connection may be.
    may_be_clear: bool,
}

impl Client<'_> {
    /// Answers what the server asks for.
    async fn step(&self, messages: &mut Messages<'_>, state: State, asked: &[u8]) -> Step<State> {
        let Some((code, data)) = number(asked) else { return Err(not_pgsql(asked)) };
        match (code, state) {
            (OK, State::Begun | State::Sent) => Ok(State::Done),
            (CLEAR, State::Begun) => {
                let password = self.password()?;
                if !self.may_be_clear {
                    return Err(unwilling(
                        "the server wants the password in clear text: that needs `tls`, or `clear_password`",
                    ));
                }
                messages.send(b'p', &[password.reveal().as_bytes(), b"\0"].concat()).await?;
                Ok(State::Sent)
            }
            (MD5, State::Begun) => {
                let hashed = hashed(&self.login.login.user, self.password()?, data);
                messages.send(b'p', &[hashed.as_bytes(), b"\0"].concat()).await?;
                Ok(State::Sent)
            }
            (SASL, State::Begun) => {
                if !data.split(|byte| *byte == 0).any(|mechanism| mechanism == MECHANISM.as_bytes()) {
                    return Err(Finding::refused("the server wants a login that is not known here", data));
                }
                self.password()?;
                let scram = Scram::new("", nonce()?);
                let first = scram.first();
                let [.., a, b, c, d] = first.len().to_be_bytes();
                let body = [MECHANISM.as_bytes(), b"\0", &[a, b, c, d], first.as_bytes()].concat();
                messages.send(b'p', &body).await?;
                Ok(State::Scram(scram))
            }
            (SASL_CONTINUE, State::Scram(scram)) => {
                let challenge = scram.challenge(data)?;
                let whose = (messages.wire.address(), self.login.login.user.as_str());
                let hash = challenge.hash(whose, self.password()?, messages.wire.deadline()).await?;
                let (last, expected) = scram.last(&challenge, &hash);
                messages.send(b'p', last.as_bytes()).await?;
                Ok(State::Proved(Box::new(expected)))
            }
            (SASL_FINAL, State::Proved(expected)) => {
                expected.verify(data)?;
                Ok(State::Sent)
            }
            (OK, State::Scram(_) | State::Proved(_)) => Err(unwilling("whoever answers does not prove the password")),
            (2 | 6..=9, State::Begun) => {
                Err(unwilling(&format!("the server wants a login that is not known here: {code}")))
            }
            (_, _) => Err(not_pgsql(asked)),
        }
    }

    fn password(&self) -> Step<&Secret> {
        self.login.login.password.as_ref().ok_or_else(|| unwilling("the server wants a password"))
    }
}

/// What the server asks for, by number.
const OK: u32 = 0;
const CLEAR: u32 = 3;
const MD5: u32 = 5;
const SASL: u32 = 10;
const SASL_CONTINUE: u32 = 11;
const SASL_FINAL: u32 = 12;

/// A password as PostgreSQL's `md5` has it.
fn hashed(user: &str, password: &Secret, salt: &[u8]) -> String {
    let kept = hex(&[password.reveal().as_bytes(), user.as_bytes()]);
    format!("md5{}", hex(&[kept.as_bytes(), salt]))
}

fn hex(parts: &[&[u8]]) -> String {
    let mut hash = Md5::new();
    for part in parts {
        hash.update(part);
    }
    let digits = hash.finalize().into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By Python's hashlib.
    #[test]
    fn md5_is_what_others_compute() {
        assert_eq!(hashed("app", &Secret::new("s3cret"), &[1, 2, 3, 4]), "md51460f94130eb931937bbd6439ee8ab57");
    }
}
