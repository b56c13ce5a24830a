//! Converter: makes one value of another. configuration.txt, section 7.3.1.

use super::{Kind, expression::Constant, patterns::Lookup};
use regex::bytes::Regex;
use std::sync::Arc;

/// Makes one value of another. In the words of configuration.txt, section 7.3.1.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Converter {
    /// `lower`, `upper`.
    Case(Case),
    /// `length`.
    Length,
    /// `field(index,delimiters[,count])`: parts between delimiters; empty ones count.
    Field(Cut),
    /// `word(index,delimiters[,count])`: the same, and empty ones do not count.
    Word(Cut),
    /// `url_dec[(1)]`; true: `+` stays in what is no query.
    UrlDecode(bool),
    /// `base64`, `b64dec`, `hex`.
    Coding(Coding),
    /// A hash, over the bytes.
    Hash(Hash),
    /// `bytes(offset[,length])`.
    Bytes(usize, Option<usize>),
    /// `regsub(regex,with[,flags])`.
    Substitute {
        /// What is replaced.
        regex: Pattern,
        /// By this; `\1` are groups.
        with: Box<[u8]>,
        /// `g`: everywhere instead of once.
        everywhere: bool,
    },
    /// `add`, `sub`, …
    Arithmetic(Operation, Operand),
    /// `neg`, `not`, `even`, `odd`, `bool`, `cpl`.
    Unary(Unary),
    /// `ipmask(v4[,v6])`: lengths of prefixes.
    IpMask(u8, u8),
    /// `map`, `map_beg`, …: what a file says to a value.
    Map(Arc<Map>),
    /// `strcmp(var)`: 0 if equal, less or more otherwise.
    Compare(Arc<str>),
    /// `concat(before[,var[,after]])`.
    Concat {
        /// First.
        before: Box<str>,
        /// Then the value of a variable.
        variable: Option<Arc<str>>,
        /// At last.
        after: Box<str>,
    },
}

/// Which case.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Case {
    /// `lower`
    Lower,
    /// `upper`
    Upper,
}

/// Parts of a text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cut {
    /// From 1 from the front, from −1 from the end.
    pub index: i64,
    /// Any of these bytes.
    pub delimiters: Box<[u8]>,
    /// How many parts; 0: all that are left.
    pub count: u64,
}

/// How bytes are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Coding {
    /// `base64`: bytes to text.
    Base64,
    /// `b64dec`: text to bytes.
    FromBase64,
    /// `hex`: bytes to digits.
    Hex,
}

/// A hash, and whether it is mixed once more (HAProxy's avalanche).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hash {
    /// `sdbm`
    Sdbm(bool),
    /// `djb2`
    Djb2(bool),
    /// `wt6`
    Wt6(bool),
    /// `crc32`
    Crc32(bool),
    /// `xxh32(seed)`
    Xxh32(u32),
    /// `xxh64(seed)`
    Xxh64(u64),
}

/// An operation on two numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operation {
    /// Saturates.
    Add,
    /// Saturates.
    Sub,
    /// Saturates.
    Mul,
    /// By 0: the largest number.
    Div,
    /// By 0: 0.
    Mod,
    /// Bit by bit.
    And,
    /// Bit by bit.
    Or,
    /// Bit by bit.
    Xor,
}

/// The second number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Operand {
    /// As typed.
    Int(i64),
    /// Of a variable.
    Variable(Arc<str>),
}

/// An operation on one number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unary {
    /// The opposite.
    Neg,
    /// Whether it is 0.
    Not,
    /// Whether it is not 0.
    Bool,
    /// Every bit the other way.
    Complement,
    /// Whether it is even.
    Even,
    /// Whether it is odd.
    Odd,
}

/// A regular expression over bytes. Equal to those written in the same way.
#[derive(Clone, Debug)]
pub struct Pattern(pub Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

/// A file of keys and values.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Map {
    /// The keys.
    pub keys: Lookup,
    /// The value of each.
    pub values: Vec<Constant>,
    /// What values are.
    pub output: Kind,
    /// If there is no such key; `None`: no value.
    pub default: Option<Constant>,
}

impl Converter {
    /// What it takes, and what it makes of that.
    pub fn kinds(&self) -> (Kind, Kind) {
        match self {
            Self::Case(_)
            | Self::UrlDecode(_)
            | Self::Field(_)
            | Self::Word(_)
            | Self::Substitute { .. }
            | Self::Concat { .. } => (Kind::Text, Kind::Text),
            Self::Length | Self::Compare(_) => (Kind::Text, Kind::Int),
            Self::Coding(Coding::Base64 | Coding::Hex) => (Kind::Binary, Kind::Text),
            Self::Coding(Coding::FromBase64) => (Kind::Text, Kind::Binary),
            Self::Hash(_) => (Kind::Binary, Kind::Int),
            Self::Bytes(..) => (Kind::Binary, Kind::Binary),
            Self::Arithmetic(..) | Self::Unary(Unary::Neg | Unary::Complement) => (Kind::Int, Kind::Int),
            Self::Unary(Unary::Not | Unary::Bool | Unary::Even | Unary::Odd) => (Kind::Int, Kind::Bool),
            Self::IpMask(..) => (Kind::Ip, Kind::Ip),
            Self::Map(map) => (map.keys.kind(), map.output),
        }
    }
}
