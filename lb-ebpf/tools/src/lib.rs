//! The half of this package that its programs and those who load them share; the programs themselves start in `main.rs`.
#![no_std]

pub mod rows;
