//! Errors that only the kernel half knows.

use super::{assert_errors, assert_warnings, said};

#[test]
fn l4_needs_what_the_kernel_half_needs() {
    assert_errors(L4_NEEDS_WHAT_THE_KERNEL_HALF_NEEDS, L4_NEEDS_WHAT_THE_KERNEL_HALF_NEEDS_REPORT);
}

const L4_NEEDS_WHAT_THE_KERNEL_HALF_NEEDS: &str = r#"[frontend.dns]
mode = "l4"
bind = ["*:53", "[2001:db8::1]:53"]
timeout_client = "1m"
default_backend = "resolvers"

[backend.resolvers]
balance = "roundrobin"

[[backend.resolvers.server]]
name = "one"
address = "[2001:db8::2]:53"
"#;

const L4_NEEDS_WHAT_THE_KERNEL_HALF_NEEDS_REPORT: &str = r#"error: l4 frontends need the network interfaces that their packets come in by
 --> sluice.toml:2:8
  |
2 | mode = "l4"
  |        ^^^^
  |
  = help: name them: `[global]` interfaces = ["eth0"]

error: an l4 frontend needs one address of its own, not `0.0.0.0`
 --> sluice.toml:3:9
  |
3 | bind = ["*:53", "[2001:db8::1]:53"]
  |         ^^^^^^
  |
  = help: the kernel half forwards every packet to that address: name the VIP

error: `timeout_client` has no meaning in mode `l4`
 --> sluice.toml:4:18
  |
4 | timeout_client = "1m"
  |                  ^^^^
  |
  = help: the kernel half sees single packets: neither connections nor requests

error: backend `resolvers` does not say how packets reach its servers
 --> sluice.toml:7:10
  |
5 | default_backend = "resolvers"
  |                   ----------- used by l4 frontend `dns` here
6 |
7 | [backend.resolvers]
  |          ^^^^^^^^^
  |
  = help: forward = "direct", "ipip" or "gue" if the servers own the VIP and answer clients themselves; forward = "nat" if their replies pass here; forward = "fullnat" if they answer to an address of this machine's

error: l4 frontends balance by maglev or source, but backend `resolvers` does not
 --> sluice.toml:8:11
  |
5 | default_backend = "resolvers"
  |                   ----------- used by l4 frontend `dns` here
...
8 | balance = "roundrobin"
  |           ^^^^^^^^^^^^
  |
  = help: the kernel half keeps no turn and counts no load: it hashes each packet, so that every balancer of a group picks the same server; set "maglev"
"#;

#[test]
fn l4_has_neither_tls_nor_rules() {
    let text = r#"[global]
interfaces = ["eth0"]
hash_key = "000102030405060708090a0b0c0d0e0f"

[frontend.www]
mode = "l4"
bind = [{ address = "192.0.2.10:443", tls = { certificates = "certs" } }]
acl.admin = "path_beg /admin/"
rule = [{ if = "admin", use = "web" }]
default_backend = "web"

[backend.web]
forward = "nat"
server = [{ name = "web1", address = "10.0.0.1:80" }]
"#;
    let expected = r#"error: an l4 frontend cannot terminate TLS: it forwards packets as they are
 --> sluice.toml:7:45
  |
7 | bind = [{ address = "192.0.2.10:443", tls = { certificates = "certs" } }]
  |                                             ^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: use mode "tcp" or "http", or let the servers terminate TLS

error: the certificates in `certs` were not read
 --> sluice.toml:7:62
  |
7 | bind = [{ address = "192.0.2.10:443", tls = { certificates = "certs" } }]
  |                                                              ^^^^^^^

error: `acl` has no meaning in mode `l4`
 --> sluice.toml:8:5
  |
8 | acl.admin = "path_beg /admin/"
  |     ^^^^^
  |
  = help: the kernel half sees single packets: neither connections nor requests

error: `rule` has no meaning in mode `l4`
 --> sluice.toml:9:31
  |
9 | rule = [{ if = "admin", use = "web" }]
  |                               ^^^^^
  |
  = help: the kernel half sees single packets: neither connections nor requests
"#;
    assert_errors(text, expected);
}

