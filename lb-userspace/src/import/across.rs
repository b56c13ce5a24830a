//! What HAProxy says of backends, and we of frontends.

use super::{
    Effect, Import,
    forwarded::Forwarded,
    output::{Table, Value, key_text},
};

/// The backends that a frontend names.
fn used(front: &Table) -> Vec<&str> {
    let default = front.value("default_backend").into_iter();
    let rows = match front.value("rule") {
        Some(Value::Rows(rows)) => rows.as_slice(),
        Some(_) | None => &[],
    };
    let pairs = rows.iter().filter_map(|row| match &row.value {
        Some(Value::Map(pairs)) => Some(pairs),
        Some(_) | None => None,
    });
    let routed = pairs.flatten().filter(|(key, _)| *key == "use").map(|(_, value)| value);
    let names = default.chain(routed);
    names.filter_map(Value::as_text).collect()
}

impl Import {
    /// Backends that add X-Forwarded-For: what their frontends add already is not added twice.
    pub(super) fn finish_forwarded(&mut self) {
        let wanting = self.tables.iter().filter(|table| table.is("backend.") && table.has("forwarded_for"));
        let wanting: Vec<String> = wanting.map(|table| table.name.clone()).collect();
        for name in wanting {
            let uses = |front: &&Table| used(front).iter().any(|used| name == format!("backend.{}", key_text(used)));
            let fronts = self.tables.iter().filter(|table| table.is("frontend.")).filter(uses);
            let adds: Vec<_> = fronts.map(|table| table.value("forwarded_for") == Some(&Value::Bool(true))).collect();
            let (all, some) = (adds.iter().all(|adds| *adds), adds.iter().any(|adds| *adds));
            let Some(table) = self.tables.iter_mut().find(|table| table.name == name) else { continue };
            let Some(entry) = table.entries.iter_mut().find(|entry| entry.key == "forwarded_for") else { continue };
            entry.key.clear();
            entry.item.value = None;
            let (place, words) = (entry.item.place, entry.item.words.clone());
            if all && some {
                entry.item.before.push("# Its frontends add X-Forwarded-For.".to_owned());
            } else if some {
                let why = "some of its frontends add X-Forwarded-For, and some do not: here only these do";
                entry.item.before.push(format!("# not carried over: {words}"));
                let help = Some("`option forwardfor` in all frontends, or in none".to_owned());
                let difference = self.difference(Effect::Lost, place, words, why.to_owned(), help);
                self.found.push((place, difference));
            } else {
                let mut item = entry.item.clone();
                item.before.clear();
                item.value = Some(Forwarded::default().rule());
                table.row("rule", item);
            }
        }
    }

    /// A frontend gives up what its client has given up, if its backends say so.
    pub(super) fn finish_aborts(&mut self) {
        let aborting = std::mem::take(&mut self.aborting);
        let mut mixed = Vec::new();
        for table in self.tables.iter_mut().filter(|table| table.is("frontend.")) {
            let says: Vec<_> = used(table).iter().map(|name| aborting.iter().any(|known| known == name)).collect();
            let (all, some) = (says.iter().all(|says| *says), says.iter().any(|says| *says));
            if some && all {
                let entry = table.entries.iter_mut().find(|entry| entry.key == "abort_on_close");
                if let Some(entry) = entry {
                    entry.item.value = Some(Value::Bool(true));
                }
            } else if some {
                mixed.push((table.head.place, table.head.words.clone()));
            }
        }
        for (place, words) in mixed {
            let why = "some of its backends have `option abortonclose`, and some have not: here none has it".to_owned();
            let help = Some("abort_on_close = true of the frontend".to_owned());
            let difference = self.difference(Effect::Changed, place, words, why, help);
            self.found.push((place, difference));
        }
    }
}
