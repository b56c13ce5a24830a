//! `userlist`: who may authenticate.

use super::{
    Import,
    output::{Item, Table, Value},
    statement::Section,
};

impl Import {
    pub(super) fn userlist(&mut self, section: &Section) {
        let mut table = Table::new(&["userlist", section.name()], &section.head);
        for at in &section.body {
            match at.words().as_slice() {
                ["user", name, kind @ ("password" | "insecure-password"), password, rest @ ..] => {
                    let key = if *kind == "password" { "password" } else { "insecure_password" };
                    let pairs = vec![("name", Value::text(*name)), (key, Value::text(*password))];
                    let mut item = Item::of(at, Value::Map(pairs));
                    if !rest.is_empty() {
                        self.changed(&mut item, at, "users are in no groups: `http_auth` asks for any of the list");
                    }
                    table.row("user", item);
                }
                ["group", ..] => self.lost(&mut table, at, "users are in no groups", "a userlist for each"),
                _ => self.lost(&mut table, at, "it is not understood", ""),
            }
        }
        self.tables.push(table);
    }
}
