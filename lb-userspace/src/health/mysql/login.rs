//! Login to MySQL: its greeting, our answer, and what it wants to hear after that.

use super::{
    packet::{Fields, Packets, complaint},
    plugin::{ASK_KEY_CACHING, Plugin, Proof},
};
use crate::{
    health::{
        Code, Finding,
        finding::{Step, quote},
        wire::Upgrade,
    },
    model::check::SqlLogin,
};

const LONG_PASSWORD: u32 = 1;
const CONNECT_WITH_DB: u32 = 1 << 3;
const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;

/// Longest packet that we would take: MySQL's own default.
const LONGEST: u32 = 1 << 24;
/// utf8mb4 with its general order, which MySQL and MariaDB have since 5.5.
const CHARSET: u8 = 45;
/// Longest dialogue after the answer to the greeting; the longest that makes sense is a switch, a key and two words.
const ROUNDS: usize = 8;

/// What the server says first.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Greeting {
    pub(super) version: Vec<u8>,
    capabilities: u32,
    nonce: Vec<u8>,
    plugin: Vec<u8>,
}

impl Greeting {
    /// Reads it; the server may refuse us before it greets.
    pub(super) fn read(packet: &[u8]) -> Step<Self> {
        match packet.first() {
            Some(0xff) => Err(complaint("refused", packet)),
            Some(10) => Self::parse(packet).ok_or_else(|| not_mysql(packet)),
            Some(_) | None => Err(not_mysql(packet)),
        }
    }

    fn parse(packet: &[u8]) -> Option<Self> {
        let mut fields = Fields(packet);
        let _ten = fields.byte()?;
        let version = fields.zero_terminated()?;
        // MariaDB before 11 says that first, for replicas that want a MySQL.
        let version = version.strip_prefix(b"5.5.5-").unwrap_or(version).to_vec();
        let _connection = fields.take(4)?;
        let mut nonce = fields.take(8)?.to_vec();
        let _filler = fields.byte()?;
        let low = fields.u16()?;
        let _charset_and_status = fields.take(3)?;
        let capabilities = u32::from(low) | u32::from(fields.u16()?) << 16;
        let length = usize::from(fields.byte()?);
        let _reserved = fields.take(10)?;
        if capabilities & SECURE_CONNECTION != 0 {
            nonce.extend_from_slice(fields.take(length.saturating_sub(8).max(13))?);
        }
        // Some versions forget the zero at the end of the name.
        let plugin = fields.zero_terminated().unwrap_or(fields.0).to_vec();
        Some(Self { version, capabilities, nonce: trimmed(&nonce).to_vec(), plugin })
    }

    fn has(&self, capability: u32) -> bool {
        self.capabilities & capability != 0
    }
}

/// A nonce without the zero that ends it.
fn trimmed(nonce: &[u8]) -> &[u8] {
    nonce.strip_suffix(b"\0").unwrap_or(nonce)
}

fn not_mysql(packet: &[u8]) -> Finding {
    Finding::strange(format!("not a greeting of MySQL: {}", quote(packet)))
}

/// Logs in, in TLS if there is an `upgrade`. The version of the server.
pub(super) async fn login(packets: &mut Packets<'_>, login: &SqlLogin, upgrade: Option<Upgrade<'_>>) -> Step<Vec<u8>> {
    let greeting = Greeting::read(&packets.read("the greeting").await?)?;
    if !(greeting.has(PROTOCOL_41) && greeting.has(SECURE_CONNECTION)) {
        return Err(Finding::strange("the server is older than MySQL 4.1"));
    }
    let mut capabilities = LONG_PASSWORD | PROTOCOL_41 | SECURE_CONNECTION;
    capabilities |= greeting.capabilities & (TRANSACTIONS | PLUGIN_AUTH);
    if login.database.is_some() {
        capabilities |= CONNECT_WITH_DB;
    }
    if let Some(Upgrade { connector, name }) = upgrade {
        if !greeting.has(SSL) {
            return Err(Finding::new(Code::L6Response, "the server has no TLS"));
        }
        capabilities |= SSL;
        packets.send(&opening(capabilities)).await?;
        packets.wire.start_tls(connector, name).await?;
    }
    let password = login.login.password.as_ref().map_or("", |password| password.reveal()).as_bytes();
    let proof = Proof { password, encrypted: upgrade.is_some(), clear: login.clear_password };
    // What the server names is a guess, as it does not know yet who comes; it will say so if the user has another one.
    let plugin = match Plugin::of(&greeting.plugin) {
        Some(known @ (Plugin::Native | Plugin::CachingSha2 | Plugin::Sha256)) if greeting.has(PLUGIN_AUTH) => known,
        Some(_) | None => Plugin::Native,
    };
    let first = proof.first(plugin, &greeting.nonce)?;
    packets.send(&answer(capabilities, login, plugin, &first)?).await?;
    prove(packets, proof, plugin, greeting.nonce).await?;
    Ok(greeting.version)
}

