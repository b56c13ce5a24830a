//! .
mod lab;
