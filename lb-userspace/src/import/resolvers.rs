//! `resolvers`: there is one such section here, and all names are asked for by it.

use super::{
    Effect, Import,
    output::{Item, Table, Value},
    statement::Section,
};

impl Import {
    pub(super) fn resolvers(&mut self, section: &Section) {
        if let Some(first) = self.resolvers.clone() {
            let why = format!("names are asked for by one section: `{first}`");
            self.differs(Effect::Lost, &section.head, why, "name servers that know all names");
            self.lost_section(section);
            return;
        }
        self.resolvers = Some(section.name().to_owned());
        let mut table = Table::new(&["resolvers"], &section.head);
        for at in &section.body {
            match at.words().as_slice() {
                ["nameserver", _, address] => {
                    let address =
                        address.strip_prefix("udp@").or_else(|| address.strip_prefix("ipv4@")).unwrap_or(address);
                    table.row("nameserver", Item::of(at, Value::text(address)));
                }
                ["parse-resolv-conf"] => {
                    self.note(&mut table, at, "without `nameserver` those of /etc/resolv.conf are asked");
                }
                ["resolve_retries", number] => self.number(&mut table, at, "resolve_retries", Some(number)),
                ["timeout", "retry", time] => self.time(&mut table, at, "timeout_retry", Some(time)),
                ["timeout", "resolve", time] => self.time(&mut table, at, "timeout_resolve", Some(time)),
                ["hold", "valid", time] => {
                    self.time(&mut table, at, "ttl_max", Some(time));
                    self.differs(Effect::Note, at, "the TTL of an answer counts, up to this", "");
                }
                ["hold", what @ ("nx" | "refused" | "timeout" | "other" | "obsolete"), time] => {
                    self.time(&mut table, at, &format!("hold_{what}"), Some(time));
                }
                ["accepted_payload_size", ..] => self.note(&mut table, at, "answers may have the size that is usual"),
                _ => self.lost(&mut table, at, "there is nothing like it here", ""),
            }
        }
        for key in ["hold_nx", "hold_refused", "hold_timeout", "hold_other"] {
            if !table.has(key) {
                table.imply(key, Value::text("30s"), &section.head);
            }
        }
        self.tables.push(table);
    }
}
