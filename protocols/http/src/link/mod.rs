//! The two sides of an exchange over hyper, as the relay loop drives them.

mod again;
mod client;
mod server;
mod waiting;

pub(crate) use client::{Answer, ClientLink};
pub(crate) use server::{Patience, ServerLink};
