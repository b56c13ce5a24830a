//! Value: what an expression gives, and how one kind is taken as another (HAProxy's `sample_casts`).

use crate::model::acl::{Kind, expression::Constant};
use std::{borrow::Cow, net::IpAddr};

/// What an expression gives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    /// Yes or no.
    Bool(bool),
    /// A number.
    Int(i64),
    /// An address.
    Ip(IpAddr),
    /// Bytes that are text.
    Text(Cow<'a, [u8]>),
    /// Bytes that are none.
    Binary(Cow<'a, [u8]>),
}

impl<'a> Value<'a> {
    /// Text that is there already.
    pub(super) fn text(bytes: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self::Text(Cow::Borrowed(bytes.as_ref()))
    }

    /// Text that was made.
    pub(super) fn made(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Text(Cow::Owned(bytes.into()))
    }

    /// What kind it is.
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Bool(_) => Kind::Bool,
            Self::Int(_) => Kind::Int,
            Self::Ip(_) => Kind::Ip,
            Self::Text(_) => Kind::Text,
            Self::Binary(_) => Kind::Binary,
        }
    }

    /// Taken as another kind; `None`: that cannot be.
    pub(crate) fn cast(self, kind: Kind) -> Option<Self> {
        match kind {
            _ if kind == self.kind() => Some(self),
            Kind::Any => Some(self),
            Kind::Bool => self.into_int().map(|value| Self::Bool(value != 0)),
            Kind::Int => self.into_int().map(Self::Int),
            Kind::Ip => self.into_ip().map(Self::Ip),
            Kind::Text => Some(Self::Text(self.into_text())),
            Kind::Binary => match self {
                Self::Int(value) => Some(Self::Binary(value.to_be_bytes().to_vec().into())),
                Self::Ip(IpAddr::V4(address)) => Some(Self::Binary(address.octets().to_vec().into())),
                Self::Ip(IpAddr::V6(address)) => Some(Self::Binary(address.octets().to_vec().into())),
                Self::Text(bytes) | Self::Binary(bytes) => Some(Self::Binary(bytes)),
                Self::Bool(_) => None,
            },
        }
    }

    /// As a number: of a text the digits that it begins with.
    pub(crate) fn into_int(self) -> Option<i64> {
        match self {
            Self::Bool(value) => Some(value.into()),
            Self::Int(value) => Some(value),
            Self::Ip(IpAddr::V4(address)) => Some(address.to_bits().into()),
            Self::Text(text) if !text.is_empty() => Some(leading_int(&text)),
            Self::Ip(IpAddr::V6(_)) | Self::Text(_) | Self::Binary(_) => None,
        }
    }

    pub(crate) fn into_ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address),
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as HAProxy's c_int2ip")]
            Self::Int(value) => Some(IpAddr::V4((value as u32).into())),
            Self::Text(text) => std::str::from_utf8(&text).ok()?.parse().ok(),
            Self::Bool(_) | Self::Binary(_) => None,
        }
    }

    /// As text: bytes that are none in hexadecimal.
    pub(crate) fn into_text(self) -> Cow<'a, [u8]> {
        match self {
            Self::Bool(value) => Cow::Borrowed(if value { b"1" } else { b"0" }),
            Self::Int(value) => value.to_string().into_bytes().into(),
            Self::Ip(address) => address.to_string().into_bytes().into(),
            Self::Text(text) => text,
            Self::Binary(bytes) => hexadecimal(&bytes).into(),
        }
    }

    /// One that lives on its own.
    pub(crate) fn into_owned(self) -> Value<'static> {
        match self {
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Ip(address) => Value::Ip(address),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Binary(bytes) => Value::Binary(Cow::Owned(bytes.into_owned())),
        }
    }

    /// The same, as long as it is there.
    pub(super) fn borrowed(&'a self) -> Self {
        match self {
            Self::Bool(value) => Self::Bool(*value),
            Self::Int(value) => Self::Int(*value),
            Self::Ip(address) => Self::Ip(*address),
            Self::Text(text) => Self::text(text),
            Self::Binary(bytes) => Self::Binary(Cow::Borrowed(bytes)),
        }
    }
}

impl<'a> From<&'a Constant> for Value<'a> {
    fn from(constant: &'a Constant) -> Self {
        match constant {
            Constant::Bool(value) => Self::Bool(*value),
            Constant::Int(value) => Self::Int(*value),
            Constant::Ip(address) => Self::Ip(*address),
            Constant::Text(text) => Self::text(&**text),
            Constant::Binary(bytes) => Self::Binary(Cow::Borrowed(bytes)),
        }
    }
}

/// The number that a text begins with, 0 if with none; saturates. HAProxy's `read_int64`.
fn leading_int(text: &[u8]) -> i64 {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    let mut value = 0_i64;
    for digit in digits.iter().take_while(|byte| byte.is_ascii_digit()).map(|byte| i64::from(byte - b'0')) {
        let digit = if negative { -digit } else { digit };
        value = value.saturating_mul(10).saturating_add(digit);
    }
    value
}

/// Two digits for each byte, in upper case.
pub(crate) fn hexadecimal(bytes: &[u8]) -> Vec<u8> {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'A' + half - 10 };
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
