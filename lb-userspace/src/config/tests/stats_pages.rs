//! `stats_page`.

use super::{model, said};
use crate::model::userlist::Password;
use std::time::Duration;

fn text(page: &str) -> String {
    format!(
        "[global]\nmetrics = \"127.0.0.1:9100\"\n[frontend.www]\nmode = \"tcp\"\nbind = \"*:80\"\ndefault_backend = \"b\"\n\
         [backend.b]\nserver = [{{ name = \"s\", address = \"10.0.0.1:80\" }}]\n[stats_page.ops]\n{page}\n"
    )
}

#[test]
fn an_address_is_enough_and_more_can_be_said() {
    let page = |keys: &str| model(&text(keys)).global.stats_pages.remove(0);
    let plain = page("bind = \"127.0.0.1:8404\"");
    assert_eq!((plain.name.as_str(), plain.uri.as_str(), plain.realm.as_str()), ("ops", "/stats", "Sluice"));
    assert_eq!((plain.refresh, plain.node, plain.users.users.len()), (None, None, 0));
    assert!(!plain.admin && !plain.hide_version);
    let more = page(
        "bind = [\"127.0.0.1:8404\", \"[::1]:8404\"]\nuri = \"/haproxy?stats\"\nrefresh = \"10s\"\nadmin = true\nhide_version = true\n\
         realm = \"Our LB\"\nnode = \"lb1\"\nuser = [{ name = \"a\", insecure_password = \"geheim\" }]",
    );
    assert_eq!((more.binds.len(), more.refresh), (2, Some(Duration::from_secs(10))));
    assert!(more.users.users == [("a".to_owned(), Password::Clear("geheim".to_owned()))]);
    assert!(!format!("{more:?}").contains("geheim"), "{more:?}");
    assert_eq!(
        said(&text("bind = \"127.0.0.1:8404\"\nuser = [{ name = \"a\", insecure_password = \"b\" }]\nadmin = true")),
        [""; 0]
    );
}

#[test]
fn a_page_alone_is_a_configuration() {
    assert_eq!(said("[stats_page.ops]\nbind = \"127.0.0.1:8404\"\n"), [""; 0]);
}

#[test]
fn what_cannot_be_is_said() {
    const BIND: &str = "bind = \"127.0.0.1:8404\"\n";
    for (keys, wrong) in [
        ("", "statistics page `ops` is served nowhere"),
        ("bind = []", "is served nowhere"),
        ("bind = \"127.0.0.1\"", "127.0.0.1"),
        ("bind = \"127.0.0.1:80\"", "frontend `www` listens on 127.0.0.1:80 already"),
        ("bind = \"127.0.0.1:9100\"", "127.0.0.1:9100 is taken already"),
        ("bind = [\"127.0.0.1:1\", \"*:1\"]", "0.0.0.0:1 is taken already"),
        (&format!("{BIND}uri = \"stats\""), "cannot be the URI"),
        (&format!("{BIND}uri = \"/a;csv\""), "cannot be the URI"),
        (&format!("{BIND}uri = \"/a b\""), "cannot be the URI"),
        (&format!("{BIND}refresh = \"500ms\""), "`refresh` must be from 1s to 1d"),
        (&format!("{BIND}realm = 'a\"b'"), "`realm` must be words"),
        (&format!("{BIND}realm = \"a\\r\\nb\""), "`realm` must be words"),
        (&format!("{BIND}node = \"\""), "`node` must be words"),
        (&format!("{BIND}user = [{{ name = \"a\" }}]"), "a user needs a `password`"),
        (&format!("{BIND}admin = true"), "everybody who reaches this page may take servers out"),
        (&format!("{BIND}adm = true"), "unknown key `adm`"),
    ] {
        let complaints = said(&text(keys)).join("\n");
        assert!(complaints.contains(wrong), "{keys}: {complaints}");
    }
}
