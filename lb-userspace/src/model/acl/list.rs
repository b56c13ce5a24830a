//! List: a file of patterns, or of keys and values, and how rules look things up in it.

/// A file that ACLs or maps look things up in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct List {
    /// As the configuration names it.
    pub file: String,
    /// How things are looked up in it, each way once; not empty.
    pub uses: Vec<Use>,
}

/// A way to look things up in a list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Use {
    /// A map: its lines are a key and a value, which is what is wanted. Otherwise its lines are patterns of an ACL.
    pub is_map: bool,
    /// HAProxy's name of how a key or pattern is compared: `str`, `beg`, `ip`, …
    pub method: &'static str,
    /// Case does not count.
    pub ignore_case: bool,
}

impl List {
    /// Whether any map, or any ACL, looks things up in it.
    pub fn is_used_as(&self, is_map: bool) -> bool {
        self.uses.iter().any(|used| used.is_map == is_map)
    }
}
