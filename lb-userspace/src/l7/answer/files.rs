//! Error files: what the operator has in place of answers of ours.

use super::Answer;
use crate::{
    l7::message::Response,
    model::{ErrorFile, ErrorFiles},
};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Those of a frontend or backend, by the status of the answer; `None`: nothing is said.
#[derive(Debug, Default)]
pub(in crate::l7) struct Files(BTreeMap<u16, Option<(Response, Bytes)>>);

impl Files {
    pub(in crate::l7) fn new(files: &ErrorFiles) -> Self {
        let file = |file: &ErrorFile| {
            let mut response = Response { reason: file.reason.clone(), ..Response::new(file.status) };
            for (name, value) in &file.fields {
                response.fields.push(name, value);
            }
            if !response.is_bodiless() {
                response.fields.push("content-length", file.body.len().to_string());
            }
            (response, file.body.clone())
        };
        Self(files.iter().map(|(status, known)| (*status, known.as_deref().map(file))).collect())
    }

    /// What is sent in place of an answer of ours, by the first of `files` that has something; `None`: nothing is.
    pub(in crate::l7) fn replace<'a>(
        files: impl IntoIterator<Item = &'a Self>,
        (response, body): (Response, Bytes),
    ) -> Option<(Response, Bytes)> {
        if !response.is_page {
            return Some((response, body));
        }
        match files.into_iter().find_map(|files| files.0.get(&response.status)) {
            None => Some((response, body)),
            Some(file) => file.as_ref().map(|(other, body)| {
                let mut other = other.clone();
                // Whom a 401 asks for is of the rule, not of the page.
                for realm in response.fields.all("www-authenticate") {
                    other.fields.push("www-authenticate", realm);
                }
                (other, body.clone())
            }),
        }
    }

    /// The answer to what was no request; `None`: nothing is said.
    pub(in crate::l7) fn answer(&self, status: u16) -> Option<(Response, Bytes)> {
        Self::replace([self], Answer(status).response())
    }
}