#[test]
fn direct_cannot_map_ports() {
    let text = r#"[global]
interfaces = ["eth0"]
hash_key = "000102030405060708090a0b0c0d0e0f"

[frontend.dns]
mode = "l4"
bind = [{ address = "192.0.2.10:53", protocol = "udp" }]
default_backend = "resolvers"

[backend.resolvers]
forward = "direct"
server = [{ name = "one", address = "10.0.0.1:5353" }, { name = "two", address = "10.0.0.2" }]
"#;
    let expected = r#"error: `direct` cannot map port 53 of the VIP to port 5353 of the server
  --> sluice.toml:12:37
   |
 7 | bind = [{ address = "192.0.2.10:53", protocol = "udp" }]
   |                     --------------- the VIP
...
12 | server = [{ name = "one", address = "10.0.0.1:5353" }, { name = "two", address = "10.0.0.2" }]
   |                                     ^^^^^^^^^^^^^^^
   |
   = help: the server gets the client's packet unchanged: leave the port out, or use forward = "nat"
"#;
    assert_errors(text, expected);
}

#[test]
fn nat_replies_must_be_unambiguous() {
    let text = r#"[global]
interfaces = ["eth0"]
hash_key = "000102030405060708090a0b0c0d0e0f"

[frontend.a]
mode = "l4"
bind = "192.0.2.10:80"
default_backend = "web"

[frontend.b]
mode = "l4"
bind = "192.0.2.11:80"
default_backend = "other"

[backend.web]
forward = "nat"
server = [{ name = "web1", address = "10.0.0.1" }]

[backend.other]
forward = "nat"
server = [{ name = "web1", address = "10.0.0.1:80" }]
"#;
    let expected = r#"error: server 10.0.0.1:80 would serve two `nat` VIPs, 192.0.2.10:80 and 192.0.2.11:80
  --> sluice.toml:12:8
   |
 7 | bind = "192.0.2.10:80"
   |        --------------- the other VIP
...
12 | bind = "192.0.2.11:80"
   |        ^^^^^^^^^^^^^^^
   |
   = help: nothing in a server's reply tells which VIP it belongs to: give each VIP a port or address of the server, or have every flow remembered: track = "full" in the backends of both
"#;
    assert_errors(text, expected);
}

#[test]
fn one_nat_server_behind_two_vips_is_refused() {
    let text = r#"[global]
interfaces = ["eth0"]
hash_key = "000102030405060708090a0b0c0d0e0f"

[frontend.www]
mode = "l4"
bind = ["192.0.2.10:80", "192.0.2.10:443", { address = "192.0.2.10:80", protocol = "udp" }]
default_backend = "web"

[backend.web]
forward = "nat"
server = [{ name = "web1", address = "10.0.0.1:80" }, { name = "web2", address = "10.0.0.2:80" }]
"#;
    let expected = r#"error: server 10.0.0.1:80 would serve two `nat` VIPs, 192.0.2.10:80 and 192.0.2.10:443
 --> sluice.toml:7:26
  |
7 | bind = ["192.0.2.10:80", "192.0.2.10:443", { address = "192.0.2.10:80", protocol = "udp" }]
  |         ---------------  ^^^^^^^^^^^^^^^^
  |         |
  |         the other VIP
  |
  = help: nothing in a server's reply tells which VIP it belongs to: give each VIP a port or address of the server, or have every flow remembered: track = "full" in the backends of both
"#;
    assert_errors(text, expected);
}

/// VIPs of two frontends by `nat`, each with its address, that of the server, and further keys of the backend.
fn two_nat(one: [&str; 3], other: [&str; 3]) -> Vec<String> {
    let part = |name: &str, [vip, server, more]: [&str; 3]| {
        format!(
            "[frontend.{name}]\nmode = \"l4\"\nbind = \"{vip}\"\ndefault_backend = \"{name}\"\n[backend.{name}]\nforward = \"nat\"\n{more}\nserver = [{{ name = \"s\", address = \"{server}\" }}]\n"
        )
    };
    let global = "[global]\ninterfaces = \"eth0\"\nhash_key = \"000102030405060708090a0b0c0d0e0f\"\n";
    said(&(global.to_owned() + &part("a", one) + &part("b", other)))
}