/// How the answer begins; all of it, if TLS comes first.
fn opening(capabilities: u32) -> Vec<u8> {
    let mut payload = [capabilities, LONGEST].map(u32::to_le_bytes).concat();
    payload.push(CHARSET);
    payload.extend_from_slice(&[0; 23]);
    payload
}

/// The answer to the greeting.
fn answer(capabilities: u32, login: &SqlLogin, plugin: Plugin, proof: &[u8]) -> Step<Vec<u8>> {
    let mut payload = opening(capabilities);
    payload.extend_from_slice(login.login.user.as_bytes());
    payload.push(0);
    // Only a clear password is as long as that, and none that MySQL takes.
    let length =
        u8::try_from(proof.len()).map_err(|_longer| Finding::new(Code::L7Status, "the password is too long"))?;
    payload.push(length);
    payload.extend_from_slice(proof);
    for text in login.database.as_deref().into_iter().chain((capabilities & PLUGIN_AUTH != 0).then(|| plugin.name())) {
        payload.extend_from_slice(text.as_bytes());
        payload.push(0);
    }
    Ok(payload)
}

/// Says what the server wants to hear until it has heard enough.
async fn prove(packets: &mut Packets<'_>, proof: Proof<'_>, mut plugin: Plugin, mut nonce: Vec<u8>) -> Step<()> {
    for _ in 0..ROUNDS {
        let packet = packets.read("the answer to the login").await?;
        match packet.split_first() {
            Some((0x00, _)) => return Ok(()),
            Some((0xff, _)) => return Err(complaint("refused login", &packet)),
            Some((0xfe, rest)) => {
                (plugin, nonce) = switch(rest)?;
                packets.send(&proof.first(plugin, &nonce)?).await?;
            }
            Some((0x01, more)) => match (plugin, more) {
                // The server knows the proof from an earlier time.
                (Plugin::CachingSha2, [3]) => {}
                (Plugin::CachingSha2, [4]) if proof.encrypted => packets.send(&proof.terminated()).await?,
                (Plugin::CachingSha2, [4]) => packets.send(&[ASK_KEY_CACHING]).await?,
                (Plugin::CachingSha2 | Plugin::Sha256, key) if !proof.encrypted => {
                    packets.send(&proof.sealed(key, &nonce)?).await?;
                }
                (Plugin::Native | Plugin::Clear | Plugin::CachingSha2 | Plugin::Sha256, _) => {
                    return Err(Finding::strange(format!("more than {} has: {}", plugin.name(), quote(more))));
                }
            },
            Some(_) | None => {
                return Err(Finding::strange(format!("not an answer of MySQL: {}", quote(&packet))));
            }
        }
    }
    Err(Finding::strange("the login does not end"))
}

/// The plugin that the user has, and a new nonce.
fn switch(rest: &[u8]) -> Step<(Plugin, Vec<u8>)> {
    let mut fields = Fields(rest);
    let Some(name) = fields.zero_terminated() else {
        return Err(Finding::new(Code::L7Status, "the server wants the login of MySQL before 4.1, which is not safe"));
    };
    match Plugin::of(name) {
        Some(plugin) => Ok((plugin, trimmed(fields.0).to_vec())),
        None => Err(Finding::refused("the user's plugin is none that is known here", name)),
    }
}