#[test]
fn replies_from_ranges_and_all_ports_must_be_unambiguous_too() {
    let said = |one: [&str; 2], other: [&str; 2]| two_nat([one[0], one[1], ""], [other[0], other[1], ""]);
    let range = ["192.0.2.10:8000-8100", "10.0.0.1"];
    let all = ["192.0.2.10:*", "10.0.0.1"];
    for other in [
        ["192.0.2.10:9000-9100", "10.0.0.1"],
        ["192.0.2.11:9000-9100", "10.0.0.2"],
        ["192.0.2.11:80", "10.0.0.1:80"],
        ["192.0.2.10:80", "10.0.0.1:7999"],
    ] {
        assert!(said(range, other).is_empty(), "{other:?}");
    }
    assert!(said(all, ["192.0.2.10:80", "10.0.0.1"]).is_empty(), "the same VIP either way");
    let message = |one: &str, other: &str, server: &str| {
        vec![format!("server {server} would serve two `nat` VIPs, {one} and {other}")]
    };
    let both = |one: [&str; 2], other: [&str; 2], server: &str| {
        assert_eq!(said(one, other), message(one[0], other[0], server));
    };
    both(range, ["192.0.2.11:9000-9100", "10.0.0.1"], "10.0.0.1:9000-9100");
    both(range, ["192.0.2.11:8050", "10.0.0.1"], "10.0.0.1:8050");
    both(range, ["192.0.2.11:80", "10.0.0.1:8050"], "10.0.0.1:8050");
    both(all, ["192.0.2.10:80", "10.0.0.1:8080"], "10.0.0.1:8080");
    both(all, ["192.0.2.11:*", "10.0.0.1"], "10.0.0.1:*");
    both(["[2001:db8::10]:80", "[2001:db8::1]:80"], ["[2001:db8::11]:80", "[2001:db8::1]:80"], "[2001:db8::1]:80");
}

#[test]
fn where_both_backends_remember_all_flows_a_server_may_serve_two_vips() {
    let (one, other, full) = (["192.0.2.10:80", "10.0.0.1:80"], ["192.0.2.11:80", "10.0.0.1:80"], "track = \"full\"");
    let said = |first: &str, second: &str| two_nat([one[0], one[1], first], [other[0], other[1], second]);
    assert!(said(full, full).is_empty());
    for (first, second) in [("", full), (full, "")] {
        assert_eq!(
            said(first, second),
            ["server 10.0.0.1:80 would serve two `nat` VIPs, 192.0.2.10:80 and 192.0.2.11:80"]
        );
    }
}

#[test]
fn a_server_is_no_vip() {
    let text = r#"[global]
interfaces = ["eth0"]
hash_key = "000102030405060708090a0b0c0d0e0f"

[frontend.dns]
mode = "l4"
bind = [{ address = "192.0.2.10:53", protocol = "udp" }]
default_backend = "resolvers"

[backend.resolvers]
forward = "nat"
server = [{ name = "one", address = "192.0.2.10:5353" }]
"#;
    let expected = r#"error: the server's address 192.0.2.10 is a VIP: packets would go round in circles
  --> sluice.toml:12:37
   |
 7 | bind = [{ address = "192.0.2.10:53", protocol = "udp" }]
   |                     --------------- the VIP
...
12 | server = [{ name = "one", address = "192.0.2.10:5353" }]
   |                                     ^^^^^^^^^^^^^^^^^
"#;
    assert_errors(text, expected);
}

#[test]
fn a_guessable_hash_key_is_warned_of() {
    let text = r#"[global]
interfaces = "eth0"

[frontend.dns]
mode = "l4"
bind = [{ address = "192.0.2.10:53", protocol = "udp" }]
default_backend = "resolvers"

[backend.resolvers]
forward = "direct"
server = [{ name = "one", address = "10.0.0.1" }]
"#;
    let expected = r#"warning: without a `hash_key` of your own clients can compute which server they get
 --> sluice.toml:5:8
  |
5 | mode = "l4"
  |        ^^^^
  |
  = help: `[global]` hash_key, the same on all balancers of a group: openssl rand -hex 16
"#;
    assert_warnings(text, expected);
}
